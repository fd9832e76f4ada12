"""The published layout of rosinality's stylegan2-pytorch: names, shapes and formulas, written down once more and plainly."""

import math

import torch
import torch.nn.functional as F

KERNEL = torch.outer(torch.tensor([1.0, 3, 3, 1]), torch.tensor([1.0, 3, 3, 1])) / 64


def checkpoint(size: int = 32, dim: int = 16, layers: int = 3, channels: tuple[int, ...] = (24, 24, 16, 8), seed: int = 0) -> dict:
    """A checkpoint with random weights that all matter: g_ema, d and latent_avg.  channels: at 4, 8, ..., size pixels."""
    torch.manual_seed(seed)
    g: dict[str, torch.Tensor] = {"input.input": torch.randn(1, channels[0], 4, 4)}
    for i in range(1, layers + 1):
        g |= {f"style.{i}.weight": torch.randn(dim, dim) * 100, f"style.{i}.bias": torch.randn(dim) * 10}

    def modulated(name: str, inside: int, outside: int, kernel: int) -> None:
        g[f"{name}.conv.weight"] = torch.randn(1, outside, inside, kernel, kernel)
        g[f"{name}.conv.modulation.weight"] = torch.randn(inside, dim)
        g[f"{name}.conv.modulation.bias"] = 1 + torch.randn(inside) * 0.2

    def conv(name: str, inside: int, outside: int) -> None:
        modulated(name, inside, outside, 3)
        g[f"{name}.noise.weight"], g[f"{name}.activate.bias"] = torch.randn(1) * 0.2, torch.randn(outside) * 0.2

    def rgb(name: str, inside: int) -> None:
        modulated(name, inside, 3, 1)
        g[f"{name}.bias"] = torch.randn(1, 3, 1, 1) * 0.2

    conv("conv1", channels[0], channels[0])
    rgb("to_rgb1", channels[0])
    for i in range(len(channels) - 1):
        conv(f"convs.{2 * i}", channels[i], channels[i + 1])
        g[f"convs.{2 * i}.conv.blur.kernel"] = KERNEL * 4
        conv(f"convs.{2 * i + 1}", channels[i + 1], channels[i + 1])
        rgb(f"to_rgbs.{i}", channels[i + 1])
        g[f"to_rgbs.{i}.upsample.kernel"] = KERNEL * 4
    for n in range(2 * len(channels) - 1):
        side = 4 * 2 ** ((n + 1) // 2)
        g[f"noises.noise_{n}"] = torch.randn(1, 1, side, side)
    assert size == 4 * 2 ** (len(channels) - 1)

    d = {"convs.0.0.weight": torch.randn(channels[-1], 3, 1, 1), "convs.0.1.bias": torch.randn(channels[-1])}
    for i in range(1, len(channels)):
        inside, outside = channels[-i], channels[-i - 1]
        d |= {
            f"convs.{i}.conv1.0.weight": torch.randn(inside, inside, 3, 3),
            f"convs.{i}.conv1.1.bias": torch.randn(inside),
            f"convs.{i}.conv2.0.kernel": KERNEL,
            f"convs.{i}.conv2.1.weight": torch.randn(outside, inside, 3, 3),
            f"convs.{i}.conv2.2.bias": torch.randn(outside),
            f"convs.{i}.skip.0.kernel": KERNEL,
            f"convs.{i}.skip.1.weight": torch.randn(outside, inside, 1, 1),
        }
    c = channels[0]
    d |= {
        "final_conv.0.weight": torch.randn(c, c + 1, 3, 3),
        "final_conv.1.bias": torch.randn(c),
        "final_linear.0.weight": torch.randn(c, c * 16),
        "final_linear.0.bias": torch.randn(c),
        "final_linear.1.weight": torch.randn(1, c),
        "final_linear.1.bias": torch.randn(1),
    }
    return {"g_ema": g, "g": {k: v + 1 for k, v in g.items()}, "d": d, "latent_avg": torch.randn(dim)}


def mapping(g: dict, z: torch.Tensor) -> torch.Tensor:
    w = z / (z.square().mean(dim=1, keepdim=True) + 1e-8).sqrt()
    i = 1
    while f"style.{i}.weight" in g:
        w = (w @ g[f"style.{i}.weight"].T) * 0.01 / math.sqrt(w.shape[1]) + 0.01 * g[f"style.{i}.bias"]
        w = torch.where(w > 0, w, 0.2 * w) * math.sqrt(2)
        i += 1
    return w


def filtered(x: torch.Tensor, kernel: torch.Tensor, before: int, after: int) -> torch.Tensor:
    x = F.pad(x, (before, after, before, after))
    return F.conv2d(x, kernel[None, None].repeat(x.shape[1], 1, 1, 1), groups=x.shape[1])


def picture(g: dict, w: torch.Tensor) -> torch.Tensor:
    """One w (1, dim) for all layers -> (1, 3, size, size)."""

    def modulated(name: str, x: torch.Tensor, up: bool = False, demodulate: bool = True) -> torch.Tensor:
        weight = g[f"{name}.conv.weight"][0]
        style = w @ g[f"{name}.conv.modulation.weight"].T / math.sqrt(w.shape[1]) + g[f"{name}.conv.modulation.bias"]
        weight = weight * style[0][None, :, None, None] / math.sqrt(weight[0].numel())
        if demodulate:
            weight = weight / (weight.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8).sqrt()
        if up:
            return filtered(F.conv_transpose2d(x, weight.transpose(0, 1), stride=2), KERNEL * 4, 1, 1)
        return F.conv2d(x, weight, padding=weight.shape[-1] // 2)

    def conv(name: str, x: torch.Tensor, number: int, up: bool = False) -> torch.Tensor:
        x = modulated(name, x, up) + g[f"{name}.noise.weight"] * g[f"noises.noise_{number}"]
        x = x + g[f"{name}.activate.bias"][None, :, None, None]
        return torch.where(x > 0, x, 0.2 * x) * math.sqrt(2)

    x = conv("conv1", g["input.input"], 0)
    image = modulated("to_rgb1", x, demodulate=False) + g["to_rgb1.bias"]
    i = 0
    while f"to_rgbs.{i}.bias" in g:
        x = conv(f"convs.{2 * i}", x, 2 * i + 1, up=True)
        x = conv(f"convs.{2 * i + 1}", x, 2 * i + 2)
        spread = torch.zeros(1, 3, image.shape[2] * 2, image.shape[3] * 2)
        spread[:, :, ::2, ::2] = image
        image = modulated(f"to_rgbs.{i}", x, demodulate=False) + g[f"to_rgbs.{i}.bias"] + filtered(spread, KERNEL * 4, 2, 1)
        i += 1
    return image


def score(d: dict, images: torch.Tensor) -> torch.Tensor:
    """(4, 3, size, size) -> (4, 1), how real they look."""

    def conv(x: torch.Tensor, weight: str, bias: str | None, down: bool = False) -> torch.Tensor:
        k = d[weight] / math.sqrt(d[weight][0].numel())
        if down:
            pad = (2, 2) if k.shape[-1] == 3 else (1, 1)
            x = F.conv2d(filtered(x, KERNEL, *pad), k, stride=2)
        else:
            x = F.conv2d(x, k, padding=k.shape[-1] // 2)
        if bias is None:
            return x
        x = x + d[bias][None, :, None, None]
        return torch.where(x > 0, x, 0.2 * x) * math.sqrt(2)

    x = conv(images, "convs.0.0.weight", "convs.0.1.bias")
    i = 1
    while f"convs.{i}.skip.1.weight" in d:
        y = conv(
            conv(x, f"convs.{i}.conv1.0.weight", f"convs.{i}.conv1.1.bias"), f"convs.{i}.conv2.1.weight", f"convs.{i}.conv2.2.bias", True
        )
        x = (y + conv(x, f"convs.{i}.skip.1.weight", None, True)) / math.sqrt(2)
        i += 1
    spread = (x.var(dim=0, correction=0) + 1e-8).sqrt().mean()
    x = conv(torch.cat([x, spread.expand(len(x), 1, 4, 4)], dim=1), "final_conv.0.weight", "final_conv.1.bias").flatten(1)
    x = x @ d["final_linear.0.weight"].T / math.sqrt(x.shape[1]) + d["final_linear.0.bias"]
    x = torch.where(x > 0, x, 0.2 * x) * math.sqrt(2)
    return x @ d["final_linear.1.weight"].T / math.sqrt(x.shape[1]) + d["final_linear.1.bias"]
