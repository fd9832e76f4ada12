"""The kaleidoscope: one wedge of a picture, mirrored all around its middle."""

import math

import torch
import torch.nn.functional as F


def kaleidoscope(x: torch.Tensor, mirrors: int, turn: float = 0.0) -> torch.Tensor:
    """(N, C, H, W) -> the same shape: `mirrors` pairs of wedges around the middle, each the mirror image of its neighbours.

    All of them show the wedge of 180 / mirrors degrees that begins at `turn` degrees, against the clock from the right.
    Where that leaves the picture it is reflected at the edge.
    """
    h, w = x.shape[2:]
    down = torch.arange(h, device=x.device, dtype=torch.float32) - (h - 1) / 2
    right = torch.arange(w, device=x.device, dtype=torch.float32) - (w - 1) / 2
    across, up = right[None, :].expand(h, w), -down[:, None].expand(h, w)
    radius, angle = torch.hypot(across, up), torch.atan2(up, across)
    sector = 2 * math.pi / mirrors
    folded = (angle % sector).sub(sector / 2).abs().neg().add(sector / 2) + math.radians(turn)
    grid = torch.stack([radius * folded.cos() * 2 / w, -radius * folded.sin() * 2 / h], dim=2)
    return F.grid_sample(x.float(), grid.expand(len(x), h, w, 2), mode="bilinear", padding_mode="reflection", align_corners=False)
