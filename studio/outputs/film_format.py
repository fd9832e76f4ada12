"""Formats of films, by file ending: codecs, containers, and what each can hold."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from studio.errors import StudioError

MAX_GIF_FPS = 50  # browsers slow down what is faster
_IN_MEMORY = 1 << 30  # bytes of frames that the writer of GIF holds
# Measured: x264 encodes the same pictures of 32 or 48 px differently now and then, and x265 writes beyond its memory at 48.
_LEAST_SIDES = {"h264": 64, "h265": 128}
_MAX_SIDES = {"gif": 65535, "webp": 16383, "h264": 8192, "h265": 8192, "vp9": 16384, "prores": 16384}


@dataclass(frozen=True)
class FilmFormat:
    """A format of a film.

    name: of the codec, or of the pictures.  kind: a video, an animation, or pictures.  container: of a video, as FFmpeg names it.
    codecs: FFmpeg's name and options, in order of preference; () = those of `clips`.  pixel_format: as FFmpeg names it.
    sound: (FFmpeg's name of a codec, bits a second, 0 = as it is); None = the format has no sound.  tag: of the codec in the container.
    """

    name: str
    kind: Literal["video", "animation", "pictures"]
    container: str = ""
    codecs: tuple[tuple[str, dict[str, str]], ...] = ()
    pixel_format: str = "yuv420p"
    sound: tuple[str, int] | None = None
    tag: str = ""

    def check(self, height: int, width: int, frames: int, fps: float) -> None:
        """Raises StudioError for a film that the format cannot hold."""
        most = _MAX_SIDES.get(self.name)
        if most and max(height, width) > most:
            raise StudioError(f"A {self.name} film has at most {most:,} px a side, not {max(height, width):,}.", "Choose a smaller size.")
        least = _LEAST_SIDES.get(self.name, 0)
        if min(height, width) < least:
            raise StudioError(f"A {self.name} film has at least {least} px a side, not {min(height, width)}.", "Choose a larger size.")
        if self.name == "gif" and fps > MAX_GIF_FPS:
            raise StudioError(f"A GIF shows at most {MAX_GIF_FPS} frames a second.", "Choose fewer, or .webp or .mp4.")
        if self.name == "gif" and height * width * frames > _IN_MEMORY:
            raise StudioError(f"{frames:,} frames of {width} x {height} px are too much for a GIF.", "Choose .webp or .mp4.")


_H264 = FilmFormat("h264", "video", "mp4", sound=("aac", 192_000))
_H265 = FilmFormat(
    "h265",
    "video",
    "mp4",
    (("libx265", {"crf": "20", "preset": "medium", "x265-params": "log-level=error"}),),
    sound=("aac", 192_000),
    tag="hvc1",
)
_VP9 = FilmFormat(
    "vp9",
    "video",
    "webm",
    (("libvpx-vp9", {"crf": "24", "b:v": "0", "deadline": "good", "cpu-used": "3", "row-mt": "1"}),),
    sound=("libopus", 160_000),
)
_PRORES = FilmFormat(
    "prores", "video", "mov", (("prores_ks", {"profile": "3", "vendor": "apl0"}),), pixel_format="yuv422p10le", sound=("pcm_s16le", 0)
)
# Ending -> formats, the usual one first.
FORMATS: dict[str, tuple[FilmFormat, ...]] = {
    ".mp4": (_H264, _H265),
    ".webm": (_VP9,),
    ".mov": (_PRORES, replace(_H264, container="mov"), replace(_H265, container="mov")),
    ".gif": (FilmFormat("gif", "animation"),),
    ".webp": (FilmFormat("webp", "animation"),),
    ".zip": (FilmFormat("png", "pictures"),),
    "": (FilmFormat("png", "pictures"),),
}
CODECS = tuple(dict.fromkeys(f.name for formats in FORMATS.values() for f in formats if f.kind == "video"))


def film_format(path: Path, codec: str = "") -> FilmFormat:
    """The format of a film by the ending of its file; '' = a folder of PNGs.  codec: one of CODECS; '' = the usual one.

    Raises StudioError for another ending, and for a codec that does not go into it.
    """
    formats = FORMATS.get(path.suffix.lower())
    if formats is None:
        raise StudioError(f"A film cannot be saved as '{path.suffix}'.", f"Choose {', '.join(filter(None, FORMATS))}, or a folder.")
    found = next((f for f in formats if codec in ("", f.name)), None)
    if found is None:
        there = [f.name for f in formats if f.kind == "video"]
        raise StudioError(
            f"A {path.suffix or 'folder'} has no {codec} inside.", f"Choose {' or '.join(there)}." if there else "Leave the codec out."
        )
    return found
