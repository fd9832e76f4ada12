"""The live channel from the server's side: a real socket, moves in, pictures out, and what a hostile page can send."""

import io
import json
import socket
import threading
from contextlib import contextmanager

import gradio as gr
import numpy as np
import pytest
import uvicorn
from PIL import Image
from starlette.applications import Starlette
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from studio.engine.bend import Bend
from studio.engine.engine import Engine
from studio.engine.recipe import ClassWeight, Recipe, SeedWeight
from studio.errors import StudioError
from studio.models.library import Library
from studio.ui.access.middleware import COOKIE
from studio.ui.access.visitors import Visitors
from studio.ui.classes.tab import ClassesTab
from studio.ui.components.tab import Page
from studio.ui.explore.tab import ExploreTab
from studio.ui.live.channel import GOING_AWAY, INVALID, MAX_MESSAGE, REPLACED, UNKNOWN
from studio.ui.live.endpoint import LiveEndpoint
from studio.ui.mix.tab import MixTab
from studio.ui.session import Session
from tests.conftest import save_tiny


@pytest.fixture
def explore(engine):
    with gr.Blocks():
        return ExploreTab(Page(engine, gr.State()))


@contextmanager
def channel(tab, session, browser_of=None):
    """A server with a channel: its endpoint, and a function that opens a socket of the session."""
    endpoint, app = LiveEndpoint(tab.page.live, browser_of), Starlette()
    endpoint.add_to(app)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        address, own = f"ws://127.0.0.1:{listening.getsockname()[1]}/live", endpoint.invite(session)

        def open_socket(token: str = own, cookie: str = "") -> ClientConnection:
            headers = {"Cookie": f"{COOKIE}={cookie}"} if cookie else {}
            return connect(f"{address}?token={token}", additional_headers=headers, open_timeout=60, max_size=None)

        try:
            yield endpoint, open_socket
        finally:
            server.should_exit = True
            thread.join(60)
            assert not thread.is_alive()


def move(n, control="psi", values=(0.5,), release=False) -> str:
    return json.dumps({"n": n, "control": control, "values": list(values), "release": release})


def next_frame(page) -> tuple[dict, np.ndarray]:
    """The next frame, acknowledged: its header and its pixels."""
    data = page.recv(60)
    length = int.from_bytes(data[:4], "little")
    header = json.loads(data[4 : 4 + length])
    page.send(json.dumps({"ack": header["frame"]}))
    with Image.open(io.BytesIO(data[4 + length :])) as image:
        return header, np.asarray(image.convert("RGB"))


def next_still(page) -> tuple[dict, np.ndarray]:
    for _ in range(100):
        header, pixels = next_frame(page)
        if header["still"]:
            return header, pixels
    raise AssertionError("no still among a hundred frames")


def test_a_move_is_drawn_and_the_still_is_exactly_the_engines_picture(explore, engine):
    session = Session(recipe=Recipe(model="tiny"))
    with channel(explore, session) as (_, open_channel), open_channel() as page:
        page.send(move(1, "psi", [0.3]))
        header, moving = next_frame(page)
        assert (header["n"], header["still"], header["size"]) == (1, False, [32, 32])
        header, pixels = next_still(page)
    assert session.recipe == Recipe(model="tiny", psi=0.3)
    assert np.array_equal(pixels, engine.render(session.recipe))
    assert np.abs(moving.astype(int) - pixels).mean() < 12, "a JPEG of the same picture"
    assert header["alt"] == "Picture by the model Tiny tiny, seed 0"
    assert "model <b>tiny</b>" in header["status"]


def test_of_many_moves_the_last_one_stays_and_letting_go_is_one_step_of_the_history(explore, engine):
    session = Session(recipe=Recipe(model="tiny"))
    session.commit()
    with channel(explore, session) as (_, open_channel), open_channel() as page:
        for n in range(1, 60):
            page.send(move(n, "direction-0", [n / 30, "Everything"]))
        page.send(move(60, "direction-0", [59 / 30, "Everything"], release=True))
        header, pixels = next_still(page)
        while header["n"] < 59:
            header, pixels = next_still(page)
        assert np.array_equal(pixels, engine.render(session.recipe))
    assert session.recipe.edits[0].strength == 59 / 30
    assert session.past == [Recipe(model="tiny")]


def test_no_more_than_two_frames_travel_without_an_acknowledgement(explore):
    session = Session(recipe=Recipe(model="tiny"))
    with channel(explore, session) as (_, open_channel), open_channel() as page:
        numbers = []
        for n in range(1, 4):
            page.send(move(n, "psi", [n / 10]))
            numbers.append(n)
        frames = [page.recv(60) for _ in range(2)]
        headers = [json.loads(data[4 : 4 + int.from_bytes(data[:4], "little")]) for data in frames]
        assert [h["frame"] for h in headers] == [1, 2]
        page.send(json.dumps({"ack": 1}))
        page.send(json.dumps({"ack": 2}))
        header, _ = next_still(page)
        assert header["n"] == 3


