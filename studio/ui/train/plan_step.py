"""Step 2 of Train: choices from which the plan of a training is built."""

from collections.abc import Mapping
from typing import Any

import gradio as gr

from studio.datasets.store import DataSetStore
from studio.engine.engine import Engine
from studio.errors import StudioError
from studio.imaging.colour import parse_colour
from studio.jobs.launchers.local import LocalLauncher
from studio.jobs.supervisor import Supervisor
from studio.models.folder import ModelInfo
from studio.networks import get_family
from studio.training.methods import GOALS, Method, get_method, method_fits
from studio.training.plan_builder import PlanChoices, draft_plan, estimate_plan_seconds, find_base
from studio.training.plan_checks import family_config
from studio.training.presets import PRESETS, method_for
from studio.ui.components.handlers import QUIET, Outputs, friendly
from studio.ui.components.notes import note
from studio.ui.components.training_set_view import hex_colour
from studio.ui.components.work_progress import duration
from studio.ui.train.methods_view import advice_html, method_choices
from studio.ui.train.upscaler_view import amount_html, example_html

_SCRATCH = ""  # stands for 'from scratch' among the models to start from
_FACTORS = [(f"{n} times", n) for n in (2, 3, 4)]
_WEIGHT_LABELS = {
    "lambda_cycle": "Faithfulness: how well the way back must lead to the original (lambda cycle)",
    "lambda_nce": "Faithfulness: how much each place must keep its content (lambda NCE)",
    "lambda_l1": "Faithfulness: how close it must be to the paired picture (lambda L1)",
    "lambda_adversarial": "Boldness: how much detail it may invent (lambda adversarial)",
}
# Fields of PlanChoices that are numbers under Advanced -> (end of the elem_id, label, visible at first).
_ADVANCED = {
    "kimg": ("kimg", "Length: thousands of pictures shown (kimg)", True),
    "r1_gamma": ("gamma", "Stability: weight of the gradient penalty (R1 gamma)", True),
    "batch": ("batch", "Pictures per step (batch size)", True),
    "ada_target": ("target", "Against overfitting: how readily pictures are augmented (ADA target)", True),
    "freeze_d": ("freeze", "Frozen layers of the discriminator (FreezeD)", True),
    "tunable_weight": ("faith", _WEIGHT_LABELS["lambda_cycle"], False),
    "lambda_identity": ("identity", "Leave alone what already fits (lambda identity)", False),
    "patch": ("patch", "Patch size: side of the pieces it learns from, in pixels", False),
}
_GENERATOR_FIELDS = ("r1_gamma", "ada_target", "freeze_d")


