"""Sound files: samples at any rate, from the file's beginning on."""

import contextlib
import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from studio.common.text import printable
from studio.errors import StudioError

_CONTAINERS = ((b"fLaC", "flac"), (b"OggS", "ogg"), (b"\x1aE\xdf\xa3", "matroska"), (b"0&\xb2u\x8ef\xcf\x11", "asf"))
_AGAIN = "Open it in another program, and save it again as WAV, FLAC or MP3."


def sound_format(head: bytes) -> str:
    """Format of a sound file, or of a video that may have sound, by its first 64 bytes, as libav names it; '' = none."""
    if head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE":
        return "wav"
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return "aiff"
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "avi"
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide"):
        return "mov"
    if head[:3] == b"ID3" or (head[:1] == b"\xff" and head[1:2] and head[1] & 0xE0 == 0xE0 and head[1] & 0x06):
        return "mp3"
    if head[:1] == b"\xff" and head[1:2] and head[1] & 0xF6 == 0xF0:
        return "aac"
    return next((format for start, format in _CONTAINERS if head.startswith(start)), "")


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, Any]]:
    """(container, sound stream) of a file. Raises StudioError for one without sound, and one that cannot be read."""
    import av
    from av.error import FFmpegError

    name = printable(path.name, 80)
    try:
        with open(path, "rb") as file:
            format = sound_format(file.read(64))
    except OSError as e:
        raise StudioError(f"The sound '{name}' cannot be read: {e.strerror or e}.", "Choose it again.") from None
    if not format:
        raise StudioError(f"'{name}' is not a sound that the studio can read.", "Choose a WAV, FLAC, MP3, Ogg, M4A or AIFF.")
    try:
        # No other format is tried: libav also knows playlists, which open other files. A relative path might look like a protocol.
        with av.open(os.path.abspath(path), "r", format=format, options={"protocol_whitelist": "file"}) as container:
            stream = next(iter(container.streams.audio), None)
            if stream is None or stream.codec_context is None:
                raise StudioError(f"'{name}' has no sound.", "Choose another file.")
            yield container, stream
    except FFmpegError as e:
        raise StudioError(f"The sound '{name}' cannot be used: {e.strerror or e}.", _AGAIN) from None


def check_sound(path: Path) -> None:
    """Raises StudioError for a file without a sound that can be read."""
    for _ in sound_blocks(path, 22050, 1):
        return
    raise StudioError(f"'{printable(path.name, 80)}' has no sound.", "Choose another file.")


def sound_blocks(path: Path, rate: int, channels: int) -> Generator[np.ndarray, None, None]:
    """Samples of a sound file in blocks (channels, N) float32, -1 to 1, from the file's time 0 on, without gaps.

    rate: samples a second.  channels: 1 or 2; others are mixed.  What encoders put before the beginning is left out.
    Raises StudioError for a file that cannot be read.
    """
    import av

    with _opened(path) as (container, stream):
        resampler = av.AudioResampler(format="fltp", layout="mono" if channels == 1 else "stereo", rate=rate)
        begin = max(0, container.start_time or 0) / av.time_base
        skip: int | None = None  # samples to leave out still
        for frame in container.decode(stream):
            if skip is None:
                late = round(((frame.time or begin) - begin) * rate)
                skip = max(0, -late)
                if late > 0:
                    yield np.zeros((channels, min(late, rate * 3600)), np.float32)
            frame.pts = None  # a stream with jumps in its times is played on as it comes
            for out in resampler.resample(frame):
                block = out.to_ndarray()
                skip, block = max(0, skip - block.shape[1]), block[:, skip:]
                if block.shape[1]:
                    yield block
        for out in resampler.resample(None):
            yield out.to_ndarray()


def read_sound(path: Path, rate: int, seconds: float) -> np.ndarray:
    """Samples (N,) float32 of a sound file, mixed to one channel; at most so many seconds. Raises StudioError."""
    blocks, left = [], round(seconds * rate)
    with contextlib.closing(sound_blocks(path, rate, 1)) as source:
        for block in source:
            blocks.append(block[0, :left])
            left -= blocks[-1].size
            if left <= 0:
                break
    if not blocks:
        raise StudioError(f"'{printable(path.name, 80)}' has no sound.", "Choose another file.")
    return np.nan_to_num(np.concatenate(blocks), posinf=0.0, neginf=0.0)
