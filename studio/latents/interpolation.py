"""Ways from one latent to another."""

import math
from collections.abc import Sequence

import torch


def lerp(a: torch.Tensor, b: torch.Tensor, t: float) -> torch.Tensor:
    """The straight way, right for w: a at t = 0, b at t = 1. Any shape."""
    return a + (b - a) * t


def slerp(a: torch.Tensor, b: torch.Tensor, t: float) -> torch.Tensor:
    """The way along the great circle, right for z: a at t = 0, b at t = 1, to the bit. a, b: (..., z_dim).

    With unit vectors u, v of a and b and the angle W between them (Shoemake 1985, Sec. 3.3):
    u sin((1 - t) W) / sin W + v sin(t W) / sin W; the norm goes straight from that of a to that of b. Where the vectors
    point the same way, or opposite ways, the great circle is not defined, and the way is straight.
    """
    if t in (0.0, 1.0):
        return b if t else a
    u, v = a.double(), b.double()
    lengths = u.norm(dim=-1, keepdim=True), v.norm(dim=-1, keepdim=True)
    u, v = u / lengths[0].clamp(min=1e-12), v / lengths[1].clamp(min=1e-12)
    angle = torch.acos((u * v).sum(dim=-1, keepdim=True).clamp(-1, 1))
    sine = torch.sin(angle)
    turned = (torch.sin((1 - t) * angle) * u + torch.sin(t * angle) * v) / sine.clamp(min=1e-12) * lerp(*lengths, t)
    return torch.where(sine < 1e-6, lerp(a.double(), b.double(), t), turned).to(a.dtype)


def walk(keyframes: list[torch.Tensor], frames: int, closed: bool = False, smooth: bool = False) -> list[torch.Tensor]:
    """`frames` latents along `keyframes` (equal shapes), first and last included; `closed` returns to the first
    without repeating it. smooth: along a curve (see `spline`), else along straight lines, with corners.
    """
    last = len(keyframes) if closed else len(keyframes) - 1
    way = spline if smooth else polyline
    return [way(keyframes, i * last / (frames if closed else max(1, frames - 1)), closed) for i in range(frames)]


def _stretch(count: int, position: float, closed: bool) -> tuple[int, float]:
    """Keyframe before `position`, and how far on from it, in [0, 1]."""
    last = count if closed else count - 1
    k = max(0, min(math.floor(position), last - 1))
    return k, min(1.0, max(0.0, position - k))


def polyline(keyframes: Sequence[torch.Tensor], position: float, closed: bool = False) -> torch.Tensor:
    """The point at `position` (keyframe i lies at i) on straight lines through the keyframes."""
    if len(keyframes) == 1:
        return keyframes[0]
    k, t = _stretch(len(keyframes), position, closed)
    return lerp(keyframes[k], keyframes[(k + 1) % len(keyframes)], t)


def spline(keyframes: Sequence[torch.Tensor], position: float, closed: bool = False) -> torch.Tensor:
    """The point at `position` on a cubic through the keyframes that has no corners, nor a jump where it closes.

    Uniform Catmull-Rom (Catmull & Rom 1974): the tangent at a keyframe is half the way from its left to its right
    neighbour. An open curve goes on straight beyond its ends, so that two keyframes give a straight line.
    """
    count = len(keyframes)
    if count == 1:
        return keyframes[0]
    k, t = _stretch(count, position, closed)

    def at(i: int) -> torch.Tensor:
        if closed or 0 <= i < count:
            return keyframes[i % count]
        return 2 * keyframes[0] - keyframes[1] if i < 0 else 2 * keyframes[-1] - keyframes[-2]

    a, b, c, d = (at(k + i) for i in (-1, 0, 1, 2))
    if t in (0.0, 1.0):  # a keyframe itself, to the bit
        return c if t else b
    return b + 0.5 * t * ((c - a) + t * ((2 * a - 5 * b + 4 * c - d) + t * (3 * (b - c) + d - a)))
