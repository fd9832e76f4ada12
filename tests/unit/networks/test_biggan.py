"""BigGAN's parts against direct computations, and that the whole can learn."""

import copy
import dataclasses

import pytest
import torch
import torch.nn.functional as F

from studio.models.folder import save_folder
from studio.models.network_builder import load_network
from studio.models.weights_file import read_tensors
from studio.networks import Task, get_family
from studio.networks.generative import biggan
from studio.networks.generative.biggan import (
    BigGANConfig,
    ConditionalBatchNorm,
    Discriminator,
    Generator,
    SpectralConv,
    SpectralLinear,
    standing_statistics,
)

VARIANTS = {
    "hierarchical": {},
    "hierarchical, no classes": {"c_dim": 0},
    "flat": {"hierarchical": False, "z_dim": 12},
    "flat, no classes": {"hierarchical": False, "z_dim": 12, "c_dim": 0},
    "deep": {"deep": True, "z_dim": 12},
    "deep, no classes": {"deep": True, "z_dim": 12, "c_dim": 0},
}


def config(**changes):
    return BigGANConfig(**{**dict(resolution=32, z_dim=16, c_dim=3, ch=4, shared_dim=6, n_stats=3), **changes})


def generator(seed=0, **changes):
    """In eval mode, with statistics and attention that matter."""
    torch.manual_seed(seed)
    network = Generator(config(**changes)).eval().requires_grad_(False)
    for name, tensor in network.state_dict().items():
        if name.endswith(("running_mean", "gamma", ".bias")):
            tensor.add_(torch.randn(tensor.shape) * 0.3)
        elif name.endswith("running_var"):
            tensor.mul_(torch.rand(tensor.shape) + 0.5)
    return network


def latents(network, n=4, seed=1):
    rng = torch.Generator().manual_seed(seed)
    c = torch.eye(network.c_dim)[torch.arange(n) % network.c_dim] if network.c_dim else None
    return torch.randn(n, network.z_dim, generator=rng), c


# -- rows and steps --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS.keys())
def test_going_on_from_any_step_gives_the_same_bits(changes):
    network = generator(**changes)
    ws, trace = network.mapping(*latents(network), 0.6), []
    full = network.synthesis(ws, trace=trace)
    steps = network.synthesis.steps
    assert full.shape == (4, 3, 32, 32)
    assert full.abs().max() <= 1
    assert len(trace) == len(steps)
    assert [s.w_index for s in steps] == [*range(network.num_ws), network.num_ws - 1]
    for i, state in enumerate(trace):
        assert torch.equal(network.synthesis(ws, start=(i, state)), full)


@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS.keys())
def test_each_row_acts_from_its_step_on(changes):
    network = generator(**changes)
    one, two = (network.mapping(*latents(network, seed=s)) for s in (1, 2))
    two[:, :, network.mapping.chunk :] -= 0.3  # another class and psi
    before = []
    network.synthesis(one, trace=before)
    for row in range(network.num_ws):
        ws, after = one.clone(), []
        ws[:, row] = two[:, row]
        network.synthesis(ws, trace=after)
        same = [i for i, (a, b) in enumerate(zip(before, after, strict=True)) if i == 0 or torch.equal(a[0], b[0])]
        assert same == list(range(row + 1))


def test_rows_hold_a_chunk_of_z_the_class_and_psi():
    network = generator()
    z, c = latents(network)
    ws = network.mapping(z, c)
    assert network.num_ws == 4
    assert network.w_dim == 4 + 6 + 1
    for i in range(4):
        assert torch.equal(ws[:, i], torch.cat([z[:, 4 * i : 4 * i + 4], network.mapping.embed[c.argmax(1)], torch.ones(4, 1)], 1))
    deep = generator(deep=True)
    assert torch.equal(deep.mapping(z, c)[:, 2, :16], z)
    assert deep.num_ws == 7


def test_a_blend_of_classes_is_a_blend_of_embeddings():
    network = generator()
    z = latents(network, 1)[0]
    blend = network.mapping(z, torch.tensor([[0.25, 0.75, 0.0]]))
    first, second = (network.mapping(z, torch.eye(3)[i : i + 1]) for i in (0, 1))
    assert torch.allclose(blend, 0.25 * first + 0.75 * second, atol=1e-6)


