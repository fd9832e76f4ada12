import copy
import dataclasses
import math

import pytest
import torch
import torch.nn.functional as F

from studio.models.folder import build_network, open_folder, save_folder
from studio.networks.generative.stylegan import Discriminator, Generator, StyledLayer, StyleGANConfig, adain
from studio.networks.layers import conv_resample, fir, fir_filter
from studio.training.growth import grown_at
from studio.training.losses import get_loss, gradient_power

GROWN = (0.0, 0.3, 1.0, 1.5, 2.0, 2.75, 3.0)  # of 32 px, whose stages are 3


def config(**changes) -> StyleGANConfig:
    return StyleGANConfig(**{**dict(resolution=32, z_dim=16, w_dim=16, channel_base=512, channel_max=32, mapping_layers=2), **changes})


def make_generator(**changes) -> Generator:
    """With random weights, and with noise, biases and mean of w that matter."""
    torch.manual_seed(0)
    network = Generator(config(**changes)).eval()
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if name.endswith(("noise_strength", "w_avg", ".bias")):
                tensor.add_(torch.randn(tensor.shape) * 0.2)
    return network.requires_grad_(False)


def make_discriminator(**changes) -> Discriminator:
    torch.manual_seed(1)
    return Discriminator(config(**changes)).requires_grad_(False)


@pytest.mark.parametrize("grown", GROWN)
def test_shapes_are_those_of_the_full_picture(grown):
    g, d = make_generator(c_dim=3), make_discriminator(c_dim=3)
    g.set_grown(grown)
    d.set_grown(grown)
    c = torch.eye(3)[[0, 1, 2, 0]]
    ws = g.mapping(torch.randn(4, 16), c)
    assert ws.shape == (4, 8, 16)
    assert g.num_ws == 8
    img = g.synthesis(ws)
    assert img.shape == (4, 3, 32, 32)
    assert img.dtype == torch.float32
    assert d(img, c).shape == (4, 1)
    cell = 32 // (4 << math.ceil(grown))  # every pixel of the stage is a square of equal ones
    assert torch.equal(img, img[:, :, ::cell, ::cell].repeat_interleave(cell, 2).repeat_interleave(cell, 3))


def test_channels_of_the_paper():
    """Table 2 of ProGAN: 512 up to 32 px, then half at each doubling, 16 at 1024 px."""
    cfg = StyleGANConfig(resolution=1024)
    assert [cfg.channels(r) for r in cfg.block_resolutions] == [512, 512, 512, 512, 256, 128, 64, 32, 16]
    with torch.device("meta"):
        network, d = Generator(cfg), Discriminator(cfg)
    assert network.num_ws == 18  # Sec. 2
    # The paper counts 26.2 million parameters in the generator and 23.1 in that of before; ProGAN's Table 2 gives 23.1 for D.
    assert sum(p.numel() for p in network.parameters()) == pytest.approx(26.2e6, rel=0.005)
    assert sum(p.numel() for p in d.parameters()) == pytest.approx(23.1e6, rel=0.005)


