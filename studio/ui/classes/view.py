"""HTML and words of Classes."""

import html
from collections.abc import Mapping, Sequence

from studio.ui.components.notes import note

NOTHING = (
    "<b>No model here has classes.</b><br>Train one in the Train tab with a sub-folder for each class (kind of picture) and "
    "<i>Learn the kinds of pictures too</i> ticked, or import a class-conditional model; it then appears here."
)
HELP = (
    "<b>Classes.</b> The kinds of pictures that the model has learned. Press one to see it; press several to blend them or to see them "
    "side by side. The seed stays while classes change."
)
WALK = (
    "<b>A walk from class to class.</b> Through the chosen classes in their order, with one seed, and back to the first; with one chosen, "
    "through the first eight."
)
EXPORT = (
    "<b>Export a set.</b> A zip with a folder for each class and a list of seeds and recipes, to train on or to give away. Seeds count up "
    "from the one above; at a boldness of 1 the pictures vary as the model has learned."
)
NO_SET = "No image set here has classes. Make one from sub-folders in the Train tab."
_NAMED = 12  # classes in a sentence


def columns_html(grid: str, columns: int, keep: bool) -> str:
    """The grid at a width that suits its columns.  keep: narrow windows keep the columns, for each is a class."""
    return f'<div class="{"" if keep else "loose"}" style="max-width:{columns * 160}px">{grid}</div>'


def other_model_html(theirs: str, ours: str) -> str:
    """Why another model than Explore's is shown.  theirs, ours: titles."""
    theirs, ours = html.escape(theirs), html.escape(ours)
    return note(f"The model in Explore, <b>{theirs}</b>, has no classes. Here is <b>{ours}</b>, which has.")


def fill_up_html(missing: Mapping[int, int], unmatched: Sequence[str], classes: Sequence[str]) -> str:
    """What filling up an image set would make.

    missing: class -> number of pictures.  unmatched: names in the set that are no class of the model.  classes: names of the model's.
    """
    parts = [f"{count:,} {html.escape(classes[k])}" for k, count in list(missing.items())[:_NAMED]]
    more = f" and {len(missing) - _NAMED:,} more classes" if len(missing) > _NAMED else ""
    text = f"To be made: {', '.join(parts)}{more}." if parts else "Nothing is to be made."
    if unmatched:
        names = ", ".join(html.escape(name) for name in unmatched[:_NAMED])
        text += f" This model draws no class called {names}{', ...' if len(unmatched) > _NAMED else ''}."
    return note(text)
