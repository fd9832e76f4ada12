import pytest
import torch
from torch import nn

from studio.networks import Task, get_family
from studio.networks.translation.cyclegan import CycleGANConfig, Discriminator, Generator
from studio.networks.translation.resnet_unet_patchgan import NETS, PatchDiscriminator, PixelDiscriminator, ResizeConv
from tests.unit.importers.official_translators import official, side


def count(network) -> int:
    return sum(p.numel() for p in network.parameters())


def small(**changes) -> CycleGANConfig:
    return CycleGANConfig(**{**dict(resolution=32, net="resnet_6blocks", ngf=4, ndf=4), **changes})


def test_the_registry_knows_what_it_can_do():
    family = get_family("cyclegan")
    assert family.task is Task.TRANSLATE
    assert not family.classes
    assert not family.paired


def test_published_counts():
    """As the published code prints them: 11.378 M and 7.838 M for the ResNets, 54.414 M and 41.829 M for the U-Nets with batch
    norm, 2.765 M for the PatchGAN of three channels."""
    with torch.device("meta"):
        found = {net: count(Generator(CycleGANConfig(net=net, directions="AtoB"))) for net in NETS[:2]}
        found |= {net: count(Generator(CycleGANConfig(net=net, norm="batch", directions="AtoB"))) for net in NETS[2:]}
        judge = count(Discriminator(CycleGANConfig(directions="AtoB")))
        assert count(Generator(CycleGANConfig())) == 2 * found["resnet_9blocks"]
    assert {net: round(n / 1e6, 3) for net, n in found.items()} == {
        "resnet_6blocks": 7.838,
        "resnet_9blocks": 11.378,
        "unet_128": 41.829,
        "unet_256": 54.414,
    }
    assert round(judge / 1e6, 3) == 2.765


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("norm", ["instance", "batch"])
@torch.inference_mode()
def test_names_and_pictures_are_the_published_ones(net, norm):
    theirs = official(net, norm, width=2)
    ours = Generator(CycleGANConfig(resolution=256, net=net, norm=norm, ngf=2, directions="AtoB")).eval()
    state = theirs.state_dict()
    assert [k.removeprefix("G_A2B.") for k in ours.state_dict() if not k.endswith("batches_seen")] == [
        k for k in state if not k.endswith("num_batches_tracked")
    ]
    ours.G_A2B.load_state_dict(state, strict=False)
    x = torch.rand(2, 3, side(net), 2 * side(net)) * 2 - 1
    torch.testing.assert_close(ours(x), theirs(x), atol=1e-5, rtol=0)


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("upsampling", ["transposed", "resize"])
def test_shapes_both_ways(net, upsampling):
    cfg = CycleGANConfig(resolution=256, net=net, ngf=2, ndf=2, upsampling=upsampling, input_channels=1, output_channels=3)
    g, d = Generator(cfg), Discriminator(cfg)
    size = side(net)
    assert g.directions == ("AtoB", "BtoA")
    assert size % g.multiple == 0
    a = torch.rand(2, 1, size, size)
    b = g(a, "AtoB")
    back = g(b, "BtoA")
    assert b.shape == (2, 3, size, size)
    assert back.shape == a.shape
    assert b.abs().max() <= 1
    assert d(b, "B").shape == d(back, "A").shape == (2, 1, size // 8 - 2, size // 8 - 2)
    with pytest.raises(AssertionError):
        Generator(small(directions="AtoB"))(torch.zeros(1, 3, 32, 32), "BtoA")


def test_a_patch_is_70_pixels_wide():
    """A logit's gradient reaches 70x70 pixels, and none outside of them."""
    torch.manual_seed(0)
    for layers, size in ((3, 70), (1, 16), (2, 34)):
        d = PatchDiscriminator(3, 4, layers)
        for i, layer in enumerate(d.model):
            if isinstance(layer, torch.nn.InstanceNorm2d):  # it would carry every pixel everywhere
                d.model[i] = torch.nn.Identity()
        x = torch.rand(1, 3, 256, 256, requires_grad=True)
        logits = d(x)
        logits[0, 0, logits.shape[2] // 2, logits.shape[3] // 2].backward()
        seen = (x.grad.abs().sum(dim=[0, 1]) > 0).nonzero()
        low, high = seen.min(dim=0).values, seen.max(dim=0).values
        assert (high - low + 1).tolist() == [size, size]


def test_a_pixel_is_judged_by_its_colour_alone():
    d = PixelDiscriminator(3, 4)
    d.net[3] = torch.nn.Identity()
    x = torch.rand(1, 3, 8, 8, requires_grad=True)
    d(x)[0, 0, 3, 5].backward()
    assert x.grad.abs().sum(dim=[0, 1]).nonzero().tolist() == [[3, 5]]


def test_resizing_leaves_no_checkerboard():
    """On a flat picture each of the four pixels that one becomes is the same; by a transposed convolution they differ."""
    torch.manual_seed(0)
    flat = torch.ones(1, 4, 8, 8)
    up = ResizeConv(4, 2, bias=True)
    inner = up(flat)[:, :, 2:-2, 2:-2]
    assert up(flat).shape == (1, 2, 16, 16)
    assert float((inner - inner[:, :, :1, :1]).abs().max().detach()) < 1e-6
    transposed = Generator(small(directions="AtoB")).G_A2B.model[16]
    inner = transposed(torch.ones(1, 16, 8, 8))[:, :, 2:-2, 2:-2]
    assert float((inner - inner[:, :, :1, :1]).abs().max().detach()) > 1e-3


def test_weights_begin_small():
    torch.manual_seed(0)
    cfg = CycleGANConfig(resolution=256, ngf=16, ndf=16, norm="batch", directions="AtoB")
    for network in (Generator(cfg), Discriminator(cfg)):
        for name, p in network.named_parameters():
            if p.ndim == 4 and p.numel() > 1000:
                assert float(p.detach().std()) == pytest.approx(0.02, rel=0.1), name
            elif name.endswith("bias"):
                assert not p.any(), name


def test_features_are_those_of_the_forward_pass():
    """Pixels, both halvings, first and fifth block: what a hook sees of the whole network."""
    torch.manual_seed(0)
    g = Generator(small(directions="AtoB")).G_A2B.eval()
    seen = {}
    for i in g.feature_layers:
        g.model[i].register_forward_hook(lambda module, args, out, i=i: seen.__setitem__(i, out))
    x = torch.rand(1, 3, 32, 32)
    maps = g.features(x)
    g(x)
    assert [m.shape[1] for m in maps] == list(g.feature_channels)
    assert [m.shape[2] for m in maps] == [38, 16, 8, 8, 8]
    assert all(torch.equal(m, seen[i]) for m, i in zip(maps, g.feature_layers, strict=True))


def test_features_of_anti_aliased_sampling_are_those_that_cut_takes():
    with torch.device("meta"):
        g = Generator(CycleGANConfig(directions="AtoB", downsampling="antialias", upsampling="antialias")).G_A2B
    assert g.feature_layers == (0, 4, 8, 12, 16)  # the published default of --nce_layers


@pytest.mark.parametrize(
    "bad",
    [
        dict(net="resnet_13blocks"),
        dict(net="resnet_2blocks"),
        dict(net="unet_1024", resolution=1024),
        dict(net="unet_100"),
        dict(net="resnet_99999999999999blocks"),
        dict(norm="layer"),
        dict(downsampling="pooling"),
        dict(padding="circular"),
        dict(net="unet_64", resolution=64, upsampling="antialias"),
        dict(upsampling="shuffle"),
        dict(discriminator="image"),
        dict(input_channels=2),
        dict(ngf=0),
        dict(n_layers=0),
        dict(n_layers=6),
        dict(resolution=30),
        dict(resolution=0),
        dict(directions="BtoA"),
        dict(net="unet_128", resolution=192),
        dict(resolution=16),
        dict(resolution=8192),
    ],
)
def test_absurd_configs_are_refused(bad):
    with pytest.raises(ValueError, match="|".join([*bad, "px or more"])):
        small(**bad)


def test_discriminators_can_go_without_a_norm_and_keep_their_names():
    plain, normed = (Discriminator(CycleGANConfig(resolution=64, ndf=4, d_norm=d_norm)) for d_norm in ("none", ""))
    assert not any(isinstance(m, nn.InstanceNorm2d | nn.BatchNorm2d) for m in plain.modules())
    assert plain.state_dict().keys() == normed.state_dict().keys()
    with pytest.raises(ValueError, match="d_norm"):
        CycleGANConfig(d_norm="layer")
