"""Pieces that several families share: equalised layers, resampling with a FIR filter, biased activations.

All of it is plain PyTorch: no compiled extension, every operation differentiable twice (R1 needs that).
"""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

_SMALL = 0.02  # standard deviation


def fir_filter(taps: tuple[float, ...] | list[float]) -> torch.Tensor:
    """A separable 2-D low-pass filter (k, k) with unit sum from its 1-D taps (StyleGAN uses 1, 3, 3, 1)."""
    # Not with torch, for the same reason as in `normal`.
    f = np.outer(taps, taps).astype(np.float32)
    return torch.tensor((f / f.sum()).tolist())


def normal(*shape: int, std: float = 1.0, mean: float = 0.0) -> torch.Tensor:
    """Draws of N(mean, std^2) to begin a parameter with; on the meta device only a shape.

    There torch would import its decompositions to draw nothing, more than a second of the start of a program.
    """
    blank = torch.empty(shape)
    return blank if blank.is_meta else blank.normal_(mean, std)


class _SmallWeights:
    """A layer of torch whose weights begin at N(0, 0.02^2) and whose biases begin at 0.

    Radford 2015, Sec. 4; Isola 2017, App. 6.2; Zhu 2017, App. 7.1.
    """

    def reset_parameters(self) -> None:
        self.weight = nn.Parameter(normal(*self.weight.shape, std=_SMALL))
        if self.bias is not None:
            self.bias = nn.Parameter(torch.zeros(self.bias.shape))


class NormalConv(_SmallWeights, nn.Conv2d):
    """nn.Conv2d that begins with small weights."""


class NormalTransposedConv(_SmallWeights, nn.ConvTranspose2d):
    """nn.ConvTranspose2d that begins with small weights."""


class NormalLinear(_SmallWeights, nn.Linear):
    """nn.Linear that begins with small weights."""


def fir(x: torch.Tensor, f: torch.Tensor, up: int = 1, down: int = 1, pad: tuple[int, int] = (0, 0), gain: float = 1.0):
    """Insert zeros by `up`, pad, convolve each channel with `f`, keep every `down`-th pixel.

    x: (N, C, H, W).  f: (kh, kw).  pad: (before, after) on both axes; negative values crop.
    Returns (N, C, (H*up + sum(pad) - kh) // down + 1, ...). Karras 2019, Sec. 3 (bilinear filtering).
    """
    n, c, h, w = x.shape
    if up > 1:
        # A pixel followed by up-1 zeros, on both axes.
        x = F.pad(x.reshape(n, c, h, 1, w, 1), (0, up - 1, 0, 0, 0, up - 1)).reshape(n, c, h * up, w * up)
    if any(pad):
        x = F.pad(x, (pad[0], pad[1], pad[0], pad[1]))
    weight = (f * gain).flip([0, 1]).to(x.dtype)[None, None].expand(c, 1, -1, -1)
    return F.conv2d(x, weight, stride=down, groups=c)


