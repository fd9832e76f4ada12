"""Panel of an image tab with one picture and its result: opened, converted with progress and Stop, shown, saved."""

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import gradio as gr
from gradio.events import Dependency

from studio.engine.engine import Engine
from studio.errors import StudioError
from studio.ui.components.handlers import QUIET, WORK, Outputs, friendly
from studio.ui.components.image_state import ImageState, PictureBudget
from studio.ui.components.notes import empty_html, note, refusal_html
from studio.ui.components.output_names import metadata_words
from studio.ui.components.tab import Tab
from studio.ui.components.work_progress import WorkProgress
from studio.ui.session import Session

_WORK = "picture"  # name of the work on the open picture

S = TypeVar("S", bound=ImageState)


class ResultPanel(ABC, Generic[S]):
    """The open picture beside what a model makes of it, built inside the current Blocks.

    engine: runs the models.  budget: for what all visitors have open.  begin: HTML while there is no picture.
    """

    begin: ClassVar[str]

    # made by `_build`
    stage: gr.HTML  # the picture
    info: gr.HTML  # a line about it
    tools: gr.Row  # buttons for the result
    save: gr.Button
    stop: gr.Button
    saved: gr.HTML
    download: gr.DownloadButton

    def __init__(self, engine: Engine, budget: PictureBudget):
        self.engine, self.budget = engine, budget
        self._build()

    @abstractmethod
    def _build(self) -> None:
        """Make the components."""

    @property
    @abstractmethod
    def outputs(self) -> list[Any]:
        """Components that a result or another picture changes."""

    @abstractmethod
    def show_source(self, state: S) -> Outputs:
        """The picture that was given, before there is a result. Raises StudioError when it cannot be used."""

    @abstractmethod
    def convert(self, session: Session, state: S, settings: tuple[Any, ...], progress: WorkProgress, cancel: Callable[[], bool]) -> Any:
        """Put the open picture through the model. Raises CancelledError once `cancel()` is true."""

    @abstractmethod
    def show_result(self, session: Session, state: S, made: Any, seconds: float) -> Outputs:
        """Show what `convert` has made, from now on the result of the open picture.  seconds: how long it took."""

    @abstractmethod
    def saved_file(self, session: Session, state: S, *settings: Any, progress: WorkProgress | None = None) -> Path:
        """Write the result at its full size as a PNG. Raises StudioError when there is none."""

    def wanted(self, state: S) -> bool:
        """Whether there is something to convert."""
        return state.path is not None

    def wire(self, tab: Tab[S], settings: list[Any]) -> None:
        """Connect Stop and Save.  settings: inputs that say what is done to the picture, the model first."""

        def save(session: Session, *values: Any, progress: gr.Progress = gr.Progress()) -> Outputs:
            path = self.saved_file(session, tab.state_of(session), *values, progress=WorkProgress(progress, "Saving"))
            words = note(session.workspace.saved_note(path, metadata_words()))
            return {self.saved: gr.update(value=words, visible=True), self.download: gr.update(value=str(path), visible=True)}

        self.stop.click(lambda session: tab.stop_work(session, _WORK), tab.session, None, **QUIET)
        self.save.click(
            friendly(save),
            [tab.session, *settings],
            [self.saved, self.download],
            show_progress="minimal",
            show_progress_on=self.saved,
            api_visibility="private",
            concurrency_limit=None,
        )

    # -- opening -------------------------------------------------------------------------------------------------

    def open(self, state: S, path: str | Path | None) -> Outputs:
        """Another picture is given, or the open one is taken away (None).

        Raises StudioError, with an empty state, for a file that cannot be used.
        """
        if (work := state.works.get(_WORK)) is not None:
            work.stop.set()  # ends a run on the previous picture; the next run gets an event of its own
            work.stop = threading.Event()
        state.give(Path(path) if path else None)
        if path is None:
            return self.blank(empty_html(self.begin))
        try:
            return self.show_source(state)
        except StudioError:
            state.path = None
            raise

    def blank(self, stage: str) -> Outputs:
        """The panel without a result.  stage: HTML in the picture's place."""
        return {**{part: gr.update(visible=False) for part in self.outputs}, self.stage: stage}

    def refuse(self, error: StudioError) -> Outputs:
        """Why the picture cannot be used, in its place."""
        return self.blank(refusal_html(error))

    # -- converting ----------------------------------------------------------------------------------------------

    def run_after(self, tab: Tab[S], event: Dependency, settings: list[Any], only: Callable[[S], bool] = lambda state: True) -> Dependency:
        """Wire the conversion of the open picture to follow an event.  only: whether to, for a visitor's state.

        Returns the last event of it.
        """

        def begin(session: Session) -> Outputs:
            state = tab.state_of(session)
            work = tab.work_of(session, _WORK)
            work.running += 1
            if not only(state):
                return {}
            work.stop.set()  # an older run ends
            work.stop = threading.Event()
            return {self.stop: gr.update(visible=self.wanted(state))}

        def run(session: Session, *values: Any, progress: gr.Progress = gr.Progress()) -> Outputs:
            return self.run(tab, session, values, progress) if only(tab.state_of(session)) else {}

        def end(session: Session) -> Outputs:
            work = tab.work_of(session, _WORK)
            work.running = max(0, work.running - 1)
            return {} if work.running else {self.stop: gr.update(visible=False)}

        options: dict[str, Any] = {"show_progress_on": self.stage, "trigger_mode": "multiple", **WORK}
        begun = event.success(friendly(begin), tab.session, self.stop, **QUIET)
        ran = begun.success(friendly(run), [tab.session, *settings], self.outputs, **options)
        return ran.then(friendly(end), tab.session, self.stop, **QUIET)

    def run(self, tab: Tab[S], session: Session, settings: tuple[Any, ...], progress: gr.Progress) -> Outputs:
        """Convert the open picture. Raises CancelledError when a newer run or another picture has overtaken this one."""
        state = tab.state_of(session)
        if not self.wanted(state) or not settings[0]:
            return {}
        path, stop, began = state.path, tab.work_of(session, _WORK).stop, time.perf_counter()

        def overtaken() -> bool:
            return state.path is not path or tab.work_of(session, _WORK).stop is not stop

        try:
            made = self.convert(session, state, settings, WorkProgress(progress), stop.is_set)
        except CancelledError:
            if overtaken():
                raise
            return self.show_stopped()
        if overtaken():
            raise CancelledError()
        return self.show_result(session, state, made, time.perf_counter() - began)

    def show_stopped(self) -> Outputs:
        """The visitor has pressed Stop."""
        return {self.info: gr.update(value=note("Stopped."), visible=True)}
