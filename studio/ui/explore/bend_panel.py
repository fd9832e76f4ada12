"""Network bending in Explore: a layer with its picture, an operation, and the list of bends with a slider each."""

import dataclasses
import html
from typing import TYPE_CHECKING, Any

import gradio as gr

from studio.common.text import short_repr
from studio.engine.bend import Bend
from studio.engine.bend_parameters import bend_address, bend_parameter
from studio.engine.recipe import Recipe
from studio.errors import StudioError
from studio.latents.bending import OPERATIONS
from studio.latents.channels import ALL
from studio.ui.components.handlers import LIVE, QUIET, Outputs, event_value, friendly
from studio.ui.components.notes import note
from studio.ui.components.parameter_inputs import parameter_inputs
from studio.ui.explore.bend_view import CHANNEL_CHOICES, bends_html, layer_html
from studio.ui.session import Session

if TYPE_CHECKING:
    from studio.ui.explore.tab import ExploreTab

_HELP = (
    "<b>Network bending.</b> Change what the network computes inside, layer by layer: early layers (few pixels) hold shapes, late ones "
    "texture and colour."
)
_DIGITS = 5  # of the number of a channel


class BendPanel:
    """The panel. The sliders of its list are one control of the live channel, 'bend', with an address and an amount."""

    def __init__(self, tab: "ExploreTab"):
        self.tab = tab

    def build(self) -> None:
        """The panel, closed: while it is, no pictures of layers are made."""
        with gr.Accordion("Bend the network", open=False, elem_id="bend-box") as self.box:
            gr.HTML(note(_HELP), padding=False)
            self.list = parameter_inputs(bends_html((), 0), elem_id="bends")
            with gr.Row(equal_height=False):
                self.layer = gr.Dropdown([], label="Layer", elem_id="bend-layer", min_width=140)
                self.channel = gr.Textbox(
                    "", label="Look at one channel (its number)", max_length=_DIGITS, elem_id="bend-channel", min_width=140
                )
            self.picture = gr.HTML("", padding=False, elem_id="bend-picture")
            with gr.Row(equal_height=False):
                self.operation = gr.Dropdown(_operations(True), value="rotate", label="Operation", elem_id="bend-operation", min_width=140)
                self.channels = gr.Dropdown(
                    CHANNEL_CHOICES,
                    value=ALL,
                    allow_custom_value=True,
                    label="Channels, or type a range such as 0-7",
                    elem_id="bend-channels",
                    min_width=140,
                )
            self.add = gr.Button("Add bend", elem_id="bend-add")

    @property
    def outputs(self) -> list[Any]:
        """Components that `values` sets."""
        return [self.layer, self.channel, self.operation, self.list, self.picture]

    def values(self, session: Session) -> Outputs:
        """The panel as the session's recipe has it."""
        recipe, state = session.open(), self.tab.state_of(session)
        facts = self.tab.engine.facts(recipe.model)
        names = [layer.name for layer in facts.layers]
        if state.bend_layer not in names:
            state.bend_layer, state.bend_channel = names[len(names) // 2], None
        looked = self._look(session)  # may let go of the channel
        return {
            self.channel: "" if state.bend_channel is None else str(state.bend_channel),
            self.layer: gr.update(choices=[(f"{x.name} ({x.side} px)", x.name) for x in facts.layers], value=state.bend_layer),
            self.operation: gr.update(choices=_operations(facts.has_noise)),
            self.list: bends_html(recipe.bends, session.drawings[self.tab.live.element]),
            **looked,
        }

    # -- wiring --------------------------------------------------------------------------------------------------

    def wire(self) -> None:
        """Connect the panel with the recipe."""
        tab, s = self.tab, self.tab.session
        tab.live.scripted("bend", _move_bend, 2)
        tab.jump(self.add.click, self._add, [self.layer, self.operation, self.channels])
        tab.jump(self.list.select, self._press)
        self.box.expand(friendly(lambda session: self._open(session, True)), s, self.picture, **QUIET)
        self.box.collapse(friendly(lambda session: self._open(session, False)), s, self.picture, **QUIET)
        gr.on([self.layer.input, self.channel.change], friendly(self._choose), [s, self.layer, self.channel], self.picture, **LIVE)
        self.list.release(friendly(self._look), s, self.picture, **LIVE)

    def _open(self, session: Session, open: bool) -> Outputs:
        self.tab.state_of(session).bend_open = open
        return self._look(session)

    def _choose(self, session: Session, layer: Any, channel: Any) -> Outputs:
        state = self.tab.state_of(session)
        text = str(channel or "").strip()
        if text and not (text.isascii() and text.isdecimal() and len(text) <= _DIGITS):
            raise StudioError(f"The channel is {short_repr(text)}.", "Give its number, counted from 0, or nothing for all.")
        chosen = str(layer), int(text) if text else None
        shown = self._picture_of(session, *chosen) if state.bend_open else {}
        state.bend_layer, state.bend_channel = chosen  # only now: a layer or channel that is not there must not stay
        return shown

    def _look(self, session: Session) -> Outputs:
        """The picture of the chosen layer while the panel is open, or in its place why there is none. A channel that the layer does not
        have, as after a change of the model, is let go of.  Raises no StudioError: other controls are set together with this one.
        """
        state = self.tab.state_of(session)
        if not state.bend_open:
            return {}
        try:
            return self._picture_of(session, state.bend_layer, state.bend_channel)
        except StudioError as e:
            if state.bend_channel is None:
                return {self.picture: note(html.escape(str(e)))}
            state.bend_channel = None
            return self._look(session)

    def _picture_of(self, session: Session, layer: str, channel: int | None) -> Outputs:
        """The picture of a layer. Raises StudioError when there is no such layer or channel."""
        picture = self.tab.engine.layer_picture(session.open(), layer, channel, session.id)
        return {self.picture: layer_html(picture, layer, channel)}

    def _add(self, session: Session, layers_choice: str, layer: Any, operation: Any, channels: Any) -> Outputs:
        recipe = session.open()
        if operation not in OPERATIONS:
            raise StudioError("No operation is chosen.", "Choose one, such as Rotate.")
        new = Bend(layer, operation, OPERATIONS[operation].start, channels)
        if any(bend.key == new.key for bend in recipe.bends):
            raise StudioError("This bend is in the list already.", "Move its slider, or choose other channels.")
        return self.tab.go(session, layers_choice, recipe.replace(bends=(*recipe.bends, new)))

    def _press(self, session: Session, layers_choice: str, event: gr.EventData) -> Outputs:
        """A button in the list."""
        recipe, index, act = session.open(), event_value(event, "index"), event_value(event, "act")
        bends = list(recipe.bends)
        if type(index) is not int or not 0 <= index < len(bends):
            raise StudioError("That bend is no longer here.", "Reload the page.")
        if act == "remove":
            del bends[index]
        else:
            bends[index] = dataclasses.replace(bends[index], muted=not bends[index].muted)
        return self.tab.go(session, layers_choice, recipe.replace(bends=tuple(bends)))


def _operations(noise: bool) -> list[tuple[str, str]]:
    """(label, name) of the operations.  noise: whether the model has noise that they could change."""
    return [(o.label, o.name) for o in OPERATIONS.values() if noise or o.apply is not None]


def _move_bend(session: Session, address: Any, amount: Any) -> tuple[Recipe, str]:
    """Dragging the slider of a bend that is in the list."""
    recipe = session.open()
    if not isinstance(address, str) or address not in map(bend_address, recipe.bends):
        raise StudioError("That bend is no longer here.", "Reload the page.")
    return bend_parameter(address, None).set(recipe, amount), address