def upsample(x: torch.Tensor, f: torch.Tensor) -> torch.Tensor:
    """Twice the size, (N, C, H, W) -> (N, C, 2H, 2W)."""
    k = f.shape[0]
    return fir(x, f, up=2, pad=((k + 1) // 2, (k - 2) // 2), gain=4)


def downsample(x: torch.Tensor, f: torch.Tensor) -> torch.Tensor:
    """Half the size, (N, C, H, W) -> (N, C, H/2, W/2)."""
    k = f.shape[0]
    return fir(x, f, down=2, pad=((k - 1) // 2, (k - 2) // 2))


def conv_resample(x: torch.Tensor, weight: torch.Tensor, f: torch.Tensor, up: int = 1, down: int = 1) -> torch.Tensor:
    """A 'same' convolution, with a doubling before it or a halving after it, low-passed by `f`.

    x: (N, in, H, W).  weight: (out, in, k, k), k odd.  up, down: 1 or 2, not both 2.
    The doubling is a transposed convolution followed by the filter, the halving the filter followed by a
    strided convolution (Karras 2020, StyleGAN2, App. B).
    """
    k, taps = weight.shape[-1], f.shape[0]
    p = k // 2
    if up == 2:
        before, after = p + (taps + 1) // 2, p + (taps - 2) // 2
        if k == 1:
            return fir(F.conv2d(x, weight), f, up=2, pad=(before, after), gain=4)
        x = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)
        return fir(x, f, pad=(before - (k - 1), after - (k - 2)), gain=4)
    if down == 2:
        before, after = p + (taps - 1) // 2, p + (taps - 2) // 2
        if k == 1:
            return F.conv2d(fir(x, f, down=2, pad=(before, after)), weight)
        return F.conv2d(fir(x, f, pad=(before, after)), weight, stride=2)
    return F.conv2d(x, weight, padding=p)


def activate(x: torch.Tensor, bias: torch.Tensor | None, act: str, gain: float = 1.0, clamp: float | None = None):
    """Add the bias of each channel, apply the activation, scale it to unit variance times `gain`, clamp.

    act: 'linear' or 'lrelu' (slope 0.2, whose own gain is sqrt 2).
    """
    if bias is not None:
        x = x + bias.to(x.dtype).reshape([1, -1] + [1] * (x.ndim - 2))
    if act == "lrelu":
        x = F.leaky_relu(x, 0.2)
        gain = gain * math.sqrt(2)
    if gain != 1:
        x = x * gain
    if clamp is not None:
        x = x.clamp(-clamp, clamp)
    return x


class EqualizedLinear(nn.Module):
    """Fully connected layer with equalised learning rate (Karras 2018, ProGAN, Sec. 4.1)."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias_init: float = 0.0,
        act: str = "linear",
        lr_multiplier: float = 1.0,  # weights are stored divided by it and used times it
    ):
        super().__init__()
        self.act = act
        self.weight = nn.Parameter(normal(out_features, in_features, std=1 / lr_multiplier))
        self.bias = nn.Parameter(torch.full([out_features], float(bias_init)))
        self.weight_gain = lr_multiplier / math.sqrt(in_features)
        self.bias_gain = lr_multiplier

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # Latents, styles and logits stay in full precision: they are small, and every pixel hangs on them.
        with torch.autocast(x.device.type, enabled=False):
            x = F.linear(x.float(), self.weight * self.weight_gain)
            return activate(x, self.bias * self.bias_gain, self.act)


class EqualizedConv(nn.Module):
    """Convolution with equalised learning rate, optional doubling or halving, bias and activation."""

    resample_filter: torch.Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        bias: bool = True,
        act: str = "linear",
        up: int = 1,
        down: int = 1,
        resample_filter: tuple[float, ...] = (1, 3, 3, 1),
        clamp: float | None = None,
    ):
        super().__init__()
        self.up, self.down, self.act, self.clamp = up, down, act, clamp
        self.weight = nn.Parameter(normal(out_channels, in_channels, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        self.weight_gain = 1 / math.sqrt(in_channels * kernel_size**2)
        self.register_buffer("resample_filter", fir_filter(resample_filter))

    def forward(self, x: torch.Tensor, gain: float = 1.0) -> torch.Tensor:
        weight = (self.weight * self.weight_gain).to(x.dtype)
        x = conv_resample(x, weight, self.resample_filter, self.up, self.down)
        return activate(x, self.bias, self.act, gain, None if self.clamp is None else self.clamp * gain)


class MinibatchStd(nn.Module):
    """Append the standard deviation over groups of the batch as channels (ProGAN, Sec. 3)."""

    def __init__(self, group_size: int | None = 4, num_channels: int = 1):
        super().__init__()
        self.group_size, self.num_channels = group_size, num_channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, c, h, w = x.shape
        g = min(self.group_size, n) if self.group_size else n
        if n % g:
            raise ValueError(f"a batch of {n} does not split into groups of {g} for the minibatch deviation")
        f = self.num_channels
        y = x.reshape(g, n // g, f, c // f, h, w).float()
        y = (y.var(dim=0, correction=0) + 1e-8).sqrt()  # (n/g, f, c/f, h, w)
        y = y.mean(dim=[2, 3, 4])  # one number a group and channel
        y = y.reshape(-1, f, 1, 1).repeat(g, 1, h, w)
        return torch.cat([x, y.to(x.dtype)], dim=1)


def normalize_2nd_moment(x: torch.Tensor, eps: float = 1e-8) -> torch.Tensor:
    """Scale each row of (N, d) to unit root mean square."""
    return x * (x.square().mean(dim=1, keepdim=True) + eps).rsqrt()


class LabelEmbedding(nn.Module):
    """Classes (N, c_dim), one-hot or weights -> vectors (N, features). Without bias, so that weights blend the vectors."""

    def __init__(self, c_dim: int, features: int, std: float = 1.0):
        super().__init__()
        self.weight = nn.Parameter(normal(features, c_dim, std=std))

    def forward(self, c: torch.Tensor) -> torch.Tensor:
        return F.linear(c.float(), self.weight)


class BatchNorm(nn.Module):
    """Batch normalisation (Ioffe & Szegedy 2015) of (N, C) or (N, C, H, W), one mean and deviation a channel.

    In training: the statistics of the batch at hand. When gradients are gathered over several micro-batches, each is
    normalised by its own. Raises ValueError for a single value a channel, whose deviation is zero.

    In eval mode: the running statistics, so that a picture does not depend on its neighbours in the batch, and a batch of
    one is fine. They are the plain mean over the first `memory` batches and decay by 1 / memory a batch afterwards: from
    the first batch on they hold nothing of the values they began with.

    A generator whose parameters are an average over many steps has, if the buffers of the live one are copied into it, the
    statistics of the live one's last batches. That is a good guess when the two are close, and no more than that:
    `standing_statistics` measures its own.
    """

    running_mean: torch.Tensor
    running_var: torch.Tensor
    batches_seen: torch.Tensor

    def __init__(
        self,
        channels: int,
        weight_std: float = 0.0,  # the weights begin at N(1, weight_std^2)
        memory: int = 10,  # batches
        eps: float = 1e-5,
    ):
        super().__init__()
        self.memory: float = memory
        self.eps = eps
        self.weight = nn.Parameter(normal(channels, std=weight_std, mean=1))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.register_buffer("batches_seen", torch.tensor(0.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        # With momentum 1 torch hands out the statistics of this batch, which it has computed anyway.
        mean, var = torch.zeros_like(self.running_mean), torch.ones_like(self.running_var)
        y = F.batch_norm(x, mean, var, self.weight, self.bias, training=True, momentum=1.0, eps=self.eps)
        with torch.no_grad():
            self.batches_seen += 1
            share = 1 / self.batches_seen.clamp(max=self.memory)  # stays on the device: no waiting for it
            self.running_mean.lerp_(mean, share)
            self.running_var.lerp_(var, share)
        return y


@torch.no_grad()
def standing_statistics(network: nn.Module, batches: Iterable[tuple[torch.Tensor, ...]]) -> None:
    """Measure anew the running statistics of each BatchNorm in `network`: their mean over network(*batch) for `batches`.

    For a generator of averaged parameters, before it is looked at or kept (Brock 2019, BigGAN: standing statistics). A
    layer sees what the layers before it give in training, as it did when it learned. Ten batches of the size used in
    training are enough.  Does nothing where there is no BatchNorm. The network is left in eval mode.
    """
    norms = [m for m in network.modules() if isinstance(m, BatchNorm)]
    network.eval()
    if not norms:
        return
    memories = [m.memory for m in norms]
    for m in norms:
        m.train()
        m.batches_seen.zero_()
        m.memory = math.inf  # which makes the running mean a plain one
    for batch in batches:
        network(*batch)
    for m, memory in zip(norms, memories, strict=True):
        m.memory = memory
        m.eval()


def make_norm(name: str, channels: int, weight_std: float = 0.0) -> nn.Module:
    """A norm for (N, C, H, W) by name: 'batch', 'instance', 'layer' (each picture as a whole) or 'none'.

    Its weights begin at N(1, weight_std^2), its biases at 0.  Raises ValueError for another name.
    """
    if name == "batch":
        return BatchNorm(channels, weight_std)
    if name in ("instance", "layer"):
        norm = nn.GroupNorm(channels if name == "instance" else 1, channels)
        norm.weight = nn.Parameter(normal(channels, std=weight_std, mean=1))
        return norm
    if name == "none":
        return nn.Identity()
    raise ValueError(f"a norm must be 'batch', 'instance', 'layer' or 'none', not {name!r}")


def settle_batch_norm(generator: Any, rng: torch.Generator, class_weights: torch.Tensor) -> None:
    """`standing_statistics` of a generator from z and class, on ten batches of latents drawn by `rng` (on the CPU).

    class_weights: (c_dim,) how often each class is drawn; not read without classes.
    """
    device = next(generator.parameters()).device

    def latents() -> Iterable[tuple[torch.Tensor, ...]]:
        for _ in range(10):
            z = torch.randn(32, generator.z_dim, generator=rng).to(device)
            if not generator.c_dim:
                yield (z,)
            else:
                labels = torch.multinomial(class_weights, 32, replacement=True, generator=rng)
                yield z, F.one_hot(labels, generator.c_dim).float().to(device)

    standing_statistics(generator, latents())
