"""The picture that a saved result was made from, for opening it again."""

import shutil
from pathlib import Path

import gradio as gr

from studio.common.text import safe_filename
from studio.engine.image_recipe import ImageRecipe
from studio.errors import StudioError
from studio.provenance.source_pictures import find_source
from studio.ui.session import Session


def source_of(session: Session, recipe: ImageRecipe, made: Path) -> Path:
    """A copy of the picture that a recipe starts from, in a folder the browser may read; of the result itself when that is gone.

    made: file of the result. The copy keeps the picture's original name, so that new results are named after it again.
    Raises StudioError when it cannot be copied.
    """
    source = find_source(recipe.source, session.workspace.sources)
    if source is None:
        gr.Warning("The original picture is no longer kept, so the saved result is opened instead.")
    original = source or made
    copy = session.workspace.transfer_folder() / safe_filename(f"{made.stem.split(f'-{recipe.model}-')[0]}{original.suffix}")
    try:
        shutil.copyfile(original, copy)
    except OSError as e:
        raise StudioError(
            f"The picture cannot be opened: {e.strerror or e}.", "Check that it is still there and that the disk has room."
        ) from None
    return copy
