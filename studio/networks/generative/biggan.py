"""BigGAN (Brock 2018, "Large Scale GAN Training for High Fidelity Natural Image Synthesis").

Generator and discriminator of App. B.1, and the generator of BigGAN-deep of App. B.2, with what keeps them in balance:
spectral normalisation, self-attention, orthogonal initialisation and regularisation, standing statistics.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from studio.networks.generative.latent_generator import LatentGenerator, Step, SteppedSynthesis
from studio.networks.layers import normal
from studio.networks.registry import Family, Task, register

_BOTTOM = 4  # side of the first feature map
# Channels of the generator by resolution, in units of ch: into the first block, then out of each (Tables 4 to 9).
_WIDTHS = {
    32: (4, 4, 4, 4),
    64: (16, 16, 8, 4, 2),
    128: (16, 16, 8, 4, 2, 1),
    256: (16, 16, 8, 8, 4, 2, 1),
    512: (16, 16, 8, 8, 4, 2, 1, 1),
}


@dataclass(frozen=True)
class BigGANConfig:
    """Hyper-parameters of both players; the defaults are those of the paper. What is left out is filled in."""

    resolution: int = 128  # side of the picture in pixels: 32, 64, 128, 256 or 512; with widths any power of two from 8
    z_dim: int = 0  # input latent, 0 = 20 a level, or 128 when it is not hierarchical
    c_dim: int = 0  # number of classes, 0 = unconditional
    img_channels: int = 3
    ch: int = 96  # channels are multiples of it
    shared_dim: int = 128  # width of the class embedding that all layers share
    hierarchical: bool = True  # each level gets a chunk of z of its own; otherwise z enters at the bottom alone
    deep: bool = False  # BigGAN-deep: bottleneck blocks, each of which gets all of z
    widths: tuple[int, ...] = ()  # in units of ch: into the first block, then out of each; () = the paper's
    ups: tuple[int, ...] = ()  # 1 for each block that doubles the size, else 0; () = the paper's
    attention: tuple[int, ...] | None = None  # resolutions with self-attention, None = 64, or half of a smaller picture
    attention_after: tuple[int, ...] | None = None  # numbers of blocks before it in the generator, None = by resolution
    n_stats: int = 1  # levels of psi from 0 to 1 with batch statistics of their own; 1 = the same for all
    bn_eps: float = 1e-5
    bn_momentum: float = 0.1  # share of a new batch in the running statistics
    sn_eps: float = 1e-12
    spectral_norm: bool = True  # of the generator; False: its weights are stored the way they are used

    def __post_init__(self):
        r = self.resolution
        if not (isinstance(r, int) and 8 <= r <= 1024 and r & (r - 1) == 0) or not (self.widths or r in _WIDTHS):
            raise ValueError(f"resolution must be one of {', '.join(map(str, _WIDTHS))}, not {r}")

        def fill(name, value):
            object.__setattr__(self, name, value)

        levels = int(math.log2(self.resolution // _BOTTOM))
        if self.deep:
            fill("hierarchical", False)
        if not self.ups:
            fill("ups", (0, 1) * levels if self.deep else (1,) * levels)
        if not self.widths:
            table = _WIDTHS[self.resolution]
            # Deep: the block that keeps the size keeps the width too.
            fill("widths", table[:1] + tuple(w for i in range(levels) for w in table[i : i + 2]) if self.deep else table)
        if self.attention is None:
            fill("attention", (min(64, self.resolution // 2),))
        for name in ("widths", "ups", "attention", "attention_after"):
            if getattr(self, name) is not None:
                fill(name, tuple(getattr(self, name)))  # JSON has lists
        if len(self.widths) != len(self.ups) + 1 or min(self.widths) < 1 or not set(self.ups) <= {0, 1}:
            raise ValueError("widths must be positive and one more than ups, which are 0 or 1")
        if sum(self.ups) != levels or not (self.deep or all(self.ups)):
            raise ValueError(f"ups must double {_BOTTOM} px to {self.resolution} px" + ("" if self.deep else ", in every block"))
        if self.deep and any(b > a for a, b in pairwise(self.widths)):
            raise ValueError("widths of a deep generator must not grow")
        rows = len(self.ups) + 1 if self.hierarchical else 1
        if not self.z_dim:
            fill("z_dim", 20 * rows if self.hierarchical else 128)
        if self.z_dim % rows:
            raise ValueError(f"z_dim {self.z_dim} does not split into {rows} equal chunks, one a level")
        if min(self.ch, self.shared_dim, self.n_stats) < 1:
            raise ValueError("ch, shared_dim and n_stats must be at least 1")
        if self.deep and self.ch * min(self.widths[:-1]) < 4:
            raise ValueError("a block of a deep generator needs 4 channels")
        if self.attention_after is not None and max(self.attention_after, default=0) > len(self.ups):
            raise ValueError(f"attention_after counts blocks: 0 to {len(self.ups)}")

    @property
    def batch_norm(self) -> bool:
        """The generator looks across the pictures of a batch."""
        return True

    @property
    def num_ws(self) -> int:
        """Rows of ws: one for the bottom, one a block."""
        return len(self.ups) + 1

    @property
    def chunk(self) -> int:
        """Numbers of z in a row."""
        return self.z_dim // self.num_ws if self.hierarchical else self.z_dim

    @property
    def embed_dim(self) -> int:
        """Numbers of the class embedding in a row."""
        return self.shared_dim if self.c_dim else 0

    @property
    def block_resolutions(self) -> list[int]:
        """Side of what each block of the generator gives."""
        out, r = [], _BOTTOM
        for up in self.ups:
            r *= 2 if up else 1
            out.append(r)
        return out

    @property
    def attention_places(self) -> tuple[int, ...]:
        """How many blocks of the generator stand before each self-attention."""
        if self.attention_after is not None:
            return self.attention_after
        return tuple(i + 1 for i, r in enumerate(self.block_resolutions) if r in (self.attention or ()) and self.ups[i])

    @property
    def level_widths(self) -> list[int]:
        """Channels of each resolution from 4 px up."""
        return [self.ch * w for w in (self.widths[0], *(w for w, up in zip(self.widths[1:], self.ups, strict=True) if up))]


# -- normed layers ---------------------------------------------------------------------------------------------------


def orthogonal(*shape: int) -> torch.Tensor:
    """A weight whose rows (or columns, when there are fewer) are orthonormal (Saxe 2014); on the meta device only a shape."""
    blank = torch.empty(shape)
    return blank if blank.is_meta else nn.init.orthogonal_(blank)


class SpectralNorm(nn.Module):
    """A weight divided by its largest singular value, which a power iteration follows (Miyato 2018, Alg. 1).

    u, the left singular vector, is a buffer. Every forward pass in training mode moves it one iteration on, so that it
    depends on the number of passes alone and a training that is taken up again goes on exactly. In eval mode the
    iteration is made too, but not kept: so the running average of a network, whose u was copied from the network that
    trains, is divided by the norm of its own weights.
    """

    u: torch.Tensor | None

    def __init__(self, weight: torch.Tensor, bias: bool, eps: float, normed: bool = True):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.zeros(len(weight))) if bias else None
        self.register_buffer("u", normal(len(weight)) if normed else None)

    def normed_weight(self) -> torch.Tensor:
        """W / sigma(W), of the weight's shape. The gradient flows through sigma = u^T W v, with u and v as constants."""
        if self.u is None:
            return self.weight
        with torch.autocast(self.weight.device.type, enabled=False):
            matrix = self.weight.flatten(1)
            with torch.no_grad():
                v = F.normalize(self.u @ matrix, dim=0, eps=self.eps)
                u = F.normalize(matrix @ v, dim=0, eps=self.eps)
                if self.training:
                    self.u.copy_(u)
            return self.weight / (u @ (matrix @ v))


