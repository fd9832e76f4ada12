"""Opening the studio: with a public link that cannot be had, in a home that cannot be written, and for more than it can do."""

import dataclasses
import json
import os
import subprocess
import sys
import threading

import gradio as gr
import httpx
import numpy as np
import pytest
import torch
from PIL import Image

from studio.cli.main import main
from studio.common.files import can_write
from studio.common.log import start_log
from studio.engine.engine import Engine
from studio.engine.recipe import Recipe
from studio.errors import StudioError
from studio.jobs.supervisor import Supervisor
from studio.models.folder import save_folder
from studio.models.library import Library, default_library
from studio.networks.translation.cyclegan import CycleGANConfig, Generator
from studio.settings import get_settings
from studio.ui.access.serving import ServingPolicy
from studio.ui.app import _print_audience, build, launch
from studio.ui.components.tab import Page
from studio.ui.explore.tab import ExploreTab
from studio.ui.session import Session
from studio.ui.translate.tab import TranslateTab
from studio.ui.upscale.tab import UpscaleTab
from tests.conftest import ROOT, save_tiny
from tests.unit.networks.test_super_resolution import make


def nothing(*args, **kwargs) -> None:
    """A progress that nobody sees."""


@pytest.fixture
def unwritable(tmp_path, monkeypatch):
    """A home that cannot even be made, for a part of its path is a file; so it is for every user."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("STUDIO_HOME", str(tmp_path / "file" / "home"))
    return tmp_path / "file" / "home"


def test_a_public_link_that_cannot_be_had(tmp_path):
    """The real command and Gradio's own way to a link, without a network."""
    save_tiny(tmp_path / "home" / "models", "anna")
    nowhere = "http://127.0.0.1:9"  # the port for what is thrown away
    environment = {
        **os.environ,
        "PYTHONUNBUFFERED": "1",
        "STUDIO_HOME": str(tmp_path / "home"),
        "HF_HOME": str(tmp_path / "cache"),
        **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"), nowhere),
        "NO_PROXY": "127.0.0.1,localhost",
    }
    command = [sys.executable, "-m", "studio", "--no-browser", "--device", "cpu", "--share", "--tabs", "explore"]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    watchdog = threading.Timer(120, process.kill)  # of failing only
    watchdog.start()
    try:
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.startswith("Visitors have files"):
                break
        said = "".join(lines)
        url = next(line for line in lines if "is open at" in line).split(" at ")[1].split(" ")[0]
        assert "No public link could be made. Check the internet connection" in said
        assert "Traceback" not in said
        assert "binary" not in said.lower()
        with httpx.Client(base_url=url, trust_env=False) as client:
            assert client.get("/").status_code == 200
            assert client.get("/gradio_api/file=/etc/passwd").status_code == 403
    finally:
        watchdog.cancel()
        process.terminate()
        process.wait(timeout=60)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--tabs", "explore,paint"], "There is no tab 'paint'."),
        (["--tabs", "train", "--no-train"], "training is off"),
        (["--tabs", "train", "--share"], "training is off"),
        (["--tabs", "train", "--host", "0.0.0.0"], "training is off"),
        (["--auth", "ada"], "--auth has no user and password."),
        (["--auth-file", "missing"], "cannot be read"),
        (["--models", "annna", "--tabs", "explore", "--device", "cpu"], "'annna' is not in this studio. Available: anna"),
    ],
)
def test_mistakes_are_told_in_a_sentence(studio_home, monkeypatch, capsys, words, told):
    for name in ("GRADIO_SERVER_NAME", "SPACE_ID"):
        monkeypatch.delenv(name, raising=False)
    save_tiny(studio_home / "models", "anna")
    assert main([*words, "--no-browser"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("studio: ")
    assert told in err
    assert err.count("\n") == 1


def test_a_public_link_is_told(capsys):
    _print_audience(True, "https://abc.gradio.live", None)
    assert "Anyone can open it at https://abc.gradio.live" in capsys.readouterr().out


def test_a_home_that_cannot_be_written_is_opened_all_the_same(unwritable, tmp_path, capfd):
    assert not can_write(unwritable)
    assert start_log() is None
    torch.manual_seed(0)
    config = CycleGANConfig(resolution=32, net="resnet_6blocks", ngf=2, n_layers=1)
    save_tiny(tmp_path / "models", "anna")
    save_folder(
        tmp_path / "models" / "ink", "cyclegan", dataclasses.asdict(config), Generator(config).state_dict(), title="Ink", dtype="float32"
    )
    network = make("srvgg")
    save_folder(
        tmp_path / "models" / "sharp", "srvgg", dataclasses.asdict(network.config), network.state_dict(), title="Sharp", dtype="float32"
    )
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (20, 28, 3), np.uint8)).save(tmp_path / "mine.png")
    words = "cannot be written, so nothing can be saved there. Start the studio with --home"
    with Engine(Library([tmp_path / "models"]), device="cpu") as engine, gr.Blocks():
        session = Session(recipe=Recipe(model="anna"))
        explore = ExploreTab(Page(engine, gr.State()))
        assert "<img" in explore.begin(session)[explore.stage]
        with pytest.raises(StudioError, match=words):
            explore.saving._save(session)
        for tab, settings in (
            (TranslateTab(Page(engine, gr.State())), ("ink", "AtoB", 100, False, 1, 0)),
            (UpscaleTab(Page(engine, gr.State())), ("sharp", 100, 0, False, "factor", 2.0, "longer", 2000, 20, 300)),
        ):
            tab._open(session, str(tmp_path / "mine.png"))
            assert 'class="after"' in tab.result.run(tab, session, settings, nothing)[tab.stage]
            with pytest.raises(StudioError, match=words):
                tab.result.saved_file(session, tab.state_of(session), *settings)
    assert not capfd.readouterr().err.count("Traceback")


