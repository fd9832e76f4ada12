import json
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from studio.inference.model import load
from studio.networks.generative.stylegan2 import Discriminator, Generator, StyledConv, StyleGAN2Config
from studio.networks.layers import MinibatchStd, fir, fir_filter
from tests.conftest import GOLDEN, tiny_config, tiny_generator

CASES = ("stylegan2-ada-uncond-64", "stylegan2-ada-cond5-32")


@pytest.mark.parametrize("case", CASES)
def test_equal_to_the_reference(case):
    folder = GOLDEN / case
    io, tolerance = np.load(folder / "io.npz"), json.loads((folder / "case.json").read_text())["tolerance"]
    model = load(folder / "network-full.pkl", device="cpu")
    c = io["c"] if model.c_dim else None
    for psi in ("1.0", "0.7"):
        ws = model.mapping(io["z"], c, truncation_psi=float(psi))
        assert np.abs(ws.numpy() - io[f"ws_{psi}"]).max() <= tolerance
        assert np.abs(model.synthesis(ws).numpy() - io[f"img_{psi}"]).max() <= tolerance
    cut = model.mapping(io["z"], c, truncation_psi=0.5, truncation_cutoff=4)
    assert np.abs(cut.numpy() - io["ws_psi.5_cut4"]).max() <= tolerance
    assert np.abs(model.synthesis(io["ws_mix"]).numpy() - io["img_mix"]).max() <= tolerance


def test_fir_against_direct_sums():
    rng = np.random.default_rng(0)
    x, f = rng.standard_normal((5, 6)), rng.standard_normal((4, 4))
    up, down, pad = 2, 2, (2, 1)
    zeros = np.zeros((10, 12))
    zeros[::2, ::2] = x
    padded = np.pad(zeros, pad)
    full = np.array([[(padded[i : i + 4, j : j + 4] * f[::-1, ::-1]).sum() for j in range(12)] for i in range(10)])
    got = fir(torch.tensor(x)[None, None], torch.tensor(f), up, down, pad, gain=3.0)
    np.testing.assert_allclose(got[0, 0].numpy(), 3 * full[::down, ::down], atol=1e-12)


