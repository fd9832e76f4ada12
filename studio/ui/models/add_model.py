"""Form of the Models tab that adds a model: a file, a web address, a repository of the Hugging Face Hub, or the catalogue."""

from __future__ import annotations

import html
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from studio.errors import StudioError
from studio.models.acquire import add
from studio.models.endings import endings_in_words
from studio.models.folder import ModelInfo, safe_name
from studio.models.importers import Statistics
from studio.models.manage import checked_title, rename
from studio.ui.components.handlers import QUIET, Outputs, friendly
from studio.ui.components.notes import note, refusal_html
from studio.ui.components.press_grid import press_grid, pressed
from studio.ui.components.work_progress import WorkProgress
from studio.ui.models.view import catalogue_html
from studio.ui.session import Session

if TYPE_CHECKING:
    from studio.ui.models.tab import ModelsTab

_FILE, _WEB, _HUB, _CATALOGUE = "file", "web", "hub", "catalogue"
_SOURCES = [("From a file", _FILE), ("From the web", _WEB), ("From Hugging Face", _HUB), ("Well-known models", _CATALOGUE)]
_FORMATS = (
    f"Checkpoints of StyleGAN, BigGAN, CycleGAN, pix2pix, ESRGAN and most other upscalers ({endings_in_words('and')}), and zips "
    "exported here. Drop files that belong together, such as .param and .bin, at the same time. No code in them is run."
)
_TOKEN = "Only for a private or gated model. It is used once and not stored."
_STATISTICS = [("Each picture's statistics, as published", "picture"), ("Running statistics of its training", "running")]
_HIDDEN = gr.update(visible=False)

# Adds a model: (callback for bytes (what, done, total), whether to stop) -> the model.
_Add = Callable[[Callable[[str, int, int | None], None], Callable[[], bool]], ModelInfo]


@dataclass
class AddState:
    """What one visitor is adding.

    stop: set to cancel it.  busy: whether something is being added.  entry: source of the entry of the catalogue that was pressed.
    """

    stop: threading.Event = field(default_factory=threading.Event)
    busy: bool = False
    entry: str = ""


