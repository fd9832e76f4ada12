"""Base of all tabs: the state of each visitor, long work with Stop, and what other tabs send there."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, cast

import gradio as gr
from gradio.components.base import Component
from gradio.events import Dependency

from studio.datasets.store import DataSetStore
from studio.engine.engine import Engine
from studio.errors import StudioError
from studio.gallery.gallery import Gallery
from studio.jobs.supervisor import Supervisor
from studio.ui.access.serving import ServingPolicy
from studio.ui.components.handlers import QUIET, WORK, Outputs, friendly
from studio.ui.components.notes import note
from studio.ui.components.targets import Target, target_buttons
from studio.ui.live.moves import LiveMoves
from studio.ui.session import Session
from studio.ui.tabs import TABS, Given


@dataclass
class Page:
    """What the tabs of one page have in common.

    session: holds the visitor's Session.  tabs: the row of tabs, for switching between them; None = the tab stands alone.
    policy: what is offered, and to whom.  supervisor: the queue of trainings; None = nothing can be trained.
    datasets: image sets of the host; None = visitors see none.  gallery: Session -> the saved files of its visitor.
    built: the tabs built so far, by id.  live: the controls whose pictures follow the hand.
    """

    engine: Engine
    session: gr.State
    tabs: gr.Tabs | None = None
    policy: ServingPolicy = ServingPolicy()
    supervisor: Supervisor | None = None
    datasets: DataSetStore | None = None
    gallery: Callable[[Session], Gallery] | None = None
    built: "dict[str, Tab]" = field(default_factory=dict)

    def __post_init__(self):
        self.live = LiveMoves(self.engine, self.session)

    def targets(self, given: Given, ids: Sequence[str] = tuple(TABS)) -> list[Target]:
        """Targets of the tabs built so far that open a model, a recipe, ...; those of `ids`, in their order."""
        tabs = [self.built[id] for id in ids if id in self.built and given in TABS[id].opens]
        return [tab.target_for(given) for tab in tabs]


@dataclass
class Work:
    """One button's long work: set `stop` to end it.  running: how many runs are not over yet."""

    stop: threading.Event = field(default_factory=threading.Event)
    running: int = 0


@dataclass
class TabState:
    """What one visitor does in one tab. Subclasses add what theirs remembers."""

    works: dict[str, Work] = field(default_factory=dict, kw_only=True, repr=False)

    def close(self) -> None:
        """Free what would otherwise stay in memory or on disk. All long work has been asked to stop."""


State = TypeVar("State", bound=TabState)


