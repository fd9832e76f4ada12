"""Parts of the Translate page: what the way back lost, and words for files."""

import html

import numpy as np
from PIL import Image, ImageChops

from studio.imaging.xmp import DigitalSourceType
from studio.models.folder import ModelInfo
from studio.outputs.batches import Outcome
from studio.ui.components.compare import figures_html
from studio.ui.components.notes import note
from studio.ui.components.pictures import file_url

LOUDER = 4  # how much brighter than it is the difference is shown
_LOST = (
    (0.01, "Nearly everything came back."),
    (0.04, "Most came back; fine detail was lost."),
    (0.12, "The picture can be recognised; much detail was lost."),
    (2.0, "Little came back: the model keeps the result far from the source."),
)


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
