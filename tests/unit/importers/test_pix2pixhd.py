"""pix2pixHD's global generator: the pictures of its layers, written down by hand from plain torch."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import studio
from studio.errors import StudioError
from studio.models.importers import import_file
from studio.training.plan import Plan
from studio.training.plan_checks import family_config


class Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        one, two = ([nn.ReflectionPad2d(1), nn.Conv2d(c, c, 3), nn.InstanceNorm2d(c)] for _ in range(2))
        self.conv_block = nn.Sequential(*one, nn.ReLU(), *two)

    def forward(self, x):
        return x + self.conv_block(x)


class Plain(nn.Module):
    def __init__(self, halvings, blocks, width, c_in, c_out):
        super().__init__()
        layers = [nn.ReflectionPad2d(3), nn.Conv2d(c_in, width, 7), nn.InstanceNorm2d(width), nn.ReLU()]
        for i in range(halvings):
            c = width * 2**i
            layers += [nn.Conv2d(c, 2 * c, 3, 2, 1), nn.InstanceNorm2d(2 * c), nn.ReLU()]
        layers += [Block(width * 2**halvings) for _ in range(blocks)]
        for i in reversed(range(halvings)):
            c = width * 2**i
            layers += [nn.ConvTranspose2d(2 * c, c, 3, 2, 1, 1), nn.InstanceNorm2d(c), nn.ReLU()]
        self.model = nn.Sequential(*layers, nn.ReflectionPad2d(3), nn.Conv2d(width, c_out, 7), nn.Tanh())

    def forward(self, x):
        return self.model(x)


def plain(halvings: int = 4, blocks: int = 9, width: int = 2, c_in: int = 3, c_out: int = 3) -> nn.Module:
    torch.manual_seed(0)
    return Plain(halvings, blocks, width, c_in, c_out).eval().requires_grad_(False)


@pytest.mark.parametrize("shape", [{}, dict(halvings=3, blocks=2), dict(c_in=1, halvings=3), dict(halvings=5, blocks=1, c_out=1)])
@pytest.mark.parametrize("wrapper", ["", "module."])
def test_equal_pictures(tmp_path, shape, wrapper):
    network = plain(**shape)
    torch.save({wrapper + name: tensor for name, tensor in network.state_dict().items()}, tmp_path / "latest_net_G.pth")
    model = studio.load(tmp_path / "latest_net_G.pth", device="cpu")
    assert model.family.name == "pix2pixhd"
    x = torch.rand(1, shape.get("c_in", 3), 64, 96) * 2 - 1
    theirs = network(x)
    assert theirs.std() > 0.05
    with torch.no_grad():
        assert (model.network(x) - theirs).abs().max() < 1e-5


def test_it_is_run_whole_and_in_pieces_and_is_not_trained(tmp_path):
    torch.save(plain(3, 2).state_dict(), tmp_path / "latest_net_G.pth")
    model = studio.load(tmp_path / "latest_net_G.pth", device="cpu")
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (75, 101, 3), np.uint8))
    whole, pieces = np.asarray(model.translate(image)).astype(int), np.asarray(model.translate(image, tile=32)).astype(int)
    assert whole.shape == (75, 101, 3)
    assert abs(whole - pieces).max() <= 1
    with pytest.raises(StudioError, match="pix2pixHD cannot be trained here"):
        family_config(Plan(family="pix2pixhd"), None)


@pytest.mark.parametrize(
    ("state", "named"),
    [
        (plain(3, 1, c_in=35).state_dict(), "input_channels"),
        ({"model.1.weight": torch.zeros(2, 3, 7, 7), "model1_1.1.weight": torch.zeros(2, 3, 7, 7)}, "local enhancer"),
        (plain(3, 1).state_dict() | {"model.2.weight": torch.zeros(2)}, "model.2.weight"),
        ({k: v for k, v in plain(3, 1).state_dict().items() if k != "model.7.bias"}, "no tensor 'model.7.bias'"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, state, named):
    torch.save(state, tmp_path / "latest_net_G.pth")
    with pytest.raises(StudioError, match=named):
        import_file(tmp_path / "latest_net_G.pth")
