"""LPIPS, a measure of how different two pictures look to people (Zhang 2018, "The Unreasonable Effectiveness of Deep Features as a
Perceptual Metric"), version 0.1 on AlexNet. Both weights are downloaded once; without them it is not measured.

torchmetrics has it too, but its class takes no weights: it would download AlexNet's by itself, past the studio's folder and
progress. It also adds 1e-8 under the root where the paper's code adds 1e-10 beside it. A test holds both together.
"""

import numpy as np
import torch
from torch import nn

from studio.metrics.registry import PairFunction, PairMetric, register
from studio.metrics.weights import fetch, kept_at
from studio.networks.backbones.alexnet import AlexNetFeatures

# Address, SHA-256 or its beginning, bytes.
ALEXNET = ("https://download.pytorch.org/models/alexnet-owt-7be5be79.pth", "7be5be79", 244_408_911)
LINEAR = (
    "https://raw.githubusercontent.com/richzhang/PerceptualSimilarity/master/lpips/weights/v0.1/alex.pth",
    "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0",
    6009,
)
SMALLEST = 64  # pixels a side that AlexNet's layers need
_LAYERS = 5  # activations of AlexNet that are compared


def weights_are_here() -> bool:
    """Whether the weights have been downloaded."""
    return all(kept_at(url).is_file() for url, _, _ in (ALEXNET, LINEAR))


class Lpips(nn.Module):
    """LPIPS network: d = sum over layers of the mean over positions of sum_c w_c (x_c - y_c)^2, x and y normalised to length 1 over the
    channels (Zhang 2018, Eq. 1).

    Raises StudioError if the weights are missing and cannot be downloaded.
    """

    weights: nn.ParameterList
    shift: torch.Tensor
    scale: torch.Tensor

    def __init__(self):
        super().__init__()
        state = torch.load(fetch(*ALEXNET), map_location="cpu", weights_only=True)
        linear = torch.load(fetch(*LINEAR), map_location="cpu", weights_only=True)
        with torch.device("meta"):  # random weights need not be drawn first
            self.net = AlexNetFeatures()
        self.net.load_state_dict({k: v for k, v in state.items() if k.startswith("features.")}, assign=True)
        self.weights = nn.ParameterList(linear[f"lin{i}.model.1.weight"] for i in range(_LAYERS))
        self.register_buffer("shift", torch.tensor([-0.030, -0.088, -0.188])[:, None, None], persistent=False)
        self.register_buffer("scale", torch.tensor([0.458, 0.448, 0.450])[:, None, None], persistent=False)
        self.eval().requires_grad_(False)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Distances (N,) of x and y, (N, 3, H, W) in [-1, 1], sides of 64 and more; 0 = identical."""
        total = torch.zeros(len(x), device=x.device)
        for w, a, b in zip(self.weights, self._maps(x), self._maps(y), strict=True):
            total = total + ((a - b).square() * w).sum(dim=1).mean(dim=[1, 2])
        return total

    def _maps(self, x: torch.Tensor) -> list[torch.Tensor]:
        return [m / (m.square().sum(dim=1, keepdim=True).sqrt() + 1e-10) for m in self.net((x - self.shift) / self.scale)]


def _load(device: torch.device) -> PairFunction:
    net = Lpips().to(device)

    def compare(made: np.ndarray, original: np.ndarray, border: int) -> float:
        x, y = (torch.from_numpy(np.ascontiguousarray(a)).to(device).permute(2, 0, 1)[None] / 127.5 - 1 for a in (made, original))
        return float(net(x, y))

    return compare


LPIPS = register(
    PairMetric(
        name="lpips",
        title="LPIPS",
        basis="(AlexNet)",
        sentence="Difference as people see it, 0 = identical",
        better="lower",
        order=40,
        load=_load,
        is_available=weights_are_here,
        least_side=SMALLEST,
    )
)
