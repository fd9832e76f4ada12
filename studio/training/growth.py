"""Schedule of progressive growing: a function only of the number of pictures seen, so that a resumed run continues where it was."""

import math
from dataclasses import dataclass

from studio.errors import StudioError


@dataclass(frozen=True)
class Growth:
    """Settings of progressive growing from small pictures to large ones (ProGAN), for families that support it."""

    start: int = 8  # initial side in pixels, a power of two from 4
    fade_kimg: float = 0.0  # thousands of pictures over which a doubling fades in, 600 in the paper; 0 = the full network from the start
    stable_kimg: float = 600.0  # thousands of pictures before each fade

    def __post_init__(self):
        if self.start < 4 or self.start & (self.start - 1):
            raise StudioError(f"The plan's growth.start is {self.start}.", "It must be a power of two from 4: 4, 8, 16, ...")
        for name in ("fade_kimg", "stable_kimg"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise StudioError(f"The plan's growth.{name} is {value}.", "It must be 0 or more.")


def grown_at(images_seen: int, resolution: int, start_resolution: int, fade_kimg: float, stable_kimg: float) -> float:
    """How far both networks have grown after `images_seen` real pictures, in doublings of 4x4, in [0, log2(resolution / 4)].

    It stays at `start_resolution` for `stable_kimg` thousand pictures, rises by one over the next `fade_kimg` thousand, stays again,
    and so on up to `resolution` (Karras 2018, ProGAN, Sec. 2 and App. A; StyleGAN, App. C, begins at 8x8).
    Without a fade, or with a start at `resolution` or above, it is fully grown throughout.
    """
    full = math.log2(resolution / 4)
    start = math.log2(start_resolution / 4)
    if fade_kimg <= 0 or start >= full:
        return full
    kimg = images_seen / 1000
    doublings, within = divmod(kimg, stable_kimg + fade_kimg)
    return min(full, start + doublings + max(0.0, within - stable_kimg) / fade_kimg)
