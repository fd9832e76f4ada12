"""Upscaled pictures kept on disk, to be viewed, blended and saved any number of times."""

import dataclasses
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from studio.common.files import ensure_room
from studio.common.progress import Cancel, Progress, raise_if_cancelled, report
from studio.common.text import printable
from studio.engine.engine import Engine
from studio.engine.image_recipe import ImageRecipe
from studio.errors import StudioError
from studio.imaging.colour import in_srgb
from studio.imaging.decode import MAX_PIXELS, left_out, open_picture
from studio.imaging.png_stream import PngWriter
from studio.imaging.raster import Raster
from studio.imaging.rows import BlendedRows, DeviceWork, ResizedRows, RowSource, StoredRows, run_device_work, tiled_margin, write_rows
from studio.imaging.source_metadata import SourceMetadata
from studio.provenance.made_by import source_file
from studio.provenance.metadata import encode, kept_metadata, png_texts, write_picture
from studio.provenance.signing import signed_file
from studio.settings import get_settings

_MARGIN = 16  # pixels around a seamless picture that is resized
_BAND = 1 << 22  # values in memory at once
_MAX_DECODED = 1 << 24  # pixels of a picture that is resized in memory as a whole


@dataclass(frozen=True)
class UpscaleSource:
    """A picture to be upscaled.  path: its file.  name: of the file, safe to display.  raster: its pixels at full bit depth.
    remark: a sentence on what was not used, or ''."""

    path: Path
    name: str
    raster: Raster
    remark: str = ""

    @property
    def width(self) -> int:
        """Pixels."""
        return self.raster.pixels.shape[1]

    @property
    def height(self) -> int:
        """Pixels."""
        return self.raster.pixels.shape[0]

    def view(self, side: int) -> Image.Image:
        """The picture in sRGB and 8 bits, the longer side at most `side` pixels."""
        return _picture(_within(StoredRows(self.raster.pixels), side), self.raster.profile)


def open_upscale_source(path: str | Path) -> UpscaleSource:
    """Open a picture file, turned upright. Raises StudioError for one that cannot be used, or has more than 64 megapixels."""
    path = Path(path)
    name = printable(path.name, 80)
    try:
        if not path.stat().st_size:
            raise StudioError(f"'{name}' is empty: the file has 0 bytes.", "Copy or download it again.")
    except OSError as e:
        raise StudioError(f"'{name}' cannot be read: {e.strerror or e}.", "Choose it again.") from None
    try:
        raster = Raster.from_file(path)
        with open_picture(path) as opened:
            return UpscaleSource(path, name, raster, left_out(opened))
    except StudioError as e:
        raise StudioError(e.message.replace("The picture", f"'{name}'", 1), e.hint) from None


class _OnDisk:
    """Pixels in an anonymous temporary file, which is deleted with this object. Implements `RowSource`."""

    def __init__(self, height: int, width: int, channels: int, dtype: np.dtype):
        self.height, self.width, self.channels, self.dtype = height, width, channels, np.dtype(dtype)
        self._row = width * channels * self.dtype.itemsize
        ensure_room(get_settings().cache, height * self._row)
        self._file = tempfile.TemporaryFile(dir=get_settings().cache, prefix="upscaled-")  # noqa: SIM115 - closed with the object
        self._lock = threading.Lock()

    def write(self, rows: np.ndarray) -> None:
        """Append rows (n, width, channels)."""
        self._file.write(np.ascontiguousarray(rows, self.dtype).data)

    def pixels(self, top: int, bottom: int) -> np.ndarray:
        """Rows `top` to `bottom`, (bottom - top, width, channels)."""
        with self._lock:
            self._file.seek(top * self._row)
            data = self._file.read((bottom - top) * self._row)
        return np.frombuffer(data, self.dtype).reshape(bottom - top, self.width, self.channels)

    def rows(self, top: int, bottom: int) -> DeviceWork[np.ndarray]:
        return self.pixels(top, bottom).astype(np.float32) / np.iinfo(self.dtype).max
        yield  # makes this a generator, as `RowSource` requires; it has no device work

    @property
    def bytes(self) -> int:
        return self.height * self._row


