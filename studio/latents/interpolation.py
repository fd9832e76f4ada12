"""Ways from one latent to another."""

import math

import torch


def lerp(a: torch.Tensor, b: torch.Tensor, t: float) -> torch.Tensor:
    """The straight way, right for w: a at t = 0, b at t = 1. Any shape."""
    return a + (b - a) * t


def slerp(a: torch.Tensor, b: torch.Tensor, t: float) -> torch.Tensor:
    """The way along the great circle, right for z ~ N(0, 1), whose length hardly varies (White 2016, Sec. 2.1).

    a, b: (..., d); falls back to lerp where they are (anti)parallel.
    """
    cos = torch.nn.functional.cosine_similarity(a, b, dim=-1).clamp(-1, 1).unsqueeze(-1)
    angle = torch.acos(cos)
    near = torch.sin(angle) < 1e-4
    sin = torch.where(near, torch.ones_like(angle), torch.sin(angle))
    curved = torch.sin((1 - t) * angle) / sin * a + torch.sin(t * angle) / sin * b
    return torch.where(near, lerp(a, b, t), curved)


def walk(keyframes: list[torch.Tensor], frames: int, closed: bool = False, smooth: bool = False) -> list[torch.Tensor]:
    """`frames` latents along `keyframes` (equal shapes), first and last included; `closed` returns to the first
    without repeating it. `smooth` eases in and out of each keyframe.
    """
    if len(keyframes) == 1:
        return [keyframes[0]] * frames
    stops = [*keyframes, keyframes[0]] if closed else keyframes
    last = len(stops) - 1
    out = []
    for i in range(frames):
        position = i * last / (frames if closed else max(1, frames - 1))
        k = min(int(position), last - 1)
        t = position - k
        if smooth:
            t = (1 - math.cos(math.pi * t)) / 2
        out.append(lerp(stops[k], stops[k + 1], t))
    return out
