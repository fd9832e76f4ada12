"""Pixels of a network's output: the one rounding for everything that people see."""

import numpy as np
import torch


def to_uint8(img: torch.Tensor) -> np.ndarray:
    """Pixels of pictures: (N, C, H, W) in [-1, 1] -> (N, H, W, 3) uint8; a grey picture gets three equal channels."""
    img = (img.float() * 127.5 + 128).clamp(0, 255).to(torch.uint8)
    return img.expand(-1, 3, -1, -1).permute(0, 2, 3, 1).contiguous().cpu().numpy()
