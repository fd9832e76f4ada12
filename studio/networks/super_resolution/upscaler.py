"""Base of the networks that upscale pictures, and shared parts: a convolution, the reach of convolutions, a discriminator.

Code outside this package relies only on the interface `Upscaler` of a family's generator.
"""

import math
from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from studio.networks.layers import normal


class Upscaler(nn.Module):
    """Network that makes a picture `scale` times as wide and high; scale 1 = a restorer, which keeps the size.

    scale: whole number.  resolution: side of the high-resolution training patches; pictures of any size work.
    in_channels: 1 = grey, 3 = RGB, in the output too.  multiple: sides of the input must be multiples of it.
    mirrored_to: pictures are mirrored on the right and below to multiples of it, itself a multiple of `multiple`; 0 = to `multiple`.
    halo: radius in input pixels that an output pixel can depend on, at most: a tile cut out with such a border comes out as it
    does within the whole picture.
    local: whether `halo` is certain, as in networks of convolutions alone; else means or norms of the full picture may count as well.
    untileable: the output depends on the whole picture, so that tiles come out differently, whatever their border.
    """

    config: Any
    scale: int
    resolution: int
    in_channels: int
    multiple: int = 1
    mirrored_to: int = 0
    halo: int
    local: bool = False
    untileable: bool = False

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x: (N, C, H, W) in [-1, 1], H and W multiples of `multiple`.  Returns (N, C, H * scale, W * scale), about [-1, 1],
        not clamped."""
        raise NotImplementedError


class KaimingConv(nn.Conv2d):
    """Convolution with an odd kernel that keeps the size, or halves it with a stride of 2. Weights are initialised with
    N(0, gain^2 * 2 / fan in) (He 2015), biases with 0.

    A gain of 0.1 in residual branches makes deep networks without norms start near the identity (Wang 2018, ESRGAN, supplement).
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 3, stride: int = 1, gain: float = 1.0, bias: bool = True):
        self.gain = gain
        super().__init__(in_channels, out_channels, kernel_size, stride, padding=kernel_size // 2, bias=bias)

    def reset_parameters(self) -> None:
        std = self.gain * math.sqrt(2 / self.weight[0].numel())
        self.weight = nn.Parameter(normal(*self.weight.shape, std=std))
        if self.bias is not None:
            self.bias = nn.Parameter(torch.zeros(self.bias.shape))


def reach(modules: Iterable[nn.Module], density: float = 1.0) -> float:
    """Radius of the receptive field of successive convolutions, in input pixels: the sum of their kernels' radii.

    density: pixels of their feature maps per input pixel.  All convolutions within `modules` are counted, because the longest path
    through a residual or dense block passes all of its convolutions.
    """
    convs = [m for module in modules for m in module.modules() if isinstance(m, nn.Conv2d)]
    return sum(conv.kernel_size[0] // 2 for conv in convs) / density


class UNetDiscriminator(nn.Module):
    """U-Net discriminator with spectral norm: a logit for each pixel (Wang 2021, Real-ESRGAN, Sec. 3.3).

    Three strided convolutions down and three upsamplings, with additive skip connections.
    cfg: of a family that upscales; only img_channels and ndf, the channels at full size, are read.
    """

    def __init__(self, cfg: Any):
        super().__init__()
        self.config, width = cfg, cfg.ndf

        def conv(before: int, after: int, kernel_size: int = 3, stride: int = 1) -> nn.Module:
            return spectral_norm(nn.Conv2d(before, after, kernel_size, stride, padding=1, bias=False))

        self.conv0 = nn.Conv2d(cfg.img_channels, width, 3, padding=1)
        self.conv1 = conv(width, 2 * width, 4, 2)
        self.conv2 = conv(2 * width, 4 * width, 4, 2)
        self.conv3 = conv(4 * width, 8 * width, 4, 2)
        self.conv4 = conv(8 * width, 4 * width)
        self.conv5 = conv(4 * width, 2 * width)
        self.conv6 = conv(2 * width, width)
        self.conv7 = conv(width, width)
        self.conv8 = conv(width, width)
        self.conv9 = nn.Conv2d(width, 1, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x: (N, C, H, W) in [-1, 1], H and W multiples of 8.  Returns (N, 1, H, W) logits."""
        maps = [F.leaky_relu(self.conv0(x), 0.2)]
        for down in (self.conv1, self.conv2, self.conv3):
            maps.append(F.leaky_relu(down(maps[-1]), 0.2))
        y = maps.pop()
        for up in (self.conv4, self.conv5, self.conv6):
            y = F.interpolate(y, scale_factor=2, mode="bilinear", align_corners=False)
            y = F.leaky_relu(up(y), 0.2) + maps.pop()
        y = F.leaky_relu(self.conv8(F.leaky_relu(self.conv7(y), 0.2)), 0.2)
        return self.conv9(y).float()


def check_upscaler(cfg: Any, scales: tuple[int, ...], patch_multiple: int) -> None:
    """Check hyper-parameters. Raises ValueError for those that no upscaler can be built from.

    scales: supported by the family.  patch_multiple: the discriminator needs sides of patches to be multiples of it.
    """
    if cfg.scale not in scales:
        raise ValueError(f"scale must be one of {', '.join(map(str, scales))}, not {cfg.scale}")
    if cfg.img_channels not in (1, 3):
        raise ValueError(f"img_channels must be 1 or 3, not {cfg.img_channels}")
    patch = math.lcm(patch_multiple, cfg.scale)
    if not 16 <= cfg.resolution <= 4096 or cfg.resolution % patch:
        raise ValueError(f"resolution must be a multiple of {patch} from 16 to 4096, not {cfg.resolution}")
