"""One picture file, checked and made ready for a set: what is stored, a preview, its perceptual hash."""

import io
from collections.abc import Iterator
from dataclasses import dataclass

from PIL import Image, PngImagePlugin

from studio.imaging.animation import evenly, is_animation, pictures_in
from studio.imaging.colour import Colour
from studio.imaging.decode import UnusablePicture, count_pictures, open_picture, over_ground, upright
from studio.imaging.location import has_location, strip_location
from studio.imaging.perceptual_hash import PerceptualHash, perceptual_hash
from studio.imaging.source_metadata import NO_METADATA, SourceMetadata, read_source_metadata
from studio.imaging.xmp import PNG_XMP_KEY, xmp_of_source

PREVIEW = 256  # pixels of the shorter side of the small copies that sheets are made from
_STORED_AS_THEY_ARE = {"JPEG": ".jpg", "MPO": ".jpg", "PNG": ".png", "WEBP": ".webp"}


@dataclass(frozen=True)
class PreparedPicture:
    """A checked picture."""

    stored: bytes
    """The file to store."""
    ending: str
    """Of the stored file, '.png'."""
    preview: bytes | None
    """A small WebP; None if the file itself is small."""
    size: tuple[int, int]
    """Width and height as it came."""
    perceptual_hash: PerceptualHash
    note: str = ""
    """What was changed; '' = stored as it was."""
    location_removed: bool = False


def prepare_picture(data: bytes, ground: Colour, max_pixels: int, min_side: int) -> PreparedPicture:
    """Check a picture file and prepare it.

    JPEG, PNG and WebP are stored byte for byte but for a GPS location; everything else becomes PNG, which keeps author,
    rights, date, description and resolution.
    data: the file.  ground: colour under transparent parts for the perceptual hash.
    max_pixels: of the picture.  min_side: pixels of the shorter side.
    Raises UnusablePicture, and what Pillow raises for a damaged file; `decode.reason` puts either into words.
    """
    with open_picture(data, max_pixels) as image:
        size, form, count = image.size, image.format or "", count_pictures(image)
        check_side(size, min_side)
        ending = _STORED_AS_THEY_ARE.get(form)
        if ending:
            image.draft(None, (2 * PREVIEW, 2 * PREVIEW))  # a JPEG is then read to its end at a fraction of the cost
        kept, located = (NO_METADATA, False) if ending else (read_source_metadata(image), has_location(image))
        picture = upright(image)
    seen = perceptual_hash(over_ground(picture, ground))
    note, location_removed = "", located
    if ending:
        try:
            data, location_removed = strip_location(data, form)
        except ValueError:  # Pillow could read what we cannot parse: keep only the pixels
            ending, location_removed = None, True
            with open_picture(data, max_pixels) as image:
                kept = read_source_metadata(image)
                picture = upright(image)
    if not ending:
        data, ending, note = png_bytes(picture, kept), ".png", f"{form} to PNG"
    if count > 1:
        note = f"{note}, the first of {count:,} pictures".removeprefix(", ")
    return PreparedPicture(data, ending, preview_bytes(picture, size), size, seen, note, location_removed)


@dataclass(frozen=True)
class PictureOfSeveral:
    """A frame or page of a file, ready for a set.  number: from 1.  count: of all in the file.  noun: 'frame' or 'page'."""

    prepared: PreparedPicture
    number: int
    count: int
    noun: str


def prepare_several(data: bytes, ground: Colour, max_pixels: int, min_side: int, most: int) -> Iterator[PictureOfSeveral]:
    """Check and prepare the frames of an animation, or the pages of a TIFF or HEIF, as PNGs, one at a time.

    most: pictures that are taken, evenly over all.  The rest is as of `prepare_picture`.
    """
    with open_picture(data, max_pixels) as image:
        count, noun = count_pictures(image), "frame" if is_animation(image) else "page"
        kept, located = read_source_metadata(image), has_location(image)
        for frame in pictures_in(image, max_pixels, evenly(count, most)):
            picture = frame.picture
            check_side(picture.size, min_side)
            seen, note = perceptual_hash(over_ground(picture, ground)), f"{noun} {frame.index + 1:,} of {count:,}"
            stored, preview = png_bytes(picture, kept), preview_bytes(picture, picture.size)
            prepared = PreparedPicture(stored, ".png", preview, picture.size, seen, note, located and frame.index == 0)
            yield PictureOfSeveral(prepared, frame.index + 1, count, noun)


def check_side(size: tuple[int, int], min_side: int) -> None:
    """Raises UnusablePicture if the shorter side has fewer than `min_side` pixels."""
    if min(size) < min_side:
        raise UnusablePicture(f"too small: {size[0]} x {size[1]} pixels, the shorter side must have {min_side}")


def png_bytes(image: Image.Image, kept: SourceMetadata = NO_METADATA) -> bytes:
    """A PNG file of a picture in sRGB.  kept: what its own file said of author, rights and content."""
    file, info = io.BytesIO(), PngImagePlugin.PngInfo()
    if kept.xmp:
        info.add_itxt(PNG_XMP_KEY, xmp_of_source(kept.xmp))
    image.save(file, "PNG", compress_level=4, pnginfo=info, exif=kept.exif, dpi=(kept.dpi, kept.dpi) if kept.dpi else None)
    return file.getvalue()


def preview_bytes(image: Image.Image, size: tuple[int, int]) -> bytes | None:
    """A small WebP of an upright picture whose file has `size`; None if the file itself is small."""
    if min(size) <= PREVIEW or max(size) > 40 * min(size):
        return None
    scale = PREVIEW / min(image.size)
    small = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC, reducing_gap=2.0)
    file = io.BytesIO()
    small.save(file, "WEBP", quality=85, method=2)
    return file.getvalue()
