"""The compact network of Real-ESRGAN (Wang 2021), for video and slow computers: all layers work at the input's size.

Layers are numbered as in the published code (body.0, body.1, ...), so that published weights fit by name.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from studio.networks.registry import Family, Task, register
from studio.networks.super_resolution.upscaler import KaimingConv, UNetDiscriminator, Upscaler, check_upscaler, reach

SCALES = (1, 2, 3, 4)


@dataclass(frozen=True)
class SRVGGConfig:
    """Hyper-parameters of the generator and the discriminator, as published for animation (16 layers) or for all pictures (32)."""

    scale: int = 4  # 1, 2, 3 or 4
    drawn_scale: int = 0  # the network's own scale, whose output is then resized to `scale`; 0 = `scale`
    resolution: int = 192  # side of the high-resolution training patches, in pixels
    img_channels: int = 3  # 1 = grey, 3 = RGB
    width: int = 64  # channels
    convs: int = 16  # convolutions between the first and the last
    act: str = "prelu"  # or 'relu', 'leakyrelu'
    ndf: int = 64  # channels of the discriminator at full size

    def __post_init__(self):
        check_upscaler(self, SCALES, 8)
        if self.drawn_scale and (self.drawn_scale not in SCALES or self.drawn_scale < self.scale):
            raise ValueError(f"drawn_scale must be 0, or from scale to {SCALES[-1]}, not {self.drawn_scale}")
        if self.act not in ("prelu", "relu", "leakyrelu"):
            raise ValueError(f"act must be prelu, relu or leakyrelu, not {self.act!r}")
        if min(self.width, self.ndf) < 1 or not 0 <= self.convs <= 256:
            raise ValueError("width and ndf must be 1 or more, convs 0 to 256")


def _activation(name: str, channels: int) -> nn.Module:
    if name == "prelu":
        return nn.PReLU(channels)
    return nn.ReLU() if name == "relu" else nn.LeakyReLU(0.1)


class Generator(Upscaler):
    """SRVGGNetCompact. It works on [0, 1] inside, as published: its output is added to the input resized by nearest neighbour."""

    local = True

    def __init__(self, cfg: SRVGGConfig):
        super().__init__()
        self.config, self.scale, self.resolution, self.in_channels = cfg, cfg.scale, cfg.resolution, cfg.img_channels
        self.drawn = cfg.drawn_scale or cfg.scale
        layers = [KaimingConv(cfg.img_channels, cfg.width), _activation(cfg.act, cfg.width)]
        for _ in range(cfg.convs):
            layers += [KaimingConv(cfg.width, cfg.width), _activation(cfg.act, cfg.width)]
        self.body = nn.Sequential(*layers, KaimingConv(cfg.width, cfg.img_channels * self.drawn**2, gain=0.01))
        self._initialise_as_identity()
        # Downscaling reads two output pixels beyond, which may belong to the next input pixel.
        self.halo = math.ceil(reach([self.body])) + (math.ceil(2 / self.drawn) if self.drawn != self.scale else 0)

    @torch.no_grad()
    def _initialise_as_identity(self) -> None:
        """Initialise the layers between the first and the last near the identity, so that this deep network without skip connections
        learns from the first step; with random weights it produced repeated pixels for hundreds of steps."""
        for layer in self.body[1:-1]:
            if isinstance(layer, nn.PReLU):
                layer.weight.fill_(1.0)
            elif isinstance(layer, KaimingConv):
                layer.weight.mul_(0.1)
                nn.init.dirac_(identity := torch.empty_like(layer.weight))
                layer.weight.add_(identity)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x * 0.5 + 0.5
        y = F.pixel_shuffle(self.body(x), self.drawn).float() + F.interpolate(x, scale_factor=self.drawn, mode="nearest")
        if self.drawn != self.scale:
            size = [side * self.scale for side in x.shape[2:]]
            y = F.interpolate(y, size=size, mode="bicubic", align_corners=False)
        return y * 2 - 1


register(
    Family(
        name="srvgg",
        title="Real-ESRGAN compact",
        sentence="Upscales pictures up to four times, quickly even without a graphics card; pick it for drawings and for video.",
        task=Task.UPSCALE,
        config=SRVGGConfig,
        generator=Generator,
        discriminator=UNetDiscriminator,
    )
)
