"""Add a model: a file of one's own, an address on the web, a repository of the Hugging Face Hub, or one that is well known."""

import html
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass, field
from pathlib import Path

import gradio as gr

from studio.engine.engine import Engine
from studio.errors import StudioError
from studio.models.acquire import add
from studio.models.folder import ModelInfo, safe_name
from studio.models.manage import checked_title, rename
from studio.ui.components.handlers import QUIET, friendly
from studio.ui.components.notes import note, refusal_html
from studio.ui.components.press_grid import press_grid
from studio.ui.models.view import DownloadProgress, known_html
from studio.ui.session import Session

_FILE, _WEB, _HUB, _KNOWN = "file", "web", "hub", "known"
_WAYS = [("A file of mine", _FILE), ("From the web", _WEB), ("From Hugging Face", _HUB), ("Well-known ones", _KNOWN)]
_FORMATS = (
    "Checkpoints of StyleGAN, BigGAN, CycleGAN, pix2pix, ESRGAN and most other upscalers (.pkl, .pth, .safetensors, .bin), and zips "
    "that were exported here. What comes in several files, such as .param and .bin, is given together. Nothing in them is run."
)
_TOKEN = "Only for a private or gated model. It is used once and kept nowhere."


@dataclass
class _Visit:
    """What one visitor adds.  stop: set to cancel it.  busy: whether something is being added.  known: index of what was pressed."""

    stop: threading.Event = field(default_factory=threading.Event)
    busy: bool = False
    known: int = -1


class AddModel:
    """Builds the box inside the current Blocks; `wire` connects it."""

    def __init__(self, engine: Engine, session: gr.State):
        self.engine, self.session = engine, session
        self._visits: dict[str, _Visit] = {}
        with gr.Accordion("Add a model", open=False, elem_id="models-add-box"):
            self.way = gr.Radio(_WAYS, value=_FILE, label="From where", elem_id="models-way")
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
            with gr.Column(visible=False) as self.known_box:
                self.known = press_grid(elem_id="models-known")
            with gr.Row(elem_classes="gs-field") as self.add_box:
                self.title = gr.Textbox("", label="Name (optional)", max_lines=1, max_length=120, elem_id="models-title")
                self.add = gr.Button("Add it", variant="primary", elem_id="models-add")
            self.view = gr.HTML("", visible=False, padding=False, elem_id="models-add-view")
            self.stop = gr.Button("Cancel", visible=False, elem_id="models-add-stop")

    @property
    def lists(self) -> list:
        """Outputs of `listed`."""
        return [self.known]

    def listed(self, models: Sequence[ModelInfo]) -> dict:
        """The well-known ones, with those marked that are here already."""
        here = {m.extra.get("downloaded_from") for m in models if isinstance(m.extra.get("downloaded_from"), str)}
        return {self.known: known_html(add.CATALOGUE, {k.source for k in add.CATALOGUE if {k.source, f"hub:{k.source}"} & here})}

    # -- wiring --------------------------------------------------------------------------------------------------

    def wire(self, added: Callable[..., dict], look: list, outputs: list) -> None:
        """Connect it.  added: (session, model, *values of `look` after the session) -> values for `outputs`, when a model has come."""
        boxes = [self.file_box, self.web_box, self.hub_box, self.known_box, self.add_box]
        self.way.input(_choose_way, self.way, boxes, **QUIET)
        given = [self.files, self.url, self.repo, self.revision, self.token, self.title]
        self._added = added
        begun = self.add.click(friendly(self._begin), self.session, [self.stop, self.view], **QUIET)
        self._run_after(begun, self._add, [*look, self.way, *given], [*given, *outputs])
        begun = self.known.select(friendly(self._begin_known), self.session, [self.stop, self.view], **QUIET)
        self._run_after(begun, self._add_known, look, [*given, *outputs])
        self.stop.click(lambda session: self._visit(session).stop.set(), self.session, None, **QUIET)

    def _run_after(self, begun, run: Callable, inputs: list, outputs: list) -> None:
        work = begun.success(
            friendly(run),
            inputs,
            [self.view, *outputs],
            show_progress="full",
            show_progress_on=self.view,
            api_visibility="private",
            concurrency_limit=None,
        )
        work.failure(lambda: [gr.update(visible=False), gr.update(visible=False), ""], None, [self.stop, self.view, self.token], **QUIET)
        work.success(lambda: gr.update(visible=False), None, self.stop, **QUIET)

    def _visit(self, session: Session | None) -> _Visit:
        if session is None:
            raise StudioError("The page is still opening.", "Try again in a moment.")
        return self._visits.setdefault(session.id, _Visit())

    def _begin(self, session: Session) -> list:
        visit = self._visit(session)
        if visit.busy:
            raise StudioError("A model is being added already.", "Wait for it, or cancel it.")
        visit.busy = True
        visit.stop.clear()
        return [gr.update(visible=True), gr.update(value=note("Beginning ..."), visible=True)]

    def _begin_known(self, session: Session, event: gr.EventData) -> list:
        shown = self._begin(session)
        self._visit(session).known = event._data.get("index", -1)
        return shown

    # -- adding --------------------------------------------------------------------------------------------------

    def _add(
        self,
        session: Session,
        what: str,
        find: str,
        way: str,
        files: list[str] | None,
        url: str,
        repo: str,
        revision: str,
        token: str,
        title: str,
        progress: gr.Progress = gr.Progress(),
    ) -> dict:
        def come(pace: DownloadProgress, stop: Callable[[], bool]) -> ModelInfo:
            wanted = checked_title(title) if title.strip() else ""
            library, told = self.engine.library, {"name": safe_name(wanted) if wanted else None, "progress": pace, "cancel": stop}
            if way == _FILE:
                with tempfile.TemporaryDirectory(prefix="studio-given-") as folder:
                    info = add.add(_together(files, Path(folder)), library, **told)
            elif way == _WEB:
                info = add.add(_address(url), library, **told)
            else:
                info = add.add(_repository(repo), library, revision=revision.strip() or None, token=token.strip() or None, **told)
            return rename(library, info.id, wanted) if wanted else info

        return self._told(session, come, progress, what, find)

    def _add_known(self, session: Session, what: str, find: str, progress: gr.Progress = gr.Progress()) -> dict:
        def come(pace: DownloadProgress, stop: Callable[[], bool]) -> ModelInfo:
            index = self._visit(session).known
            if not (isinstance(index, int) and 0 <= index < len(add.CATALOGUE)):
                raise StudioError("That model is no longer in the list.", "Reload the page.")
            wanted = add.CATALOGUE[index]
            info = add.add(wanted.source, self.engine.library, progress=pace, cancel=stop)
            return rename(self.engine.library, info.id, wanted.title)

        return self._told(session, come, progress, what, find)

    def _told(self, session: Session, come: Callable, progress: gr.Progress, what: str, find: str) -> dict:
        """Add a model, and say what came of it. The token is forgotten whatever that is."""
        visit = self._visit(session)
        try:
            info = come(DownloadProgress(progress), visit.stop.is_set)
        except CancelledError:
            return {self.view: note("Cancelled; nothing was added."), self.token: ""}
        except StudioError as e:
            return {self.view: refusal_html(e), self.token: ""}
        finally:
            visit.busy = False
        empty = {self.files: None, self.url: "", self.repo: "", self.revision: "", self.token: "", self.title: ""}
        return {self.view: note(f"<b>{html.escape(info.title)}</b> is here now."), **empty, **self._added(session, info, what, find)}


