"""StyleGAN3 (Karras 2021, "Alias-Free Generative Adversarial Networks"): the generator, configurations T and R.

Every layer treats its features as samples of a continuous picture and keeps their frequencies below what its grid can
hold, so that detail sticks to what is drawn and not to the pixels; a picture can then be moved (T) and also turned (R)
smoothly. R has 1x1 convolutions, radially symmetric filters and, in public checkpoints, twice the channels of T.
Names of parameters are the ones that public checkpoints use, so that their tensors can be copied by name.
Inference only: there is no discriminator here.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from studio.networks.generative.latent_generator import FIRST_SIDE, Grid, LatentGenerator, Step, SteppedSynthesis
from studio.networks.generative.stylegan2 import Mapping
from studio.networks.layers import EqualizedLinear, normal
from studio.networks.registry import Family, Task, register


@dataclass(frozen=True)
class StyleGAN3Config:
    """Hyper-parameters; the defaults are those of configuration T. Cutoffs and stopbands in cycles a picture side.

    Raises ValueError for values of which no network can be made.
    """

    resolution: int = 256  # side of the picture in pixels, a power of two >= 16
    z_dim: int = 512  # input latent
    c_dim: int = 0  # number of classes, 0 = unconditional
    w_dim: int = 512  # intermediate latent
    img_channels: int = 3
    mapping_layers: int = 2
    mapping_lr_multiplier: float = 0.01
    w_avg_beta: float = 0.998  # decay of the running mean of w
    channel_base: int = 32768  # a layer with cutoff f has min(channel_base / 2 / f, channel_max) channels
    channel_max: int = 512
    num_layers: int = 14  # between the Fourier features and ToRGB
    num_critical: int = 2  # last layers whose cutoff is all that their grid can hold
    first_cutoff: float = 2.0  # f_c of the first layer
    first_stopband: float = 2**2.1  # f_t of the first layer: beyond it nothing passes
    last_stopband_rel: float = 2**0.3  # f_t of the last layer, by its cutoff
    margin_size: int = 10  # pixels kept beyond each edge of the picture
    output_scale: float = 0.25  # of the last layer's output
    conv_kernel: int = 3  # 3 in T, 1 in R
    filter_size: int = 6  # taps of a low-pass filter for each sample that it resamples
    lrelu_upsampling: int = 2  # how much finer the grid is on which the nonlinearity works
    use_radial_filters: bool = False  # True in R, but for the critically sampled layers
    conv_clamp: float | None = 256.0  # activations are clamped to +-this, None = off
    magnitude_ema_beta: float = 0.999  # decay of the running mean of the input's square, of a training

    def __post_init__(self):
        r = self.resolution
        if not (isinstance(r, int) and 16 <= r <= 4096 and r & (r - 1) == 0):
            raise ValueError(f"resolution must be a power of two from 16 to 4096, not {r}")
        # Cutoffs, stopbands and so the grids grow from layer to layer, and the first grid has room above its cutoff.
        limits = (
            ("num_layers", 1, 62),
            ("num_critical", 0, self.num_layers - 1),
            ("margin_size", 0, 256),
            ("filter_size", 1, 32),
            ("lrelu_upsampling", 1, 4),
            ("channel_base", r, 1 << 24),
            ("channel_max", 1, 1 << 14),
            ("last_stopband_rel", 1, 4),
            ("first_cutoff", 1, r / 4),
            ("first_stopband", self.first_cutoff * 1.01, r / 2 * self.last_stopband_rel),
        )
        for name, low, high in limits:
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} must be from {low:g} to {high:g}, not {getattr(self, name)}")
        if self.lrelu_upsampling & (self.lrelu_upsampling - 1) or self.conv_kernel not in (1, 3, 5, 7):
            raise ValueError("lrelu_upsampling must be a power of two, conv_kernel 1, 3, 5 or 7")

    @property
    def bands(self) -> list["Band"]:
        """What each layer's output can hold, ToRGB's last (Sec. 3.2 and Fig. 4c)."""
        last_cutoff = self.resolution / 2
        exponents = np.minimum(np.arange(self.num_layers + 1) / (self.num_layers - self.num_critical), 1)
        cutoffs = self.first_cutoff * (last_cutoff / self.first_cutoff) ** exponents
        stopbands = self.first_stopband * (last_cutoff * self.last_stopband_rel / self.first_stopband) ** exponents
        rates = np.exp2(np.ceil(np.log2(np.minimum(stopbands * 2, self.resolution))))
        half_widths = np.maximum(stopbands, rates / 2) - cutoffs
        sizes = rates + 2 * self.margin_size
        sizes[-2:] = self.resolution
        channels = np.rint(np.minimum(self.channel_base / 2 / cutoffs, self.channel_max))
        channels[-1] = self.img_channels
        return [
            Band(float(f), float(h), int(s), int(size), int(c))
            for f, h, s, size, c in zip(cutoffs, half_widths, rates, sizes, channels, strict=True)
        ]


@dataclass(frozen=True)
class Band:
    """The frequencies of a layer and the grid that holds them."""

    cutoff: float  # f_c, cycles a picture side
    half_width: float  # from f_c to the end of the transition, likewise
    rate: int  # samples a picture side
    size: int  # samples a side, the margins included
    channels: int


# -- filters ----------------------------------------------------------------------------------------------------------


def lowpass(taps: int, cutoff: float, width: float, rate: float, radial: bool = False) -> torch.Tensor | None:
    """Windowed sinc (taps,), or jinc (taps, taps) when radial, with unit sum (App. B and C). None for one tap: nothing to do.

    cutoff: where the response is halved.  width: of the transition.  rate: of the samples; all in the same unit.
    """
    if taps == 1:
        return None
    # Kaiser 1974: the attenuation that so many taps reach over such a transition, and the window's shape for it.
    attenuation = 2.285 * (taps - 1) * math.pi * width / (rate / 2) + 7.95
    beta = 0.0
    if attenuation > 50:
        beta = 0.1102 * (attenuation - 8.7)
    elif attenuation > 21:
        beta = 0.5842 * (attenuation - 21) ** 0.4 + 0.07886 * (attenuation - 21)
    window = np.kaiser(taps, beta)
    x = (np.arange(taps) - (taps - 1) / 2) / rate
    if radial:
        r = np.pi * np.hypot(*np.meshgrid(x, x))
        bessel = torch.special.bessel_j1(torch.from_numpy(2 * cutoff * r)).numpy()
        f = np.divide(bessel, r, out=np.full_like(r, cutoff), where=r > 0) * np.outer(window, window)
    else:
        f = np.sinc(2 * cutoff * x) * window
    # As a list, so that on the meta device nothing but a shape is made of it.
    return torch.tensor((f / f.sum()).astype(np.float32).tolist())


def _kernels(f: torch.Tensor, x: torch.Tensor) -> list[torch.Tensor]:
    """A filter as the convolutions of each channel that make it up: one a direction when it is separable."""
    planes = [f[:, None], f[None, :]] if f.ndim == 1 else [f]
    return [p.to(x.dtype).expand(x.shape[1], 1, *p.shape) for p in planes]


def _strides(kernel: torch.Tensor, step: int) -> tuple[int, int]:
    return step if kernel.shape[2] > 1 else 1, step if kernel.shape[3] > 1 else 1


def upsample(x: torch.Tensor, f: torch.Tensor | None, up: int, pad: tuple[int, int]) -> torch.Tensor:
    """Insert zeros by `up`, pad both axes, low-pass by the symmetric `f` (n,) or (n, n), keep the amplitude.

    x: (N, C, H, W) -> (N, C, H*up + sum(pad) - n + 1, ...).  pad: (before, after) in samples of the fine grid; negative crops.
    """
    n = 1 if f is None else len(f)
    if n == 1 and up > 1:
        raise ValueError("upsampling needs a filter")
    if f is not None:
        for k in _kernels(f * (up if f.ndim == 1 else up**2), x):
            x = F.conv_transpose2d(x, k, stride=_strides(k, up), groups=x.shape[1])
    # A transposed convolution gives all samples that the picture touches; pad counts from the n-1 before the first.
    before, after = pad[0] - (n - 1), pad[1] - (n - up)
    return F.pad(x, (before, after, before, after)) if before or after else x


def downsample(x: torch.Tensor, f: torch.Tensor | None, down: int) -> torch.Tensor:
    """Low-pass by the symmetric `f` (n,) or (n, n), keep every `down`-th sample: (N, C, H, W) -> (N, C, (H-n)//down + 1, ...)."""
    if f is None:
        return x[:, :, ::down, ::down]
    for k in _kernels(f, x):
        x = F.conv2d(x, k, stride=_strides(k, down), groups=x.shape[1])
    return x


# -- layers -----------------------------------------------------------------------------------------------------------


class SynthesisInput(nn.Module):
    """Fourier features on the grid of the first layer, moved and turned by w (Sec. 3.2 and App. F)."""

    freqs: torch.Tensor
    phases: torch.Tensor
    transform: torch.Tensor

    def __init__(self, cfg: StyleGAN3Config, band: Band):
        super().__init__()
        self.band = band
        freqs, phases = normal(band.channels, 2), torch.empty(band.channels)
        if not freqs.is_meta:  # there only shapes count, and computing would cost a second (see `normal`)
            # Frequencies spread evenly over the disc below the cutoff.
            radii = freqs.square().sum(dim=1, keepdim=True).sqrt()
            freqs = freqs / (radii * radii.square().exp().pow(0.25)) * band.cutoff
            phases.uniform_(-0.5, 0.5)
        self.register_buffer("freqs", freqs)
        self.register_buffer("phases", phases)
        self.weight = nn.Parameter(normal(band.channels, band.channels))
        self.affine = EqualizedLinear(cfg.w_dim, 4)  # of cos and sin of the turn, and the shift x, y
        self.affine.weight = nn.Parameter(torch.zeros(4, cfg.w_dim))
        self.affine.bias = nn.Parameter(torch.tensor([1.0, 0.0, 0.0, 0.0]))
        self.register_buffer("transform", torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]))

    def forward(self, w: torch.Tensor, grid: Grid = Grid()) -> torch.Tensor:
        """w: (N, w_dim).  Returns (N, channels, size, size), or on a larger grid what lies beyond the edges as well.

        A place p of the picture (its side is 1, its middle 0, y down) shows what was at R (transform p - t) before, with
        R and t drawn from w.
        """
        band = self.band
        # Phases hang on every digit: half precision would tear the picture.
        with torch.autocast(w.device.type, enabled=False):
            t = self.affine(w)
            t = t / t[:, :2].norm(dim=1, keepdim=True)
            cos, sin = t[:, 0], t[:, 1]
            turn = torch.stack([torch.stack([cos, -sin], dim=1), torch.stack([sin, cos], dim=1)], dim=1)  # (N, 2, 2)
            linear = turn @ self.transform[:2, :2]
            shift = turn @ (self.transform[:2, 2] - t[:, 2:]).unsqueeze(2)  # (N, 2, 1)
            phases = self.phases + (self.freqs @ shift).squeeze(2)  # (N, channels)
            freqs = self.freqs @ linear  # (N, channels, 2)
            # A transform that shrinks the picture raises frequencies; what the grid cannot hold fades out.
            room = band.rate / 2 - band.cutoff
            amplitudes = (1 - (freqs.norm(dim=2) - band.cutoff) / room).clamp(0, 1)
            down, across = (self._places(n / FIRST_SIDE, grid.stretch, w.device) for n in (grid.height, grid.width))
            waves = freqs[:, :, 1, None, None] * down[:, None] + freqs[:, :, 0, None, None] * across  # (N, channels, size, size)
            waves = torch.sin(2 * math.pi * (waves + phases[:, :, None, None])) * amplitudes[:, :, None, None]
            return F.conv2d(waves, (self.weight / math.sqrt(band.channels))[:, :, None, None])

    def _places(self, sides: float, stretch: bool, device: torch.device) -> torch.Tensor:
        """Where the samples of one axis of a picture lie that is `sides` long, margins included; the trained one has one side."""
        size = round(self.band.rate * sides) + self.band.size - self.band.rate
        at = (torch.arange(size, device=device) + 0.5 - size / 2) / self.band.rate
        return at / sides if stretch else at


