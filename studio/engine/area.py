"""Area: a part of the picture that is drawn from another seed."""

import base64
import binascii
import functools
import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from studio.common.text import short_repr
from studio.engine.recipe_checks import Seed, number
from studio.errors import StudioError
from studio.latents.seeds import check_seed

SHAPES = ("gradient", "circle", "mask")
MASK_SIDE = 64  # pixels


@dataclass(frozen=True)
class Area:
    """Another seed in a part of the picture, which passes softly into the rest.

    seed: its w takes the place of the recipe's; classes, truncation and edits are the recipe's.  weight: its share inside, 0 to 1.
    shape: 'gradient' (beyond an edge), 'circle' (around the middle) or 'mask' (where a picture is bright).
    at: where the edge of a gradient lies, 0 to 1 from side to side, or the radius of a circle in sides.
    softness: width of the passage in sides.  angle: of a gradient: towards where it shows, degrees against the clock from the right.
    mask: base64 of 64 x 64 bytes, row by row.
    """

    seed: Seed
    shape: str = "gradient"
    at: float = 0.5
    softness: float = 0.5
    angle: float = 0.0
    weight: float = 1.0
    mask: str = ""

    def __post_init__(self):
        object.__setattr__(self, "seed", check_seed(self.seed))
        if self.shape not in SHAPES:
            raise StudioError(f"The shape of an area is {short_repr(self.shape)}.", f"It must be {', '.join(SHAPES[:-1])} or {SHAPES[-1]}.")
        for name, low, high, what in (
            ("at", -1, 2, "The place of an area's edge"),
            ("softness", 0, 4, "The softness of an area"),
            ("angle", -360, 360, "The angle of an area"),
            ("weight", 0, 1, "The weight of an area"),
        ):
            object.__setattr__(self, name, number(getattr(self, name), low, high, what))
        if (self.shape == "mask") != (self.mask != ""):
            raise StudioError("A mask belongs to an area of the shape 'mask', and only there.", "Give both or neither.")
        if self.mask:
            _mask_values(self.mask)

    def share(self, u: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """How much of it is seen at places u (W,) from left to right and v (H,) from top to bottom, in [0, 1]: (H, W) in [0, 1]."""
        x, y = u[None, :] - 0.5, v[:, None] - 0.5
        if self.shape == "mask":
            places = torch.stack(torch.broadcast_tensors(2 * x, 2 * y), dim=2)[None].float()
            values = torch.from_numpy(_mask_values(self.mask)).to(u.device)[None, None]
            return F.grid_sample(values, places, mode="bilinear", padding_mode="border", align_corners=False)[0, 0] * self.weight
        if self.shape == "circle":
            inside = self.at - torch.hypot(x, y)
        else:
            turn = math.radians(self.angle)
            inside = x * math.cos(turn) - y * math.sin(turn) + 0.5 - self.at
        t = (inside / max(self.softness, 1e-3) + 0.5).clamp(0, 1)
        return t * t * (3 - 2 * t) * self.weight


def pack_mask(picture: np.ndarray) -> str:
    """The text form of a mask, kept in `Area.mask`.  picture: (64, 64) uint8, bright where the area is seen."""
    return base64.b64encode(np.ascontiguousarray(picture, np.uint8).tobytes()).decode()


@functools.lru_cache(64)
def _mask_values(text: str) -> np.ndarray:
    """(64, 64) float32 in [0, 1]. Raises StudioError."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError, TypeError):
        data = b""
    if len(data) != MASK_SIDE**2:
        raise StudioError("The mask of an area cannot be read.", "Use a file that the studio saved.")
    return np.frombuffer(data, np.uint8).reshape(MASK_SIDE, MASK_SIDE).astype(np.float32) / 255
