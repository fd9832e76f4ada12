"""DCGAN (Radford 2015, "Unsupervised Representation Learning with Deep Convolutional Generative Adversarial Networks").

Classes enter the generator beside z (Mirza 2014) and the discriminator by projection (Miyato & Koyama 2018, "cGANs with
Projection Discriminator").
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from studio.networks.generative.latent_generator import LatentGenerator, RowMapping, Step, SteppedSynthesis
from studio.networks.layers import LabelEmbedding, NormalConv, NormalLinear, NormalTransposedConv, make_norm, settle_batch_norm
from studio.networks.registry import Family, Task, register

_STD = 0.02  # of all weights at the beginning (Sec. 4)
_G_NORMS = ("batch", "instance", "layer", "none")
_D_NORMS = (*_G_NORMS, "spectral")


@dataclass(frozen=True)
class DCGANConfig:
    """Hyper-parameters of both players. The generator of the paper has ngf=128 and channel_max=1024 at 64 px."""

    resolution: int = 64  # side of the picture in pixels: 32, 64, 128 or 256
    z_dim: int = 100  # latent
    c_dim: int = 0  # number of classes, 0 = unconditional
    img_channels: int = 3  # 1 = grey, 3 = RGB
    ngf: int = 64  # channels of the generator at half the resolution; they double as the size halves
    ndf: int = 64  # of the discriminator, likewise
    channel_max: int = 512  # no layer of either has more
    g_norm: str = "batch"  # 'batch', 'instance', 'layer' or 'none'
    d_norm: str = "batch"  # likewise, or 'spectral' (Miyato 2018); WGAN-GP wants no 'batch' (Gulrajani 2017, Sec. 4)
    upsampling: str = "transposed"  # convolutions, as in the paper, or 'resize': no checkerboards (Odena 2016)
    label_dim: int = 64  # width of the class embedding in the generator

    def __post_init__(self):
        if self.resolution not in (32, 64, 128, 256):
            raise ValueError(f"resolution must be 32, 64, 128 or 256, not {self.resolution}")
        if self.img_channels not in (1, 3):
            raise ValueError(f"img_channels must be 1 or 3, not {self.img_channels}")
        if min(self.z_dim, self.ngf, self.ndf, self.channel_max, self.label_dim) < 1 or self.c_dim < 0:
            raise ValueError("z_dim, ngf, ndf, channel_max and label_dim must be 1 or more, c_dim 0 or more")
        for name, allowed in (("g_norm", _G_NORMS), ("d_norm", _D_NORMS), ("upsampling", ("transposed", "resize"))):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(allowed)}, not {getattr(self, name)!r}")

    @property
    def batch_norm(self) -> bool:
        """Whether a player looks across the pictures of a batch."""
        return "batch" in (self.g_norm, self.d_norm)

    @property
    def block_resolutions(self) -> list[int]:
        """[4, 8, ..., resolution]"""
        return [2**i for i in range(2, int(math.log2(self.resolution)) + 1)]

    def channels(self, resolution: int) -> int:
        """Feature channels of the generator at a resolution below that of the picture."""
        return min(self.ngf * self.resolution // (2 * resolution), self.channel_max)

    def d_channels(self, resolution: int) -> int:
        """Feature channels of the discriminator, likewise."""
        return min(self.ndf * self.resolution // (2 * resolution), self.channel_max)


class Root(nn.Module):
    """z beside the embedded class -> features (N, C, 4, 4): "project and reshape" (Fig. 1)."""

    def __init__(self, cfg: DCGANConfig):
        super().__init__()
        self.z_dim, self.c_dim, self.out_channels = cfg.z_dim, cfg.c_dim, cfg.channels(4)
        if cfg.c_dim:
            # As large as z, or the class would drown in it.
            self.embed = LabelEmbedding(cfg.c_dim, cfg.label_dim, std=1.0)
        width = cfg.z_dim + (cfg.label_dim if cfg.c_dim else 0)
        self.project = NormalLinear(width, self.out_channels * 16, bias=cfg.g_norm == "none")
        self.norm = make_norm(cfg.g_norm, self.out_channels, _STD)

    def forward(self, w: torch.Tensor) -> torch.Tensor:
        z, c = w[:, : self.z_dim], w[:, self.z_dim :]
        x = self.project(torch.cat([z, self.embed(c)], dim=1) if self.c_dim else z)
        return F.relu(self.norm(x.reshape(-1, self.out_channels, 4, 4)))


class SynthesisBlock(nn.Module):
    """Twice the size: convolution, norm, ReLU; in the last block convolution and tanh."""

    def __init__(self, resolution: int, cfg: DCGANConfig):
        super().__init__()
        self.is_last, self.resize = resolution == cfg.resolution, cfg.upsampling == "resize"
        channels = cfg.channels(resolution // 2), cfg.img_channels if self.is_last else cfg.channels(resolution)
        bias = self.is_last or cfg.g_norm == "none"  # a norm has its own
        if self.resize:
            self.conv = NormalConv(*channels, 3, padding=1, bias=bias)
        else:
            self.conv = NormalTransposedConv(*channels, 4, stride=2, padding=1, bias=bias)
        if not self.is_last:
            self.norm = make_norm(cfg.g_norm, channels[1], _STD)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.resize:
            x = F.interpolate(x, scale_factor=2, mode="nearest")
        x = self.conv(x)
        return x.float().tanh() if self.is_last else F.relu(self.norm(x))


class Synthesis(SteppedSynthesis):
    """z beside the class -> picture (Fig. 1)."""

    def __init__(self, cfg: DCGANConfig):
        super().__init__()
        self.resolution, self.block_resolutions = cfg.resolution, cfg.block_resolutions
        self.num_ws, self.w_dim = 1, cfg.z_dim + cfg.c_dim
        self.b4 = Root(cfg)
        for r in self.block_resolutions[1:]:
            setattr(self, f"b{r}", SynthesisBlock(r, cfg))

    @property
    def steps(self) -> list[Step]:
        """One a resolution; the first reads the row."""

        def root(w, state, noise):
            return self.b4(w), None

        out = [Step("b4", 4, 0, root)]
        for r in self.block_resolutions[1:]:
            block = getattr(self, f"b{r}")

            def double(w, state, noise, block=block):
                x = block(state[0])
                return (None, x) if block.is_last else (x, None)

            out.append(Step(f"b{r}", r, 0, double))
        return out


class Generator(LatentGenerator):
    """Both parts of the generator."""

    def __init__(self, cfg: DCGANConfig):
        super().__init__(cfg, RowMapping(cfg.z_dim, cfg.c_dim), Synthesis(cfg))


class DiscriminatorBlock(nn.Module):
    """Half the size: strided convolution, norm but in the first block, LeakyReLU of slope 0.2."""

    def __init__(self, resolution: int, cfg: DCGANConfig):
        super().__init__()
        is_first = resolution == cfg.resolution
        norm = "none" if is_first or cfg.d_norm == "spectral" else cfg.d_norm
        channels = cfg.img_channels if is_first else cfg.d_channels(resolution), cfg.d_channels(resolution // 2)
        self.conv = NormalConv(*channels, 4, stride=2, padding=1, bias=norm == "none")
        self.norm = make_norm(norm, channels[1], _STD)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.leaky_relu(self.norm(self.conv(x)), 0.2)


class Discriminator(nn.Module):
    """picture, class -> how real it looks, (N, 1) logits.

    With d_norm 'batch' the logit of a picture in training depends on the others in its batch: real and generated pictures
    go through it in batches of their own, and a gradient penalty would reach across pictures. The other norms look at one
    picture at a time. 'spectral' divides every weight by its largest singular value, found by one power iteration each
    time it is used in training (Miyato 2018, Sec. 2.1 and App. A), the embedding of classes included.
    """

    def __init__(self, cfg: DCGANConfig):
        super().__init__()
        self.config = cfg
        self.block_resolutions = cfg.block_resolutions[:0:-1]
        for r in self.block_resolutions:
            setattr(self, f"b{r}", DiscriminatorBlock(r, cfg))
        self.out = NormalLinear(cfg.d_channels(4) * 16, 1)
        if cfg.c_dim:
            self.embed = LabelEmbedding(cfg.c_dim, cfg.d_channels(4), std=_STD)
        if cfg.d_norm == "spectral":
            for layer in [m for m in self.modules() if isinstance(m, NormalConv | NormalLinear | LabelEmbedding)]:
                spectral_norm(layer)

    def forward(self, img: torch.Tensor, c: torch.Tensor | None = None) -> torch.Tensor:
        """img: (N, img_channels, H, W) in [-1, 1].  c: (N, c_dim).  Returns (N, 1)."""
        x = img
        for r in self.block_resolutions:
            x = getattr(self, f"b{r}")(x)
        logits = self.out(x.flatten(1))
        if self.config.c_dim:
            assert c is not None
            assert c.shape[1] == self.config.c_dim
            # Projection (Miyato & Koyama 2018, Eq. 4 and Fig. 1d): the embedded class times the features summed over space.
            logits = logits + (self.embed(c) * x.float().sum(dim=[2, 3])).sum(dim=1, keepdim=True)
        return logits


register(
    Family(
        name="dcgan",
        title="DCGAN",
        sentence="Small and quick, soft pictures up to 256 px; pick it for a first try, or where there is only a weak computer.",
        task=Task.GENERATE,
        config=DCGANConfig,
        generator=Generator,
        discriminator=Discriminator,
        classes=True,
        settle=settle_batch_norm,
        resizable=True,
        tileable=True,
    )
)
