"""Style mixing: weighted mixes of rows of w+ (StyleGAN, Karras 2019, Sec. 3.1)."""

import torch


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
