"""FastGAN (Liu 2021, "Towards Faster and Stabilized GAN Training for High-fidelity Few-shot Image Synthesis"), its generator, as its
authors' code and that of Projected GANs (Sauer 2021) have it.

It can be explored and mixed; models of it come from elsewhere.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from studio.networks.generative.latent_generator import LatentGenerator, RowMapping, Step, SteppedSynthesis
from studio.networks.layers import normal, normalize_2nd_moment
from studio.networks.registry import Family, Task, register

_WIDTHS = {4: 16, 8: 8, 16: 4, 32: 2, 64: 2, 128: 1, 256: 0.5, 512: 0.25, 1024: 0.125}  # channels by resolution, in units of 64
_EXCITED = (64, 128, 256, 512)  # resolutions whose channels are scaled by what the map 1/16 as large shows


@dataclass(frozen=True)
class FastGANConfig:
    """Hyper-parameters of the generator; the defaults are those of the paper's code at 256 px."""

    resolution: int = 256  # side of the picture in pixels, a power of two from 64 to 1024
    z_dim: int = 256
    widths: tuple[int, ...] = ()  # channels at 4, 8, ..., resolution; () = the paper's
    twice: tuple[int, ...] = ()  # 1 for each block, from 8 px on, that has two convolutions and noise, else 0; () = every other one
    normalized: bool = False  # z is scaled to unit length, as Projected GANs' code does
    bias: bool = False  # of the last convolution
    tanh: bool = False  # the picture goes through it; without, it is only clamped

    def __post_init__(self):
        r = self.resolution
        if not (isinstance(r, int) and 64 <= r <= 1024 and r & (r - 1) == 0):
            raise ValueError(f"resolution must be a power of two from 64 to 1024, not {r}")
        for name, default in (
            ("widths", [int(64 * _WIDTHS[side]) for side in self.sides]),
            ("twice", [(i + 1) % 2 for i in range(len(self.sides) - 1)]),
        ):
            object.__setattr__(self, name, tuple(getattr(self, name) or default))  # JSON has lists
        if len(self.widths) != len(self.sides) or min(self.widths) < 1:
            raise ValueError(f"widths must be {len(self.sides)} numbers of 1 or more")
        if len(self.twice) != len(self.sides) - 1 or not set(self.twice) <= {0, 1}:
            raise ValueError(f"twice must be {len(self.sides) - 1} numbers, each 0 or 1")
        if self.z_dim < 1:
            raise ValueError("z_dim must be at least 1")

    @property
    def c_dim(self) -> int:
        """Number of classes: there are none."""
        return 0

    @property
    def sides(self) -> list[int]:
        """Resolutions of the maps: 4, 8, ..., resolution."""
        return [4 << i for i in range(self.resolution.bit_length() - 2)]


class Mapping(RowMapping):
    """z -> its only row, as it is or scaled to unit length (mean square 1)."""

    def __init__(self, cfg: FastGANConfig):
        super().__init__(cfg.z_dim, 0)
        self.normalized = cfg.normalized

    def forward(
        self, z: torch.Tensor, c: torch.Tensor | None = None, truncation_psi: float = 1.0, truncation_cutoff: int | None = None
    ) -> torch.Tensor:
        """z: (N, z_dim), N(0, 1).  Returns ws (N, 1, z_dim).  c is not read."""
        return super().forward(normalize_2nd_moment(z.float()) if self.normalized else z, None, truncation_psi, truncation_cutoff)


class BatchNorm(nn.Module):
    """Batch normalisation by running statistics: models of this family are not trained here."""

    running_mean: torch.Tensor
    running_var: torch.Tensor

    def __init__(self, channels: int):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias)