def test_truncation_scales_z_chooses_statistics_and_stops_at_the_cutoff():
    network = generator()
    z, c = latents(network)
    ws, cut = network.mapping(z, c), network.mapping(z, c, 0.5, 2)
    assert torch.equal(cut[:, :2, :4], ws[:, :2, :4] * 0.5)
    assert torch.equal(cut[:, 2:], ws[:, 2:])
    assert torch.equal(cut[:, :, 4:10], ws[:, :, 4:10])
    assert (cut[:, :2, -1] == 0.5).all()
    assert torch.equal(network.mapping.truncate(ws, 0.5), network.mapping(z, c, 0.5))
    assert torch.equal(network.mapping.truncate(ws), ws)
    assert not torch.allclose(network.synthesis(network.mapping(z * 0.5, c)), network.synthesis(network.mapping(z, c, 0.5)), atol=1e-3)


# -- batch normalisation ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("training", [True, False])
def test_conditional_batch_norm_against_torch(training):
    torch.manual_seed(0)
    norm = ConditionalBatchNorm(5, 7, config(n_stats=1)).train(training)
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    x, cond = torch.randn(3, 5, 4, 4) * 2 + 1, torch.randn(3, 7)
    mean, var = norm.running_mean[0].clone(), norm.running_var[0].clone()
    y = norm(x, cond, torch.ones(3))
    expected = F.batch_norm(x, mean, var, training=training, momentum=0.1, eps=1e-5)
    gain, bias = norm.gain.weight, norm.bias.weight  # their rows are orthonormal, so that the spectral norm is 1
    expected = expected * (1 + cond @ gain.t())[:, :, None, None] + (cond @ bias.t())[:, :, None, None]
    assert torch.allclose(y, expected, atol=1e-5)
    assert torch.allclose(norm.running_mean[0], mean, atol=1e-6)
    assert torch.allclose(norm.running_var[0], var, atol=1e-6)


def test_statistics_between_two_levels():
    norm = ConditionalBatchNorm(2, 0, config(n_stats=5)).eval()
    norm.running_mean.copy_(torch.randn(5, 2))
    norm.running_var.copy_(torch.rand(5, 2) + 0.1)
    mean, var = norm.interpolated(torch.tensor([0.0, 0.25, 0.3, 1.0, 1.7, -1.0]))
    for got, levels in ((mean, norm.running_mean), (var, norm.running_var)):
        expected = torch.stack([levels[0], levels[1], 0.8 * levels[1] + 0.2 * levels[2], levels[4], levels[4], levels[0]])
        assert torch.allclose(got, expected, atol=1e-6)


def test_standing_statistics_are_those_of_all_activations():
    network = generator(n_stats=2)
    network.train()
    before = {k: v.clone() for k, v in network.state_dict().items() if "running" not in k}
    seen = {}
    block = network.synthesis.blocks[0]
    # What comes in at the first normalisation does not hang on any other one.
    block.bn1.register_forward_pre_hook(lambda m, args: seen.setdefault(float(args[2][0]), []).append(args[0].double()))
    standing_statistics(network, 3, 4, torch.Generator().manual_seed(0))
    for level, psi in enumerate((0.0, 1.0)):
        x = torch.cat(seen[psi])
        assert len(x) == 12
        assert torch.allclose(block.bn1.running_mean[level].double(), x.mean(dim=[0, 2, 3]), atol=1e-6)
        assert torch.allclose(block.bn1.running_var[level].double(), x.var(dim=[0, 2, 3], correction=0), rtol=1e-4, atol=1e-8)
    assert network.training
    assert all(torch.equal(network.state_dict()[k], v) for k, v in before.items())
    again = generator(n_stats=2)
    standing_statistics(again, 3, 4, torch.Generator().manual_seed(0))
    assert all(torch.equal(v, again.state_dict()[k]) for k, v in network.state_dict().items())


def test_standing_statistics_of_one_batch_give_the_picture_of_training():
    network = generator(n_stats=1)
    rng = torch.Generator().manual_seed(5)
    standing_statistics(network, 1, 8, rng)
    rng.manual_seed(5)
    z = torch.randn(8, network.z_dim, generator=rng)
    c = F.one_hot(torch.multinomial(torch.ones(3), 8, replacement=True, generator=rng), 3).float()
    standing = network(z, c)
    assert torch.allclose(standing, copy.deepcopy(network).train()(z, c), atol=1e-4)


