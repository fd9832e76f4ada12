"""Several seeds in one picture, in Explore: each in an area with a soft edge."""

import html
from typing import TYPE_CHECKING, Any

import gradio as gr
import numpy as np
from PIL import Image

from studio.engine.area import MASK_SIDE, Area, pack_mask
from studio.engine.area_parameters import area_addresses
from studio.engine.parameters import parameter
from studio.engine.recipe import Recipe
from studio.errors import StudioError
from studio.ui.components.handlers import Outputs, event_value
from studio.ui.components.notes import note
from studio.ui.components.parameter_inputs import input_row, inputs_html, parameter_inputs
from studio.ui.explore.given_picture import given_picture
from studio.ui.session import Session

if TYPE_CHECKING:
    from studio.ui.explore.tab import ExploreTab

_HELP = "<b>Several seeds in one picture.</b> Another seed takes over in a part of it; all layers grow together."
_CHOICES = [("Left to right", "gradient"), ("Circle in the middle", "circle")]
_WORDS = {"gradient": "gradient", "circle": "circle", "mask": "mask from a picture"}


class AreaPanel:
    """The panel. The inputs of its areas are one control of the live channel, 'area', with an address and a value."""

    def __init__(self, tab: "ExploreTab"):
        self.tab = tab

    def build(self) -> None:
        """The panel, closed at first; hidden where the model cannot."""
        with gr.Accordion("Several seeds in one picture", open=False, elem_id="area-box") as self.box:
            gr.HTML(note(_HELP), padding=False)
            self.list = parameter_inputs("", elem_id="areas")
            with gr.Row(equal_height=False):
                self.seed = gr.Number(1, label="Other seed", precision=0, minimum=0, elem_id="area-seed", min_width=100)
                self.shape = gr.Dropdown(_CHOICES, value="gradient", label="Where", elem_id="area-shape", min_width=140)
            with gr.Row():
                self.add = gr.Button("Add it", elem_id="area-add", min_width=100)
                self.mask = gr.UploadButton("Add it by a mask", file_types=["image"], elem_id="area-mask", min_width=100)

    @property
    def outputs(self) -> list[Any]:
        """Components that `values` sets."""
        return [self.box, self.list]

    def values(self, session: Session) -> Outputs:
        """The panel as the session's recipe has it."""
        recipe = session.open()
        can = self.tab.engine.facts(recipe.model).resizable
        return {self.box: gr.update(visible=can), self.list: areas_html(recipe, session.drawings[self.tab.live.element])}

    def wire(self) -> None:
        """Connect the panel with the recipe."""
        tab = self.tab
        tab.live.scripted("area", _move, 2)
        tab.jump(self.add.click, self._add, [self.seed, self.shape])
        tab.jump(self.mask.upload, self._add_mask, [self.mask, self.seed])
        tab.jump(self.list.select, self._remove)

    def _add(self, session: Session, layers_choice: str, seed: Any, shape: Any) -> Outputs:
        area = Area(seed, shape, at=0.3, softness=0.3) if shape == "circle" else Area(seed, shape)
        return self._with(session, layers_choice, area)

    def _add_mask(self, session: Session, layers_choice: str, file: str, seed: Any) -> Outputs:
        grey = Image.fromarray(given_picture(file, "mask")).convert("L").resize((MASK_SIDE, MASK_SIDE), Image.Resampling.BOX)
        return self._with(session, layers_choice, Area(seed, "mask", mask=pack_mask(np.asarray(grey))))

    def _with(self, session: Session, layers_choice: str, area: Area) -> Outputs:
        recipe = session.open()
        return self.tab.go(session, layers_choice, recipe.replace(areas=(*recipe.areas, area)))

    def _remove(self, session: Session, layers_choice: str, event: gr.EventData) -> Outputs:
        recipe, index = session.open(), event_value(event, "index")
        if type(index) is not int or not 0 <= index < len(recipe.areas):
            raise StudioError("That area is no longer here.", "Reload the page.")
        return self.tab.go(session, layers_choice, recipe.replace(areas=(*recipe.areas[:index], *recipe.areas[index + 1 :])))


def areas_html(recipe: Recipe, number: int) -> str:
    """Every area with its sliders.  number: of the drawing."""
    rows = []
    for i, area in enumerate(recipe.areas):
        title = html.escape(f"Seed {area.seed}, {_WORDS[area.shape]}")
        remove = f'<button type="button" data-act="remove" aria-label="Remove: {title}">Remove</button>'
        # The seed is a number to type, not a slider: another one is another area.
        moved = [parameter(address) for address in area_addresses(i, area) if not address.endswith(".seed")]
        inside = "".join(input_row(p, recipe) for p in moved)
        head = f'<div class="row"><div class="name">{title}</div><span></span>{remove}</div>'
        rows.append(f'<div class="card" data-i="{i}">{head}{inside}</div>')
    return inputs_html("area", number, rows)


def _move(session: Session, address: Any, value: Any) -> tuple[Recipe, str]:
    """Dragging one of the inputs."""
    recipe = session.open()
    there = [known for i, area in enumerate(recipe.areas) for known in area_addresses(i, area)]
    if not isinstance(address, str) or address not in there:
        raise StudioError("That area is no longer here.", "Reload the page.")
    return parameter(address).set(recipe, value), address
