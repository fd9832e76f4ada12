"""SRGAN, ESRGAN (RRDB) and Real-ESRGAN's compact network: counts, shapes, names, and how far they see."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from PIL import Image

import studio
from studio.errors import StudioError
from studio.models.folder import save_folder
from studio.networks import Task, families, get_family
from studio.networks.registry import Family
from studio.networks.super_resolution.upscaler import Upscaler

SMALL = {
    "srgan": dict(width=8, blocks=2, ndf=4, dense=8, resolution=48),
    "rrdb": dict(width=8, growth=4, blocks=1, ndf=4, resolution=48),
    "srvgg": dict(width=8, convs=2, ndf=4, resolution=48),
}
SETTINGS = [
    *(("srgan", dict(scale=s, norm=n)) for s in (2, 3, 4) for n in ("batch", "none")),
    *(("rrdb", dict(scale=s)) for s in (1, 2, 4)),
    *(("rrdb", dict(scale=2**d, doublings=d)) for d in (0, 1, 3)),
    *(("srvgg", dict(scale=s, act=a)) for s, a in ((1, "relu"), (2, "prelu"), (3, "leakyrelu"), (4, "prelu"))),
    *(("srvgg", dict(scale=s, drawn_scale=4)) for s in (1, 2, 3, 4)),
]


def make(name: str, seed: int = 0, **changes) -> Upscaler:
    """With random weights that all matter."""
    torch.manual_seed(seed)
    family = get_family(name)
    network = family.generator(family.config(**{**SMALL[name], **changes})).eval().requires_grad_(False)
    for parameter in network.parameters():
        parameter.add_(torch.randn(parameter.shape) * 0.05)
    return network


def count(network) -> int:
    return sum(p.numel() for p in network.parameters())


def test_the_registry_knows_what_they_can_do():
    found: list[Family] = [f for f in families() if f.task is Task.UPSCALE]
    assert {"srgan", "rrdb", "srvgg"} <= {f.name for f in found}
    assert not any(f.classes or f.paired for f in found)


def test_published_counts():
    """SRResNet 1.5 M (Lim 2017, Tab. 1), RRDBNet 16.70 M and 4.47 M, the compact ones 0.62 M and 1.21 M, the U-Net 4.38 M
    (as the published code counts them)."""

    def millions(name: str, player: str = "generator", **changes) -> float:
        family = get_family(name)
        with torch.device("meta"):
            return round(count(getattr(family, player)(family.config(**changes))) / 1e6, 2)

    assert millions("srgan") == 1.55
    assert millions("srgan", "discriminator") == 23.56  # 4.69 M of the convolutions, 6 * 6 * 512 * 1024 of the first dense layer
    assert (millions("rrdb"), millions("rrdb", blocks=6), millions("rrdb", scale=2)) == (16.70, 4.47, 16.70)
    assert (millions("srvgg"), millions("srvgg", convs=32)) == (0.62, 1.21)
    assert millions("rrdb", "discriminator") == millions("srvgg", "discriminator") == 4.38


def test_small_ones_fit_a_processor():
    """Less than 8 MB in half precision at the widths that a computer without a graphics card can train."""
    for name, changes in (("srgan", dict(width=32, blocks=8)), ("rrdb", dict(width=32, growth=16, blocks=4)), ("srvgg", dict(width=48))):
        family = get_family(name)
        assert count(family.generator(family.config(**changes))) * 2 < 8e6


@pytest.mark.parametrize(("name", "changes"), SETTINGS)
@pytest.mark.parametrize("channels", [1, 3])
def test_shapes(name, changes, channels):
    network = make(name, img_channels=channels, **changes)
    assert network.in_channels == channels
    assert network.scale == changes["scale"]
    assert network.resolution == 48
    height, width = 3 * network.multiple, 5 * network.multiple
    x = torch.rand(2, channels, height, width) * 2 - 1
    assert network(x).shape == (2, channels, height * network.scale, width * network.scale)
    config = network.config
    with torch.device("meta"):
        again = type(network)(type(config)(**dataclasses.asdict(config)))
    assert {k: v.shape for k, v in again.state_dict().items()} == {k: v.shape for k, v in network.state_dict().items()}


@pytest.mark.parametrize(("name", "changes"), SETTINGS)
def test_halo_is_how_far_it_sees(name, changes):
    """No gradient comes from farther away than the halo, and with weights that all matter some comes from nearly there."""
    network = make(name, **changes)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(parameter.abs() + 0.01)  # no two ways cancel, no ReLU is shut
    multiple = network.multiple
    middle = -(-(network.halo + 3) // multiple) * multiple
    x = torch.full((1, 3, 2 * middle, 2 * middle), 0.5, requires_grad=True)
    y = network(x)
    farthest = 0
    for i in range(multiple):  # each place within a fold
        (grad,) = torch.autograd.grad(
            y[0, 0, :, (middle + i) * network.scale : (middle + i + 1) * network.scale].sum(), x, retain_graph=True
        )
        columns = grad[0].abs().sum(dim=(0, 1)).nonzero().flatten()
        farthest = max(farthest, int((columns - middle - i).abs().max()))
    assert network.halo - 2 <= farthest <= network.halo


@pytest.mark.parametrize(("name", "changes"), SETTINGS)
@torch.inference_mode()
def test_a_piece_with_its_halo_is_as_within_the_whole(name, changes):
    network = make(name, **changes)
    step, scale = network.multiple, network.scale
    halo = -(-network.halo // step) * step
    x = torch.rand(1, 3, 4 * step, 2 * halo + 8 * step) * 2 - 1
    whole = network(x)[..., (halo + 4 * step) * scale : (halo + 6 * step) * scale]
    piece = network(x[..., 4 * step : 2 * halo + 6 * step])[..., halo * scale : -halo * scale or None]
    torch.testing.assert_close(piece, whole, atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_the_compact_one_begins_with_repeated_pixels():
    """Weights of zero leave the picture as it is, each pixel repeated; shrunk from four times to two it stays so inside."""
    x = torch.rand(1, 3, 6, 5) * 2 - 1
    for changes in (dict(scale=3), dict(scale=4)):
        network = make("srvgg", **changes)
        for parameter in network.body[-1].parameters():
            parameter.zero_()
        torch.testing.assert_close(network(x), F.interpolate(x, scale_factor=changes["scale"], mode="nearest"))


@torch.inference_mode()
def test_a_new_network_does_not_explode():
    """What an untrained one draws is of the size of a picture, however deep it is."""
    for name, changes in (("srgan", {}), ("srgan", dict(norm="none")), ("rrdb", dict(growth=16, blocks=8)), ("srvgg", {})):
        torch.manual_seed(0)
        family = get_family(name)
        network = family.generator(family.config(**{"width": 32, **changes})).train()
        assert float(network(torch.rand(1, 3, 16, 16) * 2 - 1).abs().max()) < 10, name


@pytest.mark.parametrize("name", SMALL)
def test_judges_see_real_patches_and_give_gradients(name):
    family = get_family(name)
    config = family.config(**SMALL[name])
    judge = family.discriminator(config)
    x = torch.rand(2, 3, 48, 48, requires_grad=True)
    logits = judge(x)
    assert logits.shape == ((2, 1) if name == "srgan" else (2, 1, 48, 48))
    assert judge.config == config
    logits.sum().backward()
    assert x.grad.abs().sum(dim=(1, 2, 3)).all()
    assert all(p.grad is not None for p in judge.parameters())


def test_the_judge_of_srgan_sees_one_size():
    family = get_family("srgan")
    with pytest.raises(AssertionError):
        family.discriminator(family.config(**SMALL["srgan"]))(torch.zeros(1, 3, 64, 64))


@torch.no_grad()
def test_the_unet_keeps_its_weights_at_a_spectral_norm_of_one():
    family = get_family("rrdb")
    judge = family.discriminator(family.config(**SMALL["rrdb"])).train()
    for _ in range(40):
        judge(torch.zeros(1, 3, 8, 8))
    for layer in (judge.conv1, judge.conv4, judge.conv8):
        assert float(torch.linalg.matrix_norm(layer.weight.flatten(1), 2)) == pytest.approx(1, rel=0.05)


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("srgan", dict(scale=1)),
        ("srgan", dict(norm="layer")),
        ("srgan", dict(resolution=40)),
        ("srgan", dict(blocks=0)),
        ("srgan", dict(scale=3, resolution=64)),
        ("rrdb", dict(scale=3)),
        ("rrdb", dict(scale=8)),
        ("rrdb", dict(doublings=4, scale=1)),
        ("rrdb", dict(growth=0)),
        ("rrdb", dict(img_channels=4)),
        ("srvgg", dict(act="gelu")),
        ("srvgg", dict(scale=5)),
        ("srvgg", dict(scale=4, drawn_scale=2)),
        ("srvgg", dict(drawn_scale=5)),
        ("srvgg", dict(convs=300)),
        ("srvgg", dict(resolution=0)),
    ],
)
def test_absurd_configs_are_refused(name, bad):
    with pytest.raises(ValueError, match="|".join([*bad, "doublings"])):
        get_family(name).config(**{**SMALL[name], **bad})


@pytest.mark.parametrize("name", SMALL)
def test_a_model_folder_of_it(name, tmp_path):
    """Kept and loaded again it draws the same; whatever wants latents is told that there are none."""
    network = make(name)
    info = save_folder(tmp_path / name, name, dataclasses.asdict(network.config), network.state_dict(), title="Larger", dtype="float32")
    assert info.resolution == 48
    assert "pipeline_tag: image-to-image" in (info.path / "README.md").read_text()
    model = studio.load(tmp_path / name, device="cpu")
    x = torch.rand(1, 3, 8, 8) * 2 - 1
    with torch.inference_mode():
        assert torch.equal(model.network(x), network(x))
    assert model.scale == 4
    assert "x4" in repr(model)
    assert model.z_dim is None
    assert model.c_dim == 0
    assert model.directions == ()
    wants = [lambda: model.mapping([[0.0]]), lambda: model.synthesis([[[0.0]]]), lambda: model.sample(1), lambda: model.w_avg]
    for want in (*wants, lambda: model.has_noise):
        with pytest.raises(StudioError, match="does not generate pictures from noise"):
            want()
    with pytest.raises(StudioError, match="does not translate pictures"):
        model.translate(Image.new("RGB", (8, 8)))
