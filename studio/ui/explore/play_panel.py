"""Play in Explore: oscillators, hands, keys, MIDI, gamepads and sound move parameters, through a table in the page (static/play.js)."""

from typing import TYPE_CHECKING, Any

import gradio as gr

from studio.common.text import short_repr
from studio.engine.bend_parameters import bend_address
from studio.engine.parameters import parameter, parameters_of
from studio.engine.recipe import Recipe
from studio.engine.recipe_checks import number
from studio.errors import StudioError
from studio.outputs.sheets import walk_at
from studio.ui.components.handlers import QUIET, Outputs, friendly
from studio.ui.components.notes import note
from studio.ui.explore.play_view import PANEL, parameters_html
from studio.ui.session import Session
from studio.ui.static import static_text

if TYPE_CHECKING:
    from studio.ui.explore.tab import ExploreTab

MAX_MOVES = 32  # parameters that move at once
_HELP = (
    "<b>Play the picture.</b> Each route joins a source (an oscillator, a slider, a key, a MIDI knob, a sound) with what it moves. "
    "<b>Learn</b>, then turn a knob, joins that knob. Sound stays in your browser."
)


class PlayPanel:
    """The panel. All it moves is one control of the live channel, 'play', with a list of addresses and values."""

    def __init__(self, tab: "ExploreTab"):
        self.tab = tab

    def build(self) -> None:
        """The panel, closed."""
        with gr.Accordion("Play (modulation matrix)", open=False, elem_id="play-box"):
            gr.HTML(note(_HELP), padding=False)
            self.panel = gr.HTML(PANEL, js_on_load=static_text("play.js"), padding=False, elem_id="play")
        self.parameters = gr.HTML(parameters_html((), False), visible="hidden", padding=False, elem_id="play-parameters")

    def wire(self) -> None:
        """Connect the panel with the recipe."""
        self.tab.live.scripted("play", self._move, 1)
        tab = self.tab
        outputs = [*tab.controls.outputs, *(part for panel in tab.panels for part in panel.outputs)]
        self.panel.release(friendly(self._settled), [tab.session, tab.controls.layers], outputs, **QUIET)

    @property
    def outputs(self) -> list[Any]:
        """Components that `values` sets."""
        return [self.parameters]

    def values(self, session: Session) -> Outputs:
        """The parameters of the session's recipe."""
        recipe = session.open()
        pins = self.tab.state_of(session).pins_of(recipe.model)
        found = parameters_of(self.tab.engine.facts(recipe.model), recipe)
        return {self.parameters: parameters_html(found, len(pins) > 1)}

    def _settled(self, session: Session, layers_choice: str) -> Outputs:
        """The other controls show where the movement ended."""
        shown = self.tab.controls.values(session.open(), layers_choice)
        for panel in self.tab.panels:
            shown |= panel.values(session)
        return shown

    def _move(self, session: Session, moves: Any) -> tuple[Recipe, str]:
        """Set parameters.  moves: [address, value] of each; 'walk' is a place on the way along the pins, 'pin' the number of one."""
        recipe = session.open()
        pins = self.tab.state_of(session).pins_of(recipe.model)
        facts = self.tab.engine.facts(recipe.model)
        if not isinstance(moves, list) or len(moves) > MAX_MOVES or not all(isinstance(m, list) and len(m) == 2 for m in moves):
            raise StudioError("The page sent moves that cannot be read.", "Reload it.")
        # A pin, and a place between pins, is a whole recipe: what else moves is set on top of it.
        for address, value in sorted(moves, key=lambda move: move[0] not in ("walk", "pin")):
            if not isinstance(address, str):
                raise StudioError(f"There is no parameter {short_repr(address)}.", "Reload the page.")
            if address == "pin":
                index = int(number(value, 0, 1e6, "The number of the pin"))
                recipe = pins[index % len(pins)] if pins else recipe
            elif address == "walk":
                place = number(value, 0, 1, "The place on the walk")
                recipe = walk_at(self.tab.engine, pins, place) if len(pins) > 1 else recipe
            elif address.startswith("bend.") and address not in map(bend_address, recipe.bends):
                continue  # it was removed while it played
            else:
                moved = parameter(address, facts)
                if not moved.available(facts):
                    raise StudioError(f"This model has no parameter {short_repr(address)}.", "Take its route out.")
                recipe = moved.set(recipe, value)
        return recipe, "play"
