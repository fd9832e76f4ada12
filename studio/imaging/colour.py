"""Colours of pictures: modes and bit depths, ICC profiles to sRGB, and colours as text."""

import contextlib
import functools
import io
import re
from typing import cast

import numpy as np
from PIL import Image, ImageCms

from studio.errors import StudioError
from studio.imaging.hdr import sdr_pixels

Colour = tuple[int, int, int]  # red, green, blue, 0 to 255
STATED = "stated_colours"  # in the info of a picture: primaries and transfer characteristics (H.273) that are not sRGB's
_ROUNDING = 1  # levels by which variants of sRGB differ


def eight_bits(image: Image.Image) -> Image.Image:
    """8-bit version of a picture of any mode, not turned: RGBA where anything may be transparent, else RGB or L."""
    alpha = None
    if image.mode.startswith("I;16") or image.mode == "I":
        values, key = np.asarray(image), image.info.get("transparency")
        alpha = Image.fromarray(((values != key) * 255).astype(np.uint8)) if isinstance(key, int) else None
        image = Image.fromarray((values.astype(np.float32) / 257).round().clip(0, 255).astype(np.uint8))
    elif image.mode == "F":
        values = np.nan_to_num(np.asarray(image), nan=0.0, posinf=0.0, neginf=0.0)
        # Programs that write floats mostly use the range 0 to 1.
        values = values * 255 if values.size and values.max() <= 1 else values
        image = Image.fromarray(values.clip(0, 255).round().astype(np.uint8))
    elif image.mode == "LAB":
        image = cast(Image.Image, ImageCms.applyTransform(image, _lab_to_srgb()))  # None only if done in place
    if alpha is not None:
        image = Image.merge("LA", (image, alpha))
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        if image.mode == "La":
            image = image.convert("LA")
        return image.convert("RGBA")
    return image if image.mode == "L" else image.convert("RGB")


def in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """8-bit sRGB version of a picture as `to_srgb` makes it: RGBA only where anything is transparent."""
    picture = to_srgb(image, profile)
    if picture.mode == "RGBA" and picture.getchannel("A").getextrema()[0] == 255:  # as cameras in a browser send it
        return picture.convert("RGB")
    return picture


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """8-bit sRGB version of a picture of any mode: RGBA where anything may be transparent, else RGB or L. It carries no profile.

    This is the one conversion for all pictures that come in. The intent is perceptual, as in PIL.ImageCms.profileToProfile.
    profile: ICC; one that cannot be used, or that is for other modes, counts as none. What `open_picture` found stated in numbers goes
    before it.
    """
    if STATED in image.info:
        return _by_numbers(image)
    space = _space_of(image)
    picture = image if image.mode == "CMYK" else eight_bits(image)
    transform = _to_srgb(profile, space) if profile else None
    if transform is not None:
        alpha = picture.getchannel("A") if picture.mode == "RGBA" else None
        colours = picture if space == "CMYK" else picture.convert("L" if space == "GRAY" else "RGB")
        picture = cast(Image.Image, ImageCms.applyTransform(colours, transform))
        if space == "GRAY":
            picture = picture.getchannel("G")  # the three are equal but for rounding
        if alpha is not None:
            picture = picture.convert("RGB")
            picture.putalpha(alpha)
    picture = eight_bits(picture)
    if "icc_profile" in picture.info:
        picture = picture.copy() if picture is image else picture
        del picture.info["icc_profile"]
    return picture


def _by_numbers(image: Image.Image) -> Image.Image:
    """8-bit sRGB version of a picture that states its primaries and transfer characteristics in numbers."""
    primaries, transfer = image.info[STATED]
    picture = eight_bits(image)
    deep = np.asarray(picture.convert("RGB")).astype(np.uint16) * 257
    out = Image.fromarray(sdr_pixels(deep, transfer, primaries))
    if picture.mode == "RGBA":
        out.putalpha(picture.getchannel("A"))
    return out.getchannel("G") if picture.mode == "L" else out


def fitting_profile(image: Image.Image) -> bytes | None:
    """ICC profile of a picture; None if it has none, or one that cannot hold for its pixels. One for RGB may lie in a grey picture."""
    profile = image.info.get("icc_profile")
    return profile if profile and _profile_space(profile) in (_space_of(image), "RGB") and image.mode != "CMYK" else None


def _space_of(image: Image.Image) -> str:
    """Colour space of a picture as an ICC profile names it."""
    if image.mode == "CMYK":
        return "CMYK"
    return "GRAY" if image.mode in ("1", "L", "LA", "La", "I", "F") or image.mode.startswith("I;16") else "RGB"


def _opened(profile: bytes) -> ImageCms.ImageCmsProfile | None:
    with contextlib.suppress(ImageCms.PyCMSError, OSError, ValueError):
        return ImageCms.ImageCmsProfile(io.BytesIO(profile))
    return None


@functools.lru_cache(maxsize=32)
def _profile_space(profile: bytes) -> str:
    """Colour space that an ICC profile is for, 'RGB', 'GRAY', 'CMYK' ...; '' if it cannot be read."""
    opened = _opened(profile)
    return str(getattr(opened.profile, "xcolor_space", "")).strip() if opened is not None else ""


@functools.lru_cache(maxsize=32)
def _to_srgb(profile: bytes, space: str) -> ImageCms.ImageCmsTransform | None:
    """Transform to sRGB; None where there is nothing to do: the profile is unusable, for another space, or sRGB itself by its numbers.

    Its name is no guide: linear working spaces and many others carry 'sRGB' in theirs.
    """
    if _profile_space(profile) != space or (source := _opened(profile)) is None:
        return None
    mode = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}[space]
    with contextlib.suppress(ImageCms.PyCMSError, OSError, ValueError):
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
        if space == "CMYK":
            return transform
        levels = np.arange(0, 256, 15 if space == "RGB" else 1, dtype=np.uint8)
        colours = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(-1, 1, 3) if space == "RGB" else levels[:, None]
        converted = cast(Image.Image, ImageCms.applyTransform(Image.fromarray(np.ascontiguousarray(colours)), transform))
        change = np.abs(np.asarray(converted, np.int16) - colours.reshape(len(colours), 1, -1)).max()
        return transform if change > _ROUNDING else None
    return None


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
