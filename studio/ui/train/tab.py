"""Train: from one's own pictures to a model of one's own, in four steps. Work goes on when the page is closed."""

import dataclasses
import html
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field

import gradio as gr
import pandas as pd
import torch

from studio.common.files import atomic_folder
from studio.datasets.pairs import find_pairs
from studio.datasets.rights import most_restrictive
from studio.datasets.store import DataSet, DataSetStore
from studio.engine.engine import Engine
from studio.errors import StudioError
from studio.imaging.colour import parse_colour
from studio.jobs.launchers.local import LocalLauncher
from studio.jobs.queue import Job
from studio.jobs.supervisor import Supervisor
from studio.metrics.registry import summary
from studio.models.folder import ModelInfo, open_folder, safe_name
from studio.networks import get_family
from studio.training.methods import GOALS, get_goal, get_method, method_fits
from studio.training.plan import Plan
from studio.training.plan_checks import check_plan, choose_precision, family_config
from studio.training.presets import PRESETS, estimate_seconds, learning_classes, method_for, preset_plan
from studio.training.presets_super_resolution import estimate_upscaler_seconds, preset_upscaler_plan
from studio.training.run_history import RunHistory, Snapshot
from studio.ui.components.handlers import QUIET, friendly
from studio.ui.components.notes import empty_html, note
from studio.ui.components.pictures import file_url
from studio.ui.components.press_grid import cells_html, press_grid
from studio.ui.components.progress import duration
from studio.ui.components.targets import Opening
from studio.ui.components.upload_zone import LIVE_STATES, WHOLE, UploadZone, hex_colour
from studio.ui.session import Session
from studio.ui.train.methods_view import advice_html, kind_choices
from studio.ui.train.translation_view import preview_html
from studio.ui.train.upscaler_view import enough_html, example_html, fitting
from studio.ui.train.watch_view import (
    CURVES,
    KEEP_AT_JS,
    KEEP_JOB_JS,
    KEPT_JS,
    PLOT,
    STATES,
    around,
    best_words,
    long_form,
    measured,
    sheet_html,
    thousands,
)

_SIDES = [32, 64, 128, 256, 512, 1024]
_FACTORS = [(f"{n} times", n) for n in (2, 3, 4)]
_NOTHING = ""  # stands for 'from nothing' among the models to start from
_CROPS = [("Centre", "centre"), ("Smart: where most is to see", "smart"), ("Fit: whole, on a ground", "fit")]
_NO_JOB = (
    "Nothing is being trained yet. Take pictures in under <b>1 Pictures</b>, then press <b>Start training</b> under <b>2 What to make</b>."
)
_NO_MOMENT = "The first moment appears here when the training has made one."
_INTRO = (
    "<b>{}.</b> Files, a zip with folders, or a video, from which frames are taken. A few dozen are enough to begin; a few "
    "hundred are better."
)
# Labels of the curves that say how well a translator holds what must stay.
_HELD = {
    "cycle": "there and back again (cycle)",
    "identity": "left as it is (identity)",
    "nce": "same content in each place (nce)",
    "l1": "distance to what was wanted (L1)",
    "mse": "distance to what was wanted (squared)",
}
_FAITH = {
    "lambda_cycle": "Faithfulness: how surely the way back must lead home (lambda cycle)",
    "lambda_nce": "Faithfulness: how much each place must keep its content (lambda NCE)",
    "lambda_l1": "Faithfulness: how near it must be to the partner (lambda L1)",
    "lambda_adversarial": "Boldness: how much it may make up (lambda adversarial)",
}


@dataclass
class TrainVisit:
    """What one visitor does here."""

    follow: bool = True  # the timeline shows the newest moment
    at: int = 0  # otherwise: index of the sheet that is shown
    drawn: tuple = ()  # what the watch page shows now
    moments: list[Snapshot] = field(default_factory=list)
    suited: bool = False  # the kind of model was chosen for the pictures; from then on it is the visitor's choice


