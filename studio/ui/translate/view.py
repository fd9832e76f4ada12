"""HTML of the Translate tab: what the way back has lost, and examples from the training."""

import numpy as np
from PIL import Image, ImageChops

from studio.imaging.xmp import DigitalSourceType
from studio.models.folder import ModelInfo
from studio.ui.components.compare import figures_html
from studio.ui.components.notes import note
from studio.ui.components.picture_html import file_url

BRIGHTER = 4  # factor by which the difference is brightened
_LOSS_WORDS = (
    (0.01, "Nearly everything came back."),
    (0.04, "Most of it came back; fine detail was lost."),
    (0.12, "The picture is still recognisable; much detail was lost."),
    (2.0, "Little came back: the model takes the result far from the source."),
)


def cycle_html(pictures: list[tuple[Image.Image, str]]) -> str:
    """A picture, its translation and the translation back, with the cycle loss.

    pictures: these three, each with its words; the first and the last have the same size.
    """
    (source, _), _, (back, _) = pictures
    difference, loss = cycle_loss(source, back)
    text = (
        f"<b>The way back (cycle).</b> {loss_words(loss)} A colour value differs by <b>{loss * 100:.1f} %</b> on average "
        f"(mean absolute difference, {loss * 255:.1f} of 255 levels)."
    )
    figures: list[tuple[Image.Image, str, DigitalSourceType | None]] = [(*pictures[0], None)]
    figures += [(*pair, DigitalSourceType.COMPOSITE) for pair in pictures[1:]]
    figures.append((difference, f"What was lost, {BRIGHTER} times brighter than in reality", DigitalSourceType.COMPOSITE))
    return note(text) + figures_html(figures)


def cycle_loss(source: Image.Image, back: Image.Image) -> tuple[Image.Image, float]:
    """Two pictures of the same size -> their difference, brightened, and its mean.

    The mean absolute difference of the RGB values, each in [0, 1]; transparent parts count by their opacity.
    """
    weight = np.asarray(source.getchannel("A"), np.float32) / 255 if source.mode == "RGBA" else np.ones(source.size[::-1], np.float32)
    difference = np.asarray(ImageChops.difference(source.convert("RGB"), back.convert("RGB")), np.float32) * weight[:, :, None]
    loss = float(difference.sum() / 255 / 3 / max(float(weight.sum()), 1e-6))
    return Image.fromarray((difference * BRIGHTER).clip(0, 255).astype(np.uint8)), loss


def loss_words(loss: float) -> str:
    """What the mean difference of `cycle_loss` means to the eye."""
    return next(text for limit, text in _LOSS_WORDS if loss <= limit)


def training_examples_html(info: ModelInfo, direction: str) -> str:
    """The thumbnail of a model that was trained here: rows of input above rows of output, of A to B; '' for other models."""
    if direction != "AtoB" or info.thumbnail is None or not (info.path / "plan.toml").is_file():
        return ""
    picture = f'<img alt="Before and after" src="{file_url(info.thumbnail)}">'
    return note(f"<b>From its training.</b> The input, and below it the output.{picture}")
