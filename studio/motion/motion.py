"""Motion: a recipe over time. The same data plays live and is rendered to a film."""

import base64
import binascii
import dataclasses
import json
import os
import zlib
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator

from studio.common.text import printable, short_repr
from studio.engine.recipe import Recipe, number
from studio.errors import StudioError
from studio.imaging.xmp import motion_in
from studio.motion.paths import AnyPath, KeyFrames, LatentPath
from studio.motion.plain_data import MAX_JSON, parse_motion_json, plain, read_plain
from studio.motion.timing import MAX_FRAMES, MAX_SECONDS, Clock, Duration, frame_rate
from studio.motion.tracks import Track
from studio.provenance.inspect import read_xmp

if TYPE_CHECKING:
    from studio.engine.engine import Engine

VERSION = 1
_MAX_TRACKS = 64
_MAX_NAME = 1000


@dataclass(frozen=True)
class Motion:
    """A recipe over time.

    base: what holds where nothing moves: the model, psi, classes, edits, noise, transform.
    path: the way of the latent; None = that of the base stays.  tracks: what else moves, one after the other.
    duration: of the whole; None = that of the key frames.  loop: the end is the beginning.
    fps: frames a second, 1 to 120.  bpm: beats a minute, 1 to 1000.
    sound: a file that tracks follow and that the film has; relative to the motion's own file; '' = none.
    folder: of that file; not written.
    Raises StudioError when a value is out of range.
    """

    base: Annotated[Recipe, BeforeValidator(lambda raw: raw if isinstance(raw, Recipe) else Recipe.from_dict(raw))]
    path: AnyPath = None
    tracks: tuple[Track, ...] = ()
    duration: Annotated[Duration | None, BeforeValidator(lambda raw: None if raw is None else Duration.parse(raw))] = None
    loop: bool = False
    fps: float = 30.0
    bpm: float = 120.0
    sound: str = ""
    folder: str = dataclasses.field(default="", compare=False, metadata={"written": False})

    def __post_init__(self):
        if not isinstance(self.base, Recipe):
            raise StudioError("The motion has no base.", "Give it a recipe.")
        if not isinstance(self.path, LatentPath | None):
            raise StudioError(f"The motion's path is {short_repr(self.path)}.", "Give it key frames, a noise loop or a circle.")
        tracks = self.tracks if isinstance(self.tracks, (tuple, list)) else (None,)
        if len(tracks) > _MAX_TRACKS or not all(isinstance(t, Track) for t in tracks):
            raise StudioError("The motion's tracks cannot be used.", f"They must be a list of at most {_MAX_TRACKS} tracks.")
        object.__setattr__(self, "tracks", tuple(tracks))
        if self.duration is not None:
            object.__setattr__(self, "duration", Duration.parse(self.duration))
        if not isinstance(self.loop, bool):
            raise StudioError(f"The motion's loop is {short_repr(self.loop)}.", "It must be true or false.")
        frame_rate(self.fps)
        object.__setattr__(self, "fps", float(self.fps))
        object.__setattr__(self, "bpm", number(self.bpm, 1, 1000, "The number of beats a minute"))
        if not isinstance(self.sound, str) or len(self.sound) > _MAX_NAME or not self.sound.isprintable():
            raise StudioError(f"The motion's sound is {short_repr(self.sound)}.", "It must be the name of a file.")
        others = {f.recipe.model for f in self.path.frames if f.recipe} if isinstance(self.path, KeyFrames) else set()
        if others - {self.base.model}:
            raise StudioError("The key frames are pictures of several models.", f"Take those of the model '{self.base.model}' alone.")

    def replace(self, **changes) -> "Motion":
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    def clock(self) -> Clock:
        """How its time is counted. Raises StudioError if it has no length, or is longer than an hour."""
        fps = frame_rate(self.fps)
        if self.duration is not None:
            length = self.duration.seconds(fps, self.bpm)
        else:
            length = self.path.seconds(fps, self.bpm, self.loop) if self.path is not None else None
        if not length:
            raise StudioError("The motion has no duration.", 'Give it one, such as "duration": "12 s".')
        frames = max(1, round(Fraction(length) * fps))
        if length > MAX_SECONDS or frames > MAX_FRAMES:
            raise StudioError(f"The motion takes {length:,.0f} seconds.", f"It may take {MAX_SECONDS:,.0f}, and {MAX_FRAMES:,} frames.")
        return Clock(fps, frames, self.bpm, self.loop)

    @property
    def follows_sound(self) -> bool:
        """Whether any track follows the sound."""
        return any(track.source.type == "sound" for track in self.tracks)

    def sound_file(self) -> Path | None:
        """Its sound as a path; None = it has none."""
        return Path(self.folder) / Path(self.sound).expanduser() if self.sound else None

    def to_dict(self) -> dict[str, Any]:
        """Plain data; fields that have their default are left out."""
        return {"version": VERSION, **plain(self)}

    def to_json(self) -> str:
        """JSON with a stable order of keys: `Motion.from_json(m.to_json()) == m`."""
        return json.dumps(self.to_dict(), separators=(",", ":"), ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_dict(cls, raw: Any) -> "Motion":
        """From plain data. Raises StudioError when it is not a motion that this studio can read."""
        if not isinstance(raw, dict):
            raise StudioError("This is not a motion.", "A motion is a table of settings with a base, a path and tracks.")
        version = raw.get("version", VERSION)
        if version != VERSION or isinstance(version, bool):
            raise StudioError(f"The motion has version {short_repr(version)}.", f"This studio reads version {VERSION}; update it.")
        return read_plain(cls, {k: v for k, v in raw.items() if k not in ("version", "folder")}, "motion")

    @classmethod
    def from_json(cls, text: str | bytes) -> "Motion":
        """From JSON. Raises StudioError."""
        return cls.from_dict(parse_motion_json(text))

    @classmethod
    def load(cls, source: "str | bytes | os.PathLike[str]") -> "Motion":
        """From JSON text (it begins with '{'), a file of it, or a film that has its motion inside. Raises StudioError."""
        if isinstance(source, bytes) or (isinstance(source, str) and source.lstrip().startswith("{")):
            return cls.from_json(source)
        path = Path(source).expanduser()
        try:
            with open(path, "rb") as file:
                head = file.read(64)
                data = head + file.read(MAX_JSON) if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{") else b""
        except OSError as e:
            raise StudioError(f"The motion '{printable(path.name, 80)}' cannot be read: {e.strerror or e}.", "Name another file.") from None
        if head and not data:
            return cls._in_film(path)
        return cls.from_json(data).replace(folder=str(path.absolute().parent))

    @classmethod
    def _in_film(cls, path: Path) -> "Motion":
        name = printable(path.name, 80)
        try:
            link = motion_in(read_xmp(path)[1])
        except StudioError:
            link = ""
        if not link:
            raise StudioError(f"There is no motion in '{name}'.", "Give a motion.json, or a film that the studio saved with its motion.")
        try:
            packed = base64.urlsafe_b64decode(link + "=" * (-len(link) % 4))
            text = zlib.decompressobj().decompress(packed, MAX_JSON + 1)
        except (binascii.Error, ValueError, zlib.error):
            raise StudioError(f"The motion in '{name}' is damaged.", "Use the motion.json it was made of.") from None
        return cls.from_json(text).replace(folder=str(path.absolute().parent))

    def to_link(self) -> str:
        """Compressed form, as a film holds it: without the folder of its sound."""
        bare = self.replace(sound=Path(self.sound).name)
        return base64.urlsafe_b64encode(zlib.compress(bare.to_json().encode(), 9)).decode().rstrip("=")

    def render(self, path: "str | os.PathLike[str]", engine: "Engine | None" = None, **options: Any) -> Path:
        """Render the film.  path: its ending is the format.  engine: None = one of its own.  options: see `film.render_film`."""
        from studio.engine.engine import Engine
        from studio.motion.film import render_film

        if engine is not None:
            return render_film(self, engine, path, **options)
        with Engine() as own:
            return render_film(self, own, path, **options)
