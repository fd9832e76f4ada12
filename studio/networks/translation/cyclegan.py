"""CycleGAN (Zhu 2017, "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks").

With directions 'AtoB' it is also the network of CUT (Park 2020, "Contrastive Learning for Unpaired Image-to-Image
Translation"), which learns one direction alone.
"""

from dataclasses import dataclass

import torch
from torch import nn

from studio.networks.registry import Family, Task, register
from studio.networks.translation.resnet_unet_patchgan import (
    DIRECTIONS,
    NORMS,
    Translator,
    check_translator,
    make_discriminator,
    make_generator,
)


@dataclass(frozen=True)
class CycleGANConfig:
    """Hyper-parameters of the generators and the discriminators."""

    resolution: int = 256  # side of the training pictures, in pixels
    net: str = "resnet_9blocks"  # or of 3 to 12 blocks; 'unet_64', 'unet_128', 'unet_256', 'unet_512'
    ngf: int = 64  # channels of the generators at full size (ResNet) or at half of it (U-Net)
    ndf: int = 64  # of the discriminators' first layer
    norm: str = "instance"  # or 'instance_affine' (with weights of its own), 'batch', 'none'
    upsampling: str = "transposed"  # as in the paper, 'resize': no checkerboards (Odena 2016), 'resize_zero', 'antialias'
    dropout: bool = False  # in training, within the generators
    discriminator: str = "patch"  # or 'pixel'
    n_layers: int = 3  # strided convolutions of the patch discriminator; 3 = a receptive field of 70x70 pixels
    input_channels: int = 3  # of side A: 1 = grey, 3 = RGB
    output_channels: int = 3  # of side B
    directions: str = "both"  # or 'AtoB'
    d_norm: str = ""  # of the discriminators, '' = as norm; 'none': they see absolute colour strength, which a norm cancels
    downsampling: str = "strided"  # convolutions, or of a ResNet 'strided_reflect' (over mirrored borders), 'antialias' (Zhang 2019)
    padding: str = "reflect"  # within the blocks of a ResNet, or 'zero'

    def __post_init__(self):
        check_translator(self)
        if self.d_norm not in ("", *NORMS):
            raise ValueError(f"d_norm must be {', '.join(NORMS)} or empty, not {self.d_norm!r}")
        if self.directions not in ("both", "AtoB"):
            raise ValueError(f"directions must be both or AtoB, not {self.directions!r}")


class Generator(Translator):
    """Generators A -> B and, with both directions, B -> A."""

    def __init__(self, cfg: CycleGANConfig):
        super().__init__()
        self.config, self.resolution = cfg, cfg.resolution
        self.directions = DIRECTIONS if cfg.directions == "both" else DIRECTIONS[:1]
        self.G_A2B = make_generator(cfg, cfg.input_channels, cfg.output_channels)
        if cfg.directions == "both":
            self.G_B2A = make_generator(cfg, cfg.output_channels, cfg.input_channels)
        self.multiple = self.G_A2B.multiple

    def generator(self, direction: str) -> nn.Module:
        """The network of one direction."""
        return self.G_A2B if direction == "AtoB" else self.G_B2A


class Discriminator(nn.Module):
    """Discriminators of side B and, with both directions, of side A."""

    def __init__(self, cfg: CycleGANConfig):
        super().__init__()
        self.config = cfg
        shape = (cfg.ndf, cfg.n_layers, cfg.d_norm or cfg.norm)
        self.D_B = make_discriminator(cfg.discriminator, cfg.output_channels, *shape)
        if cfg.directions == "both":
            self.D_A = make_discriminator(cfg.discriminator, cfg.input_channels, *shape)

    def forward(self, x: torch.Tensor, side: str) -> torch.Tensor:
        """x: (N, C, H, W) in [-1, 1].  side: 'A' or 'B'.  Returns (N, 1, H', W') logits, one for each patch."""
        return (self.D_B if side == "B" else self.D_A)(x)


register(
    Family(
        name="cyclegan",
        title="CycleGAN",
        sentence="Turns pictures of one kind into another and back, learned from two unpaired sets; pick it to change a style.",
        task=Task.TRANSLATE,
        config=CycleGANConfig,
        generator=Generator,
        discriminator=Discriminator,
    )
)
