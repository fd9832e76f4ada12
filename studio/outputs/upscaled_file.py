"""A picture file upscaled into a PNG, row by row."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from studio.common.files import ensure_room
from studio.common.progress import Cancel, Progress
from studio.engine.engine import Engine
from studio.engine.image_recipe import ImageRecipe
from studio.errors import StudioError
from studio.imaging.png_stream import PngWriter
from studio.imaging.raster import Raster
from studio.provenance.metadata import kept_metadata, png_texts
from studio.provenance.signing import signed_file


def upscale_file(
    engine: Engine,
    recipe: ImageRecipe,
    source: str | Path,
    out: str | Path,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> Path:
    """Upscale a picture file into a PNG with the bit depth of the source and the recipe inside, row by row, so that the result may be
    larger than memory. The file appears whole or not at all.

    The picture is turned upright by its EXIF orientation.  progress, cancel: as in `Engine.upscale`.
    Raises StudioError as `Engine.upscale` does, for a file that cannot be read, an ending other than .png, and a full disk.
    """
    out = Path(out).expanduser()
    if out.suffix.lower() != ".png":
        raise StudioError(f"Large pictures cannot be saved as '{out.suffix}'.", "Choose png.")
    raster = Raster.from_file(source)
    channels, stamped = raster.pixels.shape[2], engine.stamped(recipe)
    kept = kept_metadata(source)
    texts = png_texts(stamped, kept)
    writers: list[PngWriter] = []
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with signed_file(out, stamped, Path(source)) as file:

            def begin(height: int, width: int) -> Callable[[np.ndarray], None]:
                ensure_room(out.parent, height * width * channels * raster.pixels.itemsize // 2)
                writers.append(PngWriter(file, width, height, channels, raster.pixels.dtype, raster.profile, texts, kept.dpi, kept.exif))
                return writers[0].write

            engine.upscale_rows(recipe, raster, begin, progress, cancel)
            writers[0].close()
    except OSError as e:
        raise StudioError(f"The picture could not be saved: {e}.", "Free some space or choose another folder.") from None
    return out