def test_adain_by_hand():
    x, scale, shift = torch.randn(2, 3, 5, 5) * 4 + 7, torch.randn(2, 3), torch.randn(2, 3)
    y = adain(x, scale, shift)
    torch.testing.assert_close(y.mean(dim=[2, 3]), shift, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(y.std(dim=[2, 3], correction=0), scale.abs(), atol=1e-5, rtol=1e-5)
    one = (x[1, 2] - x[1, 2].mean()) / x[1, 2].std(correction=0) * scale[1, 2] + shift[1, 2]
    torch.testing.assert_close(y[1, 2], one, atol=1e-5, rtol=1e-5)


def test_a_flat_channel_has_no_deviation_to_divide_by():
    y = adain(torch.full((1, 1, 4, 4), 3.0), torch.ones(1, 1), torch.full((1, 1), 0.5))
    torch.testing.assert_close(y, torch.full((1, 1, 4, 4), 0.5))


def test_a_styled_layer_by_hand():
    """Convolution, noise times the channel's strength, bias, leaky ReLU, then the style (y_s + 1, y_b)."""
    torch.manual_seed(0)
    layer = StyledLayer(6, 5, 8, config(w_dim=7))
    with torch.no_grad():
        layer.bias.normal_()
        layer.affine.bias.normal_()
    x, w, noise = torch.randn(2, 6, 8, 8), torch.randn(2, 7), torch.randn(2, 1, 8, 8) * torch.rand(5, 1, 1)
    y = F.conv2d(x, layer.conv.weight / math.sqrt(6 * 9), padding=1) + noise + layer.bias[:, None, None]
    y = F.instance_norm(F.leaky_relu(y, 0.2), eps=1e-12)
    style = w @ (layer.affine.weight / math.sqrt(7)).T + layer.affine.bias
    y = y * (style[:, :5, None, None] + 1) + style[:, 5:, None, None]
    torch.testing.assert_close(layer(x, w, noise), y, atol=2e-5, rtol=1e-5)


def test_the_filter_is_the_papers_doubling_and_blur():
    """Nearest neighbour, convolution, blur (1, 2, 1) are one filter (1, 3, 3, 1) away from the border; the halving likewise."""
    x, weight, blur = torch.randn(1, 4, 8, 8), torch.randn(5, 4, 3, 3), fir_filter([1, 2, 1])
    turned = weight.flip([2, 3])  # a transposed convolution turns its kernel round; a learned one does not mind
    up = fir(F.conv2d(F.interpolate(x, scale_factor=2), turned, padding=1), blur, pad=(1, 1))
    got = conv_resample(x, weight, fir_filter(config().resample_filter), up=2)
    torch.testing.assert_close(got[..., 2:-2, 2:-2], up[..., 2:-2, 2:-2], atol=1e-5, rtol=1e-5)
    down = F.avg_pool2d(F.conv2d(fir(x, blur, pad=(1, 1)), weight, padding=1), 2)
    got = conv_resample(x, weight, fir_filter(config().resample_filter), down=2)
    torch.testing.assert_close(got[..., 1:-1, 1:-1], down[..., 1:-1, 1:-1], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("grown", GROWN)
def test_going_on_from_any_step_gives_the_same_bits(grown):
    network = make_generator()
    network.set_grown(grown)
    ws = network.mapping(torch.randn(1, 16))
    trace = []
    full = network.synthesis(ws, trace=trace)
    steps = network.synthesis.steps
    rows = 2 * (math.ceil(grown) + 1)
    assert [s.w_index for s in steps] == sorted(s.w_index for s in steps)
    assert {s.w_index for s in steps} == set(range(rows))
    for i, state in enumerate(trace):
        assert torch.equal(network.synthesis(ws, start=(i, state)), full)
    for row in range(network.num_ws):
        changed = ws.clone()
        changed[:, row] += 1
        if row >= rows:
            assert torch.equal(network.synthesis(changed), full)
            continue
        first = next(i for i, s in enumerate(steps) if s.w_index >= row)
        assert torch.equal(network.synthesis(changed, start=(first, trace[first])), network.synthesis(changed))
        assert not torch.equal(network.synthesis(changed), full)


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_a_fade_begins_and_ends_without_a_jump(stage):
    g, d = make_generator(), make_discriminator()
    ws, real = g.mapping(torch.randn(4, 16)), torch.randn(4, 3, 32, 32)

    def at(grown):
        g.set_grown(grown)
        d.set_grown(grown)
        return g.synthesis(ws), d(real)

    for whole, near in ((stage - 1, stage - 1 + 1e-6), (stage, stage - 1e-6)):
        for a, b in zip(at(whole), at(near), strict=True):
            torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)
    halfway = at(stage - 0.5)
    for end in (stage - 1, stage):
        assert all((a - b).abs().max() > 1e-2 for a, b in zip(at(end), halfway, strict=True))


def test_halfway_is_the_mean_of_both_pictures():
    g = make_generator()
    ws = g.mapping(torch.randn(2, 16))
    pictures = []
    for grown in (1, 1.5, 2):
        g.set_grown(grown)
        pictures.append(g.synthesis(ws))
    torch.testing.assert_close(pictures[1], (pictures[0] + pictures[2]) / 2, atol=1e-5, rtol=1e-5)


def test_the_discriminator_by_hand_in_a_fade():
    """16 px a quarter faded in: the pictures, real or not, and the way into the 8 px block are mixed with the weight 0.25."""
    d, x = make_discriminator(), torch.randn(4, 3, 32, 32)
    d.set_grown(1.25)
    small = F.avg_pool2d(x, 4)
    faded = 0.75 * F.interpolate(small, scale_factor=2) + 0.25 * F.avg_pool2d(x, 2)
    y = 0.75 * d.b8.fromrgb(small) + 0.25 * d.b16(d.b16.fromrgb(faded))
    torch.testing.assert_close(d(x), d.b4(d.b8(y), None), atol=1e-5, rtol=1e-5)


def test_detail_finer_than_the_stage_is_not_seen():
    d, x = make_discriminator(), torch.randn(4, 3, 32, 32)
    board = torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).repeat(16, 16)
    d.set_grown(2)
    torch.testing.assert_close(d(x + board), d(x), atol=1e-5, rtol=1e-5)
    d.set_grown(2.5)
    assert (d(x + board) - d(x)).abs().max() > 1e-3