def test_the_studio_opens_there_without_training(unwritable, capfd):
    app, url, engine, supervisor = launch(inbrowser=False, device="cpu", block=False)
    try:
        assert supervisor is None
        assert httpx.get(url).status_code == 200
        assert httpx.get(url, headers={"host": "evil.example"}).status_code == 403, "without a login it answers to localhost only"
        upload = {"url": f"{url}gradio_api/upload", "files": {"files": ("a.png", b"x")}}
        assert httpx.post(**upload, headers={"origin": "https://evil.example"}).status_code == 403
        assert httpx.post(**upload, headers={"origin": url.rstrip("/")}).status_code == 200
        assert f"The folder {unwritable} is not writable" in capfd.readouterr().err
        labels = {b.label for b in app.blocks.values() if type(b).__name__ == "Tab"}
        assert "Explore" in labels
        assert "Train" not in labels
    finally:
        app.close()
        engine.close()


def test_models_of_a_package_can_be_made_ready_there(unwritable):
    library = default_library()
    if not library.bundled:
        pytest.skip("the extra realesrgan is not installed")
    id = library.bundled[0].id
    assert library.get(id).hash
    assert id in [m.id for m in library.scan()[0]]
    assert not unwritable.exists()


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root can become somebody without a home")
def test_a_user_without_a_home(tmp_path):
    code = "import os; from studio.settings import get_settings; os.setuid(54321); print(get_settings().home)"
    environment = {k: v for k, v in os.environ.items() if k not in ("HOME", "STUDIO_HOME")} | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.stdout.strip() == str(tmp_path / "gan-studio"), done.stderr


def test_the_page_is_light(studio_home):
    with Engine(default_library(), device="cpu") as engine, Supervisor(every=1, slots=0) as supervisor:
        page = json.dumps(build(engine, supervisor).get_config_file(), default=str)
    assert len(page) < 1_500_000, "what each visitor loads before anything is shown"


def test_without_the_variable_the_home_is_that_of_the_user(monkeypatch):
    for name in ("HOME", "STUDIO_HOME", "USERPROFILE"):
        monkeypatch.delenv(name, raising=False)
    assert get_settings().home.name == "gan-studio"


def test_more_work_than_the_queue_holds_is_refused_in_a_sentence(studio_home, monkeypatch):
    save_tiny(studio_home / "models", "anna")
    monkeypatch.setenv("GRADIO_TEMP_DIR", "")
    app, url, engine, _ = launch(
        inbrowser=False, device="cpu", block=False, policy=ServingPolicy(visitors=True, tabs=("mix",), queue_size=1, concurrency=1)
    )
    release = threading.Event()
    try:
        with httpx.Client(base_url=url, timeout=60) as client:
            client.get("/")
            arrive = next(i for i, f in app.fns.items() if f.targets and f.targets[0][1] == "load" and f.fn)
            grid = next(i for i, f in app.fns.items() if f.concurrency_id == "work")

            def ask(fn_index: int, data: list) -> httpx.Response:
                return client.post("/gradio_api/queue/join", json={"fn_index": fn_index, "session_hash": "s", "data": data})

            def succeeded() -> list[bool]:
                """Of all that was asked for. Read to the end: who hangs up asks for nothing more."""
                with client.stream("GET", "/gradio_api/queue/data?session_hash=s") as events:
                    done = [json.loads(line.removeprefix("data: ")) for line in events.iter_lines() if "process_completed" in line]
                return [d["success"] for d in done]

            assert ask(arrive, []).status_code == 200
            assert succeeded() == [True]
            engine._worker.ask(release.wait)  # the device is busy
            work = [None, "1", "2", "middle", 0, 3, 0.7]
            answers = [ask(grid, work)]
            queue = app._queue.event_queue_per_concurrency_id["work"]
            while queue.queue:
                release.wait(0.01)  # until the first is at work
            answers += [ask(grid, work), ask(grid, work)]
            assert [a.status_code for a in answers] == [200, 200, 400]
            assert answers[2].json()["detail"] == "Your limit of waiting work is reached (1). Wait for some of it, or stop it."
            with httpx.Client(base_url=url, timeout=60) as other:
                other.get("/")
                full = other.post("/gradio_api/queue/join", json={"fn_index": grid, "session_hash": "t", "data": work})
                assert full.status_code == 503
                assert "Queue is full" in full.json()["detail"], "the page then says that it is busy, and to try again"
                light = other.post("/gradio_api/queue/join", json={"fn_index": arrive, "session_hash": "t", "data": []})
                assert light.status_code == 200, "light events need no place"
            release.set()
            assert succeeded() == [True, True]
    finally:
        release.set()
        app.close()
        engine.close()


def test_what_several_controls_change_alike_is_asked_for_in_turn(tmp_path):
    """Answers to two handlers may come in any order, and the older one would stay."""
    save_tiny(tmp_path / "models", "anna")
    with Engine(Library([tmp_path / "models"]), device="cpu") as engine, Supervisor(tmp_path) as supervisor:
        live = [
            (f.fn.__qualname__, *(o._id for o in f.outputs))
            for f in build(engine, supervisor).fns.values()
            if f.trigger_mode == "always_last" and f.fn and "<locals>" not in f.fn.__qualname__
        ]
    assert {"ModelsTab._list", "GalleryTab._filter", "UpscaleTab._show_size"} <= {name for name, *_ in live}
    assert sorted(set(live)) == sorted(live)
