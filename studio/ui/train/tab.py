"""The Train tab: from your own pictures to a model of your own, in four steps. A training continues when the page is closed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.events import Dependency

from studio.datasets.pairs import BY_NAME, BY_ORDER
from studio.datasets.sources import UploadedFile
from studio.datasets.store import DataSetStore
from studio.errors import StudioError
from studio.jobs.queue import Job
from studio.training.methods import get_goal, get_method
from studio.training.plan_builder import build_plan
from studio.training.run_history import RunHistory
from studio.ui.components.handlers import QUIET, Outputs, friendly
from studio.ui.components.press_grid import pressed
from studio.ui.components.tab import Page, Tab
from studio.ui.components.targets import Target
from studio.ui.components.training_set_view import hex_colour
from studio.ui.session import Session
from studio.ui.train.images_step import ImagesStep
from studio.ui.train.plan_step import PlanStep
from studio.ui.train.state import TrainState
from studio.ui.train.use_step import UseStep
from studio.ui.train.watch_step import WatchStep
from studio.ui.train.watch_view import KEPT_JS


class TrainTab(Tab[TrainState]):
    """Four steps: images, plan, watch and use. The page has a supervisor."""

    id = "train"
    state_type = TrainState
    enter_js = KEPT_JS

    def __init__(self, page: Page):
        if page.supervisor is None:
            raise ValueError("the Train tab needs a queue")
        self.supervisor, self.datasets = page.supervisor, page.datasets or DataSetStore()
        self.plan = PlanStep(page.engine, self.supervisor, self.datasets)
        self.images = ImagesStep(self.datasets, self.supervisor, page.session, self.plan.default_amount_html)
        self.use = UseStep(page)
        self.watch = WatchStep(self.supervisor, page.session, self.state_of)
        super().__init__(page)

    def _build(self) -> None:
        with gr.Tabs(selected="pictures", elem_id="train-steps", overflow_behavior="wrap") as self.steps:
            with gr.Tab("1 Training set", id="pictures"):
                self.images.build()
            with gr.Tab("2 What to make", id="make"):
                self.plan.build()
            with gr.Tab("3 Watch", id="watch"):
                self.watch.build()
            with gr.Tab("4 Use it", id="use"):
                self.use.build()
        self.kept = gr.JSON(visible=False)

    def _wire(self) -> None:
        s, images, plan, watch, use = self.session, self.images, self.plan, self.watch, self.use
        images.wire()
        choose = [s, *images.chosen]
        goal_chosen = images.goal.input(friendly(self._choose_goal), choose, [*images.outputs, *plan.outputs], **QUIET)
        went_on = images.next.click(friendly(self._go_to_plan), choose[:4], [self.steps, plan.title, *plan.outputs], **QUIET)
        went_on.success(None, None, None, js="() => studioPlace.put('step', '2 What to make')", **QUIET)
        plan.wire(images.a.set, images.background, [goal_chosen, went_on])
        started = plan.start.click(friendly(self._start), {*choose, images.mirror, *plan.inputs}, [self.steps, watch.job], **QUIET)
        watch.wire(self._follow_run, [watch.open_last, use.snapshots])
        started.success(friendly(watch.redraw), [s, watch.job], watch.outputs, **QUIET).success(
            None, None, None, js="() => { studioPlace.put('step', '3 Watch'); studioPlace.put('at', null) }", **QUIET
        )
        use.snapshots.select(friendly(self._use), [s, watch.job], use.opened_outputs, **QUIET)
        watch.open_last.click(friendly(self._use_last), [s, watch.job], use.opened_outputs, **QUIET)

    def forget(self, session: Session) -> None:
        """Drop the state of a visitor who has left."""
        super().forget(session)
        for zone in (self.images.a, self.images.b):
            zone.forget(session)

    # -- opening the tab -----------------------------------------------------------------------------------------

    @property
    def enter_inputs(self) -> list:
        """Choices of the first two steps, the training that is shown, and what the browser remembers."""
        return [*self.images.chosen, self.watch.job, self.plan.method, self.plan.base, self.kept]

    @property
    def enter_outputs(self) -> list:
        """Components that `enter` may change."""
        return [*self.images.outputs, self.watch.job, *self.plan.outputs]

    def enter(
        self,
        session: Session,
        goal: str,
        set_a: str | None,
        set_b: str | None,
        crop: str,
        background: str,
        by_order: bool,
        job: str | None,
        method: str,
        base: str | None,
        kept: dict | None,
    ) -> Outputs:
        """Training sets and trainings as they are when the tab is opened.

        kept: {"job", "at"}, remembered by the browser from before a reload.
        """
        state = self.state_of(session)
        state.drawn = ()
        set_a = self.images.existing_or_newest(set_a)
        if not job and kept:
            job = kept.get("job")
            at = str(kept.get("at") or "")
            if at.isdecimal():
                state.follow, state.at = False, int(at)
        if set_a and not state.method_settled:
            state.method_settled = True
            methods = self.plan.suggest(goal, set_a)
        else:
            methods = self.plan.bases(method, base)
        return {**self.images.shown(session, goal, set_a, set_b, crop, background, by_order), **self.watch.job_choices(job), **methods}

    def after_enter(self, entered: Dependency) -> Dependency:
        """Open the step that was open before a reload."""
        return entered.then(None, None, None, js="() => studioPlace.openStep()", **QUIET)

    @property
    def picture_target(self) -> Target:
        """Pictures from other tabs, which are added to those for the next training set."""
        files = self.images.a.files

        def add_picture(session: Session, path: Path, waiting: list[UploadedFile] | None) -> Outputs:
            return {self.steps: gr.update(selected="pictures"), files: [*(waiting or []), str(path)]}

        return Target("train", "Use for training", add_picture, [self.steps, files], [files])

    # -- from step to step ---------------------------------------------------------------------------------------

    def _choose_goal(
        self, session: Session, goal: str, set_a: str | None, set_b: str | None, crop: str, background: str, by_order: bool
    ) -> Outputs:
        self.state_of(session).method_settled = True
        return {**self.images.choose_goal(session, goal, set_a, set_b, crop, background, by_order), **self.plan.suggest(goal, set_a)}

    def _go_to_plan(self, session: Session, goal: str, set_a: str, set_b: str | None) -> Outputs:
        self.state_of(session).method_settled = True
        title = " to ".join(self.images.titles(goal, set_a, set_b))
        return {self.steps: gr.update(selected="make"), self.plan.title: title, **self.plan.suggest(goal, set_a)}

    def _start(self, values: Mapping[Any, Any]) -> Outputs:
        """Build the plan and put it into the queue."""
        images, set_a, set_b = self.images, values[self.images.a.set], values[self.images.b.set]
        if not set_a:
            raise StudioError("There are no pictures to learn from.", "Create a training set under '1 Training set'.")
        choices = self.plan.choices(
            values,
            crop=values[images.crop],
            ground=hex_colour(values[images.background]),
            mirror=bool(values[images.mirror]),
            pairs=BY_ORDER if values.get(images.by_order) else BY_NAME,
        )
        two = get_goal(get_method(choices.method).goal).image_sets != "one"
        plan = build_plan(choices, self.datasets.get(set_a), self.datasets.get(set_b) if two and set_b else None, self.engine.library)
        job = self.supervisor.submit(plan, plan.card.title)
        self.state_of(values[self.session]).follow = True
        return {self.steps: gr.update(selected="watch"), **self.watch.job_choices(job.id)}

    def _follow_run(self, job: Job, run: RunHistory) -> Outputs:
        return {self.watch.open_last: self.use.keep_button(job, run), self.use.snapshots: self.use.snapshots_html(run, job.title)}

    def _use(self, session: Session, job_id: str, event: gr.EventData) -> Outputs:
        snapshot = pressed(event, self.state_of(session).snapshots, "That snapshot is no longer here.", "Look at the newest ones.")
        return self.use.keep_and_open(session, snapshot, self.supervisor.job(job_id).title)

    def _use_last(self, session: Session, job_id: str) -> Outputs:
        job = self.supervisor.job(job_id)
        snapshots = self.watch.history(job).snapshots
        if not snapshots:
            raise StudioError("There is no snapshot yet.", "Wait for the first one.")
        return self.use.keep_and_open(session, snapshots[-1], job.title)
