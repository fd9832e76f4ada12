"""What Train shows of two sides: pairs and strays, inputs made of one's own pictures, labelled sheets of a translator."""

import html

import numpy as np

from studio.datasets.pairs import find_pairs
from studio.datasets.store import DataSetStore
from studio.errors import StudioError
from studio.imaging.colour import Colour
from studio.training.data.translation import made_input
from studio.training.methods import Goal
from studio.ui.components.notes import note
from studio.ui.components.pictures import data_url

_SHOWN = 6  # pairs side by side
_NAMED = 20  # strays
_SIDE = 160  # pixels of a picture here
_TRANSFORMS = {"colour": ("grey", "grey"), "fill": ("edges", "its outlines")}

# Rows of a sheet -> their labels; what they mean, where the trained objective shows such rows.
_CYCLE = (
    "A, A → B, A → B → A: pictures of side A, what they become, and the way back, which should end where it began. "
    "Below the same from side B."
)
_MEANINGS = {
    ("A", "A->B", "A->B->A", "B", "B->A", "B->A->B"): _CYCLE,
    ("A", "A->B"): "A: pictures of side A. A → B: what they become.",
    ("A", "A->B", "B"): "A: what goes in. A → B: what comes out. B: what was wanted.",
    ("low", "bicubic", "ours", "original"): (
        "low: pieces of your pictures made small, as large squares. bicubic: enlarged as any program does it. ours: enlarged by what it has "
        "learned. original: how they were."
    ),
}


def preview_html(goal: Goal, datasets: DataSetStore, a: str | None, b: str | None, crop: str, ground: Colour) -> str:
    """What the sets `a` and `b` (ids) would teach for the goal; empty when there is nothing to add to their sheets."""
    if goal.image_sets != "one" and a and b and a == b:
        return note("Both sides are the same set. Choose another for one of them.")
    if goal.image_sets == "paired" and a and b:
        return _pairs_html(datasets, a, b, crop, ground)
    if goal.name in _TRANSFORMS and a:
        transform, words = _TRANSFORMS[goal.name]
        pictures = [picture for _, picture in datasets.sheet(a, 0, _SHOWN, crop, _SIDE, ground)]
        figures = [_figure(made_input(p, transform), p, "") for p in pictures]
        return note(f"<b>What goes in, and what should come out.</b> The left one of each ({words}) is made from your picture.") + _figures(
            figures
        )
    return ""


def _pairs_html(datasets: DataSetStore, a: str, b: str, crop: str, ground: Colour) -> str:
    """Pairs of one name: how many, some of them side by side, and who has no partner."""
    names_a, names_b = (datasets.get(id).names() for id in (a, b))
    try:
        pairs = find_pairs(names_a, names_b)
    except StudioError as e:
        return note(f"<b>No pairs yet.</b> {html.escape(str(e))}")
    rows = [pairs.rows[i] for i in np.unique(np.linspace(0, len(pairs.rows) - 1, _SHOWN).round().astype(int))]
    left = datasets.some(a, [names_a[i] for i, _ in rows], crop, _SIDE, ground)
    right = datasets.some(b, [names_b[j] for _, j in rows], crop, _SIDE, ground)
    figures = [_figure(x, y, names_a[i]) for x, y, (i, _) in zip(left, right, rows, strict=True)]
    text = f"<b>{len(pairs.rows):,} {'pairs' if len(pairs.rows) > 1 else 'pair'} found</b> by the names of the files. "
    text += "Do these belong together?" if not (pairs.strays_a or pairs.strays_b) else "The rest has no partner and is not used."
    return note(text) + _figures(figures) + _strays_html("A", pairs.strays_a) + _strays_html("B", pairs.strays_b)


def _strays_html(side: str, names: tuple[str, ...]) -> str:
    if not names:
        return ""
    items = "".join(f"<li>{html.escape(n)}</li>" for n in names[:_NAMED])
    more = f"<li>and {len(names) - _NAMED:,} more</li>" if len(names) > _NAMED else ""
    return f'<details class="gs-note" open><summary>Without a partner in {side} ({len(names):,})</summary><ul>{items}{more}</ul></details>'


def _figure(left: np.ndarray, right: np.ndarray, name: str) -> str:
    caption = f"<figcaption>{html.escape(name)}</figcaption>" if name else ""
    pair = "".join(f'<img src="{data_url(x, None)}" alt="{alt}">' for x, alt in ((left, "goes in"), (right, "should come out")))
    return f"<figure>{pair}{caption}</figure>"


def _figures(figures: list[str]) -> str:
    return f'<div class="gs-pairs">{"".join(figures)}</div>'


def rows_html(picture: str, rows: tuple[str, ...], kimg: float) -> str:
    """A sheet with a label before each row.  picture: URL.  rows: of the sample event."""
    labels = "".join(f"<span>{html.escape(r.replace('->', ' → '))}</span>" for r in rows)
    sheet = f'<div class="gs-stage gs-sheet gs-rows"><div aria-hidden="true">{labels}</div><img alt="Samples after {kimg:g} kimg" src="{picture}"></div>'
    return sheet + note(f"{_MEANINGS.get(rows, '')} After {kimg:.2f} thousand pictures (kimg); always the same pictures go in.")