class SpectralConv(SpectralNorm):
    """'Same' convolution of (N, in, H, W)."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, eps: float, bias: bool = True, normed: bool = True):
        super().__init__(orthogonal(out_channels, in_channels, kernel_size, kernel_size), bias, eps, normed)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.conv2d(x, self.normed_weight().to(x.dtype), None if self.bias is None else self.bias.to(x.dtype), padding="same")


class SpectralLinear(SpectralNorm):
    """Fully connected layer, in full precision."""

    def __init__(self, in_features: int, out_features: int, eps: float, bias: bool = True, normed: bool = True):
        super().__init__(orthogonal(out_features, in_features), bias, eps, normed)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return F.linear(x.float(), self.normed_weight(), self.bias)


class SelfAttention(nn.Module):
    """Each place looks at all places of a map of half the size (Zhang 2018, SAGAN, Sec. 3); begins as the identity."""

    def __init__(self, channels: int, eps: float, normed: bool = True):
        super().__init__()
        few, half = max(channels // 8, 1), max(channels // 2, 1)
        self.theta = SpectralConv(channels, few, 1, eps, bias=False, normed=normed)
        self.phi = SpectralConv(channels, few, 1, eps, bias=False, normed=normed)
        self.g = SpectralConv(channels, half, 1, eps, bias=False, normed=normed)
        self.o = SpectralConv(half, channels, 1, eps, bias=False, normed=normed)
        self.gamma = nn.Parameter(torch.zeros([]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        theta = self.theta(x).flatten(2)  # (N, few, HW)
        phi = F.max_pool2d(self.phi(x), 2).flatten(2)  # (N, few, HW / 4)
        g = F.max_pool2d(self.g(x), 2).flatten(2)  # (N, half, HW / 4)
        share = torch.softmax(theta.transpose(1, 2) @ phi, dim=-1)  # (N, HW, HW / 4), rows sum to 1
        return x + self.gamma.to(x.dtype) * self.o((g @ share.transpose(1, 2)).unflatten(2, x.shape[2:])).to(x.dtype)


class ConditionalBatchNorm(nn.Module):
    """Batch normalisation whose gain and bias are linear in a condition (App. B.1); plain ones when there is none.

    running_mean, running_var: (n_stats, channels), for truncations psi = 0 ... 1 in equal steps; between two levels the
    statistics are interpolated. In training mode those of the batch are used, and all levels follow them alike.
    """

    running_mean: torch.Tensor
    running_var: torch.Tensor

    def __init__(self, channels: int, cond_dim: int, cfg: BigGANConfig):
        super().__init__()
        self.eps, self.momentum, self.cond_dim = cfg.bn_eps, cfg.bn_momentum, cond_dim
        self.gain: SpectralLinear | nn.Parameter
        self.bias: SpectralLinear | nn.Parameter
        self.gathered: list[tuple[torch.Tensor, torch.Tensor]] | None = None  # while standing statistics are taken
        if cond_dim:
            self.gain = SpectralLinear(cond_dim, channels, cfg.sn_eps, bias=False, normed=cfg.spectral_norm)
            self.bias = SpectralLinear(cond_dim, channels, cfg.sn_eps, bias=False, normed=cfg.spectral_norm)
        else:
            self.gain = nn.Parameter(torch.ones(channels))
            self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(cfg.n_stats, channels))
        self.register_buffer("running_var", torch.ones(cfg.n_stats, channels))

    def forward(self, x: torch.Tensor, cond: torch.Tensor, psi: torch.Tensor) -> torch.Tensor:
        """x: (N, channels, H, W).  cond: (N, cond_dim).  psi: (N,).  Returns the shape of x."""
        if self.training or self.gathered is not None:
            var, mean = torch.var_mean(x.float(), dim=[0, 2, 3], correction=0)
            self._follow(mean.detach(), var.detach(), x.numel() // x.shape[1])
        else:
            mean, var = self.interpolated(psi)
        if isinstance(self.gain, SpectralLinear) and isinstance(self.bias, SpectralLinear):
            gain, bias = 1 + self.gain(cond), self.bias(cond)
        else:
            assert isinstance(self.gain, nn.Parameter)
            assert isinstance(self.bias, nn.Parameter)
            gain, bias = self.gain, self.bias
        scale = gain * (var + self.eps).rsqrt()
        shift = bias - mean * scale
        shape = (-1, x.shape[1], 1, 1)
        return x * scale.reshape(shape).to(x.dtype) + shift.reshape(shape).to(x.dtype)

    def interpolated(self, psi: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Running mean and variance at each psi (N,), clamped to [0, 1]: (N, channels) both, (1, channels) with one level."""
        top = len(self.running_mean) - 1
        if not top:
            return self.running_mean, self.running_var
        place = psi.clamp(0, 1) * top
        low = place.long().clamp(max=top - 1)
        share = (place - low).unsqueeze(1)
        mean, var = (torch.lerp(stats[low], stats[low + 1], share) for stats in (self.running_mean, self.running_var))
        return mean, var

    @torch.no_grad()
    def _follow(self, mean: torch.Tensor, var: torch.Tensor, count: int) -> None:
        if self.gathered is not None:
            self.gathered.append((mean.double(), var.double()))
            return
        self.running_mean.lerp_(mean.expand_as(self.running_mean), self.momentum)
        self.running_var.lerp_((var * (count / max(count - 1, 1))).expand_as(self.running_var), self.momentum)


