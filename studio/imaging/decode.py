"""Decoding of a picture file to pixels, with orientation, CMYK, 16 bits, palettes and transparency handled."""

import contextlib
import functools
import io
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from studio.imaging.cicp import stated_colours
from studio.imaging.colour import STATED, Colour, in_srgb
from studio.imaging.hdr import HDR

# An allow-list, whatever a file's ending: some of Pillow's formats (EPS, PDF) start other programs.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF")
HDR_REMARK = "It is HDR: its light was toned down to what screens show."
MAX_PIXELS = 178_956_970  # Pillow's own limit

# Above half of MAX_PIXELS Pillow warns on the console, where no artist looks.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


class UnusablePicture(ValueError):
    """A readable picture that is refused. The text is the reason in plain words."""


@contextlib.contextmanager
def open_picture(data: bytes | str | Path, max_pixels: int = MAX_PIXELS, formats: tuple[str, ...] = FORMATS) -> Iterator[Image.Image]:
    """Open a picture file: its header is read, no pixel is decoded yet.

    data: the bytes, or a path.  max_pixels: width times height.  formats: as Pillow names them.
    Raises UnusablePicture if the header states more than `max_pixels`, and whatever Pillow raises for a file that is not a
    picture of `formats` (`reason` puts either into words).
    """
    if "HEIF" in formats:
        _register_heif()
    with Image.open(io.BytesIO(data) if isinstance(data, bytes) else data, formats=formats) as image:
        width, height = image.size
        if width * height > max_pixels:
            raise UnusablePicture(f"too large: {width} x {height} pixels, {max_pixels / 1e6:.0f} million are allowed")
        if image.format == "PNG" and "transparency" in image.info:
            image.info["transparency"] = _scaled_key(image)
        colours = stated_colours(image, data)
        if colours is not None:
            image.info[STATED] = colours
        yield image


def _scaled_key(image: Image.Image):
    """The transparent colour of a PNG (tRNS), scaled as Pillow scales the pixels to 8 bits. Only I;16 keeps all its bits."""
    tiles = getattr(image, "tile", ())
    key, stored = image.info["transparency"], str(tiles[0][3]) if tiles else ""
    if isinstance(key, int) and image.mode == "L":
        return key * {"L;2": 85, "L;4": 17}.get(stored, 1)
    return tuple(value >> 8 for value in key) if isinstance(key, tuple) and ";16" in stored else key


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
    Colours are converted to sRGB by the profile of the file, or by what it states in numbers, HDR included; CMYK without a profile becomes
    RGB by the plain formula. 16 bits are scaled to 8.
    Raises what `open_picture` and Pillow's decoders raise; `reason` puts it into words.
    """
    with open_picture(data, max_pixels, formats) as image:
        return np.asarray(over_ground(upright(image), ground))


def upright(image: Image.Image) -> Image.Image:
    """8-bit sRGB version of an opened picture, turned by its EXIF orientation: RGBA where anything is transparent, else RGB or L."""
    return in_srgb(ImageOps.exif_transpose(image), image.info.get("icc_profile"))


def over_ground(image: Image.Image, ground: Colour) -> Image.Image:
    """RGB version of a result of `upright`, with `ground` behind the transparent parts."""
    if image.mode == "RGBA":
        image = Image.alpha_composite(Image.new("RGBA", image.size, (*ground, 255)), image)
    return image.convert("RGB")


def left_out(image: Image.Image) -> str:
    """Sentences on what of an opened picture is not taken: its other frames or pages, light beyond what screens show; '' if all is."""
    return " ".join(filter(None, (_others(image), HDR_REMARK * (image.info.get(STATED, (0, 0))[1] in HDR))))


def _others(image: Image.Image) -> str:
    count = count_pictures(image)
    if count < 2:
        return ""
    several = {"TIFF": f"It has {count:,} pages", "HEIF": f"It holds {count:,} pictures"}
    return several.get(image.format or "", f"It is an animation of {count:,} frames") + ": only its first picture was taken."


def count_pictures(image: Image.Image) -> int:
    """Frames or pages of an opened picture."""
    if image.format == "MPO":  # its others are views or previews of the same picture
        return 1
    return max(1, getattr(image, "n_frames", 1) - hidden_pictures(image))


def hidden_pictures(image: Image.Image) -> int:
    """Pictures at the beginning that are no part of the animation: a PNG may hold one for programs that know no animations."""
    return 1 if image.format == "PNG" and image.info.get("default_image") and getattr(image, "n_frames", 1) > 1 else 0


def reason(e: Exception) -> str:
    """The reason why a file was left out, in plain words."""
    if isinstance(e, UnidentifiedImageError):  # its message contains a memory address
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