@pytest.mark.parametrize("up", [1, 2])
def test_modulated_convolution_against_one_kernel_a_sample(up):
    """Eqs. 1 and 3 of the paper, written down literally: weights scaled, normalised, then used."""
    torch.manual_seed(0)
    layer = StyledConv(6, 5, 8, tiny_config(w_dim=7), up=up)
    with torch.no_grad():
        layer.bias.normal_()
    x, w = torch.randn(3, 6, 8 // up, 8 // up), torch.randn(3, 7)
    styles = w @ (layer.affine.weight / math.sqrt(7)).T + layer.affine.bias
    f = fir_filter([1, 3, 3, 1])
    for i in range(3):
        kernel = layer.weight * styles[i][None, :, None, None]
        kernel = kernel / (kernel.square().sum(dim=[1, 2, 3], keepdim=True) + 1e-8).sqrt()
        if up == 1:
            y = F.conv2d(x[i : i + 1], kernel, padding=1)
        else:
            y = F.conv_transpose2d(x[i : i + 1], kernel.transpose(0, 1), stride=2)
            y = F.conv2d(F.pad(y, [1] * 4), (f * 4)[None, None].expand(5, 1, 4, 4), groups=5)
        y = F.leaky_relu(y + layer.bias[None, :, None, None], 0.2) * math.sqrt(2)
        torch.testing.assert_close(layer(x, w, None)[i : i + 1], y, atol=2e-5, rtol=1e-5)


def test_minibatch_deviation_by_hand():
    x = torch.tensor([[1.0], [5.0], [3.0], [5.0]]).reshape(4, 1, 1, 1).expand(4, 2, 3, 3)
    # groups of 2 are (0, 2) and (1, 3): deviations 1 and 0
    got = MinibatchStd(2)(x)[:, 2, 0, 0]
    torch.testing.assert_close(got, torch.tensor([1.0, 1e-4, 1.0, 1e-4]), atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("architecture", ["orig", "skip", "resnet"])
def test_going_on_from_any_step_gives_the_same_bits(architecture):
    network = tiny_generator(architecture=architecture, resolution=16)
    ws = network.mapping(torch.randn(1, 16))
    trace = []
    full = network.synthesis(ws, trace=trace)
    steps = network.synthesis.steps
    assert [s.w_index for s in steps] == sorted(s.w_index for s in steps)
    assert steps[-1].w_index == network.num_ws - 1
    for i, state in enumerate(trace):
        assert torch.equal(network.synthesis(ws, start=(i, state)), full)
    for row in range(network.num_ws):
        changed = ws.clone()
        changed[:, row] += 1
        first = next(i for i, s in enumerate(steps) if s.w_index >= row)
        assert torch.equal(network.synthesis(changed, start=(first, trace[first])), network.synthesis(changed))
        assert not torch.equal(network.synthesis(changed), full)


def test_truncation_and_cutoff():
    network = tiny_generator()
    z = torch.randn(2, 16)
    ws = network.mapping(z)
    assert torch.equal(ws[:, 0], ws[:, -1])
    torch.testing.assert_close(network.mapping(z, truncation_psi=0.0), network.mapping.w_avg.expand_as(ws))
    cut = network.mapping(z, truncation_psi=0.25, truncation_cutoff=3)
    torch.testing.assert_close(cut[:, :3], network.mapping.w_avg + 0.25 * (ws[:, :3] - network.mapping.w_avg))
    assert torch.equal(cut[:, 3:], ws[:, 3:])


def test_w_avg_follows_the_mean():
    network = Generator(tiny_config(w_avg_beta=0.75))
    ws = network.mapping(torch.randn(8, 16), update_w_avg=True)
    torch.testing.assert_close(network.mapping.w_avg, 0.25 * ws[:, 0].mean(dim=0))


def test_noise_modes():
    network = tiny_generator()
    ws = network.mapping(torch.randn(1, 16))
    none = network.synthesis(ws, noise_mode="none")
    assert torch.equal(none, network.synthesis(ws, noise_strength=0.0))
    draw = [network.synthesis(ws, noise_mode="random", generator=torch.Generator().manual_seed(s)) for s in (1, 1, 2)]
    assert torch.equal(draw[0], draw[1])
    assert not torch.equal(draw[0], draw[2])
    assert not torch.equal(none, network.synthesis(ws))


def test_a_lower_resolution_is_what_the_skips_hold():
    network = tiny_generator()
    ws = network.mapping(torch.randn(2, 16))
    assert network.synthesis(ws, max_resolution=16).shape == (2, 3, 16, 16)


def test_discriminator_uses_the_class():
    torch.manual_seed(0)
    d = Discriminator(tiny_config(c_dim=4))
    x = torch.randn(4, 3, 32, 32)
    a, b = d(x, torch.eye(4)), d(x, torch.eye(4).roll(1, 0))
    assert a.shape == (4, 1)
    assert not torch.allclose(a, b)


@pytest.mark.parametrize("bad", [dict(resolution=48), dict(resolution=10**9), dict(architecture="what")])
def test_absurd_configs_are_refused(bad):
    with pytest.raises(ValueError, match="|".join(bad)):
        StyleGAN2Config(**bad)


@pytest.mark.parametrize("change", [{}, {"architecture": "resnet"}, {"conv_clamp": 0.5}, {"channel_base": 2048, "channel_max": 16}])
@pytest.mark.parametrize("half", [False, True])
def test_one_picture_without_gradients_is_that_of_a_batch(change, half):
    network = tiny_generator(**change)
    with torch.no_grad():
        for name, tensor in network.synthesis.state_dict().items():
            if name.endswith("affine.bias"):
                tensor.mul_(3)  # styles that are not about one
    ws = torch.randn(2, network.num_ws, network.w_dim)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
        with torch.no_grad():
            alone = torch.cat([network.synthesis(w[None]) for w in ws])
            together = network.synthesis(ws)
        with_gradients = torch.cat([network.synthesis(w[None]) for w in ws])
    error = (0.03 if half else 1e-5) * together.abs().max()
    assert (alone - together).abs().max() < error
    assert (alone - with_gradients).abs().max() < error


def test_one_picture_follows_weights_that_change():
    network = tiny_generator()
    w = torch.randn(1, network.num_ws, network.w_dim)

    def agrees() -> torch.Tensor:
        with torch.no_grad():
            alone, batch = network.synthesis(w), network.synthesis(w.repeat(2, 1, 1))[:1]
        assert torch.allclose(alone, batch, atol=1e-5)
        return alone

    before = agrees()
    with torch.no_grad():
        network.synthesis.b8.conv0.weight.mul_(torch.rand_like(network.synthesis.b8.conv0.weight))
    changed = agrees()
    assert not torch.allclose(before, changed, atol=1e-3)
    network.load_state_dict(tiny_generator(seed=5).state_dict())
    assert not torch.allclose(changed, agrees(), atol=1e-3)
    network.to(memory_format=torch.channels_last)
    agrees()
    network.double().float()
    agrees()
