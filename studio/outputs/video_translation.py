"""Translation or upscaling of a video, frame by frame: timing and sound stay as they were."""

import contextlib
import os
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.error import FFmpegError
from PIL import Image, ImageChops, ImageFilter

from studio.common.files import atomic_path, is_disk_full
from studio.common.progress import Cancel, Progress, raise_if_cancelled, report
from studio.datasets.sources import file_format
from studio.engine.image_recipe import ImageRecipe
from studio.errors import StudioError
from studio.imaging.decode import HDR_REMARK
from studio.imaging.hdr import HDR
from studio.imaging.source_metadata import NO_METADATA, SourceMetadata
from studio.imaging.video import CONTAINERS, open_video, read_video_metadata, upright_pixels
from studio.imaging.xmp import AI_LABEL, DigitalSourceType, mp4_box
from studio.outputs.clips import add_video, video_frame
from studio.provenance.metadata import xmp_for
from studio.provenance.policy import provenance_policy
from studio.provenance.signing import sign_in_place

# Share of the new frame in still parts; the rest is the frame shown before.
SMOOTHING = {"none": 1.0, "light": 0.5, "strong": 0.2}
_MOVED = 16.0  # levels of difference from which a part counts as fully moving
_BLUR = 2  # px; single noisy pixels do not count as movement
# Audio codecs that players expect in an .mp4. The container allows others, but players would not play them.
_COPIED_AUDIO = ("aac", "mp3", "ac3", "eac3", "alac", "flac", "opus")
_AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)
_RESAVE = "Open it in another program, and save it again as MP4."
_NO_FRAME = ("No frame of this video can be read.", _RESAVE)


class Smoother:
    """Reduces flicker between frames where nothing moves.

    With F the source, R its conversion and O the output, at each pixel:

        m_t = blur(max over RGB of |F_t - F_(t-1)|)          levels, 5x5 mean
        a_t = a0 + (1 - a0) * min(m_t / 16, 1)
        O_t = a_t * R_t + (1 - a_t) * O_(t-1),   O_1 = R_1

    an exponential moving average whose a goes to 1 where the source moves, so that moving parts and cuts do not smear.

    share: a0, 1 = off.
    """

    def __init__(self, share: float):
        self.share = share
        self._source: Image.Image | None = None
        self._shown: np.ndarray | None = None

    def __call__(self, source: Image.Image, result: Image.Image) -> np.ndarray:
        """Frame (RGB) and its conversion (RGB, of any size) -> the output (H, W, 3) uint8, of the latter's size."""
        new = np.asarray(result)
        if self.share >= 1:
            return new
        if self._shown is None or self._source is None:
            self._shown = new.astype(np.float32)
        else:
            red, green, blue = ImageChops.difference(source, self._source).split()
            moved = ImageChops.lighter(ImageChops.lighter(red, green), blue).filter(ImageFilter.BoxBlur(_BLUR))
            moved = moved if moved.size == result.size else moved.resize(result.size, Image.Resampling.BILINEAR)
            a = self.share + (1 - self.share) * np.minimum(np.asarray(moved, np.float32) / _MOVED, 1)
            self._shown += a[:, :, None] * (new - self._shown)
        self._source = source
        return self._shown.round().astype(np.uint8)