class GatedConv(nn.Module):
    """A 3x3 convolution to twice the channels, noise where it has some, batch normalisation, and a gate: the first half of the
    channels times the sigmoid of the second (GLU)."""

    def __init__(self, in_channels: int, out_channels: int, resolution: int, use_noise: bool):
        super().__init__()
        self.use_noise, self.resolution = use_noise, resolution
        self.conv = nn.Conv2d(in_channels, 2 * out_channels, 3, padding=1, bias=False)
        self.norm = BatchNorm(2 * out_channels)
        if use_noise:
            self.noise_strength = nn.Parameter(torch.zeros([]))
            self.register_buffer("noise_const", normal(resolution, resolution))

    def forward(self, x: torch.Tensor, noise: torch.Tensor | None) -> torch.Tensor:
        """x: (N, in, H, W).  noise: broadcastable to (N, 1, H, W), its strength included, or None.  Returns (N, out, H, W)."""
        x = self.conv(x)
        return F.glu(self.norm(x if noise is None else x + noise.to(x.dtype)), dim=1)


class Block(nn.Module):
    """Doubling to the nearest pixel, and one gated convolution, or two with noise."""

    def __init__(self, in_channels: int, out_channels: int, resolution: int, twice: bool):
        super().__init__()
        self.conv0 = GatedConv(in_channels, out_channels, resolution, use_noise=twice)
        self.conv1 = GatedConv(out_channels, out_channels, resolution, use_noise=True) if twice else None

    def forward(self, x: torch.Tensor, noise) -> torch.Tensor:
        """noise: layer -> its noise."""
        x = self.conv0(F.interpolate(x, scale_factor=2, mode="nearest"), noise(self.conv0))
        return x if self.conv1 is None else self.conv1(x, noise(self.conv1))


class Excitation(nn.Module):
    """Channels of a large map scaled by what a small map shows (skip-layer excitation, Sec. 3.1)."""

    def __init__(self, small: int, large: int):
        super().__init__()
        self.look = nn.Conv2d(small, large, 4, bias=False)
        self.weigh = nn.Conv2d(large, large, 1, bias=False)

    def forward(self, small: torch.Tensor, large: torch.Tensor) -> torch.Tensor:
        return large * torch.sigmoid(self.weigh(F.silu(self.look(F.adaptive_avg_pool2d(small, 4)))))


class Synthesis(SteppedSynthesis):
    """ws -> picture, in one step: maps of 4 to 32 px act on later ones."""

    def __init__(self, cfg: FastGANConfig):
        super().__init__()
        self.w_dim, self.num_ws, self.resolution, self.sides, self.tanh = cfg.z_dim, 1, cfg.resolution, cfg.sides, cfg.tanh
        width = dict(zip(cfg.sides, cfg.widths, strict=True))
        self.first = nn.ConvTranspose2d(cfg.z_dim, 2 * width[4], 4, bias=False)
        self.first_norm = BatchNorm(2 * width[4])
        for side, twice in zip(cfg.sides[1:], cfg.twice, strict=True):
            setattr(self, f"b{side}", Block(width[side // 2], width[side], side, bool(twice)))
            if side in _EXCITED:
                setattr(self, f"excite{side}", Excitation(width[side // 16], width[side]))
        self.torgb = nn.Conv2d(width[cfg.resolution], 3, 3, padding=1, bias=cfg.bias)

    @property
    def steps(self) -> list[Step]:
        """One."""

        def draw(w, state, noise):
            maps = {4: F.glu(self.first_norm(self.first(w[:, :, None, None])), dim=1)}
            for side in self.sides[1:]:
                x = getattr(self, f"b{side}")(maps[side // 2], noise)
                maps[side] = getattr(self, f"excite{side}")(maps[side // 16], x) if side in _EXCITED else x
            picture = self.torgb(maps[self.resolution]).float()
            return None, torch.tanh(picture) if self.tanh else picture

        return [Step("picture", self.resolution, 0, draw)]


class Generator(LatentGenerator):
    """z -> picture."""

    def __init__(self, cfg: FastGANConfig):
        super().__init__(cfg, Mapping(cfg), Synthesis(cfg))


register(
    Family(
        name="fastgan",
        title="FastGAN",
        sentence="Learns from a hundred pictures or so; models of it are brought along, not trained here.",
        task=Task.GENERATE,
        config=FastGANConfig,
        generator=Generator,
        discriminator=None,
    )
)
