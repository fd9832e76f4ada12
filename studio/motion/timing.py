"""Durations as people give them - in seconds, frames or beats - and the clock of a motion."""

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, Any

import numpy as np
from pydantic import BeforeValidator

from studio.common.text import short_repr
from studio.engine.recipe import number
from studio.errors import StudioError

UNITS = ("seconds", "frames", "beats")
MAX_SECONDS = 3600.0
MAX_FRAMES = 250_000
_SHORT = {"s": "seconds", "sec": "seconds", "second": "seconds", "frame": "frames", "beat": "beats"}
_TEXT = re.compile(r"\s*(\d{1,9}(?:\.\d{1,30})?|\.\d{1,30})\s*([a-z]{0,8})\s*", re.IGNORECASE)


@dataclass(frozen=True)
class Duration:
    """A length of time.

    value: how many, 0 or more.  unit: 'seconds', 'frames' or 'beats'; what the last two are in seconds the motion says.
    Raises StudioError for a value out of range or another unit.
    """

    value: float
    unit: str = "seconds"

    def __post_init__(self):
        if self.unit not in UNITS:
            raise StudioError(f"The unit of a duration is {short_repr(self.unit)}.", f"It must be one of {', '.join(UNITS)}.")
        object.__setattr__(self, "value", number(self.value, 0, MAX_FRAMES, "A duration"))

    @classmethod
    def parse(cls, given: Any) -> "Duration":
        """A duration as written: a number of seconds, or text such as '4 beats', '12 s', '240 frames'. Raises StudioError."""
        if isinstance(given, Duration):
            return given
        if isinstance(given, (int, float)):
            return cls(given)
        found = _TEXT.fullmatch(given) if isinstance(given, str) else None
        unit = found[2].lower() if found else ""
        unit = _SHORT.get(unit, unit) or "seconds"
        if not found or unit not in UNITS:
            raise StudioError(f"{short_repr(given)} is no duration.", "Write a number of seconds, or '4 beats', '12 s', '240 frames'.")
        return cls(float(found[1]), unit)

    def seconds(self, fps: Fraction, bpm: float) -> float:
        """In seconds, at so many frames a second and beats a minute."""
        if self.unit == "frames":
            return float(Fraction(self.value) / fps)
        return self.value * 60 / bpm if self.unit == "beats" else self.value

    def __str__(self) -> str:
        # All digits, and no exponent: `parse` gives the same number.
        return f"{np.format_float_positional(self.value, trim='-')} {self.unit if self.value != 1 else self.unit[:-1]}"


Time = Annotated[Duration, BeforeValidator(Duration.parse)]  # as a field of what is read from JSON


def frame_rate(value: Any) -> Fraction:
    """Frames a second, 1 to 120, as the fraction that video files state: 29.97 is 30000/1001. Raises StudioError."""
    fps = number(value, 1, 120, "The number of frames a second")
    near = Fraction(round(fps) * 1000, 1001)
    return near if fps != round(fps) and abs(float(near) - fps) < 0.005 else Fraction(fps).limit_denominator(1001)


@dataclass(frozen=True)
class Clock:
    """How a motion counts its time.

    fps: frames a second.  frames: in all, 1 or more.  bpm: beats a minute.  loop: whether the end is the beginning.
    """

    fps: Fraction
    frames: int
    bpm: float
    loop: bool = False

    @property
    def length(self) -> float:
        """Seconds: a whole number of frames."""
        return float(self.frames / self.fps)

    def time(self, frame: int) -> float:
        """Time of a frame in seconds; the first is at 0."""
        return float(frame / self.fps)

    def wrapped(self, seconds: float) -> float:
        """The time within the motion: of a loop the rest of the division by its length, otherwise not before 0."""
        if not self.loop:
            return max(0.0, seconds)
        # A frame's own time is found again to the bit, however many rounds it has been.
        frame = round(Fraction(seconds) * self.fps)
        return self.time(frame % self.frames) if seconds == self.time(frame) else seconds % self.length

    def seconds(self, duration: Duration) -> float:
        """A duration in seconds."""
        return duration.seconds(self.fps, self.bpm)

    def rounds(self, period: float) -> float:
        """How often a period, in seconds, fits into the motion; in a loop a whole number, so that the end meets the beginning."""
        exact = self.length / period
        return float(max(1, round(exact))) if self.loop else exact