# -- generator -------------------------------------------------------------------------------------------------------


class Mapping(nn.Module):
    """z and class -> rows [z, class embedding, psi]; row 0 is for the bottom, row i for block i - 1.

    Hierarchical: each row has its own chunk of z. Otherwise each has all of z, which the blocks of the deep generator
    read; the other one reads it at the bottom alone, so that there a row of a block changes only the class.
    The last number is the truncation, by which the batch statistics are chosen.
    """

    def __init__(self, cfg: BigGANConfig):
        super().__init__()
        self.z_dim, self.c_dim, self.num_ws = cfg.z_dim, cfg.c_dim, cfg.num_ws
        self.chunk, self.hierarchical = cfg.chunk, cfg.hierarchical
        self.w_dim = cfg.chunk + cfg.embed_dim + 1
        if cfg.c_dim:
            self.embed = nn.Parameter(orthogonal(cfg.c_dim, cfg.shared_dim))

    def forward(
        self, z: torch.Tensor, c: torch.Tensor | None = None, truncation_psi: float = 1.0, truncation_cutoff: int | None = None
    ) -> torch.Tensor:
        """z: (N, z_dim), N(0, 1).  c: (N, c_dim), one-hot, or weights for a blend.  Returns ws (N, num_ws, w_dim)."""
        assert z.shape[1] == self.z_dim
        z = z.float()
        parts = [z.unflatten(1, (self.num_ws, self.chunk)) if self.hierarchical else z.unsqueeze(1).expand(-1, self.num_ws, -1)]
        if self.c_dim:
            assert c is not None
            assert c.shape[1] == self.c_dim
            with torch.autocast(z.device.type, enabled=False):
                parts.append((c.float() @ self.embed).unsqueeze(1).expand(-1, self.num_ws, -1))
        parts.append(torch.ones_like(parts[0][:, :, :1]))
        return self.truncate(torch.cat(parts, dim=2), truncation_psi, truncation_cutoff)

    def truncate(self, ws: torch.Tensor, psi: float = 1.0, cutoff: int | None = None) -> torch.Tensor:
        """Draw z towards 0 in rows [0, cutoff) of ws (N, num_ws, w_dim), and choose the batch statistics for it.

        The paper draws anew what is too large (Sec. 3.1); scaled, a picture changes smoothly with psi.
        """
        if psi == 1:
            return ws
        ws = ws.clone()
        ws[:, :cutoff, : self.chunk] *= psi
        ws[:, :cutoff, -1] *= psi
        return ws


