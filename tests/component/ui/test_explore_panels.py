"""The panels of Explore without a browser: a wrong entry, or another model, leaves a page that can be used."""

import gradio as gr
import pytest

from studio.engine.parameters import LAYER_CHOICES, edit_strength
from studio.engine.recipe import Edit, Recipe
from studio.errors import StudioError
from studio.ui.components.tab import Page
from studio.ui.explore.pins import MAX_PINS
from studio.ui.explore.tab import ExploreTab
from studio.ui.session import Session
from tests.conftest import save_one_row

START = Recipe(model="tiny", psi=0.7)
FINE = LAYER_CHOICES[-1]


@pytest.fixture
def tab(models, engine):
    """Explore with 'tiny' and the DCGAN 'one-row'."""
    save_one_row(models)
    with gr.Blocks():
        return ExploreTab(Page(engine, gr.State()))


@pytest.fixture
def session(tab):
    """With the picture, and the panel of bends open at its usual layer."""
    session = Session(recipe=START)
    tab.show(session)
    bend_panel(tab)._open(session, True)
    return session


def bend_panel(tab):
    return tab.panels[2]


def test_a_channel_that_is_not_there_is_told_once_and_not_kept(tab, session):
    panel, state = bend_panel(tab), tab.state_of(session)
    panel._choose(session, "b16.conv1", "3")
    for channel in ("9999", "9" * 5000, "-1", "³"):
        with pytest.raises(StudioError, match="channel"):
            panel._choose(session, "b16.conv1", channel)
    with pytest.raises(StudioError):
        panel._choose(session, "no-layer", "")
    assert (state.bend_layer, state.bend_channel) == ("b16.conv1", 3)
    shown = tab.go(session, FINE, START.replace(psi=0.5))
    assert "channel 3" in shown[panel.picture]
    assert session.past == [START]


def test_a_channel_that_the_layer_of_another_model_has_not_is_let_go_of(tab, session):
    panel, state = bend_panel(tab), tab.state_of(session)
    state.bend_channel = 127  # of a layer of the same name in a larger model
    shown = tab.show(session)
    assert shown[panel.channel] == ""
    assert "its first channels" in shown[panel.picture]
    assert state.bend_channel is None


def test_a_layer_without_a_picture_says_why_in_its_place(tab, session, monkeypatch):
    def fails(*args):
        raise StudioError("The values <are> no numbers.", "Remove a bend.")

    monkeypatch.setattr(tab.engine, "layer_picture", fails)
    shown = tab.show(session)
    assert "&lt;are&gt; no numbers" in shown[bend_panel(tab).picture]
    with pytest.raises(StudioError):
        bend_panel(tab)._choose(session, "b16.conv1", "")


def test_directions_of_a_model_with_one_row_move_all_of_it(tab, session):
    controls = tab.controls
    assert tab.show(session, FINE)[controls.layers]["visible"]
    shown = tab.go(session, FINE, Recipe(model="one-row"))
    assert not shown[controls.layers]["visible"]
    moved, address = controls._direction_mover(0)(session, 1.5, FINE)
    assert address == "edit.random:0:0"
    assert moved.edits == (Edit("random:0:0", 1.5),)
    shown = tab.go(session, FINE, moved)
    assert shown[controls.directions[0]]["value"] == 1.5
    assert edit_strength(session.open(), "random:0:0") == 1.5


def test_there_are_not_more_pins_than_can_be_drawn_again(tab, session):
    pins = tab.state_of(session).pins
    pins.extend([START] * (MAX_PINS - 1))
    tab.pins._pin(session)
    with pytest.raises(StudioError, match=f"{MAX_PINS} pins"):
        tab.pins._pin(session)
    assert len(pins) == MAX_PINS
    tab.pins._unpin(session)
    tab.pins._pin(session)
