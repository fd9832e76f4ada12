import copy

import pytest
import torch
import torch.nn.functional as F
from torch.func import functional_call

from studio.networks.generative.dcgan import DCGANConfig, Discriminator, Generator
from studio.networks.layers import BatchNorm, standing_statistics
from studio.training.losses import get_loss, gradient_power
from tests.unit.networks.toy import COLOURS, coloured_squares, play, square_colours


def small(**changes) -> DCGANConfig:
    return DCGANConfig(**{**dict(resolution=32, z_dim=6, ngf=4, ndf=4, label_dim=5), **changes})


def lived_in(cfg: DCGANConfig) -> Generator:
    """With weights and running statistics that matter, in eval mode."""
    torch.manual_seed(0)
    network = Generator(cfg)
    with torch.no_grad():
        for p in network.parameters():
            p.add_(torch.randn_like(p) * 0.2)
        for _ in range(3):
            network(torch.randn(8, cfg.z_dim), torch.eye(cfg.c_dim)[torch.arange(8) % cfg.c_dim] if cfg.c_dim else None)
    return network.eval().requires_grad_(False)


@pytest.mark.parametrize("resolution", [32, 64, 128, 256])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("upsampling", ["transposed", "resize"])
def test_shapes(resolution, channels, upsampling):
    cfg = small(resolution=resolution, img_channels=channels, upsampling=upsampling, c_dim=3, channel_max=16)
    c = torch.eye(3)[[0, 2]]
    img = Generator(cfg)(torch.randn(2, 6), c)
    assert img.shape == (2, channels, resolution, resolution)
    assert img.abs().max() <= 1
    assert Discriminator(cfg)(img, c).shape == (2, 1)


def test_channels_of_the_paper():
    cfg = DCGANConfig(ngf=128, channel_max=1024)
    assert [cfg.channels(r) for r in (4, 8, 16, 32)] == [1024, 512, 256, 128]  # Fig. 1


def test_counts_by_hand():
    def count(network):
        return sum(p.numel() for p in network.parameters())

    # 64 px, 100 -> 512 -> 256 -> 128 -> 64 -> 3 by 4x4 kernels, two numbers a normalised channel.
    kernels = 16 * (100 * 512 + 512 * 256 + 256 * 128 + 128 * 64 + 64 * 3)
    assert count(Generator(DCGANConfig())) == kernels + 2 * (512 + 256 + 128 + 64) + 3 == 3_576_707
    kernels = 16 * (3 * 64 + 64 * 128 + 128 * 256 + 256 * 512 + 512)
    assert count(Discriminator(DCGANConfig())) == kernels + 2 * (128 + 256 + 512) + 64 + 1 == 2_765_633
    assert count(Discriminator(DCGANConfig(c_dim=5))) == 2_765_633 + 5 * 512
    assert count(Generator(DCGANConfig(c_dim=5))) == 3_576_707 + 5 * 64 + 64 * 512 * 16


def test_weights_begin_small():
    torch.manual_seed(0)
    cfg = DCGANConfig(c_dim=5)
    for network in (Generator(cfg), Discriminator(cfg)):
        for name, p in network.named_parameters():
            mean, std = float(p.detach().mean()), float(p.detach().std(correction=0))
            if name.endswith("bias"):
                assert not p.any(), name
            elif ".norm." in name:
                assert mean == pytest.approx(1, abs=0.01), name
                assert std == pytest.approx(0.02, rel=0.4), name
            elif name != "synthesis.b4.embed.weight":
                assert mean == pytest.approx(0, abs=0.002), name
                assert std == pytest.approx(0.02, rel=0.1), name


@pytest.mark.parametrize("upsampling", ["transposed", "resize"])
def test_going_on_from_any_step_gives_the_same_bits(upsampling):
    network = lived_in(small(upsampling=upsampling, c_dim=3))
    ws = network.mapping(torch.randn(1, 6), torch.eye(3)[:1])
    trace = []
    full = network.synthesis(ws, trace=trace)
    assert [(s.name, s.resolution, s.w_index) for s in network.synthesis.steps] == [(f"b{r}", r, 0) for r in (4, 8, 16, 32)]
    for i, state in enumerate(trace):
        assert torch.equal(network.synthesis(ws, start=(i, state)), full)
    assert network.synthesis(ws, max_resolution=8).shape == full.shape  # it does not grow