class AddModel:
    """The form above the cards."""

    def __init__(self, tab: ModelsTab):
        self.tab, self.engine, self.session = tab, tab.engine, tab.session
        with gr.Accordion("Add a model", open=False, elem_id="models-add-box"):
            self.source = gr.Radio(_SOURCES, value=_FILE, label="Source", elem_id="models-way")
            with gr.Column() as self.file_box:
                gr.HTML(note(_FORMATS), padding=False)
                self.files = gr.File(
                    label="Drop it here", file_count="multiple", height=140, elem_id="models-files", elem_classes="gs-drop"
                )
            with gr.Column(visible=False) as self.web_box:
                self.url = gr.Textbox("", label="Address of the file", placeholder="https://...", max_lines=1, elem_id="models-url")
            with gr.Column(visible=False) as self.hub_box:
                with gr.Row(equal_height=True):
                    self.repo = gr.Textbox(
                        "", label="Repository", placeholder="user/name", max_lines=1, min_width=180, elem_id="models-repo"
                    )
                    self.revision = gr.Textbox(
                        "", label="Revision (optional)", placeholder="main", max_lines=1, min_width=120, elem_id="models-revision"
                    )
                self.token = gr.Textbox(
                    "", label="Access token (optional)", info=_TOKEN, type="password", max_lines=1, elem_id="models-token"
                )
            with gr.Column(visible=False) as self.catalogue_box:
                self.catalogue = press_grid(elem_id="models-known")
            with gr.Row(elem_classes="gs-field") as self.add_box:
                self.title = gr.Textbox("", label="Name (optional)", max_lines=1, max_length=120, elem_id="models-title")
                self.statistics = gr.Dropdown(
                    _STATISTICS, value="picture", label="Batch norm (pix2pix, CycleGAN)", min_width=200, elem_id="models-statistics"
                )
                self.add = gr.Button("Add it", variant="primary", elem_id="models-add")
            self.view = gr.HTML("", visible=False, padding=False, elem_id="models-add-view")
            self.stop = gr.Button("Cancel", visible=False, elem_id="models-add-stop")

    @property
    def outputs(self) -> list:
        """Components that `shown` may change."""
        return [self.catalogue]

    def shown(self, models: Sequence[ModelInfo]) -> Outputs:
        """The catalogue, with the models marked that are in the library already."""
        here = {m.extra.get("downloaded_from") for m in models if isinstance(m.extra.get("downloaded_from"), str)}
        sources = {entry.source for entry in add.CATALOGUE if {entry.source, f"hub:{entry.source}"} & here}
        return {self.catalogue: catalogue_html(add.CATALOGUE, sources)}

    # -- wiring --------------------------------------------------------------------------------------------------

    def wire(self) -> None:
        """Connect the events."""
        boxes = [self.file_box, self.web_box, self.hub_box, self.catalogue_box, self.add_box]
        self.source.input(self._choose_source, self.source, boxes, **QUIET)
        form = [self.files, self.url, self.repo, self.revision, self.token, self.title]
        begun = self.add.click(friendly(self._begin), self.session, [self.stop, self.view], **QUIET)
        self._run_after(begun, self._add, [*self.tab.filter_inputs, self.source, self.statistics, *form], form)
        begun = self.catalogue.select(friendly(self._begin_from_catalogue), self.session, [self.stop, self.view], **QUIET)
        self._run_after(begun, self._add_from_catalogue, self.tab.filter_inputs, form)
        self.stop.click(friendly(lambda session: self._state(session).stop.set()), self.session, None, **QUIET)

    def _run_after(self, begun: Any, run: Callable[..., Outputs], inputs: list, form: list) -> None:
        work = begun.success(
            friendly(run),
            inputs,
            [self.view, *form, *self.tab.enter_outputs, *self.tab.enter_inputs],
            show_progress="full",
            show_progress_on=self.view,
            api_visibility="private",
            concurrency_limit=None,
        )
        failed = {self.stop: _HIDDEN, self.view: _HIDDEN, self.token: ""}
        work.failure(lambda: failed, None, list(failed), **QUIET)
        work.success(lambda: _HIDDEN, None, self.stop, **QUIET)

    def _state(self, session: Session | None) -> AddState:
        return self.tab.state_of(session).adding

    def _choose_source(self, source: str) -> Outputs:
        boxes = {self.file_box: _FILE, self.web_box: _WEB, self.hub_box: _HUB, self.catalogue_box: _CATALOGUE}
        shown = {box: gr.update(visible=source == name) for box, name in boxes.items()}
        return {**shown, self.add_box: gr.update(visible=source != _CATALOGUE)}

    def _begin(self, session: Session) -> Outputs:
        state = self._state(session)
        if state.busy:
            raise StudioError("A model is being added already.", "Wait for it, or cancel it.")
        state.busy = True
        state.stop.clear()
        return {self.stop: gr.update(visible=True), self.view: gr.update(value=note("Starting ..."), visible=True)}

    def _begin_from_catalogue(self, session: Session, event: gr.EventData) -> Outputs:
        entry = pressed(event, add.CATALOGUE, "That model is no longer in the list.")
        shown = self._begin(session)
        self._state(session).entry = entry.source
        return shown

    # -- adding --------------------------------------------------------------------------------------------------

    def _add(
        self,
        session: Session,
        ability: str,
        find: str,
        source: str,
        statistics: Statistics,
        files: list[str] | None,
        url: str,
        repo: str,
        revision: str,
        token: str,
        title: str,
        progress: gr.Progress = gr.Progress(),
    ) -> Outputs:
        def acquire(transferred: Callable[[str, int, int | None], None], stopping: Callable[[], bool]) -> ModelInfo:
            wanted = checked_title(title) if title.strip() else ""
            library, name = self.engine.library, safe_name(wanted) if wanted else None
            options: dict[str, Any] = {"name": name, "statistics": statistics, "progress": transferred, "cancel": stopping}
            if source == _FILE:
                with tempfile.TemporaryDirectory(prefix="studio-given-") as folder:
                    info = add.add(_in_one_folder(files, Path(folder)), library, **options)
            elif source == _WEB:
                info = add.add(_address(url), library, **options)
            else:
                info = add.add(_repository(repo), library, revision=revision.strip() or None, token=token.strip() or None, **options)
            return rename(library, info.id, wanted) if wanted else info

        return self._run(session, acquire, progress, ability, find)

    def _add_from_catalogue(self, session: Session, ability: str, find: str, progress: gr.Progress = gr.Progress()) -> Outputs:
        def acquire(transferred: Callable[[str, int, int | None], None], stopping: Callable[[], bool]) -> ModelInfo:
            entry = next(entry for entry in add.CATALOGUE if entry.source == self._state(session).entry)
            info = add.add(entry.source, self.engine.library, progress=transferred, cancel=stopping)
            return rename(self.engine.library, info.id, entry.title)

        return self._run(session, acquire, progress, ability, find)

    def _run(self, session: Session, acquire: _Add, progress: gr.Progress, ability: str, find: str) -> Outputs:
        """Add a model and report the outcome. The token is cleared in any case."""
        state = self._state(session)
        try:
            info = acquire(WorkProgress(progress).transfer, state.stop.is_set)
        except CancelledError:
            return {self.view: note("Cancelled; nothing was added."), self.token: ""}
        except StudioError as e:
            return {self.view: refusal_html(e), self.token: ""}
        finally:
            state.busy = False
        cleared = {self.files: None, self.url: "", self.repo: "", self.revision: "", self.token: "", self.title: ""}
        added = note(f"<b>{html.escape(info.title)}</b> was added.")
        return {self.view: added, **cleared, **self.tab.open_added(session, info, ability, find)}


def _in_one_folder(files: list[str] | None, folder: Path) -> Path:
    """Move uploaded files, each of which has a folder of its own, into `folder`. Returns the one to read."""
    if not files:
        raise StudioError("There is no file yet.", "Drop one into the box first.")
    paths = [Path(f) for f in files]
    if len(paths) == 1:
        return paths[0]
    for path in paths:
        try:
            os.link(path, folder / path.name)
        except FileExistsError:
            raise StudioError(f"Two of the files are called {path.name}.", "Add one model at a time.") from None
        except OSError:
            shutil.copyfile(path, folder / path.name)
    suffixes = [p.suffix.lower() for p in paths]
    first = ".param" if ".param" in suffixes else next((s for s in suffixes if s != ".json"), ".json")
    return min(p for p in folder.iterdir() if p.suffix.lower() == first)


def _address(text: str) -> str:
    """The web address that was typed. Raises StudioError for a path on the server."""
    if add.source_type(text.strip()) == "file" or "://" not in text:
        raise StudioError("That is not a web address.", "A web address begins with https:// and leads to a file.")
    return text.strip()


def _repository(text: str) -> str:
    """The repository that was typed, as the address of its page."""
    text = text.strip()
    if add.source_type(text) != "hub":
        raise StudioError("That is not a repository.", "Write it as user/name, as on its page on Hugging Face.")
    return text if "://" in text else f"https://huggingface.co/{text}"
