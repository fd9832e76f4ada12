"""Pixels of a network's output: the one rounding for everything that people see."""

import numpy as np
import torch

from studio.errors import NotFinite


def check_finite(values: torch.Tensor) -> torch.Tensor:
    """The output of a network itself. Raises NotFinite when any value is no number: it would become a black picture in silence."""
    if not torch.isfinite(values.sum(dtype=torch.float32)) and not torch.isfinite(values).all():
        raise NotFinite(
            "The model gives no picture: its output holds values that are no numbers (NaN or infinity).",
            "Its file may be damaged: get it again. A training that ended like this can go on from an earlier snapshot.",
        )
    return values


def to_uint8(img: torch.Tensor) -> np.ndarray:
    """Pixels of pictures: (N, C, H, W) in [-1, 1] -> (N, H, W, 3) uint8; a grey picture gets three equal channels.

    Raises NotFinite for values that are no numbers.
    """
    img = (check_finite(img).float() * 127.5 + 128).clamp(0, 255).to(torch.uint8)
    return img.expand(-1, 3, -1, -1).permute(0, 2, 3, 1).contiguous().cpu().numpy()
