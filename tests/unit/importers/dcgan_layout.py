"""DCGAN in the layout of PyTorch's own example, written down by hand from plain torch."""

import itertools

import torch
from torch import nn

from tests.unit.importers.official_translators import with_statistics


class Example(nn.Module):
    """The generator of the example."""

    def __init__(self, doublings=4, z=10, width=4, channels=3, bias=False, name="main", widest=1 << 20):
        super().__init__()
        widths = [min(width << i, widest) for i in range(doublings)][::-1]
        layers = [nn.ConvTranspose2d(z, widths[0], 4, 1, 0, bias=bias), nn.BatchNorm2d(widths[0]), nn.ReLU()]
        for a, b in itertools.pairwise(widths):
            layers += [nn.ConvTranspose2d(a, b, 4, 2, 1, bias=bias), nn.BatchNorm2d(b), nn.ReLU()]
        layers += [nn.ConvTranspose2d(widths[-1], channels, 4, 2, 1, bias=bias), nn.Tanh()]
        self.name = name
        setattr(self, name, nn.Sequential(*layers))

    def forward(self, z):
        return getattr(self, self.name)(z[:, :, None, None])


def example(**shape) -> Example:
    torch.manual_seed(0)
    return with_statistics(Example(**shape))