@pytest.mark.parametrize("norm", ["batch", "instance", "layer", "none"])
def test_a_picture_does_not_depend_on_its_neighbours(norm):
    network = lived_in(small(g_norm=norm))
    z = torch.randn(3, 6)
    together = network(z)
    for i in range(3):
        torch.testing.assert_close(network(z[i : i + 1])[0], together[i], atol=1e-5, rtol=1e-4)
    assert isinstance(network.synthesis.b4.norm, BatchNorm) == (norm == "batch")


def test_the_class_changes_the_picture_and_weights_blend_it():
    network = lived_in(small(c_dim=3))
    z = torch.randn(1, 6)
    a, b = (network(z, torch.eye(3)[[i]]) for i in (0, 1))
    assert not torch.allclose(a, b, atol=1e-3)
    # The blend of two classes enters as the blend of what each of them brings.
    root = network.synthesis.b4
    weights = torch.tensor([[0.3, 0.7, 0.0]])
    torch.testing.assert_close(root.embed(weights), 0.3 * root.embed(torch.eye(3)[:1]) + 0.7 * root.embed(torch.eye(3)[1:2]))
    entered = torch.cat([z, root.embed(weights)], dim=1)
    expected = F.relu(root.norm(F.linear(entered, root.project.weight).reshape(1, -1, 4, 4)))
    torch.testing.assert_close(root(network.mapping(z, weights)[:, 0]), expected)


def test_one_block_is_a_transposed_convolution_of_stride_two():
    """Each pixel of the input is stamped on the output as the 4x4 kernel, two pixels apart, one pixel cropped."""
    network = lived_in(small())
    last = network.synthesis.b32
    x = torch.randn(1, 4, 16, 16)
    stamped = torch.zeros(3, 34, 34)
    for i in range(16):
        for j in range(16):
            stamped[:, 2 * i : 2 * i + 4, 2 * j : 2 * j + 4] += torch.einsum("c,cokl->okl", x[0, :, i, j], last.conv.weight)
    expected = (stamped[:, 1:33, 1:33] + last.conv.bias[:, None, None]).tanh()
    torch.testing.assert_close(last(x)[0], expected, atol=1e-5, rtol=1e-4)


# -- discriminator ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", ["none", "spectral", "layer"])
def test_projection_by_hand(norm):
    torch.manual_seed(0)
    d = Discriminator(small(c_dim=3, d_norm=norm)).eval()
    x, c = torch.randn(2, 3, 32, 32), torch.tensor([[1.0, 0, 0], [0.2, 0.5, 0.3]])
    h = d.b8(d.b16(d.b32(x)))
    assert h.shape == (2, 16, 4, 4)
    for i in range(2):
        logit = (d.out.weight * h[i].flatten()).sum() + d.out.bias
        v = sum(c[i, k] * d.embed.weight[:, k] for k in range(3))
        logit = logit + sum(v[k] * h[i, k].sum() for k in range(16))
        torch.testing.assert_close(d(x, c)[i], logit, atol=1e-5, rtol=1e-4)


def test_norms_stand_where_they_should():
    def kinds(norm):
        d = Discriminator(small(d_norm=norm))
        return [type(getattr(d, f"b{r}").norm).__name__ for r in d.block_resolutions]

    assert kinds("batch") == ["Identity", "BatchNorm", "BatchNorm"]
    assert kinds("layer") == kinds("instance") == ["Identity", "GroupNorm", "GroupNorm"]
    assert kinds("none") == kinds("spectral") == ["Identity"] * 3
    assert Discriminator(small(d_norm="layer")).b16.norm.num_groups == 1
    assert Discriminator(small(d_norm="instance")).b16.norm.num_groups == 8


@pytest.mark.parametrize("norm", ["none", "spectral", "layer", "instance"])
def test_without_batch_norm_pictures_are_judged_one_by_one(norm):
    torch.manual_seed(0)
    d = Discriminator(small(d_norm=norm))
    x = torch.randn(3, 3, 32, 32)
    if norm == "spectral":
        d.eval()  # in training a power iteration moves the weights a little each time
    torch.testing.assert_close(d(x)[:1], d(x[:1]), atol=1e-6, rtol=1e-4)