@pytest.mark.parametrize("grown", GROWN)
def test_the_gradient_reaches_the_active_blocks_and_no_others(grown):
    g, d = make_generator().requires_grad_(True), make_discriminator().requires_grad_(True)
    g.set_grown(grown)
    d.set_grown(grown)
    img = g(torch.randn(4, 16))
    assert img.requires_grad
    real = img.detach().requires_grad_(True)
    (d(img).sum() + gradient_power(d(real), real).sum()).backward()
    newest = math.ceil(grown)
    ends = {newest, math.floor(grown)}  # the only ways out and in
    for player in (g.synthesis, d):
        reached = {name for name, p in player.named_parameters() if p.grad is not None}
        for name, p in player.named_parameters():
            block, layer = name.split(".")[:2]
            stage = int(math.log2(int(block[1:]))) - 2
            active = stage in ends if layer in ("torgb", "fromrgb") else stage <= newest
            assert (name in reached) == active, name
            assert p.grad is None or p.grad.isfinite().all()


@pytest.mark.parametrize(("grown", "blocks"), [(0, {4}), (1, {4, 8}), (1.5, {4, 8, 16}), (2, {4, 8, 16}), (4, {4, 8, 16, 32, 64})])
def test_a_stage_costs_its_own_blocks_only(grown, blocks):
    g, d = make_generator(resolution=64), make_discriminator(resolution=64)
    g.set_grown(grown)
    d.set_grown(grown)
    ran, sizes = set(), set()

    def hook(module, inputs, output):
        ran.add(names[module])
        sizes.add(output.shape[-1])

    names = {
        m: int(n.split("b")[1].split(".")[0]) for p in (g, d) for n, m in p.named_modules() if n.endswith(("conv0", "conv1", "b4.conv"))
    }
    for module in names:
        module.register_forward_hook(hook)
    d(g(torch.randn(1, 16)))
    assert ran == blocks
    assert sizes == blocks


def test_equalised_layers_keep_the_variance():
    torch.manual_seed(0)
    cfg = StyleGANConfig(resolution=32, z_dim=64, w_dim=64, channel_base=4096, channel_max=128)
    g, d = Generator(cfg).eval(), Discriminator(cfg)
    power = {}

    def watch(name):
        return lambda module, inputs, output: power.update({name: output.square().mean().item()})

    for player in (g, d):
        for name, module in player.named_modules():
            if name.split(".")[-1] in ("conv", "conv0", "conv1"):
                module.register_forward_hook(watch(f"{type(player).__name__} {name}"))
    with torch.no_grad():
        w = g.mapping(torch.randn(16, 64))
        g.synthesis(w)
        d(F.interpolate(torch.randn(16, 3, 4, 4), size=32, mode="bilinear"))
    assert len(power) == 8 + 7 + 6 + 1  # layers of the generator, their convolutions (not of the constant), of the discriminator
    assert 0.5 < w.square().mean() < 2
    styled = 1 + 2 * w.square().mean()  # of (y_s + 1) x + y_b, when x, y_s and y_b are independent and x is normalised
    for name, value in power.items():
        if name.endswith(".conv") and name.startswith("Generator"):
            assert 0.3 < value / styled < 1.4, (name, value)  # the doublings take the finest detail out
        elif name.startswith("Generator"):
            assert 0.75 < value / styled < 1.33, (name, value)
        else:
            assert 0.08 < value < 2, (name, value)  # the halvings average over what differs


def test_noise_modes():
    network = make_generator()
    ws = network.mapping(torch.randn(1, 16))
    none = network.synthesis(ws, noise_mode="none")
    assert torch.equal(none, network.synthesis(ws, noise_strength=0.0))
    assert torch.equal(network.synthesis(ws), network.synthesis(ws))
    draw = [network.synthesis(ws, noise_mode="random", generator=torch.Generator().manual_seed(s)) for s in (1, 1, 2)]
    assert torch.equal(draw[0], draw[1])
    assert not torch.equal(draw[0], draw[2])
    assert not torch.equal(none, network.synthesis(ws))


def test_noise_has_a_strength_for_each_channel():
    network = make_generator(resolution=8)
    layer = network.synthesis.b8.conv1
    assert layer.noise_strength.shape == (32, 1, 1)
    layer.noise_strength.zero_()
    layer.noise_strength[3] = 1.0
    x, w = torch.zeros(1, 32, 8, 8), torch.zeros(1, 16)
    y = layer(x, w, layer.noise_const * layer.noise_strength)
    assert [c for c in range(32) if y[0, c].std() > 0.1] == [3]


def test_a_network_without_noise_has_no_tensors_for_it():
    network = make_generator(use_noise=False)
    ws = network.mapping(torch.randn(1, 16))
    assert not [name for name in network.state_dict() if "noise" in name]
    assert torch.equal(network.synthesis(ws), network.synthesis(ws, noise_mode="none"))


