"""The published layouts of FastGAN's generator, written down by hand from plain torch: names, pictures, and pickles by class name."""

import pickle
import sys
import types

import torch
from torch import nn
from torch.nn.utils import spectral_norm

WIDTHS = {4: 16, 8: 8, 16: 4, 32: 2, 64: 2, 128: 1, 256: 0.5, 512: 0.25, 1024: 0.125}


class Gate(nn.Module):
    def forward(self, x):
        a, b = x.chunk(2, dim=1)
        return a * torch.sigmoid(b)


class Swish(nn.Module):
    def forward(self, x):
        return x * torch.sigmoid(x)


class Noise(nn.Module):
    """With one noise, the same for each picture, which a test sets."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1) * 0.3)

    def forward(self, x):
        return x + self.weight * self.noise if hasattr(self, "noise") else x


def conv(a, b, k, pad, bias=False):
    return spectral_norm(nn.Conv2d(a, b, k, 1, pad, bias=bias))


def up(a, b, twice):
    layers = [nn.Upsample(scale_factor=2), conv(a, 2 * b, 3, 1)]
    if not twice:
        return nn.Sequential(*layers, nn.BatchNorm2d(2 * b), Gate())
    again = [conv(b, 2 * b, 3, 1), Noise(), nn.BatchNorm2d(2 * b), Gate()]
    return nn.Sequential(*layers, Noise(), nn.BatchNorm2d(2 * b), Gate(), *again)


class Init(nn.Module):
    def __init__(self, z, width):
        super().__init__()
        first = spectral_norm(nn.ConvTranspose2d(z, 2 * width, 4, 1, 0, bias=False))
        self.init = nn.Sequential(first, nn.BatchNorm2d(2 * width), Gate())

    def forward(self, z):
        return self.init(z[:, :, None, None])


class Excite(nn.Module):
    def __init__(self, small, large):
        super().__init__()
        self.main = nn.Sequential(nn.AdaptiveAvgPool2d(4), conv(small, large, 4, 0), Swish(), conv(large, large, 1, 0), nn.Sigmoid())

    def forward(self, small, large):
        return large * self.main(small)


class Synthesis(nn.Module):
    """kind: 'authors' (FastGAN-pytorch), 'projected' or 'projected lite'."""

    def __init__(self, kind, size, ngf, z):
        super().__init__()
        w = {side: int(ngf * share) for side, share in WIDTHS.items()}
        self.kind, self.size = kind, size
        self.init = Init(z, w[4])
        sides = [side for side in WIDTHS if 8 <= side <= max(size, 256)]
        for i, side in enumerate(sides):
            twice = {"authors": i % 2 == 0, "projected": True, "projected lite": False}[kind]
            setattr(self, f"feat_{side}", up(w[side // 2], w[side], twice))
            if 64 <= side <= 512:
                setattr(self, f"se_{side}", Excite(w[side // 16], w[side]))
        self.to_big = conv(w[size], 3, 3, 1, bias=kind != "authors")
        if kind == "authors":
            self.to_128 = conv(w[128], 3, 1, 0)

    def forward(self, z):
        if self.kind != "authors":
            z = z / (z.square().mean(dim=1, keepdim=True) + 1e-8).sqrt()
        maps, side = {4: self.init(z)}, 4
        while side < self.size:
            side *= 2
            maps[side] = getattr(self, f"feat_{side}")(maps[side // 2])
            if 64 <= side <= 512:
                maps[side] = getattr(self, f"se_{side}")(maps[side // 16], maps[side])
        picture = self.to_big(maps[self.size])
        return torch.tanh(picture) if self.kind == "authors" and self.size == 1024 else picture


class Generator(nn.Module):
    def __init__(self, kind, size, ngf, z):
        super().__init__()
        self.mapping, self.synthesis, self.z_dim = nn.Identity(), Synthesis(kind, size, ngf, z), z

    def forward(self, z):
        return self.synthesis(z)


def generator(kind: str, size: int = 128, ngf: int = 8, z: int = 12, seed: int = 0) -> nn.Module:
    """With weights, norms and statistics that matter, in eval mode."""
    torch.manual_seed(seed)
    network = Synthesis(kind, size, ngf, z) if kind == "authors" else Generator(kind, size, ngf, z)
    network.train()(torch.randn(4, z))  # a step of the power iterations
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1, 0.2)
            nn.init.normal_(module.bias, 0, 0.2)
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 1.5)
    return network.eval().requires_grad_(False)


def set_noise(network: nn.Module, noise: dict[tuple[int, int], torch.Tensor]) -> None:
    """noise: (side, number of the convolution) -> (side, side)."""
    for name, module in network.named_modules():
        if isinstance(module, Noise):
            side, place = name.split("feat_")[1].split(".")
            at = int(side), 0 if place == "2" else 1
            if at in noise:  # pictures of 128 px have layers of 256 px that nothing uses
                module.noise = noise[at]


def pickled(network: nn.Module) -> bytes:
    """As Projected GANs' code writes it: whole objects, whose classes are named and not described."""
    classes = (Generator, Synthesis, Init, Excite, Noise, Swish, Gate)
    module = types.ModuleType("pg_modules.networks_fastgan")
    for cls in classes:
        setattr(module, cls.__name__, cls)
    before = {cls: cls.__module__ for cls in classes}
    made = {"pg_modules": types.ModuleType("pg_modules"), module.__name__: module}
    sys.modules.update(made)
    try:
        for cls in classes:
            cls.__module__ = module.__name__
        return pickle.dumps({"G": None, "D": None, "G_ema": network, "training_set_kwargs": {"path": "/data/cats.zip"}})
    finally:
        for cls, name in before.items():
            cls.__module__ = name
        for name in made:
            del sys.modules[name]
