"""GAN (Goodfellow 2014, "Generative Adversarial Nets"), and with classes cGAN (Mirza 2014, "Conditional Generative Adversarial Nets").

Two fully connected networks. The original has ReLU and maxout; here are the LeakyReLU and BatchNorm that became custom.
Meant for small pictures, for points of the plane (resolution 1, two channels), and to see how it all began.
"""

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import nn

from studio.networks.generative.latent_generator import LatentGenerator, RowMapping, Step, SteppedSynthesis
from studio.networks.layers import BatchNorm, LabelEmbedding, normal, settle_batch_norm
from studio.networks.registry import Family, Task, register


@dataclass(frozen=True)
class GANConfig:
    """Hyper-parameters of both players."""

    resolution: int = 32  # side of the picture in pixels, 1 to 128
    z_dim: int = 64  # latent
    c_dim: int = 0  # number of classes, 0 = unconditional
    img_channels: int = 3
    g_hidden: tuple[int, ...] = (256, 512, 1024)  # widths of the generator's hidden layers
    d_hidden: tuple[int, ...] = (512, 256)  # of the discriminator's
    batch_norm: bool = True  # in the generator
    output: str = "tanh"  # 'tanh' keeps pictures in [-1, 1], 'linear' leaves them free
    label_dim: int = 64  # width of the class embedding in both players

    def __post_init__(self):
        object.__setattr__(self, "g_hidden", tuple(self.g_hidden))  # JSON has lists
        object.__setattr__(self, "d_hidden", tuple(self.d_hidden))
        if not (isinstance(self.resolution, int) and 1 <= self.resolution <= 128):
            raise ValueError(f"resolution must be a whole number from 1 to 128, not {self.resolution}")
        if self.z_dim < 1 or self.img_channels < 1 or self.label_dim < 1 or self.c_dim < 0:
            raise ValueError("z_dim, img_channels and label_dim must be 1 or more, c_dim 0 or more")
        if not all(self.g_hidden + self.d_hidden) or not self.g_hidden or not self.d_hidden:
            raise ValueError("g_hidden and d_hidden must name at least one layer each, of width 1 or more")
        if self.output not in ("tanh", "linear"):
            raise ValueError(f"output must be 'tanh' or 'linear', not {self.output!r}")

    @property
    def pixels(self) -> int:
        """Numbers in a picture."""
        return self.img_channels * self.resolution**2


class Dense(nn.Module):
    """Fully connected, then optionally BatchNorm and LeakyReLU of slope 0.2."""

    def __init__(self, in_features: int, out_features: int, norm: bool = False, act: bool = True):
        super().__init__()
        self.act = act
        # Keeps the variance through LeakyReLU (He 2015, Eq. 15); without an activation the plain 1 / fan-in.
        gain = math.sqrt(2 / (1 + 0.2**2)) if act else 1.0
        self.weight = nn.Parameter(normal(out_features, in_features, std=gain / math.sqrt(in_features)))
        self.bias = nn.Parameter(torch.zeros(out_features))
        self.norm = BatchNorm(out_features) if norm else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm(F.linear(x, self.weight, self.bias))
        return F.leaky_relu(x, 0.2) if self.act else x


class Synthesis(SteppedSynthesis):
    """z beside the embedded class -> picture (Mirza 2014, Fig. 1)."""

    def __init__(self, cfg: GANConfig):
        super().__init__()
        self.config, self.resolution = cfg, cfg.resolution
        self.num_ws, self.w_dim = 1, cfg.z_dim + cfg.c_dim
        if cfg.c_dim:
            self.embed = LabelEmbedding(cfg.c_dim, cfg.label_dim)
        widths = (cfg.z_dim + (cfg.label_dim if cfg.c_dim else 0), *cfg.g_hidden)
        self.hidden = nn.ModuleList(Dense(a, b, cfg.batch_norm) for a, b in pairwise(widths))
        self.out = Dense(widths[-1], cfg.pixels, act=False)

    @property
    def steps(self) -> list[Step]:
        """One a layer; the first reads the row."""
        cfg, out = self.config, []

        for i, layer in enumerate(self.hidden):

            def hidden(w, state, noise, i=i, layer=layer):
                return layer(self.latent(w) if i == 0 else state[0]), None

            out.append(Step(f"fc{i}", cfg.resolution, 0, hidden))

        def picture(w, state, noise):
            img = self.out(state[0]).float().reshape(-1, cfg.img_channels, cfg.resolution, cfg.resolution)
            return None, img.tanh() if cfg.output == "tanh" else img

        return [*out, Step("out", cfg.resolution, 0, picture)]

    def latent(self, w: torch.Tensor) -> torch.Tensor:
        """The row (N, z_dim + c_dim) with its class embedded."""
        z, c = w[:, : self.config.z_dim], w[:, self.config.z_dim :]
        return torch.cat([z, self.embed(c)], dim=1) if self.config.c_dim else z


class Generator(LatentGenerator):
    """Both parts of the generator."""

    def __init__(self, cfg: GANConfig):
        super().__init__(cfg, RowMapping(cfg.z_dim, cfg.c_dim), Synthesis(cfg))


class Discriminator(nn.Module):
    """The picture as one long vector, beside the embedded class -> how real it looks, (N, 1) logits."""

    def __init__(self, cfg: GANConfig):
        super().__init__()
        self.config = cfg
        if cfg.c_dim:
            self.embed = LabelEmbedding(cfg.c_dim, cfg.label_dim)
        widths = (cfg.pixels + (cfg.label_dim if cfg.c_dim else 0), *cfg.d_hidden)
        self.hidden = nn.Sequential(*(Dense(a, b) for a, b in pairwise(widths)))
        self.out = Dense(widths[-1], 1, act=False)

    def forward(self, img: torch.Tensor, c: torch.Tensor | None = None) -> torch.Tensor:
        """img: (N, img_channels, H, W) in [-1, 1].  c: (N, c_dim).  Returns (N, 1)."""
        x = img.flatten(1)
        if self.config.c_dim:
            assert c is not None
            assert c.shape[1] == self.config.c_dim
            x = torch.cat([x, self.embed(c)], dim=1)
        return self.out(self.hidden(x))


register(
    Family(
        name="gan",
        title="GAN",
        sentence="The first of its kind: tiny, trains in minutes, for small rough pictures; pick it to learn how it all began.",
        task=Task.GENERATE,
        config=GANConfig,
        generator=Generator,
        discriminator=Discriminator,
        classes=True,
        settle=settle_batch_norm,
    )
)
