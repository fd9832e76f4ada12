"""Colours of pictures: modes and bit depths, ICC profiles to sRGB, and colours as text."""

import contextlib
import functools
import io
import re

import numpy as np
from PIL import Image, ImageCms

from studio.errors import StudioError

Colour = tuple[int, int, int]
_SPACES = {"RGB": "RGB ", "RGBA": "RGB ", "L": "GRAY", "CMYK": "CMYK"}  # as a colour profile calls what Pillow calls a mode


def eight_bits(image: Image.Image) -> Image.Image:
    """A picture of any mode, as it lies -> in 8 bits: RGBA where anything may be transparent, else RGB or L."""
    if image.mode.startswith("I;16") or image.mode == "I":
        image = Image.fromarray((np.asarray(image).astype(np.float32) / 257).clip(0, 255).astype(np.uint8))
    elif image.mode == "F":
        values = np.nan_to_num(np.asarray(image), nan=0.0, posinf=0.0, neginf=0.0)
        # Programs that write floats mostly mean 0 to 1.
        values = values * 255 if values.size and values.max() <= 1 else values
        image = Image.fromarray(values.clip(0, 255).round().astype(np.uint8))
    elif image.mode == "LAB":
        image = ImageCms.applyTransform(image, _lab_to_srgb())
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        if image.mode == "La":
            image = image.convert("LA")
        return image.convert("RGBA")
    return image if image.mode == "L" else image.convert("RGB")


def in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """A picture of any mode -> 8 bits in sRGB: RGBA where anything is transparent, else RGB or L.

    profile: ICC; one that cannot be used, or that is for other modes, counts as none.
    """
    image = image if image.mode == "CMYK" else eight_bits(image)
    if profile and image.mode in _SPACES:
        with contextlib.suppress(ImageCms.PyCMSError, OSError, ValueError):
            theirs = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            fits = theirs.profile.xcolor_space == _SPACES[image.mode]
            if fits and "srgb" not in ImageCms.getProfileDescription(theirs).lower():
                colours = image.convert("RGB") if image.mode == "RGBA" else image
                turned = ImageCms.profileToProfile(colours, theirs, ImageCms.createProfile("sRGB"), outputMode="RGB")
                if image.mode == "RGBA":
                    turned.putalpha(image.getchannel("A"))
                image = turned
    image = eight_bits(image)
    opaque = image.mode == "RGBA" and image.getchannel("A").getextrema()[0] == 255  # as cameras in a browser send it
    return image.convert("RGB") if opaque else image


def parse_colour(text: str) -> Colour:
    """'#ff8000' -> (255, 128, 0). Raises StudioError for anything else."""
    if not isinstance(text, str) or not re.fullmatch(r"#[0-9a-fA-F]{6}", text):
        raise StudioError(f"'{text}' is not a colour.", "Write it as # and six hexadecimal digits, such as #ffffff for white.")
    return tuple(int(text[i : i + 2], 16) for i in (1, 3, 5))


def colour_text(colour: Colour) -> str:
    """(255, 128, 0) -> '#ff8000'."""
    return "#{:02x}{:02x}{:02x}".format(*colour)


@functools.cache
def _lab_to_srgb():
    return ImageCms.buildTransform(ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB")