@pytest.mark.parametrize(
    ("control", "values"),
    [
        ("psi", ["much"]),
        ("psi", [float("nan")]),
        ("psi", [None]),
        ("psi", []),
        ("psi", [[1] * 10]),
        ("direction-0", [1]),
        ("direction-0", [1e300, "Everything"]),
        ("pad", [{}, 0]),
        ("nothing", [1]),
    ],
)
def test_a_move_that_cannot_be_is_answered_with_a_sentence_and_changes_nothing(explore, control, values):
    session = Session(recipe=Recipe(model="tiny"))
    with channel(explore, session) as (_, open_channel), open_channel() as page:
        page.send(move(7, control, values))
        answer = json.loads(page.recv(60))
        assert answer["n"] == 7
        assert answer["error"]
        assert session.recipe == Recipe(model="tiny")
        page.send(move(8))
        assert next_frame(page)[0]["n"] == 8


WEIGHTS = [1, 1, 1, 0.5, 0, 1, 0, 0, 0, 0, 0, 0]
CLASSES = ["blend", 3, 0.5, 2, 1, 0.25, 0, 0, 0, 0, 0, 0]


def test_the_mixer_and_the_classes_follow_the_hand_on_the_same_channel(engine):
    session = Session(recipe=Recipe(model="tiny-classes"))
    page = Page(engine, gr.State())
    with gr.Blocks():
        mix, classes = MixTab(page), ClassesTab(page)
    state = classes.state_of(session)
    state.model, state.chosen = "tiny-classes", [2, 0]
    with channel(mix, session) as (_, open_channel), open_channel() as socket:
        socket.send(move(1, "mixer", [0.7, 1, 2, 3, 4, *WEIGHTS]))
        header, pixels = next_still(socket)
        assert (header["stage"], header["alt"]) == ("mixer-stage", "The mix of the sources")
        mixed = mix.state_of(session).mixer
        assert [(m.seed, m.weight) for m in mixed.mixes] == [(2, 0.5 / 1.5), (2, 0.5)]
        assert np.array_equal(pixels, engine.render(mixed))
        socket.send(move(2, "classes", CLASSES))
        header, pixels = next_still(socket)
        assert (header["stage"], header["alt"]) == ("classes-stage", "kind 2 and kind 0, seed 3")
        blend = Recipe("tiny-classes", seeds=(SeedWeight(3),), psi=0.5, classes=(ClassWeight(2, 1), ClassWeight(0, 0.25)))
        assert np.array_equal(pixels, engine.render(blend))
        # Each is answered, whichever comes while the other one is drawn.
        socket.send(move(3, "mixer", [0.2, 1, 2, 3, 4, *WEIGHTS]))
        socket.send(move(4, "classes", ["row", *CLASSES[1:]]))
        assert {next_still(socket)[0]["stage"] for _ in range(2)} == {"mixer-stage", "classes-stage"}


@pytest.mark.parametrize(
    ("control", "values"),
    [
        ("mixer", [0.7, 1, 2, 3, 4, "much", *WEIGHTS[1:]]),
        ("mixer", [0.7, 1, 2, 3, None, *WEIGHTS]),
        ("mixer", [float("nan"), 1, 2, 3, 4, *WEIGHTS]),
        ("mixer", [0.7, 1, 2, 3, 4, *[1e308] * 12]),
        ("mixer", [0.7]),
        ("classes", ["row", 0, 0.5, 1e9, *CLASSES[4:]]),
        ("classes", ["blend", {}, 0.5, 1, *CLASSES[4:]]),
        ("classes", ["blend", 0, None, 1, *CLASSES[4:]]),
        ("classes", ["blend", 0, 0.5, 1, "x", *CLASSES[5:]]),
    ],
)
def test_a_move_of_the_mixer_or_the_classes_that_cannot_be_is_refused(engine, control, values):
    session = Session(recipe=Recipe(model="tiny-classes"))
    page = Page(engine, gr.State())
    with gr.Blocks():
        classes, _ = ClassesTab(page), MixTab(page)
    state = classes.state_of(session)
    state.model, state.chosen = "tiny-classes", [2, 0]
    with pytest.raises(StudioError):
        page.live.move(session, control, values, release=False)


def send_until_closed(page: ClientConnection, texts: list[str]) -> None:
    """Send, and wait for an answer; the server may close the channel before all is sent."""
    for text in texts:
        page.send(text)
    page.recv(60)


