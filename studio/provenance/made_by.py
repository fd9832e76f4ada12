"""MadeBy: how a file was made."""

from pathlib import Path
from typing import TypeAlias

from studio.engine.image_recipe import ImageRecipe
from studio.engine.recipe import Recipe
from studio.imaging.xmp import DigitalSourceType
from studio.provenance.source_pictures import find_source

# The recipe; or the digital source type alone, for sheets, walks and other files that no single recipe makes.
MadeBy: TypeAlias = Recipe | ImageRecipe | DigitalSourceType


def digital_source_type(made_by: MadeBy) -> DigitalSourceType:
    """GENERATED if a network drew the file, COMPOSITE if it changed a picture."""
    if isinstance(made_by, DigitalSourceType):
        return made_by
    return DigitalSourceType.COMPOSITE if isinstance(made_by, ImageRecipe) else DigitalSourceType.GENERATED


def source_file(made_by: MadeBy) -> Path | None:
    """The studio's copy of the picture the file was made from; None if there is none."""
    return find_source(made_by.source) if isinstance(made_by, ImageRecipe) else None
