"""SRGAN (Ledig 2017, "Photo-Realistic Single Image Super-Resolution Using a Generative Adversarial Network").

The generator alone, trained on a pixel loss, is the paper's SRResNet.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from studio.networks.layers import BatchNorm
from studio.networks.registry import Family, Task, register
from studio.networks.super_resolution.upscaler import KaimingConv, Upscaler, check_upscaler, reach

SCALES = (2, 3, 4)


@dataclass(frozen=True)
class SRGANConfig:
    """Hyper-parameters of the generator and the discriminator, as in the paper."""

    scale: int = 4  # 2, 3 or 4
    resolution: int = 96  # side of the high-resolution training patches, in pixels
    img_channels: int = 3  # 1 = grey, 3 = RGB
    width: int = 64  # channels of the generator
    blocks: int = 16  # residual blocks
    norm: str = "batch"  # within the blocks, or 'none': fewer artefacts in smooth parts (Lim 2017, Sec. 3.1; Wang 2018, Sec. 3.1)
    ndf: int = 64  # channels of the discriminator's first layer
    dense: int = 1024  # features before the discriminator's logit

    def __post_init__(self):
        check_upscaler(self, SCALES, 16)
        if self.norm not in ("batch", "none"):
            raise ValueError(f"norm must be batch or none, not {self.norm!r}")
        if min(self.width, self.ndf, self.dense) < 1 or not 1 <= self.blocks <= 256:
            raise ValueError("width, ndf and dense must be 1 or more, blocks 1 to 256")


def _norm(name: str, channels: int) -> nn.Module:
    return BatchNorm(channels) if name == "batch" else nn.Identity()


class ResidualBlock(nn.Module):
    """Residual block: x + convolution, norm, PReLU, convolution, norm of x (Fig. 4)."""

    def __init__(self, channels: int, norm: str):
        super().__init__()
        bias, gain = norm == "none", 0.1 if norm == "none" else 1.0
        self.conv1, self.norm1 = KaimingConv(channels, channels, gain=gain, bias=bias), _norm(norm, channels)
        self.act = nn.PReLU(channels)
        self.conv2, self.norm2 = KaimingConv(channels, channels, gain=gain, bias=bias), _norm(norm, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.norm2(self.conv2(self.act(self.norm1(self.conv1(x)))))


class SubPixelConv(nn.Module):
    """Upsampling by `factor` with a sub-pixel convolution (Shi 2016), then PReLU."""

    def __init__(self, channels: int, factor: int):
        super().__init__()
        self.factor = factor
        self.conv = KaimingConv(channels, channels * factor**2)
        self.act = nn.PReLU(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.act(F.pixel_shuffle(self.conv(x), self.factor))


class Generator(Upscaler):
    """SRResNet (Fig. 4)."""

    local = True

    def __init__(self, cfg: SRGANConfig):
        super().__init__()
        self.config, self.scale, self.resolution, self.in_channels = cfg, cfg.scale, cfg.resolution, cfg.img_channels
        self.first, self.act = KaimingConv(cfg.img_channels, cfg.width, 9), nn.PReLU(cfg.width)
        self.blocks = nn.ModuleList(ResidualBlock(cfg.width, cfg.norm) for _ in range(cfg.blocks))
        self.middle, self.norm = KaimingConv(cfg.width, cfg.width, bias=cfg.norm == "none"), _norm(cfg.norm, cfg.width)
        factors = (2, 2) if cfg.scale == 4 else (cfg.scale,)
        self.enlarge = nn.ModuleList(SubPixelConv(cfg.width, factor) for factor in factors)  # the name is in saved weights
        self.last = KaimingConv(cfg.width, cfg.img_channels, 9, gain=0.1)
        far = reach([self.first, self.blocks, self.middle]) + reach([self.last], cfg.scale)
        far += sum(reach([layer], factors[0] ** i) for i, layer in enumerate(self.enlarge))
        self.halo = math.ceil(far)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = y = self.act(self.first(x))
        for block in self.blocks:
            y = block(y)
        y = x + self.norm(self.middle(y))
        for layer in self.enlarge:
            y = layer(y)
        return self.last(y).float()


class Discriminator(nn.Module):
    """Discriminator of patches: eight convolutions, every second one with stride 2, and two dense layers (Fig. 4)."""

    def __init__(self, cfg: SRGANConfig):
        super().__init__()
        self.config = cfg
        layers: list[nn.Module] = [KaimingConv(cfg.img_channels, cfg.ndf), nn.LeakyReLU(0.2)]
        before = cfg.ndf
        for i in range(1, 8):
            after = cfg.ndf * 2 ** (i // 2)
            layers += [KaimingConv(before, after, stride=1 + i % 2, bias=False), BatchNorm(after), nn.LeakyReLU(0.2)]
            before = after
        self.features = nn.Sequential(*layers)
        size = before * (cfg.resolution // 16) ** 2
        self.judge = nn.Sequential(nn.Linear(size, cfg.dense), nn.LeakyReLU(0.2), nn.Linear(cfg.dense, 1))  # the name is in saved weights

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x: (N, C, resolution, resolution) in [-1, 1].  Returns (N, 1) logits."""
        assert x.shape[2:] == (self.config.resolution, self.config.resolution), x.shape
        return self.judge(self.features(x).flatten(1)).float()


register(
    Family(
        name="srgan",
        title="SRGAN",
        sentence="Upscales pictures two, three or four times and redraws the fine detail; small, and quick to train.",
        task=Task.UPSCALE,
        config=SRGANConfig,
        generator=Generator,
        discriminator=Discriminator,
    )
)
