"""What the tabs share that make a picture from a picture: what is handed in, several at once, videos, and where results go."""

import dataclasses
import datetime
import functools
import secrets
import shutil
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import CancelledError
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from studio.common.text import safe_filename
from studio.engine.image_recipe import ImageRecipe
from studio.engine.recipe import Recipe
from studio.errors import StudioError
from studio.models.folder import ModelInfo
from studio.outputs.batches import process_files
from studio.outputs.video_translation import convert_video
from studio.provenance.metadata import save_picture
from studio.provenance.policy import file_stem, provenance_policy
from studio.provenance.source_pictures import find_source
from studio.ui.components.handlers import QUIET, WORK, Outputs, friendly
from studio.ui.components.notes import note
from studio.ui.components.progress import WorkProgress
from studio.ui.components.tab import Page, Tab, TabState
from studio.ui.components.targets import Target
from studio.ui.session import Session
from studio.ui.tabs import TABS
from studio.ui.translate.view import outcomes_html

ONE, MANY, CLIP = "one", "many", "clip"
_WHATS = [("One picture", ONE), ("Several pictures", MANY), ("A video", CLIP)]
_SMOOTHING = [("None: each frame by itself", "none"), ("Light", "light"), ("Strong: least flicker", "strong")]
TILES = [("As it suits this machine", 0), ("256 px", 256), ("512 px", 512), ("1024 px", 1024)]


class AnyPicture(gr.Image):
    """Hands over the file as it was sent; damaged ones too, so that we can say what is wrong with them."""

    is_template = True

    def preprocess(self, payload):
        return payload.path if payload is not None and payload.path else super().preprocess(payload)


@dataclass
class ImageVisit(TabState):
    """What one visitor does in such a tab.

    model: that was chosen last.  path: the picture that was given.  busy: runs that are not over.
    stop, stop_many, stop_clip: set to end what is being made.
    """

    model: str = ""
    path: Path | None = None
    busy: int = 0
    stop: threading.Event = field(default_factory=threading.Event)
    stop_many: threading.Event = field(default_factory=threading.Event)
    stop_clip: threading.Event = field(default_factory=threading.Event)

    def let_go(self) -> None:
        """Forget what takes room and can be made again."""

    def close(self) -> None:
        for stop in (self.stop, self.stop_many, self.stop_clip):
            stop.set()
        self.let_go()


