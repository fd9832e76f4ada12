"""Decoding of one picture file to pixels, whatever it holds: orientation, CMYK, 16 bits, palettes, transparency."""

import contextlib
import functools
import io
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from studio.imaging.colour import Colour, eight_bits

# An allow-list, whatever a file calls itself: Pillow knows formats (EPS, PDF) that start other programs.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF")
MAX_PIXELS = 178_956_970  # where Pillow itself gives up

# Between half of MAX_PIXELS and all of it Pillow warns on the console, where no artist looks.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


class UnusablePicture(ValueError):
    """A picture that was understood and is refused. Its text is the reason in plain words."""


@contextlib.contextmanager
def open_picture(data: bytes | str | Path, max_pixels: int = MAX_PIXELS, formats: tuple[str, ...] = FORMATS) -> Iterator[Image.Image]:
    """Open a picture file: its header is read, no pixel is decoded yet.

    data: the bytes, or a path.  max_pixels: width times height.  formats: as Pillow names them.
    Raises UnusablePicture if the header states more than `max_pixels`, and whatever Pillow raises for a file that is no picture
    of `formats` (`reason` puts either into words).
    """
    if "HEIF" in formats:
        _register_heif()
    with Image.open(io.BytesIO(data) if isinstance(data, bytes) else data, formats=formats) as image:
        width, height = image.size
        if width * height > max_pixels:
            raise UnusablePicture(f"too large: {width} x {height} pixels, {max_pixels / 1e6:.0f} million are allowed")
        yield image


def decode(
    data: bytes | str | Path,
    ground: Colour = (255, 255, 255),
    *,
    max_pixels: int = MAX_PIXELS,
    formats: tuple[str, ...] = FORMATS,
) -> np.ndarray:
    """Decode a picture file, given as bytes or by path, to (H, W, 3) uint8 RGB.

    Turned upright by its EXIF orientation (HEIC and AVIF by their own properties, as their standard says), laid over
    `ground` where transparent, the first frame of an animation.
    16-bit grey is scaled to 8 bits. CMYK is turned into RGB by the plain formula; colour profiles are not applied.
    Raises what `open_picture` and Pillow's decoders raise; `reason` puts it into words.
    """
    with open_picture(data, max_pixels, formats) as image:
        return np.asarray(over_ground(upright(image), ground))


def upright(image: Image.Image) -> Image.Image:
    """8-bit version of an opened picture, turned by its EXIF orientation: RGBA where anything may be transparent, else RGB or L."""
    return eight_bits(ImageOps.exif_transpose(image))


def over_ground(image: Image.Image, ground: Colour) -> Image.Image:
    """RGB version of what `upright` gives, with `ground` under the transparent parts."""
    if image.mode == "RGBA":
        image = Image.alpha_composite(Image.new("RGBA", image.size, (*ground, 255)), image)
    return image.convert("RGB")


def reason(e: Exception) -> str:
    """The reason why a file was left out, for a list that people read."""
    if isinstance(e, UnidentifiedImageError):  # its own words hold the address of an object
        return "not a picture, or a damaged one"
    if isinstance(e, Image.DecompressionBombError):
        return f"too large: more than {MAX_PIXELS / 1e6:.0f} million pixels"
    return str(e) or type(e).__name__


@functools.cache
def _register_heif() -> None:
    # Without the library the rest still works; such a file is then reported as 'not a picture'.
    with contextlib.suppress(ImportError):
        import pillow_heif

        pillow_heif.register_heif_opener(thumbnails=False)
