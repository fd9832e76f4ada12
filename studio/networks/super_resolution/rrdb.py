"""ESRGAN (Wang 2018, "ESRGAN: Enhanced Super-Resolution Generative Adversarial Networks") and Real-ESRGAN (Wang 2021).

Layers are named as in the published code (conv_first, body.0.rdb1.conv1, ...), so that published weights fit by name.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from studio.networks.registry import Family, Task, register
from studio.networks.super_resolution.upscaler import KaimingConv, UNetDiscriminator, Upscaler, check_upscaler, reach

SCALES = (1, 2, 4, 8)


@dataclass(frozen=True)
class RRDBConfig:
    """Hyper-parameters of the generator and the discriminator, as in the papers."""

    scale: int = 4  # 1, 2, 4 or 8
    doublings: int = 2  # of the size, at the end; if they exceed `scale`, the picture is folded before the first layer
    resolution: int = 256  # side of the high-resolution training patches, in pixels
    img_channels: int = 3  # 1 = grey, 3 = RGB
    width: int = 64  # channels
    growth: int = 32  # channels that each convolution of a dense block adds
    blocks: int = 23  # residual-in-residual dense blocks; 6 in the small one for drawings
    ndf: int = 64  # channels of the discriminator at full size

    def __post_init__(self):
        check_upscaler(self, SCALES, 8)
        if not 0 <= self.doublings <= 3 or self.fold not in (1, 2, 4):
            raise ValueError(f"{self.doublings} doublings do not allow a scale of {self.scale}")
        if min(self.width, self.growth, self.ndf) < 1 or not 1 <= self.blocks <= 256:
            raise ValueError("width, growth and ndf must be 1 or more, blocks 1 to 256")

    @property
    def fold(self) -> float:
        """Factor of the pixel unshuffle before the first layer; 1 = none."""
        return 2**self.doublings / self.scale


class DenseBlock(nn.Module):
    """Dense block: five convolutions, each fed by all before it; a fifth of the output is added to x (Wang 2018, Sec. 3.1)."""

    def __init__(self, channels: int, growth: int):
        super().__init__()
        self.conv1 = KaimingConv(channels, growth, gain=0.1)
        self.conv2 = KaimingConv(channels + growth, growth, gain=0.1)
        self.conv3 = KaimingConv(channels + 2 * growth, growth, gain=0.1)
        self.conv4 = KaimingConv(channels + 3 * growth, growth, gain=0.1)
        self.conv5 = KaimingConv(channels + 4 * growth, channels, gain=0.1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        seen = x
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4):
            seen = torch.cat([seen, F.leaky_relu(conv(seen), 0.2)], dim=1)
        return x + 0.2 * self.conv5(seen)


class RRDB(nn.Module):
    """Residual-in-residual block: three dense blocks in a row; a fifth of the output is added to x (Wang 2018, Fig. 4)."""

    def __init__(self, channels: int, growth: int):
        super().__init__()
        self.rdb1, self.rdb2, self.rdb3 = (DenseBlock(channels, growth) for _ in range(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + 0.2 * self.rdb3(self.rdb2(self.rdb1(x)))


class Generator(Upscaler):
    """RRDBNet. It works on [0, 1] inside, as published.

    For a scale below that of its doublings the picture is folded first, each square of 2x2 or 4x4 pixels into the channels
    of one pixel (Wang 2021, Sec. 4.1), which widens the receptive field at less cost.
    """

    local = True

    def __init__(self, cfg: RRDBConfig):
        super().__init__()
        self.config, self.scale, self.resolution, self.in_channels = cfg, cfg.scale, cfg.resolution, cfg.img_channels
        self.multiple = int(cfg.fold)
        self.mirrored_to = 4 if self.multiple > 1 else 1  # as spandrel does, the reader of most programs
        self.conv_first = KaimingConv(cfg.img_channels * self.multiple**2, cfg.width)
        self.body = nn.Sequential(*(RRDB(cfg.width, cfg.growth) for _ in range(cfg.blocks)))
        self.conv_body = KaimingConv(cfg.width, cfg.width)
        for i in range(cfg.doublings):
            setattr(self, f"conv_up{i + 1}", KaimingConv(cfg.width, cfg.width))
        self.conv_hr = KaimingConv(cfg.width, cfg.width)
        self.conv_last = KaimingConv(cfg.width, cfg.img_channels, gain=0.1)
        far = reach([self.conv_first, self.body, self.conv_body], 1 / self.multiple) + reach([self.conv_hr, self.conv_last], cfg.scale)
        far += sum(reach([conv], 2 ** (i + 1) / self.multiple) for i, conv in enumerate(self._ups))
        # Every pixel of a fold depends on all pixels of that fold.
        self.halo = math.ceil(far) + self.multiple - 1

    @property
    def _ups(self) -> list[nn.Module]:
        return [getattr(self, f"conv_up{i + 1}") for i in range(self.config.doublings)]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv_first(F.pixel_unshuffle(x * 0.5 + 0.5, self.multiple))
        x = x + self.conv_body(self.body(x))
        for conv in self._ups:
            x = F.leaky_relu(conv(F.interpolate(x, scale_factor=2, mode="nearest")), 0.2)
        return self.conv_last(F.leaky_relu(self.conv_hr(x), 0.2)).float() * 2 - 1


register(
    Family(
        name="rrdb",
        title="ESRGAN",
        sentence="Upscales pictures up to eight times with the finest detail, but takes its time; the network of Real-ESRGAN.",
        task=Task.UPSCALE,
        config=RRDBConfig,
        generator=Generator,
        discriminator=UNetDiscriminator,
    )
)
