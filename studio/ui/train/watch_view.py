"""Texts, sheets and scripts of the Watch page."""

from studio.metrics.registry import summary
from studio.training.run_history import Sample, Snapshot
from studio.ui.components.notes import note
from studio.ui.components.picture_html import file_url
from studio.ui.train.translation_view import rows_html

# What the browser keeps of the page, so that a reload shows the same training at the same point in time.
KEPT_JS = "(...all) => [...all.slice(0, -1), { job: studioPlace.get('job'), at: studioPlace.get('at') }]"
KEEP_JOB_JS = "(job) => { if (job) studioPlace.put('job', job) }"
KEEP_AT_JS = """(at) => {
  const newest = Number(document.querySelector('#train-timeline input[type=range]')?.max) <= at;
  studioPlace.put('at', newest ? null : at);
}"""

STATES = {
    "queued": "waiting for its turn",
    "running": "in progress",
    "paused": "paused: nothing is lost",
    "stopping": "stopping after this step",
    "done": "finished",
    "failed": "failed",
    "cancelled": "cancelled; its snapshots are kept",
}


def sheet_html(sample: Sample) -> str:
    """A sheet of samples; for a model that translates or upscales, with a label before each row."""
    picture, kimg = file_url(sample.path), sample.kimg
    if sample.rows:
        return rows_html(picture, sample.rows, kimg)
    return f'<div class="gs-stage gs-sheet"><img alt="Samples after {kimg:g} kimg" src="{picture}"></div>' + note(
        f"The same 64 latents after {thousands(kimg)} thousand pictures (kimg)."
    )


def best_words(best: Snapshot) -> str:
    """The best snapshot in a few words: its metric, and when it was saved."""
    return f"best {summary(best.values)} at {thousands(best.kimg)} kimg"


def thousands(kimg: float) -> str:
    """Thousands of pictures with a sensible number of digits."""
    return f"{kimg:.1f}" if kimg >= 10 else f"{kimg:.2f}"