def test_truncation_and_cutoff():
    network = make_generator()
    z = torch.randn(2, 16)
    ws = network.mapping(z)
    torch.testing.assert_close(network.mapping(z, truncation_psi=0.0), network.mapping.w_avg.expand_as(ws))
    cut = network.mapping(z, truncation_psi=0.25, truncation_cutoff=3)
    torch.testing.assert_close(cut[:, :3], network.mapping.w_avg + 0.25 * (ws[:, :3] - network.mapping.w_avg))
    assert torch.equal(cut[:, 3:], ws[:, 3:])
    assert not torch.allclose(network(z, truncation_psi=0.5), network(z))


def test_both_players_use_the_class():
    g, d = make_generator(c_dim=4), make_discriminator(c_dim=4)
    z, x = torch.randn(1, 16).expand(4, -1), torch.randn(4, 3, 32, 32)
    pictures = g(z, torch.eye(4))
    assert all((pictures[0] - pictures[i]).abs().mean() > 1e-3 for i in (1, 2, 3))
    assert not torch.allclose(d(x, torch.eye(4)), d(x, torch.eye(4).roll(1, 0)))


def test_how_far_it_has_grown_travels_with_the_weights(tmp_path):
    g, d = make_generator(), make_discriminator()
    g.set_grown(1.75)
    d.set_grown(1.75)
    ws, x = g.mapping(torch.randn(4, 16)), torch.randn(4, 3, 32, 32)
    other = make_generator()
    assert not torch.equal(other.synthesis(ws), g.synthesis(ws))
    other.load_state_dict(g.state_dict())
    assert torch.equal(other.synthesis(ws), g.synthesis(ws))
    assert torch.equal(copy.deepcopy(g).synthesis(ws), g.synthesis(ws))
    again = make_discriminator()
    again.load_state_dict(d.state_dict())
    assert torch.equal(again(x), d(x))
    assert torch.equal(copy.deepcopy(d)(x), d(x))
    save_folder(tmp_path / "half", "stylegan", dataclasses.asdict(g.config), g.state_dict(), title="Half", dtype="float32")
    assert torch.equal(build_network(open_folder(tmp_path / "half")).synthesis(ws), g.synthesis(ws))


def test_a_stage_that_is_not_there_is_refused():
    g, d = make_generator(), make_discriminator()
    for bad in (-0.5, 3.5, math.nan):
        for player in (g, d):
            with pytest.raises(ValueError, match="grown must be"):
                player.set_grown(bad)
    for damaged, newest in ((math.nan, 0), (1e30, 3), (-5.0, 0)):
        g.synthesis.grown.fill_(damaged)
        assert g.synthesis.growth() == (newest, 1.0)


@pytest.mark.parametrize(
    "bad", [dict(resolution=48), dict(resolution=4), dict(resolution=2048), dict(channel_base=16), dict(channel_max=0)]
)
def test_absurd_configs_are_refused(bad):
    with pytest.raises(ValueError, match="|".join(bad)):
        StyleGANConfig(**{**dict(resolution=64), **bad})


def test_it_learns_colours_while_it_grows():
    """Squares of one colour, orange give or take: 4 px, then 8, then 16, each faded in."""
    torch.manual_seed(0)
    cfg = config(resolution=16, channel_base=256, channel_max=16)
    g, d = Generator(cfg), Discriminator(cfg)
    colour, loss, batch, steps = torch.tensor([0.7, 0.1, -0.6]), get_loss("non_saturating"), 16, 240
    opt_g, opt_d = (torch.optim.Adam(p.parameters(), lr=0.004, betas=(0.0, 0.99)) for p in (g, d))

    def off() -> float:
        with torch.no_grad():
            return (g(torch.randn(256, 16)).mean(dim=[0, 2, 3]) - colour).abs().max().item()

    stages, before = [], off()
    for step in range(steps):
        grown = grown_at(step * batch, 16, 4, fade_kimg=0.96, stable_kimg=0.64)
        stages.append(grown)
        g.set_grown(grown)
        d.set_grown(grown)
        real = (colour[:, None, None] + 0.1 * torch.randn(batch, 3, 1, 1)).expand(-1, -1, 16, 16).clone()
        fake = g(torch.randn(batch, 16), noise_mode="random")
        opt_g.zero_grad()
        loss.g(d(fake), None).mean().backward()
        opt_g.step()
        opt_d.zero_grad()
        real.requires_grad_(True)
        logits = d(real)
        loss.d(logits, d(fake.detach())).mean().add(0.5 * gradient_power(logits, real).mean()).backward()
        opt_d.step()
    assert stages[0] == 0
    assert stages[-1] == 2
    assert any(0 < s < 1 for s in stages)
    assert any(1 < s < 2 for s in stages)
    assert before > 0.4
    assert off() < 0.2
