"""HTML about translators: pairs of two training sets, inputs made from pictures, and sheets of samples with labelled rows."""

import html
from pathlib import PurePosixPath

import numpy as np

from studio.datasets.pairs import BY_NAME, pair_sets
from studio.datasets.store import DataSetStore
from studio.errors import StudioError
from studio.imaging.colour import Colour
from studio.training.data.translation import made_input
from studio.training.methods import Goal
from studio.ui.components.notes import note
from studio.ui.components.picture_html import data_url

_MAX_PAIRS = 6  # side by side
_MAX_NAMES = 20  # listed of pictures without a partner
_SIDE = 160  # pixels of a picture here
_TRANSFORMS = {"colour": ("grey", "grey"), "fill": ("edges", "its outlines")}

# Labels of the rows of a sheet -> what the rows show.
_CYCLE = (
    "A, A → B, A → B → A: pictures of side A, what they become, and the way back, which should return the original. "
    "Below, the same from side B."
)
_MEANINGS = {
    ("A", "A->B", "A->B->A", "B", "B->A", "B->A->B"): _CYCLE,
    ("A", "A->B"): "A: pictures of side A. A → B: what they become.",
    ("A", "A->B", "B"): "A: the input. A → B: the output. B: the target.",
    ("low", "bicubic", "ours", "original"): (
        "low: patches of your pictures scaled down, shown with large pixels. bicubic: enlarged as in any image editor. ours: enlarged by "
        "the model. original: the patches before."
    ),
}


def preview_html(goal: Goal, datasets: DataSetStore, a: str | None, b: str | None, crop: str, ground: Colour, pairs: str = BY_NAME) -> str:
    """What a model would learn from the sets `a` and `b` (ids) for the goal; empty when the sheets of the sets already show it."""
    if goal.image_sets != "one" and a and b and a == b:
        return note("Both sides are the same set. Choose another for one of them.")
    if goal.image_sets == "paired" and a and b:
        return _pairs_html(datasets, a, b, crop, ground, pairs)
    if goal.name in _TRANSFORMS and a:
        transform, words = _TRANSFORMS[goal.name]
        pictures = [picture for _, picture in datasets.sheet(a, 0, _MAX_PAIRS, crop, _SIDE, ground)]
        figures = _figures([_figure(made_input(p, transform), p, "") for p in pictures])
        return note(f"<b>Input and target.</b> The left one of each ({words}) is made from your picture.") + figures
    return ""


def _pairs_html(datasets: DataSetStore, a: str, b: str, crop: str, ground: Colour, by: str) -> str:
    """Pairs with the same file name, or at the same place: how many, some of them side by side, and the pictures without a partner."""
    names_a, names_b = (datasets.get(id).names() for id in (a, b))
    try:
        pairs = pair_sets(datasets.get(a).pair_names(), datasets.get(b).pair_names(), by)
    except StudioError as e:
        return note(f"<b>No pairs yet.</b> {html.escape(str(e))}")
    shown = np.unique(np.linspace(0, len(pairs.rows) - 1, _MAX_PAIRS).round().astype(int))
    rows = [pairs.rows[i] for i in shown]
    left = datasets.some(a, [names_a[i] for i, _ in rows], crop, _SIDE, ground)
    right = datasets.some(b, [names_b[j] for _, j in rows], crop, _SIDE, ground)
    figures = [_figure(x, y, _caption(*pairs.names[i])) for x, y, i in zip(left, right, shown, strict=True)]
    text = f"<b>{len(pairs.rows):,} {'pairs' if len(pairs.rows) > 1 else 'pair'} found</b> by {'file name' if by == BY_NAME else 'order'}. "
    text += "Do these belong together?" if not (pairs.strays_a or pairs.strays_b) else "The others have no partner and are not used."
    return note(text) + _figures(figures) + _strays_html("A", pairs.strays_a) + _strays_html("B", pairs.strays_b)


def _caption(a: str, b: str) -> str:
    """The name of a pair: one where both are called the same."""
    return a if PurePosixPath(a).with_suffix("") == PurePosixPath(b).with_suffix("") else f"{a} + {b}"


def _strays_html(side: str, names: tuple[str, ...]) -> str:
    if not names:
        return ""
    items = "".join(f"<li>{html.escape(n)}</li>" for n in names[:_MAX_NAMES])
    more = f"<li>and {len(names) - _MAX_NAMES:,} more</li>" if len(names) > _MAX_NAMES else ""
    return f'<details class="gs-note" open><summary>Without a partner in {side} ({len(names):,})</summary><ul>{items}{more}</ul></details>'


def _figure(left: np.ndarray, right: np.ndarray, name: str) -> str:
    caption = f"<figcaption>{html.escape(name)}</figcaption>" if name else ""
    pair = "".join(f'<img src="{data_url(x, None)}" alt="{alt}">' for x, alt in ((left, "input"), (right, "target")))
    return f"<figure>{pair}{caption}</figure>"


def _figures(figures: list[str]) -> str:
    return f'<div class="gs-pairs">{"".join(figures)}</div>'


def rows_html(picture: str, rows: tuple[str, ...], kimg: float) -> str:
    """A sheet of samples with a label before each row.  picture: URL.  rows: of the sample event."""
    labels = "".join(f"<span>{html.escape(r.replace('->', ' → '))}</span>" for r in rows)
    image = f'<img alt="Samples after {kimg:g} kimg" src="{picture}">'
    sheet = f'<div class="gs-stage gs-sheet gs-rows"><div aria-hidden="true">{labels}</div>{image}</div>'
    return sheet + note(f"{_MEANINGS.get(rows, '')} After {kimg:.2f} thousand pictures (kimg); the inputs are always the same.")