class SynthesisBlock(nn.Module):
    """Residual block that doubles the size (Fig. 15b)."""

    def __init__(self, in_channels: int, out_channels: int, cond_dim: int, cfg: BigGANConfig):
        super().__init__()
        options: dict[str, Any] = dict(eps=cfg.sn_eps, normed=cfg.spectral_norm)
        self.bn1 = ConditionalBatchNorm(in_channels, cond_dim, cfg)
        self.conv1 = SpectralConv(in_channels, out_channels, 3, **options)
        self.bn2 = ConditionalBatchNorm(out_channels, cond_dim, cfg)
        self.conv2 = SpectralConv(out_channels, out_channels, 3, **options)
        self.skip = SpectralConv(in_channels, out_channels, 1, **options)

    def forward(self, x: torch.Tensor, cond: torch.Tensor, psi: torch.Tensor) -> torch.Tensor:
        y = self.conv1(_double(F.relu(self.bn1(x, cond, psi))))
        y = self.conv2(F.relu(self.bn2(y, cond, psi)))
        # A 1x1 convolution and nearest-neighbour doubling commute; this order is four times cheaper.
        return y + _double(self.skip(x))


class DeepBlock(nn.Module):
    """Bottleneck block, which keeps or doubles the size; its shortcut drops channels (App. B.2, Fig. 16b)."""

    def __init__(self, in_channels: int, out_channels: int, up: int, cond_dim: int, cfg: BigGANConfig):
        super().__init__()
        options: dict[str, Any] = dict(eps=cfg.sn_eps, normed=cfg.spectral_norm)
        self.up, self.out_channels, middle = up, out_channels, in_channels // 4
        self.bn1 = ConditionalBatchNorm(in_channels, cond_dim, cfg)
        self.conv1 = SpectralConv(in_channels, middle, 1, **options)
        self.bn2 = ConditionalBatchNorm(middle, cond_dim, cfg)
        self.conv2 = SpectralConv(middle, middle, 3, **options)
        self.bn3 = ConditionalBatchNorm(middle, cond_dim, cfg)
        self.conv3 = SpectralConv(middle, middle, 3, **options)
        self.bn4 = ConditionalBatchNorm(middle, cond_dim, cfg)
        self.conv4 = SpectralConv(middle, out_channels, 1, **options)

    def forward(self, x: torch.Tensor, cond: torch.Tensor, psi: torch.Tensor) -> torch.Tensor:
        y = self.conv1(F.relu(self.bn1(x, cond, psi)))
        y = F.relu(self.bn2(y, cond, psi))
        y = self.conv2(_double(y) if self.up else y)
        y = self.conv3(F.relu(self.bn3(y, cond, psi)))
        y = self.conv4(F.relu(self.bn4(y, cond, psi)))
        shortcut = x[:, : self.out_channels]
        return y + (_double(shortcut) if self.up else shortcut)


