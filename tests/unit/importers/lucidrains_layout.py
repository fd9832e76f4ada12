"""The published layout of lucidrains' stylegan2-pytorch: names, shapes and formulas, written down once more and plainly."""

import torch
import torch.nn.functional as F


def checkpoint(
    size: int = 32,
    dim: int = 16,
    layers: int = 3,
    capacity: int = 4,
    most: int = 512,
    attention: tuple[int, ...] = (),
    transparent: bool = False,
    no_const: bool = False,
    seed: int = 0,
) -> dict:
    """What the package saves, with random weights that all matter.  attention: blocks that have it, counted from 0."""
    torch.manual_seed(seed)
    blocks = size.bit_length() - 2
    widths = [min(capacity * 2 ** (blocks - i), most) for i in range(blocks)]
    widths = [widths[0], *widths]
    players: dict[str, torch.Tensor] = {}

    def linear(name: str, inside: int, outside: int) -> None:
        players[f"{name}.weight"], players[f"{name}.bias"] = torch.randn(outside, inside) * 0.3, torch.randn(outside) * 0.3

    for s, g in (("S.", "G."), ("SE.", "GE.")):
        for i in range(layers):
            linear(f"{s}net.{2 * i}", dim, dim)
            players[f"{s}net.{2 * i}.weight"] *= 20
        if no_const:
            players[f"{g}to_initial_block.weight"] = torch.randn(dim, widths[0], 4, 4)
        else:
            players[f"{g}initial_block"] = torch.randn(1, widths[0], 4, 4)
        players[f"{g}initial_conv.weight"] = torch.randn(widths[0], widths[0], 3, 3) * 0.1
        players[f"{g}initial_conv.bias"] = torch.randn(widths[0])
        for i in range(blocks):
            inside, outside, block = widths[i], widths[i + 1], f"{g}blocks.{i}"
            linear(f"{block}.to_style1", dim, inside)
            linear(f"{block}.to_style2", dim, outside)
            linear(f"{block}.to_noise1", 1, outside)
            linear(f"{block}.to_noise2", 1, outside)
            players[f"{block}.conv1.weight"] = torch.randn(outside, inside, 3, 3)
            players[f"{block}.conv2.weight"] = torch.randn(outside, outside, 3, 3)
            linear(f"{block}.to_rgb.to_style", dim, outside)
            players[f"{block}.to_rgb.conv.weight"] = torch.randn(4 if transparent else 3, outside, 1, 1) * 0.1
            if i < blocks - 1:
                players[f"{block}.to_rgb.upsample.1.f"] = torch.tensor([1.0, 2.0, 1.0])
            if i in attention:
                a, c = f"{g}attns.{i}", inside
                for place in (0, 1):
                    players[f"{a}.{place}.fn.norm.g"] = torch.randn(1, c, 1, 1)
                    players[f"{a}.{place}.fn.norm.b"] = torch.randn(1, c, 1, 1)
                players[f"{a}.0.fn.fn.to_q.weight"] = torch.randn(512, c, 1, 1) * 0.2
                players[f"{a}.0.fn.fn.to_kv.net.0.weight"] = torch.randn(c, 1, 3, 3) * 0.2
                players[f"{a}.0.fn.fn.to_kv.net.1.weight"] = torch.randn(1024, c, 1, 1) * 0.2
                for name, out, into in (("0.fn.fn.to_out", c, 512), ("1.fn.fn.0", 2 * c, c), ("1.fn.fn.2", c, 2 * c)):
                    players[f"{a}.{name}.weight"], players[f"{a}.{name}.bias"] = torch.randn(out, into, 1, 1) * 0.2, torch.randn(out)
    judge = torch.randn(40_000)  # the package wraps its discriminator, so each of its tensors stands there twice
    return {"GAN": {**players, "D.blocks.0.weight": judge, "D_aug.D.blocks.0.weight": judge}, "version": "1.8.9"}


def lrelu(x: torch.Tensor) -> torch.Tensor:
    return torch.where(x > 0, x, 0.2 * x)


def mapping(p: dict, z: torch.Tensor, multiplier: float = 0.1, player: str = "SE.") -> torch.Tensor:
    w, i = z / z.norm(dim=1, keepdim=True), 0
    while f"{player}net.{i}.weight" in p:
        w = lrelu(w @ (p[f"{player}net.{i}.weight"] * multiplier).T + p[f"{player}net.{i}.bias"] * multiplier)
        i += 2
    return w


