"""R3GAN (Huang 2024, "The GAN is dead; long live the GAN! A Modern Baseline GAN"), its generator: residual blocks of grouped
convolutions without any normalisation, styles or noise (Sec. 4, Config E).

It can be explored and mixed; models of it come from elsewhere.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from studio.networks.generative.latent_generator import LatentGenerator, RowMapping, Step, SteppedSynthesis
from studio.networks.layers import LabelEmbedding, fir_filter, normal, upsample
from studio.networks.registry import Family, Task, register

_FILTER = (1.0, 3.0, 3.0, 1.0)  # (1, 2, 1) doubled: each pixel is spread over two


@dataclass(frozen=True)
class R3GANConfig:
    """Hyper-parameters of the generator; the defaults are those of the paper's code at 256 px."""

    resolution: int = 256  # side of the picture in pixels, a power of two from 8 to 1024
    z_dim: int = 64
    c_dim: int = 0  # number of classes, 0 = unconditional
    embed_dim: int = 0  # width of the class embedding
    widths: tuple[int, ...] = ()  # channels at 4, 8, ..., resolution
    blocks: tuple[int, ...] = ()  # residual blocks of each resolution; () = 2 each
    groups: tuple[int, ...] = ()  # of the middle convolution of each resolution's blocks; () = of 16 channels each
    expansion: int = 2  # channels inside a block, as a multiple of its width
    kernel_size: int = 3  # of the middle convolution

    def __post_init__(self):
        r = self.resolution
        if not (isinstance(r, int) and 8 <= r <= 1024 and r & (r - 1) == 0):
            raise ValueError(f"resolution must be a power of two from 8 to 1024, not {r}")
        stages = r.bit_length() - 2
        if self.expansion < 1:
            raise ValueError("expansion must be at least 1")
        object.__setattr__(self, "widths", tuple(self.widths or [768] * (stages - 1) + [384]))  # JSON has lists
        object.__setattr__(self, "blocks", tuple(self.blocks or [2] * stages))
        object.__setattr__(self, "groups", tuple(self.groups or [max(w * self.expansion // 16, 1) for w in self.widths]))
        for name in ("widths", "blocks", "groups"):
            if len(getattr(self, name)) != stages or min(getattr(self, name)) < 1:
                raise ValueError(f"{name} must be {stages} numbers of 1 or more")
        if any(w * self.expansion % g for w, g in zip(self.widths, self.groups, strict=True)):
            raise ValueError("groups must divide the channels inside a block")
        if self.z_dim < 1 or bool(self.c_dim) != bool(self.embed_dim):
            raise ValueError("z_dim must be at least 1, and embed_dim above 0 where there are classes, else 0")
        if self.kernel_size not in (1, 3, 5, 7):
            raise ValueError(f"kernel_size must be 1, 3, 5 or 7, not {self.kernel_size}")


class ResidualBlock(nn.Module):
    """x + convolutions of 1x1, kxk in groups, and 1x1; a bias and leaky ReLU before the second and the third."""

    def __init__(self, width: int, inside: int, groups: int, kernel_size: int):
        super().__init__()
        self.widen = nn.Conv2d(width, inside, 1, bias=False)
        self.bias0 = nn.Parameter(torch.zeros(inside))
        self.conv = nn.Conv2d(inside, inside, kernel_size, padding=kernel_size // 2, groups=groups, bias=False)
        self.bias1 = nn.Parameter(torch.zeros(inside))
        self.narrow = nn.Conv2d(inside, width, 1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv(_activated(self.widen(x), self.bias0))
        return x + self.narrow(_activated(y, self.bias1))


def _activated(x: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    return F.leaky_relu(x + bias.to(x.dtype)[:, None, None], 0.2)


class Stage(nn.Module):
    """Blocks of one resolution; before them the doubling, with another number of channels where it changes."""

    resample_filter: torch.Tensor

    def __init__(self, number: int, cfg: R3GANConfig):
        super().__init__()
        width = cfg.widths[number]
        if number:
            before = cfg.widths[number - 1]
            self.change = nn.Conv2d(before, width, 1, bias=False) if before != width else None
            self.register_buffer("resample_filter", fir_filter(_FILTER))
        self.blocks = nn.ModuleList(
            ResidualBlock(width, width * cfg.expansion, cfg.groups[number], cfg.kernel_size) for _ in range(cfg.blocks[number])
        )

    def doubled(self, x: torch.Tensor) -> torch.Tensor:
        """(N, width before, H, W) -> (N, width, 2H, 2W)."""
        return upsample(x if self.change is None else self.change(x), self.resample_filter)


class Synthesis(SteppedSynthesis):
    """ws -> picture.  One row: z and the class."""

    def __init__(self, cfg: R3GANConfig, mapping: RowMapping):
        super().__init__()
        self.w_dim, self.num_ws, self.resolution, self.split = mapping.w_dim, 1, cfg.resolution, mapping.split
        self.embed = LabelEmbedding(cfg.c_dim, cfg.embed_dim) if cfg.c_dim else None
        self.basis = nn.Parameter(normal(cfg.widths[0], 4, 4))
        self.weigh = nn.Linear(cfg.z_dim + cfg.embed_dim, cfg.widths[0], bias=False)
        self.stages = nn.ModuleList(Stage(i, cfg) for i in range(len(cfg.widths)))
        self.torgb = nn.Conv2d(cfg.widths[-1], 3, 1, bias=False)

    @property
    def steps(self) -> list[Step]:
        """The 4x4 basis weighed by z and class, each block, and the picture."""

        def bottom(w, state, noise):
            z, c = self.split(w)
            weights = self.weigh(z if self.embed is None else torch.cat([z, self.embed(c)], dim=1))
            return self.basis * weights[:, :, None, None], None

        out = [Step("basis", 4, 0, bottom)]
        stages: Any = self.stages
        for i, stage in enumerate(stages):
            side = 4 << i
            for k, block in enumerate(stage.blocks):

                def run(w, state, noise, stage=stage, block=block, up=bool(i and not k)):
                    return block(stage.doubled(state[0]) if up else state[0]), None

                out.append(Step(f"b{side}.block{k}", side, 0, run))

        def torgb(w, state, noise):
            return None, self.torgb(state[0]).float()

        return [*out, Step("torgb", self.resolution, 0, torgb)]


class Generator(LatentGenerator):
    """z, class -> picture."""

    def __init__(self, cfg: R3GANConfig):
        mapping = RowMapping(cfg.z_dim, cfg.c_dim)
        super().__init__(cfg, mapping, Synthesis(cfg, mapping))


register(
    Family(
        name="r3gan",
        title="R3GAN",
        sentence="A plain generator of modern residual blocks; models of it are brought along, not trained here.",
        task=Task.GENERATE,
        config=R3GANConfig,
        generator=Generator,
        discriminator=None,
        classes=True,
        resizable=True,
        tileable=True,
    )
)
