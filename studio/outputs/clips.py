"""Clips: video files of a walk."""

import io
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.codec.codec import UnknownCodecError
from PIL import Image

from studio.common.files import atomic_write
from studio.errors import StudioError
from studio.imaging.xmp import AI_LABEL, DigitalSourceType, mp4_box, xmp_packet
from studio.provenance.signing import signed

_MIN_SIDE = 512  # players and sites blur anything smaller, so small pictures are scaled up by repeating pixels
# Codecs for .mp4 in order of preference; the first that this build of FFmpeg has is used. H.264 plays everywhere.
_CODECS = (("libx264", {"crf": "18", "preset": "medium"}), ("libvpx-vp9", {"crf": "24", "b:v": "0"}), ("mpeg4", {"qscale": "3"}))
_BT709, _TV_RANGE = 1, 1  # the colours of HD video in ITU-T H.273


def save_clip(pictures: list[np.ndarray], path: str | Path, fps: float = 24) -> Path:
    """Write pictures of equal size (H, W, 3) uint8 as an .mp4 or a looping animated .webp, with the AI label; it appears whole or
    not at all.

    fps: pictures a second.  Raises StudioError when there are no pictures, for another file ending, or when the disk is full.
    """
    path = Path(path)
    if not pictures:
        raise StudioError("There are no pictures to make a clip of.", "Pin two pictures or more.")
    writers = {".mp4": _mp4, ".webp": _webp}
    if path.suffix.lower() not in writers:
        raise StudioError(f"A clip cannot be saved as '{path.suffix}'.", "Choose .mp4 or .webp.")
    ending = path.suffix.lower()
    data = signed(writers[ending](pictures, fps), ending[1:], DigitalSourceType.GENERATED)
    try:
        atomic_write(path, data)
    except OSError as e:
        raise StudioError(f"The clip could not be saved: {e}.", "Free some space and make it again.") from None
    return path


def repeats(height: int, width: int) -> int:
    """How often each pixel of a small picture is repeated, so that both sides have 512 px or nearly so."""
    return max(1, _MIN_SIDE // min(height, width))


def _repeated(picture: np.ndarray) -> np.ndarray:
    scale = repeats(*picture.shape[:2])
    return picture.repeat(scale, axis=0).repeat(scale, axis=1)


def _webp(pictures: list[np.ndarray], fps: float) -> bytes:
    frames = [Image.fromarray(_repeated(p)) for p in pictures]
    buffer = io.BytesIO()
    frames[0].save(
        buffer,
        "WEBP",
        save_all=True,
        append_images=frames[1:],
        duration=round(1000 / fps),
        loop=0,
        quality=85,
        method=2,
        xmp=xmp_packet(DigitalSourceType.GENERATED).encode(),
    )
    return buffer.getvalue()


def _mp4(pictures: list[np.ndarray], fps: float) -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        container.metadata["comment"] = AI_LABEL
        height, width = _repeated(pictures[0]).shape[:2]
        stream = add_video(container, Fraction(fps).limit_denominator(1001), height, width)
        for picture in pictures:
            container.mux(stream.encode(video_frame(_repeated(picture))))
        container.mux(stream.encode())
    return buffer.getvalue() + mp4_box(xmp_packet(DigitalSourceType.GENERATED))


def add_video(
    container: Any,
    fps: Fraction,
    height: int,
    width: int,
    codecs: Sequence[tuple[str, dict[str, str]]] | None = None,
    pixel_format: str = "yuv420p",
) -> Any:
    """Add a stream to a video file for `video_frame`s of pictures of this size. Raises StudioError when no codec is available.

    codecs: (FFmpeg's name, options) in order of preference; None = those for an .mp4.
    """
    for name, options in codecs or _CODECS:
        try:
            stream = container.add_stream(name, rate=fps, options=options)
        except (UnknownCodecError, ValueError):  # this build lacks it, or cannot put it into an .mp4
            continue
        stream.width, stream.height, stream.pix_fmt = width + width % 2, height + height % 2, pixel_format
        # Stated explicitly, because players otherwise guess the colour space from the size.
        stream.colorspace = stream.color_primaries = stream.color_trc = _BT709
        stream.color_range = _TV_RANGE
        return stream
    what = "an .mp4" if codecs is None else f"this kind of video ({codecs[0][0]})"
    raise StudioError(f"This computer has no codec to write {what}.", "Save a .webp, or reinstall PyAV.")


def video_frame(picture: np.ndarray, pixel_format: str = "yuv420p") -> av.VideoFrame:
    """Picture (H, W, 3) uint8 -> a frame for `add_video`; an odd side becomes one pixel longer."""
    frame = av.VideoFrame.from_ndarray(_even(picture), format="rgb24")
    # By one thread: with several, FFmpeg 8 now and then spoils the first pixels of a thread's share in formats of 10 bits.
    return frame.reformat(format=pixel_format, dst_colorspace=_BT709, dst_color_range=_TV_RANGE, threads=1)


def _even(picture: np.ndarray) -> np.ndarray:
    # Chroma is stored for blocks of 2x2 pixels: an odd side gets its last line twice.
    return np.pad(picture, [(0, picture.shape[0] % 2), (0, picture.shape[1] % 2), (0, 0)], mode="edge")
