"""Networks for image translation: ResNet and U-Net generators, PatchGAN and pixel discriminators.

The sequences are numbered as in the papers' published code (model.0, model.1, ...), so that published weights fit by name.
Code outside this package relies only on the interface `Translator` of a family's generator: `directions`, `multiple`,
`resolution`, `config`, and `forward(picture, direction)`.
"""

import re
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import nn

from studio.networks.layers import BatchNorm, NormalConv, NormalTransposedConv

NETS = ("resnet_6blocks", "resnet_9blocks", "unet_128", "unet_256")  # of the papers; others have 3 to 12 blocks, or are 64 or 512
BLOCKS = range(3, 13)  # of a ResNet
HALVINGS = range(6, 10)  # of a U-Net
NORMS = ("instance", "instance_affine", "batch", "none")
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


class OneWayTranslator(Translator):
    """Picture of side A -> picture of side B, by the network `G`."""

    directions = DIRECTIONS[:1]
    G: nn.Module

    def generator(self, direction: str) -> nn.Module:
        """The network of its one direction."""
        return self.G


# -- layers ------------------------------------------------------------------------------------------------------------


class ResizeConv(NormalConv):
    """Nearest-neighbour doubling, then a 3x3 convolution: no checkerboards (Odena 2016).  padding_mode: 'reflect' or 'zeros'."""

    def __init__(self, in_channels: int, out_channels: int, bias: bool, padding_mode: Literal["reflect", "zeros"] = "reflect"):
        super().__init__(in_channels, out_channels, 3, padding=1, padding_mode=padding_mode, bias=bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(F.interpolate(x, scale_factor=2, mode="nearest"))


class SmoothHalving(nn.Module):
    """Half the size without aliasing: a binomial filter (1, 2, 1) over mirrored borders, then each second pixel (Zhang 2019)."""

    taps = (1, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.halved(F.pad(x, (1, 1, 1, 1), mode="reflect"))

    def halved(self, x: torch.Tensor) -> torch.Tensor:
        """x: (N, C, H, W) with its border of one pixel.  Returns (N, C, (H - 1) // 2, (W - 1) // 2)."""
        weight = x.new_tensor(self.taps) / sum(self.taps)
        weight = weight[:, None] * weight
        return F.conv2d(x, weight.expand(x.shape[1], 1, -1, -1), stride=2, groups=x.shape[1])


class SmoothDoubling(nn.Module):
    """Twice the size: zeros in between, then a binomial filter (1, 3, 3, 1) over repeated borders, which is bilinear interpolation."""

    taps = (1, 3, 3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def _norm(name: str, channels: int) -> nn.Module:
    """Norm layer: one of NORMS. Instance norm (Ulyanov 2016) has weights where it is 'instance_affine'."""
    if name == "none":
        return nn.Identity()
    return BatchNorm(channels, _STD) if name == "batch" else nn.InstanceNorm2d(channels, affine=name == "instance_affine")


def _has_bias(norm: str) -> bool:
    """Whether a convolution before this norm has a bias: BatchNorm has its own."""
    return norm != "batch"


def _up(upsampling: str, in_channels: int, out_channels: int, kernel_size: int, bias: bool) -> nn.Module:
    """Layer that doubles the size and convolves."""
    if upsampling.startswith("resize"):
        return ResizeConv(in_channels, out_channels, bias, "zeros" if upsampling == "resize_zero" else "reflect")
    # The output padding makes the size exactly double for an odd kernel.
    return NormalTransposedConv(in_channels, out_channels, kernel_size, stride=2, padding=1, output_padding=kernel_size % 2, bias=bias)


# -- generators --------------------------------------------------------------------------------------------------------


class ResnetBlock(nn.Module):
    """Residual block: x + two 3x3 convolutions of x.  padding: 'reflect' or 'zero'."""

    def __init__(self, channels: int, norm: str, dropout: bool, padding: str = "reflect"):
        super().__init__()
        mirror = [nn.ReflectionPad2d(1)] if padding == "reflect" else []
        bias, zeros = _has_bias(norm), 0 if mirror else 1
        self.conv_block = nn.Sequential(
            *mirror,
            NormalConv(channels, channels, 3, padding=zeros, bias=bias),
            _norm(norm, channels),
            nn.ReLU(),
            *([nn.Dropout(0.5)] if dropout else []),
            *mirror,
            NormalConv(channels, channels, 3, padding=zeros, bias=bias),
            _norm(norm, channels),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.conv_block(x)


class ResnetGenerator(nn.Module):
    """ResNet generator: down twice, residual blocks, up twice (Johnson 2016; Zhu 2017, App. 7.2).

    Anti-aliased, a convolution at full size comes before each halving and after each doubling (Zhang 2019, "Making Convolutional
    Networks Shift-Invariant Again"; the choice of Park 2020).
    """

    multiple = 4

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        width: int,  # channels at full size; they double as the size halves
        blocks: int,  # 6 for 128 px, 9 for 256 px in the paper
        norm: str = "instance",  # one of NORMS
        upsampling: str = "transposed",  # convolutions, 'resize', 'resize_zero' (with zeros around the map) or 'antialias'
        dropout: bool = False,  # within the blocks
        downsampling: str = "strided",  # convolutions, 'strided_reflect' (over mirrored borders) or 'antialias'
        padding: str = "reflect",  # within the blocks, or 'zero'
    ):
        super().__init__()
        bias = _has_bias(norm)
        layers = [nn.ReflectionPad2d(3), NormalConv(in_channels, width, 7, bias=bias), _norm(norm, width), nn.ReLU()]
        smooth, mode = downsampling == "antialias", "reflect" if downsampling == "strided_reflect" else "zeros"
        halvings = []
        for c in (width, 2 * width):
            halvings.append(len(layers))
            conv = NormalConv(c, 2 * c, 3, stride=1 if smooth else 2, padding=1, padding_mode=mode, bias=bias)
            layers += [conv, _norm(norm, 2 * c), nn.ReLU(), *([SmoothHalving()] if smooth else [])]
        first = len(layers)
        layers += [ResnetBlock(4 * width, norm, dropout, padding) for _ in range(blocks)]
        for c in (4 * width, 2 * width):
            if upsampling == "antialias":
                layers += [SmoothDoubling(), NormalConv(c, c // 2, 3, padding=1, bias=bias)]
            else:
                layers.append(_up(upsampling, c, c // 2, 3, bias))
            layers += [_norm(norm, c // 2), nn.ReLU()]
        layers += [nn.ReflectionPad2d(3), NormalConv(width, out_channels, 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)
        # For contrastive learning: the pixels, both downsamplings, the first and the fifth block (Park 2020, App. B.1).
        self.feature_layers = (0, *halvings, first, first + min(4, blocks - 1))
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
        bias = _has_bias(norm)
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
        norm: str = "batch",  # or another of NORMS
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


def make_generator(cfg: Any, in_channels: int, out_channels: int) -> ResnetGenerator | UnetGenerator:
    """The generator that the config of a family of translators describes."""
    design, size = net_parts(cfg.net)
    shape = (cfg.ngf, size, cfg.norm, cfg.upsampling, cfg.dropout)
    if design == "resnet":
        return ResnetGenerator(in_channels, out_channels, *shape, cfg.downsampling, cfg.padding)
    return UnetGenerator(in_channels, out_channels, *shape)


def net_parts(net: str) -> tuple[str, int]:
    """'resnet_9blocks' -> ('resnet', 9 blocks), 'unet_256' -> ('unet', 8 halvings).  Raises ValueError for no name of a network."""
    found = re.fullmatch(r"resnet_(\d{1,2})blocks|unet_(\d{2,3})", net)
    if found and found.group(1) and int(found.group(1)) in BLOCKS:
        return "resnet", int(found.group(1))
    if found and found.group(2) and int(found.group(2)) in [2**n for n in HALVINGS]:
        return "unet", int(found.group(2)).bit_length() - 1
    raise ValueError(f"net must be one of {', '.join(NETS)}, or another of 3 to 12 blocks or for 64 or 512 px, not {net!r:.60}")


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
    design, size = net_parts(cfg.net)
    resnet = design == "resnet"
    choices = dict(
        norm=NORMS,
        upsampling=("transposed", "resize", *(("resize_zero", "antialias") if resnet else ())),
        downsampling=("strided", *(("strided_reflect", "antialias") if resnet else ())),
        padding=("reflect", *(("zero",) if resnet else ())),
        discriminator=("patch", "pixel"),
    )
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
    multiple = 4 if resnet else 2**size
    if not 16 <= cfg.resolution <= 4096 or cfg.resolution % multiple:
        raise ValueError(f"resolution must be a multiple of {multiple} from 16 to 4096 for {cfg.net}, not {cfg.resolution}")
    if cfg.discriminator == "patch" and cfg.resolution < 3 * 2**cfg.n_layers:
        raise ValueError(f"a discriminator of {cfg.n_layers} layers needs pictures of {3 * 2**cfg.n_layers} px or more")
