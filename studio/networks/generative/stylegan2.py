"""StyleGAN2 (Karras 2020, "Analyzing and Improving the Image Quality of StyleGAN").

Mapping, synthesis and discriminator, with the class conditioning of StyleGAN2-ADA (Karras 2020,
"Training Generative Adversarial Networks with Limited Data"). Names of parameters are the ones that
public checkpoints use, so that their tensors can be copied by name.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from studio.networks.generative.latent_generator import LatentGenerator, Step, SteppedSynthesis
from studio.networks.layers import (
    EqualizedConv,
    EqualizedLinear,
    MinibatchStd,
    activate,
    conv_resample,
    downsample,
    fir_filter,
    normal,
    normalize_2nd_moment,
    upsample,
)
from studio.networks.registry import Family, Task, register


@dataclass(frozen=True)
class StyleGAN2Config:
    """Hyper-parameters of both players; the defaults are those of the paper."""

    resolution: int = 256  # side of the picture in pixels, a power of two >= 8
    z_dim: int = 512  # input latent
    c_dim: int = 0  # number of classes, 0 = unconditional
    w_dim: int = 512  # intermediate latent
    img_channels: int = 3
    channel_base: int = 32768  # channels at resolution r are min(channel_base // r, channel_max)
    channel_max: int = 512
    mapping_layers: int = 8
    mapping_lr_multiplier: float = 0.01
    embed_features: int | None = None  # width of the class embedding, None = w_dim
    mapping_layer_features: int | None = None  # width of the hidden layers, None = w_dim
    w_avg_beta: float = 0.998  # decay of the running mean of w
    architecture: str = "skip"  # of the generator: 'orig', 'skip' or 'resnet'
    d_architecture: str = "resnet"  # of the discriminator, likewise
    resample_filter: tuple[float, ...] = (1, 3, 3, 1)
    conv_clamp: float | None = None  # activations are clamped to +-this (needed for fp16), None = off
    use_noise: bool = True
    mbstd_group_size: int | None = 4  # pictures a group in the minibatch deviation, None = whole batch
    mbstd_num_channels: int = 1  # 0 = off
    d_mapping_layers: int = 8  # layers of the discriminator's class mapping
    d_channel_base: int | None = None  # None = as the generator
    d_channel_max: int | None = None

    def __post_init__(self):
        r = self.resolution
        if not (isinstance(r, int) and 8 <= r <= 4096 and r & (r - 1) == 0):
            raise ValueError(f"resolution must be a power of two from 8 to 4096, not {r}")
        for name in ("architecture", "d_architecture"):
            if getattr(self, name) not in ("orig", "skip", "resnet"):
                raise ValueError(f"{name} must be 'orig', 'skip' or 'resnet', not {getattr(self, name)!r}")
        object.__setattr__(self, "resample_filter", tuple(self.resample_filter))  # JSON has lists

    @property
    def block_resolutions(self) -> list[int]:
        """[4, 8, ..., resolution]"""
        return [2**i for i in range(2, int(math.log2(self.resolution)) + 1)]

    def channels(self, resolution: int) -> int:
        """Feature channels of the generator at a resolution."""
        return min(self.channel_base // resolution, self.channel_max)

    def d_channels(self, resolution: int) -> int:
        """Feature channels of the discriminator at a resolution."""
        return min((self.d_channel_base or self.channel_base) // resolution, self.d_channel_max or self.channel_max)


class Mapping(nn.Module):
    """z and class -> w, repeated for each layer of the synthesis. Sec. 2 of StyleGAN (Karras 2019)."""

    w_avg: torch.Tensor

    def __init__(
        self,
        z_dim: int,  # 0 = no latent, only the class
        c_dim: int,
        w_dim: int,
        num_ws: int | None,  # rows to repeat w to, None = give (N, w_dim)
        num_layers: int = 8,
        embed_features: int | None = None,
        layer_features: int | None = None,
        lr_multiplier: float = 0.01,
        w_avg_beta: float | None = 0.998,  # None = keep no mean
    ):
        super().__init__()
        self.z_dim, self.c_dim, self.w_dim, self.num_ws = z_dim, c_dim, w_dim, num_ws
        self.num_layers, self.w_avg_beta = num_layers, w_avg_beta
        embed_features = (embed_features or w_dim) if c_dim else 0
        widths = [z_dim + embed_features] + [layer_features or w_dim] * (num_layers - 1) + [w_dim]
        if c_dim:
            self.embed = EqualizedLinear(c_dim, embed_features)
        for i in range(num_layers):
            setattr(self, f"fc{i}", EqualizedLinear(widths[i], widths[i + 1], act="lrelu", lr_multiplier=lr_multiplier))
        if num_ws is not None and w_avg_beta is not None:
            self.register_buffer("w_avg", torch.zeros(w_dim))

    def forward(
        self,
        z: torch.Tensor | None,
        c: torch.Tensor | None = None,
        truncation_psi: float = 1.0,
        truncation_cutoff: int | None = None,
        update_w_avg: bool = False,
    ) -> torch.Tensor:
        """z: (N, z_dim), N(0, 1).  c: (N, c_dim), one-hot or weights.  Returns ws (N, num_ws, w_dim).

        truncation_psi moves w towards its mean (1 = off), only in the first `truncation_cutoff` rows when
        given (StyleGAN, App. B).
        """
        parts = []
        if self.z_dim:
            assert z is not None
            assert z.shape[1] == self.z_dim
            parts.append(normalize_2nd_moment(z.float()))
        if self.c_dim:
            assert c is not None
            assert c.shape[1] == self.c_dim
            parts.append(normalize_2nd_moment(self.embed(c.float())))
        x = torch.cat(parts, dim=1)
        for i in range(self.num_layers):
            x = getattr(self, f"fc{i}")(x)
        if update_w_avg:
            assert self.w_avg_beta is not None
            self.w_avg.copy_(x.detach().mean(dim=0).lerp(self.w_avg, self.w_avg_beta))
        if self.num_ws is None:
            return x
        return self.truncate(x.unsqueeze(1).repeat(1, self.num_ws, 1), truncation_psi, truncation_cutoff)

    def truncate(self, ws: torch.Tensor, psi: float = 1.0, cutoff: int | None = None) -> torch.Tensor:
        """Move rows [0, cutoff) of ws (N, num_ws, w_dim) towards the mean of w."""
        if psi == 1:
            return ws
        if cutoff is None:
            return self.w_avg.lerp(ws, psi)
        ws = ws.clone()
        ws[:, :cutoff] = self.w_avg.lerp(ws[:, :cutoff], psi)
        return ws


class StyledConv(nn.Module):
    """Modulated convolution, noise, bias, activation (StyleGAN2, Sec. 2.2 and Fig. 2d)."""

    resample_filter: torch.Tensor
    noise_const: torch.Tensor

    def __init__(self, in_channels: int, out_channels: int, resolution: int, cfg: StyleGAN2Config, up: int = 1):
        super().__init__()
        self.up, self.resolution, self.clamp, self.use_noise = up, resolution, cfg.conv_clamp, cfg.use_noise
        self.register_buffer("resample_filter", fir_filter(cfg.resample_filter))
        self.affine = EqualizedLinear(cfg.w_dim, in_channels, bias_init=1)
        self.weight = nn.Parameter(normal(out_channels, in_channels, 3, 3))
        if cfg.use_noise:
            self.register_buffer("noise_const", normal(resolution, resolution))
            self.noise_strength = nn.Parameter(torch.zeros([]))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self._kept: tuple[tuple, torch.Tensor] | None = None  # see `_squares`

    def forward(self, x: torch.Tensor, w: torch.Tensor, noise: torch.Tensor | None, gain: float = 1.0) -> torch.Tensor:
        """x: (N, in, H, W).  w: (N, w_dim).  noise: broadcastable to (N, 1, res, res), strength included."""
        if len(w) == 1 and not torch.is_grad_enabled():
            return self._of_one(x, self.affine(w), noise, gain)
        styles = self.affine(w)
        # Scaling the input by the style, convolving with shared weights and scaling the output gives the same
        # as convolving each sample with weights of its own (Eqs. 1 and 3), and keeps the convolution dense.
        # Weights and styles are first scaled to about one, which cancels in the demodulation (its epsilon is
        # scaled alike) and keeps half precision in range.
        fan_in = self.weight[0].numel()
        weight = self.weight * (1 / math.sqrt(fan_in))
        scale = styles.square().mean(dim=1, keepdim=True).add(1e-20).rsqrt()
        styles = styles * scale
        with torch.autocast(x.device.type, enabled=False):
            power = styles.square() @ weight.square().sum(dim=[2, 3]).t()
        demod = (power + 1e-8 / fan_in * scale.square()).rsqrt()
        x = x * styles.to(x.dtype)[:, :, None, None]
        x = conv_resample(x, weight.to(x.dtype), self.resample_filter, self.up)
        x = x * demod.to(x.dtype)[:, :, None, None]
        if noise is not None:
            x = x + noise.to(x.dtype)
        return activate(x, self.bias, "lrelu", gain, None if self.clamp is None else self.clamp * gain)

    def _of_one(self, x: torch.Tensor, styles: torch.Tensor, noise: torch.Tensor | None, gain: float) -> torch.Tensor:
        """The same for one picture whose gradient nobody needs, with fewer passes over weights and maps.

        Style, demodulation and gain go into whichever is smaller, the weights or the maps; the gain of the activation before it, because
        a leaky ReLU of a positive multiple is that multiple of it; what follows the convolution is done in place.
        """
        gain = gain * math.sqrt(2)
        with torch.autocast(x.device.type, enabled=False):
            styles = styles.float()
            factor = (styles.square() @ self._squares().t() + 1e-8).rsqrt() * gain  # (1, out)
            half = x.dtype != torch.float32 or torch.is_autocast_enabled(x.device.type)
            if half or self.weight.numel() <= x.numel():
                weight = self.weight * styles[:, :, None, None]
                weight = weight.mul_(factor.reshape(-1, 1, 1, 1))
                after = None
            else:
                x, weight, after = x * styles[:, :, None, None], self.weight, factor[:, :, None, None]
        x = conv_resample(x, weight.to(x.dtype), self.resample_filter, self.up)
        if after is not None:
            x.mul_(after)
        if noise is not None:
            x.add_(noise.to(x.dtype) * gain)
        x.add_((self.bias * gain).to(x.dtype)[:, None, None])
        F.leaky_relu_(x, 0.2)
        if self.clamp is not None:
            limit = self.clamp * gain / math.sqrt(2)
            x.clamp_(-limit, limit)
        return x

    def _squares(self) -> torch.Tensor:
        """Sums of the squares of each kernel, (out, in); kept until the weights change."""
        # A tensor made in inference mode counts no changes; the engine, which makes such, never changes weights.
        version = None if self.weight.is_inference() else self.weight._version
        if self._kept is None or self._kept[0] != (version, self.weight.data_ptr()):
            self._kept = (version, self.weight.data_ptr()), self.weight.float().square().sum(dim=[2, 3])
        return self._kept[1]

    def _apply(self, *args: Any, **kwargs: Any) -> "StyledConv":
        self._kept = None  # the weights move to another device, or get another layout
        return super()._apply(*args, **kwargs)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        self._kept = None
        super()._load_from_state_dict(*args, **kwargs)


class ToRGB(nn.Module):
    """Features -> picture by a modulated 1x1 convolution without demodulation."""

    def __init__(self, in_channels: int, cfg: StyleGAN2Config):
        super().__init__()
        self.clamp = cfg.conv_clamp
        self.affine = EqualizedLinear(cfg.w_dim, in_channels, bias_init=1)
        self.weight = nn.Parameter(normal(cfg.img_channels, in_channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(cfg.img_channels))
        self.weight_gain = 1 / math.sqrt(in_channels)

    def forward(self, x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        styles = self.affine(w) * self.weight_gain
        if len(w) == 1:  # the weights are far smaller than the maps
            x = F.conv2d(x, (self.weight * styles[:, :, None, None]).to(x.dtype))
        else:
            x = F.conv2d(x * styles.to(x.dtype)[:, :, None, None], self.weight.to(x.dtype))
        return activate(x, self.bias, "linear", clamp=self.clamp)


class SynthesisBlock(nn.Module):
    """The layers of one resolution."""

    resample_filter: torch.Tensor

    def __init__(self, resolution: int, cfg: StyleGAN2Config):
        super().__init__()
        out = cfg.channels(resolution)
        self.resolution, self.is_first = resolution, resolution == 4
        self.architecture = cfg.architecture
        self.register_buffer("resample_filter", fir_filter(cfg.resample_filter))
        if self.is_first:
            self.const = nn.Parameter(normal(out, resolution, resolution))
        else:
            in_channels = cfg.channels(resolution // 2)
            self.conv0 = StyledConv(in_channels, out, resolution, cfg, up=2)
            if cfg.architecture == "resnet":
                self.skip = EqualizedConv(in_channels, out, 1, bias=False, up=2, resample_filter=cfg.resample_filter)
        self.conv1 = StyledConv(out, out, resolution, cfg)
        self.has_rgb = cfg.architecture == "skip" or resolution == cfg.resolution
        if self.has_rgb:
            self.torgb = ToRGB(out, cfg)


class Synthesis(SteppedSynthesis):
    """ws -> picture (StyleGAN2, Fig. 2 and Fig. 7b)."""

    def __init__(self, cfg: StyleGAN2Config):
        super().__init__()
        self.w_dim, self.resolution, self.architecture = cfg.w_dim, cfg.resolution, cfg.architecture
        self.partial_pictures = cfg.architecture == "skip"
        self.block_resolutions = cfg.block_resolutions
        self.num_ws = 2 * len(self.block_resolutions)
        for r in self.block_resolutions:
            setattr(self, f"b{r}", SynthesisBlock(r, cfg))

    @property
    def steps(self) -> list[Step]:
        """Two convolutions and a ToRGB a resolution; the first has one convolution."""
        out, index = [], 0
        for r in self.block_resolutions:
            block = getattr(self, f"b{r}")
            gain = math.sqrt(0.5) if self.architecture == "resnet" and not block.is_first else 1.0

            def conv0(w, state, noise, block=block):
                x, img = state
                y = block.conv0(x, w, noise(block.conv0))
                if self.architecture == "resnet":
                    # conv1 needs the shortcut as well; it travels with x along the channels.
                    y = torch.cat([y, block.skip(x, gain=math.sqrt(0.5))], dim=1)
                return y, img

            def conv1(w, state, noise, block=block, gain=gain):
                x, img = state
                shortcut = None
                if block.is_first:
                    x = self.sized(block.const).to(w.dtype).unsqueeze(0).repeat(len(w), 1, 1, 1)
                elif self.architecture == "resnet":
                    x, shortcut = x.chunk(2, dim=1)
                x = block.conv1(x, w, noise(block.conv1), gain)
                return (x if shortcut is None else x + shortcut), img

            def torgb(w, state, noise, block=block):
                x, img = state
                rgb = block.torgb(x, w).float()
                return x, rgb if img is None else upsample(img, block.resample_filter) + rgb

            if not block.is_first:
                out.append(Step(f"b{r}.conv0", r, index, conv0))
                index += 1
            out.append(Step(f"b{r}.conv1", r, index, conv1))
            index += 1
            if block.has_rgb:
                out.append(Step(f"b{r}.torgb", r, index, torgb))
        return out


class Generator(LatentGenerator):
    """Both parts of StyleGAN2."""

    def __init__(self, cfg: StyleGAN2Config):
        synthesis = Synthesis(cfg)
        mapping = Mapping(
            cfg.z_dim,
            cfg.c_dim,
            cfg.w_dim,
            synthesis.num_ws,
            cfg.mapping_layers,
            cfg.embed_features,
            cfg.mapping_layer_features,
            cfg.mapping_lr_multiplier,
            cfg.w_avg_beta,
        )
        super().__init__(cfg, mapping, synthesis)


class DiscriminatorBlock(nn.Module):
    """Two convolutions and a halving (StyleGAN2, Fig. 7)."""

    resample_filter: torch.Tensor

    def __init__(self, resolution: int, cfg: StyleGAN2Config):
        super().__init__()
        tmp, out = cfg.d_channels(resolution), cfg.d_channels(resolution // 2)
        self.architecture = cfg.d_architecture
        self.register_buffer("resample_filter", fir_filter(cfg.resample_filter))
        options: dict[str, Any] = dict(resample_filter=cfg.resample_filter, clamp=cfg.conv_clamp)
        self.has_rgb = resolution == cfg.resolution or cfg.d_architecture == "skip"
        if self.has_rgb:
            self.fromrgb = EqualizedConv(cfg.img_channels, tmp, 1, act="lrelu", **options)
        self.conv0 = EqualizedConv(tmp, tmp, 3, act="lrelu", **options)
        self.conv1 = EqualizedConv(tmp, out, 3, act="lrelu", down=2, **options)
        if cfg.d_architecture == "resnet":
            self.skip = EqualizedConv(tmp, out, 1, bias=False, down=2, resample_filter=cfg.resample_filter)

    def forward(self, x: torch.Tensor | None, img: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor | None]:
        if self.has_rgb:
            assert img is not None
            y = self.fromrgb(img)
            x = y if x is None else x + y
            img = downsample(img, self.resample_filter) if self.architecture == "skip" else None
        assert x is not None
        if self.architecture == "resnet":
            shortcut = self.skip(x, gain=math.sqrt(0.5))
            return shortcut + self.conv1(self.conv0(x), gain=math.sqrt(0.5)), img
        return self.conv1(self.conv0(x)), img


class DiscriminatorEpilogue(nn.Module):
    """The 4x4 block: minibatch deviation, convolution, two linear layers, projection on the class."""

    def __init__(self, cmap_dim: int, cfg: StyleGAN2Config):
        super().__init__()
        channels = cfg.d_channels(4)
        self.cmap_dim = cmap_dim
        if cfg.d_architecture == "skip":
            self.fromrgb = EqualizedConv(cfg.img_channels, channels, 1, act="lrelu")
        extra = cfg.mbstd_num_channels
        self.mbstd = MinibatchStd(cfg.mbstd_group_size, extra) if extra else nn.Identity()
        self.conv = EqualizedConv(channels + extra, channels, 3, act="lrelu", clamp=cfg.conv_clamp)
        self.fc = EqualizedLinear(channels * 16, channels, act="lrelu")
        self.out = EqualizedLinear(channels, cmap_dim or 1)

    def forward(self, x: torch.Tensor, img: torch.Tensor | None, cmap: torch.Tensor | None) -> torch.Tensor:
        if hasattr(self, "fromrgb"):
            x = x + self.fromrgb(img)
        x = self.conv(self.mbstd(x))
        x = self.out(self.fc(x.float().flatten(1)))
        if self.cmap_dim:
            assert cmap is not None
            # Projection discriminator (Miyato 2018), scaled to unit variance.
            x = (x * cmap).sum(dim=1, keepdim=True) / math.sqrt(self.cmap_dim)
        return x


class Discriminator(nn.Module):
    """picture, class -> how real it looks, (N, 1) logits."""

    def __init__(self, cfg: StyleGAN2Config):
        super().__init__()
        self.config = cfg
        self.block_resolutions = cfg.block_resolutions[:0:-1]
        cmap_dim = cfg.d_channels(4) if cfg.c_dim else 0
        for r in self.block_resolutions:
            setattr(self, f"b{r}", DiscriminatorBlock(r, cfg))
        if cfg.c_dim:
            self.mapping = Mapping(0, cfg.c_dim, cmap_dim, None, num_layers=cfg.d_mapping_layers, w_avg_beta=None)
        self.b4 = DiscriminatorEpilogue(cmap_dim, cfg)

    def forward(self, img: torch.Tensor, c: torch.Tensor | None = None) -> torch.Tensor:
        """img: (N, img_channels, H, W) in [-1, 1].  c: (N, c_dim).  Returns (N, 1)."""
        x = None
        for r in self.block_resolutions:
            x, img = getattr(self, f"b{r}")(x, img)
        cmap = self.mapping(None, c) if self.config.c_dim else None
        return self.b4(x, img, cmap)


register(
    Family(
        name="stylegan2",
        title="StyleGAN2",
        sentence="The all-rounder: sharp pictures, smooth walks and style mixing; pick it when in doubt.",
        task=Task.GENERATE,
        config=StyleGAN2Config,
        generator=Generator,
        discriminator=Discriminator,
        learns_w=True,
        classes=True,
        resizable=True,
        tileable=True,
    )
)
