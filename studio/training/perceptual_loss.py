"""Perceptual loss of upscalers: how alike two pictures look to a network that was trained to recognise things.

The papers compare feature maps of VGG19 (Ledig 2017, Sec. 2.2.1; Wang 2018, Sec. 3.3). Its weights are large and are fetched
once; without them the early layers of EfficientNet-Lite0, which come with the studio, take their place.
"""

import copy
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from studio.errors import StudioError
from studio.metrics.features import load_efficientnet
from studio.metrics.weights import fetch, kept_at
from studio.networks.backbones.vgg19 import VGG19Features

FEATURE_NETWORKS = {
    "auto": "VGG19 when its weights are there, EfficientNet-Lite0 otherwise",
    "vgg19": "VGG19, its last convolution before the activation (ESRGAN)",
    "vgg19_after": "VGG19, its last convolution after the activation (SRGAN)",
    "efficientnet": "EfficientNet-Lite0, its first three stages",
}
# As torchvision has them: address, beginning of the SHA-256, bytes.
VGG19 = ("https://download.pytorch.org/models/vgg19-dcbb9e9d.pth", "dcbb9e9d", 574_673_361)
_STAGES = 3  # of EfficientNet: maps at a half, a quarter and an eighth of the side; the finest distinguish sharp from blurred


def choose_network(name: str) -> str:
    """The name of a network for a setting that may be 'auto'. Raises StudioError for a name that does not exist."""
    if name not in FEATURE_NETWORKS:
        raise StudioError(f"There is no perceptual loss '{name}'.", f"Choose one of: {', '.join(FEATURE_NETWORKS)}.")
    if name != "auto":
        return name
    return "vgg19" if kept_at(VGG19[0]).is_file() else "efficientnet"


def load_perceptual(name: str) -> nn.Module:
    """The frozen loss of a network, not 'auto': (N, C, H, W), (N, C, H, W) in [-1, 1] -> scalar.

    Raises StudioError when the weights of VGG19 can neither be found nor downloaded, or are damaged.
    """
    net = EfficientNetLoss() if name == "efficientnet" else VGGLoss(before=name == "vgg19")
    return net.eval().requires_grad_(False)


class VGGLoss(nn.Module):
    """Mean absolute difference of the maps of VGG19's conv5_4.

    before: whether maps are taken before the activation.  weights: a file, None = the published ones, downloaded when missing.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, before: bool, weights: Path | None = None):
        super().__init__()
        state = torch.load(weights or fetch(*VGG19), map_location="cpu", weights_only=True)
        with torch.device("meta"):  # random weights need not be drawn first
            self.net = VGG19Features(activated=not before)
        own = self.net.state_dict()
        self.net.load_state_dict({k: v for k, v in state.items() if k in own}, assign=True)
        # ImageNet's mean and standard deviation, by which VGG19 expects its input to be normalised.
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406])[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225])[:, None, None], persistent=False)

    def forward(self, made: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            wanted = self._maps(real)
        return F.l1_loss(self._maps(made).float(), wanted.float())

    def _maps(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(((x.expand(-1, 3, -1, -1) + 1) / 2 - self.mean) / self.std)


class EfficientNetLoss(nn.Module):
    """Mean absolute difference of the maps of the first three stages, each divided by the mean magnitude of the real ones, averaged.

    0 = alike; about 1 for pictures that have nothing in common.
    """

    def __init__(self):
        super().__init__()
        net = load_efficientnet()
        self.stem, self.stages = copy.deepcopy(net.stem), copy.deepcopy(net.stages[:_STAGES])

    def forward(self, made: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            wanted = self._maps(real)
        return torch.stack([(x - y).abs().mean() / (y.abs().mean() + 1e-6) for x, y in zip(self._maps(made), wanted, strict=True)]).mean()

    def _maps(self, x: torch.Tensor) -> list[torch.Tensor]:
        x, maps = self.stem(x.expand(-1, 3, -1, -1)), []
        for stage in self.stages:
            x = stage(x)
            maps.append(x.float())
        return maps
