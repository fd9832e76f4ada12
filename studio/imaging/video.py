"""Frames of a video at even intervals; near-duplicates are left out."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from studio.common.progress import Cancel, raise_if_cancelled
from studio.imaging.decode import UnusablePicture
from studio.imaging.hdr import is_beyond_srgb, sdr_pixels
from studio.imaging.perceptual_hash import PerceptualHash, is_similar, perceptual_hash
from studio.imaging.source_metadata import NO_METADATA, SourceMetadata, video_metadata
from studio.imaging.xmp import MATROSKA_XMP_TAG, mp4_xmp

_UNSPECIFIED, _BT709, _BT601 = 2, 1, 5  # matrices in ITU-T H.273
_HD = 720  # lines; from here on players take unlabelled colours for BT.709
CONTAINERS = ("mov", "matroska", "avi", "mpegts", "mpeg", "flv", "ogg", "asf")
_MIN_INTERVAL = 0.5  # seconds between two frames if no interval is given


class Frame(NamedTuple):
    """A frame of a video."""

    seconds: float
    """From the beginning."""
    pixels: np.ndarray
    """(H, W, 3) uint8, upright."""
    perceptual_hash: PerceptualHash


def open_video(path: str | Path, container: str | None = None) -> Any:
    """A reader (PyAV's input container) of a local file, whose tags may be in any encoding; a context manager.

    container: one of CONTAINERS, None = whatever the file seems to be; only for files that the studio itself has written, for libav
    also knows playlists, which open other files.  Raises what PyAV raises for a damaged file.
    """
    import av  # 60 MB of libraries that the rest of the studio does not need

    assert container is None or container in CONTAINERS, container
    # From version 19 on PyAV replaces what is no UTF-8 by itself.
    tags: dict[str, Any] = {} if int(av.__version__.split(".")[0]) >= 19 else {"metadata_errors": "replace"}
    # Of a relative path libav would take what comes before a colon for a protocol.
    return av.open(os.path.abspath(path), "r", format=container, options={"protocol_whitelist": "file"}, **tags)


def read_video_metadata(path: Path, container: str) -> SourceMetadata:
    """What a video says of its author, rights and content. Nothing is raised: what cannot be read is not said."""
    try:
        with open_video(path, container) as source:
            return video_metadata(source.metadata, mp4_xmp(path))
    except Exception:  # the parsers of metadata raise whatever the bytes of a file lead them to
        return NO_METADATA


def matroska_xmp(path: Path) -> str:
    """XMP that the studio has put into a WebM; '' if there is none, or the file cannot be read."""
    try:
        with open_video(path, "matroska") as source:
            return source.metadata.get(MATROSKA_XMP_TAG, "")
    except Exception:  # as above
        return ""


def frames(
    path: str | Path,
    container: str,
    *,
    every: float = 0.0,
    limit: int = 200,
    max_pixels: int = 120_000_000,
    cancel: Cancel | None = None,
    progress: Callable[[float, float], None] = lambda seconds, length: None,
) -> Iterator[Frame]:
    """Decode a video once from start to end and yield at most `limit` frames, one at a time.

    container: one of CONTAINERS. No other is tried: libav also knows playlists, which open other files.
    every: seconds between two frames; 0 = evenly over the length, at most two a second. The first frame is always taken.
    A frame nearly identical to the last one is skipped, and the next may come sooner.
    max_pixels: width times height of a frame.
    progress: called with (seconds so far, length or 0).  cancel: asked before each frame.
    Raises CancelledError, UnusablePicture for a video without frames or with frames too large, and what PyAV raises for a damaged one.
    """
    import av

    with open_video(path, container) as source:
        stream = next(iter(source.streams.video), None)
        if stream is None:
            raise UnusablePicture("a video without pictures")
        _check_size(stream.codec_context.width, stream.codec_context.height, max_pixels)
        stream.thread_type = "AUTO"
        length = _length(source, stream, av.time_base)
        step = every or max(_MIN_INTERVAL, length / limit)
        due, given, begin, last = 0.0, 0, None, None
        for frame in source.decode(stream):
            raise_if_cancelled(cancel)
            if given >= limit:
                return
            if frame.time is None:
                continue
            begin = frame.time if begin is None else begin
            seconds = frame.time - begin
            progress(seconds, length)
            if seconds < due - 1e-6:
                continue
            _check_size(frame.width, frame.height, max_pixels)
            pixels = upright_pixels(frame, stream)
            seen = perceptual_hash(pixels)
            # Compression alone moves two bits and three levels.
            if last is not None and is_similar(last, seen, distance=3, colour=6):
                continue
            due = (seconds // step + 1) * step
            last, given = seen, given + 1
            yield Frame(seconds, pixels, seen)
        if given == 0:
            raise UnusablePicture("a video in which no frame can be read")


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise UnusablePicture(f"too large: frames of {width} x {height} pixels")


def _length(source, stream, time_base: int) -> float:
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return source.duration / time_base if source.duration else 0.0


def upright_pixels(frame, stream) -> np.ndarray:
    """Pixels of a decoded frame of a stream: (H, W, 3) uint8, square pixels, turned the way the camera was held.

    Where the file does not state its colours they are guessed by its size, as players do; HDR is toned down to what a screen shows, and
    wide gamuts (BT.2020, Display P3) are converted to sRGB.
    """
    if frame.colorspace == _UNSPECIFIED:
        frame.colorspace = _BT709 if frame.height >= _HD else _BT601
    if is_beyond_srgb(frame.color_primaries, frame.color_trc):
        pixels = sdr_pixels(frame.to_ndarray(format="rgb48le"), frame.color_trc, frame.color_primaries)
    else:
        pixels = frame.to_ndarray(format="rgb24")
    aspect = stream.sample_aspect_ratio
    if aspect and 0.1 < aspect < 10 and aspect != 1:
        pixels = np.asarray(
            Image.fromarray(pixels).resize((max(1, round(frame.width * float(aspect))), frame.height), Image.Resampling.LANCZOS)
        )
    turns = round(getattr(frame, "rotation", 0) / 90) % 4  # anticlockwise, as np.rot90
    return np.ascontiguousarray(np.rot90(pixels, turns)) if turns else pixels