class TrainTab:
    """Builds the tab inside the current Blocks.

    tabs: the outer tabs, and openings: those of them, built before, where a model that was made here can be opened.
    datasets: the store of image sets.  supervisor: the queue.
    """

    def __init__(
        self,
        engine: Engine,
        session: gr.State,
        tabs: gr.Tabs,
        supervisor: Supervisor,
        datasets: DataSetStore,
        openings: Sequence[Opening] = (),
    ):
        self.engine, self.session, self.tabs = engine, session, tabs
        self.supervisor, self.datasets = supervisor, datasets
        self.openings = openings
        self.a = UploadZone(datasets, supervisor, session, "train", "gs-a")
        self.b = UploadZone(datasets, supervisor, session, "train-b", "gs-b", visible=False)
        self._visits: dict[str, TrainVisit] = {}
        self._watches: dict[str, RunHistory] = {}
        with gr.Tabs(selected="pictures", elem_id="train-steps", overflow_behavior="wrap") as self.steps:
            with gr.Tab("1 Pictures", id="pictures"):
                self._build_pictures()
            with gr.Tab("2 What to make", id="make"):
                self._build_make()
            with gr.Tab("3 Watch", id="watch"):
                self._build_watch()
            with gr.Tab("4 Use it", id="use") as self.use_step:
                self._build_use()
        self.timer = gr.Timer(2)
        self.kept = gr.JSON(visible=False)
        self._wire()

    def _visit(self, session: Session) -> TrainVisit:
        if session is None:
            raise StudioError("The page is still opening.", "Try again in a moment.")
        return self._visits.setdefault(session.id, TrainVisit())

    # -- what is on the page -------------------------------------------------------------------------------------

    def _build_pictures(self) -> None:
        self.goal = gr.Radio(
            [(f"{g.title}\n{g.sentence}", g.name) for g in GOALS],
            value=GOALS[0].name,
            label="What shall it learn?",
            elem_id="train-goal",
            elem_classes="gs-cards",
        )
        # Two zones stand side by side, the sets below them; one zone has its set beside it.
        with gr.Row(equal_height=False, elem_classes="gs-zones"):
            self.a.build_intake(_INTRO.format(GOALS[0].a), self._build_look)
            self.b.build_intake(_INTRO.format("B"))
            self.a.build_shelf()
            self.b.build_shelf()
        self.preview = gr.HTML(padding=False, elem_id="train-preview")
        self.to_make = gr.Button("Next: what to make →", visible=False, variant="primary", elem_id="train-next")

    def _build_look(self) -> None:
        self.crop = gr.Radio(_CROPS, value="centre", label="How pictures become squares (crop)", elem_id="train-crop")
        with gr.Row():
            self.ground = gr.ColorPicker("#ffffff", label="Ground: the colour below and beside pictures", elem_id="train-ground")
            self.mirror = gr.Checkbox(False, label="Also learn each picture mirrored", elem_id="train-mirror")

    def _build_make(self) -> None:
        with gr.Row(equal_height=False):
            with gr.Column(scale=5, min_width=300):
                made = kind_choices(GOALS[0].name, everything=False)
                self.family = gr.Radio(
                    made, value=made[0][1], label="Kind of model (family and loss)", elem_id="train-family", elem_classes="gs-cards"
                )
                self.more = gr.Button("Show the simpler and older kinds too", size="sm", elem_id="train-more")
                with gr.Accordion("Which one should I use?", open=False, elem_id="train-advice"):
                    gr.HTML(advice_html(), padding=False)
            with gr.Column(scale=5, min_width=300):
                self.base = gr.Dropdown(
                    [],
                    label="Start from",
                    elem_id="train-base",
                    info="A model that can do something like it already learns from few pictures, and sooner.",
                )
                self.side = gr.Dropdown(_SIDES, value=64, label="Size: side of a picture in pixels (resolution)", elem_id="train-side")
                self.factor = gr.Radio(
                    _FACTORS, value=2, label="Factor: how many times as wide and high (scale)", visible=False, elem_id="train-factor"
                )
                self.larger = gr.HTML(padding=False, elem_id="train-larger")
                self.preset = gr.Radio(
                    [(f"{p.label}\n{p.sentence[0].upper()}{p.sentence[1:]}", p.name) for p in PRESETS],
                    value=PRESETS[0].name,
                    label="How patient are you?",
                    elem_id="train-preset",
                    elem_classes="gs-cards",
                )
                self.estimate = gr.HTML(padding=False, elem_id="train-estimate")
                self.classes = gr.Checkbox(False, label="Learn the kinds of pictures too (class-conditional)", visible=False)
                self.name = gr.Textbox("", label="Name of the model", elem_id="train-name")
                self.licence = gr.Textbox("", label="Licence, if you will give it away", placeholder="CC-BY-4.0")
                with gr.Accordion("Advanced", open=False):
                    gr.HTML(note("Left empty, the choices above decide."), padding=False)
                    self.kimg = _field("Length: thousands of pictures shown (kimg)", "train-kimg")
                    self.gamma = _field("Steadiness (R1 gamma)", "train-gamma")
                    self.batch = _field("Pictures a step (batch)", "train-batch")
                    self.target = _field("Against learning by heart (ADA target)", "train-target")
                    self.freeze = _field("Layers of the judge that stay (FreezeD)", "train-freeze")
                    self.faith = _field(_FAITH["lambda_cycle"], "train-faith", visible=False)
                    self.identity = _field("Leave alone what is right already (identity)", "train-identity", visible=False)
                    self.patch = _field("Patch: side of the pieces it learns from, in pixels (resolution)", "train-patch", visible=False)
                    self.seed = gr.Number(0, label="Seed: the chance it begins with", precision=0, minimum=0)
                self.start = gr.Button("Start training", variant="primary", elem_id="train-start")
                self.make_note = gr.HTML(padding=False)

    def _build_watch(self) -> None:
        self.job = gr.Dropdown([], label="Training", elem_id="train-job", visible=False)
        self.progress = gr.HTML(empty_html(_NO_JOB), padding=False, elem_id="train-progress")
        with gr.Row(elem_classes="gs-tools"):
            self.pause = gr.Button("Pause", visible=False, elem_id="train-pause")
            self.resume = gr.Button("Go on", visible=False, elem_id="train-resume")
            self.finish = gr.Button("Finish now", visible=False, elem_id="train-finish")
            self.cancel = gr.Button("Give up", visible=False, elem_id="train-cancel")
            self.open_last = gr.Button("Keep the last moment", visible=False, variant="primary", elem_id="train-open")
        with gr.Row(equal_height=False):
            with gr.Column(scale=6, min_width=320):
                self.samples = gr.HTML(padding=False, elem_id="train-samples")
                self.timeline = gr.Slider(0, 1, 0, step=1, label="Moment: drag back in time", visible=False, elem_id="train-timeline")
            with gr.Column(scale=4, min_width=300):
                self.quality = gr.LinePlot(x="kimg", y="KID", title="Distance from your pictures (KID)", y_title="lower is better", **PLOT)
                higher = {**CURVES, "y_title": "higher is better"}
                self.psnr = gr.LinePlot(title="Nearness to pictures it never learned from (PSNR in dB)", elem_id="train-psnr", **higher)
                self.ssim = gr.LinePlot(title="Likeness of their structure, 1 = the same (SSIM)", elem_id="train-ssim", **higher)
                self.losses = gr.LinePlot(title="The two players (losses)", **CURVES)
                self.held = gr.LinePlot(title="What must stay", **{**CURVES, "y_title": "lower is better"})
                self.seen = gr.LinePlot(title="Difference that a network sees (perceptual)", **{**CURVES, "y_title": "lower is better"})
                self.strength = gr.LinePlot(title="Learning by heart (ADA p, sign of D)", **CURVES)
                self.distance = gr.LinePlot(title="Distance by the critic (Wasserstein)", **{**CURVES, "y_title": "lower is better"})
                with gr.Accordion("Time and memory", open=False, visible=False) as self.time_box:
                    self.hours = gr.LinePlot(x="kimg", y="value", title="Hours of training", y_title=" ", **PLOT)
                    self.memory = gr.LinePlot(x="kimg", y="value", title="Memory in MB", y_title=" ", **PLOT)
                with gr.Accordion("Log", open=False, visible=False) as self.log_box:
                    self.log = gr.Textbox(show_label=False, lines=12, max_lines=12, interactive=False)

    def _build_use(self) -> None:
        gr.HTML(
            note(
                "<b>Moments.</b> Press one to keep it as a model of yours and open it; the training goes on. The best by "
                "KID (by PSNR, when it enlarges) has a star, but your eyes decide."
            ),
            padding=False,
        )
        self.moments = press_grid(value=empty_html(_NO_MOMENT), elem_id="train-moments")

    # -- wiring --------------------------------------------------------------------------------------------------

    def _wire(self) -> None:
        s = self.session
        look = [self.crop, self.ground]
        for zone in (self.a, self.b):
            zone.wire(*look, self.a.by_folder)
        both = [s, self.goal, self.a.set, self.b.set, *look]
        # A set that one zone takes in, or deletes, is one more, or less, to choose from in the other.
        self.a.set.change(friendly(self._refresh_b), [s, self.goal, self.b.set, *look], self.b.outputs, **QUIET)
        self.b.set.change(friendly(self.a.shown), [s, self.a.set, *look], self.a.outputs, **QUIET)
        gr.on(
            [self.a.set.change, self.b.set.change, self.crop.input, self.ground.input],
            friendly(self._preview),
            both[1:],
            [self.preview, self.to_make],
            **QUIET,
        )
        make = self._make_outputs
        chosen = [
            self.goal.input(
                friendly(self._choose_goal),
                both,
                [
                    self.a.intro,
                    self.b.intro,
                    self.a.by_folder,
                    self.b.intake,
                    self.b.shelf,
                    *self.a.outputs,
                    *self.b.outputs,
                    self.crop,
                    self.mirror,
                    self.preview,
                    self.to_make,
                    *make,
                ],
                **QUIET,
            )
        ]
        chosen.append(self.to_make.click(friendly(self._go_to_make), both[:4], [self.steps, self.name, *make], **QUIET))
        chosen[-1].success(None, None, None, js="() => studioPlace.put('step', '2 What to make')", **QUIET)
        self.more.click(friendly(self._show_all), self.a.set, [self.family, self.more], **QUIET)
        chosen.append(self.family.input(friendly(self._choose_kind), [self.family, self.a.set], make[2:], **QUIET))
        chosen.append(self.base.input(friendly(self._side_of), [self.base, self.family], [self.side, self.factor], **QUIET))
        # Not at every change: between two of them a choice may be one of the kind before.
        estimated = dict(
            fn=friendly(self._estimate),
            outputs=self.estimate,
            **QUIET,
            inputs=[self.family, self.base, self.side, self.factor, self.preset, self.kimg, self.batch, self.patch],
        )
        lessons = dict(
            fn=friendly(self._lesson),
            inputs=[self.a.set, self.family, self.base, self.factor, self.patch, self.ground],
            outputs=self.larger,
            **QUIET,
        )
        for after in chosen:
            after.success(**estimated)
            after.success(**lessons)
        gr.on([self.side.input, self.factor.input, self.preset.input, self.kimg.blur, self.batch.blur, self.patch.blur], **estimated)
        gr.on([self.a.set.change, self.factor.input, self.patch.blur, self.ground.input], **lessons)

        watch = self._watch_outputs
        self.start.click(
            friendly(self._start),
            [
                s,
                self.a.set,
                self.b.set,
                self.crop,
                self.ground,
                self.mirror,
                self.family,
                self.base,
                self.side,
                self.factor,
                self.preset,
                self.classes,
                self.name,
                self.licence,
                self.kimg,
                self.gamma,
                self.batch,
                self.target,
                self.freeze,
                self.faith,
                self.identity,
                self.patch,
                self.seed,
            ],
            [self.steps, self.job, self.make_note],
            **QUIET,
        ).success(friendly(self._redraw), [s, self.job], watch, **QUIET).success(
            None, None, None, js="() => { studioPlace.put('step', '3 Watch'); studioPlace.put('at', null) }", **QUIET
        )
        self.job.change(None, self.job, None, js=KEEP_JOB_JS, **QUIET)
        self.timeline.input(None, self.timeline, None, js=KEEP_AT_JS, **QUIET)
        self.job.input(friendly(self._other_job), [s, self.job], watch, **QUIET).success(
            None, None, None, js="() => studioPlace.put('at', null)", **QUIET
        )
        self.timer.tick(friendly(self._tick), [s, self.job], watch, **QUIET)
        self.timeline.input(friendly(self._scrub), [s, self.job, self.timeline], self.samples, **{**QUIET, "trigger_mode": "always_last"})
        for button, verb in ((self.pause, "pause"), (self.resume, "resume"), (self.finish, "finish"), (self.cancel, "cancel")):
            button.click(friendly(self._order(verb)), self.job, None, **QUIET).success(
                friendly(self._redraw), [s, self.job], watch, **QUIET
            )
        opened = [self.tabs, *(output for o in self.openings for output in o.outputs)]
        self.moments.select(friendly(self._use), [s, self.job], opened, **QUIET)
        self.open_last.click(friendly(self._use_last), [s, self.job], opened, **QUIET)

    @property
    def _make_outputs(self) -> list:
        """What depends on the kind of model on "2 What to make"."""
        return [
            self.more,
            self.family,
            self.base,
            self.side,
            self.factor,
            self.classes,
            self.gamma,
            self.target,
            self.freeze,
            self.faith,
            self.identity,
            self.patch,
        ]

    @property
    def enter_outputs(self) -> list:
        """Outputs of `enter`."""
        return [*self.a.outputs, *self.b.outputs, self.preview, self.to_make, self.job, *self._make_outputs]

    @property
    def enter_inputs(self) -> list:
        """Inputs of `enter` after the session."""
        return [self.goal, self.a.set, self.b.set, self.crop, self.ground, self.job, self.family, self.base, self.kept]

    enter_js = KEPT_JS

    def enter(
        self,
        session: Session,
        goal: str,
        set_a: str | None,
        set_b: str | None,
        crop: str,
        ground: str,
        job: str | None,
        family: str,
        base: str | None,
        kept: dict | None,
    ) -> list:
        """When the tab is opened: sets and trainings as they are now. kept: {"job", "at"} of before a reload."""
        sets = self.datasets.list()
        chosen = set_a if any(x.id == set_a for x in sets) else sets[0].id if sets else None
        visit = self._visit(session)
        visit.drawn = ()
        if not job and kept:
            job = kept.get("job")
            moment = str(kept.get("at") or "")
            if moment.isdecimal():
                visit.follow, visit.at = False, int(moment)
        make = [gr.skip()] * len(self._make_outputs)
        make[2] = self._bases(family, base)
        if chosen and not visit.suited:
            visit.suited = True
            make = self._suitable(goal, chosen)
        return [
            *self.a.shown(session, chosen, crop, ground),
            *self.b.shown(session, set_b, crop, ground),
            *self._preview(goal, chosen, set_b, crop, ground),
            self._job_choices(job),
            *make,
        ]

    # -- pictures ------------------------------------------------------------------------------------------------

    def _refresh_b(self, session: Session, goal: str, set_b: str | None, crop: str, ground: str) -> list:
        if get_goal(goal).image_sets == "one":
            return [gr.skip()] * len(self.b.outputs)
        return self.b.shown(session, set_b, crop, ground)

    def _preview(self, goal: str, set_a: str | None, set_b: str | None, crop: str, ground: str) -> list:
        """For [preview, to_make]."""
        what = get_goal(goal)
        there = {x.id for x in self.datasets.list()}
        a, b = (id if id in there else None for id in (set_a, set_b))
        ready = bool(a) and (what.image_sets == "one" or bool(b))
        if what.name == "upscale" and a:
            return [enough_html(self.datasets.get(a), self._patch(kind_choices(what.name, False)[0][1], 2)), gr.update(visible=True)]
        return [preview_html(what, self.datasets, a, b, crop, parse_colour(hex_colour(ground))), gr.update(visible=ready)]

    def _choose_goal(self, session: Session, goal: str, set_a: str | None, set_b: str | None, crop: str, ground: str) -> list:
        self._visit(session).suited = True
        what = get_goal(goal)
        larger = goal == "upscale"
        two = what.image_sets != "one"
        # A smart crop would cut the two pictures of a pair at different places.
        crops = [("Whole", WHOLE)] if larger else [c for c in _CROPS if c[1] != "smart"] if what.image_sets == "paired" else _CROPS
        cut = crop
        crop = crop if crop in [value for _, value in crops] else crops[0][1]
        a, b = (f"{letter}: {words}" for letter, words in zip("AB", (what.a, what.b), strict=True)) if two else (what.a, "B")
        return [
            note(_INTRO.format(a)),
            note(_INTRO.format(b)),
            gr.update(visible=goal == "draw"),
            gr.update(visible=two),
            gr.update(visible=two),
            *(self.a.shown(session, set_a, crop, ground) if crop != cut else [gr.skip()] * len(self.a.outputs)),
            *(self.b.shown(session, set_b, crop, ground) if two else [gr.skip()] * len(self.b.outputs)),
            gr.update(choices=crops, value=crop, visible=not larger),
            gr.update(visible=not larger),
            *self._preview(goal, set_a, set_b, crop, ground),
            *self._suitable(goal, set_a),
        ]

    # -- what to make --------------------------------------------------------------------------------------------

    def _go_to_make(self, session: Session, goal: str, set_a: str, set_b: str | None) -> list:
        self._visit(session).suited = True
        titles = [self.datasets.get(id).title for id in ((set_a,) if get_goal(goal).image_sets == "one" else (set_a, set_b))]
        return [gr.update(selected="make"), " to ".join(dict.fromkeys(titles)), *self._suitable(goal, set_a)]

    def _suitable(self, goal: str, id: str | None) -> list:
        """What suits the goal and the pictures: for `_make_outputs`."""
        suits = self._kind_for(id) if goal == "draw" else None
        choices = kind_choices(goal, False, suits)
        kind = suits or choices[0][1]
        return [gr.update(visible=goal == "draw"), gr.update(choices=choices, value=kind), *self._choose_kind(kind, id)]

    def _kind_for(self, id: str | None) -> str | None:
        return method_for(self.datasets.get(id).count) if id else None

    def _show_all(self, id: str | None) -> list:
        return [gr.update(choices=kind_choices("draw", True, self._kind_for(id))), gr.update(visible=False)]

    def _choose_kind(self, kind: str, id: str | None) -> list:
        """For `_make_outputs` from the third on."""
        what = get_method(kind)
        noise = gr.update(visible=what.generates)
        faith = gr.update(visible=bool(what.tunable_weight), label=_FAITH.get(what.tunable_weight, self.faith.label))
        identity = gr.update(visible=what.goal == "restyle")
        return [
            *self._start_points(kind),
            self._classes_box(id, kind),
            noise,
            noise,
            noise,
            faith,
            identity,
            gr.update(visible=what.upscales),
        ]

    def _start_points(self, kind: str) -> list:
        """Models to begin from, and sizes, for the kind; the first of each is chosen."""
        what = get_method(kind)
        if what.upscales:
            return [self._bases(kind), gr.update(visible=False), gr.update(visible=True, interactive=True, value=2)]
        bases, sides = (self._of_kind(kind) if what.generates else []), what.resolutions
        side = bases[0].resolution if bases else self._plain_side(kind)
        side = side if side in sides else max(s for s in sides if s <= max(side, sides[0]))
        return [self._bases(kind), gr.update(choices=list(sides), value=side, visible=True), gr.update(visible=False)]

    def _classes_box(self, id: str | None, kind: str):
        what = get_method(kind)
        many = bool(id) and len(self.datasets.get(id).classes) > 1
        able = get_family(what.family).classes and what.objective.get("discriminator") != "projected"
        return gr.update(visible=many and able, value=what.needs_classes, interactive=not what.needs_classes)

    def _of_kind(self, kind: str) -> list[ModelInfo]:
        what = get_method(kind)
        config = get_family(what.family).config
        return [m for m in self.engine.library.scan()[0] if m.family == what.family and method_fits(what, config(**m.config))]

    def _bases(self, kind: str, chosen: str | None = None):
        what = get_method(kind)
        choices = [
            (f"{m.title} ({m.config['scale']} times)" if what.upscales else f"{m.title} ({m.resolution} px)", m.id)
            for m in self._of_kind(kind)
        ]
        # What another translator learned helps only where both are alike, and it may be a large and slow one, as an upscaler may be: that
        # is asked for.
        choices.insert(len(choices) if what.generates else 0, ("From nothing", _NOTHING))
        return gr.update(choices=choices, value=chosen if chosen in [id for _, id in choices] else choices[0][1])

    def _plain_side(self, kind: str) -> int:
        return (128 if get_method(kind).translates else 64) if self.engine.device.type == "cpu" else 256

    def _side_of(self, base: str, kind: str) -> list:
        """For [side, factor]: the base's."""
        model = self.engine.library.get(base) if base else None
        if get_method(kind).upscales:
            return [gr.skip(), gr.update(value=model.config["scale"], interactive=False) if model else gr.update(interactive=True)]
        return [model.resolution if model else self._plain_side(kind), gr.skip()]

    def _patch(self, kind: str, factor: int, given: str = "") -> int:
        """Side of the patches in pixels: the preset's, or the one that was filled in."""
        wanted = _number(self.patch.label, given)
        return (
            int(wanted)
            if wanted
            else preset_upscaler_plan(PRESETS[0].name, pictures=1, device=self.engine.device.type, scale=factor, style=kind).data.resolution
        )

    def _lesson(self, id: str | None, kind: str, base: str | None, factor: int, patch: str, ground: str) -> str:
        """Whether the pictures suffice for an upscaler, and what it is asked to do with them."""
        if not get_method(kind).upscales or not id or not any(x.id == id for x in self.datasets.list()):
            return ""
        stored, (plan, start) = self.datasets.get(id), self._pieces(kind, base or "", 0, factor, PRESETS[0].name, 1, "", "", patch)
        config = family_config(plan, start)
        shown = example_html(stored, plan.data.resolution, config.scale, plan.data.degrade, parse_colour(hex_colour(ground)))
        return enough_html(stored, plan.data.resolution) + shown

    def _pieces(
        self, kind: str, base: str, side: int, factor: int, preset_name: str, pictures: int, kimg: str, batch: str, patch: str
    ) -> tuple[Plan, ModelInfo | None]:
        """The preset's plan with the length, the batch and the patch that were filled in, and the model it begins from.

        side: of what draws or translates.  factor, patch: of what enlarges.
        """
        start = self.engine.library.get(base) if base else None
        given = dict(name=preset_name, base=str(start.path) if start else "", pictures=pictures, device=self.engine.device.type)
        if get_method(kind).upscales:
            scale = start.config["scale"] if start else int(factor)
            plan = preset_upscaler_plan(**given, scale=scale, style=kind)
            plan = dataclasses.replace(plan, data=dataclasses.replace(plan.data, resolution=self._patch(kind, scale, patch)))
        else:
            plan = preset_plan(**given, resolution=int(side), method=kind)
        return dataclasses.replace(
            plan,
            budget=_with(plan.budget, kimg=_number(self.kimg.label, kimg)),
            optimizer=_with(plan.optimizer, batch=_number(self.batch.label, batch)),
        ), start

    def _estimate(self, kind: str, base: str, side: int, factor: int, preset_name: str, kimg: str, batch: str, patch: str) -> str:
        """How long it will take, where that is known."""
        here = self.engine.device.type == "cpu" and isinstance(self.supervisor.launcher, LocalLauncher)
        what = get_method(kind)
        if not here or what.generates or not (side or what.upscales):
            return ""
        try:
            plan, start = self._pieces(kind, base, side, factor, preset_name, 1, kimg, batch, patch)
            threads, config = torch.get_num_threads(), start.config if start else None
            halves = choose_precision("auto", self.engine.device, translates=True) == "bf16"
            expected = (
                estimate_upscaler_seconds(plan, threads, config) if what.upscales else estimate_seconds(plan, kind, threads, halves, config)
            )
        except (StudioError, ValueError):
            return ""  # the start button tells what is wrong
        return note(
            f"<b>{duration(expected).capitalize()}</b> on this machine when it has nothing else to do. You can stop earlier, and keep any moment."
        )

    def _start(
        self,
        session: Session,
        set_a,
        set_b,
        crop,
        ground,
        mirror,
        family,
        base,
        side,
        factor,
        preset_name,
        classes,
        name,
        licence,
        kimg,
        gamma,
        batch,
        target,
        freeze,
        faith,
        identity,
        patch,
        seed,
    ) -> list:
        what = get_method(family)
        stored = self._owned(set_a, "There are no pictures to learn from.")
        other = self._owned(set_b, "There are no pictures for side B.") if what.image_sets != "one" else None
        if what.image_sets == "paired":
            find_pairs(stored.names(), other.names())
        elif other and other.id == stored.id:
            raise StudioError("Both sides are the same set of pictures.", "Choose another for side A or B under '1 Pictures'.")
        if what.needs_classes and len(stored.classes) < 2:
            raise StudioError(
                f"{what.title} learns classes, and this set has none.",
                "Put each kind of picture into a sub-folder and take them in again, or choose another kind of model.",
            )
        plan, start = self._pieces(family, base, side, factor, preset_name, stored.count, kimg, batch, patch)
        if classes and what.generates:
            plan = learning_classes(plan)
        data = dataclasses.replace(plan.data, path=str(stored.path), hash=stored.id, ground=hex_colour(ground))
        if not what.upscales:
            data = dataclasses.replace(data, resolution=int(side), crop=crop, mirror=bool(mirror))
        elif not fitting(stored, data.resolution):
            raise StudioError(
                f"No picture is {data.resolution} pixels wide and high.", "Take in larger ones, or choose a smaller patch under Advanced."
            )
        if other:
            data = dataclasses.replace(data, path_b=str(other.path), hash_b=other.id)
        if what.tunable_weight:
            weights = {what.tunable_weight: _number(self.faith.label, faith)}
            weights |= {"lambda_identity": _number(self.identity.label, identity)} if what.goal == "restyle" else {}
        elif what.upscales:
            weights = {}
        else:
            weights = dict(r1_gamma=_number(self.gamma.label, gamma), freeze_d=_number(self.freeze.label, freeze))
        title, said = name.strip() or stored.title, most_restrictive(x.consent for x in (stored, other) if x)
        plan = dataclasses.replace(
            plan,
            seed=int(seed or 0),
            data=data,
            objective=_with(plan.objective, **weights),
            augment=_with(plan.augment, target=_number(self.target.label, target)) if what.generates else plan.augment,
            card=dataclasses.replace(
                plan.card,
                title=title,
                licence=licence.strip(),
                consent=said.answer,
                source=said.source,
                data_licence=said.licence,
                attribution=said.attribution,
            ),
        )
        if not what.generates:
            check_plan(plan, family_config(plan, start))
        job = self.supervisor.submit(plan, title)
        self._visit(session).follow = True
        return [gr.update(selected="watch"), self._job_choices(job.id), ""]

    def _owned(self, id: str | None, missing: str) -> DataSet:
        """The set called `id`. Raises StudioError when there is none, and when nobody said whose its pictures are."""
        if not id:
            raise StudioError(missing, "Take some in under '1 Pictures'.")
        stored = self.datasets.get(id)
        if not stored.answered:
            raise StudioError(
                f"Nobody has said yet whose the pictures of '{stored.title}' are.",
                "Take them in again with an answer at 'These pictures are'.",
            )
        return stored

    # -- watching ------------------------------------------------------------------------------------------------

    @property
    def _watch_outputs(self) -> list:
        return [
            self.job,
            self.progress,
            self.pause,
            self.resume,
            self.finish,
            self.cancel,
            self.open_last,
            self.samples,
            self.timeline,
            self.quality,
            self.psnr,
            self.ssim,
            self.losses,
            self.held,
            self.seen,
            self.strength,
            self.distance,
            self.memory,
            self.hours,
            self.time_box,
            self.log_box,
            self.log,
            self.moments,
        ]

    def _job_choices(self, chosen: str | None):
        jobs = self.supervisor.jobs()
        if not any(j.id == chosen for j in jobs):
            chosen = jobs[0].id if jobs else None
        return gr.update(choices=[(f"{j.title} · {j.state}", j.id) for j in jobs], value=chosen, visible=bool(jobs))

    def _watch(self, job: Job) -> RunHistory:
        watch = self._watches.get(job.id)
        if watch is None:
            watch = self._watches[job.id] = RunHistory(job.run_dir)
        watch.refresh()
        return watch

    def _other_job(self, session: Session, id: str | None) -> list:
        self._visit(session).follow = True
        return self._redraw(session, id)

    def _redraw(self, session: Session, id: str | None) -> list:
        self._visit(session).drawn = ()
        return self._tick(session, id)

    def _tick(self, session: Session | None, id: str | None) -> list:
        """What has changed since the page was drawn last."""
        if session is None or not id:
            return [gr.skip()] * len(self._watch_outputs)
        visit, job = self._visit(session), self.supervisor.job(id)
        watch = self._watch(job)
        now = (id, job.state, job.message, watch.bytes_read)
        if now == visit.drawn:
            return [gr.skip()] * len(self._watch_outputs)
        new_job = not visit.drawn or visit.drawn[:2] != now[:2]
        visit.drawn = now
        samples = watch.samples
        last = max(len(samples) - 1, 0)
        shown = last if visit.follow else min(visit.at, last)
        visit.moments = watch.snapshots
        curves = watch.curves
        losses = long_form(curves, {"loss_g": "generator (draws)", "loss_d": "discriminator (judges)"})
        held, seen = long_form(curves, _HELD), long_form(curves, {"perceptual": "as a network sees it"})
        psnr, ssim = (measured(visit.moments, name) for name in ("psnr", "ssim"))
        distance = long_form(curves, {"wasserstein": "the critic's estimate"})
        strength = long_form(curves, {"ada_p": "strength (ADA p)", "real_sign": "sign on real", "fake_sign": "sign on made"})
        quality = pd.DataFrame([{"kimg": m.kimg, "KID": m.values["kid"]} for m in watch.snapshots if "kid" in m.values])
        running, paused = job.state == "running", job.state in ("paused", "failed", "cancelled")
        return [
            self._job_choices(id) if new_job else gr.skip(),
            self._progress_html(job, watch),
            gr.update(visible=running or job.state == "queued"),
            gr.update(visible=paused),
            gr.update(visible=running),
            gr.update(visible=job.state in LIVE_STATES),
            self._last_button(job, watch),
            sheet_html(samples[shown]) if samples else empty_html("The first sheet of samples is on its way."),
            gr.update(maximum=max(last, 1), value=shown, visible=last > 0),
            gr.update(value=quality, visible=len(quality) > 1),
            gr.update(value=psnr, visible=len(psnr) > 2, y_lim=around(psnr)),
            gr.update(value=ssim, visible=len(ssim) > 2, y_lim=around(ssim)),
            gr.update(value=losses, visible=len(losses) > 2),
            gr.update(value=held, visible=len(held) > 2),
            gr.update(value=seen, visible=len(seen) > 2),
            gr.update(value=strength, visible=len(strength) > 2),
            gr.update(value=distance, visible=len(distance) > 2),
            gr.update(value=long_form(curves, {"memory": "MB"}, scale=2**-20), visible=len(curves.get("memory", ())) > 2),
            gr.update(value=long_form(curves, {"hours": "hours"}), visible=len(curves.get("hours", ())) > 2),
            gr.update(visible=len(curves.get("hours", ())) > 2),
            gr.update(visible=True),
            self.supervisor.logs(id)[-8000:],
            self._moments_html(watch, job.title),
        ]

    def _progress_html(self, job: Job, watch: RunHistory) -> str:
        share = watch.progress
        words = [f"<b>{html.escape(job.title)}</b>", STATES[job.state]]
        if share:
            words.append(f"{share:.0%}, {thousands(watch.kimg)} thousand pictures shown")
        if job.state == "running":
            words.append(
                "time left: " + (duration(watch.eta_seconds) if watch.eta_seconds is not None else "known after the first 20 steps")
            )
        if watch.speed:
            words.append(f"{watch.speed:.1f} pictures a second")
        if watch.best is not None:
            words.append(best_words(watch.best))
        if watch.memory:
            words.append(f"{watch.memory / 2**20:,.0f} MB of memory")
        told = html.escape(" ".join(t for t in (job.message, watch.transfer_summary, watch.sets_summary, watch.patches_summary) if t))
        if not self.supervisor.owner:
            told = f"{told} {html.escape(self.supervisor.sentence)}"
        return (
            f'<div class="gs-bar" role="progressbar" aria-valuenow="{share * 100:.0f}"><i style="width:{share * 100:.1f}%"></i></div>'
            + note(" · ".join(words))
            + (note(told) if told.strip() else "")
        )

    def _scrub(self, session: Session, id: str, at: float) -> str:
        visit, samples = self._visit(session), self._watch(self.supervisor.job(id)).samples
        if not samples:
            return gr.skip()
        visit.at = at = min(int(at), len(samples) - 1)
        visit.follow = at == len(samples) - 1
        return sheet_html(samples[at])

    def _order(self, verb: str):
        def order(id: str) -> None:
            getattr(self.supervisor, verb)(id)

        return order

    # -- using ---------------------------------------------------------------------------------------------------

    @staticmethod
    def _moments_html(watch: RunHistory, title: str) -> str:
        best = watch.best
        cells = []
        for m in watch.snapshots:
            quality = f" · {summary(m.values)}" if m.values else ""
            star = "★ " if best is not None and m.path == best.path else ""
            cells.append({"src": file_url(m.path / "thumbnail.webp"), "label": f"{star}{thousands(m.kimg)} kimg{quality}"})
        if not cells:
            return empty_html(_NO_MOMENT)
        whose = note(f"Of the training <b>{html.escape(title)}</b>; kimg counts the thousands of pictures it had been shown.")
        return whose + cells_html(cells, columns=4)

    def _use(self, session: Session, id: str, event: gr.EventData) -> list:
        """Keep a moment as a model of the artist's own, and open it."""
        visit, index = self._visit(session), event._data.get("index")
        if not (isinstance(index, int) and 0 <= index < len(visit.moments)):
            raise StudioError("That moment is no longer here.", "Look at the newest ones.")
        return self._opened(session, visit.moments[index], self.supervisor.job(id).title)

    def _use_last(self, session: Session, id: str) -> list:
        """Likewise the newest moment."""
        job = self.supervisor.job(id)
        moments = self._watch(job).snapshots
        if not moments:
            raise StudioError("There is no moment yet.", "Wait for the first one.")
        return self._opened(session, moments[-1], job.title)

    def _opened(self, session: Session, moment: Snapshot, title: str) -> list:
        model = self.keep(moment, title)
        where = self._opening(model)
        if where is None:
            gr.Info(f"Kept among your models as '{model.id}'.")
        shown = [x for o in self.openings for x in (o.open(session, model) if o is where else [gr.skip()] * len(o.outputs))]
        return [gr.update(selected=where.id) if where else gr.skip(), *shown]

    def _opening(self, model: ModelInfo) -> Opening | None:
        return next((o for o in self.openings if o.suits(model)), None)

    def _last_button(self, job: Job, watch: RunHistory):
        if job.state != "done" or not watch.snapshots:
            return gr.update(visible=False)
        where = self._opening(open_folder(watch.snapshots[-1].path))
        return gr.update(
            visible=True, value=f"Keep the last moment and open it in {where.label}" if where else "Keep the last moment as a model"
        )

    def keep(self, moment: Snapshot, title: str) -> ModelInfo:
        """Copy a snapshot into the library, once: the second time the copy is found. Returns the model there."""
        library, info = self.engine.library, open_folder(moment.path)
        name = safe_name(f"{title}-{moment.kimg:g}k".replace(".", "-"))
        own = library.roots[0] / name
        if own.is_dir() and open_folder(own).hash == info.hash:
            return open_folder(own)
        own = library.roots[0] / library.free_name(name)
        with atomic_folder(own) as part:
            shutil.copytree(moment.path, part, dirs_exist_ok=True)
        return library.get(own.name)


def _field(label: str, elem_id: str, visible: bool = True) -> gr.Textbox:
    """For a number that may be left out; a field for numbers would show an empty one as 0, and send it."""
    return gr.Textbox("", label=label, placeholder="as chosen", max_lines=1, elem_id=elem_id, visible=visible)


def _number(label: str, text: str) -> float | None:
    """What was written into a `_field`. Raises StudioError when it is no number of 0 or more."""
    if not text.strip():
        return None
    try:
        value = float(text.strip().replace(",", "."))
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise StudioError(f"'{text[:20]}' is no number for '{label}'.", "Write one such as 0.5 or 12, or leave the field empty.")
    return value


def _with(piece, **wanted):
    """A part of the plan with those of the advanced settings that were filled in."""
    kinds = {f.name: f.type for f in dataclasses.fields(piece)}
    given = {k: (int(v) if kinds[k] in (int, "int") else float(v)) for k, v in wanted.items() if v is not None}
    return dataclasses.replace(piece, **given)
