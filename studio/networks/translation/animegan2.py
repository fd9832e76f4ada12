"""AnimeGANv2 (Chen 2020, "AnimeGAN: A Novel Lightweight GAN for Photo Animation", and its second version): photographs into the
style of a drawn film. Its generator, as its port to PyTorch has it: convolutions with layer normalisation, and inverted residual
blocks (Sandler 2018, MobileNetV2) at a quarter of the size.

Models of it come from elsewhere.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from studio.networks.registry import Family, Task, register
from studio.networks.translation.resnet_unet_patchgan import OneWayTranslator


@dataclass(frozen=True)
class AnimeGAN2Config:
    """Hyper-parameters of the generator."""

    resolution: int = 512  # side of the pictures it suits, in pixels
    width: int = 32  # channels at full size; twice, four and eight times as many further in
    blocks: int = 4  # inverted residual blocks
    align_corners: bool = True  # of the bilinear doublings

    def __post_init__(self):
        if not 16 <= self.resolution <= 4096 or self.resolution % 4:
            raise ValueError(f"resolution must be a multiple of 4 from 16 to 4096, not {self.resolution}")
        if min(self.width, self.blocks) < 1:
            raise ValueError("width and blocks must be 1 or more")

    @property
    def input_channels(self) -> int:
        """Channels of the pictures that go in: RGB."""
        return 3

    @property
    def output_channels(self) -> int:
        """Channels of the pictures that come out: RGB."""
        return 3


class ConvNorm(nn.Module):
    """A convolution with mirrored borders, layer normalisation of the whole map, and leaky ReLU where `act`."""

    def __init__(
        self, inside: int, outside: int, kernel_size: int = 3, stride: int = 1, groups: int = 1, bias: bool = False, act: bool = True
    ):
        super().__init__()
        # Before a stride of 2 only the right and lower borders are mirrored: the result has exactly half the size.
        before, after = (0, 1) if stride == 2 else (kernel_size // 2, kernel_size // 2)
        self.mirrored, self.act = (before, after, before, after), act
        self.conv = nn.Conv2d(inside, outside, kernel_size, stride=stride, groups=groups, bias=bias)
        self.norm = nn.GroupNorm(1, outside)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.conv(F.pad(x, self.mirrored, mode="reflect") if any(self.mirrored) else x))
        return F.leaky_relu(x, 0.2) if self.act else x


class InvertedBlock(nn.Module):
    """1x1 to twice the channels, 3x3 of each channel by itself, 1x1; added to what comes in where the width stays."""

    def __init__(self, inside: int, outside: int):
        super().__init__()
        self.widen = ConvNorm(inside, 2 * inside, 1)
        self.each = ConvNorm(2 * inside, 2 * inside, groups=2 * inside, bias=True)
        self.narrow = ConvNorm(2 * inside, outside, 1, act=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.narrow(self.each(self.widen(x)))
        return x + y if y.shape[1] == x.shape[1] else y


class AnimeGenerator(nn.Module):
    """(N, 3, H, W) in [-1, 1] -> the same; H and W multiples of 4."""

    def __init__(self, cfg: AnimeGAN2Config):
        super().__init__()
        w, self.align_corners = cfg.width, cfg.align_corners
        self.to_half = nn.Sequential(ConvNorm(3, w, 7), ConvNorm(w, 2 * w, stride=2), ConvNorm(2 * w, 2 * w))
        self.to_quarter = nn.Sequential(ConvNorm(2 * w, 4 * w, stride=2), ConvNorm(4 * w, 4 * w))
        blocks = [InvertedBlock(4 * w if i == 0 else 8 * w, 8 * w) for i in range(cfg.blocks)]
        self.style = nn.Sequential(ConvNorm(4 * w, 4 * w), *blocks, ConvNorm(8 * w, 4 * w))
        self.at_half = nn.Sequential(ConvNorm(4 * w, 4 * w), ConvNorm(4 * w, 4 * w))
        self.at_full = nn.Sequential(ConvNorm(4 * w, 2 * w), ConvNorm(2 * w, 2 * w), ConvNorm(2 * w, w, 7))
        self.torgb = nn.Conv2d(w, 3, 1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.style(self.to_quarter(self.to_half(x)))
        y = self.at_full(self.doubled(self.at_half(self.doubled(y))))
        return torch.tanh(self.torgb(y))

    def doubled(self, x: torch.Tensor) -> torch.Tensor:
        """Twice the size, bilinear."""
        return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=self.align_corners)


class Generator(OneWayTranslator):
    """A -> B."""

    multiple = 4

    def __init__(self, cfg: AnimeGAN2Config):
        super().__init__()
        self.config, self.resolution = cfg, cfg.resolution
        self.G = AnimeGenerator(cfg)


register(
    Family(
        name="animegan2",
        title="AnimeGANv2",
        sentence="Turns photographs into drawn film; models of it are brought along, not trained here.",
        task=Task.TRANSLATE,
        config=AnimeGAN2Config,
        generator=Generator,
        discriminator=None,
    )
)
