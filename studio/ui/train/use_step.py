"""Step 4 of Train: the snapshots of a training, each of which can be kept as a model and opened in another tab."""

import html
from typing import Any

import gradio as gr

from studio.jobs.queue import Job
from studio.metrics.registry import summary
from studio.models.folder import ModelInfo, open_folder
from studio.models.manage import keep_snapshot
from studio.training.run_history import RunHistory, Snapshot
from studio.ui.components.handlers import Outputs
from studio.ui.components.notes import empty_html, note
from studio.ui.components.picture_html import file_url
from studio.ui.components.press_grid import cells_html, press_grid
from studio.ui.components.tab import Page
from studio.ui.components.targets import Target
from studio.ui.session import Session
from studio.ui.tabs import TABS
from studio.ui.train.watch_view import thousands

_NO_SNAPSHOT = "The first snapshot appears here as soon as the training has saved one."
_INTRO = (
    "<b>Snapshots.</b> Press one to keep it as a model of your own and open it; the training goes on. A star marks the best by its metric, "
    "but trust your own eyes."
)


class UseStep:
    """The page "4 Use it".  page: the tabs built so far are those that can open a model."""

    def __init__(self, page: Page):
        self.engine, self.tabs, self.targets = page.engine, page.tabs, page.targets("model")

    def build(self) -> None:
        """The page, inside the current Tab."""
        gr.HTML(note(_INTRO), padding=False)
        self.snapshots = press_grid(value=empty_html(_NO_SNAPSHOT), elem_id="train-moments")

    @property
    def opened_outputs(self) -> list:
        """Components that `keep_and_open` may change."""
        return list(dict.fromkeys(output for target in self.targets for output in target.outputs_with(self.tabs)))

    def keep_and_open(self, session: Session, snapshot: Snapshot, title: str) -> Outputs:
        """Keep a snapshot as a model of the artist's own, and open it where that is possible.  title: of the training."""
        model = keep_snapshot(self.engine.library, snapshot.path, f"{title}-{snapshot.kimg:g}k".replace(".", "-"))
        target = self._target(model)
        if target is None:
            gr.Info(f"Kept among your models as '{model.id}'.")
            return {}
        return target.open_there(self.tabs)(session, model)

    def keep_button(self, job: Job, run: RunHistory) -> dict[str, Any]:
        """Update of the button that keeps the last snapshot of a finished training."""
        if job.state != "done" or not run.snapshots:
            return gr.update(visible=False)
        target = self._target(open_folder(run.snapshots[-1].path))
        label = f"Keep the last snapshot and open it in {TABS[target.id].title}" if target else "Keep the last snapshot as a model"
        return gr.update(visible=True, value=label)

    def snapshots_html(self, run: RunHistory, title: str) -> str:
        """Snapshots to press, each with its metrics.  title: of the training."""
        snapshots, best = run.snapshots, run.best
        if not snapshots:
            return empty_html(_NO_SNAPSHOT)
        cells = []
        for snapshot in snapshots:
            star = "★ " if best is not None and snapshot.path == best.path else ""
            label = " · ".join(filter(None, [f"{star}{thousands(snapshot.kimg)} kimg", summary(snapshot.values)]))
            cells.append({"src": file_url(snapshot.path / "thumbnail.webp"), "label": label})
        about = note(f"From the training <b>{html.escape(title)}</b>; kimg is how many thousand pictures it had been shown.")
        return about + cells_html(cells, columns=4)

    def _target(self, model: ModelInfo) -> Target | None:
        return next((t for t in self.targets if t.suits(model)), None)
