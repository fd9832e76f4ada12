"""Film files: pictures encoded in segments, and segments joined with sound into one file without encoding them again.

A segment is a video of its own. So a film that was interrupted goes on with the next segment, and becomes the very same file.
"""

import os
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import Flags
from PIL import Image
from PIL.TiffImagePlugin import AppendingTiffWriter

from studio.common.files import atomic_path, ensure_room
from studio.imaging.sound import sound_blocks
from studio.imaging.xmp import AI_LABEL, MATROSKA_XMP_TAG, gif_with_xmp, mp4_box
from studio.outputs.animations import gif_frame
from studio.outputs.clips import add_video, video_frame
from studio.outputs.film_format import FilmFormat

_SOUND_RATE = 48000
_WEBP_QUALITY = 85


def _open_to_write(path: Path, form: FilmFormat, **options: Any) -> Any:
    # Bit-exact: no random ids and times of day, so that the same film is the same file.
    container: Any = av.open(os.path.abspath(path), "w", format=form.container, **options)
    container.flags |= Flags.bitexact.value
    return container


def write_segment(path: Path, pictures: Iterable[np.ndarray], form: FilmFormat, fps: Fraction) -> None:
    """Encode pictures (H, W, 3) uint8 of one size into a video of their own; it appears whole or not at all.

    Raises StudioError when there is no codec.
    """
    pictures = iter(pictures)
    first = next(pictures)  # whatever is raised while it is made is raised before there is a file
    with atomic_path(path) as part:
        container = _open_to_write(part, form)
        try:
            height, width, _ = first.shape
            stream = add_video(container, fps, height, width, form.codecs or None, form.pixel_format)
            if form.tag:
                stream.codec_context.codec_tag = form.tag
            for picture in (picture for source in ((first,), pictures) for picture in source):
                container.mux(stream.encode(video_frame(picture, form.pixel_format)))
            container.mux(stream.encode())
        finally:
            container.close()


def join_segments(
    path: Path, segments: Sequence[tuple[Path, int]], form: FilmFormat, fps: Fraction, packet: str, sound: Path | None = None
) -> None:
    """Join segments, each with its number of frames, into a film.

    packet: XMP, with the AI label.  sound: a file whose sound is cut to the film's length; a shorter one ends earlier.
    Raises StudioError when it cannot be read.
    """
    options = {} if form.container == "webm" else {"movflags": "+faststart"}  # the index first: it plays while it loads
    container = _open_to_write(path, form, options=options)
    try:
        container.metadata.update({"comment": AI_LABEL, **({MATROSKA_XMP_TAG: packet} if form.container == "webm" else {})})
        length = float(sum(count for _, count in segments) / fps)
        with av.open(os.path.abspath(segments[0][0])) as first:
            video = container.add_stream_from_template(first.streams.video[0])
        heard = _Sound(container, form, sound, length) if sound is not None and form.sound is not None else None
        for picture in _video_packets(segments, fps):
            if heard is not None:
                heard.write_until(float(picture.dts * picture.time_base))
            picture.stream = video
            container.mux(picture)
        if heard is not None:
            heard.write_until(float("inf"))
    finally:
        container.close()
    if form.container != "webm":
        with open(path, "ab") as file:
            file.write(mp4_box(packet))


def _video_packets(segments: Sequence[tuple[Path, int]], fps: Fraction) -> Iterator[Any]:
    """Packets of the segments one after the other; their times count frames."""
    begin = 0
    for path, count in segments:
        with av.open(os.path.abspath(path)) as source:
            for packet in source.demux(source.streams.video[0]):
                if packet.dts is None or packet.pts is None:  # the empty one that ends a stream
                    continue
                times = (round(time * packet.time_base * fps) + begin for time in (packet.pts, packet.dts))
                duration_base = 1 / fps
                packet.pts, packet.dts = times
                packet.duration, packet.time_base = 1, duration_base
                yield packet
        begin += count


class _Sound:
    """The sound of a film while it is written, encoded as the pictures need it."""

    def __init__(self, container: Any, form: FilmFormat, source: Path, length: float):
        assert form.sound is not None
        codec, bits = form.sound
        self._container, self._left = container, round(length * _SOUND_RATE)
        self._stream = container.add_stream(codec, rate=_SOUND_RATE, layout="stereo")
        if bits:
            self._stream.bit_rate = bits
        self._blocks: Iterator[np.ndarray] | None = sound_blocks(source, _SOUND_RATE, 2)
        self._written = 0

    def write_until(self, seconds: float) -> None:
        """Write what is heard before a time."""
        while self._blocks is not None and self._written < seconds * _SOUND_RATE:
            block = next(self._blocks, None) if self._left > 0 else None
            if block is None:
                self._blocks = None
                self._container.mux(self._stream.encode())
                return
            block = block[:, : self._left]
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block), format="fltp", layout="stereo")
            frame.sample_rate, frame.time_base, frame.pts = _SOUND_RATE, Fraction(1, _SOUND_RATE), self._written
            self._written += block.shape[1]
            self._left -= block.shape[1]
            self._container.mux(self._stream.encode(frame))


def frame_milliseconds(count: int, fps: Fraction, unit: int) -> list[int]:
    """Durations in ms of frames, in multiples of `unit` ms, that add up to the film's length: what is cut off one goes to a later one."""
    ends = [round(Fraction(1000 * (i + 1), unit) / fps) for i in range(count)]
    return [(end - begin) * unit for begin, end in zip([0, *ends], ends, strict=False)]


def write_animation(
    path: Path, pictures: Iterator[Image.Image], count: int, form: FilmFormat, fps: Fraction, packet: str, scratch: Path
) -> None:
    """Write a GIF or WebP that plays for ever.

    pictures: RGB, one at a time.  count: of them.  packet: XMP, with the AI label.  scratch: a folder for what waits on the disk.
    """
    if form.name == "webp":
        # Pillow's writer takes all pictures at once, or one file of many pages, of which it reads one at a time.
        stored = scratch / "frames.tif"
        with open(stored, "w+b") as file, AppendingTiffWriter(file, new=True) as pages:
            for i, picture in enumerate(pictures):
                if not i:
                    ensure_room(scratch, picture.width * picture.height * 3 * count)
                picture.save(pages, "TIFF", big_tiff=True)
                pages.newFrame()
        options: dict[str, Any] = dict(loop=0, quality=_WEBP_QUALITY, method=2, xmp=packet.encode())
        with Image.open(stored, formats=("TIFF",)) as frames:
            frames.save(path, "WEBP", save_all=True, duration=frame_milliseconds(count, fps, 1), **options)
        stored.unlink()
        return
    durations = frame_milliseconds(count, fps, 10)
    reduced = (gif_frame(picture, False) for picture in pictures)
    next(reduced).save(path, "GIF", save_all=True, append_images=reduced, duration=durations, loop=0, optimize=False)
    path.write_bytes(gif_with_xmp(path.read_bytes(), packet))


def write_zip(path: Path, files: Sequence[Path]) -> None:
    """Write files into a zip, under their names; they are not compressed again."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for file in files:
            entry = zipfile.ZipInfo(file.name)  # of 1980, so that the same film is the same file
            entry.external_attr = 0o644 << 16
            with open(file, "rb") as source, archive.open(entry, "w", force_zip64=True) as target:
                while block := source.read(1 << 20):
                    target.write(block)
