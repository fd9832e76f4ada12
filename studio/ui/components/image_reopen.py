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

    made: file of the result. The copy has the name that results were called after, so that new ones are called so again.
    Raises StudioError when it cannot be copied.
    """
    source = find_source(recipe.source, session.workspace.sources)
    if source is None:
        gr.Warning("The picture that this one was made from is no longer kept. This one itself is opened instead.")
    original = source or made
    copy = session.workspace.transfer_folder() / safe_filename(f"{made.stem.split(f'-{recipe.model}-')[0]}{original.suffix}")
    try:
        shutil.copyfile(original, copy)
    except OSError as e:
        raise StudioError(f"The picture cannot be opened: {e.strerror or e}.", "Is it still there, and room on the disk?") from None
    return copy
