"""StyleGAN (Karras 2019, "A Style-Based Generator Architecture for Generative Adversarial Networks").

A mapping, a learned constant, AdaIN, noise a pixel, and both players growing from small pictures to large ones
(Karras 2018, ProGAN, "Progressive Growing of GANs for Improved Quality, Stability, and Variation").

How far the players have grown is one number, `grown`, in doublings of 4x4: 0 = 4x4, 1 = 8x8, 1.5 = 16x16 half faded in,
`stages` = all of it. It is a buffer, so it travels with the weights; `set_grown` moves it. Whatever it says, the generator
gives pictures of the full resolution and the discriminator takes them.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from studio.networks.generative.latent_generator import LatentGenerator, Step, SteppedSynthesis
from studio.networks.generative.stylegan2 import Mapping
from studio.networks.layers import EqualizedConv, EqualizedLinear, MinibatchStd, activate, normal
from studio.networks.registry import Family, Task, register


@dataclass(frozen=True)
class StyleGANConfig:
    """Hyper-parameters of both players; the defaults are those of the paper."""

    resolution: int = 256  # side of the picture in pixels, a power of two from 8 to 1024
    z_dim: int = 512  # input latent
    c_dim: int = 0  # number of classes, 0 = unconditional
    w_dim: int = 512  # intermediate latent
    img_channels: int = 3
    channel_base: int = 16384  # channels at resolution r are min(channel_base // r, channel_max)
    channel_max: int = 512
    mapping_layers: int = 8
    mapping_lr_multiplier: float = 0.01
    w_avg_beta: float = 0.995  # decay of the running mean of w
    # A doubling of pixels followed by the paper's blur (1, 2, 1) is this one filter, and so is the blur followed by a halving.
    resample_filter: tuple[float, ...] = (1, 3, 3, 1)
    use_noise: bool = True
    mbstd_group_size: int | None = 4  # pictures a group in the minibatch deviation, None = whole batch
    mbstd_num_channels: int = 1  # 0 = off
    d_mapping_layers: int = 8  # layers of the discriminator's class mapping

    def __post_init__(self):
        r = self.resolution
        if not (isinstance(r, int) and 8 <= r <= 1024 and r & (r - 1) == 0):
            raise ValueError(f"resolution must be a power of two from 8 to 1024, not {r}")
        if self.channel_base < r or self.channel_max < 1:
            raise ValueError(f"channel_base must be at least the resolution of {r}, and channel_max at least 1")
        object.__setattr__(self, "resample_filter", tuple(self.resample_filter))  # JSON has lists

    @property
    def stages(self) -> int:
        """Doublings from 4x4 to the full resolution."""
        return int(math.log2(self.resolution)) - 2

    @property
    def block_resolutions(self) -> list[int]:
        """[4, 8, ..., resolution]"""
        return [4 << stage for stage in range(self.stages + 1)]

    def channels(self, resolution: int) -> int:
        """Feature channels of both players at a resolution."""
        return min(self.channel_base // resolution, self.channel_max)


class Growing(nn.Module):
    """A player that can be made small. Begins fully grown.

    `grown` is read from the buffer at each use: weights that are loaded or averaged bring their own.
    """

    grown: torch.Tensor

    def __init__(self, stages: int):
        super().__init__()
        self.stages = stages
        self.register_buffer("grown", torch.tensor(float(stages)))

    def set_grown(self, grown: float) -> None:
        """How far to grow, in [0, stages] doublings of 4x4. Raises ValueError outside of it."""
        if not 0 <= grown <= self.stages:
            raise ValueError(f"grown must be from 0 to {self.stages}, not {grown}")
        self.grown.fill_(grown)

    def growth(self) -> tuple[int, float]:
        """(newest stage in use, its weight in (0, 1]; the rest is that of the stage below)."""
        # A damaged number in a file may be anything: it must not run past the last stage.
        grown = min(float(self.stages), max(0.0, float(self.grown)))
        newest = math.ceil(grown)
        return newest, 1 - (newest - grown)


def adain(x: torch.Tensor, scale: torch.Tensor, shift: torch.Tensor, eps: float = 1e-8) -> torch.Tensor:
    """Adaptive instance normalisation, Eq. 1: scale * (x - mean(x)) / std(x) + shift, each channel of each picture for itself.

    x: (N, C, H, W).  scale, shift: (N, C).  The sums are in full precision, the answer has the dtype of x.
    """
    with torch.autocast(x.device.type, enabled=False):
        y = x.float()
        y = y - y.mean(dim=[2, 3], keepdim=True)
        scale = scale[:, :, None, None] * (y.square().mean(dim=[2, 3], keepdim=True) + eps).rsqrt()
        return torch.addcmul(shift[:, :, None, None], y, scale).to(x.dtype)


def as_it_is(x: torch.Tensor) -> torch.Tensor:
    """The constant in the size in which it was learned."""
    return x


class StyledLayer(nn.Module):
    """The learned constant or a convolution, then noise, bias, leaky ReLU and AdaIN (Fig. 1b and App. C)."""

    noise_const: torch.Tensor

    def __init__(self, in_channels: int | None, out_channels: int, resolution: int, cfg: StyleGANConfig, up: int = 1):
        super().__init__()
        self.resolution, self.use_noise = resolution, cfg.use_noise
        if in_channels is None:
            # The paper begins with ones, of which the normalisation leaves nothing; from a draw all channels differ at once.
            self.const = nn.Parameter(normal(out_channels, resolution, resolution))
        else:
            self.conv = EqualizedConv(in_channels, out_channels, 3, bias=False, up=up, resample_filter=cfg.resample_filter)
        if cfg.use_noise:
            self.register_buffer("noise_const", normal(resolution, resolution))
            self.noise_strength = nn.Parameter(torch.zeros(out_channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.affine = EqualizedLinear(cfg.w_dim, 2 * out_channels)

    def forward(
        self, x: torch.Tensor | None, w: torch.Tensor, noise: torch.Tensor | None, sized: Callable[[torch.Tensor], torch.Tensor] = as_it_is
    ) -> torch.Tensor:
        """x: (N, in, H, W), None for the constant, in the size that `sized` gives it.  w: (N, w_dim).

        noise: broadcastable to (N, out, res, res), strength included.
        """
        y: torch.Tensor = sized(self.const).unsqueeze(0).expand(len(w), -1, -1, -1) if x is None else self.conv(x)
        if noise is not None:
            y = y + noise.to(y.dtype)
        y = activate(y, self.bias, "lrelu")
        scale, shift = self.affine(w).chunk(2, dim=1)
        return adain(y, scale + 1, shift)


class SynthesisBlock(nn.Module):
    """The layers of one resolution."""

    def __init__(self, resolution: int, cfg: StyleGANConfig):
        super().__init__()
        out, first = cfg.channels(resolution), resolution == 4
        self.conv0 = StyledLayer(None if first else cfg.channels(resolution // 2), out, resolution, cfg, up=1 if first else 2)
        self.conv1 = StyledLayer(out, out, resolution, cfg)
        self.torgb = EqualizedConv(out, cfg.img_channels, 1)


class Synthesis(Growing, SteppedSynthesis):
    """ws -> picture (Fig. 1b). Two rows of ws a resolution; those of resolutions not yet grown are not read."""

    def __init__(self, cfg: StyleGANConfig):
        super().__init__(cfg.stages)
        self.w_dim, self.resolution = cfg.w_dim, cfg.resolution
        self.block_resolutions = cfg.block_resolutions
        self.num_ws = 2 * len(self.block_resolutions)
        for r in self.block_resolutions:
            setattr(self, f"b{r}", SynthesisBlock(r, cfg))

    @property
    def steps(self) -> list[Step]:
        """Two layers a resolution and the picture of the newest; in a fade also that of the resolution below."""
        newest, weight = self.growth()
        out = []
        for stage, r in enumerate(self.block_resolutions[: newest + 1]):
            block = getattr(self, f"b{r}")
            for i, layer in enumerate((block.conv0, block.conv1)):

                def styled(w, state, noise, layer=layer):
                    return layer(state[0], w, noise(layer), self.sized), state[1]

                out.append(Step(f"b{r}.conv{i}", r, 2 * stage + i, styled))

            def picture(w, state, noise, block=block):
                return state[0], block.torgb(state[0]).float()

            def blend(w, state, noise, block=block, r=r):
                x, coarse = state
                img = block.torgb(x).float()
                if weight < 1:  # ProGAN, Fig. 2b
                    img = F.interpolate(coarse, scale_factor=2.0).lerp(img, weight)
                return x, F.interpolate(img, scale_factor=float(self.resolution // r))

            if stage == newest:
                out.append(Step(f"b{r}.torgb", r, 2 * stage + 1, blend))
            elif stage == newest - 1 and weight < 1:
                out.append(Step(f"b{r}.torgb", r, 2 * stage + 1, picture))
        return out


class Generator(LatentGenerator):
    """Mapping and synthesis."""

    synthesis: Synthesis

    def __init__(self, cfg: StyleGANConfig):
        synthesis = Synthesis(cfg)
        mapping = Mapping(
            cfg.z_dim,
            cfg.c_dim,
            cfg.w_dim,
            synthesis.num_ws,
            cfg.mapping_layers,
            lr_multiplier=cfg.mapping_lr_multiplier,
            w_avg_beta=cfg.w_avg_beta,
        )
        super().__init__(cfg, mapping, synthesis)

    def set_grown(self, grown: float) -> None:
        """See `Growing.set_grown`."""
        self.synthesis.set_grown(grown)


class DiscriminatorBlock(nn.Module):
    """Two convolutions and a halving (ProGAN, Table 2), and the way in for pictures of its resolution."""

    def __init__(self, resolution: int, cfg: StyleGANConfig):
        super().__init__()
        tmp, out = cfg.channels(resolution), cfg.channels(resolution // 2)
        self.fromrgb = EqualizedConv(cfg.img_channels, tmp, 1, act="lrelu")
        self.conv0 = EqualizedConv(tmp, tmp, 3, act="lrelu")
        self.conv1 = EqualizedConv(tmp, out, 3, act="lrelu", down=2, resample_filter=cfg.resample_filter)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv1(self.conv0(x))


class DiscriminatorEpilogue(nn.Module):
    """The 4x4 block: minibatch deviation, convolution, two linear layers, projection on the class."""

    def __init__(self, cmap_dim: int, cfg: StyleGANConfig):
        super().__init__()
        channels, extra = cfg.channels(4), cfg.mbstd_num_channels
        self.cmap_dim = cmap_dim
        self.fromrgb = EqualizedConv(cfg.img_channels, channels, 1, act="lrelu")
        self.mbstd = MinibatchStd(cfg.mbstd_group_size, extra) if extra else nn.Identity()
        self.conv = EqualizedConv(channels + extra, channels, 3, act="lrelu")
        self.fc = EqualizedLinear(channels * 16, channels, act="lrelu")
        self.out = EqualizedLinear(channels, cmap_dim or 1)

    def forward(self, x: torch.Tensor, cmap: torch.Tensor | None) -> torch.Tensor:
        x = self.conv(self.mbstd(x))
        x = self.out(self.fc(x.float().flatten(1)))
        if self.cmap_dim:
            assert cmap is not None
            # Projection discriminator (Miyato 2018), scaled to unit variance.
            x = (x * cmap).sum(dim=1, keepdim=True) / math.sqrt(self.cmap_dim)
        return x


class Discriminator(Growing):
    """picture, class -> how real it looks, (N, 1) logits."""

    def __init__(self, cfg: StyleGANConfig):
        super().__init__(cfg.stages)
        self.config = cfg
        self.block_resolutions = cfg.block_resolutions[:0:-1]
        cmap_dim = cfg.channels(4) if cfg.c_dim else 0
        for r in self.block_resolutions:
            setattr(self, f"b{r}", DiscriminatorBlock(r, cfg))
        if cfg.c_dim:
            self.mapping = Mapping(0, cfg.c_dim, cmap_dim, None, num_layers=cfg.d_mapping_layers, w_avg_beta=None)
        self.b4 = DiscriminatorEpilogue(cmap_dim, cfg)

    def forward(self, img: torch.Tensor, c: torch.Tensor | None = None) -> torch.Tensor:
        """img: (N, img_channels, resolution, resolution) in [-1, 1].  c: (N, c_dim).  Returns (N, 1).

        In a fade the fine detail of a picture counts as much as the newest block does, for real and for generated
        pictures alike (ProGAN, App. A, fades the real ones).
        """
        newest, weight = self.growth()
        r = 4 << newest
        img = F.avg_pool2d(img, self.config.resolution // r)
        block = getattr(self, f"b{r}")
        if weight < 1:  # ProGAN, Fig. 2b
            coarse = F.avg_pool2d(img, 2)
            img = F.interpolate(coarse, scale_factor=2.0).lerp(img, weight)
            x = getattr(self, f"b{r // 2}").fromrgb(coarse).lerp(block(block.fromrgb(img)), weight)
            r //= 2
        else:
            x = block.fromrgb(img)
        while r > 4:
            x, r = getattr(self, f"b{r}")(x), r // 2
        cmap = self.mapping(None, c) if self.config.c_dim else None
        return self.b4(x, cmap)


register(
    Family(
        name="stylegan",
        title="StyleGAN",
        sentence="The first of its line, which can grow from small pictures to large ones; "
        "pick it for steady learning from coarse to fine, or for its softer, older look.",
        task=Task.GENERATE,
        config=StyleGANConfig,
        generator=Generator,
        discriminator=Discriminator,
        learns_w=True,
        classes=True,
        progressive=True,
        resizable=True,
        tileable=True,
    )
)
