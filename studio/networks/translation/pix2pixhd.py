"""pix2pixHD (Wang 2018, "High-Resolution Image Synthesis and Semantic Manipulation with Conditional GANs"), its global generator
(Sec. 3.1, G1): the ResNet of CycleGAN with three or more halvings, so that it sees more of a large picture.

Models of it come from elsewhere.
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import nn

from studio.networks.registry import Family, Task, register
from studio.networks.translation.resnet_unet_patchgan import OneWayTranslator, ResnetBlock, ResnetGenerator


@dataclass(frozen=True)
class Pix2PixHDConfig:
    """Hyper-parameters of the generator."""

    resolution: int = 512  # side of the pictures it suits, in pixels
    ngf: int = 64  # channels at full size; they double as the size halves
    halvings: int = 4
    blocks: int = 9  # residual blocks at the smallest size
    input_channels: int = 3  # 1 = grey, 3 = RGB
    output_channels: int = 3

    def __post_init__(self):
        if not 1 <= self.halvings <= 6:
            raise ValueError(f"halvings must be 1 to 6, not {self.halvings}")
        if not 16 <= self.resolution <= 4096 or self.resolution % 2**self.halvings:
            raise ValueError(f"resolution must be a multiple of {2**self.halvings} from 16 to 4096, not {self.resolution}")
        if self.input_channels not in (1, 3) or self.output_channels not in (1, 3):
            raise ValueError("input_channels and output_channels must be 1 or 3")
        if min(self.ngf, self.blocks) < 1:
            raise ValueError("ngf and blocks must be 1 or more")


class GlobalGenerator(ResnetGenerator):
    """(N, C, H, W) in [-1, 1] -> the same, with instance norm; it can be run in pieces like every ResNet generator."""

    def __init__(self, cfg: Pix2PixHDConfig):
        nn.Module.__init__(self)  # its layers are others than those of its base, whose forward pass it has
        self.multiple = 2**cfg.halvings
        w = [cfg.ngf << i for i in range(cfg.halvings + 1)]
        layers = [nn.ReflectionPad2d(3), nn.Conv2d(cfg.input_channels, w[0], 7), nn.InstanceNorm2d(w[0]), nn.ReLU()]
        for a, b in pairwise(w):
            layers += [nn.Conv2d(a, b, 3, stride=2, padding=1), nn.InstanceNorm2d(b), nn.ReLU()]
        layers += [ResnetBlock(w[-1], "instance", dropout=False) for _ in range(cfg.blocks)]
        for a, b in pairwise(reversed(w)):
            up = nn.ConvTranspose2d(a, b, 3, stride=2, padding=1, output_padding=1)
            layers += [up, nn.InstanceNorm2d(b), nn.ReLU()]
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(w[0], cfg.output_channels, 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.model(x).float()


class Generator(OneWayTranslator):
    """A -> B."""

    def __init__(self, cfg: Pix2PixHDConfig):
        super().__init__()
        self.config, self.resolution = cfg, cfg.resolution
        self.G = GlobalGenerator(cfg)
        self.multiple = self.G.multiple


register(
    Family(
        name="pix2pixhd",
        title="pix2pixHD",
        sentence="A pix2pix for large pictures; models of it are brought along, not trained here.",
        task=Task.TRANSLATE,
        config=Pix2PixHDConfig,
        generator=Generator,
        discriminator=None,
        paired=True,
    )
)
