"""Colour and canvas in Explore: what is done to the picture after the network, its shape, and how it repeats."""

import dataclasses
import itertools
from typing import TYPE_CHECKING, Any

import gradio as gr

from studio.engine.colour_grade import colour_names
from studio.engine.model_facts import ModelFacts
from studio.engine.parameters import TABLE
from studio.engine.picture_parameters import CANVAS_PARAMETERS, COLOUR_PARAMETERS
from studio.engine.recipe import Recipe
from studio.errors import StudioError
from studio.imaging.grading import palette_of
from studio.ui.components.handlers import QUIET, Outputs, friendly
from studio.ui.components.parameter_inputs import input_row, inputs_html, parameter_inputs
from studio.ui.explore.given_picture import given_picture
from studio.ui.session import Session

if TYPE_CHECKING:
    from studio.ui.explore.tab import ExploreTab

_ADDRESSES = {p.address for p in (*COLOUR_PARAMETERS, *CANVAS_PARAMETERS)}
_drawings = itertools.count(1)  # of the panels: equal HTML would not be drawn anew


class PicturePanel:
    """Both panels, closed at first. All their inputs are one control of the live channel, 'picture', with an address and a value."""

    def __init__(self, tab: "ExploreTab"):
        self.tab = tab

    def build(self) -> None:
        """The panels."""
        with gr.Accordion("Colour", open=False, elem_id="colour-box"):
            self.colour = parameter_inputs("", elem_id="colour")
            self.palette = gr.UploadButton("Palette from a picture", file_types=["image"], size="sm", elem_id="palette")
        with gr.Accordion("Canvas: kaleidoscope, size, tiles", open=False, elem_id="canvas-box"):
            self.canvas = parameter_inputs("", elem_id="canvas")

    @property
    def outputs(self) -> list[Any]:
        """Components that `values` sets."""
        return [self.colour, self.canvas]

    def values(self, session: Session) -> Outputs:
        """The panels as the session's recipe has it."""
        recipe = session.open()
        facts = self.tab.engine.facts(recipe.model)
        number = next(_drawings)
        return {self.colour: _colour_html(recipe, number), self.canvas: _canvas_html(recipe, facts, number)}

    def wire(self) -> None:
        """Connect the panels with the recipe."""
        self.tab.live.scripted("picture", _move, 2)
        for part in self.outputs:  # a value that was refused does not stay on the page
            part.release(friendly(lambda session, part=part: {part: self.values(session)[part]}), self.tab.session, part, **QUIET)
        self.tab.jump(self.palette.upload, self._take_palette, [self.palette])
        self.tab.jump(self.colour.select, lambda session, layers: self._with_palette(session, layers, ()))

    def _take_palette(self, session: Session, layers_choice: str, file: str) -> Outputs:
        return self._with_palette(session, layers_choice, colour_names(palette_of(given_picture(file, "palette"))))

    def _with_palette(self, session: Session, layers_choice: str, palette: tuple[str, ...]) -> Outputs:
        recipe = session.open()
        return self.tab.go(session, layers_choice, recipe.replace(colour=dataclasses.replace(recipe.colour, palette=palette)))


def _colour_html(recipe: Recipe, number: int) -> str:
    palette = recipe.colour.palette
    rows = [input_row(p, recipe) for p in COLOUR_PARAMETERS if palette or p.address != "colour.palette_strength"]
    if palette:
        swatches = "".join(f'<i style="background:{colour}" title="{colour}"></i>' for colour in palette)
        rows.append(f'<div class="swatches">{swatches}<button type="button" data-act="remove">Remove palette</button></div>')
    return inputs_html("picture", number, rows)


def _canvas_html(recipe: Recipe, facts: ModelFacts, number: int) -> str:
    return inputs_html("picture", number, [input_row(p, recipe) for p in CANVAS_PARAMETERS if p.available(facts)])


def _move(session: Session, address: Any, value: Any) -> tuple[Recipe, str]:
    """Dragging one of the inputs."""
    if not isinstance(address, str) or address not in _ADDRESSES:
        raise StudioError("The page has a control that the studio does not know.", "Reload it.")
    return TABLE[address].set(session.open(), value), address
