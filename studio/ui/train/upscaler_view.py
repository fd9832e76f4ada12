"""HTML about a training set for an upscaler: whether its pictures suffice, and examples of the task."""

import functools
import html
from pathlib import Path

import numpy as np

from studio.datasets.store import DataSet
from studio.imaging.colour import Colour
from studio.imaging.decode import decode
from studio.training.data.patches import example, names_large_enough, stored_sizes
from studio.ui.components.notes import note
from studio.ui.components.picture_html import data_url

_MAX_EXAMPLES = 4
_FEW_PATCHES = 500  # without overlap; a rule of thumb: fewer are soon learned by heart
_DEGRADATIONS = {
    "bicubic": "scaled down and back up by bicubic interpolation, as in any image editor",
    "real": "degraded (blur, noise, JPEG), scaled down and back up by bicubic interpolation",
}


def amount_html(stored: DataSet, patch: int) -> str:
    """How many patches of that side, in pixels, the pictures hold; a warning when they are too small or too few."""
    sizes = stored_sizes(stored.path, tuple(stored.names()))
    fit = sizes.min(axis=1) >= patch
    patches = int((sizes[fit] // patch).prod(axis=1).sum())
    if not fit.any():
        return note(
            f"<b>Too small.</b> No picture is {patch} pixels wide and high, so no patch can be cut from them. "
            "Add larger ones, or choose a smaller patch size under Advanced in step 2."
        )
    sentences = [f"Pieces of {patch} x {patch} pixels (patches) are cut from the full-size pictures; side by side they hold {patches:,}."]
    if not fit.all():
        sentences.append(f"<b>{(~fit).sum():,} of {len(fit):,} are smaller than that and are left out.</b>")
    if fit.sum() == 1:
        sentences.append("<b>With a single picture, none can be held back for measuring.</b> Use at least two; a few dozen are better.")
    elif patches < _FEW_PATCHES:
        sentences.append("<b>That is not much:</b> it may learn them by heart and do poorly on others. More or larger pictures are better.")
    return note(" ".join(sentences))


def example_html(stored: DataSet, patch: int, factor: int, degrade: str, ground: Colour) -> str:
    """Patches scaled down and back up, each beside the original; empty when no picture is large enough.

    patch: side in pixels, a multiple of factor.  degrade: 'bicubic' or 'real', as in the plan's data.
    """
    names = names_large_enough(stored, patch)
    if not names:
        return ""
    figures = []
    for i in np.unique(np.linspace(0, len(names) - 1, _MAX_EXAMPLES).round().astype(int)):
        pair = _pair(stored.picture(names[i]), patch, factor, degrade, ground)
        shown = zip(pair, ("scaled down and back up", "the original"), strict=True)
        images = "".join(f'<img src="{data_url(x, None)}" alt="{alt}">' for x, alt in shown)
        figures.append(f"<figure>{images}<figcaption>{html.escape(names[i])}</figcaption></figure>")
    text = f"<b>The task.</b> Left: {_DEGRADATIONS[degrade]}. Right: the original, which it learns to restore from the small version."
    return note(text) + f'<div class="gs-pairs">{"".join(figures)}</div>'


@functools.lru_cache(maxsize=64)
def _pair(path: Path, patch: int, factor: int, degrade: str, ground: Colour) -> tuple[np.ndarray, np.ndarray]:
    return example(decode(path, ground), patch, factor, degrade)
