"""HTML and texts of Classes."""

import html
from collections.abc import Mapping, Sequence

from studio.ui.components.notes import note

NOTHING = (
    "<b>No model here has classes.</b><br>Train one in the Train tab with a sub-folder for each class (kind of picture) and "
    "<i>Also learn the classes</i> ticked, or import a class-conditional model; it then appears here."
)
HELP = (
    "<b>Classes.</b> The kinds of pictures that the model has learned. Press one to see it; press several to blend them or to see them "
    "side by side. The seed stays the same."
)
WALK = (
    "<b>A walk from class to class.</b> A clip through the chosen classes in order, with one seed, and back to the first; if only one is "
    "chosen, through the first eight."
)
EXPORT = (
    "<b>Export a set.</b> A zip with a folder for each class and a list of seeds and recipes, to train on or to share. Seeds count up "
    "from the one above; at a boldness of 1 the pictures vary as much as the model has learned."
)
NO_SET = "No training set here has classes. Make one from sub-folders in the Train tab."
_NAMED = 12  # classes in a sentence


def columns_html(grid: str, columns: int, keep: bool) -> str:
    """The grid at a width that suits its columns.  keep: narrow windows keep the columns, because each is a class."""
    return f'<div class="{"" if keep else "loose"}" style="max-width:{columns * 160}px">{grid}</div>'


def other_model_html(theirs: str, ours: str) -> str:
    """Why another model than Explore's is shown.  theirs, ours: titles."""
    theirs, ours = html.escape(theirs), html.escape(ours)
    return note(f"The model in Explore, <b>{theirs}</b>, has no classes, so this is <b>{ours}</b>.")


def fill_up_html(missing: Mapping[int, int], unmatched: Sequence[str], classes: Sequence[str]) -> str:
    """What filling up a training set would make.

    missing: class -> number of pictures.  unmatched: names in the set that are not classes of the model.  classes: names of the model's.
    """
    parts = [f"{count:,} {html.escape(classes[k])}" for k, count in list(missing.items())[:_NAMED]]
    more = f" and {len(missing) - _NAMED:,} more classes" if len(missing) > _NAMED else ""
    text = f"To be made: {', '.join(parts)}{more}." if parts else "There is nothing to make."
    if unmatched:
        names = ", ".join(html.escape(name) for name in unmatched[:_NAMED])
        text += f" This model has no class called {names}{', ...' if len(unmatched) > _NAMED else ''}."
    return note(text)
