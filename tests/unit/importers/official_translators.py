"""The layer sequences of the published CycleGAN and pix2pix code, written down by hand from plain torch: names and pictures to
compare ours with."""

import torch
from torch import nn

NORMS = {"instance": lambda c: nn.InstanceNorm2d(c), "batch": lambda c: nn.BatchNorm2d(c)}


class Block(nn.Module):
    def __init__(self, c, norm, bias, dropout):
        super().__init__()
        first = [nn.ReflectionPad2d(1), nn.Conv2d(c, c, 3, bias=bias), NORMS[norm](c), nn.ReLU()]
        last = [nn.ReflectionPad2d(1), nn.Conv2d(c, c, 3, bias=bias), NORMS[norm](c)]
        self.conv_block = nn.Sequential(*first, *([nn.Dropout(0.5)] if dropout else []), *last)

    def forward(self, x):
        return x + self.conv_block(x)


class Resnet(nn.Module):
    def __init__(self, n, norm="instance", c_in=3, c_out=3, width=4, dropout=False):
        super().__init__()
        b, layer = norm == "instance", NORMS[norm]
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
            *[Block(width * 4, norm, b, dropout) for _ in range(n)],
            nn.ConvTranspose2d(width * 4, width * 2, 3, 2, 1, 1, bias=b),
            layer(width * 2),
            nn.ReLU(),
            nn.ConvTranspose2d(width * 2, width, 3, 2, 1, 1, bias=b),
            layer(width),
            nn.ReLU(),
            nn.ReflectionPad2d(3),
            nn.Conv2d(width, c_out, 7),
            nn.Tanh(),
        )

    def forward(self, x):
        return self.model(x)


class Level(nn.Module):
    def __init__(self, *layers, skip=True):
        super().__init__()
        self.model, self.skip = nn.Sequential(*layers), skip

    def forward(self, x):
        return torch.cat([x, self.model(x)], 1) if self.skip else self.model(x)


class Unet(nn.Module):
    def __init__(self, downs, norm="batch", c_in=3, c_out=3, width=2):
        super().__init__()
        b, layer = norm == "instance", NORMS[norm]

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


def official(net: str, norm: str, seed: int = 0, **shape) -> nn.Module:
    """A network with weights and statistics that matter, in eval mode."""
    torch.manual_seed(seed)
    made = {
        "resnet_6blocks": lambda: Resnet(6, norm, **shape),
        "resnet_9blocks": lambda: Resnet(9, norm, **shape),
        "unet_128": lambda: Unet(7, norm, **shape),
        "unet_256": lambda: Unet(8, norm, **shape),
    }[net]()
    with torch.no_grad():
        for name, tensor in made.state_dict().items():
            if tensor.is_floating_point() and "running" not in name and tensor.ndim == 1:
                tensor.add_(torch.randn_like(tensor) * 0.3)
            elif name.endswith("running_mean"):
                tensor.copy_(torch.randn_like(tensor) * 0.3)
            elif name.endswith("running_var"):
                tensor.copy_(torch.rand_like(tensor) + 0.5)
    return made.eval()


def side(net: str) -> int:
    """A size that the network takes."""
    return int(net.split("_")[1]) if net.startswith("unet") else 32
