"""The layer sequences of the published CycleGAN and pix2pix code, written down by hand from plain torch: names and pictures to
compare ours with."""

import torch
from torch import nn

NORMS = {
    "instance": lambda c: nn.InstanceNorm2d(c),
    "batch": lambda c: nn.BatchNorm2d(c),
    "affine": lambda c: nn.InstanceNorm2d(c, affine=True),
    "affine running": lambda c: nn.InstanceNorm2d(c, affine=True, track_running_stats=True),
    "running": lambda c: nn.InstanceNorm2d(c, track_running_stats=True),
    "none": lambda c: nn.Identity(),
}
BIASED = {"instance", "affine", "affine running", "running"}  # where the published code has a bias before the norm


class Block(nn.Module):
    def __init__(self, c, norm, bias, dropout, padding="reflect"):
        super().__init__()
        border, conv = ([nn.ReflectionPad2d(1)], dict(bias=bias)) if padding == "reflect" else ([], dict(bias=bias, padding=1))
        first = [*border, nn.Conv2d(c, c, 3, **conv), NORMS[norm](c), nn.ReLU()]
        last = [*border, nn.Conv2d(c, c, 3, **conv), NORMS[norm](c)]
        self.conv_block = nn.Sequential(*first, *([nn.Dropout(0.5)] if dropout else []), *last)

    def forward(self, x):
        return x + self.conv_block(x)


class Resnet(nn.Module):
    def __init__(self, n, norm="instance", c_in=3, c_out=3, width=4, dropout=False, up="transposed", padding="reflect", bias=None):
        super().__init__()
        b, layer = norm in BIASED if bias is None else bias, NORMS[norm]

        def doubled(i, o):
            if up == "transposed":
                return [nn.ConvTranspose2d(i, o, 3, 2, 1, 1, bias=b)]
            if up == "resize":
                return [nn.Upsample(scale_factor=2), nn.ReflectionPad2d(1), nn.Conv2d(i, o, 3, bias=b)]
            return [nn.Upsample(scale_factor=2), nn.Conv2d(i, o, 3, padding=1, bias=b)]

        self.model = nn.Sequential(
            nn.ReflectionPad2d(3),
            nn.Conv2d(c_in, width, 7, bias=b),
            layer(width),
            nn.ReLU(),
            nn.Conv2d(width, width * 2, 3, 2, 1, bias=b),
            layer(width * 2),
            nn.ReLU(),
            nn.Conv2d(width * 2, width * 4, 3, 2, 1, bias=b),
            layer(width * 4),
            nn.ReLU(),
            *[Block(width * 4, norm, b, dropout, padding) for _ in range(n)],
            *doubled(width * 4, width * 2),
            layer(width * 2),
            nn.ReLU(),
            *doubled(width * 2, width),
            layer(width),
            nn.ReLU(),
            nn.ReflectionPad2d(3),
            nn.Conv2d(width, c_out, 7),
            nn.Tanh(),
        )

    def forward(self, x):
        return self.model(x)


class Level(nn.Module):
    def __init__(self, *layers, skip=True, name="model"):
        super().__init__()
        self.name, self.skip = name, skip
        setattr(self, name, nn.Sequential(*layers))

    def forward(self, x):
        y = getattr(self, self.name)(x)
        return torch.cat([x, y], 1) if self.skip else y


class Unet(nn.Module):
    def __init__(self, downs, norm="batch", c_in=3, c_out=3, width=2):
        super().__init__()
        b, layer = norm in BIASED, NORMS[norm]

        def down(i, o, bias=b):
            return nn.Conv2d(i, o, 4, 2, 1, bias=bias)

        def up(i, o, bias=b):
            return nn.ConvTranspose2d(i, o, 4, 2, 1, bias=bias)

        w = width * 8
        level = Level(nn.LeakyReLU(0.2), down(w, w), nn.ReLU(), up(w, w), layer(w))
        for _ in range(downs - 5):
            level = Level(nn.LeakyReLU(0.2), down(w, w), layer(w), level, nn.ReLU(), up(2 * w, w), layer(w), nn.Dropout(0.5))
        for c in (width * 4, width * 2, width):
            level = Level(nn.LeakyReLU(0.2), down(c, 2 * c), layer(2 * c), level, nn.ReLU(), up(4 * c, c), layer(c))
        self.model = Level(down(c_in, width), level, nn.ReLU(), up(2 * width, c_out, True), nn.Tanh(), skip=False)

    def forward(self, x):
        return self.model(x)


class MirroredResnet(nn.Module):
    """A ResNet whose parts have names, and all of whose convolutions mirror the border, as in Aladdin Persson's collection."""

    def __init__(self, n, width=4):
        super().__init__()

        def part(i, o, act=True, **more):
            conv = nn.Conv2d(i, o, 3, padding=1, padding_mode="reflect", **more)
            return Level(conv, nn.InstanceNorm2d(o), nn.ReLU() if act else nn.Identity(), skip=False, name="conv")

        def up(i, o):
            return Level(nn.ConvTranspose2d(i, o, 3, 2, 1, 1), nn.InstanceNorm2d(o), nn.ReLU(), skip=False, name="conv")

        w = width
        first = nn.Conv2d(3, w, 7, padding=3, padding_mode="reflect")
        self.initial = nn.Sequential(first, nn.InstanceNorm2d(w), nn.ReLU())
        self.down_blocks = nn.ModuleList([part(w, 2 * w, stride=2), part(2 * w, 4 * w, stride=2)])
        blocks = [Level(part(4 * w, 4 * w), part(4 * w, 4 * w, act=False), skip=False, name="block") for _ in range(n)]
        self.res_blocks = nn.Sequential(*blocks)
        self.up_blocks = nn.ModuleList([up(4 * w, 2 * w), up(2 * w, w)])
        self.last = nn.Conv2d(w, 3, 7, padding=3, padding_mode="reflect")

    def forward(self, x):
        x = self.initial(x)
        for layer in self.down_blocks:
            x = layer(x)
        for block in self.res_blocks:
            x = x + block(x)
        for layer in self.up_blocks:
            x = layer(x)
        return self.last(x).tanh()


def official(net: str, norm: str, seed: int = 0, **shape) -> nn.Module:
    """A network with weights and statistics that matter, in eval mode."""
    torch.manual_seed(seed)
    design, size = net.split("_")
    if design == "resnet":
        made = Resnet(int(size.removesuffix("blocks")), norm, **shape)
    else:
        made = Unet(int(size).bit_length() - 1, norm, **shape)
    return with_statistics(made)


def with_statistics(made: nn.Module) -> nn.Module:
    """The network with biases, weights of norms and running statistics that matter, in eval mode."""
    with torch.no_grad():
        for name, tensor in made.state_dict().items():
            if tensor.is_floating_point() and "running" not in name and tensor.ndim == 1:
                tensor.add_(torch.randn_like(tensor) * 0.3)
            elif name.endswith("running_mean"):
                tensor.copy_(torch.randn_like(tensor) * 0.3)
            elif name.endswith("running_var"):
                tensor.copy_(torch.rand_like(tensor) + 0.5)
    return made.eval()


def by_picture(network: nn.Module) -> nn.Module:
    """As the published test script runs it, one picture at a time: its norms in the mode of training, dropout left out."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d | nn.InstanceNorm2d):
            module.train()
            module.momentum = 0.0
    return network


def side(net: str) -> int:
    """A size that the network takes."""
    return int(net.split("_")[1]) if net.startswith("unet") else 32