# -- spectral norm, orthogonality -------------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", [lambda: SpectralLinear(7, 5, 1e-12), lambda: SpectralConv(3, 6, 3, 1e-12)])
def test_spectral_norm_against_svd(layer):
    torch.manual_seed(0)
    layer = layer()
    with torch.no_grad():
        layer.weight.normal_()
        for _ in range(200):
            layer.normed_weight()
        sigma = torch.linalg.matrix_norm(layer.weight.flatten(1), 2)
        assert torch.allclose(layer.normed_weight(), layer.weight / sigma, rtol=1e-4)


def test_spectral_norm_follows_in_training_only_and_its_gradient_is_sigmas():
    torch.manual_seed(0)
    layer = SpectralLinear(4, 3, 1e-12)
    layer.weight.data.normal_()
    u = layer.u.clone()
    layer.eval()
    first = layer.normed_weight()
    assert torch.equal(layer.u, u)
    assert torch.equal(layer.normed_weight(), first)
    assert torch.equal(layer.train().normed_weight(), first)
    assert not torch.equal(layer.u, u)
    for _ in range(300):
        layer.normed_weight()
    direction = torch.randn(3, 4)
    (ours,) = torch.autograd.grad((layer.normed_weight() * direction).sum(), layer.weight)
    # By torch's own derivative of the largest singular value.
    (theirs,) = torch.autograd.grad((layer.weight / torch.linalg.matrix_norm(layer.weight, 2) * direction).sum(), layer.weight)
    assert torch.allclose(ours, theirs, atol=1e-4)


def test_an_average_is_divided_by_the_norm_of_its_own_weights():
    torch.manual_seed(0)
    layer = SpectralLinear(6, 6, 1e-12)
    layer.weight.data.normal_()
    for _ in range(100):
        layer.normed_weight()
    average = copy.deepcopy(layer).eval()
    average.weight.data.mul_(0.5).add_(torch.randn(6, 6) * 1e-3)
    norm = torch.linalg.matrix_norm(average.normed_weight(), 2)
    assert abs(float(norm.detach()) - 1) < 1e-3


def test_weights_begin_orthogonal():
    torch.manual_seed(0)
    for network in (Generator(config(deep=True)), Generator(config()), Discriminator(config())):
        checked = 0
        for name, p in network.named_parameters():
            if p.ndim >= 2:
                w = p.detach().flatten(1)
                gram = w @ w.t() if w.shape[0] <= w.shape[1] else w.t() @ w
                assert torch.allclose(gram, torch.eye(len(gram)), atol=1e-4), name
                checked += 1
        assert checked > 10


# -- discriminator ---------------------------------------------------------------------------------------------------


def test_projection_by_hand():
    torch.manual_seed(0)
    d = Discriminator(config()).eval()
    h = []
    d.out.register_forward_pre_hook(lambda m, args: h.append(args[0]))
    img, c = torch.randn(3, 3, 32, 32), torch.eye(3)
    logits = d(img, c)
    w, e = d.out.normed_weight(), d.embed.normed_weight()
    by_hand = torch.stack([h[0][i] @ w[0] + d.out.bias[0] + h[0][i] @ e[:, i] for i in range(3)])
    assert logits.shape == (3, 1)
    assert torch.allclose(logits[:, 0], by_hand, atol=1e-5)
    assert not torch.allclose(logits, d(img, c.roll(1, 0)))


def test_discriminator_without_classes_and_its_sum_over_places():
    d = Discriminator(config(c_dim=0)).eval()
    assert not any(name.startswith("embed") for name, _ in d.named_parameters())
    assert d.block_resolutions == [32, 16, 8, 4]
    h, x = [], []
    d.out.register_forward_pre_hook(lambda m, args: h.append(args[0]))
    d.b4.register_forward_hook(lambda m, args, out: x.append(out))
    assert d(torch.randn(2, 3, 32, 32)).shape == (2, 1)
    assert x[0].shape == (2, 16, 4, 4)
    assert torch.allclose(h[0], x[0].relu().sum(dim=[2, 3]))


