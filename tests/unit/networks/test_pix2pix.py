import math

import numpy as np
import pytest
import torch

from studio.networks import Task, get_family
from studio.networks.translation.pix2pix import Discriminator, Generator, Pix2PixConfig, edges, grey
from tests.unit.importers.official_translators import official


def small(**changes) -> Pix2PixConfig:
    return Pix2PixConfig(**{**dict(resolution=128, net="unet_128", ngf=2, ndf=4), **changes})


def test_the_registry_knows_what_it_can_do():
    family = get_family("pix2pix")
    assert family.task is Task.TRANSLATE
    assert not family.classes
    assert family.paired


def test_published_counts():
    """54.414 M for the U-Net with batch norm, 2.769 M for the PatchGAN that sees both pictures."""
    with torch.device("meta"):
        g, d = (make(Pix2PixConfig(norm="batch")) for make in (Generator, Discriminator))
    found = [round(sum(p.numel() for p in network.parameters()) / 1e6, 3) for network in (g, d)]
    assert found == [54.414, 2.769]


@torch.inference_mode()
def test_names_and_pictures_are_the_published_ones():
    theirs = official("unet_128", "batch")
    ours = Generator(small(norm="batch")).eval()
    ours.G.load_state_dict(theirs.state_dict(), strict=False)
    x = torch.rand(2, 3, 128, 256) * 2 - 1
    torch.testing.assert_close(ours(x), theirs(x), atol=1e-5, rtol=0)


def test_dropout_is_for_training_only():
    torch.manual_seed(0)
    g, x = Generator(small()), torch.rand(1, 3, 128, 128)
    assert not torch.equal(g(x), g(x))
    g.eval()
    assert torch.equal(g(x), g(x))
    g = Generator(small(dropout=False))
    assert torch.equal(g(x), g(x))


def test_the_judge_sees_both_pictures():
    torch.manual_seed(0)
    d, x, y = Discriminator(small(input_channels=1)), torch.rand(2, 1, 128, 128), torch.rand(2, 3, 128, 128)
    assert d(x, y).shape == (2, 1, 14, 14)
    assert not torch.allclose(d(x, y), d(x.flip(3), y))
    assert not torch.allclose(d(x, y), d(x, y.flip(3)))


# -- what goes in -----------------------------------------------------------------------------------------------------


def test_grey_is_the_brightness():
    x = torch.tensor([1.0, -1.0, 0.5]).reshape(1, 3, 1, 1)
    assert float(grey(x)) == pytest.approx(0.299 - 0.587 + 0.114 * 0.5)
    assert torch.equal(grey(x[:, :1]), x[:, :1])
    g = Generator(small(transform="grey")).eval()
    y = torch.rand(1, 3, 128, 128) * 2 - 1
    assert g.prepare(y).shape == y.shape
    assert torch.allclose(g.prepare(g.prepare(y)), g.prepare(y), atol=1e-6)
    assert torch.equal(g(y), g.G(grey(y).expand(-1, 3, -1, -1)))


def blurred(picture: np.ndarray, sigma: float) -> np.ndarray:
    """A Gaussian, pixel by pixel."""
    reach, (h, w) = math.ceil(3 * sigma), picture.shape
    taps = np.array([math.exp(-0.5 * (d / sigma) ** 2) for d in range(-reach, reach + 1)])
    kernel = np.outer(taps, taps) / taps.sum() ** 2
    padded = np.pad(picture, reach, mode="edge")
    return np.array([[(padded[i : i + 2 * reach + 1, j : j + 2 * reach + 1] * kernel).sum() for j in range(w)] for i in range(h)])


def test_edges_by_hand():
    light = np.random.default_rng(0).random((12, 15))
    expected = 1 - 2 * np.tanh(30 * np.maximum(0, blurred(light, 1.6) - blurred(light, 1.0)))
    found = edges(torch.from_numpy(light * 2 - 1)[None, None])
    np.testing.assert_allclose(found[0, 0].numpy(), expected, atol=1e-9)


def test_edges_are_dark_lines_on_white():
    x = torch.ones(1, 3, 64, 64) * 0.8
    x[:, :, 16:48, 16:48] = -0.6
    lines = edges(x)
    assert lines.shape == (1, 1, 64, 64)
    assert -1 <= lines.min() < -0.5
    assert lines[0, 0, 32, 32] > 0.99, "flat parts stay white"
    assert lines[0, 0, 4, 4] > 0.99, "flat parts stay white"
    assert lines[0, 0, 32, 16] < -0.3, "the border is drawn, on its dark side"
    # A drawing stays a drawing: one line is one line again.
    drawing = torch.ones(1, 1, 64, 64)
    drawing[:, :, 30:32] = -1
    again = edges(drawing)[0, 0, :, 20]
    dark = (again < 0).nonzero().flatten()
    assert dark.min() in (29, 30)
    assert dark.max() in (31, 32)


@pytest.mark.parametrize("bad", [dict(transform="sepia"), dict(net="vae"), dict(resolution=64), dict(output_channels=4)])
def test_absurd_configs_are_refused(bad):
    with pytest.raises(ValueError, match="|".join(bad)):
        small(**bad)
