"""Translation or upscaling of an animation (GIF, WebP, PNG, AVIF), frame by frame: durations, loop and transparency stay as they were."""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, PngImagePlugin
from PIL.TiffImagePlugin import AppendingTiffWriter

from studio.common.files import atomic_path, ensure_room
from studio.common.progress import Cancel, Progress, raise_if_cancelled, report
from studio.common.text import printable
from studio.engine.image_recipe import ImageRecipe
from studio.errors import StudioError
from studio.imaging.animation import is_animation, pictures_in, plays
from studio.imaging.decode import UnusablePicture, count_pictures, open_picture, reason
from studio.imaging.raster import MAX_NETWORK_PIXELS
from studio.imaging.source_metadata import SourceMetadata
from studio.imaging.xmp import DigitalSourceType, gif_with_xmp
from studio.provenance.metadata import MAX_WEBP_SIDE, kept_metadata, png_texts, webp_options, xmp_for
from studio.provenance.signing import sign_in_place

# Format as it came -> file type of the result. AVIF is written by few programs and read by fewer.
FILE_TYPES = {"GIF": "gif", "PNG": "png", "WEBP": "webp", "AVIF": "webp"}
_IN_MEMORY = 1 << 30  # bytes of frames that the writers of GIF and PNG hold
_COLOURS = 256  # of a frame of a GIF
_HOLE = (3, 255, 7)  # colour of the index for what is transparent
_OPAQUE = 128  # alpha from which a pixel of a GIF is there: it knows no half transparency


@dataclass(frozen=True)
class AnimationInfo:
    """What an animation is.  format: as Pillow names it.  size: width and height of the frames.  count: of frames."""

    format: str
    size: tuple[int, int]
    count: int

    @property
    def file_type(self) -> str:
        """That it is written as where none is asked for: 'gif', 'png' or 'webp'."""
        return FILE_TYPES[self.format]


def animation_info(source: str | Path) -> AnimationInfo | None:
    """What an animation is; None for other pictures, videos, and files that cannot be read."""
    try:
        with open_picture(source, MAX_NETWORK_PIXELS) as image:
            return AnimationInfo(image.format or "", image.size, count_pictures(image)) if is_animation(image) else None
    except Exception:  # an untrusted file: opening it as a picture says why it cannot be used
        return None


def first_animation_frame(source: str | Path) -> Image.Image:
    """First frame of an animation as `convert_animation` reads it. Raises StudioError for a file that cannot be used."""
    for frame, _, _, _ in _frames(Path(source)):
        return frame
    raise StudioError(f"'{printable(Path(source).name)}' has no frame.", "Open it in another program, and save it again.")


def convert_animation(
    source: str | Path,
    target: str | Path,
    make: Callable[[Image.Image], Image.Image],
    progress: Progress | None = None,
    cancel: Cancel | None = None,
    made_by: ImageRecipe | DigitalSourceType = DigitalSourceType.COMPOSITE,
    quality: int | None = None,
) -> Path:
    """Convert every frame of an animation into another animation; it appears whole or not at all.

    target: ends in .gif, .png or .webp.  make: frame (RGB, L or RGBA) -> its translated or upscaled version; all of one size.
    progress: called with (frames done, all).  cancel: asked before each frame; when true CancelledError is raised.
    made_by: the recipe, written into the file beside the AI label if the provenance policy allows it.
    quality: of WebP, 1 to 100; None = lossless.

    Each frame is shown as long as before, and the whole as often. Frames that do not differ are written as one. A GIF has 256 colours a
    frame, and no half transparency; WebP and PNG keep all.
    Raises StudioError for a file that is damaged or no animation, a result too large for its file type, and a full disk.
    """
    source, target = Path(source), Path(target)
    form = target.suffix.lower().lstrip(".")
    if form not in FILE_TYPES.values():
        raise StudioError(f"An animation cannot be saved as '{target.suffix}'.", "Choose .gif, .webp or .png.")
    durations: list[float] = []
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="studio-frames-") as scratch:
            # Frames wait on the disk: hundreds of upscaled ones are more than memory holds.
            stored, size, played = Path(scratch) / "frames.tif", (0, 0), 0
            with open(stored, "w+b") as file, AppendingTiffWriter(file, new=True) as pages:
                for frame, duration, count, loop in _frames(source):
                    raise_if_cancelled(cancel)
                    report(progress, len(durations), count)
                    made = make(frame)
                    if not durations:
                        size, played = made.size, loop
                        _check_size(form, size, count)
                        ensure_room(stored.parent, size[0] * size[1] * 4 * count)
                    page = made.convert("RGBA" if made.mode in ("RGBA", "LA") else "RGB")
                    _with_white_holes(page).save(pages, "TIFF", big_tiff=True)
                    pages.newFrame()
                    durations.append(duration)
            raise_if_cancelled(cancel)
            with atomic_path(target) as part, Image.open(stored, formats=("TIFF",)) as frames:
                _write(frames, part, form, durations, played, made_by, kept_metadata(source), quality)
                sign_in_place(part, form, made_by, source)
    except OSError as e:
        raise StudioError(f"The animation could not be saved: {e.strerror or e}.", "Free some space, then try again.") from None
    report(progress, len(durations), len(durations))
    return target


