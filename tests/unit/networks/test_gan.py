import copy
import math

import pytest
import torch
import torch.nn.functional as F

from studio.networks.generative.gan import Dense, Discriminator, GANConfig, Generator
from studio.networks.layers import BatchNorm, standing_statistics
from studio.training.losses import get_loss
from tests.unit.networks.toy import covered_modes, play, ring


def small(**changes) -> GANConfig:
    return GANConfig(**{**dict(resolution=8, z_dim=6, g_hidden=(12, 16), d_hidden=(16, 12), label_dim=5), **changes})


def lived_in(cfg: GANConfig) -> Generator:
    """With running statistics that matter, in eval mode."""
    torch.manual_seed(0)
    network = Generator(cfg)
    for _ in range(3):
        network(torch.randn(16, cfg.z_dim) + 1, torch.eye(cfg.c_dim)[torch.arange(16) % cfg.c_dim] if cfg.c_dim else None)
    return network.eval().requires_grad_(False)


@pytest.mark.parametrize(("resolution", "channels"), [(1, 2), (7, 1), (28, 1), (32, 3), (128, 3)])
def test_shapes(resolution, channels):
    cfg = small(resolution=resolution, img_channels=channels, c_dim=3)
    c = torch.eye(3)[[0, 2]]
    img = Generator(cfg)(torch.randn(2, 6), c)
    assert img.shape == (2, channels, resolution, resolution)
    assert img.abs().max() <= 1
    assert Discriminator(cfg)(img, c).shape == (2, 1)


def test_counts_by_hand():
    def count(network):
        return sum(p.numel() for p in network.parameters())

    cfg = small(c_dim=3)
    hidden = (6 + 5) * 12 + 12 + 2 * 12 + 12 * 16 + 16 + 2 * 16
    assert count(Generator(cfg)) == 3 * 5 + hidden + 16 * 192 + 192
    assert count(Discriminator(cfg)) == 3 * 5 + (192 + 5) * 16 + 16 + 16 * 12 + 12 + 12 + 1
    assert count(Generator(small(batch_norm=False))) == 6 * 12 + 12 + 12 * 16 + 16 + 16 * 192 + 192


def test_weights_begin_with_the_deviation_of_he():
    torch.manual_seed(0)
    layer = Dense(400, 500)
    assert float(layer.weight.detach().std()) == pytest.approx(math.sqrt(2 / 1.04 / 400), rel=0.02)
    assert not layer.bias.any()


def test_going_on_from_any_step_gives_the_same_bits():
    network = lived_in(small(c_dim=3))
    ws = network.mapping(torch.randn(1, 6), torch.eye(3)[:1])
    trace = []
    full = network.synthesis(ws, trace=trace)
    assert [s.name for s in network.synthesis.steps] == ["fc0", "fc1", "out"]
    assert all(s.w_index == 0 for s in network.synthesis.steps)
    for i, state in enumerate(trace):
        assert torch.equal(network.synthesis(ws, start=(i, state)), full)


def test_a_picture_does_not_depend_on_its_neighbours():
    network = lived_in(small())
    z = torch.randn(5, 6)
    together = network(z)
    for i in range(5):
        torch.testing.assert_close(network(z[i : i + 1])[0], together[i])


def test_the_class_changes_the_picture_and_weights_blend_it():
    network = lived_in(small(c_dim=3))
    z = torch.randn(1, 6)
    a, b = (network(z, torch.eye(3)[[i]]) for i in (0, 1))
    assert not torch.allclose(a, b, atol=1e-3)
    rows = [network.mapping(z, c)[:, 0] for c in (torch.eye(3)[:1], torch.eye(3)[1:2], torch.tensor([[0.3, 0.7, 0.0]]))]
    one, two, mix = (network.synthesis.latent(row) for row in rows)
    torch.testing.assert_close(mix, 0.3 * one + 0.7 * two)
    d = Discriminator(small(c_dim=3))
    assert not torch.allclose(d(a, torch.eye(3)[:1]), d(a, torch.eye(3)[1:2]))


