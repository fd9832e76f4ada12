"""Raster: a picture as it is stored, 8 or 16 bits, grey or colour, with its transparency and its colour profile."""

import mmap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import av
import av.error
import numpy as np
from PIL import Image, ImageOps

from studio.errors import StudioError
from studio.imaging.colour import STATED, eight_bits, fitting_profile, to_srgb
from studio.imaging.decode import UnusablePicture, open_picture, reason

_DEEP = {"gray16": 1, "ya16": 2, "rgb48": 3, "rgba64": 4}  # FFmpeg's names of packed 16-bit pixels, and their channels
_READERS = {"PNG": "png_pipe", "TIFF": "tiff_pipe"}  # Pillow's name of a format with 16 bits -> FFmpeg's
_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
_CONVERTED = ("CMYK", "LAB", "YCbCr", "HSV", "F")  # modes that cannot be kept as they are stored: they become sRGB
_ORIENTATION = 0x0112  # in EXIF
MAX_NETWORK_PIXELS = 64 << 20  # of a picture that a network processes
_TURNS = {  # as PIL.ImageOps.exif_transpose
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a.transpose(1, 0, 2)[::-1, ::-1],
    8: lambda a: np.rot90(a, 1),
}


@dataclass(frozen=True)
class Raster:
    """A picture as it is stored."""

    pixels: np.ndarray
    """(H, W, C) uint8 or uint16; C is 1 (grey), 2 (grey and alpha), 3 (RGB) or 4 (RGBA)."""
    profile: bytes | None = None
    """ICC profile."""

    @classmethod
    def from_image(cls, image: Image.Image) -> "Raster":
        """Raster of a picture of any mode, without applying EXIF orientation; 16 bits only for grey, as Pillow supports no others.

        Raises StudioError for a picture that cannot be used.
        """
        if isinstance(image, Image.Image) and (image.mode in _CONVERTED or STATED in image.info):
            return cls._of(check_image(image), None)
        stored = _checked(image, eight_bits)  # decodes it, too
        if image.mode.startswith("I"):
            values, key = np.asarray(image).clip(0, 65535).astype(np.uint16), image.info.get("transparency")
            alpha = [np.where(values == key, 0, 65535).astype(np.uint16)] if isinstance(key, int) else []
            return cls(np.stack([values, *alpha], axis=2), fitting_profile(image))
        return cls._of(stored.convert("LA") if image.mode in ("LA", "La") else stored, fitting_profile(image))

    @classmethod
    def _of(cls, image: Image.Image, profile: bytes | None) -> "Raster":
        pixels = np.asarray(image)
        return cls(pixels if pixels.ndim == 3 else pixels[:, :, None], profile)

    @classmethod
    def from_file(cls, path: str | Path) -> "Raster":
        """Raster of a file: upright by its EXIF orientation, first frame, with all 16 bits of a PNG or TIFF that has them; HDR and
        colours stated in numbers become sRGB of 8 bits.

        Raises StudioError for a file that cannot be used.
        """
        try:
            with open_picture(path, MAX_NETWORK_PIXELS) as image:
                tiles = getattr(image, "tile", ())
                deep = STATED not in image.info and image.mode in ("RGB", "RGBA") and any(";16" in str(tile[3]) for tile in tiles)
                pixels = _deep_pixels(path, _READERS[image.format]) if deep and image.format in _READERS else None
                if pixels is None:
                    return cls.from_image(ImageOps.exif_transpose(image))
                turn = _TURNS.get(image.getexif().get(_ORIENTATION, 1))
                return cls(np.ascontiguousarray(turn(pixels)) if turn else pixels, fitting_profile(image))
        except StudioError:
            raise
        except UnusablePicture as e:
            raise StudioError(f"The picture is {e}.", "Make it smaller.") from None
        except Exception as e:  # Pillow's decoders raise nearly anything for a damaged file
            raise StudioError(f"The picture cannot be read: {reason(e)}.", "Open it in another program and save it again.") from None

    def to_image(self) -> Image.Image:
        """Pillow image of mode L, LA, RGB or RGBA in 8 bits, or I;16. 16-bit colour is rounded to 8 bits, as Pillow has no such mode."""
        pixels = self.pixels
        if pixels.dtype == np.uint16 and pixels.shape[2] > 1:
            pixels = ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)
        image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
        assert pixels.dtype == np.uint16 or image.mode == _MODES[pixels.shape[2]]
        if self.profile:
            image.info["icc_profile"] = self.profile
        return image


def _deep_pixels(path: str | Path, reader: str) -> np.ndarray | None:
    """Pixels of a file of 16 bits a channel, (H, W, C) uint16; None if its pixel format is not known here.

    reader: FFmpeg's name of the format.
    """
    try:
        # FFmpeg sees bytes without a name: in a name it would take '%d' for a number and open another file, and 'a:' for a protocol.
        with (
            open(path, "rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
            cast(Any, av.open(cast(Any, content), "r", format=reader)) as container,
        ):
            frame = next(container.decode(video=0))
    except (av.error.FFmpegError, StopIteration):
        return None
    name, order = frame.format.name[:-2], frame.format.name[-2:]
    if name not in _DEEP or order not in ("le", "be"):
        return None
    plane = frame.planes[0]
    values = np.frombuffer(cast(Any, plane), "<u2" if order == "le" else ">u2").reshape(frame.height, plane.line_size // 2)
    return values[:, : frame.width * _DEEP[name]].reshape(frame.height, frame.width, _DEEP[name]).astype(np.uint16)


def check_image(image: Image.Image) -> Image.Image:
    """8-bit sRGB version of an opened picture, by its own profile: RGBA, RGB or L. Raises StudioError for one that cannot be used."""
    return _checked(image, lambda image: to_srgb(image, image.info.get("icc_profile")))


def _checked(image: Image.Image, convert: Callable[[Image.Image], Image.Image]) -> Image.Image:
    """The picture converted. Raises StudioError for one that cannot be used."""
    if not isinstance(image, Image.Image):
        raise StudioError(f"This is not a picture but a {type(image).__name__}.", "Open it with PIL.Image.open.")
    width, height = image.size
    if not width or not height:
        raise StudioError(f"The picture is {width} x {height} pixels.", "Give one with at least one pixel.")
    if width * height > MAX_NETWORK_PIXELS:
        raise StudioError(f"The picture is {width} x {height} pixels, more than 64 megapixels.", "Make it smaller.")
    try:
        return convert(image)
    except Exception as e:  # Pillow decodes late, and its decoders raise nearly anything for a damaged file
        raise StudioError(f"The picture cannot be read: {reason(e)}.", "Open it in another program and save it again.") from None