def _double(x: torch.Tensor) -> torch.Tensor:
    return F.interpolate(x, scale_factor=2, mode="nearest")


class Synthesis(SteppedSynthesis):
    """ws -> picture (Fig. 15a, Fig. 16a)."""

    def __init__(self, cfg: BigGANConfig):
        super().__init__()
        self.w_dim, self.num_ws, self.resolution = cfg.chunk + cfg.embed_dim + 1, cfg.num_ws, cfg.resolution
        self.deep, self.chunk, self.block_resolutions = cfg.deep, cfg.chunk, cfg.block_resolutions
        # What the blocks are conditioned on: everything in a row but psi, or only the class.
        self.cond_from = 0 if cfg.hierarchical or cfg.deep else cfg.chunk
        cond_dim = self.w_dim - 1 - self.cond_from
        widths = [cfg.ch * w for w in cfg.widths]
        options: dict[str, Any] = dict(eps=cfg.sn_eps, normed=cfg.spectral_norm)
        self.linear = SpectralLinear(self.w_dim - 1 if cfg.deep else cfg.chunk, widths[0] * _BOTTOM**2, **options)
        pairs = [(*ab, up) for ab, up in zip(pairwise(widths), cfg.ups, strict=True)]
        self.blocks = nn.ModuleList(
            DeepBlock(a, b, up, cond_dim, cfg) if cfg.deep else SynthesisBlock(a, b, cond_dim, cfg) for a, b, up in pairs
        )
        self.attention = nn.ModuleDict({str(i): SelfAttention(widths[i], **options) for i in cfg.attention_places})
        self.bn = ConditionalBatchNorm(widths[-1], 0, cfg)
        self.torgb = SpectralConv(widths[-1], cfg.img_channels, 3, **options)

    @property
    def steps(self) -> list[Step]:
        """The bottom, each block with the self-attention behind it, and the picture, which reads only psi."""

        def attend(i, x):
            return self.attention[str(i)](x) if str(i) in self.attention else x

        def bottom(w, state, noise):
            x = self.linear(w[:, :-1] if self.deep else w[:, : self.chunk])
            return attend(0, x.unflatten(1, (-1, _BOTTOM, _BOTTOM))), None

        def torgb(w, state, noise):
            x = self.torgb(F.relu(self.bn(state[0], w[:, :0], w[:, -1])))
            return None, torch.tanh(x.float())

        out = [Step("bottom", _BOTTOM, 0, bottom)]
        for i, (block, r) in enumerate(zip(self.blocks, self.block_resolutions, strict=True), start=1):

            def run(w, state, noise, i=i, block=block):
                return attend(i, block(state[0], w[:, self.cond_from : -1], w[:, -1])), None

            out.append(Step(f"block{i}", r, i, run))
        return [*out, Step("torgb", self.resolution, self.num_ws - 1, torgb)]