def _choose_way(way: str) -> list:
    """For [file_box, web_box, hub_box, known_box, add_box]."""
    return [*(gr.update(visible=way == w) for w in (_FILE, _WEB, _HUB, _KNOWN)), gr.update(visible=way != _KNOWN)]


def _together(files: list[str] | None, folder: Path) -> Path:
    """Uploaded files, each of which came into a folder of its own, beside each other in `folder` -> the one to read."""
    if not files:
        raise StudioError("There is no file yet.", "Drop one into the box first.")
    paths = [Path(f) for f in files]
    if len(paths) == 1:
        return paths[0]
    for path in paths:
        try:
            os.link(path, folder / path.name)
        except FileExistsError:
            raise StudioError(f"Two of the files are called {path.name}.", "Give one model at a time.") from None
        except OSError:
            shutil.copyfile(path, folder / path.name)
    kinds = {p.suffix.lower() for p in paths}
    first = ".param" if ".param" in kinds else next((p.suffix.lower() for p in paths if p.suffix.lower() != ".json"), ".json")
    return min(p for p in folder.iterdir() if p.suffix.lower() == first)


def _address(text: str) -> str:
    """What was typed as an address. A path on the server is none."""
    if add.source_type(text.strip()) == "file" or "://" not in text:
        raise StudioError("That is no address on the web.", "It begins with https:// and names a file.")
    return text.strip()


def _repository(text: str) -> str:
    """What was typed as a repository -> the address of its page."""
    text = text.strip()
    if add.source_type(text) != "hub":
        raise StudioError("That is no repository.", "Write it as user/name, as its page on Hugging Face is called.")
    return text if "://" in text else f"https://huggingface.co/{text}"
