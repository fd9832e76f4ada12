"""What the Play panel's script may move, and what a hostile page sends in its name."""

import html
import json
import re

import gradio as gr
import pytest

from studio.engine.bend import Bend
from studio.engine.recipe import Recipe
from studio.errors import StudioError
from studio.outputs.sheets import walk_at
from studio.ui.components.tab import Page
from studio.ui.explore.picture_panel import PicturePanel
from studio.ui.explore.tab import ExploreTab
from studio.ui.session import Session, Workspace

START = Recipe(model="tiny-classes", psi=0.7)


@pytest.fixture
def tab(engine):
    with gr.Blocks():
        return ExploreTab(Page(engine, gr.State()))


def test_several_parameters_move_at_once_and_letting_go_is_one_step(tab):
    session = Session(recipe=START)
    session.commit()
    live = tab.page.live
    for psi in (0.1, 0.2, 0.3):
        stage = live.move(session, "play", [[["psi", psi], ["class.2", psi], ["edit.random:0:1", -psi], ["noise.strength", 2]]], False)
        assert stage is tab.live
    assert live.move(session, "play", [[]], True) is None
    recipe = session.recipe
    assert (recipe.psi, recipe.noise.strength, recipe.edits[0].strength) == (0.3, 2, -0.3)
    assert {c.index: c.weight for c in recipe.classes} == {0: 1, 2: 0.3}
    assert session.past == [START]


def test_pins_are_opened_and_walked_along_and_the_rest_is_set_on_top(tab):
    session = Session(recipe=START)
    pins = [START.replace(psi=0.2), START.replace(psi=1.0), START.replace(psi=0.5)]
    tab.page.live.move(session, "play", [[["pin", 4]]], False)
    assert session.recipe == START, "there are none yet"
    tab.state_of(session).pins.extend(pins)
    tab.page.live.move(session, "play", [[["noise.strength", 2], ["pin", 64]]], False)
    assert session.recipe.psi == pins[64 % 3].psi
    assert session.recipe.noise.strength == 2
    tab.page.live.move(session, "play", [[["walk", 0.25]]], False)
    assert session.recipe == walk_at(tab.engine, pins, 0.25)


def test_the_page_gets_the_numbers_of_every_parameter(tab):
    session = Session(recipe=START)

    def addresses() -> dict:
        value = tab.play.values(session)[tab.play.parameters]
        return {p["address"]: p for p in json.loads(html.unescape(re.search('data-parameters="(.*)"', value)[1]))}

    found = addresses()
    assert (found["psi"]["low"], found["psi"]["high"], found["psi"]["type"]) == (-1, 1.5, "number")
    assert found["class.1"]["label"] == "kind 1"
    assert "walk" not in found
    assert "noise.mode" not in found
    tab.state_of(session).pins.extend([START, START])
    assert "walk" in addresses()


@pytest.mark.parametrize(
    "moves",
    [
        None,
        "psi",
        [["psi"]],
        [["psi", "much"]],
        [["psi", None]],
        [["psi", float("nan")]],
        [["psi", 1e300]],
        [[["psi"], 1]],
        [["nothing", 1]],
        [["class.7", 1]],
        [["transform.x", 0.1]],
        [["edit.__class__", 1]],
        [["mix.0.weight", 1]],
        [["psi", 0.5]] * 33,
        *([[address, place]] for address in ("walk", "pin") for place in (float("nan"), float("inf"), -1, 10**400, "1", None)),
    ],
)
def test_moves_that_cannot_be_are_refused_and_change_nothing(tab, moves):
    session = Session(recipe=START)
    tab.state_of(session).pins.extend([START, START.replace(psi=0.1)])
    with pytest.raises(StudioError):
        tab.page.live.move(session, "play", [moves], False)
    assert session.recipe == START


def test_a_bend_that_was_removed_while_it_played_does_not_come_back(tab):
    session = Session(recipe=START.replace(bends=(Bend("b8.conv1", "rotate", 10),)))
    tab.page.live.move(session, "play", [[["bend.b8.conv1.rotate", 20]]], False)
    assert session.recipe.bends[0].amount == 20
    session.recipe = START
    assert tab.page.live.move(session, "play", [[["bend.b8.conv1.rotate", 30]]], False) is None
    assert session.recipe == START


def test_pins_of_another_model_are_not_played(tab):
    session = Session(recipe=START)
    tab.state_of(session).pins.extend([Recipe(model="tiny", psi=0.1), Recipe(model="tiny", psi=0.9)])
    assert tab.page.live.move(session, "play", [[["pin", 1], ["walk", 0.5]]], False) is None
    with pytest.raises(StudioError, match="two pins"):
        tab.page.live.move(session, "walk", [0.5], False)
    assert session.recipe == START


def test_every_panel_shows_where_the_movement_ended(tab):
    session = Session(recipe=START)
    tab.page.live.move(session, "play", [[["colour.saturation", 0.25]]], False)
    shown = tab.play._settled(session, "Everything")
    (panel,) = [panel for panel in tab.panels if isinstance(panel, PicturePanel)]
    assert 'value="0.25"' in shown[panel.colour]


@pytest.mark.parametrize(
    ("seconds", "fps", "size", "file_type"),
    [(61, 30, 0, ".mp4 h264"), (1, 120, 0, ".mp4 h264"), (1, 30, 2048, ".mp4 h264"), (60, 30, 1024, ".zip ")],
)
def test_a_film_of_a_visitor_has_bounds(tab, tmp_path, seconds, fps, size, file_type):
    session = Session(recipe=START, workspace=Workspace(tmp_path / "guest", guest=True))
    with pytest.raises(StudioError, match="here"):
        tab.film._render(session, "loop", seconds, fps, size, "spline", "linear", True, False, None, file_type)
    assert not list(tmp_path.rglob("*.mp4"))
