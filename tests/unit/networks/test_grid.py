"""Pictures wider and higher than those of the training, and pictures that can be tiled."""

import pytest
import torch

from studio.networks import families, get_family
from studio.networks.generative.latent_generator import Grid
from tests.component.engine.test_layer_bends import SMALL
from tests.unit.networks.test_stylegan3 import psnr, tiny_stylegan3

RESIZABLE = [f.name for f in families() if f.resizable]
TILEABLE = [f.name for f in families() if f.tileable]
# What these compute depends on statistics or sums of the whole map, which the padding changes a little.
GLOBAL = {"stylegan", "lucidrains", "biggan"}


def tiny(name):
    """(synthesis, ws of one picture) with random weights and noise that matters."""
    torch.manual_seed(0)
    family = get_family(name)
    network = family.generator(family.config(**SMALL[name])).eval().requires_grad_(False)
    for key, tensor in network.state_dict().items():
        if key.endswith(("noise_strength", "noise_weight", ".bias")):
            tensor.add_(torch.randn(tensor.shape) * 0.2)
    z = torch.randn(1, network.z_dim)
    c = torch.eye(network.c_dim)[:1] if network.c_dim else None
    return network.synthesis, network.mapping(z, c)


def test_the_families_that_can():
    assert set(RESIZABLE) == set(SMALL) - {"gan", "fastgan"}
    assert set(TILEABLE) == set(RESIZABLE) - {"stylegan3"}


@pytest.mark.parametrize("name", RESIZABLE)
@pytest.mark.parametrize("stretch", [False, True])
def test_a_picture_has_the_shape_of_its_grid(name, stretch):
    synthesis, ws = tiny(name)
    plain, r = synthesis(ws), synthesis.resolution
    for height, width in ((4, 8), (7, 3), (2, 4)):
        with synthesis.on_grid(Grid(height, width, stretch)):
            for mode in ("const", "random"):
                picture = synthesis(ws, noise_mode=mode)
                assert picture.shape == (1, 3, r * height // 4, r * width // 4)
                assert torch.isfinite(picture).all()
                assert picture.std() > 0.2 * plain.std()
    assert torch.equal(synthesis(ws), plain), "the grid is gone"
    with synthesis.on_grid(Grid(stretch=stretch)):
        assert torch.equal(synthesis(ws), plain), "the trained size is the trained picture, to the bit"


@pytest.mark.parametrize("name", sorted(set(TILEABLE) - GLOBAL))
def test_what_is_moved_around_the_edge_comes_back_on_the_other_side(name):
    """With padding that wraps, a first map moved by a pixel gives the picture moved by a quarter of its side, and nothing else."""
    synthesis, ws = tiny(name)
    with synthesis.on_grid(Grid(wrap=True)):
        first = synthesis.run(ws, noise_mode="none", end=1)
        whole = synthesis(ws, noise_mode="none", start=(1, first))
        for axis in (2, 3):
            moved = (first[0].roll(1, axis), first[1])
            r = synthesis.resolution
            torch.testing.assert_close(synthesis(ws, noise_mode="none", start=(1, moved)), whole.roll(r // 4, axis), atol=1e-4, rtol=1e-4)
    assert not torch.allclose(synthesis(ws, noise_mode="none"), whole, atol=1e-2)


def test_a_constant_moved_around_the_edge_comes_back_too():
    synthesis, ws = tiny("stylegan2")
    with synthesis.on_grid(Grid(wrap=True)):
        whole = synthesis(ws, noise_mode="none")
        synthesis.b4.const.copy_(synthesis.b4.const.roll(1, 2))
        torch.testing.assert_close(synthesis(ws, noise_mode="none"), whole.roll(synthesis.resolution // 4, 3), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", sorted(set(TILEABLE) - GLOBAL))
@pytest.mark.parametrize("mode", ["const", "none"])
def test_two_tiles_beside_each_other_are_the_wide_picture(name, mode):
    """What a network begins with is repeated from the middle on, and so is its noise: the same tile twice, half a tile on."""
    synthesis, ws = tiny(name)
    with synthesis.on_grid(Grid(wrap=True)):
        tile = synthesis(ws, noise_mode=mode)
    with synthesis.on_grid(Grid(width=8, wrap=True)):
        wide = synthesis(ws, noise_mode=mode)
    torch.testing.assert_close(wide, tile.repeat(1, 1, 1, 2).roll(synthesis.resolution // 2, 3), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", TILEABLE)
def test_tiles_have_no_seam(name):
    """The step from the last row to the first is no larger than steps within the picture."""
    synthesis, ws = tiny(name)
    with synthesis.on_grid(Grid(wrap=True)):
        picture = synthesis(ws, noise_mode="none")
    for axis in (2, 3):
        steps = (picture - picture.roll(1, axis)).abs().mean(dim=(1, 5 - axis))[0]
        assert steps[0] <= steps[1:].max() * 1.05


def test_a_wide_stylegan3_shows_what_lies_beyond_the_edges():
    network = tiny_stylegan3()
    ws = network.mapping(torch.randn(1, 16))
    plain = network.synthesis(ws)
    with network.synthesis.on_grid(Grid(width=8)):
        wide = network.synthesis(ws)
    r = network.resolution
    assert psnr(wide[:, :, :, r // 2 : r // 2 + r], plain) > 35
    assert not torch.allclose(wide[:, :, :, : r // 2], wide[:, :, :, r:-16].flip(3), atol=0.1)


def test_bends_act_on_a_wide_picture():
    from studio.networks.generative.latent_generator import StepBend

    synthesis, ws = tiny("stylegan2")
    bends = {"b8.conv1": StepBend(lambda x: x.flip(3))}
    with synthesis.on_grid(Grid(width=6)):
        trace = []
        picture = synthesis(ws, bends=bends, trace=trace)
        names = [step.name for step in synthesis.steps]
        i = names.index("b8.conv1") + 1
        state = synthesis.run(ws, end=i)
        assert torch.equal(trace[i][0], state[0].flip(3))
        assert torch.equal(picture, synthesis(ws, start=(i, (state[0].flip(3), state[1]))))