def picture(p: dict, rows: torch.Tensor, noise: torch.Tensor, player: str = "GE.") -> torch.Tensor:
    """rows: (blocks, dim), the style of each block.  noise: (size, size) in [0, 1].  Returns (1, 3 or 4, size, size), about [0, 1]."""

    def modulated(name: str, style: str, x: torch.Tensor, w: torch.Tensor, demodulate: bool = True) -> torch.Tensor:
        s = p[f"{style}.weight"] @ w + p[f"{style}.bias"]
        weight = p[f"{name}.weight"] * (s + 1)[None, :, None, None]
        if demodulate:
            weight = weight / (weight.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8).sqrt()
        return F.conv2d(x, weight, padding=weight.shape[-1] // 2)

    def attended(name: str, x: torch.Tensor) -> torch.Tensor:
        def normed(x: torch.Tensor, place: int) -> torch.Tensor:
            y = (x - x.mean(dim=1, keepdim=True)) / (x.var(dim=1, correction=0, keepdim=True) + 1e-5).sqrt()
            return y * p[f"{name}.{place}.fn.norm.g"] + p[f"{name}.{place}.fn.norm.b"]

        y, a = normed(x, 0), f"{name}.0.fn.fn"
        q = F.conv2d(y, p[f"{a}.to_q.weight"])[0].flatten(1)  # (512, pixels)
        near = F.conv2d(y, p[f"{a}.to_kv.net.0.weight"], padding=1, groups=y.shape[1])
        kv = F.conv2d(near, p[f"{a}.to_kv.net.1.weight"])[0].flatten(1)
        heads = []
        for h in range(8):
            part = slice(64 * h, 64 * h + 64)
            weights = q[part].softmax(dim=0) / 8
            gathered = kv[:512][part].softmax(dim=1) @ kv[512:][part].T
            heads.append(gathered.T @ weights)
        y = torch.cat(heads).reshape(1, 512, *x.shape[2:])
        x = x + F.conv2d(F.gelu(y), p[f"{a}.to_out.weight"], p[f"{a}.to_out.bias"])
        b = f"{name}.1.fn.fn"
        y = lrelu(F.conv2d(normed(x, 1), p[f"{b}.0.weight"], p[f"{b}.0.bias"]))
        return x + F.conv2d(y, p[f"{b}.2.weight"], p[f"{b}.2.bias"])

    def double(x: torch.Tensor) -> torch.Tensor:
        return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)

    if f"{player}to_initial_block.weight" in p:
        first = torch.einsum("d,dcyx->cyx", rows.mean(dim=0), p[f"{player}to_initial_block.weight"])[None]
    else:
        first = p[f"{player}initial_block"]
    x, image = F.conv2d(first, p[f"{player}initial_conv.weight"], p[f"{player}initial_conv.bias"], padding=1), None
    for i, w in enumerate(rows):
        block = f"{player}blocks.{i}"
        if f"{player}attns.{i}.0.fn.norm.g" in p:
            x = attended(f"{player}attns.{i}", x)
        if i:
            x = double(x)
        side = x.shape[2]
        cut = noise[:side, :side].T  # it swaps the axes of its noise
        for k in (1, 2):
            x = modulated(f"{block}.conv{k}", f"{block}.to_style{k}", x, w)
            x = lrelu(x + p[f"{block}.to_noise{k}.weight"][:, :, None] * cut + p[f"{block}.to_noise{k}.bias"][:, None, None])
        rgb = modulated(f"{block}.to_rgb.conv", f"{block}.to_rgb.to_style", x, w, demodulate=False)
        image = rgb if image is None else rgb + image
        if i < len(rows) - 1:
            image = F.pad(double(image), (1, 1, 1, 1), mode="reflect")
            cross = torch.tensor([1.0, 2.0, 1.0]) / 4
            image = image[:, :, :-2] * cross[0] + image[:, :, 1:-1] * cross[1] + image[:, :, 2:] * cross[2]
            image = image[..., :-2] * cross[0] + image[..., 1:-1] * cross[1] + image[..., 2:] * cross[2]
    return image
