"""Colours of pictures: modes and bit depths, ICC profiles to sRGB, and colours as text."""

import contextlib
import functools
import io
import re
from typing import cast

import numpy as np
from PIL import Image, ImageCms

from studio.errors import StudioError

Colour = tuple[int, int, int]  # red, green, blue, 0 to 255
_SPACES = {"RGB": "RGB ", "RGBA": "RGB ", "L": "GRAY", "CMYK": "CMYK"}  # as a colour profile calls what Pillow calls a mode


def eight_bits(image: Image.Image) -> Image.Image:
    """8-bit version of a picture of any mode, not turned: RGBA where anything may be transparent, else RGB or L."""
    if image.mode.startswith("I;16") or image.mode == "I":
        image = Image.fromarray((np.asarray(image).astype(np.float32) / 257).clip(0, 255).astype(np.uint8))
    elif image.mode == "F":
        values = np.nan_to_num(np.asarray(image), nan=0.0, posinf=0.0, neginf=0.0)
        # Programs that write floats mostly use the range 0 to 1.
        values = values * 255 if values.size and values.max() <= 1 else values
        image = Image.fromarray(values.clip(0, 255).round().astype(np.uint8))
    elif image.mode == "LAB":
        image = cast(Image.Image, ImageCms.applyTransform(image, _lab_to_srgb()))  # None only if done in place
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        if image.mode == "La":
            image = image.convert("LA")
        return image.convert("RGBA")
    return image if image.mode == "L" else image.convert("RGB")


def in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """8-bit sRGB version of a picture of any mode: RGBA where anything is transparent, else RGB or L.

    profile: ICC; one that cannot be used, or that is for other modes, counts as none.
    """
    image = image if image.mode == "CMYK" else eight_bits(image)
    if profile and image.mode in _SPACES:
        with contextlib.suppress(ImageCms.PyCMSError, OSError, ValueError):
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            fits = getattr(source.profile, "xcolor_space", None) == _SPACES[image.mode]
            if fits and "srgb" not in ImageCms.getProfileDescription(source).lower():
                colours = image.convert("RGB") if image.mode == "RGBA" else image
                target = ImageCms.createProfile("sRGB")
                converted = cast(Image.Image, ImageCms.profileToProfile(colours, source, target, outputMode="RGB"))
                if image.mode == "RGBA":
                    converted.putalpha(image.getchannel("A"))
                image = converted
    image = eight_bits(image)
    opaque = image.mode == "RGBA" and image.getchannel("A").getextrema()[0] == 255  # as cameras in a browser send it
    return image.convert("RGB") if opaque else image


def parse_colour(text: str) -> Colour:
    """The colour of '#ff8000': (255, 128, 0). Raises StudioError for anything else."""
    if not isinstance(text, str) or not re.fullmatch(r"#[0-9a-fA-F]{6}", text):
        raise StudioError(f"'{text}' is not a colour.", "Write it as # and six hexadecimal digits, such as #ffffff for white.")
    red, green, blue = (int(text[i : i + 2], 16) for i in (1, 3, 5))
    return red, green, blue


def colour_text(colour: Colour) -> str:
    """Text of a colour: '#ff8000' for (255, 128, 0)."""
    return "#{:02x}{:02x}{:02x}".format(*colour)


@functools.cache
def _lab_to_srgb():
    return ImageCms.buildTransform(ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB")