class Generator(LatentGenerator):
    """z, class -> picture."""

    def __init__(self, cfg: BigGANConfig):
        super().__init__(cfg, Mapping(cfg), Synthesis(cfg))


# -- discriminator ---------------------------------------------------------------------------------------------------


class DiscriminatorBlock(nn.Module):
    """Residual block, which halves the size unless it is the last (Fig. 15c)."""

    def __init__(self, in_channels: int, out_channels: int, first: bool, down: bool, eps: float):
        super().__init__()
        self.first, self.down = first, down
        self.conv1 = SpectralConv(in_channels, out_channels, 3, eps)
        self.conv2 = SpectralConv(out_channels, out_channels, 3, eps)
        self.skip = SpectralConv(in_channels, out_channels, 1, eps) if down or in_channels != out_channels else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv1(x if self.first else F.relu(x))  # the picture itself is not cut at 0
        y = self.conv2(F.relu(y))
        # The mean of pixels and a 1x1 convolution commute.
        return F.avg_pool2d(y, 2) + self.skip(F.avg_pool2d(x, 2)) if self.down else y + self.skip(x)


class Discriminator(nn.Module):
    """picture, class -> how real it looks, (N, 1) logits: psi(h) + <embedding of the class, h> (Miyato 2018, Eq. 3).

    h is the sum over all places. The deep generator has the same discriminator.
    """

    def __init__(self, cfg: BigGANConfig):
        super().__init__()
        self.config = cfg
        self.block_resolutions = [cfg.resolution >> i for i in range(len(cfg.level_widths))]  # ..., 8, 4
        widths = [cfg.img_channels, *reversed(cfg.level_widths)]
        self.attention = nn.ModuleDict()
        for r, a, b in zip(self.block_resolutions, widths, widths[1:], strict=False):
            down = r > _BOTTOM
            setattr(self, f"b{r}", DiscriminatorBlock(a, b, r == cfg.resolution, down, cfg.sn_eps))
            if down and r // 2 in (cfg.attention or ()):
                self.attention[str(r)] = SelfAttention(b, cfg.sn_eps)
        self.out = SpectralLinear(widths[-1], 1, cfg.sn_eps)
        if cfg.c_dim:
            self.embed = SpectralLinear(cfg.c_dim, widths[-1], cfg.sn_eps, bias=False)

    def forward(self, img: torch.Tensor, c: torch.Tensor | None = None) -> torch.Tensor:
        """img: (N, img_channels, H, W) in [-1, 1].  c: (N, c_dim).  Returns (N, 1)."""
        x = img
        for r in self.block_resolutions:
            x = getattr(self, f"b{r}")(x)
            if str(r) in self.attention:
                x = self.attention[str(r)](x)
        h = F.relu(x).float().sum(dim=[2, 3])
        logits = self.out(h)
        if self.config.c_dim:
            logits = logits + (self.embed(c) * h).sum(dim=1, keepdim=True)
        return logits


