"""Flashes of a film that may cause seizures: WCAG 2.2, success criterion 2.3.1, "general flash and red flash thresholds"."""

import numpy as np
from PIL import Image

from studio.imaging.srgb import linear_from_srgb

CELLS = 32  # a frame is judged in so many cells across and down
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722])  # of linear sRGB
_CHANGE, _DARKER = 0.1, 0.8  # of relative luminance: a change, and what the darker picture is below
_SATURATED, _RED_CHANGE = 0.8, 20 / 320
_MOST = 6  # opposing changes, two a flash, in any one second
_AREA = 0.25  # of the picture, as if it filled the middle of the sight
_EPSILON = 1e-6  # seconds: three flashes a second are allowed, whatever rounding does to their times


def cells_of(picture: np.ndarray) -> np.ndarray:
    """A frame (H, W, 3) uint8 averaged to its cells (32, 32, 3) uint8, for `FlashMeter`."""
    return np.asarray(Image.fromarray(picture).resize((CELLS, CELLS), Image.Resampling.BOX))


class FlashMeter:
    """Finds where a film flashes more than three times within a second.

    A flash is a pair of opposing changes, in a cell, of relative luminance by 0.1 or more where the darker picture is below 0.8, or
    between a saturated red (R / (R + G + B) >= 0.8 in linear light) and another colour, where R - G - B changes by 1/16 or more.
    It counts where more than a quarter of the picture flashes in the same second.
    """

    def __init__(self):
        self._counters = (_Changes(_CHANGE, _DARKER), _Changes(_RED_CHANGE, 2.0))
        self.spans: list[tuple[float, float]] = []

    def add(self, seconds: float, cells: np.ndarray) -> None:
        """The next frame: its time, and its cells as of `cells_of`. `spans` then holds (first, last) times of what flashes."""
        light = linear_from_srgb(cells / 255.0)
        red = np.where(light[..., 0] >= _SATURATED * np.maximum(light.sum(-1), 1e-9), 2 * light[..., 0] - light.sum(-1), 0.0)
        for counter, values in zip(self._counters, (light @ _LUMINANCE, np.maximum(red, 0)), strict=True):
            if counter.add(seconds, values).mean() > _AREA:
                if self.spans and seconds - self.spans[-1][1] <= 1:
                    self.spans[-1] = (self.spans[-1][0], seconds)
                else:
                    self.spans.append((seconds, seconds))

    def sentence(self) -> str:
        """A warning with the times, for people; '' if nothing flashes."""
        if not self.spans:
            return ""
        times = ", ".join(_minutes(first) for first, _ in self.spans[:5])
        more = f" and {len(self.spans) - 5} more" if len(self.spans) > 5 else ""
        return (
            f"It flashes more than three times a second at {times}{more}: this can cause seizures in people with photosensitive epilepsy. "
            "Slow the changes down or smooth them, or warn whoever sees it."
        )


class _Changes:
    """Opposing changes of a value, in each cell.  least: size of a change.  below: the lower of the two values is below it."""

    def __init__(self, least: float, below: float):
        self._least, self._below = least, below
        self._low = self._high = self._up = np.zeros(0)
        self._times = np.full((_MOST + 1, CELLS, CELLS), -np.inf)  # of the last changes in each cell, the oldest first

    def add(self, seconds: float, values: np.ndarray) -> np.ndarray:
        """values: (32, 32). Returns bool (32, 32): where more than six opposing changes fell within the last second."""
        if not self._low.size:
            self._low, self._high = values.copy(), values.copy()
            self._up = np.zeros(values.shape, np.int8)  # 1: the last change was a rise, -1: a fall, 0: there was none
        self._low, self._high = np.minimum(self._low, values), np.maximum(self._high, values)
        rise = (self._up <= 0) & (values - self._low >= self._least) & (self._low < self._below)
        fall = (self._up >= 0) & (self._high - values >= self._least) & (values < self._below) & ~rise
        changed = rise | fall
        self._up = np.where(rise, 1, np.where(fall, -1, self._up))
        # After a change the next one is measured from the furthest point reached from here on.
        self._low, self._high = np.where(changed, values, self._low), np.where(changed, values, self._high)
        self._times = np.where(changed, np.concatenate([self._times[1:], np.full((1, CELLS, CELLS), seconds)]), self._times)
        return seconds - self._times[0] < 1 - _EPSILON


def _minutes(seconds: float) -> str:
    return f"{int(seconds) // 60}:{seconds % 60:04.1f}"