def test_garbage_is_passed_over_and_a_flood_of_it_closes_the_channel(explore):
    session = Session(recipe=Recipe(model="tiny"))
    with channel(explore, session) as (_, open_channel):
        garbage = ["", "{", "[]", "1", '{"ack": "x"}', '{"control": 1}', '{"n": 1, "control": "psi"}', "[" * 5000]
        with open_channel() as page:
            for text in garbage:
                page.send(text)
            page.send(move(1))
            assert next_frame(page)[0]["n"] == 1
        for flood in (["{"] * 30, ["x" * (MAX_MESSAGE + 1)]):
            with open_channel() as page:
                with pytest.raises(ConnectionClosed) as closed:
                    send_until_closed(page, flood)
                assert closed.value.rcvd.code == INVALID


def closed_with(page: ClientConnection) -> int:
    """The code with which the server closes the channel."""
    with page:
        for _ in range(10):  # a still may be on its way
            try:
                page.recv(60)
            except ConnectionClosed as closed:
                return closed.rcvd.code
    raise AssertionError("the channel stayed open")


def test_only_the_pages_own_token_opens_its_channel(explore, tmp_path):
    visitors = Visitors(tmp_path / "visitors")
    cookie, other = visitors.new_cookie(), visitors.new_cookie()
    session = Session(recipe=Recipe(model="tiny"))
    session.workspace = visitors.workspace(visitors.browser_of(cookie), session.id)
    with channel(explore, session, visitors.browser_of) as (_, open_channel):
        assert closed_with(open_channel("guess", cookie)) == UNKNOWN
        assert closed_with(open_channel()) == UNKNOWN, "no cookie"
        assert closed_with(open_channel(cookie=other)) == UNKNOWN
        with open_channel(cookie=cookie) as page:
            page.send(move(1))
            assert next_frame(page)[0]["n"] == 1
    visitors.close()


def test_a_second_socket_takes_the_channel_and_leaving_closes_it(explore):
    session = Session(recipe=Recipe(model="tiny"))
    with channel(explore, session) as (endpoint, open_channel):
        first = open_channel()
        first.send(move(1))
        next_frame(first)
        second = open_channel()
        second.send(move(2, "psi", [0.1]))
        next_frame(second)
        assert closed_with(first) == REPLACED
        endpoint.forget(session)
        assert closed_with(second) == GOING_AWAY


def test_moving_pictures_may_be_in_bf16_and_the_still_is_exact(tmp_path, monkeypatch):
    monkeypatch.setattr("studio.engine.live_precision.bf16_is_faster", lambda: True)
    save_tiny(tmp_path, resolution=128, channel_base=1024)
    with Engine(Library([tmp_path]), device="cpu") as engine:
        assert not engine.live_is_exact("tiny")
        with gr.Blocks():
            explore = ExploreTab(Page(engine, gr.State()))
        session, recipe = Session(recipe=Recipe(model="tiny")), Recipe(model="tiny", psi=0.5)
        exact, moving = engine.render(recipe), engine.submit("a", recipe, live=True).result()
        difference = np.abs(moving.astype(int) - exact)
        assert 0 < difference.max() < 40
        assert difference.mean() < 2
        assert np.array_equal(engine.submit("a", recipe).result(), exact), "layers in bf16 are not gone on from"
        with channel(explore, session) as (_, open_channel), open_channel() as page:
            page.send(move(1))
            header, _ = next_frame(page)
            assert not header["still"]
            header, pixels = next_still(page)
        assert np.array_equal(pixels, exact)


def test_a_move_that_cannot_be_drawn_brings_back_what_an_event_had_opened(explore, engine):
    session = Session(recipe=Recipe(model="tiny"))
    explore.film._record(session)
    with channel(explore, session) as (_, open_channel), open_channel() as page:
        page.send(move(1, "psi", [0.3]))
        next_still(page)
        opened = Recipe(model="tiny-classes", psi=0.9)
        explore.go(session, "Everything", opened)  # by an event, of which the channel knows nothing
        broken = Bend("b8.conv1", "rotate", 5, "9000-9001")
        session.recipe = opened.replace(bends=(broken,))
        page.send(move(2, "psi", [0.4]))
        while isinstance(answer := page.recv(60), bytes):
            pass
        assert json.loads(answer)["n"] == 2
        assert session.recipe == opened
    recorded = [recipe for _, recipe in explore.state_of(session).recording.moves]
    assert recorded == [Recipe(model="tiny"), Recipe(model="tiny", psi=0.3)], "only what was drawn, of one model"


def test_what_is_not_text_is_invalid_and_the_channel_lives_on(explore):
    session = Session(recipe=Recipe(model="tiny"))
    with channel(explore, session) as (_, open_channel), open_channel() as page:
        page.send(b"\x00\x01")
        page.send(move(1))
        assert next_frame(page)[0]["n"] == 1


def test_two_controls_of_one_name_are_refused(explore):
    with pytest.raises(ValueError, match="psi"):
        explore.live.scripted("psi", lambda session, value: (session.open(), "psi"), 1)
