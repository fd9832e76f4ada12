"""Train: from one's own pictures to a model of one's own, in four steps. Work goes on when the page is closed."""

import dataclasses
import html
import shutil
import threading
from dataclasses import dataclass, field
from pathlib import Path

import gradio as gr
import pandas as pd

from studio.datasets.crop import MODES, parse_colour
from studio.datasets.intake import OWNED, Report
from studio.datasets.store import DataSets, StoredSet
from studio.engine.engine import Engine
from studio.errors import StudioError
from studio.jobs.store import Job
from studio.jobs.supervisor import Supervisor
from studio.models.folder import ModelInfo, open_folder, safe_name
from studio.networks import get_family
from studio.settings import atomic_folder
from studio.training.kinds import get_kind
from studio.training.plan import Plan
from studio.training.presets import PRESETS, kind_for, preset
from studio.training.watch import Snapshot, Watch
from studio.ui.components import QUIET, cells_html, data_url, empty_html, file_url, friendly, note, press_grid
from studio.ui.explore import ExploreTab
from studio.ui.kinds_page import advice_html, kind_choices
from studio.ui.session import Session
from studio.ui.watch_page import CURVES, KEEP_AT_JS, KEEP_JOB_JS, KEPT_JS, PLOT, STATES, duration, long_form, sheet_html

_PAGE = 48  # pictures a page of the sheet
_SIDES = [32, 64, 128, 256, 512, 1024]
_NOTHING = ""  # stands for 'from nothing' among the models to start from
_CROPS = [("Centre", "centre"), ("Smart: where most is to see", "smart"), ("Fit: whole, on a ground", "fit")]
_LIVE_STATES = ("queued", "running", "paused", "stopping")
_NO_SET = "No pictures yet. Drop some into the box: files, a whole folder, a zip, or a video."
_NO_JOB = "Nothing is being trained yet. Take pictures in under <b>1 Pictures</b>, then press <b>Start training</b> under <b>2 What to make</b>."
_NO_MOMENT = "The first moment appears here when the training has made one."


@dataclass
class Visit:
    """What one visitor does here."""

    page: int = 0
    marked: set[str] = field(default_factory=set)  # names of pictures to leave out
    shown: list[str] = field(default_factory=list)  # names on the sheet
    stop: threading.Event = field(default_factory=threading.Event)
    follow: bool = True  # the timeline shows the newest moment
    at: int = 0  # otherwise: index of the sheet that is shown
    drawn: tuple = ()  # what the watch page shows now
    moments: list[Snapshot] = field(default_factory=list)
    suited: bool = False  # the kind of model was chosen for the pictures; from then on it is the visitor's choice


