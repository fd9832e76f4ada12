"""Step 3 of Train: progress of a training, its samples over time, its metrics and curves, and buttons to pause or end it."""

import html
from collections.abc import Callable

import gradio as gr

from studio.jobs.dependants import LIVE_STATES
from studio.jobs.queue import Job
from studio.jobs.supervisor import Supervisor
from studio.metrics.registry import metrics
from studio.training.run_history import RunHistory
from studio.ui.components.handlers import QUIET, Outputs, friendly
from studio.ui.components.notes import empty_html, note
from studio.ui.components.work_progress import duration
from studio.ui.session import Session
from studio.ui.train.plots import CURVE_PLOTS, RESOURCE_PLOTS, curve_plot, curve_update, metric_plot, metric_update
from studio.ui.train.state import TrainState
from studio.ui.train.watch_view import KEEP_AT_JS, KEEP_JOB_JS, STATES, best_words, sheet_html, thousands

_NO_JOB = (
    "No training yet. Create a training set under <b>1 Training set</b>, then press <b>Start training</b> under <b>2 What to make</b>."
)
_LOG_CHARS = 8000
_HIDDEN = gr.update(visible=False)


class WatchStep:
    """The page "3 Watch".

    state: session -> the visitor's state.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        session: gr.State,
        state: Callable[[Session | None], TrainState],
    ):
        self.supervisor, self.session, self._state = supervisor, session, state
        self._histories: dict[str, RunHistory] = {}

    def build(self) -> None:
        """The page, inside the current Tab."""
        self.job = gr.Dropdown([], label="Training", elem_id="train-job", visible=False)
        self.progress = gr.HTML(empty_html(_NO_JOB), padding=False, elem_id="train-progress")
        with gr.Row(elem_classes="gs-tools"):
            self.pause = gr.Button("Pause", visible=False, elem_id="train-pause")
            self.resume = gr.Button("Resume", visible=False, elem_id="train-resume")
            self.finish = gr.Button("Finish now", visible=False, elem_id="train-finish")
            self.cancel = gr.Button("Cancel", visible=False, elem_id="train-cancel")
            self.open_last = gr.Button("Keep the last snapshot", visible=False, variant="primary", elem_id="train-open")
        with gr.Row(equal_height=False):
            with gr.Column(scale=6, min_width=320):
                self.samples = gr.HTML(padding=False, elem_id="train-samples")
                self.timeline = gr.Slider(
                    0, 1, 0, step=1, label="Samples so far: drag to go back in time", visible=False, elem_id="train-timeline"
                )
            with gr.Column(scale=4, min_width=300):
                self.metrics = {metric.name: metric_plot(metric) for metric in metrics()}
                self.curves = {plot: curve_plot(plot) for plot in CURVE_PLOTS}
                with gr.Accordion("Time and memory", open=False, visible=False) as self.resources_box:
                    self.resources = {plot: curve_plot(plot) for plot in RESOURCE_PLOTS}
                with gr.Accordion("Log", open=False, visible=False) as self.log_box:
                    self.log = gr.Textbox(show_label=False, lines=12, max_lines=12, interactive=False)
        self.timer = gr.Timer(2)

    @property
    def outputs(self) -> list:
        """Components that may change as the run progresses; known once the page is wired."""
        plots = [*self.metrics.values(), *self.curves.values(), *self.resources.values()]
        buttons = [self.pause, self.resume, self.finish, self.cancel]
        page = [self.job, self.progress, *buttons, self.samples, self.timeline, *plots, self.resources_box, self.log_box, self.log]
        return [*page, *self._followers_outputs]

    def wire(self, followers: Callable[[Job, RunHistory], Outputs], followers_outputs: list) -> None:
        """Connect the events of the page.

        followers: (job, run) -> updates of components elsewhere that follow the run, which are followers_outputs.
        """
        self._followers, self._followers_outputs = followers, followers_outputs
        s, outputs = self.session, self.outputs
        self.job.change(None, self.job, None, js=KEEP_JOB_JS, **QUIET)
        self.timeline.input(None, self.timeline, None, js=KEEP_AT_JS, **QUIET)
        self.job.input(friendly(self._select_job), [s, self.job], outputs, **QUIET).success(
            None, None, None, js="() => studioPlace.put('at', null)", **QUIET
        )
        self.timer.tick(friendly(self._tick), [s, self.job], outputs, **QUIET)
        self.timeline.input(friendly(self._scrub), [s, self.job, self.timeline], self.samples, **{**QUIET, "trigger_mode": "always_last"})
        requests = {
            self.pause: self.supervisor.pause,
            self.resume: self.supervisor.resume,
            self.finish: self.supervisor.finish,
            self.cancel: self.supervisor.cancel,
        }
        for button, request in requests.items():
            button.click(friendly(_without_result(request)), self.job, None, **QUIET).success(
                friendly(self.redraw), [s, self.job], outputs, **QUIET
            )

    # -- the run -------------------------------------------------------------------------------------------------

    def history(self, job: Job) -> RunHistory:
        """The events of a training, read up to now."""
        return self._histories.setdefault(job.id, RunHistory(job.run_dir)).refresh()

    def job_choices(self, chosen: str | None) -> Outputs:
        """Update of the list of trainings, the newest first; the newest is selected when `chosen` is not among them."""
        jobs = self.supervisor.jobs()
        if not any(j.id == chosen for j in jobs):
            chosen = jobs[0].id if jobs else None
        return {self.job: gr.update(choices=[(f"{j.title} · {j.state}", j.id) for j in jobs], value=chosen, visible=bool(jobs))}

    def redraw(self, session: Session, id: str | None) -> Outputs:
        """All of the page, even if nothing has changed."""
        self._state(session).drawn = ()
        return self._tick(session, id)

    def _select_job(self, session: Session, id: str | None) -> Outputs:
        self._state(session).follow = True
        return self.redraw(session, id)

    def _tick(self, session: Session | None, id: str | None) -> Outputs:
        """What has changed since the page was last drawn."""
        if session is None or not id:
            return {}
        state, job = self._state(session), self.supervisor.job(id)
        run = self.history(job)
        now = (id, job.state, job.message, run.bytes_read)
        if now == state.drawn:
            return {}
        state_changed = not state.drawn or state.drawn[:2] != now[:2]
        state.drawn = now
        state.snapshots = run.snapshots
        curves = run.curves
        running = job.state == "running"
        return {
            **(self.job_choices(id) if state_changed else {}),
            self.progress: self._progress_html(job, run),
            self.pause: gr.update(visible=running or job.state == "queued"),
            self.resume: gr.update(visible=job.state in ("paused", "failed", "cancelled")),
            self.finish: gr.update(visible=running),
            self.cancel: gr.update(visible=job.state in LIVE_STATES),
            **self._samples_shown(state, run),
            **{self.metrics[metric.name]: metric_update(metric, state.snapshots) for metric in metrics()},
            **{component: curve_update(plot, curves) for plot, component in {**self.curves, **self.resources}.items()},
            self.resources_box: gr.update(visible=len(curves.get("hours", ())) > 2),
            self.log_box: gr.update(visible=True),
            self.log: self.supervisor.logs(id)[-_LOG_CHARS:],
            **self._followers(job, run),
        }

    def _samples_shown(self, state: TrainState, run: RunHistory) -> Outputs:
        samples = run.samples
        last = max(len(samples) - 1, 0)
        at = last if state.follow else min(state.at, last)
        return {
            self.samples: sheet_html(samples[at]) if samples else empty_html("The first sheet of samples is on its way."),
            self.timeline: gr.update(maximum=max(last, 1), value=at, visible=last > 0),
        }

    def _scrub(self, session: Session, id: str, at: float) -> Outputs:
        state, samples = self._state(session), self.history(self.supervisor.job(id)).samples
        if not samples:
            return {}
        state.at = min(int(at), len(samples) - 1)
        state.follow = state.at == len(samples) - 1
        return {self.samples: sheet_html(samples[state.at])}

    def _progress_html(self, job: Job, run: RunHistory) -> str:
        share = run.progress
        facts = [f"<b>{html.escape(job.title)}</b>", STATES[job.state]]
        if share:
            facts.append(f"{share:.0%}, {thousands(run.kimg)} thousand pictures shown")
        if job.state == "running":
            facts.append("time left: " + (duration(run.eta_seconds) if run.eta_seconds is not None else "known after the first 20 steps"))
        if run.speed:
            facts.append(f"{run.speed:.1f} pictures per second")
        if run.best is not None:
            facts.append(best_words(run.best))
        if run.memory:
            facts.append(f"{run.memory / 2**20:,.0f} MB of memory")
        sentences = [
            job.message,
            run.transfer_summary,
            run.sets_summary,
            run.patches_summary,
            "" if self.supervisor.owner else self.supervisor.sentence,
        ]
        details = html.escape(" ".join(s for s in sentences if s))
        bar = f'<div class="gs-bar" role="progressbar" aria-valuenow="{share * 100:.0f}"><i style="width:{share * 100:.1f}%"></i></div>'
        return bar + note(" · ".join(facts)) + (note(details) if details else "")


def _without_result(request: Callable[[str], Job]) -> Callable[[str], None]:
    def handler(id: str) -> None:
        request(id)

    return handler
