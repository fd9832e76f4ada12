"""Pictures of a layer: its feature maps side by side, or one of them."""

import math

import numpy as np
import torch
import torch.nn.functional as F

from studio.errors import StudioError
from studio.imaging.pixels import to_uint8

MAX_SHOWN = 64  # maps side by side
_CELL, _GAP = 32, 1  # pixels
_ALONE = 256  # side of one map alone
_GROUND = 20  # grey between the maps


def layer_picture(x: torch.Tensor, channel: int | None = None) -> np.ndarray:
    """What a layer has made, (1, C, H, W) or (1, C), as uint8 (h, w, 3).

    A picture (of 1 or 3 channels) is shown as such. Of features the first 64 maps are shown, row by row, each from its lowest value
    (black) to its highest (white); vectors give cells of one grey.  channel: this one alone.
    Raises StudioError when there is no such channel.
    """
    x = x.float()
    maps = x[:, :, None, None] if x.ndim == 2 else x
    count = maps.shape[1]
    if channel is not None:
        if not 0 <= channel < count:
            raise StudioError(f"The layer has {count} channels, counted from 0.", f"There is no number {channel}.")
        return _grey(_fitted(_stretched(maps[0, channel : channel + 1], x.ndim == 2), _ALONE)[0])
    if count in (1, 3) and x.ndim == 4:
        return to_uint8(_fitted(maps, _ALONE))[0]
    cells = _fitted(_stretched(maps[0, :MAX_SHOWN], x.ndim == 2), _CELL)
    columns = math.ceil(math.sqrt(len(cells)))
    rows = -(-len(cells) // columns)
    h, w = cells.shape[1] + _GAP, cells.shape[2] + _GAP
    sheet = torch.full((rows * h + _GAP, columns * w + _GAP), _GROUND / 255, device=x.device)
    for i, cell in enumerate(cells):
        top, left = i // columns * h + _GAP, i % columns * w + _GAP
        sheet[top : top + h - _GAP, left : left + w - _GAP] = cell
    return _grey(sheet)


def _stretched(maps: torch.Tensor, together: bool) -> torch.Tensor:
    """(C, H, W) -> [0, 1] from lowest to highest, each map for itself or all together; what is constant becomes 0.5."""
    axes = (0, 1, 2) if together else (1, 2)
    low, high = maps.amin(dim=axes, keepdim=True), maps.amax(dim=axes, keepdim=True)
    return torch.where(high > low, (maps - low) / (high - low).clamp(min=1e-12), torch.full_like(maps, 0.5))


def _fitted(x: torch.Tensor, side: int) -> torch.Tensor:
    """(..., H, W) with the longer side at `side` pixels: averaged down, or with pixels repeated."""
    h, w = x.shape[-2:]
    size = (max(1, round(h * side / max(h, w))), max(1, round(w * side / max(h, w))))
    batch = x if x.ndim == 4 else x[None]
    y = F.interpolate(batch, size=size, mode="nearest") if max(h, w) <= side else F.adaptive_avg_pool2d(batch, size)
    return y if x.ndim == 4 else y[0]


def _grey(values: torch.Tensor) -> np.ndarray:
    """(H, W) in [0, 1] -> uint8 (H, W, 3)."""
    grey = (values.nan_to_num(0.5) * 255).round().clamp(0, 255).to(torch.uint8).cpu().numpy()
    return np.repeat(grey[:, :, None], 3, axis=2)