def convert_video(
    source: str | Path,
    target: str | Path,
    make: Callable[[Image.Image], Image.Image],
    smoothing: str = "none",
    progress: Progress | None = None,
    cancel: Cancel | None = None,
    made_by: ImageRecipe | DigitalSourceType = DigitalSourceType.COMPOSITE,
    remark: Callable[[str], object] = lambda sentence: None,
) -> Path:
    """Convert a video file into an .mp4 with the same number of frames at the same times and the same sound; it appears whole or
    not at all.

    make: frame (RGB) -> its translated or upscaled version; all of one size.  smoothing: one of SMOOTHING, see `Smoother`.
    progress: called with (frames done, frames all, 0 = not known).  cancel: asked before each frame; when true
    CancelledError is raised.  made_by: the recipe, written into the file beside the AI label if the provenance policy allows it.
    remark: called with a sentence on what an artist should know of the result.

    Frames are rotated the way the camera was held and given square pixels. Sound is copied unchanged where players expect its
    codec in an .mp4, otherwise it becomes AAC. A video that does not begin at time 0 is shifted there, picture and sound alike.
    Raises StudioError for a file that is not a video or is damaged, and for a full disk.
    """
    source, target = Path(source), Path(target)
    if smoothing not in SMOOTHING:
        raise StudioError(f"There is no smoothing '{smoothing}'.", f"Choose one of {', '.join(SMOOTHING)}.")
    smooth = Smoother(SMOOTHING[smoothing])
    try:
        # Author, rights and title stay, as they do for pictures; where it was filmed, and with which camera, does not.
        kept = read_video_metadata(source, _container(source)) if provenance_policy().source_metadata else NO_METADATA
        with _reading(source) as reader, atomic_path(target) as part, contextlib.closing(_Writer(part, reader, made_by, kept)) as writer:
            expected = _frame_count(reader, writer.video)
            for frame in writer.frames():
                raise_if_cancelled(cancel)
                picture = _picture(frame, writer.video)
                writer.put(frame, smooth(picture, make(picture).convert("RGB")))
                report(progress, writer.count, max(expected, writer.count) if expected else 0)
            writer.finish()
            if said := writer.padding_words():
                remark(said)
            if writer.hdr:
                remark(HDR_REMARK)
            sign_in_place(part, "mp4", made_by, source)
    except OSError as e:
        raise StudioError(f"The video could not be saved: {e.strerror or e}.", "Free some space, then try again.") from None
    return target


def first_frame(source: str | Path) -> tuple[Image.Image, int]:
    """First frame of a video as `convert_video` reads it, and the approximate number of frames; 0 = not known.

    Raises StudioError for a file that is not a video, or is damaged.
    """
    with _reading(Path(source)) as reader:
        stream = _picture_stream(reader)
        for frame in reader.decode(stream):
            return _picture(frame, stream), _frame_count(reader, stream)
    raise StudioError(*_NO_FRAME)


@contextlib.contextmanager
def _reading(path: Path) -> Iterator:
    try:
        with open_video(path, _container(path)) as reader:
            yield reader
    except FFmpegError as e:
        if is_disk_full(e):
            raise StudioError("The disk is full.", "Free some space, then try again.") from None
        raise StudioError(f"The video cannot be used: {e.strerror or e}.", _RESAVE) from None


def _container(path: Path) -> str:
    try:
        with open(path, "rb") as f:
            format = file_format(f.read(64), path.name)
    except OSError as e:
        raise StudioError(f"The video cannot be read: {e.strerror or e}.", "Choose it again.") from None
    if format == "picture":
        raise StudioError("This file is a picture, not a video.", "Give pictures and animations under 'One picture' or 'Several pictures'.")
    if format not in CONTAINERS:
        raise StudioError("This file is not a video that the studio can read.", "Choose an MP4, MOV, WebM, MKV or AVI.")
    return format


def _picture_stream(reader):
    """The video stream; an album cover does not count as one."""
    for stream in reader.streams.video:
        if not stream.disposition & stream.disposition.attached_pic:
            stream.thread_type = "AUTO"
            return stream
    raise StudioError("This file has sound, but no moving pictures.", "Choose a video.")


def _frame_count(reader, stream) -> int:
    """Approximate number of frames; 0 = not known."""
    seconds = float(stream.duration * stream.time_base) if stream.duration else (reader.duration or 0) / av.time_base
    return stream.frames or round(seconds * float(stream.average_rate or 0))


def _picture(frame: av.VideoFrame, stream) -> Image.Image:
    return Image.fromarray(upright_pixels(frame, stream))


