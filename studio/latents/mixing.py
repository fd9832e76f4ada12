"""Style mixing: which rows of w+ govern what, and weighted mixes of rows (StyleGAN, Karras 2019, Sec. 3.1)."""

import re

import torch

from studio.errors import StudioError

LAYER_RANGE_NAMES = ("coarse", "middle", "fine")


def layer_ranges(num_ws: int) -> dict[str, tuple[int, int]]:
    """Half-open row ranges of the three bands.

    coarse: pose and outline (4-8 px), middle: features (16-32 px), fine: colour and texture (above).
    Small networks have their rows shared out in the same proportion. num_ws: at least 3, for no band is empty.
    """
    a, b = (4, 8) if num_ws >= 10 else (max(1, num_ws * 2 // 5), max(2, num_ws * 4 // 5))
    return {"coarse": (0, a), "middle": (a, b), "fine": (b, num_ws)}


def parse_layers(text: str, num_ws: int) -> tuple[int, int]:
    """'coarse', 'middle', 'fine', 'all' or 'first-last' (counted from 0, last included) -> half-open range."""
    text = text.strip().lower()
    if text == "all":
        return 0, num_ws
    if text in LAYER_RANGE_NAMES:
        return layer_ranges(num_ws)[text]
    found = re.fullmatch(r"(\d+)(?:\s*-\s*(\d+))?", text)
    low, high = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
    if not low <= high < num_ws:
        raise StudioError(f"'{text}' is no range of layers.", f"Say coarse, middle, fine, all, or numbers like 0-{num_ws - 1}.")
    return low, high + 1


def mix_rows(base: torch.Tensor, sources: list[tuple[torch.Tensor, tuple[int, int], float]]) -> torch.Tensor:
    """Mix rows of w+ (num_ws, w_dim).

    sources: (w+ (num_ws, w_dim), half-open row range, weight >= 0). In each row the base keeps what the weights
    leave of 1; where they exceed 1 they are scaled to 1 and the base is gone.
    """
    added = torch.zeros_like(base)
    weights = base.new_zeros(len(base), 1)
    for ws, (low, high), weight in sources:
        added[low:high] += weight * ws[low:high]
        weights[low:high] += weight
    total = weights.clamp(min=1)
    mixed = base * ((1 - weights).clamp(min=0)) + added / total
    # A row whose weight is exactly one source's 1, or 0, is that row to the bit.
    return torch.where(weights == 0, base, mixed)