class PlanStep:
    """The page "2 What to make"."""

    def __init__(self, engine: Engine, supervisor: Supervisor, datasets: DataSetStore):
        self.engine, self.supervisor, self.datasets = engine, supervisor, datasets

    def build(self) -> None:
        """The page, inside the current Tab."""
        with gr.Row(equal_height=False):
            with gr.Column(scale=5, min_width=300):
                methods = method_choices(GOALS[0].name, everything=False)
                self.method = gr.Radio(
                    methods,
                    value=methods[0][1],
                    label="Training method (network and loss)",
                    elem_id="train-family",
                    elem_classes="gs-cards",
                )
                self.more = gr.Button("Show the simpler and older methods too", size="sm", elem_id="train-more")
                with gr.Accordion("Which one should I use?", open=False, elem_id="train-advice"):
                    gr.HTML(advice_html(), padding=False)
            with gr.Column(scale=5, min_width=300):
                self._build_settings()

    def _build_settings(self) -> None:
        self.base = gr.Dropdown(
            [],
            label="Start from (fine-tuning)",
            elem_id="train-base",
            info="A model that already does something similar needs fewer pictures and less time.",
        )
        self.resolution = gr.Dropdown(
            list(get_method(self.method.value).resolutions),
            value=64,
            label="Size: width and height in pixels (resolution)",
            elem_id="train-side",
        )
        self.factor = gr.Radio(
            _FACTORS, value=2, label="Scale factor: how many times as wide and high", visible=False, elem_id="train-factor"
        )
        self.example = gr.HTML(padding=False, elem_id="train-larger")
        self.preset = gr.Radio(
            [(f"{p.label}\n{p.sentence[0].upper()}{p.sentence[1:]}", p.name) for p in PRESETS],
            value=PRESETS[0].name,
            label="How patient are you? (length of the training)",
            elem_id="train-preset",
            elem_classes="gs-cards",
        )
        self.estimate = gr.HTML(padding=False, elem_id="train-estimate")
        self.classes = gr.Checkbox(False, label="Also learn the classes, the kinds of pictures (class-conditional)", visible=False)
        self.title = gr.Textbox("", label="Name of the model", elem_id="train-name")
        self.licence = gr.Textbox("", label="Licence of the model, if you want to share it", placeholder="CC-BY-4.0")
        with gr.Accordion("Advanced", open=False):
            gr.HTML(note("Fields left empty follow from the choices above."), padding=False)
            # Text fields: a number field would show an empty value as 0, and send it.
            self.advanced = {
                name: gr.Textbox("", label=label, placeholder="automatic", max_lines=1, elem_id=f"train-{id}", visible=visible)
                for name, (id, label, visible) in _ADVANCED.items()
            }
            self.seed = gr.Number(0, label="Random seed", precision=0, minimum=0)
        self.start = gr.Button("Start training", variant="primary", elem_id="train-start")

    @property
    def inputs(self) -> list:
        """Components that `choices` reads."""
        settings = [self.method, self.base, self.resolution, self.factor, self.preset, self.classes, self.title, self.licence, self.seed]
        return [*settings, *self.advanced.values()]

    @property
    def outputs(self) -> list:
        """Components that depend on the method."""
        fields = [self.advanced[name] for name in (*_GENERATOR_FIELDS, "tunable_weight", "lambda_identity", "patch")]
        return [self.more, self.method, self.base, self.resolution, self.factor, self.classes, *fields]

    def wire(self, set_a: gr.Dropdown, background: gr.ColorPicker, chosen: list) -> None:
        """Connect the events of the page.  chosen: events outside of it after which another method may be selected."""
        self.more.click(friendly(self._show_all), set_a, [self.method, self.more], **QUIET)
        chosen = [
            *chosen,
            self.method.input(friendly(self.choose_method), [self.method, set_a], self.outputs, **QUIET),
            self.base.input(friendly(self._follow_base), [self.base, self.method], [self.resolution, self.factor], **QUIET),
        ]
        numbers = [self.advanced["kimg"], self.advanced["batch"], self.advanced["patch"]]
        estimate = {"fn": friendly(self.estimate_html), "inputs": set(self.inputs), "outputs": self.estimate, **QUIET}
        example = {"fn": friendly(self._example), "inputs": {set_a, background, *self.inputs}, "outputs": self.example, **QUIET}
        self._set_a, self._background = set_a, background
        # Not whenever a value changes: in between, one of the values may still belong to the previous method.
        for event in chosen:
            event.success(**estimate)
            event.success(**example)
        gr.on([self.resolution.input, self.factor.input, self.preset.input, *(field.blur for field in numbers)], **estimate)
        gr.on([set_a.change, self.factor.input, self.advanced["patch"].blur, background.input], **example)

    # -- methods and models to start from ------------------------------------------------------------------------

    def suggest(self, goal: str, set_id: str | None) -> Outputs:
        """Select the method that suits the goal and the training set."""
        suits = self._suiting(set_id) if goal == "draw" else None
        choices = method_choices(goal, False, suits)
        method = suits or choices[0][1]
        return {
            self.more: gr.update(visible=goal == "draw"),
            self.method: gr.update(choices=choices, value=method),
            **self.choose_method(method, set_id),
        }

    def _suiting(self, set_id: str | None) -> str | None:
        return method_for(self.datasets.get(set_id).count) if set_id else None

    def _show_all(self, set_id: str | None) -> Outputs:
        choices = method_choices("draw", True, self._suiting(set_id))
        return {self.method: gr.update(choices=choices), self.more: gr.update(visible=False)}

    def choose_method(self, name: str, set_id: str | None) -> Outputs:
        """Show the settings of the method, with the first model to start from selected."""
        method = get_method(name)
        weight = self.advanced["tunable_weight"]
        return {
            **self._start_points(method),
            self.classes: self._classes_update(method, set_id),
            **{self.advanced[field]: gr.update(visible=method.generates) for field in _GENERATOR_FIELDS},
            weight: gr.update(visible=bool(method.tunable_weight), label=_WEIGHT_LABELS.get(method.tunable_weight, weight.label)),
            self.advanced["lambda_identity"]: gr.update(visible=method.goal == "restyle"),
            self.advanced["patch"]: gr.update(visible=method.upscales),
        }

    def _start_points(self, method: Method) -> Outputs:
        bases = self.bases(method.name)
        if method.upscales:
            factor = gr.update(visible=True, interactive=True, value=2)
            return {**bases, self.resolution: gr.update(visible=False), self.factor: factor}
        models = self._models_of(method) if method.generates else []
        wanted = models[0].resolution if models else self._default_resolution(method)
        sizes = method.resolutions
        resolution = wanted if wanted in sizes else max(s for s in sizes if s <= max(wanted, sizes[0]))
        return {
            **bases,
            self.resolution: gr.update(choices=list(sizes), value=resolution, visible=True),
            self.factor: gr.update(visible=False),
        }

    def bases(self, name: str, chosen: str | None = None) -> Outputs:
        """Update of the models to start from; the first is selected when `chosen` is not among them."""
        method = get_method(name)
        choices = [
            (f"{m.title} ({m.scale} times)" if method.upscales else f"{m.title} ({m.resolution} px)", m.id) for m in self._models_of(method)
        ]
        # What another translator has learned helps only if the tasks are alike, and it may be large and slow, as an upscaler may be:
        # both start from scratch by default.
        choices.insert(len(choices) if method.generates else 0, ("From scratch", _SCRATCH))
        return {self.base: gr.update(choices=choices, value=chosen if chosen in [id for _, id in choices] else choices[0][1])}

    def _models_of(self, method: Method) -> list[ModelInfo]:
        config = get_family(method.family).config
        return [m for m in self.engine.library.scan()[0] if m.family == method.family and method_fits(method, config(**m.config))]

    def _default_resolution(self, method: Method) -> int:
        return (128 if method.translates else 64) if self.engine.device.type == "cpu" else 256

    def _classes_update(self, method: Method, set_id: str | None) -> dict[str, Any]:
        several = bool(set_id) and len(self.datasets.get(set_id).classes) > 1
        able = get_family(method.family).classes and method.objective.get("discriminator") != "projected"
        return gr.update(visible=several and able, value=method.needs_classes, interactive=not method.needs_classes)

    def _follow_base(self, base: str, name: str) -> Outputs:
        """Take over the resolution or the scale factor of the model to start from."""
        model, method = self.engine.library.get(base) if base else None, get_method(name)
        if method.upscales:
            return {self.factor: gr.update(value=model.scale, interactive=False) if model else gr.update(interactive=True)}
        return {self.resolution: model.resolution if model else self._default_resolution(method)}

    # -- what the choices amount to ------------------------------------------------------------------------------

    def choices(self, values: Mapping[Any, Any], **more: Any) -> PlanChoices:
        """The choices on the page.  values: component -> value, of `inputs`.  more: choices made on other pages.

        Raises StudioError when an advanced field is not a number.
        """
        return PlanChoices(
            method=values[self.method],
            base=values[self.base] or "",
            resolution=int(values[self.resolution] or 0),
            factor=int(values[self.factor] or 0),
            preset=values[self.preset],
            classes=bool(values[self.classes]),
            title=values[self.title],
            licence=values[self.licence],
            seed=int(values[self.seed] or 0),
            device=self.engine.device.type,
            **{name: _number(str(field.label), values[field]) for name, field in self.advanced.items()},
            **more,
        )

    def estimate_html(self, values: Mapping[Any, Any]) -> str:
        """How long the training will take; empty when that is unknown."""
        here = self.engine.device.type == "cpu" and isinstance(self.supervisor.launcher, LocalLauncher)
        method = get_method(values[self.method])
        if not here or method.generates or not (values[self.resolution] or method.upscales):
            return ""
        try:
            seconds = estimate_plan_seconds(self.choices(values), self.engine.library)
        except (StudioError, ValueError):
            return ""  # pressing Start reports what is wrong
        if seconds is None:
            return ""
        return note(
            f"<b>{duration(seconds).capitalize()}</b> on this machine if nothing else is running. You can stop earlier, and keep any "
            "snapshot."
        )

    def _example(self, values: Mapping[Any, Any]) -> str:
        return self.example_html(values, values[self._set_a], values[self._background])

    def example_html(self, values: Mapping[Any, Any], set_id: str | None, background: str) -> str:
        """Whether the pictures suffice for an upscaler, and examples of what it learns; empty for other methods."""
        if not get_method(values[self.method]).upscales or not any(x.id == set_id for x in self.datasets.list()):
            return ""
        choices, stored = self.choices(values), self.datasets.get(str(set_id))
        base = find_base(choices, self.engine.library)
        plan = draft_plan(choices, base)
        patch, factor = plan.data.resolution, family_config(plan, base).scale
        examples = example_html(stored, patch, factor, plan.data.degrade, parse_colour(hex_colour(background)))
        return amount_html(stored, patch) + examples

    def default_amount_html(self, set_id: str) -> str:
        """Whether the pictures of a set suffice for the upscaler that is suggested first."""
        choices = PlanChoices(method_choices("upscale", False)[0][1], device=self.engine.device.type)
        return amount_html(self.datasets.get(set_id), draft_plan(choices, None).data.resolution)


def _number(label: str, text: str | None) -> float | None:
    """The number in an advanced field, None when it is empty. Raises StudioError for anything but a number of 0 or more."""
    if not text or not text.strip():
        return None
    try:
        value = float(text.strip().replace(",", "."))
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise StudioError(f"'{text[:20]}' is not a number for '{label}'.", "Enter one such as 0.5 or 12, or leave the field empty.")
    return value