def _frames(source: Path) -> Iterator[tuple[Image.Image, float, int, int]]:
    """(frame, its duration in ms, frames in all, plays) of an animation. Raises StudioError for one that cannot be used."""
    name = printable(source.name)
    try:
        with open_picture(source, MAX_NETWORK_PIXELS) as image:
            count, loop = count_pictures(image), plays(image)
            if not is_animation(image):
                raise StudioError(f"'{name}' does not move.", "Give a GIF, or an animated WebP, PNG or AVIF.")
            for frame in _decoded(pictures_in(image, MAX_NETWORK_PIXELS), name):
                yield frame.picture, frame.duration, count, loop
    except UnusablePicture as e:
        raise StudioError(f"'{name}' is {e}.", "Make it smaller, then try again.") from None


def _decoded(frames: Iterator, name: str) -> Iterator:
    """The frames. Errors of Pillow's decoders become StudioErrors; those of whoever uses a frame stay what they are."""
    while True:
        try:
            frame = next(frames, None)
        except UnusablePicture:
            raise
        except Exception as e:  # Pillow's decoders raise nearly anything for a damaged file
            raise StudioError(
                f"'{name}' cannot be read: {reason(e).rstrip('.')}.", "Open it in another program, and save it again."
            ) from None
        if frame is None:
            return
        yield frame


def _check_size(form: str, size: tuple[int, int], count: int) -> None:
    """Raises StudioError for an animation that the writers cannot hold."""
    width, height = size
    hint = "Choose a smaller scale, or only the first frame."
    if form == "webp" and max(size) > MAX_WEBP_SIDE:
        raise StudioError(f"The frames would have {width:,} x {height:,} px; a WebP has at most {MAX_WEBP_SIDE:,} px a side.", hint)
    if form == "gif" and max(size) > 65535:
        raise StudioError(f"The frames would have {width:,} x {height:,} px; a GIF has at most 65,535 px a side.", hint)
    if width * height * count * {"gif": 1, "png": 4, "webp": 0}[form] > _IN_MEMORY:
        raise StudioError(
            f"{count:,} frames of {width:,} x {height:,} px are too much for one {form.upper()}.",
            f"Choose WebP. {hint.replace('Choose', 'Or')}",
        )


def _write(
    frames: Image.Image,
    part: Path,
    form: str,
    durations: list[float],
    loop: int,
    made_by: ImageRecipe | DigitalSourceType,
    kept: SourceMetadata,
    quality: int | None,
) -> None:
    """frames: opened, with one page a frame, all of one size.  loop: how often it is played, 0 = for ever."""
    if form == "webp":
        xmp = xmp_for(made_by, kept).encode()
        frames.save(part, "WEBP", save_all=True, duration=durations, loop=loop, xmp=xmp, exif=kept.exif, **webp_options(quality))
    elif form == "png":
        info = PngImagePlugin.PngInfo()
        for key, text in png_texts(made_by, kept):
            info.add_itxt(key, text)
        frames.save(part, "PNG", save_all=True, duration=durations, loop=loop, pnginfo=info, exif=kept.exif)
    else:
        count = getattr(frames, "n_frames", 1)
        clear = any(_page(frames, i).mode == "RGBA" for i in range(count))
        pages = (gif_frame(_page(frames, i), clear) for i in range(count))
        # 1 would mean once more after the first time.
        repeats = {"loop": loop - 1 if loop else 0} if loop != 1 else {}
        # A frame that begins with an empty canvas, where there are holes in it.
        next(pages).save(
            part, "GIF", save_all=True, append_images=pages, duration=durations, optimize=False, disposal=2 if clear else 1, **repeats
        )
        part.write_bytes(gif_with_xmp(part.read_bytes(), xmp_for(made_by, kept)))


def _with_white_holes(page: Image.Image) -> Image.Image:
    """The page with white where it is wholly transparent: libwebp leaves black out of a frame, and then takes the frame for opaque."""
    if page.mode == "RGBA":
        page.paste((255, 255, 255, 0), mask=page.getchannel("A").point([255] + [0] * 255))
    return page


def _page(frames: Image.Image, index: int) -> Image.Image:
    frames.seek(index)
    return frames


def gif_frame(frame: Image.Image, clear: bool) -> Image.Image:
    """The frame in colours of its own, dithered (Floyd and Steinberg).  clear: with one index for what is transparent."""
    picture = frame.convert("RGB")
    best = picture.quantize(_COLOURS - clear, Image.Quantize.MEDIANCUT)
    few = picture.getcolors(_COLOURS - clear) is not None
    out = best if few else picture.quantize(palette=best, dither=Image.Dither.FLOYDSTEINBERG)
    if clear:
        # Pillow crops a frame to what differs from this colour, so no other index may have it.
        colours = (out.getpalette() or [])[: 3 * (_COLOURS - 1)]
        colours = [colour for i in range(0, len(colours), 3) for colour in _beside(colours[i : i + 3])]
        out.putpalette([*colours, *[0] * (3 * (_COLOURS - 1) - len(colours)), *_HOLE])
        out.info["transparency"] = _COLOURS - 1
        if frame.mode == "RGBA":
            hole = frame.getchannel("A").point([255] * _OPAQUE + [0] * (256 - _OPAQUE))
            out.paste(_COLOURS - 1, mask=hole)
    return out


def _beside(colour: list[int]) -> list[int]:
    """The colour, or its neighbour where it is the one of what is transparent."""
    return colour if tuple(colour) != _HOLE else [colour[0], colour[1] - 1, colour[2]]
