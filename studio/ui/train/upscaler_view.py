"""What Train shows of pictures that an upscaler shall learn from: whether they suffice, and what is asked of it."""

import functools
import html
from pathlib import Path

import numpy as np

from studio.datasets.full_size import picture_sizes
from studio.datasets.store import DataSet
from studio.imaging.colour import Colour
from studio.imaging.decode import decode
from studio.training.data.patches import example
from studio.ui.components.notes import note
from studio.ui.components.pictures import data_url

_SHOWN = 4  # pictures, shrunk beside original
_FEW = 500  # patches side by side; a rule of thumb, below it they are soon learned by heart
_WAYS = {
    "bicubic": "made small and brought back by bicubic, as any program does it",
    "real": "worn down, made small and brought back by bicubic",
}


@functools.lru_cache(maxsize=8)
def sizes_of(path: Path, names: tuple[str, ...]) -> np.ndarray:
    """(N, 2) heights and widths of the pictures of a stored set, which never changes."""
    return picture_sizes(path / "pictures" / name for name in names)


def fitting(stored: DataSet, patch: int) -> list[str]:
    """Names of the pictures that a patch of that side can be cut from."""
    names = tuple(stored.names())
    return [name for name, shorter in zip(names, sizes_of(stored.path, names).min(axis=1), strict=True) if shorter >= patch]


def enough_html(stored: DataSet, patch: int) -> str:
    """A warning when pictures are too small for patches of that side, in pixels, or too few; else how many patches there are."""
    names = tuple(stored.names())
    sizes = sizes_of(stored.path, names)
    fit = sizes.min(axis=1) >= patch
    patches = int((sizes[fit] // patch).prod(axis=1).sum())
    if not fit.any():
        return note(
            f"<b>Too small.</b> No picture is {patch} pixels wide and high, so that no patch can be cut from them. "
            "Take in larger ones, or choose smaller patches under Advanced in step 2."
        )
    told = [f"Pieces of {patch} x {patch} pixels (patches) are cut from the whole pictures; side by side they hold {patches:,}."]
    if not fit.all():
        told.append(f"<b>{(~fit).sum():,} of {len(fit):,} are smaller than that and are left out.</b>")
    if fit.sum() == 1:
        told.append("<b>Of one picture none is left to measure on.</b> Two are the least, a few dozen are better.")
    elif patches < _FEW:
        told.append("<b>That is little:</b> it may learn them by heart and serve others badly. More pictures, or larger ones, are better.")
    return note(" ".join(told))


def example_html(stored: DataSet, patch: int, factor: int, degrade: str, ground: Colour) -> str:
    """Some patches made small and brought back, each beside how it is; empty when no picture is large enough.

    factor: divides patch.  degrade: of the plan's data.
    """
    fit = fitting(stored, patch)
    if not fit:
        return ""
    figures = []
    for i in np.unique(np.linspace(0, len(fit) - 1, _SHOWN).round().astype(int)):
        pair = _pair(stored.picture(fit[i]), patch, factor, degrade, ground)
        shown = zip(pair, ("shrunk and brought back", "the original"), strict=True)
        images = "".join(f'<img src="{data_url(x, None)}" alt="{alt}">' for x, alt in shown)
        figures.append(f"<figure>{images}<figcaption>{html.escape(fit[i])}</figcaption></figure>")
    text = f"<b>Shrunk and brought back, beside the original.</b> Left: {_WAYS[degrade]}. It learns to make the right one of the same small picture."
    return note(text) + f'<div class="gs-pairs">{"".join(figures)}</div>'


@functools.lru_cache(maxsize=64)
def _pair(path: Path, patch: int, factor: int, degrade: str, ground: Colour) -> tuple[np.ndarray, np.ndarray]:
    return example(decode(path, ground), patch, factor, degrade)
