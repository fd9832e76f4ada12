"""Parts of the Translate page: progress with the time that is left, what the way back lost, and words for files."""

import html
import math
import time
from collections.abc import Callable

import gradio as gr
import numpy as np
from PIL import Image, ImageChops

from studio.errors import StudioError
from studio.imaging.xmp import DigitalSourceType
from studio.models.folder import ModelInfo
from studio.outputs.batches import Outcome
from studio.ui.components.compare import figures_html
from studio.ui.components.notes import empty_html, note
from studio.ui.components.pictures import file_url
from studio.ui.train.watch_view import duration

_TELL = 0.3  # seconds between two words of progress
LOUDER = 4  # how much brighter than it is the difference is shown
_LOST = (
    (0.01, "Nearly everything came back."),
    (0.04, "Most came back; fine detail was lost."),
    (0.12, "The picture can be recognised; much detail was lost."),
    (2.0, "Little came back: the model keeps the result far from the source."),
)


class TimedProgress:
    """Tells progress with the time that is left.  what: the words before the numbers.  done: how far it is."""

    def __init__(self, progress: gr.Progress, what: str):
        self.progress, self.what, self.began, self.done = progress, what, time.perf_counter(), 0.0
        self._told = -math.inf

    def __call__(self, done: float, all_: float, name: str = "") -> None:
        self.done, now = done, time.perf_counter()
        if now - self._told < _TELL:  # thousands of pieces would keep the browser busy with nothing else
            return
        self._told = now
        if not all_:
            self.progress(None, desc=f"{self.what}: {done:.0f}")
            return
        spent = now - self.began
        left = f", {time_left(spent * (all_ - done) / done)} left" if done and spent > 2 else ""
        count = f": {done:.0f} of {all_:.0f}" if all_ > 1 else ""
        self.progress(done / all_, desc=f"{self.what}{count}{f', {name}' if name else ''}{left}")


def turn_told(pace: Callable, turn: int, turns: int, done: int, all_: int) -> None:
    """Progress of one of several goes through the network, as a share of all."""
    pace((turn + done / all_) / turns, 1)


def time_left(seconds: float) -> str:
    """Seconds as people say them."""
    return f"{seconds:.0f} s" if seconds < 90 else duration(seconds)


def what_was_lost(source: Image.Image, back: Image.Image) -> tuple[Image.Image, float]:
    """Two pictures of the same size -> their difference, brightened, and its mean.

    The mean absolute difference of the RGB values, each in [0, 1]; transparent parts count by their opacity.
    """
    weight = np.asarray(source.getchannel("A"), np.float32) / 255 if source.mode == "RGBA" else np.ones(source.size[::-1], np.float32)
    difference = np.asarray(ImageChops.difference(source.convert("RGB"), back.convert("RGB")), np.float32) * weight[:, :, None]
    lost = float(difference.sum() / 255 / 3 / max(float(weight.sum()), 1e-6))
    return Image.fromarray((difference * LOUDER).clip(0, 255).astype(np.uint8)), lost


def lost_in_words(lost: float) -> str:
    """What the mean difference that `what_was_lost` gives means to the eye."""
    return next(text for limit, text in _LOST if lost <= limit)


def refusal(e: StudioError) -> str:
    """Why a file cannot be used, where its picture would be."""
    return empty_html(f"<b>{html.escape(e.message)}</b><br>{html.escape(e.hint)}")


def outcomes_html(outcomes: list[Outcome], made: str) -> str:
    """What became of several files.  made: what was to happen to them, in a word."""
    good, bad = [o for o in outcomes if o.entry], [o for o in outcomes if not o.entry]
    text = f"<b>{len(good):,} of {len(outcomes):,} pictures {made}.</b>"
    if bad:
        text += f" Not {made}:<ul>" + "".join(f"<li>{html.escape(o.sentence)}</li>" for o in bad) + "</ul>"
    seen = [(o.preview, o.entry) for o in good if o.preview is not None]
    more = note(f"and {len(good) - len(seen):,} more in the zip.") if len(seen) < len(good) else ""
    return note(text) + figures_html([(*figure, DigitalSourceType.COMPOSITE) for figure in seen]) + more


def from_training(info: ModelInfo, direction: str) -> str:
    """The thumbnail of a model that was trained here: rows of what went in above rows of what came out, of A to B."""
    if direction != "AtoB" or info.thumbnail is None or not (info.path / "plan.toml").is_file():
        return ""
    picture = f'<img alt="Before and after" src="{file_url(info.thumbnail)}">'
    return note(f"<b>From its training.</b> What went in, and below it what came out.{picture}")