class ImageTab(Tab[Any]):
    """Base of the tabs that make a picture from a picture.

    A tab has: `settings`, `enter` with `enter_inputs` and `enter_outputs`, `_saved_file`, `_restored_settings`, and `_build` and
    `_wire`.
    """

    verb = ""  # on buttons
    made = ""  # what has happened to a picture, in a word
    state_type: type[ImageVisit] = ImageVisit

    def __init__(self, page: Page):
        self._recent: OrderedDict[str, int] = OrderedDict()  # visitor -> bytes of what is kept, oldest first
        self.arrived = gr.State("")  # changes when another tab sends a picture
        super().__init__(page)

    def _visit(self, session: Session | None) -> Any:
        return self.state_of(session)

    def _remember(self, session: Session, size: int, most: int) -> None:
        """What visitors who came last have open is kept, `most` bytes of all; that of others is let go."""
        with self._lock:
            self._recent.pop(session.id, None)
            self._recent[session.id] = size
            while sum(self._recent.values()) > most and len(self._recent) > 1:
                id, _ = self._recent.popitem(last=False)
                self._states[id].let_go()

    def forget(self, session: Session) -> None:
        """The visitor has left."""
        with self._lock:
            self._recent.pop(session.id, None)
        super().forget(session)

    # -- parts of the page ---------------------------------------------------------------------------------------

    def _build_input(self) -> None:
        with gr.Column(elem_id=f"{self.id}-input"):
            self.what = gr.Radio(_WHATS, value=ONE, label=f"What to {self.verb.lower()}", elem_id=f"{self.id}-what")
            self.picture = AnyPicture(
                type="filepath",
                image_mode=None,
                sources=["upload", "clipboard", "webcam"],
                height=220,
                label="Your picture",
                elem_id=f"{self.id}-picture",
                elem_classes="gs-drop",
                buttons=[],
            )
            self.files = gr.File(
                label="Drop pictures here",
                file_count="multiple",
                height=200,
                visible=False,
                elem_id=f"{self.id}-files",
                elem_classes="gs-drop",
            )
            self.video = gr.File(
                label="Drop a video here",
                height=200,
                visible=False,
                elem_id=f"{self.id}-video",
                elem_classes="gs-drop",
            )

    def _build_many(self, words: str) -> None:
        with gr.Column(visible=False, elem_id=f"{self.id}-many") as self.many:
            gr.HTML(
                note(f"<b>Several pictures.</b> {words} The zip keeps their names. One that cannot be used is named and stops nothing."),
                padding=False,
            )
            with gr.Row(elem_classes="gs-tools"):
                self.start_many = gr.Button(f"{self.verb} them", variant="primary", elem_id=f"{self.id}-start-many")
                self.stop_many = gr.Button("Stop", visible=False, elem_id=f"{self.id}-stop-many")
            self.many_view = gr.HTML("", visible=False, padding=False, elem_id=f"{self.id}-many-view")
            self.zip = gr.DownloadButton("Download the zip", visible=False, elem_id=f"{self.id}-zip")

    def _build_clip(self, words: str, stage: gr.HTML, smoothing: str) -> None:
        """stage: made where it is to be shown, for the first frame."""
        with gr.Column(visible=False, elem_id=f"{self.id}-clip") as self.clip:
            gr.HTML(note(f"<b>A video.</b> {words}"), padding=False)
            self.clip_stage = stage.render()
            self.clip_facts = gr.HTML("", visible=False, padding=False, elem_id=f"{self.id}-clip-facts")
            self.smoothing = gr.Radio(
                _SMOOTHING,
                value=smoothing,
                label="Against flicker (temporal smoothing)",
                elem_id=f"{self.id}-smoothing",
                info="Calms what stands still; what moves stays sharp.",
            )
            with gr.Row(elem_classes="gs-tools"):
                self.start_clip = gr.Button(f"{self.verb} the video", variant="primary", elem_id=f"{self.id}-start-clip")
                self.stop_clip = gr.Button("Stop", visible=False, elem_id=f"{self.id}-stop-clip")
            self.clip_note = gr.HTML("", visible=False, padding=False, elem_id=f"{self.id}-clip-note")
            self.clip_view = gr.Video(show_label=False, visible=False, interactive=False, elem_id=f"{self.id}-clip-view", buttons=[])
            self.clip_file = gr.DownloadButton("Download the video (MP4)", visible=False, elem_id=f"{self.id}-clip-file")

    # -- wiring --------------------------------------------------------------------------------------------------

    def _wire_intake(self) -> None:
        """What is handed in, several pictures, and videos."""
        s = self.session
        self.what.input(_choose_what, self.what, self._modes[1:], **QUIET)
        self._work(
            self.start_many,
            self.stop_many,
            "stop_many",
            self._make_many,
            [s, self.files, *self.settings],
            [self.many_view, self.zip],
            self.many_view,
        )
        self._work(
            self.start_clip,
            self.stop_clip,
            "stop_clip",
            self._make_clip,
            [s, self.video, self.smoothing, *self.settings],
            [self.clip_note, self.clip_view, self.clip_file],
            self.clip_note,
        )

    def _run_after(self, event, only: Callable[[Any], bool] = lambda visit: True) -> None:
        """Make something of the open picture, with progress and a way to stop. only: of a visit, whether to."""

        def begin(session: Session) -> dict:
            return self._begin(session, only(self._visit(session)))

        def run(session: Session, *settings, progress: gr.Progress = gr.Progress()) -> list:
            if not only(self._visit(session)):
                return [gr.skip()] * len(self._shown)
            return self._run(session, *settings, progress=progress)

        begun = event.success(friendly(begin), self.session, self.stop, **QUIET)
        ran = begun.success(
            friendly(run), [self.session, *self.settings], self._shown, show_progress_on=self.stage, trigger_mode="multiple", **WORK
        )
        ran.then(friendly(self._end), self.session, self.stop, **QUIET)

    def _begin(self, session: Session, really: bool = True) -> dict:
        visit = self._visit(session)
        visit.busy += 1
        if not really:
            return gr.skip()
        visit.stop.set()  # an older run ends
        visit.stop = threading.Event()
        return gr.update(visible=self._wanted(visit))

    def _wanted(self, visit: Any) -> bool:
        """Whether there is something to make."""
        return visit.path is not None

    def _end(self, session: Session) -> dict:
        visit = self._visit(session)
        visit.busy = max(0, visit.busy - 1)
        return gr.skip() if visit.busy else gr.update(visible=False)

    def _work(self, button, stop, flag: str, run: Callable, inputs: list, outputs: list, view) -> None:
        """A button that begins long work, with progress on `view`, and one that ends it. flag: the visit's Event for it."""

        def begin(session: Session) -> list:
            getattr(self._visit(session), flag).clear()
            return [gr.update(visible=True), gr.update(value=note("Beginning ..."), visible=True)]

        work = button.click(friendly(begin), self.session, [stop, view], **QUIET).then(
            friendly(run), inputs, outputs, show_progress_on=view, **WORK
        )
        work.failure(lambda: [gr.update(visible=False), gr.update(value="", visible=False)], None, [stop, view], **QUIET)
        work.success(lambda: gr.update(visible=False), None, stop, **QUIET)
        stop.click(lambda session: getattr(self._visit(session), flag).set(), self.session, None, **QUIET)

    # -- from and to other tabs ----------------------------------------------------------------------------------

    def add_targets(self, targets: list[Target]) -> None:
        """Buttons that send the result elsewhere, as the path of a PNG. Called once all tabs are built."""
        with self.tools:
            self.target_buttons(targets, self._saved_file, self.settings)

    @property
    def picture_target(self) -> Target:
        """For other tabs: a picture file is opened here."""

        def send(session: Session, path: Path, *values) -> Outputs:
            self._visit(session).path = Path(path)
            entered = dict(zip(self.enter_outputs, self.enter(session, *values), strict=True))
            return {**entered, self.picture: str(path), self.arrived: secrets.token_hex(8)}

        return Target(self.id, self.verb, send, [*self.enter_outputs, self.picture, self.arrived], self.enter_inputs)

    @property
    def recipe_target(self) -> Target:
        """For other tabs: what a recipe draws is opened here."""
        there = self.picture_target

        def send(session: Session, recipe: Recipe, *values) -> Outputs:
            recipe = self.engine.stamped(recipe)
            path = session.workspace.transfer_folder() / f"{safe_filename(recipe.model)}-seed{recipe.seed}.png"
            return there.open(session, save_picture(self.engine.render(recipe), recipe, path), *values)

        return dataclasses.replace(there, open=send)

    @property
    def saved_target(self) -> Target:
        """For other tabs: the settings of a saved result come back, see `restore`."""
        return Target(self.id, self.verb, self.restore, self.restored)

    @property
    def model_target(self) -> Target:
        """For other tabs: the tab is opened with this model chosen."""

        def open_model(session: Session, model: ModelInfo) -> Outputs:
            self._visit(session).model = model.id
            return dict(zip(self.enter_outputs, self.enter(session, *[None] * len(self.enter_inputs)), strict=True))

        return Target(self.id, f"Open in {TABS[self.id].title}", open_model, self.enter_outputs)

    @property
    def restored(self) -> list:
        """Outputs of `restore`."""
        return list(dict.fromkeys([*self.enter_outputs, *self.settings, *self._modes, self.arrived]))

    def restore(self, session: Session, recipe: ImageRecipe, made: Path) -> dict:
        """Component -> value: the tab as it was when a result was saved, with the picture that it was made from.

        made: the file of the result. It is opened instead when that picture is no longer kept.
        Raises StudioError when the model is not here, or is another kind of model by now.
        """
        warning, visit = self.engine.check(recipe), self._visit(session)
        visit.model = recipe.model
        shown = self._restored_settings(session, recipe)
        if visit.model != recipe.model:
            raise StudioError(f"The model '{recipe.model:.100}' cannot {self.verb.lower()} pictures.", "Another one has its name now.")
        if warning:
            gr.Warning(warning)
        if made.suffix.lower() == ".mp4":
            gr.Info("These are the settings of the video. Videos that are handed in are not kept: give it again.")
            return shown
        source = find_source(recipe.source, session.workspace.sources)
        if source is None:
            gr.Warning("The picture that this one was made from is no longer kept. This one itself is opened instead.")
        visit.path = _lent(
            session.workspace.transfer_folder(), source or made, f"{made.stem.split(f'-{recipe.model}-')[0]}{(source or made).suffix}"
        )
        modes = dict(zip(self._modes, [ONE, *_choose_what(ONE)], strict=True))
        return {**shown, **modes, self.picture: gr.update(value=str(visit.path), visible=True), self.arrived: secrets.token_hex(8)}

    @property
    def _modes(self) -> list:
        return [self.what, self.one, self.many, self.clip, self.picture, self.files, self.video]

    # -- several pictures, and videos ----------------------------------------------------------------------------

    def _into_zip(
        self, session: Session, files: list[str] | None, make: Callable, open_file: Callable, model: str, about: str, progress: gr.Progress
    ) -> list:
        """make: (what was opened, progress, cancel) -> as `make_files` wants it. For [many_view, zip]."""
        if not files:
            raise StudioError("There are no pictures yet.", "Drop some into the box first.")
        stop, pace = self._visit(session).stop_many.is_set, WorkProgress(progress, "Pictures")

        def made(opened: Any) -> tuple[Image.Image, bytes | Path]:
            begun = pace.done
            return make(opened, lambda done, all_: pace(begun + done / all_, len(files)), stop)

        path = self._output(session, f"{len(files)}-pictures-{model}", ".zip")
        outcomes = process_files(made, files, path, about, pace, stop, open_file, self.made)
        some = any(o.entry for o in outcomes)
        view = gr.update(value=outcomes_html(outcomes, self.made), visible=True)
        return [view, gr.update(value=str(path) if some else None, visible=some)]

    def _into_clip(self, session: Session, video: str, smoothing: str, recipe: ImageRecipe, make: Callable, progress: gr.Progress) -> list:
        """make: (recipe, frame, cancel=...) -> frame. For [clip_note, clip_view, clip_file]."""
        stop = self._visit(session).stop_clip.is_set
        path = self._output(session, file_stem(f"{safe_filename(Path(video).stem)}-{recipe.model}"), ".mp4")
        try:
            frame = functools.partial(make, recipe, cancel=stop)
            convert_video(video, path, frame, smoothing, WorkProgress(progress, "Frames"), stop, recipe)
        except CancelledError:
            return [gr.update(value=note("Stopped; nothing was kept.")), gr.update(visible=False), gr.update(visible=False)]
        text = note(session.workspace.saved_note(path))
        return [gr.update(value=text, visible=True), gr.update(value=str(path), visible=True), gr.update(value=str(path), visible=True)]

    def _output(self, session: Session, stem: str, ending: str) -> Path:
        """A new file for a result. Its name cannot be guessed, for whoever knows it may download it."""
        moment = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
        return session.workspace.output(self.id, f"{stem}-{moment}-{secrets.token_hex(6)}{ending}")


def _lent(folder: Path, path: Path, name: str) -> Path:
    """A copy of a kept file in a folder from where the browser may have it, under the name that its results are called after."""
    copy = folder / safe_filename(name)
    try:
        shutil.copyfile(path, copy)
    except OSError as e:
        raise StudioError(f"The picture cannot be opened: {e.strerror or e}.", "Is it still there, and room on the disk?") from None
    return copy


def need_video(video: str | None) -> str:
    """Raises StudioError when there is none."""
    if not video:
        raise StudioError("There is no video yet.", "Drop one into the box first.")
    return video


def _choose_what(what: str) -> list:
    """For [one, many, clip, picture, files, video]."""
    return [gr.update(visible=what == w) for w in (ONE, MANY, CLIP)] * 2


def inside() -> str:
    """How the sentence on a saved picture ends: what its file tells."""
    return ", with the recipe inside" if provenance_policy().includes_recipe else ", marked as made by AI"


def percent(share: float) -> float:
    """0.57 -> 57, not 56.99999999999999."""
    return round(share * 100, 6)


def known_tile(tile: int) -> int:
    """A size of pieces that can be chosen; another is left to the machine, for the result is the same."""
    return tile if tile in [size for _, size in TILES] else 0
