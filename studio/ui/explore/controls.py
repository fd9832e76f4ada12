"""Controls of Explore: everything that moves a parameter of the recipe."""

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import gradio as gr

from studio.engine.model_facts import ModelFacts
from studio.engine.parameters import (
    LAYER_CHOICES,
    TABLE,
    chosen_layers,
    edit_address,
    pad_position,
    parameter,
)
from studio.engine.recipe import Recipe
from studio.errors import StudioError
from studio.latents.layer_ranges import LAYER_RANGE_NAMES
from studio.ui.components.handlers import QUIET, Outputs, friendly
from studio.ui.components.notes import note
from studio.ui.components.pad import pad, pad_html
from studio.ui.components.parameter_controls import parameter_choice, parameter_number, parameter_slider
from studio.ui.session import Session

if TYPE_CHECKING:
    from studio.ui.explore.tab import ExploreTab

DIRECTION_SLIDERS = 8
_TRANSFORM = ("transform.x", "transform.y", "transform.rotate")
_PAD = "<b>Wander nearby.</b> Drag the dot: the middle is this seed, the edges are its neighbours."


class Controls:
    """Class, seed, truncation, directions, transform, noise and pad. They set parameters (studio.engine.parameters), and show their
    values when another recipe is opened."""

    def __init__(self, tab: "ExploreTab"):
        self.tab = tab

    # -- what is on the page -------------------------------------------------------------------------------------

    def build(self) -> None:
        """The column beside the picture."""
        self.classes = gr.Dropdown([], label=TABLE["class"].label, visible=False, elem_id="class")
        with gr.Row():
            self.seed = parameter_number(TABLE["seed"], elem_id="seed")
        self.psi = parameter_slider(TABLE["psi"], elem_id="psi")
        gr.HTML(note("<b>Directions.</b> Each slider pulls the picture in its own direction."), padding=False)
        self.layers = gr.Radio(list(LAYER_CHOICES), value=LAYER_CHOICES[0], label="What the sliders change (layers)", elem_id="layers")
        self._build_directions()
        with gr.Group(visible=False) as self.transform_box:
            gr.HTML(note("<b>Position (transform).</b> Move and turn the picture."), padding=False)
            with gr.Row(equal_height=True):
                right = parameter_slider(TABLE["transform.x"], elem_id="place-x", min_width=150)
                down = parameter_slider(TABLE["transform.y"], elem_id="place-y", min_width=150)
            turn = parameter_slider(TABLE["transform.rotate"], elem_id="place-rotate")
            self.transform = dict(zip(_TRANSFORM, (right, down, turn), strict=True))
        self.reset = gr.Button("Reset all sliders", size="sm", elem_id="reset")
        with gr.Accordion("Fine grain (noise)", open=False, elem_id="noise-box") as self.noise_box:
            self.noise_mode = parameter_choice(TABLE["noise.mode"], elem_id="noise-mode")
            self.noise_strength = parameter_slider(TABLE["noise.strength"], elem_id="noise-strength")
            self.noise_seed = parameter_number(TABLE["noise.seed"])

    def _build_directions(self) -> None:
        unnamed = parameter("edit.direction")
        self.directions: list[gr.Slider] = []
        for i in range(0, DIRECTION_SLIDERS, 2):
            with gr.Row(equal_height=True):
                for j in (i, i + 1):
                    options: dict[str, Any] = {"label": f"Direction {j + 1}", "elem_id": f"direction-{j}", "min_width": 150}
                    self.directions.append(parameter_slider(unnamed, explain=False, **options))

    def build_pad(self) -> None:
        """The pad, below the picture."""
        gr.HTML(note(_PAD), padding=False)
        self.pad = pad(elem_id="pad")

    @property
    def outputs(self) -> list[Any]:
        """Components that `values` sets."""
        return [
            self.classes,
            self.seed,
            self.psi,
            self.layers,
            *self.directions,
            self.pad,
            self.noise_box,
            self.noise_mode,
            self.noise_strength,
            self.noise_seed,
            self.transform_box,
            *self.transform.values(),
        ]

    def values(self, recipe: Recipe, layers_choice: str) -> Outputs:
        """All controls as the recipe has them.  layers_choice: one of LAYER_CHOICES, whose edits the sliders show."""
        facts = self.tab.engine.facts(recipe.model)
        classes = gr.update(visible=False)
        if facts.classes:
            choices = [(name, i) for i, name in enumerate(facts.classes)]
            classes = gr.update(choices=choices, value=TABLE["class"].get(recipe), visible=True)
        return {
            self.classes: classes,
            self.seed: recipe.seed,
            self.psi: recipe.psi,
            self.layers: gr.update(value=layers_choice, visible=facts.num_ws >= len(LAYER_RANGE_NAMES)),
            **self._direction_values(facts, recipe, layers_choice),
            self.pad: pad_html(*pad_position(recipe)),
            self.noise_box: gr.update(visible=facts.has_noise),
            self.noise_mode: recipe.noise.mode,
            self.noise_strength: recipe.noise.strength,
            self.noise_seed: recipe.noise.seed,
            self.transform_box: gr.update(visible=TABLE["transform.x"].available(facts)),
            **{slider: TABLE[address].get(recipe) for address, slider in self.transform.items()},
        }

    def _direction_values(self, facts: ModelFacts, recipe: Recipe, layers_choice: str) -> Outputs:
        addresses = self._addresses(facts, layers_choice)
        shown: Outputs = {slider: gr.update(visible=False) for slider in self.directions}
        for slider, address in zip(self.directions, addresses, strict=False):
            moved = parameter(address, facts)
            shown[slider] = gr.update(value=moved.get(recipe), label=moved.label, visible=True)
        return shown

    def _addresses(self, facts: ModelFacts, layers_choice: str) -> list[str]:
        """The parameter of each slider in use."""
        layers = chosen_layers(layers_choice, facts.num_ws)
        return [edit_address(name, layers) for name in list(facts.directions)[:DIRECTION_SLIDERS]]

    # -- wiring --------------------------------------------------------------------------------------------------

    def wire(self) -> None:
        """Connect the controls with the recipe."""
        tab, s, live = self.tab, self.tab.session, self.tab.live
        for address, slider in {"psi": self.psi, "noise.strength": self.noise_strength, **self.transform}.items():
            live.slider(slider, self._mover(address))
        for i, slider in enumerate(self.directions):
            live.slider(slider, self._direction_mover(i), [self.layers])
        live.scripted("pad", _move_pad, 2)
        tab.change(self.noise_mode.input, self._setter("noise.mode"), [self.noise_mode])
        left = functools.partial(gr.on, [self.noise_seed.submit, self.noise_seed.blur])
        tab.change(left, self._setter("noise.seed"), [self.noise_seed])
        tab.change(self.classes.input, self._setter("class"), [self.classes])
        self.layers.input(friendly(self._show_layers), [s, self.layers], self.directions, **QUIET)

    def _setter(self, address: str) -> Callable[..., Outputs]:
        """A handler that sets a parameter, as a step of the history."""

        def set_parameter(session: Session, value: Any) -> Outputs:
            drawn = self.tab.try_recipe(session, parameter(address).set(session.open(), value), address)
            session.commit()
            return drawn

        return set_parameter

    @staticmethod
    def _mover(address: str) -> Callable[[Session, Any], tuple[Recipe, str]]:
        """What dragging a parameter does to the recipe."""
        return lambda session, value: (parameter(address).set(session.open(), value), address)

    def _direction_mover(self, i: int) -> Callable[[Session, Any, Any], tuple[Recipe, str]]:
        """What dragging a direction's slider does to the recipe, in the layers that are chosen."""

        def move(session: Session, value: Any, layers_choice: Any) -> tuple[Recipe, str]:
            recipe = session.open()
            facts = self.tab.engine.facts(recipe.model)
            addresses = self._addresses(facts, layers_choice if layers_choice in LAYER_CHOICES else LAYER_CHOICES[0])
            if i >= len(addresses):
                raise StudioError(f"This model has {len(addresses)} directions.", "Reload the page.")
            return parameter(addresses[i], facts).set(recipe, value), addresses[i]

        return move

    def _show_layers(self, session: Session, layers_choice: str) -> Outputs:
        """The sliders show what they have done to the chosen layers."""
        recipe = session.open()
        facts = self.tab.engine.facts(recipe.model)
        values = [parameter(address, facts).get(recipe) for address in self._addresses(facts, layers_choice)]
        return dict(zip(self.directions, values + [0] * (DIRECTION_SLIDERS - len(values)), strict=True))


def _move_pad(session: Session, x: Any, y: Any) -> tuple[Recipe, str]:
    recipe = session.open()
    for axis, value in (("x", x), ("y", y)):
        recipe = TABLE[f"pad.{axis}"].set(recipe, value)
    return recipe, "pad"