# -- the whole -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("resolution", [32, 64, 128, 256, 512])
@pytest.mark.parametrize("deep", [False, True])
def test_defaults_at_each_resolution(resolution, deep):
    cfg = BigGANConfig(resolution=resolution, c_dim=2, deep=deep, ch=4)
    g, d = Generator(cfg).eval(), Discriminator(cfg).eval()
    with torch.inference_mode():
        img = g(torch.randn(1, cfg.z_dim), torch.eye(2)[:1])
        assert img.shape == (1, 3, resolution, resolution)
        assert d(img, torch.eye(2)[:1]).shape == (1, 1)
    assert len(g.synthesis.attention) == len(d.attention) == 1
    assert BigGANConfig(**dataclasses.asdict(cfg)) == cfg


def test_a_model_folder_gives_the_same_picture(tmp_path):
    network = generator()
    cfg = dataclasses.asdict(network.config)
    info = save_folder(tmp_path / "big", "biggan", cfg, network.state_dict(), title="Big", dtype="float32")
    again = load_network("biggan", info.config, read_tensors(info.path / "model.safetensors"), "it")
    assert torch.equal(again(*latents(network), 0.7), network(*latents(network), 0.7))


@pytest.mark.parametrize(
    "bad",
    [
        {"resolution": 48},
        {"resolution": 16},
        {"z_dim": 17},
        {"ch": 0},
        {"n_stats": 0},
        {"widths": (4, 4)},
        {"ups": (1, 1, 0)},
        {"attention_after": (9,)},
        {"deep": True, "widths": (1, 2, 2, 2, 2, 2, 2)},
    ],
)
def test_absurd_configs_are_refused(bad):
    with pytest.raises(ValueError, match="|".join(bad)):
        config(**bad)


def test_it_is_registered():
    family = get_family("biggan")
    assert family.classes
    assert family.task is Task.GENERATE
    assert family.generator is biggan.Generator


def _train(g, d, opt_g, opt_d, steps, begin=0):
    """Two classes of one colour each, hinge loss, two micro-batches a step."""
    colours = torch.tensor([[0.8, -0.6, -0.6], [-0.6, -0.6, 0.8]])
    for step in range(begin, begin + steps):
        rng = torch.Generator().manual_seed(step)
        for player, opt in ((d, opt_d), (g, opt_g)):
            for _ in range(2):
                label = torch.randint(2, [8], generator=rng)
                c = torch.eye(2)[label]
                fake = g(torch.randn(8, g.z_dim, generator=rng), c)
                if player is d:
                    real = colours[label][:, :, None, None].expand(-1, -1, 32, 32) + 0.05 * torch.randn(8, 3, 32, 32, generator=rng)
                    loss = F.relu(1 - d(real, c)).mean() + F.relu(1 + d(fake.detach(), c)).mean()
                else:
                    loss = -d(fake, c).mean()
                (loss / 2).backward()
            opt.step()
            g.zero_grad()
            d.zero_grad()


def _players():
    torch.manual_seed(0)
    cfg = config(c_dim=2, ch=4, n_stats=1)
    g, d = Generator(cfg), Discriminator(cfg)
    return g, d, *(torch.optim.Adam(p.parameters(), lr=lr, betas=(0.0, 0.99)) for p, lr in ((g, 1e-3), (d, 4e-3)))


def test_classes_separate_in_a_short_training():
    players = _players()
    _train(*players, steps=45)
    g = players[0]
    standing_statistics(g, 2, 16, torch.Generator().manual_seed(0))
    g.eval()
    z = torch.randn(8, g.z_dim, generator=torch.Generator().manual_seed(9))
    red, blue = (g(z, torch.eye(2)[[k] * 8]).detach().mean(dim=[0, 2, 3]) for k in (0, 1))
    assert red[0] - red[2] > 0.5, (red, blue)
    assert blue[2] - blue[0] > 0.5, (red, blue)


def test_a_training_taken_up_again_goes_on_exactly():
    whole, first = _players(), _players()
    _train(*whole, steps=3)
    _train(*first, steps=2)
    kept = [copy.deepcopy(part.state_dict()) for part in first]
    second = _players()
    for part, state in zip(second, kept, strict=True):
        part.load_state_dict(state)
    _train(*second, steps=1, begin=2)
    for a, b in zip(whole[:2], second[:2], strict=True):
        assert all(torch.equal(v, b.state_dict()[k]) for k, v in a.state_dict().items())