class Tab(Generic[State]):
    """One tab, built inside the current Blocks. Handlers return {component: new value}; components left out stay as they are.

    A subclass sets `id` (of its entry in TABS) and `state_type`, and has `_build` (what is on the page), `_wire` (which handler
    follows which event), a property `<given>_target` for each thing it opens (TABS[id].opens), and `enter` where something happens
    when it is opened.
    """

    id: str = ""
    state_type: type[Any] = TabState
    enter_js: str | None = None  # run in the browser before `enter`; it may replace the values of `enter_inputs`
    stage: gr.HTML  # the large picture, of tabs that use a model (TABS[id].uses)

    def __init__(self, page: Page):
        self.page, self.engine, self.session = page, page.engine, page.session
        self._states: dict[str, State] = {}
        self._lock = threading.RLock()
        self._build()
        self._wire()

    def _build(self) -> None:
        """Make the components."""
        raise NotImplementedError

    def _wire(self) -> None:
        """Connect them with their handlers."""
        raise NotImplementedError

    # -- visitors ------------------------------------------------------------------------------------------------

    def state_of(self, session: Session | None) -> State:
        """What this visitor does here. Raises StudioError while the page is still opening and there is no session."""
        if session is None:
            raise StudioError("The page is still opening.", "Try again in a moment.")
        with self._lock:
            if session.id not in self._states:
                self._states[session.id] = self._new_state(session)
            return self._states[session.id]

    def _new_state(self, session: Session) -> State:
        return cast(State, self.state_type())

    def forget(self, session: Session) -> None:
        """The visitor has left: stop their work and drop their state."""
        with self._lock:
            state = self._states.pop(session.id, None)
        if state is not None:
            for work in state.works.values():
                work.stop.set()
            state.close()

    # -- when the tab is opened ----------------------------------------------------------------------------------

    @property
    def enter_inputs(self) -> list[Component]:
        """Components whose values `enter` is given after the session."""
        return []

    @property
    def enter_outputs(self) -> list[Any]:
        """Components that `enter` may change."""
        return []

    def enter(self, session: Session, *values: Any) -> Outputs:
        """What is shown when the visitor opens the tab."""
        return {}

    def after_enter(self, entered: Dependency) -> Dependency:
        """Wire what follows on `enter`; returns the last event of it."""
        return entered

    # -- other tabs ----------------------------------------------------------------------------------------------

    def target_for(self, given: Given) -> Target:
        """How a model, a recipe, a picture or a saved picture is opened here. TABS says which of these a tab opens."""
        return getattr(self, f"{given}_target")

    def add_targets(self, targets: list[Target]) -> None:
        """Add buttons that send results to other tabs. Called once all tabs are built."""

    def target_buttons(
        self, targets: Sequence[Target], chosen: Callable[..., Any], given: Sequence[Any] = (), prefix: str | None = None
    ) -> None:
        """Buttons that send a result to each target, with element ids '<prefix>-<target>'.

        chosen: (session, *values of `given`) -> what is sent.  prefix: None = the id of this tab.
        """
        target_buttons(list(targets), prefix or self.id, self.page.tabs, self.session, chosen, given)

    # -- long work -----------------------------------------------------------------------------------------------

    def long_work(
        self,
        name: str,
        button: gr.Button,
        stop: gr.Button,
        run: Callable[..., Outputs],
        inputs: Sequence[Any],
        outputs: Sequence[Any],
        *,
        view: gr.HTML | None = None,
        prepare: Callable[[Session], Any] | None = None,
        hide: Sequence[Component] = (),
        stopped: str = "Stopped; nothing was saved.",
        wiring: dict[str, Any] = WORK,
    ) -> Dependency:
        """A button that starts long work, and one that stops it, visible only while it runs.

        name: of the work, for `stopping`.  run: (session, *values of `inputs`, progress=gr.Progress) -> values; it passes
        `self.stopping(session, name)` on as `cancel`. Starting it again ends an older run of the same visitor.
        view: where progress and errors are shown; it is hidden when the work fails.  prepare: checks before; an error there starts nothing.
        hide: components that disappear at the start, such as the download of an older result.
        Returns the event of the run.
        """

        def begin(session: Session) -> Outputs:
            if prepare is not None:
                prepare(session)
            with self._lock:
                work = self.work_of(session, name)
                work.stop.set()
                work.stop, work.running = threading.Event(), work.running + 1
            shown: Outputs = {stop: gr.update(visible=True), **{part: gr.update(visible=False) for part in hide}}
            if view is not None:
                shown[view] = gr.update(value=note("Starting ..."), visible=True)
            return shown

        def running(session: Session, *values: Any, progress: gr.Progress = gr.Progress()) -> Outputs:
            mine = self.work_of(session, name).stop
            try:
                return run(session, *values, progress=progress)
            except CancelledError:
                overtaken = self.work_of(session, name).stop is not mine
                return {} if view is None or overtaken else {view: gr.update(value=note(stopped), visible=True)}

        def end(session: Session, failed: bool) -> Outputs:
            with self._lock:
                work = self.work_of(session, name)
                work.running = max(0, work.running - 1)
                if work.running:
                    return {}
            shown: Outputs = {stop: gr.update(visible=False)}
            if view is not None and failed:
                shown[view] = gr.update(value="", visible=False)
            return shown

        def end_well(session: Session) -> Outputs:
            return end(session, False)

        def end_badly(session: Session) -> Outputs:
            return end(session, True)

        shown = [stop, *([view] if view is not None else [])]
        running.__name__ = getattr(run, "__name__", name)  # for the log
        started = button.click(friendly(begin), self.session, [*shown, *hide], **QUIET)
        parts = {"show_progress_on": view} if view is not None else {}
        wanted: list[Any] = list(dict.fromkeys([*([view] if view is not None else []), *outputs]))
        done = started.success(friendly(running), list(inputs), wanted, **parts, **wiring)
        done.success(friendly(end_well), self.session, shown, **QUIET)
        done.failure(friendly(end_badly), self.session, shown, **QUIET)
        stop.click(friendly(lambda session: self.stop_work(session, name)), self.session, None, **QUIET)
        return done

    def stopping(self, session: Session, name: str) -> Callable[[], bool]:
        """A function that says whether the latest run of the visitor's work called `name` should stop, to be called repeatedly."""
        return self.work_of(session, name).stop.is_set

    def stop_work(self, session: Session, name: str) -> None:
        """Ask the visitor's work called `name` to stop."""
        self.work_of(session, name).stop.set()

    def work_of(self, session: Session, name: str) -> Work:
        """The visitor's work called `name`."""
        with self._lock:
            return self.state_of(session).works.setdefault(name, Work())
