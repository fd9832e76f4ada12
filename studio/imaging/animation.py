"""Pictures of a file that holds several: the frames of an animation (GIF, WebP, PNG, AVIF), the pages of a TIFF, the pictures of a HEIF."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from PIL import Image

from studio.imaging.decode import UnusablePicture, count_pictures, hidden_pictures, upright

MOVING = ("GIF", "WEBP", "PNG", "AVIF")  # formats whose several pictures are the frames of an animation
_UNSTATED = 100.0  # ms; browsers show a frame that states no duration for so long
_ONCE = 1


@dataclass(frozen=True)
class AnimationFrame:
    """A picture of several.  index: from 0.  picture: upright, in sRGB: RGBA where anything is transparent, else RGB or L.
    duration: in milliseconds; 0 for a page."""

    index: int
    picture: Image.Image
    duration: float


def is_animation(image: Image.Image) -> bool:
    """Whether an opened picture moves."""
    return image.format in MOVING and count_pictures(image) > 1


def plays(image: Image.Image) -> int:
    """How often an opened animation is played; 0 = for ever."""
    stated = image.info.get("loop")
    if image.format == "GIF":
        # Its field counts the repetitions after the first time; without it the animation runs once.
        return _ONCE if stated is None else stated and stated + 1
    return int(stated or 0)


def pictures_in(image: Image.Image, max_pixels: int, only: Collection[int] | None = None) -> Iterator[AnimationFrame]:
    """Frames or pages of an opened picture, one at a time.

    max_pixels: width times height of each; pages may differ in size.  only: the indices that are wanted, from 0; None = all.
    Raises UnusablePicture for one that is too large, and what Pillow's decoders raise for a damaged file.
    """
    hidden = hidden_pictures(image)
    for index in range(count_pictures(image)):
        if only is not None and index not in only:
            continue
        image.seek(index + hidden)
        if image.width * image.height > max_pixels:
            raise UnusablePicture(f"too large: its picture {index + 1} has {image.width} x {image.height} pixels")
        image.load()  # WebP and AVIF state the duration of a frame that is decoded
        duration = float(image.info.get("duration") or _UNSTATED) if image.format in MOVING else 0.0
        yield AnimationFrame(index, upright(image), duration)


def evenly(count: int, most: int) -> list[int]:
    """At most `most` indices spread over `count` pictures, the first among them."""
    return list(range(count)) if count <= most else sorted({i * count // most for i in range(most)})
