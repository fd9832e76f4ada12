"""HTML of Explore."""

import html
from pathlib import Path

from studio.engine.engine import Drawn
from studio.engine.recipe import Recipe
from studio.ui.components.notes import empty_html, note
from studio.ui.components.picture_html import stage_html

KEYS = '<div class="gs-note keys">Keys: space for a surprise · ← → neighbours · z undo · y redo</div>'
LOADING = "Loading the model ..."
_NO_MODEL = "<b>No model here yet.</b>"
_ADD_ONE = (
    "<br>Put a model folder into <code>{folder}</code>, then reload this page; or add a checkpoint in the Models tab, and open it from "
    "there."
)


def alt_of(title: str, recipe: Recipe) -> str:
    """What the large picture is, in words.  title: of its model."""
    return f"Picture by the model {title}, seed {recipe.seed}"


def drawn_html(drawn: Drawn, recipe: Recipe, number: int) -> str:
    """The large picture.  number: of the drawing, which the live channel compares."""
    return stage_html(drawn.picture, alt_of(drawn.info.title, recipe), number)


def warning_html(warning: str | None) -> str:
    """A line below the picture."""
    return note(html.escape(warning)) if warning else ""


def no_model_html(folder: Path | None) -> str:
    """Shown in the picture's place while no model can be explored.  folder: where models can be put; None = this visitor cannot."""
    return empty_html(_NO_MODEL + (_ADD_ONE.format(folder=html.escape(str(folder))) if folder is not None else ""))
