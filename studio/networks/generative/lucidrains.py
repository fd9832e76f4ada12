"""StyleGAN2 as the stylegan2-pytorch package of lucidrains has it: the paper's mapping and modulated convolutions, but bilinear doublings,
noise of each channel's own strength, attention where it was asked for, and pictures in [0, 1].

It can be explored and mixed; models of it come from elsewhere.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from studio.networks.generative.latent_generator import LatentGenerator, Step, SteppedSynthesis
from studio.networks.layers import normal
from studio.networks.registry import Family, Task, register

_HEADS, _HEAD_WIDTH = 8, 64  # of the attention


@dataclass(frozen=True)
class LucidrainsConfig:
    """Hyper-parameters of the generator; the defaults are those of the package."""

    resolution: int = 128  # side of the picture in pixels, a power of two from 8 to 2048
    w_dim: int = 512  # of z as well
    mapping_layers: int = 8
    mapping_lr_multiplier: float = 0.1  # weights and biases are used times it
    capacity: int = 16  # channels of block i of n are min(capacity * 2^(n - i), channel_max)
    channel_max: int = 512
    attention: tuple[int, ...] = ()  # blocks, counted from 0, that have attention before them
    transparent: bool = False  # pictures have a fourth channel, how opaque they are; here they are shown on white
    no_const: bool = False  # what the first block gets is made of w, by a row of its own, and not learned as it is

    def __post_init__(self):
        r = self.resolution
        if not (isinstance(r, int) and 8 <= r <= 2048 and r & (r - 1) == 0):
            raise ValueError(f"resolution must be a power of two from 8 to 2048, not {r}")
        if min(self.w_dim, self.mapping_layers, self.capacity, self.channel_max) < 1:
            raise ValueError("w_dim, mapping_layers, capacity and channel_max must be at least 1")
        object.__setattr__(self, "attention", tuple(self.attention))  # JSON has lists
        if any(i not in range(self.blocks) for i in self.attention):
            raise ValueError(f"attention must name blocks from 0 to {self.blocks - 1}")

    @property
    def c_dim(self) -> int:
        """Number of classes: that code has none."""
        return 0

    @property
    def blocks(self) -> int:
        """How many blocks there are, of 4, 8, ..., resolution pixels."""
        return int(math.log2(self.resolution)) - 1

    @property
    def num_ws(self) -> int:
        """Rows of ws: one a block, and before them one for what the first block gets, where that is made of w."""
        return self.blocks + self.no_const

    def channels(self, block: int) -> int:
        """Feature channels that a block puts out; what the first one gets has as many."""
        return min(self.capacity * 2 ** (self.blocks - max(block, 0)), self.channel_max)


class Mapping(nn.Module):
    """z on the unit sphere -> w, the same in each row. There is no class."""

    w_avg: torch.Tensor

    def __init__(self, cfg: LucidrainsConfig):
        super().__init__()
        self.z_dim = self.w_dim = cfg.w_dim
        self.c_dim, self.num_ws, self.num_layers, self.lr_multiplier = 0, cfg.num_ws, cfg.mapping_layers, cfg.mapping_lr_multiplier
        for i in range(cfg.mapping_layers):
            setattr(self, f"fc{i}", nn.Linear(cfg.w_dim, cfg.w_dim))
        self.register_buffer("w_avg", torch.zeros(cfg.w_dim))

    def forward(
        self, z: torch.Tensor, c: torch.Tensor | None = None, truncation_psi: float = 1.0, truncation_cutoff: int | None = None
    ) -> torch.Tensor:
        """z: (N, z_dim), N(0, 1).  Returns ws (N, num_ws, w_dim).  c is not read."""
        x = F.normalize(z.float(), dim=1)
        for i in range(self.num_layers):
            fc = getattr(self, f"fc{i}")
            x = F.leaky_relu(F.linear(x, fc.weight * self.lr_multiplier, fc.bias * self.lr_multiplier), 0.2)
        return self.truncate(x.unsqueeze(1).repeat(1, self.num_ws, 1), truncation_psi, truncation_cutoff)

    def truncate(self, ws: torch.Tensor, psi: float = 1.0, cutoff: int | None = None) -> torch.Tensor:
        """Move rows [0, cutoff) of ws (N, num_ws, w_dim) towards the mean of w."""
        if psi == 1:
            return ws
        ws = ws.clone()
        ws[:, :cutoff] = self.w_avg.lerp(ws[:, :cutoff], psi)
        return ws


class ModulatedConv(nn.Module):
    """A convolution whose input channels are scaled by 1 + style, and its output channels to unit weights where `demodulate`."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, w_dim: int, demodulate: bool = True):
        super().__init__()
        self.demodulate = demodulate
        self.style = nn.Linear(w_dim, in_channels)
        std = 1 / math.sqrt(in_channels * kernel_size**2)
        self.weight = nn.Parameter(normal(out_channels, in_channels, kernel_size, kernel_size, std=std))

    def forward(self, x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        """x: (N, in, H, W).  w: (N, w_dim).  Returns (N, out, H, W)."""
        with torch.autocast(x.device.type, enabled=False):
            scale = self.style(w.float()) + 1
            power = scale.square() @ self.weight.square().sum(dim=[2, 3]).t() + 1e-8
        x = F.conv2d(x * scale.to(x.dtype)[:, :, None, None], self.weight.to(x.dtype), padding=self.weight.shape[-1] // 2)
        return x * power.rsqrt().to(x.dtype)[:, :, None, None] if self.demodulate else x


class NoisyConv(nn.Module):
    """A modulated convolution, noise times a strength a channel, bias, leaky ReLU.

    The package draws its noise evenly from [0, 1]. Here it is the share of the normal distribution below a normal draw, which
    is the same, and leaves 0.5, its mean, where there is no noise.
    """

    use_noise = True
    noise_strength = 1.0

    def __init__(self, in_channels: int, out_channels: int, resolution: int, w_dim: int):
        super().__init__()
        self.resolution = resolution
        self.conv = ModulatedConv(in_channels, out_channels, 3, w_dim)
        self.noise_weight = nn.Parameter(torch.zeros(out_channels))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.register_buffer("noise_const", normal(resolution, resolution))

    def forward(self, x: torch.Tensor, w: torch.Tensor, noise: torch.Tensor | None) -> torch.Tensor:
        """x: (N, in, H, W).  noise: N(0, 1), broadcastable to (N, 1, H, W), or None.  Returns (N, out, H, W)."""
        x = self.conv(x, w)
        even = 0.5 if noise is None else (0.5 + 0.5 * torch.erf(noise.float() * 0.5**0.5)).to(x.dtype)
        return F.leaky_relu(x + self.noise_weight.to(x.dtype)[:, None, None] * even + self.bias.to(x.dtype)[:, None, None], 0.2)


class ChannelNorm(nn.Module):
    """Each pixel scaled to mean 0 and deviation 1 over its channels."""

    def __init__(self, channels: int):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.layer_norm(x.permute(0, 2, 3, 1), x.shape[1:2], self.weight, self.bias, eps=1e-5).permute(0, 3, 1, 2)


class Attention(nn.Module):
    """Linear attention (Shen 2021, "Efficient Attention") and two layers a pixel, each added to what comes in."""

    def __init__(self, channels: int):
        super().__init__()
        inner = _HEADS * _HEAD_WIDTH
        self.norm, self.query = ChannelNorm(channels), nn.Conv2d(channels, inner, 1, bias=False)
        self.near = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.key_value, self.out = nn.Conv2d(channels, 2 * inner, 1, bias=False), nn.Conv2d(inner, channels, 1)
        self.norm2, self.widen = ChannelNorm(channels), nn.Conv2d(channels, 2 * channels, 1)
        self.narrow = nn.Conv2d(2 * channels, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, _, h, w = x.shape
        y = self.norm(x)
        query = self.query(y).reshape(n, _HEADS, _HEAD_WIDTH, h * w).softmax(dim=2) * _HEAD_WIDTH**-0.5
        key, value = self.key_value(self.near(y)).reshape(n, 2, _HEADS, _HEAD_WIDTH, h * w).unbind(dim=1)
        context = key.softmax(dim=3) @ value.transpose(2, 3)  # (n, heads, width of a key, width of a value)
        y = (context.transpose(2, 3) @ query).reshape(n, _HEADS * _HEAD_WIDTH, h, w)
        x = x + self.out(F.gelu(y))
        return x + self.narrow(F.leaky_relu(self.widen(self.norm2(x)), 0.2))


def doubled(x: torch.Tensor) -> torch.Tensor:
    """Twice the size, bilinear."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


class SynthesisBlock(nn.Module):
    """The layers of one resolution."""

    def __init__(self, number: int, cfg: LucidrainsConfig):
        super().__init__()
        self.resolution, self.is_first, self.is_last = 4 << number, number == 0, number == cfg.blocks - 1
        inside, outside = cfg.channels(number - 1), cfg.channels(number)
        self.attention = Attention(inside) if number in cfg.attention else None
        self.conv0 = NoisyConv(inside, outside, self.resolution, cfg.w_dim)
        self.conv1 = NoisyConv(outside, outside, self.resolution, cfg.w_dim)
        self.torgb = ModulatedConv(outside, 4 if cfg.transparent else 3, 1, cfg.w_dim, demodulate=False)


def enlarged(img: torch.Tensor) -> torch.Tensor:
    """(N, C, H, W) -> (N, C, 2H, 2W), bilinear and blurred by (1, 2, 1), mirrored at the edge."""
    taps = img.new_tensor([1.0, 2.0, 1.0]) / 4
    channels = img.shape[1]
    return F.conv2d(F.pad(doubled(img), (1, 1, 1, 1), mode="reflect"), torch.outer(taps, taps).expand(channels, 1, 3, 3), groups=channels)


def on_white(img: torch.Tensor) -> torch.Tensor:
    """(N, 4, H, W), colour and opacity in [0, 1] -> the colour that is seen on white, (N, 3, H, W)."""
    colour, opacity = img[:, :3].clamp(0, 1), img[:, 3:].clamp(0, 1)
    return colour * opacity + (1 - opacity)


class Synthesis(SteppedSynthesis):
    """ws -> picture; a row of ws for each block, see LucidrainsConfig.num_ws.

    Where the package makes the first map from w, it takes the mean of the styles of all blocks. Here it has a row of its own, so
    that each step reads one; the pictures are equal where that row is the mean of the others, as it is before anything is mixed.
    """

    def __init__(self, cfg: LucidrainsConfig):
        super().__init__()
        self.w_dim, self.resolution, self.num_ws, self.blocks = cfg.w_dim, cfg.resolution, cfg.num_ws, cfg.blocks
        self.transparent, self.no_const = cfg.transparent, cfg.no_const
        if cfg.no_const:
            self.first_map = nn.ConvTranspose2d(cfg.w_dim, cfg.channels(-1), 4, bias=False)
        else:
            self.const = nn.Parameter(normal(cfg.channels(-1), 4, 4))
        self.first = nn.Conv2d(cfg.channels(-1), cfg.channels(-1), 3, padding=1)
        for i in range(cfg.blocks):
            setattr(self, f"b{4 << i}", SynthesisBlock(i, cfg))

    @property
    def steps(self) -> list[Step]:
        """Two convolutions and the picture so far, a block; before them the first map, where w makes it."""

        def first_map(w, state, noise):
            return self.first_map(w[:, :, None, None]), None

        out = [Step("first_map", 4, 0, first_map)] if self.no_const else []
        for i in range(self.blocks):
            block = getattr(self, f"b{4 << i}")

            def conv0(w, state, noise, block=block):
                x, img = state
                if block.is_first:
                    x = self.first(x if self.no_const else self.sized(self.const).unsqueeze(0)).expand(len(w), -1, -1, -1)
                if block.attention is not None:
                    x = block.attention(x)
                return block.conv0(x if block.is_first else doubled(x), w, noise(block.conv0)), img

            def conv1(w, state, noise, block=block):
                x, img = state
                return block.conv1(x, w, noise(block.conv1)), img

            def torgb(w, state, noise, block=block):
                x, img = state
                rgb = block.torgb(x, w).float()
                rgb = rgb if img is None else rgb + img
                if not block.is_last:
                    return x, enlarged(rgb)
                return x, (on_white(rgb) if self.transparent else rgb) * 2 - 1

            row = i + self.no_const
            out += [Step(f"b{block.resolution}.{run.__name__}", block.resolution, row, run) for run in (conv0, conv1, torgb)]
        return out


class Generator(LatentGenerator):
    """Both parts."""

    def __init__(self, cfg: LucidrainsConfig):
        super().__init__(cfg, Mapping(cfg), Synthesis(cfg))


register(
    Family(
        name="lucidrains",
        title="StyleGAN2 (lucidrains)",
        sentence="The StyleGAN2 of the package stylegan2-pytorch; models of it are brought along, not trained here.",
        task=Task.GENERATE,
        config=LucidrainsConfig,
        generator=Generator,
        discriminator=None,
        learns_w=True,
        resizable=True,
        tileable=True,
    )
)
