"""Projected discriminator (Sauer 2021, "Projected GANs Converge Faster").

Pictures pass through a frozen ImageNet network; its feature maps are mixed by random, frozen convolutions across channels and
scales; a small discriminator looks at each scale. It learns from few pictures and in few steps, because it need not learn first
what pictures look like.
"""

import itertools
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from studio.metrics.features import load_efficientnet

_STAGES = (1, 2, 4, 6)  # of the feature network: maps at 1/4, 1/8, 1/16 and 1/32 of its input
_WIDTHS = (64, 64, 128, 256)  # channels after mixing
_INPUT = 96  # pictures are resized to this side for the feature network


class _FrozenConv(nn.Module):
    """A convolution with fixed random weights, which are saved but not trained."""

    weight: torch.Tensor

    def __init__(self, c_in: int, c_out: int, k: int):
        super().__init__()
        self.register_buffer("weight", nn.init.kaiming_normal_(torch.empty(c_out, c_in, k, k)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.conv2d(x, self.weight.to(x.dtype), padding=self.weight.shape[-1] // 2)


class _Head(nn.Module):
    """The small discriminator of one scale: (N, C, S, S) -> logits (N, L)."""

    def __init__(self, c_in: int, size: int):
        super().__init__()
        layers: list[nn.Module] = []
        while size > 8:
            layers += [spectral_norm(nn.Conv2d(c_in, 128, 4, stride=2, padding=1)), nn.LeakyReLU(0.2)]
            c_in, size = 128, size // 2
        layers += [spectral_norm(nn.Conv2d(c_in, 128, 3, padding=1)), nn.LeakyReLU(0.2)]
        layers += [spectral_norm(nn.Conv2d(128, 1, min(4, size)))]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x).flatten(1)


class ProjectedDiscriminator(nn.Module):
    """Logits of four scales, side by side.

    config: of the generator's family; only img_channels is used.
    """

    def __init__(self, config: Any):
        super().__init__()
        if config.c_dim:
            raise ValueError("the projected discriminator does not know classes")
        # The feature network's frozen weights are neither saved nor counted with the discriminator's own.
        stages: Any = load_efficientnet().stages
        channels = [stages[i][-1].layers[-1].conv.out_channels for i in _STAGES]
        self.across_channels = nn.ModuleList(_FrozenConv(c, w, 1) for c, w in zip(channels, _WIDTHS, strict=True))
        self.across_scales = nn.ModuleList(_FrozenConv(w, v, 3) for v, w in itertools.pairwise(_WIDTHS))
        sizes = [_INPUT // 4, _INPUT // 8, _INPUT // 16, _INPUT // 32]
        self.heads = nn.ModuleList(_Head(w, s) for w, s in zip(_WIDTHS, sizes, strict=True))

    def features(self, img: torch.Tensor) -> list[torch.Tensor]:
        """img: (N, C, H, W) in [-1, 1] -> mixed maps from fine to coarse."""
        net = load_efficientnet(img.device)
        x = img.expand(-1, 3, -1, -1) if img.shape[1] == 1 else img
        x = F.interpolate(x, (_INPUT, _INPUT), mode="bilinear", align_corners=False, antialias=img.shape[-1] > _INPUT)
        maps = net.stage_maps(x.contiguous(memory_format=torch.channels_last))
        maps = [mix(maps[i]) for i, mix in zip(_STAGES, self.across_channels, strict=True)]
        for i in (2, 1, 0):  # coarse maps flow into finer ones
            above = F.interpolate(maps[i + 1], maps[i].shape[2:], mode="bilinear", align_corners=False)
            maps[i] = maps[i] + self.across_scales[i](above)
        return maps

    def forward(self, img: torch.Tensor, c: torch.Tensor | None = None) -> torch.Tensor:
        """img: (N, C, H, W) in [-1, 1] -> logits (N, L)."""
        return torch.cat([head(x) for head, x in zip(self.heads, self.features(img), strict=True)], dim=1)
