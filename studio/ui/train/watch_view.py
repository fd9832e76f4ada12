"""Parts of the watch page of Train: what the browser keeps for a reload, plots, sheets, and words for states and times."""

import pandas as pd

from studio.metrics.registry import summary
from studio.training.run_history import Sample, Snapshot
from studio.ui.components.notes import note
from studio.ui.components.pictures import file_url
from studio.ui.train.translation_view import rows_html

# What the browser keeps of the watch page, so that a reload shows the same training at the same moment.
KEPT_JS = "(...all) => [...all.slice(0, -1), { job: studioPlace.get('job'), at: studioPlace.get('at') }]"
KEEP_JOB_JS = "(job) => { if (job) studioPlace.put('job', job) }"
KEEP_AT_JS = """(at) => {
  const newest = Number(document.querySelector('#train-timeline input[type=range]')?.max) <= at;
  studioPlace.put('at', newest ? null : at);
}"""

PLOT = dict(x_title="thousands (kimg)", height=200, visible=False)
CURVES = dict(x="kimg", y="value", color="curve", y_title=" ", color_title=" ", **PLOT)

STATES = {
    "queued": "waiting for its turn",
    "running": "learning",
    "paused": "paused: nothing is lost",
    "stopping": "stopping after this step",
    "done": "finished",
    "failed": "failed",
    "cancelled": "given up; what it made is kept",
}


def sheet_html(sample: Sample) -> str:
    """A sheet of samples; of a model that translates, with a label before each row."""
    picture, kimg = file_url(sample.path), sample.kimg
    if sample.rows:
        return rows_html(picture, sample.rows, kimg)
    return f'<div class="gs-stage gs-sheet"><img alt="Samples after {kimg:g} kimg" src="{picture}"></div>' + note(
        f"The same 64 latents after {thousands(kimg)} thousand pictures (kimg)."
    )


def best_words(best: Snapshot) -> str:
    """The best moment in a few words."""
    return f"best {summary(best.values)} at {thousands(best.kimg)} kimg"


def measured(moments: list[Snapshot], name: str) -> pd.DataFrame:
    """Rows for a plot of 'psnr' or 'ssim', ours and bicubic's."""
    found = [(m.kimg, curve, m.values.get(key)) for m in moments for key, curve in ((name, "ours"), (f"{name}_bicubic", "bicubic"))]
    rows = [{"kimg": x, "value": value, "curve": curve} for x, curve, value in found if value is not None]
    return pd.DataFrame(rows, columns=["kimg", "value", "curve"])


def around(rows: pd.DataFrame) -> list[float] | None:
    """Limits of a plot's y axis a little beyond what it shows; from zero on, near curves would be one line."""
    if rows.empty:
        return None
    low, high = float(rows["value"].min()), float(rows["value"].max())
    room = 0.1 * (high - low) or 0.01 * abs(high) or 1.0
    return [low - room, high + room]


def long_form(curves: dict, names: dict[str, str], most: int = 300, scale: float = 1.0) -> pd.DataFrame:
    """Curves as rows for a plot, thinned to `most` points each; values are multiplied by `scale`."""
    rows = []
    for key, label in names.items():
        points = curves.get(key, [])
        step = max(1, len(points) // most)
        rows += [{"kimg": float(x), "value": float(y) * scale, "curve": label} for x, y in points[::step]]
    return pd.DataFrame(rows, columns=["kimg", "value", "curve"])


def thousands(kimg: float) -> str:
    """Thousands of pictures with as many digits as one can use."""
    return f"{kimg:.1f}" if kimg >= 10 else f"{kimg:.2f}"
