"""Easings, which say how a way is gone, and curves, which say how a parameter answers to its source. All map [0, 1] to [0, 1]."""

from collections.abc import Callable

import numpy as np

_STEEPNESS = 4.0  # of the exponential curve: halfway it has come to 12 %
_STEPS = 4
_BOUNCES = ((1 / 2.75, 0.0, 0.0), (2 / 2.75, 1.5 / 2.75, 0.75), (2.5 / 2.75, 2.25 / 2.75, 0.9375), (1.0, 2.625 / 2.75, 0.984375))


def ease(x: np.ndarray) -> np.ndarray:
    """Slow at both ends: 3 x^2 - 2 x^3, whose slope is 0 there."""
    return x * x * (3 - 2 * x)


def bounce(x: np.ndarray) -> np.ndarray:
    """A ball that falls and bounces three times (Penner 2002, Ch. 7): four parabolas, each touching 1 where the next begins."""
    out = np.ones_like(x)
    for end, middle, height in reversed(_BOUNCES):
        out = np.where(x < end, 7.5625 * (x - middle) ** 2 + height, out)
    return out


def circular(x: np.ndarray) -> np.ndarray:
    """Two quarters of a circle (Penner 2002, Ch. 7): slowest at the ends, fastest in the middle, where its slope is infinite."""
    low, high = np.minimum(2 * x, 1), np.clip(2 - 2 * x, 0, 1)
    return np.where(x < 0.5, (1 - np.sqrt(1 - low * low)) / 2, (1 + np.sqrt(1 - high * high)) / 2)


def hold(x: np.ndarray) -> np.ndarray:
    """Stays, and jumps at the end."""
    return np.where(x < 1, 0.0, 1.0)


def exponential(x: np.ndarray) -> np.ndarray:
    """Answers little at first and much at the end: (e^(4 x) - 1) / (e^4 - 1)."""
    return np.expm1(_STEEPNESS * x) / np.expm1(_STEEPNESS)


def steps(x: np.ndarray) -> np.ndarray:
    """Four levels: 0, 1/3, 2/3 and 1."""
    return np.minimum(np.floor(x * _STEPS), _STEPS - 1) / (_STEPS - 1)


def linear(x: np.ndarray) -> np.ndarray:
    """As it is."""
    return x


# Between two key frames.
EASINGS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "linear": linear,
    "ease": ease,
    "bounce": bounce,
    "circular": circular,
    "hold": hold,
}

# From a source to its parameter.
CURVES: dict[str, Callable[[np.ndarray], np.ndarray]] = {"linear": linear, "ease": ease, "exponential": exponential, "steps": steps}


def eased(name: str, x: float) -> float:
    """One value of an easing; its ends are exactly 0 and 1."""
    return float(EASINGS[name](np.asarray(min(1.0, max(0.0, x)))))
