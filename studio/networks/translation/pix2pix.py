"""pix2pix (Isola 2017, "Image-to-Image Translation with Conditional Adversarial Networks"): one direction, from pairs.

A pair may also be made from one picture: its grey version or its outlines as the input, the picture itself as the target.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from studio.networks.registry import Family, Task, register
from studio.networks.translation.resnet_unet_patchgan import OneWayTranslator, check_translator, make_discriminator, make_generator

TRANSFORMS = ("none", "grey", "edges")
_WIDE = 1.6  # sigma of the wider blur of `edges`, as a multiple of the narrower one's
_LUMA = (0.299, 0.587, 0.114)  # brightness of red, green and blue (ITU-R BT.601)


@dataclass(frozen=True)
class Pix2PixConfig:
    """Hyper-parameters of the generator and the discriminator."""

    resolution: int = 256  # side of the training pictures, in pixels
    net: str = "unet_256"  # or 'unet_64', 'unet_128', 'unet_512', 'resnet_9blocks' and others of 3 to 12 blocks
    ngf: int = 64  # channels of the generator at half of the size (U-Net) or at full size (ResNet)
    ndf: int = 64  # of the discriminator's first layer
    norm: str = "instance"  # or 'instance_affine', 'none', 'batch'; with one picture per step batch norm uses its statistics as well
    upsampling: str = "transposed"  # as in the paper, 'resize': no checkerboards (Odena 2016), 'resize_zero', 'antialias'
    dropout: bool = True  # within the generator, in training only: inference is deterministic
    discriminator: str = "patch"  # or 'pixel'
    n_layers: int = 3  # strided convolutions of the patch discriminator; 3 = a receptive field of 70x70 pixels
    input_channels: int = 3  # 1 = grey, 3 = RGB
    output_channels: int = 3
    transform: str = "none"  # applied to the input picture: 'grey' (for colouring in), 'edges' (for filling line art)
    downsampling: str = "strided"  # convolutions, or of a ResNet 'strided_reflect' (over mirrored borders), 'antialias' (Zhang 2019)
    padding: str = "reflect"  # within the blocks of a ResNet, or 'zero'

    def __post_init__(self):
        check_translator(self)
        if self.transform not in TRANSFORMS:
            raise ValueError(f"transform must be one of {', '.join(TRANSFORMS)}, not {self.transform!r}")


def grey(x: torch.Tensor) -> torch.Tensor:
    """Brightness of (N, 3, H, W) or (N, 1, H, W) -> (N, 1, H, W), in the same range."""
    if x.shape[1] == 1:
        return x
    return (x * x.new_tensor(_LUMA)[:, None, None]).sum(dim=1, keepdim=True)


def edges(x: torch.Tensor, sigma: float = 1.0, sharpness: float = 30.0) -> torch.Tensor:
    """Line drawing of (N, C, H, W) in [-1, 1]: dark lines on white, (N, 1, H, W) in [-1, 1].

    A pixel darker than its surroundings becomes ink: 1 - tanh(sharpness * max(0, g_k - g)), with the brightness in [0, 1]
    blurred by Gaussians of `sigma` (g) and 1.6 `sigma` pixels (g_k). This is the difference of Gaussians of Winnemöller 2012
    (XDoG, Sec. 2) without its ground tone. A thin line stays a single line, so drawings work as inputs too.
    """
    light = (grey(x) + 1) / 2
    ink = (sharpness * (_blur(light, _WIDE * sigma) - _blur(light, sigma)).clamp(min=0)).tanh()
    return 1 - 2 * ink


def _reach(sigma: float) -> int:
    """Radius of a blur in pixels."""
    return math.ceil(3 * sigma)


def _blur(x: torch.Tensor, sigma: float) -> torch.Tensor:
    """Gaussian blur of (N, 1, H, W), cut off at three sigmas; the border is repeated."""
    reach = _reach(sigma)
    taps = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, device=x.device, dtype=x.dtype) / sigma) ** 2)
    taps = taps / taps.sum()
    x = F.pad(x, (reach,) * 4, mode="replicate")
    return F.conv2d(F.conv2d(x, taps.reshape(1, 1, 1, -1)), taps.reshape(1, 1, -1, 1))


class Generator(OneWayTranslator):
    """Generator A -> B. Its input is prepared by the config's transform."""

    def __init__(self, cfg: Pix2PixConfig):
        super().__init__()
        self.config, self.resolution = cfg, cfg.resolution
        self.G = make_generator(cfg, cfg.input_channels, cfg.output_channels)
        self.multiple = self.G.multiple
        self.reach = _reach(_WIDE) if cfg.transform == "edges" else 0

    def prepare(self, x: torch.Tensor) -> torch.Tensor:
        """Picture (N, input_channels, H, W) -> the network's input, of the same shape."""
        if self.config.transform == "none":
            return x
        return (grey(x) if self.config.transform == "grey" else edges(x)).expand(-1, self.config.input_channels, -1, -1)


class Discriminator(nn.Module):
    """Conditional discriminator: judges an output concatenated with its input (Isola 2017, Eq. 1)."""

    def __init__(self, cfg: Pix2PixConfig):
        super().__init__()
        self.config = cfg
        self.D = make_discriminator(cfg.discriminator, cfg.input_channels + cfg.output_channels, cfg.ndf, cfg.n_layers, cfg.norm)

    def forward(self, given: torch.Tensor, answer: torch.Tensor) -> torch.Tensor:
        """given: (N, input_channels, H, W), prepared.  answer: (N, output_channels, H, W).  Returns (N, 1, H', W') logits."""
        return self.D(torch.cat([given, answer], dim=1))


register(
    Family(
        name="pix2pix",
        title="pix2pix",
        sentence="Learns from pairs what each picture should become; pick it for colouring in, filling line art, and maps into views.",
        task=Task.TRANSLATE,
        config=Pix2PixConfig,
        generator=Generator,
        discriminator=Discriminator,
        paired=True,
    )
)