class UpscaledPicture:
    """A picture and its upscaled version, before the two are blended.

    recipe: of the upscaling.  width, height: of the result, pixels.  bytes: of the result on disk.
    """

    def __init__(self, original: UpscaleSource, recipe: ImageRecipe, result: _OnDisk):
        self.original, self.recipe = original, recipe
        self.width, self.height, self.bytes = result.width, result.height, result.bytes
        self._result: RowSource = result
        pixels, margin = original.raster.pixels, 0
        if recipe.seamless:
            margin = _MARGIN
            pixels = tiled_margin(pixels, margin)
        self._plain = ResizedRows(StoredRows(pixels), result.height, result.width, margin)

    def views(self, side: int) -> tuple[Image.Image, Image.Image]:
        """The picture resized by Lanczos, and the network's: in sRGB and 8 bits, the longer side at most `side` pixels."""
        after = _within(self._result, side)
        before = ResizedRows(self._plain.source, after.height, after.width, self._plain.margin)
        return _picture(before, self.original.raster.profile), _picture(after, self.original.raster.profile)

    def window(self, x: float, y: float, width: int, height: int) -> tuple[Image.Image, Image.Image]:
        """Both pictures at full size, cropped around a point: x from the left and y from the top, each in [0, 1]."""
        width, height = min(width, self.width), min(height, self.height)
        left, top = (
            max(0, min(all_ - part, round(at * all_ - part / 2))) for at, all_, part in ((x, self.width, width), (y, self.height, height))
        )
        parts = []
        for picture in (self._plain, self._result):
            rows = run_device_work(picture.rows(top, top + height), lambda piece: piece())[:, left : left + width]
            pixels = (rows.clip(0, 1) * 255 + np.float32(0.5)).astype(np.uint8)
            parts.append(_in_srgb(pixels, self.original.raster.profile))
        return parts[0], parts[1]

    def save(
        self,
        path: str | Path,
        strength: float = 1.0,
        source: str = "",
        dpi: float = 0,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
        quality: int | None = None,
    ) -> Path:
        """Write a PNG at the bit depth of the original, with its colour profile and the recipe inside, row by row; or a .jpg or .webp of
        8 bits, of at most 178 megapixels.

        quality: of the latter two, 1 to 100; None = a lossless WebP, a JPEG of 92.
        strength: share of the network's picture; the rest is the Lanczos-resized one.  source: hash of the original, for the recipe.
        dpi: dots an inch in print; 0 = as the original.  progress: called with (rows done, all).  cancel: asked from time to time; when
        true CancelledError is raised. The file appears whole or not at all.  Raises StudioError when the disk is full, or the picture too
        large for its file type.
        """
        path, raster = Path(path), self.original.raster
        channels, dtype = raster.pixels.shape[2], raster.pixels.dtype
        picture = self._result if strength >= 1 else BlendedRows(self._result, self._plain, strength)
        recipe, done = self.recipe.replace(strength=strength, source=source), 0
        kept = kept_metadata(self.original.path)
        kept = dataclasses.replace(kept, dpi=dpi or kept.dpi)
        if path.suffix.lower() != ".png":
            return self._save_whole(path, picture, recipe, kept, quality, cancel)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            ensure_room(path.parent, self.bytes // 2)
            with signed_file(path, recipe, source_file(recipe)) as file:
                texts = png_texts(recipe, kept)
                writer = PngWriter(file, self.width, self.height, channels, dtype, raster.profile, texts, kept.dpi, kept.exif)

                def write(rows: np.ndarray) -> None:
                    nonlocal done
                    raise_if_cancelled(cancel)
                    writer.write(rows)
                    done += len(rows)
                    report(progress, done, self.height)

                run_device_work(write_rows(picture, dtype, write, _rows_at_once(picture)), lambda piece: piece())
                writer.close()
        except OSError as e:
            raise StudioError(f"The picture could not be saved: {e.strerror or e}.", "Free some space, then try again.") from None
        return path

    def _save_whole(
        self, path: Path, picture: RowSource, recipe: ImageRecipe, kept: SourceMetadata, quality: int | None, cancel: Cancel | None
    ) -> Path:
        if self.width * self.height > MAX_PIXELS:
            size = f"{self.width:,} x {self.height:,} px"
            raise StudioError(f"A result of {size} is too large for {path.suffix[1:].upper()}.", "Choose PNG, or a smaller size.")
        raster, bands = self.original.raster, []

        def write(rows: np.ndarray) -> None:
            raise_if_cancelled(cancel)
            bands.append(rows)

        run_device_work(write_rows(picture, raster.pixels.dtype, write, _rows_at_once(picture)), lambda piece: piece())
        image = Raster(np.concatenate(bands), raster.profile).to_image()
        return write_picture(path, encode(image, recipe, path.suffix[1:].lower(), quality, kept), recipe, source_file(recipe))


def upscale_to_disk(
    engine: Engine,
    recipe: ImageRecipe,
    original: UpscaleSource,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> UpscaledPicture:
    """Upscale a picture by a recipe onto the disk, row by row. The recipe's strength is applied only by `UpscaledPicture.save`.

    progress, cancel: as in `Engine.upscale`.  Raises as `Engine.upscale`; StudioError also when the disk is full.
    """
    recipe = engine.stamped(recipe.replace(strength=1.0))
    pixels, kept = original.raster.pixels, []

    def begin(height: int, width: int) -> Callable[[np.ndarray], None]:
        kept.append(_OnDisk(height, width, pixels.shape[2], pixels.dtype))
        return kept[0].write

    try:
        engine.upscale_rows(recipe, original.raster, begin, progress, cancel)
    except OSError as e:
        raise StudioError(f"The result could not be kept: {e.strerror or e}.", "Free some space, then try again.") from None
    return UpscaledPicture(original, recipe, kept[0])


def _within(picture: RowSource, side: int) -> RowSource:
    share = side / max(picture.height, picture.width)
    if share >= 1:
        return picture
    return ResizedRows(picture, max(1, round(picture.height * share)), max(1, round(picture.width * share)))


def _rows_at_once(picture: RowSource) -> int:
    return max(1, _BAND // (picture.width * picture.channels))


def _picture(picture: RowSource, profile: bytes | None) -> Image.Image:
    """The whole picture in sRGB and 8 bits. When it is downscaled, only a few rows are read at a time."""
    resized = _resized_by_pillow(picture)
    if resized is not None:
        return in_srgb(resized, profile)
    bands: list[np.ndarray] = []
    read = picture.source if isinstance(picture, ResizedRows) else picture
    few = max(1, _rows_at_once(read) * picture.height // max(picture.height, read.height))
    run_device_work(write_rows(picture, np.dtype(np.uint8), bands.append, few), lambda piece: piece())
    return _in_srgb(np.concatenate(bands), profile)


def _resized_by_pillow(picture: RowSource) -> Image.Image | None:
    """A small opaque 8-bit picture resized in memory, None for others: Pillow's integer arithmetic takes a tenth of the time, and the
    result differs by one level at most."""
    source = picture.source if isinstance(picture, ResizedRows) else None
    if source is None or source.channels not in (1, 3) or source.height * source.width > _MAX_DECODED:
        return None
    pixels = source.pixels if isinstance(source, StoredRows) else source.pixels(0, source.height) if isinstance(source, _OnDisk) else None
    if pixels is None or pixels.dtype != np.uint8:
        return None
    return Raster(pixels).to_image().resize((picture.width, picture.height), Image.Resampling.LANCZOS)


def _in_srgb(pixels: np.ndarray, profile: bytes | None) -> Image.Image:
    return in_srgb(Raster(pixels).to_image(), profile)