def test_truncation_draws_z_alone_towards_its_mean():
    network = lived_in(small(c_dim=3))
    c = torch.eye(3)[:2]
    zero = network(torch.zeros(2, 6), c)
    assert torch.equal(network(torch.randn(2, 6), c, truncation_psi=0.0), zero)


# -- BatchNorm --------------------------------------------------------------------------------------------------------


def test_batch_norm_against_torch():
    torch.manual_seed(0)
    ours, torchs = BatchNorm(4, weight_std=0.3), torch.nn.BatchNorm2d(4)
    with torch.no_grad():
        torchs.weight.copy_(ours.weight)
    x = torch.randn(6, 4, 3, 3) * 2 + 1
    torch.testing.assert_close(ours(x), torchs(x))
    rows = BatchNorm(4)
    torch.testing.assert_close(rows(x[:, :, 0, 0]), torch.nn.BatchNorm1d(4)(x[:, :, 0, 0]))


def test_running_statistics_are_a_mean_at_first_and_decay_later():
    norm = BatchNorm(1, memory=3)
    for value in (2.0, 4.0, 9.0):
        norm(torch.tensor([[value - 1], [value + 1]]))
    assert float(norm.running_mean) == pytest.approx(5)
    assert float(norm.running_var) == pytest.approx(2)  # unbiased, and nothing of the 1 it began with
    norm(torch.tensor([[10.0], [12.0]]))
    assert float(norm.running_mean) == pytest.approx(5 + (11 - 5) / 3)


def test_a_batch_of_one_cannot_train_but_can_be_looked_at():
    network = Generator(small())
    with pytest.raises(ValueError, match="more than 1 value"):
        network(torch.randn(1, 6))
    assert network.eval()(torch.randn(1, 6)).isfinite().all()


def test_an_average_gets_statistics_of_its_own():
    network = lived_in(small()).train()
    average = copy.deepcopy(network)
    with torch.no_grad():
        for p in average.parameters():
            p.lerp_(torch.randn_like(p), 0.5)
    batches = [torch.randn(64, 6) for _ in range(10)]
    standing_statistics(average, [(z,) for z in batches])
    assert not average.training
    assert not any(m.training for m in average.modules())
    first = average.synthesis.hidden[0]
    before = torch.stack([F.linear(z, first.weight, first.bias) for z in batches])
    torch.testing.assert_close(first.norm.running_mean, before.mean(dim=[0, 1]))
    torch.testing.assert_close(first.norm.running_var, before.var(dim=1).mean(dim=0))
    assert all(m.memory == 10 for m in average.modules() if isinstance(m, BatchNorm))
    # In eval mode it now gives what the batch itself gives in training, as nearly as ten batches tell.
    shown = average(batches[0])
    assert (shown - average.train()(batches[0])).abs().mean() < 0.1
    plain = Generator(small(batch_norm=False))
    standing_statistics(plain, [])
    assert not plain.training


@pytest.mark.parametrize(
    "bad",
    [
        dict(resolution=0),
        dict(resolution=129),
        dict(z_dim=0),
        dict(c_dim=-1),
        dict(g_hidden=()),
        dict(d_hidden=(4, 0)),
        dict(output="relu"),
    ],
)
def test_absurd_configs_are_refused(bad):
    with pytest.raises(ValueError, match="|".join(bad)):
        GANConfig(**bad)


def test_a_config_from_json_is_the_same():
    assert GANConfig(g_hidden=[256, 512, 1024]) == GANConfig()


def test_it_learns_the_ring():
    torch.manual_seed(1)
    cfg = GANConfig(resolution=1, img_channels=2, z_dim=8, g_hidden=(128, 128), d_hidden=(128, 128), output="linear")
    loss = get_loss("non_saturating")
    network, z = Generator(cfg), torch.randn(1000, 8)
    assert covered_modes(copy.deepcopy(network).eval()(z)) < 6
    average = play(
        network, Discriminator(cfg), loss, lambda n, rng: (ring(n, rng), None), 1500, 128, 1, (1e-3, 1e-3), decay=0.99, r1_gamma=0.3
    )
    assert covered_modes(average(z)) >= 6
    assert covered_modes(ring(1000, torch.Generator().manual_seed(0))) == 8