class _Writer:
    """The .mp4 while it is written. It is opened with the first frame, which determines the picture's size.

    video: the stream being read.  count: frames so far.  hdr: whether the source is HDR.
    """

    def __init__(self, part: Path, reader, made_by: ImageRecipe | DigitalSourceType, kept: SourceMetadata):
        self.part, self.reader, self.made_by, self.kept, self.count = part, reader, made_by, kept, 0
        self.video = _picture_stream(reader)
        self.begin = max(0, reader.start_time or 0) / Fraction(av.time_base)
        self.container: Any = None  # of PyAV, whose types do not distinguish video from sound
        self._size: tuple[int, int] = (0, 0)
        self._sounds = {s.index: s for s in reader.streams.audio if s.codec_context is not None}
        self._waiting: list[av.Packet] = []  # sound that comes before the first frame
        self._last: int | None = None
        self.hdr = False

    def frames(self):
        """The frames in order; sound packets are written in between, so that both are interleaved in the file."""
        for packet in self.reader.demux([self.video, *self._sounds.values()]):
            if packet.stream.index != self.video.index:
                self._sound(packet)
                continue
            yield from packet.decode()
        if not self.count:
            raise StudioError(*_NO_FRAME)

    def put(self, frame: av.VideoFrame, picture: np.ndarray) -> None:
        """Write the picture (H, W, 3) uint8 at the time of `frame`."""
        if self.container is None:
            self._open(picture.shape[0], picture.shape[1])
            self.hdr = frame.color_trc in HDR
        if picture.shape[:2] != self._size:  # a stream may change its size midway
            picture = np.asarray(Image.fromarray(picture).resize((self._size[1], self._size[0]), Image.Resampling.LANCZOS))
        new = video_frame(picture)
        new.time_base = base = frame.time_base or self.video.time_base
        due = None if frame.pts is None else frame.pts - round(self.begin / base)
        new.pts = due if due is not None and (self._last is None or due > self._last) else (-1 if self._last is None else self._last) + 1
        self._last = new.pts
        output: Any = self.container
        output.mux(self._pictures.encode(new))
        self.count += 1

    def padding_words(self) -> str:
        """What was added to the frames; '' = nothing."""
        height, width = self._size
        added = " and ".join(["a column at the right"] * (width % 2) + ["a row at the bottom"] * (height % 2))
        if not added:
            return ""
        size = f"{width + width % 2:,} x {height + height % 2:,} px"
        return f"It has {size}: {added} {'were' if ' and ' in added else 'was'} added, since an MP4 stores colour for two by two pixels."

    def finish(self) -> None:
        """Flush the codecs and write the index."""
        self.container.mux(self._pictures.encode())
        for sound in self._out.values():
            if not sound[1]:
                self.container.mux(sound[0].encode())
        self.container.close()
        self.container = None
        with open(self.part, "ab") as file:
            file.write(mp4_box(xmp_for(self.made_by, self.kept)))

    def close(self) -> None:
        """Close the file; it is complete only after `finish`."""
        if self.container is not None:
            self.container.close()

    def _open(self, height: int, width: int) -> None:
        self._size = (height, width)
        # The index goes to the front, so that a browser can play the file while it loads.
        self.container = av.open(os.path.abspath(self.part), "w", format="mp4", options={"movflags": "+faststart"})
        described = (
            {"description": self.made_by.to_json()} if isinstance(self.made_by, ImageRecipe) and provenance_policy().includes_recipe else {}
        )
        self.container.metadata.update({"comment": AI_LABEL, **described, **self._kept_tags()})
        self._pictures: Any = add_video(self.container, self.video.average_rate or Fraction(25), height, width)
        self._pictures.codec_context.time_base = self.video.time_base  # not 1 / fps: frame times may be uneven
        self._out = {index: self._add_sound(s) for index, s in self._sounds.items()}
        for packet in self._waiting:
            self._sound(packet)
        self._waiting = []

    def _kept_tags(self) -> dict[str, str]:
        """Tags of the source that the result keeps, by FFmpeg's names. What it describes is a synopsis: the description is the recipe."""
        kept = self.kept
        tags = {"artist": kept.creator, "copyright": kept.rights, "title": kept.title, "date": kept.date, "synopsis": kept.description}
        return {name: value for name, value in tags.items() if value}

    def _add_sound(self, sound) -> tuple:
        """Add an audio stream -> (stream, whether its packets are copied)."""
        if sound.codec_context.name.removesuffix("float") in _COPIED_AUDIO:
            try:
                return self.container.add_stream_from_template(sound), True
            except ValueError:  # the container refuses it after all
                pass
        rate = sound.rate if sound.rate in _AAC_RATES else 48000
        return self.container.add_stream("aac", rate=rate, layout="mono" if sound.channels == 1 else "stereo"), False

    def _sound(self, packet: av.Packet) -> None:
        if self.container is None:
            self._waiting.append(packet)
            return
        stream, copied = self._out[packet.stream.index]
        shift = round(self.begin / packet.stream.time_base)
        if not copied:
            for frame in packet.decode():
                frame.pts = None if frame.pts is None else frame.pts - round(self.begin / frame.time_base)
                self.container.mux(stream.encode(frame))
        elif packet.dts is not None:  # a packet without a time is the empty one that ends a stream
            packet.pts = None if packet.pts is None else packet.pts - shift
            packet.dts -= shift
            packet.stream = stream
            self.container.mux(packet)
