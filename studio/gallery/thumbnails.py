"""Thumbnails of saved files, made once and kept, and facts from a file's header, read without decoding pixels."""

import contextlib
import io
import threading
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, PngImagePlugin

from studio.common.files import atomic_path
from studio.engine.image_recipe import ImageRecipe, recipe_from
from studio.engine.recipe import Recipe, parse_json
from studio.errors import StudioError
from studio.imaging.colour import in_srgb
from studio.imaging.decode import MAX_PIXELS, UnusablePicture, open_picture
from studio.imaging.video import open_video
from studio.outputs.batches import reduced
from studio.provenance.metadata import read_recipe

SIDE = 256  # px, the longer side of a thumbnail
CRISP = 128  # px; pictures up to this size are scaled without blurring their pixels
VIDEOS = {".mp4": "mov", ".mov": "mov", ".webm": "matroska"}  # ending -> container, of `imaging.video.CONTAINERS`
_FORMATS = ("PNG", "WEBP", "JPEG", "GIF")
_MAX_WEBP = 512 << 20  # bytes; Pillow reads the whole file to see its header
_LARGE = 24_000_000  # pixels; larger pictures are decoded one at a time
_one_large = threading.Lock()


@dataclass(frozen=True)
class Inside:
    """Facts from a file's header.  width, height: pixels, 0 = unknown.  moving: whether it has several frames."""

    width: int = 0
    height: int = 0
    moving: bool = False
    recipe: Recipe | ImageRecipe | None = None


def look_inside(path: Path) -> Inside:
    """Read a file's header. What cannot be read, in a damaged or malicious file, is left at its default; nothing is raised."""
    try:
        if path.suffix.lower() in VIDEOS:
            return _inside_clip(path)
        with _header(path) as image:
            recipe = None
            with contextlib.suppress(StudioError):
                recipe = read_recipe(path if image.format == "GIF" else image)
            return Inside(image.width, image.height, bool(getattr(image, "is_animated", False)), recipe)
    except Exception:  # the parsers of Pillow and FFmpeg may raise anything
        return Inside(moving=path.suffix.lower() in VIDEOS)


def _header(path: Path) -> Image.Image:
    if path.suffix.lower() == ".png":
        # Not by Image.open, which refuses pictures as large as the studio itself makes; reading the header alone is safe.
        return PngImagePlugin.PngImageFile(path)
    if path.stat().st_size > _MAX_WEBP:
        raise UnusablePicture("too large")
    return Image.open(path, formats=_FORMATS)


def _inside_clip(path: Path) -> Inside:
    with open_video(path, VIDEOS[path.suffix.lower()]) as container:
        stream = container.streams.video[0]
        recipe = None
        with contextlib.suppress(StudioError):
            recipe = recipe_from(parse_json(container.metadata.get("description", "")))
        return Inside(stream.width, stream.height, True, recipe)


def small_view(path: Path, side: int) -> Image.Image:
    """Thumbnail of a picture, or of the first frame of a clip, as stored, in sRGB (RGB, RGBA or L), the longer side at most `side` px.

    Raises StudioError for files that cannot be decoded, and for more than 178 million pixels.
    """
    try:
        if path.suffix.lower() in VIDEOS:
            return reduced(_first_frame(path), side)
        with open_picture(path, MAX_PIXELS, _FORMATS) as image:
            image.draft("RGB", (2 * side, 2 * side))  # a JPEG can be decoded at reduced size
            large = image.width * image.height > _LARGE
            with _one_large if large else contextlib.nullcontext():
                return reduced(in_srgb(image, image.info.get("icc_profile")), side)
    except (UnusablePicture, Image.DecompressionBombError):
        raise StudioError("This picture is too large for a thumbnail.", "Open the file itself.") from None
    except Exception:
        raise StudioError("This file cannot be shown: it is damaged.", "Delete it, or make it again.") from None


def _first_frame(path: Path) -> Image.Image:
    with open_video(path, VIDEOS[path.suffix.lower()]) as container:
        stream = container.streams.video[0]
        if stream.width * stream.height > MAX_PIXELS:
            raise UnusablePicture("too large")
        return next(container.decode(stream)).to_image()


class ThumbnailCache:
    """Thumbnails in `folder`, by key. The folder may be deleted at any time, and need not be writable."""

    def __init__(self, folder: Path):
        self.folder = Path(folder)
        self._failed: dict[str, StudioError] = {}

    def kept(self, key: str) -> bytes | None:
        """The WebP of this key, None if it has not been made."""
        try:
            data = self._file(key).read_bytes()
        except OSError:
            return None
        # Thumbnails are written without fsync: after a power cut one may be incomplete.
        whole = data[:4] == b"RIFF" and int.from_bytes(data[4:8], "little") + 8 == len(data)
        return data if whole else None

    def get(self, path: Path, key: str) -> bytes:
        """A WebP of at most 256 px a side.  key: identifies the file's content.  Raises StudioError as `small_view`."""
        data = self.kept(key)
        if data is not None:
            return data
        if key in self._failed:
            raise self._failed[key]
        try:
            view = small_view(path, SIDE)
        except StudioError as e:
            self._failed[key] = e
            raise
        data = _webp(view)
        with contextlib.suppress(OSError):
            self._put(key, data)
        return data

    def forget(self, key: str) -> None:
        """Delete the thumbnail of this key."""
        with contextlib.suppress(OSError):
            self._file(key).unlink(missing_ok=True)

    def _file(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.webp"

    def _put(self, key: str, data: bytes) -> None:
        with atomic_path(self._file(key), sync=False) as part:
            part.write_bytes(data)


def _webp(view: Image.Image) -> bytes:
    buffer = io.BytesIO()
    options = {"lossless": True, "method": 0} if max(view.size) <= CRISP else {"quality": 82, "method": 2}
    view.save(buffer, "WEBP", **options)
    return buffer.getvalue()
