"""Operations of network bending: feature maps changed on their way through a synthesis.

Broad, Leymarie, Grierson 2021, "Network Bending: Expressive Manipulation of Deep Generative Models", Sec. 4. Maps are
(N, C, H, W), computed in float32; every operation has one amount and changes each channel for itself.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F

Apply = Callable[[torch.Tensor, float], torch.Tensor]  # ((N, C, H, W) float32, amount) -> the same shape


@dataclass(frozen=True)
class Operation:
    """Descriptor of an operation.

    name: in recipes and addresses; it never changes.  label, explanation: words for people.
    low, high, step: range of a control.  limit: the largest amount that a recipe may hold, up and down; None = that of the control.
    start: what a new one begins with.  neutral: the amount that changes nothing; None = there is none.
    needs_map: it moves values between places, which vectors without places do not have.
    apply: (maps, amount) -> maps; None = it acts on the noise of a layer, not on its maps.
    """

    name: str
    label: str
    explanation: str
    low: float
    high: float
    step: float
    start: float
    neutral: float | None
    apply: Apply | None
    needs_map: bool = False
    limit: float | None = None

    @property
    def bounds(self) -> tuple[float, float]:
        """Lowest and highest amount that a recipe may hold."""
        if self.limit is None:
            return self.low, self.high
        return (-self.limit if self.low < 0 else self.low), self.limit


# -- places moved ----------------------------------------------------------------------------------------------------


def affine(x: torch.Tensor, matrix: tuple[tuple[float, float, float], tuple[float, float, float]]) -> torch.Tensor:
    """Maps resampled, bilinear, zero outside.  matrix: (x, y, 1) of a place -> where in x to look for it; the unit is half a
    side of H or W each, the middle is 0, y down.
    """
    theta = torch.tensor(matrix, dtype=torch.float32, device=x.device).expand(len(x), 2, 3)
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def _translate_x(x: torch.Tensor, sides: float) -> torch.Tensor:
    return affine(x, ((1, 0, -2 * sides), (0, 1, 0)))


def _translate_y(x: torch.Tensor, sides: float) -> torch.Tensor:
    return affine(x, ((1, 0, 0), (0, 1, -2 * sides)))


def _rotate(x: torch.Tensor, degrees: float) -> torch.Tensor:
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    wide = x.shape[3] / x.shape[2]
    return affine(x, ((cos, -sin / wide, 0), (sin * wide, cos, 0)))


def _scale(x: torch.Tensor, factor: float) -> torch.Tensor:
    return affine(x, ((1 / factor, 0, 0), (0, 1 / factor, 0)))


def _flip_x(x: torch.Tensor, share: float) -> torch.Tensor:
    return x.lerp(x.flip(3), share)


def _flip_y(x: torch.Tensor, share: float) -> torch.Tensor:
    return x.lerp(x.flip(2), share)


# -- neighbourhoods --------------------------------------------------------------------------------------------------


def _square_max(x: torch.Tensor, radius: int) -> torch.Tensor:
    """The largest value of the square of 2 radius + 1 pixels around each."""
    if radius == 0:
        return x
    side = 2 * radius + 1
    return F.max_pool2d(F.max_pool2d(x, (1, side), 1, (0, radius)), (side, 1), 1, (radius, 0))


def _dilate(x: torch.Tensor, radius: float) -> torch.Tensor:
    """Between two whole radii, the blend of both."""
    whole = math.floor(radius)
    y = _square_max(x, whole)
    return y if radius == whole else y.lerp(_square_max(x, whole + 1), radius - whole)


def _erode(x: torch.Tensor, radius: float) -> torch.Tensor:
    return -_dilate(-x, radius)


def _separable(x: torch.Tensor, across: torch.Tensor, down: torch.Tensor) -> torch.Tensor:
    """Each channel correlated with `across` (k,) along W and `down` (k,) along H; beyond the edge its last pixel goes on."""
    c = x.shape[1]
    for taps, plane, pad in ((across, (1, -1), (1, 1, 0, 0)), (down, (-1, 1), (0, 0, 1, 1))):
        around = [side * (len(taps) // 2) for side in pad]
        kernel = taps.to(x.device).reshape(1, 1, *plane).repeat(c, 1, 1, 1)
        x = F.conv2d(F.pad(x, around, mode="replicate"), kernel, groups=c)
    return x


def gaussian(sigma: float) -> torch.Tensor:
    """Taps of a Gaussian of deviation `sigma` in pixels, up to 3 sigma, with unit sum."""
    r = math.ceil(3 * sigma)
    taps = torch.exp(-0.5 * (torch.arange(-r, r + 1, dtype=torch.float64) / max(sigma, 1e-6)).square())
    return (taps / taps.sum()).float()


def _blur(x: torch.Tensor, sigma: float) -> torch.Tensor:
    return _separable(x, gaussian(sigma), gaussian(sigma)) if sigma > 0 else x


def _sharpen(x: torch.Tensor, amount: float) -> torch.Tensor:
    """Unsharp mask: what a blur of one pixel takes away, added `amount` times."""
    return x + amount * (x - _blur(x, 1.0))


def _sobel(x: torch.Tensor, share: float) -> torch.Tensor:
    """Steepness by the Sobel operator, a rise of one a pixel gives one."""
    smooth, slope = torch.tensor([0.25, 0.5, 0.25]), torch.tensor([-0.5, 0.0, 0.5])
    steep = (_separable(x, slope, smooth).square() + _separable(x, smooth, slope).square()).sqrt()
    return x.lerp(steep, share)


# -- values ----------------------------------------------------------------------------------------------------------


def _threshold(x: torch.Tensor, level: float) -> torch.Tensor:
    """Two values a channel: the mean of what lies above `level` deviations from its mean, and the mean of the rest."""
    mean, deviation = x.mean(dim=(2, 3), keepdim=True), x.std(dim=(2, 3), keepdim=True, correction=0)
    above = (x > mean + level * deviation).to(x.dtype)

    def mean_where(mask: torch.Tensor) -> torch.Tensor:
        return (x * mask).sum(dim=(2, 3), keepdim=True) / mask.sum(dim=(2, 3), keepdim=True).clamp(min=1)

    return mean_where(above) * above + mean_where(1 - above) * (1 - above)


def _invert(x: torch.Tensor, share: float) -> torch.Tensor:
    return x.lerp(1 - x, share)


def _multiply(x: torch.Tensor, factor: float) -> torch.Tensor:
    return x * factor


def _add(x: torch.Tensor, value: float) -> torch.Tensor:
    return x + value


def _ablate(x: torch.Tensor, share: float) -> torch.Tensor:
    return x * (1 - share)


OPERATIONS: dict[str, Operation] = {
    o.name: o
    for o in (
        Operation("rotate", "Rotate (degrees)", "Turn the maps, against the clock.", -180, 180, 1, 30, 0, _rotate, True, 360),
        Operation("scale", "Scale (factor)", "Enlarge the maps about their middle.", 0.1, 4, 0.05, 1.5, 1, _scale, True),
        Operation("translate_x", "Translate ↔ (sides)", "Move the maps to the right.", -1, 1, 0.01, 0.2, 0, _translate_x, True, 2),
        Operation("translate_y", "Translate ↕ (sides)", "Move the maps down.", -1, 1, 0.01, 0.2, 0, _translate_y, True, 2),
        Operation("flip_x", "Flip left ↔ right (share)", "Mirror the maps.", 0, 1, 0.01, 1, 0, _flip_x, True),
        Operation("flip_y", "Flip up ↔ down (share)", "Turn the maps upside down.", 0, 1, 0.01, 1, 0, _flip_y, True),
        Operation("dilate", "Dilate (pixels)", "What is strong grows.", 0, 10, 0.1, 1, 0, _dilate, True, 30),
        Operation("erode", "Erode (pixels)", "What is strong shrinks.", 0, 10, 0.1, 1, 0, _erode, True, 30),
        Operation("blur", "Blur (pixels)", "Soften the maps (Gaussian).", 0, 10, 0.1, 1, 0, _blur, True, 30),
        Operation("sharpen", "Sharpen (amount)", "Exaggerate edges (unsharp mask).", 0, 10, 0.1, 2, 0, _sharpen, True, 100),
        Operation("sobel", "Edges (Sobel, share)", "Only edges are left.", 0, 1, 0.01, 1, 0, _sobel, True),
        Operation("threshold", "Threshold (deviations)", "Two values alone: above and below.", -3, 3, 0.05, 0, None, _threshold, True, 100),
        Operation("invert", "Invert (share)", "What is strong becomes weak: 1 - x.", 0, 1, 0.01, 1, 0, _invert),
        Operation("multiply", "Multiply (factor)", "Strengthen or weaken.", -5, 5, 0.05, 2, 1, _multiply, limit=100),
        Operation("add", "Add (value)", "Lift or lower everything.", -5, 5, 0.05, 1, 0, _add, limit=100),
        Operation("ablate", "Ablate (share)", "Take the channels away.", 0, 1, 0.01, 1, 0, _ablate),
        Operation("noise", "Grain of this layer (factor)", "More or less noise in this layer.", 0, 5, 0.05, 2, 1, None, limit=50),
        Operation("freeze", "Freeze the grain (share)", "Random noise stays out of this layer: it keeps its own.", 0, 1, 1, 1, 0, None),
    )
}


def bend(x: torch.Tensor, operation: Operation, amount: float, channels: torch.Tensor | None = None) -> torch.Tensor:
    """What a layer has made, changed.

    x: (N, C, H, W), or (N, C) for an operation without `needs_map`.  channels: indices (K,) of those that change, None = all.
    Returns the shape and dtype of x; x itself is left alone.
    """
    assert operation.apply is not None
    flat = x.ndim == 2
    assert not (flat and operation.needs_map)
    maps = x[:, :, None, None] if flat else x
    with torch.autocast(x.device.type, enabled=False):
        if channels is None:
            y = operation.apply(maps.float(), amount).to(x.dtype)
        else:
            y = maps.clone()
            if len(channels):
                y[:, channels] = operation.apply(maps[:, channels].float(), amount).to(x.dtype)
    return y[:, :, 0, 0] if flat else y