class SynthesisLayer(nn.Module):
    """Modulated convolution, then a nonlinearity on a finer grid between two low-pass filters (Sec. 3.1 and Fig. 4b)."""

    magnitude_ema: torch.Tensor
    up_filter: torch.Tensor  # low-pass, before the nonlinearity
    down_filter: torch.Tensor  # low-pass, after it

    def __init__(self, cfg: StyleGAN3Config, before: Band, after: Band, critical: bool, torgb: bool):
        super().__init__()
        self.torgb, self.clamp = torgb, cfg.conv_clamp
        kernel = 1 if torgb else cfg.conv_kernel
        self.affine = EqualizedLinear(cfg.w_dim, before.channels, bias_init=1)
        self.weight = nn.Parameter(normal(after.channels, before.channels, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(after.channels))
        self.register_buffer("magnitude_ema", torch.ones([]))  # mean square of the input

        rate = max(before.rate, after.rate) * (1 if torgb else cfg.lrelu_upsampling)  # of the finer grid
        self.up, self.down = rate // before.rate, rate // after.rate
        up_taps = cfg.filter_size * self.up if self.up > 1 and not torgb else 1
        down_taps = cfg.filter_size * self.down if self.down > 1 and not torgb else 1
        radial = cfg.use_radial_filters and not critical
        self.register_buffer("up_filter", lowpass(up_taps, before.cutoff, before.half_width * 2, rate))
        self.register_buffer("down_filter", lowpass(down_taps, after.cutoff, after.half_width * 2, rate, radial))
        # Samples of the finer grid that lead to `after.size`, less those that there are.
        missing = (after.size - 1) * self.down + 1 - (before.size + kernel - 1) * self.up + up_taps + down_taps - 2
        first = (missing + self.up) // 2  # half a coarse sample more: the first zero lies behind it
        self.pad = (first, missing - first)

    def forward(self, x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        """x: (N, in, H, W), w: (N, w_dim) -> (N, out, size, size)."""
        styles, weight = self.affine(w), self.weight
        # The gain of the nonlinearity, applied before it, where there are far fewer samples.
        gain = 1.0 if self.torgb else math.sqrt(2)
        demod = None
        with torch.autocast(x.device.type, enabled=False):
            if self.torgb:
                styles = styles / math.sqrt(weight[0].numel())
            else:
                # Both about one before they are multiplied, so that half precision holds them (StyleGAN2, Sec. 2.2).
                weight = weight * weight.square().mean(dim=[1, 2, 3], keepdim=True).rsqrt()
                styles = styles * styles.square().mean(dim=1, keepdim=True).rsqrt()
                demod = (styles.square() @ weight.square().sum(dim=[2, 3]).t() + 1e-8).rsqrt() * gain
            styles = styles * self.magnitude_ema.rsqrt()  # the input's scale is a constant, not measured (Sec. 3.2)
        x = x * styles.to(x.dtype)[:, :, None, None]
        x = F.conv2d(x, weight.to(x.dtype), padding=weight.shape[-1] - 1)
        if demod is not None:
            x = x * demod.to(x.dtype)[:, :, None, None]
        x = upsample(x + (self.bias * gain).to(x.dtype)[:, None, None], self.up_filter, self.up, self.pad)
        if not self.torgb:
            x = F.leaky_relu(x, 0.2, inplace=True)
        if self.clamp is not None:
            x = x.clamp(-self.clamp, self.clamp)
        return downsample(x, self.down_filter, self.down)


class Synthesis(SteppedSynthesis):
    """ws -> picture: Fourier features, `num_layers` layers and ToRGB, each with a row of its own."""

    def __init__(self, cfg: StyleGAN3Config):
        super().__init__()
        self.w_dim, self.resolution, self.output_scale = cfg.w_dim, cfg.resolution, cfg.output_scale
        self.num_ws = cfg.num_layers + 2
        bands = cfg.bands
        self.sizes, self.margins = [band.size for band in bands], [(band.size - band.rate) // 2 for band in bands]
        self.input = SynthesisInput(cfg, bands[0])
        self.layer_names = [f"L{i}_{band.size}_{band.channels}" for i, band in enumerate(bands)]
        for i, name in enumerate(self.layer_names):
            critical, torgb = i >= cfg.num_layers - cfg.num_critical, i == cfg.num_layers
            setattr(self, name, SynthesisLayer(cfg, bands[max(i - 1, 0)], bands[i], critical, torgb))

    @contextmanager
    def transformed(self, x: float, y: float, rotate: float) -> Iterator[None]:
        """Inside of it pictures are turned about their middle, then moved.

        x, y: to the right and down, in sides of the picture.  rotate: degrees, against the clock.
        """
        own = self.input.transform
        cos, sin = math.cos(math.radians(rotate)), math.sin(math.radians(rotate))
        # Of the places on the screen, the other way: it asks where in the picture each of them lies.
        there = [[cos, -sin, -cos * x + sin * y], [sin, cos, -sin * x - cos * y], [0.0, 0.0, 1.0]]
        self.input.transform = own @ torch.tensor(there, dtype=own.dtype, device=own.device)
        try:
            yield
        finally:
            self.input.transform = own

    @property
    def steps(self) -> list[Step]:
        """The Fourier features, then every layer."""

        def features(w, state, noise):
            return self.input(w, self.grid), None

        out = [Step("input", self.sizes[0], 0, features, self.margins[0])]
        for i, name in enumerate(self.layer_names):
            layer = getattr(self, name)

            def run(w, state, noise, layer=layer):
                x = layer(state[0], w)
                return (x, None) if not layer.torgb else (None, x.float() * self.output_scale)

            out.append(Step(name, self.sizes[i], i + 1, run, self.margins[i]))
        return out


class Generator(LatentGenerator):
    """Mapping, as in StyleGAN2 but with fewer layers, and synthesis."""

    def __init__(self, cfg: StyleGAN3Config):
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


register(
    Family(
        name="stylegan3",
        title="StyleGAN3",
        sentence="Detail that sticks to things and not to pixels: pictures that can be moved and turned. For models made elsewhere.",
        task=Task.GENERATE,
        config=StyleGAN3Config,
        generator=Generator,
        discriminator=None,
        learns_w=True,
        classes=True,
        transformable=True,
        resizable=True,
    )
)