class TrainTab:
    """Builds the tab inside the current Blocks.

    datasets: the store of image sets.  supervisor: the queue.  tabs: the outer tabs, to go to Explore.
    """

    def __init__(self, engine: Engine, session: gr.State, explore: ExploreTab, tabs: gr.Tabs, supervisor: Supervisor, datasets: DataSets):
        self.engine, self.session, self.explore, self.tabs = engine, session, explore, tabs
        self.supervisor, self.datasets = supervisor, datasets
        self._visits: dict[str, Visit] = {}
        self._watches: dict[str, Watch] = {}
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

    def _visit(self, session: Session) -> Visit:
        if session is None:
            raise StudioError("The page is still opening.", "Try again in a moment.")
        return self._visits.setdefault(session.id, Visit())

    # -- what is on the page -------------------------------------------------------------------------------------

    def _build_pictures(self) -> None:
        with gr.Row(equal_height=False):
            with gr.Column(scale=4, min_width=300):
                gr.HTML(note("<b>Your pictures.</b> Files, a zip with folders, or a video, from which frames are taken. A few dozen "
                             "are enough to begin; a few hundred are better."), padding=False)
                self.files = gr.File(label="Drop pictures here", file_count="multiple", height=170, elem_id="train-files", elem_classes="gs-drop")
                self.folder = gr.UploadButton("Choose a folder", file_count="directory", size="sm", elem_id="train-folder")
                self.title = gr.Textbox("", label="Name of the set", placeholder="My watercolours", elem_id="train-title")
                self.by_folder = gr.Checkbox(True, label="Sub-folders are kinds of pictures (classes)")
                self.owned = gr.Checkbox(False, label=OWNED, elem_id="train-owned")
                with gr.Row(elem_classes="gs-tools"):
                    self.take = gr.Button("Take them in", variant="primary", elem_id="train-take")
                    self.take_stop = gr.Button("Stop", visible=False, elem_id="train-take-stop")
                self.report = gr.HTML("", padding=False, elem_id="train-report")
            with gr.Column(scale=6, min_width=320):
                self.set = gr.Dropdown([], label="Image set", elem_id="train-set", visible=False)
                self.crop = gr.Radio(_CROPS, value="centre", label="How pictures become squares (crop)", elem_id="train-crop")
                with gr.Row():
                    self.ground = gr.ColorPicker("#ffffff", label="Ground: the colour below and beside pictures", elem_id="train-ground")
                    self.mirror = gr.Checkbox(False, label="Also learn each picture mirrored", elem_id="train-mirror")
                self.sheet_note = gr.HTML(padding=False, elem_id="train-sheet-note")
                self.sheet = press_grid(value=empty_html(_NO_SET), elem_id="train-sheet")
                with gr.Row(elem_classes="gs-tools"):
                    self.page_back = gr.Button("← Page", visible=False)
                    self.page_on = gr.Button("Page →", visible=False)
                    self.leave_out = gr.Button("Leave out the marked", visible=False, elem_id="train-leave-out")
                    self.delete = gr.Button("Delete this set", visible=False, elem_id="train-delete")
                with gr.Group(visible=False) as self.delete_box:
                    self.delete_note = gr.HTML(padding=False, elem_id="train-delete-note")
                    with gr.Row(elem_classes="gs-tools"):
                        self.delete_yes = gr.Button("Delete for good", variant="stop", elem_id="train-delete-yes")
                        self.delete_no = gr.Button("Keep it")
                self.to_make = gr.Button("Next: what to make →", visible=False, variant="primary", elem_id="train-next")

    def _build_make(self) -> None:
        with gr.Row(equal_height=False):
            with gr.Column(scale=5, min_width=300):
                made = kind_choices(everything=False)
                self.family = gr.Radio(made, value=made[0][1], label="Kind of model (family and loss)", elem_id="train-family",
                                       elem_classes="gs-cards")  # fmt: skip
                self.more = gr.Button("Show the simpler and older kinds too", size="sm", elem_id="train-more")
                with gr.Accordion("Which one should I use?", open=False, elem_id="train-advice"):
                    gr.HTML(advice_html(), padding=False)
            with gr.Column(scale=5, min_width=300):
                self.base = gr.Dropdown([], label="Start from", elem_id="train-base",
                                        info="A model that draws already learns from few pictures, and sooner.")
                self.side = gr.Dropdown(_SIDES, value=64, label="Size: side of a picture in pixels (resolution)", elem_id="train-side")
                self.preset = gr.Radio([(f"{p.label}\n{p.sentence[0].upper()}{p.sentence[1:]}", p.name) for p in PRESETS], value=PRESETS[0].name,
                                       label="How patient are you?", elem_id="train-preset", elem_classes="gs-cards")
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
        with gr.Row(equal_height=False):
            with gr.Column(scale=6, min_width=320):
                self.samples = gr.HTML(padding=False, elem_id="train-samples")
                self.timeline = gr.Slider(0, 1, 0, step=1, label="Moment: drag back in time", visible=False, elem_id="train-timeline")
            with gr.Column(scale=4, min_width=300):
                self.quality = gr.LinePlot(x="kimg", y="KID", title="Distance from your pictures (KID)", y_title="lower is better", **PLOT)
                self.losses = gr.LinePlot(title="The two players (losses)", **CURVES)
                self.strength = gr.LinePlot(title="Learning by heart (ADA p, sign of D)", **CURVES)
                self.distance = gr.LinePlot(title="Distance by the critic (Wasserstein)", **{**CURVES, "y_title": "lower is better"})
                with gr.Accordion("Time and memory", open=False, visible=False) as self.time_box:
                    self.hours = gr.LinePlot(x="kimg", y="value", title="Hours of training", y_title=" ", **PLOT)
                    self.memory = gr.LinePlot(x="kimg", y="value", title="Memory in MB", y_title=" ", **PLOT)
                with gr.Accordion("Log", open=False, visible=False) as self.log_box:
                    self.log = gr.Textbox(show_label=False, lines=12, max_lines=12, interactive=False)

    def _build_use(self) -> None:
        gr.HTML(note("<b>Moments.</b> Press one to keep it as a model of yours and open it in Explore; the training goes on. The best by "
                     "KID has a star, but your eyes decide."), padding=False)
        self.moments = press_grid(value=empty_html(_NO_MOMENT), elem_id="train-moments")

    # -- wiring --------------------------------------------------------------------------------------------------

    def _wire(self) -> None:
        s = self.session
        sheet = [self.sheet, self.sheet_note, self.page_back, self.page_on, self.leave_out, self.delete, self.to_make]
        look = [s, self.set, self.crop, self.ground]
        sets = [self.set, *sheet]
        taking = gr.on(
            [self.take.click], friendly(self._begin_taking), s, [self.take_stop, self.report], **QUIET
        ).then(
            friendly(self._take_in), [s, self.files, self.folder, self.title, self.by_folder, self.owned, self.crop, self.ground],
            [self.report, self.title, self.files], show_progress="full", show_progress_on=self.report,
            api_visibility="private", concurrency_limit=None,
        )  # fmt: skip
        taking.then(lambda: gr.update(visible=False), None, self.take_stop, **QUIET)
        taking.success(friendly(self._show_newest), look, sets, **QUIET)
        self.take_stop.click(lambda session: self._visit(session).stop.set(), s, None, **QUIET)
        self.folder.upload(lambda files: note(f"{len(files):,} files of the folder are ready: press <b>Take them in</b>."),
                           self.folder, self.report, **QUIET)  # fmt: skip
        self.set.input(friendly(self._other_set), look, sheet, **QUIET)
        for control in (self.crop, self.ground):
            control.input(friendly(self._draw_sheet), look, sheet, **QUIET)
        self.sheet.select(friendly(self._mark), look, sheet, **QUIET)
        self.page_back.click(friendly(lambda *a: self._turn(-1, *a)), look, sheet, **QUIET)
        self.page_on.click(friendly(lambda *a: self._turn(1, *a)), look, sheet, **QUIET)
        self.leave_out.click(friendly(self._leave_out), look, sets, **QUIET)
        self.delete.click(friendly(self._ask_to_delete), self.set, [self.delete_box, self.delete_note], **QUIET)
        self.delete_no.click(lambda: gr.update(visible=False), None, self.delete_box, **QUIET)
        self.delete_yes.click(friendly(self._delete), look, [self.delete_box, *sets], **QUIET)
        to_make = [self.steps, self.name, self.more, self.family, self.base, self.side, self.classes]
        self.to_make.click(friendly(self._go_to_make), [s, self.set], to_make, **QUIET).success(
            None, None, None, js="() => studioPlace.put('step', '2 What to make')", **QUIET
        )
        self.more.click(friendly(self._show_all), self.set, [self.family, self.more], **QUIET)
        self.family.input(friendly(self._choose_kind), [self.family, self.set], [self.base, self.side, self.classes], **QUIET)
        self.base.input(friendly(self._side_of), self.base, self.side, **QUIET)

        watch = self._watch_outputs
        self.start.click(
            friendly(self._start),
            [s, self.set, self.crop, self.ground, self.mirror, self.family, self.base, self.side, self.preset, self.classes, self.name,
             self.licence, self.kimg, self.gamma, self.batch, self.target, self.freeze, self.seed],
            [self.steps, self.job, self.make_note], **QUIET,
        ).success(friendly(self._redraw), [s, self.job], watch, **QUIET).success(
            None, None, None, js="() => { studioPlace.put('step', '3 Watch'); studioPlace.put('at', null) }", **QUIET
        )  # fmt: skip
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
        self.moments.select(friendly(self._use), [s, self.job], [self.tabs, *self.explore.outputs], **QUIET)

    @property
    def enter_outputs(self) -> list:
        """Outputs of `enter`."""
        return [self.set, self.sheet, self.sheet_note, self.page_back, self.page_on, self.leave_out, self.delete, self.to_make, self.job,
                self.family, self.base, self.side, self.classes]  # fmt: skip

    @property
    def enter_inputs(self) -> list:
        """Inputs of `enter` after the session."""
        return [self.set, self.crop, self.ground, self.job, self.family, self.base, self.kept]

    enter_js = KEPT_JS

    def enter(self, session: Session, set_id: str | None, crop: str, ground: str, job: str | None, family: str, base: str | None,
              kept: dict | None) -> list:  # fmt: skip
        """When the tab is opened: sets and trainings as they are now. kept: {"job", "at"} of before a reload."""
        sets = self.datasets.list()
        chosen = set_id if any(x.id == set_id for x in sets) else sets[0].id if sets else None
        visit = self._visit(session)
        visit.drawn = ()
        if not job and kept:
            job = kept.get("job")
            moment = str(kept.get("at") or "")
            if moment.isdecimal():
                visit.follow, visit.at = False, int(moment)
        make = [gr.skip(), self._bases(family, base), gr.skip(), gr.skip()]
        if chosen and not visit.suited:
            visit.suited = True
            make = self._suitable(self.datasets.get(chosen))
        return [self._set_choices(chosen), *self._draw_sheet(session, chosen, crop, ground), self._job_choices(job), *make]

    # -- pictures ------------------------------------------------------------------------------------------------

    def _begin_taking(self, session: Session) -> list:
        self._visit(session).stop.clear()
        return [gr.update(visible=True), note("Looking at the pictures ...")]

    def _take_in(self, session: Session, files: list[str] | None, folder: list[str] | None, title: str, by_folder: bool, owned: bool,
                 crop: str, ground: str, progress: gr.Progress = gr.Progress()) -> list:  # fmt: skip
        paths = [Path(p) for p in [*(files or []), *(folder or [])]]
        if not paths:
            raise StudioError("There are no pictures yet.", "Drop files, a zip or a video first.")
        visit = self._visit(session)
        report = self.datasets.take_in(
            paths, owned=owned, title=title, ground=parse_colour(_hex(ground)), classes=by_folder,
            progress=lambda done, total, name: progress((done, total), desc=name, unit="files"), cancelled=visit.stop.is_set,
        )  # fmt: skip
        try:
            stored = self.datasets.add(report, crop=crop)
        except BaseException:
            report.discard()
            raise
        return [_report_html(report), stored.title, None]

    def _set_choices(self, chosen: str | None):
        sets = self.datasets.list()
        return gr.update(choices=[(_set_label(x), x.id) for x in sets], value=chosen, visible=bool(sets))

    def _show_newest(self, session: Session, _, crop: str, ground: str) -> list:
        newest = self.datasets.list()[0].id
        visit = self._visit(session)
        visit.page, visit.marked = 0, set()
        return [self._set_choices(newest), *self._draw_sheet(session, newest, crop, ground)]

    def _other_set(self, session: Session, id: str, crop: str, ground: str) -> list:
        visit = self._visit(session)
        visit.page, visit.marked = 0, set()
        return self._draw_sheet(session, id, crop, ground)

    def _draw_sheet(self, session: Session, id: str | None, crop: str, ground: str) -> list:
        """One page of the set as training will see it."""
        visit = self._visit(session)
        hidden = gr.update(visible=False)
        if not id:
            return [empty_html(_NO_SET), "", hidden, hidden, hidden, hidden, hidden]
        stored = self.datasets.get(id)
        pages = -(-stored.count // _PAGE)
        visit.page = min(visit.page, pages - 1)
        pictures = self.datasets.sheet(id, visit.page, _PAGE, crop, 96, parse_colour(_hex(ground)))
        visit.shown = [name for name, _ in pictures]
        cells = [{"src": data_url(p), "alt": name, "marked": name in visit.marked} for name, p in pictures]
        kinds = f" in {len(stored.classes)} classes" if stored.classes else ""
        text = (f"<b>{stored.count:,} pictures{kinds}.</b> This is what will be learnt from. Press those to leave out. "
                f"{html.escape(MODES[crop])}" + (f" Page {visit.page + 1} of {pages}." if pages > 1 else ""))  # fmt: skip
        marked = len(visit.marked)
        return [
            cells_html(cells, columns=8),
            note(text),
            gr.update(visible=visit.page > 0),
            gr.update(visible=visit.page + 1 < pages),
            gr.update(visible=marked > 0, value=f"Leave out the {marked} marked"),
            gr.update(visible=True),
            gr.update(visible=True),
        ]

    def _mark(self, session: Session, id: str, crop: str, ground: str, event: gr.EventData) -> list:
        visit, index = self._visit(session), event._data.get("index")
        if isinstance(index, int) and 0 <= index < len(visit.shown):
            visit.marked ^= {visit.shown[index]}
        return self._draw_sheet(session, id, crop, ground)

    def _turn(self, by: int, session: Session, id: str, crop: str, ground: str) -> list:
        visit = self._visit(session)
        visit.page = max(0, visit.page + by)
        return self._draw_sheet(session, id, crop, ground)

    def _leave_out(self, session: Session, id: str, crop: str, ground: str) -> list:
        visit = self._visit(session)
        stored = self.datasets.without(id, visit.marked)
        visit.marked = set()
        return [self._set_choices(stored.id), *self._draw_sheet(session, stored.id, crop, ground)]

    def _ask_to_delete(self, id: str) -> list:
        waiting = [f"The training '{j.title}' learns from it and could not go on." for j in self.supervisor.jobs()
                   if j.state in _LIVE_STATES and Plan.from_toml(j.plan_toml).data.hash == id]  # fmt: skip
        told = self.datasets.dependants(id, others=waiting)
        listed = "".join(f"<li>{html.escape(t)}</li>" for t in dict.fromkeys(told))
        what = f"What depends on it:<ul>{listed}</ul>" if told else "Nothing depends on it."
        return [gr.update(visible=True), note(f"<b>Delete '{html.escape(self.datasets.get(id).title)}'?</b> {what}")]

    def _delete(self, session: Session, id: str, crop: str, ground: str) -> list:
        self.datasets.delete(id)
        sets = self.datasets.list()
        visit = self._visit(session)
        visit.page, visit.marked = 0, set()
        chosen = sets[0].id if sets else None
        return [gr.update(visible=False), self._set_choices(chosen), *self._draw_sheet(session, chosen, crop, ground)]

    # -- what to make --------------------------------------------------------------------------------------------

    def _go_to_make(self, session: Session, id: str) -> list:
        self._visit(session).suited = True
        stored = self.datasets.get(id)
        return [gr.update(selected="make"), stored.title, gr.update(visible=True), *self._suitable(stored)]

    def _suitable(self, stored: StoredSet) -> list:
        """What suits the pictures: for [family, base, side, classes]."""
        kind = kind_for(stored.count)
        return [gr.update(choices=kind_choices(False, kind), value=kind), *self._start_points(kind), self._classes_box(stored.id, kind)]

    def _show_all(self, id: str | None) -> list:
        suits = kind_for(self.datasets.get(id).count) if id else None
        return [gr.update(choices=kind_choices(True, suits)), gr.update(visible=False)]

    def _choose_kind(self, kind: str, id: str | None) -> list:
        return [*self._start_points(kind), self._classes_box(id, kind)]

    def _start_points(self, kind: str) -> list:
        """Models to begin from, and sizes, for the kind; the first of each is chosen."""
        bases, sides = self._of_kind(kind), get_kind(kind).sides
        side = bases[0].resolution if bases else self._plain_side()
        return [self._bases(kind), gr.update(choices=list(sides), value=side if side in sides else max(s for s in sides if s <= max(side, sides[0])))]

    def _classes_box(self, id: str | None, kind: str):
        what = get_kind(kind)
        many = bool(id) and len(self.datasets.get(id).classes) > 1
        able = get_family(what.family).classes and what.objective.get("discriminator") != "projected"
        return gr.update(visible=many and able, value=what.classes == "must", interactive=what.classes != "must")

    def _of_kind(self, kind: str) -> list[ModelInfo]:
        return [m for m in self.engine.library.scan()[0] if m.family == get_kind(kind).family]

    def _bases(self, kind: str, chosen: str | None = None):
        found = self._of_kind(kind)
        choices = [(f"{m.title} ({m.resolution} px)", m.id) for m in found] + [("From nothing", _NOTHING)]
        return gr.update(choices=choices, value=chosen if chosen in [id for _, id in choices] else choices[0][1])

    def _plain_side(self) -> int:
        return 64 if self.engine.device.type == "cpu" else 256

    def _side_of(self, base: str) -> int:
        return self.engine.library.get(base).resolution if base else self._plain_side()

    def _start(self, session: Session, set_id, crop, ground, mirror, family, base, side, preset_name, classes, name, licence,
               kimg, gamma, batch, target, freeze, seed) -> list:  # fmt: skip
        if not set_id:
            raise StudioError("There are no pictures to learn from.", "Take some in under '1 Pictures'.")
        stored = self.datasets.get(set_id)
        if not stored.owned:
            raise StudioError("Nobody has said yet that these pictures may be used.",
                              f"Take them in again with the tick at '{OWNED}'")  # fmt: skip
        start = self.engine.library.get(base) if base else None
        what = get_kind(family)
        if what.classes == "must" and len(stored.classes) < 2:
            raise StudioError(f"{what.title} learns classes, and this set has none.",
                              "Put each kind of picture into a sub-folder and take them in again, or choose another kind of model.")  # fmt: skip
        pieces = preset(preset_name, str(start.path) if start else "", pictures=stored.count, resolution=int(side),
                        device=self.engine.device.type, kind=family)  # fmt: skip
        data = dataclasses.replace(pieces.data, path=str(stored.path), hash=stored.id, resolution=int(side), crop=crop, ground=_hex(ground),
                                   mirror=bool(mirror), conditional=bool(classes) or what.classes == "must")  # fmt: skip
        title = name.strip() or stored.title
        plan = dataclasses.replace(
            pieces,
            seed=int(seed or 0),
            data=data,
            budget=_with(pieces.budget, kimg=_number(self.kimg.label, kimg)),
            objective=_with(pieces.objective, r1_gamma=_number(self.gamma.label, gamma), freeze_d=_number(self.freeze.label, freeze)),
            optimizer=_with(pieces.optimizer, batch=_number(self.batch.label, batch)),
            augment=_with(pieces.augment, target=_number(self.target.label, target)),
            card=dataclasses.replace(pieces.card, title=title, licence=licence.strip()),
        )
        job = self.supervisor.submit(plan, title)
        self._visit(session).follow = True
        return [gr.update(selected="watch"), self._job_choices(job.id), ""]

    # -- watching ------------------------------------------------------------------------------------------------

    @property
    def _watch_outputs(self) -> list:
        return [self.job, self.progress, self.pause, self.resume, self.finish, self.cancel, self.samples, self.timeline, self.quality,
                self.losses, self.strength, self.distance, self.memory, self.hours, self.time_box, self.log_box, self.log, self.moments]  # fmt: skip

    def _job_choices(self, chosen: str | None):
        jobs = self.supervisor.jobs()
        if not any(j.id == chosen for j in jobs):
            chosen = jobs[0].id if jobs else None
        return gr.update(choices=[(f"{j.title} · {j.state}", j.id) for j in jobs], value=chosen, visible=bool(jobs))

    def _watch(self, job: Job) -> Watch:
        watch = self._watches.get(job.id)
        if watch is None:
            watch = self._watches[job.id] = Watch(job.run_dir)
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
        now = (id, job.state, job.message, watch.length)
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
        distance = long_form(curves, {"wasserstein": "the critic's estimate"})
        strength = long_form(curves, {"ada_p": "strength (ADA p)", "real_sign": "sign on real", "fake_sign": "sign on made"})
        quality = pd.DataFrame([{"kimg": m.kimg, "KID": m.kid} for m in watch.snapshots if m.kid is not None])
        running, paused = job.state == "running", job.state in ("paused", "failed", "cancelled")
        return [
            self._job_choices(id) if new_job else gr.skip(),
            self._progress_html(job, watch),
            gr.update(visible=running or job.state == "queued"),
            gr.update(visible=paused),
            gr.update(visible=running),
            gr.update(visible=job.state in _LIVE_STATES),
            sheet_html(samples[shown].path, samples[shown].kimg) if samples else empty_html("The first sheet of samples is on its way."),
            gr.update(maximum=max(last, 1), value=shown, visible=last > 0),
            gr.update(value=quality, visible=len(quality) > 1),
            gr.update(value=losses, visible=len(losses) > 2),
            gr.update(value=strength, visible=len(strength) > 2),
            gr.update(value=distance, visible=len(distance) > 2),
            gr.update(value=long_form(curves, {"memory": "MB"}, scale=2**-20), visible=len(curves.get("memory", ())) > 2),
            gr.update(value=long_form(curves, {"hours": "hours"}), visible=len(curves.get("hours", ())) > 2),
            gr.update(visible=len(curves.get("hours", ())) > 2),
            gr.update(visible=True),
            self.supervisor.logs(id)[-8000:],
            self._moments_html(watch, job.title),
        ]

    def _progress_html(self, job: Job, watch: Watch) -> str:
        share = watch.progress
        words = [f"<b>{html.escape(job.title)}</b>", STATES[job.state]]
        if share:
            words.append(f"{share:.0%}, {watch.kimg:.1f} thousand pictures shown")
        if job.state == "running":
            words.append("time left: " + (duration(watch.eta_seconds) if watch.eta_seconds is not None else "known after the first 20 steps"))
        if watch.speed:
            words.append(f"{watch.speed:.1f} pictures a second")
        if watch.best is not None:
            words.append(f"best KID {watch.best.kid:.3f} at {watch.best.kimg:.1f} kimg")
        if watch.memory:
            words.append(f"{watch.memory / 2**20:,.0f} MB of memory")
        told = html.escape(" ".join(t for t in (job.message, watch.taken_over) if t))
        if not self.supervisor.owner:
            told = f"{told} {html.escape(self.supervisor.sentence)}"
        return (f'<div class="gs-bar" role="progressbar" aria-valuenow="{share * 100:.0f}"><i style="width:{share * 100:.1f}%"></i></div>'
                + note(" · ".join(words)) + (note(told) if told.strip() else ""))  # fmt: skip

    def _scrub(self, session: Session, id: str, at: float) -> str:
        visit, samples = self._visit(session), self._watch(self.supervisor.job(id)).samples
        if not samples:
            return gr.skip()
        visit.at = at = min(int(at), len(samples) - 1)
        visit.follow = at == len(samples) - 1
        return sheet_html(samples[at].path, samples[at].kimg)

    def _order(self, verb: str):
        def order(id: str) -> None:
            getattr(self.supervisor, verb)(id)

        return order

    # -- using ---------------------------------------------------------------------------------------------------

    @staticmethod
    def _moments_html(watch: Watch, title: str) -> str:
        best = watch.best
        cells = []
        for m in watch.snapshots:
            kid = f" · KID {m.kid:.3f}" if m.kid is not None else ""
            star = "★ " if best is not None and m.path == best.path else ""
            cells.append({"src": file_url(m.path / "thumbnail.webp"), "label": f"{star}{m.kimg:.1f} kimg{kid}"})
        if not cells:
            return empty_html(_NO_MOMENT)
        whose = note(f"Of the training <b>{html.escape(title)}</b>; kimg counts the thousands of pictures it had been shown.")
        return whose + cells_html(cells, columns=4)

    def _use(self, session: Session, id: str, event: gr.EventData) -> list:
        """Keep a moment as a model of the artist's own, and open it."""
        visit, index = self._visit(session), event._data.get("index")
        if not (isinstance(index, int) and 0 <= index < len(visit.moments)):
            raise StudioError("That moment is no longer here.", "Look at the newest ones.")
        moment, job = visit.moments[index], self.supervisor.job(id)
        session.recipe = self.explore.first(self.keep(moment, job.title).id)
        return [gr.update(selected="explore"), *self.explore.show(session)]

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


def _hex(colour: str) -> str:
    """What a colour picker gives ('#aabbcc' or 'rgba(1, 2, 3, 1)') as '#aabbcc'."""
    if colour and colour.startswith("rgb"):
        parts = colour[colour.index("(") + 1 : colour.rindex(")")].split(",")[:3]
        return "#" + "".join(f"{max(0, min(255, round(float(p)))):02x}" for p in parts)
    return colour or "#ffffff"


def _field(label: str, elem_id: str) -> gr.Textbox:
    """For a number that may be left out; a field for numbers would show an empty one as 0, and send it."""
    return gr.Textbox("", label=label, placeholder="as chosen", max_lines=1, elem_id=elem_id)


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


def _set_label(stored: StoredSet) -> str:
    return f"{stored.title} · {stored.count:,} pictures · {stored.created[:10]}"


def _report_html(report: Report) -> str:
    parts = [note("<br>".join(html.escape(line) for line in report.lines()))]
    rejected = [f"<li>{html.escape(name)}: {html.escape(why)}</li>" for name, why in report.rejected]
    twins = [f"<li>{html.escape(name)}: the same as {html.escape(other)}</li>" for name, other in report.duplicates]
    near = [f"<li>{html.escape(', '.join(group))}</li>" for group in report.near]
    for label, items in (("Left out", rejected), ("Doubles", twins), ("Nearly alike, kept", near)):
        if items:
            more = f"<li>and {len(items) - 200:,} more</li>" if len(items) > 200 else ""
            opened = " open" if label == "Left out" else ""
            parts.append(f'<details class="gs-note"{opened}><summary>{label} ({len(items):,})</summary><ul>{"".join(items[:200])}{more}</ul></details>')
    return "".join(parts)