def test_spectral_norm_bounds_every_weight_by_one():
    torch.manual_seed(0)
    d = Discriminator(small(d_norm="spectral", c_dim=3))
    x, c = torch.randn(2, 3, 32, 32), torch.eye(3)[:2]
    for _ in range(30):
        d(x, c)
    d.eval()
    for layer in (d.b32.conv, d.b16.conv, d.b8.conv, d.out, d.embed):
        assert float(torch.linalg.matrix_norm(layer.weight.detach().flatten(1), 2)) == pytest.approx(1, abs=0.02)
    # State and copies carry the vectors of the power iteration.
    other = Discriminator(small(d_norm="spectral", c_dim=3)).eval()
    other.load_state_dict(d.state_dict())
    assert torch.equal(other(x, c), d(x, c))
    twin = copy.deepcopy(d)
    assert torch.equal(twin(x, c), d(x, c))
    with torch.no_grad():
        twin.out.parametrizations.weight.original.add_(0.1)
    assert not torch.equal(twin(x, c), d(x, c))


@pytest.mark.parametrize("norm", ["batch", "instance", "layer", "none", "spectral"])
def test_a_penalty_on_the_gradient_can_be_differentiated(norm):
    """Against a difference quotient of the penalty along a random direction of the weights of one layer."""
    torch.manual_seed(0)
    d = Discriminator(small(d_norm=norm)).double()
    with torch.no_grad():
        for p in d.parameters():
            p.mul_(5)
        for _ in range(30 if norm == "spectral" else 0):
            d(torch.randn(2, 3, 32, 32).double())
    if norm == "spectral":
        d.eval()
    x = torch.randn(3, 3, 32, 32).double().requires_grad_(True)
    name = next(n for n, _ in d.named_parameters() if n.startswith("b16.conv") and "bias" not in n)
    weight = dict(d.named_parameters())[name]
    step = torch.randn_like(weight)

    def penalty(w):
        return gradient_power(functional_call(d, {name: w}, (x,)), x).sum()

    (slope,) = torch.autograd.grad(penalty(weight), weight)
    h = 1e-6
    quotient = (penalty(weight + h * step) - penalty(weight - h * step)) / (2 * h)
    torch.testing.assert_close((slope * step).sum(), quotient.detach(), rtol=1e-3, atol=1e-9)


@pytest.mark.parametrize(
    "bad",
    [
        dict(resolution=48),
        dict(resolution=16),
        dict(resolution=512),
        dict(img_channels=2),
        dict(ngf=0),
        dict(c_dim=-1),
        dict(g_norm="spectral"),
        dict(d_norm="group"),
        dict(upsampling="shuffle"),
    ],
)
def test_absurd_configs_are_refused(bad):
    with pytest.raises(ValueError, match="|".join(bad)):
        DCGANConfig(**bad)


# -- learning ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [{}, dict(d_norm="spectral", upsampling="resize")])
def test_it_learns_the_colours_of_each_class(kind):
    torch.manual_seed(0)
    cfg = DCGANConfig(resolution=32, z_dim=16, c_dim=2, label_dim=16, ngf=16, ndf=16, **kind)

    def data(n, rng):
        pictures, labels = coloured_squares(n, rng)
        return pictures, F.one_hot(labels, 2).float()

    network = Generator(cfg)
    average = play(network, Discriminator(cfg), get_loss("non_saturating"), data, 150, 32, 0, (2e-3, 1e-3), decay=0.95)
    untrained = Generator(cfg).eval()

    @torch.no_grad()
    def error(network):
        z = torch.randn(32, 16)
        found = [square_colours(network(z, torch.eye(2)[[k] * 32])).mean(dim=0) for k in (0, 1)]
        return float((torch.stack(found) - torch.tensor(COLOURS)).abs().max())

    assert error(untrained) > 0.5
    assert error(average) < 0.3  # with the live one's statistics
    standing_statistics(average, [(torch.randn(32, 16), torch.eye(2)[torch.arange(32) % 2]) for _ in range(10)])
    assert error(average) < 0.3  # with its own