# -- training --------------------------------------------------------------------------------------------------------


@torch.no_grad()
def standing_statistics(
    generator: Generator,
    batches: int,  # latents drawn are batches * size
    size: int,  # pictures a batch, as large as in training or larger
    rng: torch.Generator,  # on the CPU, so that every device draws the same
    class_weights: torch.Tensor | None = None,  # (c_dim,) how often each class is drawn, None = equally often
) -> None:
    """Set the running statistics to mean and variance over many latents, for every level of psi (App. B.1 and Sec. 3.1).

    Each batch is normalised by its own statistics on the way, as in training. Nothing but the statistics changes.
    """
    cfg = generator.config
    device = next(generator.parameters()).device
    latents = []
    for _ in range(batches):
        z, c = torch.randn(size, cfg.z_dim, generator=rng), None
        if cfg.c_dim:
            weights = torch.ones(cfg.c_dim) if class_weights is None else class_weights.float().cpu()
            c = F.one_hot(torch.multinomial(weights, size, replacement=True, generator=rng), cfg.c_dim).float().to(device)
        latents.append((z.to(device), c))
    for level in range(cfg.n_stats):
        psi = level / (cfg.n_stats - 1) if cfg.n_stats > 1 else 1.0
        with _gathering(generator) as norms:
            for z, c in latents:
                generator(z, c, psi)
            for norm in norms:
                means, variances = (torch.stack(values) for values in zip(*(norm.gathered or ()), strict=True))
                norm.running_mean[level] = means.mean(dim=0)
                norm.running_var[level] = variances.mean(dim=0) + means.var(dim=0, correction=0)


@contextmanager
def _gathering(generator: Generator) -> Iterator[list[ConditionalBatchNorm]]:
    # In eval mode, so that the spectral norms stay as they are.
    training = generator.training
    norms = [m for m in generator.eval().modules() if isinstance(m, ConditionalBatchNorm)]
    for norm in norms:
        norm.gathered = []
    try:
        yield norms
    finally:
        for norm in norms:
            norm.gathered = None
        generator.train(training)


def _settle(generator: Any, rng: torch.Generator, class_weights: torch.Tensor) -> None:
    standing_statistics(generator, 4, 32, rng, class_weights if generator.c_dim else None)


register(
    Family(
        name="biggan",
        title="BigGAN",
        sentence="For many classes and many pictures: one network learns them all, and classes blend into each other.",
        task=Task.GENERATE,
        config=BigGANConfig,
        generator=Generator,
        discriminator=Discriminator,
        classes=True,
        settle=_settle,
        resizable=True,
        tileable=True,
    )
)
