"""Networks for image translation: ResNet and U-Net generators, PatchGAN and pixel discriminators.

The sequences are numbered as in the papers' published code (model.0, model.1, ...), so that published weights fit by name.
Code outside this package relies only on the interface `Translator` of a family's generator: `directions`, `multiple`,
`resolution`, `config`, and `forward(picture, direction)`.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from studio.networks.generative.dcgan import (  # initialised with N(0, 0.02^2), as here (Zhu 2017, App. 7.1; Isola 2017, App. 6.2)
    NormalConv,
    NormalTransposedConv,
)
from studio.networks.layers import BatchNorm

NETS = ("resnet_6blocks", "resnet_9blocks", "unet_128", "unet_256")
DIRECTIONS = ("AtoB", "BtoA")
_STD = 0.02  # of all initial weights (Zhu 2017, App. 7.1; Isola 2017, App. 6.2)


class Translator(nn.Module):
    """Network that translates pictures.

    directions: the supported ones of DIRECTIONS.  multiple: sides of a picture must be multiples of it.
    resolution: side of the training pictures; other sizes work too.
    reach: radius in pixels of what `prepare` looks at.
    """

    config: Any
    directions: tuple[str, ...]
    multiple: int
    resolution: int
    reach: int = 0

    def forward(self, x: torch.Tensor, direction: str = "AtoB") -> torch.Tensor:
        """x: (N, C, H, W) in [-1, 1], H and W multiples of `multiple`.  Returns (N, C', H, W) in [-1, 1]."""
        assert direction in self.directions, direction
        return self.generator(direction)(self.prepare(x))

    def generator(self, direction: str) -> nn.Module:
        """The network of one direction."""
        raise NotImplementedError

    def prepare(self, x: torch.Tensor) -> torch.Tensor:
        """Picture -> the generator's input, of the same shape."""
        return x

    def channels(self, direction: str) -> int:
        """Channels of the input pictures: 1 = grey, 3 = RGB."""
        return self.config.input_channels if direction == "AtoB" else self.config.output_channels


# -- layers ------------------------------------------------------------------------------------------------------------


class ResizeConv(NormalConv):
    """Nearest-neighbour doubling, then a 3x3 convolution: no checkerboards (Odena 2016)."""

    def __init__(self, in_channels: int, out_channels: int, bias: bool):
        super().__init__(in_channels, out_channels, 3, padding=1, padding_mode="reflect", bias=bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(F.interpolate(x, scale_factor=2, mode="nearest"))


def _norm(name: str, channels: int) -> nn.Module:
    """Norm layer: 'batch', 'none', or 'instance' (Ulyanov 2016), which has no weights here."""
    if name == "none":
        return nn.Identity()
    return BatchNorm(channels, _STD) if name == "batch" else nn.InstanceNorm2d(channels)


def _up(upsampling: str, in_channels: int, out_channels: int, kernel_size: int, bias: bool) -> nn.Module:
    """Layer that doubles the size."""
    if upsampling == "resize":
        return ResizeConv(in_channels, out_channels, bias)
    # The output padding makes the size exactly double for an odd kernel.
    return NormalTransposedConv(in_channels, out_channels, kernel_size, stride=2, padding=1, output_padding=kernel_size % 2, bias=bias)


# -- generators --------------------------------------------------------------------------------------------------------


class ResnetBlock(nn.Module):
    """Residual block: x + two 3x3 convolutions of x."""

    def __init__(self, channels: int, norm: str, dropout: bool):
        super().__init__()
        bias = norm == "instance"  # BatchNorm has its own
        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(1),
            NormalConv(channels, channels, 3, bias=bias),
            _norm(norm, channels),
            nn.ReLU(),
            *([nn.Dropout(0.5)] if dropout else []),
            nn.ReflectionPad2d(1),
            NormalConv(channels, channels, 3, bias=bias),
            _norm(norm, channels),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.conv_block(x)


class ResnetGenerator(nn.Module):
    """ResNet generator: down twice, residual blocks, up twice (Johnson 2016; Zhu 2017, App. 7.2)."""

    multiple = 4

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        width: int,  # channels at full size; they double as the size halves
        blocks: int,  # 6 for 128 px, 9 for 256 px in the paper
        norm: str = "instance",  # or 'batch'
        upsampling: str = "transposed",  # convolutions, or 'resize'
        dropout: bool = False,  # within the blocks
    ):
        super().__init__()
        bias = norm == "instance"
        layers = [nn.ReflectionPad2d(3), NormalConv(in_channels, width, 7, bias=bias), _norm(norm, width), nn.ReLU()]
        for c in (width, 2 * width):
            layers += [NormalConv(c, 2 * c, 3, stride=2, padding=1, bias=bias), _norm(norm, 2 * c), nn.ReLU()]
        layers += [ResnetBlock(4 * width, norm, dropout) for _ in range(blocks)]
        for c in (4 * width, 2 * width):
            layers += [_up(upsampling, c, c // 2, 3, bias), _norm(norm, c // 2), nn.ReLU()]
        layers += [nn.ReflectionPad2d(3), NormalConv(width, out_channels, 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)
        # For contrastive learning: the pixels, both downsamplings, the first and the fifth block (Park 2020, App. B.1).
        self.feature_layers = (0, 4, 7, 10, 14)
        self.feature_channels = (in_channels, 2 * width, 4 * width, 4 * width, 4 * width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.model(x).float()

    def features(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Feature maps of x (N, C, H, W) after each of `feature_layers`."""
        maps = []
        for i, layer in enumerate(self.model[: self.feature_layers[-1] + 1]):
            x = layer(x)
            if i in self.feature_layers:
                maps.append(x)
        return maps


class UnetBlock(nn.Module):
    """One level of the U-Net: down, the level below, up; the input is concatenated with the output.

    below: the next level, None = this is the innermost one.  in_channels: only for the outermost level, which ends in tanh.
    """

    def __init__(
        self, outer: int, inner: int, below: nn.Module | None, norm: str, upsampling: str, dropout: bool, in_channels: int | None = None
    ):
        super().__init__()
        bias = norm == "instance"
        self.outermost = in_channels is not None
        wide = inner if below is None else 2 * inner
        down = NormalConv(outer if in_channels is None else in_channels, inner, 4, stride=2, padding=1, bias=bias)
        up = _up(upsampling, wide, outer, 4, bias or self.outermost)
        if self.outermost:
            layers = [down, below, nn.ReLU(), up, nn.Tanh()]
        elif below is None:
            layers = [nn.LeakyReLU(0.2), down, nn.ReLU(), up, _norm(norm, outer)]
        else:
            layers = [nn.LeakyReLU(0.2), down, _norm(norm, inner), below, nn.ReLU(), up, _norm(norm, outer)]
            layers += [nn.Dropout(0.5)] if dropout else []
        self.model = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.model(x)
        return y.float() if self.outermost else torch.cat([x, y], dim=1)


class UnetGenerator(nn.Module):
    """U-Net generator: `downs` downsamplings (2**downs pixels become one) and as many upsamplings, with a skip connection at each
    size (Isola 2017, Sec. 3.2.1 and App. 6.1.1).

    dropout: at the levels with the most channels except the innermost, in training only.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        width: int,  # channels at half the size; they double as the size halves, up to eight times as many
        downs: int,  # 7 for 128 px, 8 for 256 px
        norm: str = "batch",  # or 'instance'
        upsampling: str = "transposed",  # convolutions, or 'resize'
        dropout: bool = False,
    ):
        super().__init__()
        self.multiple = 2**downs
        block = UnetBlock(8 * width, 8 * width, None, norm, upsampling, False)
        for _ in range(downs - 5):
            block = UnetBlock(8 * width, 8 * width, block, norm, upsampling, dropout)
        for c in (4 * width, 2 * width, width):
            block = UnetBlock(c, 2 * c, block, norm, upsampling, False)
        self.model = UnetBlock(out_channels, width, block, norm, upsampling, False, in_channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.model(x)


def make_generator(
    net: str, in_channels: int, out_channels: int, width: int, norm: str, upsampling: str, dropout: bool
) -> ResnetGenerator | UnetGenerator:
    """Build one of NETS."""
    design, size = net.split("_")
    if design == "resnet":
        return ResnetGenerator(in_channels, out_channels, width, int(size.removesuffix("blocks")), norm, upsampling, dropout)
    return UnetGenerator(in_channels, out_channels, width, int(size).bit_length() - 1, norm, upsampling, dropout)


# -- discriminators ----------------------------------------------------------------------------------------------------


class PatchDiscriminator(nn.Module):
    """PatchGAN: a logit for each overlapping patch (Isola 2017, Sec. 3.2.2 and App. 6.1.2).

    `n_layers` strided convolutions, then two without stride; with n_layers = 3 the receptive field is 70x70 pixels.
    """

    def __init__(self, in_channels: int, width: int, n_layers: int = 3, norm: str = "instance"):
        super().__init__()
        bias = norm != "batch"
        layers = [NormalConv(in_channels, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        for n in range(1, n_layers + 1):
            before, after = width * min(2 ** (n - 1), 8), width * min(2**n, 8)
            conv = NormalConv(before, after, 4, stride=2 if n < n_layers else 1, padding=1, bias=bias)
            layers += [conv, _norm(norm, after), nn.LeakyReLU(0.2)]
        self.model = nn.Sequential(*layers, NormalConv(width * min(2**n_layers, 8), 1, 4, padding=1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x: (N, C, H, W) in [-1, 1].  Returns (N, 1, H', W') logits, H' = H / 2**n_layers - 2."""
        return self.model(x).float()


class PixelDiscriminator(nn.Module):
    """PixelGAN: a logit for each pixel from its colour alone (Isola 2017, App. 6.1.2, '1x1')."""

    def __init__(self, in_channels: int, width: int, norm: str = "instance"):
        super().__init__()
        bias = norm != "batch"
        self.net = nn.Sequential(
            NormalConv(in_channels, width, 1),
            nn.LeakyReLU(0.2),
            NormalConv(width, 2 * width, 1, bias=bias),
            _norm(norm, 2 * width),
            nn.LeakyReLU(0.2),
            NormalConv(2 * width, 1, 1, bias=bias),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x: (N, C, H, W) in [-1, 1].  Returns (N, 1, H, W) logits."""
        return self.net(x).float()


def make_discriminator(design: str, in_channels: int, width: int, n_layers: int, norm: str) -> nn.Module:
    """Build a discriminator.  design: 'patch' or 'pixel'."""
    if design == "pixel":
        return PixelDiscriminator(in_channels, width, norm)
    return PatchDiscriminator(in_channels, width, n_layers, norm)


# -- checks of both configs --------------------------------------------------------------------------------------------


def check_translator(cfg: Any) -> None:
    """Check hyper-parameters. Raises ValueError for those that no network can be built from."""
    choices = dict(net=NETS, norm=("instance", "batch"), upsampling=("transposed", "resize"), discriminator=("patch", "pixel"))
    for name, allowed in choices.items():
        if getattr(cfg, name) not in allowed:
            raise ValueError(f"{name} must be one of {', '.join(allowed)}, not {getattr(cfg, name)!r}")
    for name in ("input_channels", "output_channels"):
        if getattr(cfg, name) not in (1, 3):
            raise ValueError(f"{name} must be 1 or 3, not {getattr(cfg, name)}")
    if min(cfg.ngf, cfg.ndf) < 1:
        raise ValueError("ngf and ndf must be 1 or more")
    if not 1 <= cfg.n_layers <= 5:
        raise ValueError(f"n_layers must be 1 to 5, not {cfg.n_layers}")
    multiple = int(cfg.net.split("_")[1]) if cfg.net.startswith("unet") else 4
    if not 16 <= cfg.resolution <= 4096 or cfg.resolution % multiple:
        raise ValueError(f"resolution must be a multiple of {multiple} from 16 to 4096 for {cfg.net}, not {cfg.resolution}")
    if cfg.discriminator == "patch" and cfg.resolution < 3 * 2**cfg.n_layers:
        raise ValueError(f"a discriminator of {cfg.n_layers} layers needs pictures of {3 * 2**cfg.n_layers} px or more")
