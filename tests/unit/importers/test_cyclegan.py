"""Generators of the published CycleGAN and pix2pix code: equal pictures, and nothing but weights is taken."""

import os

import numpy as np
import pytest
import torch
from PIL import Image

import studio
from studio.errors import StudioError
from studio.models.acquire.checkpoint_import import import_checkpoint
from studio.models.importers import import_file
from studio.models.library import default_library
from studio.networks.translation.resnet_unet_patchgan import NETS, PatchDiscriminator, PixelDiscriminator
from tests.unit.importers.official_translators import Resnet, Unet, by_picture, official, side

NORMS = ["instance", "batch"]


def save(network, path, prefix="", old=False):
    """As the published code does; `old` adds what torch before 0.4 kept of instance norm."""
    state = dict(network.state_dict())
    if old:
        for name, module in network.named_modules():
            if isinstance(module, torch.nn.InstanceNorm2d):
                state |= {f"{name}.running_mean": torch.randn(module.num_features), f"{name}.running_var": torch.rand(module.num_features)}
                state |= {f"{name}.num_batches_tracked": torch.tensor(7)}
    torch.save({prefix + k: v for k, v in state.items()}, path)
    return path


def noise(width, height, seed=0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


@torch.inference_mode()
def by_hand(network, image: Image.Image) -> np.ndarray:
    x = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)[None].float() / 127.5 - 1
    return network(x)[0].permute(1, 2, 0).numpy()


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("kind", ["plain", "old, several cards"])
@torch.inference_mode()
def test_equal_pictures(tmp_path, net, norm, kind):
    theirs = official(net, norm, c_out=3)
    path = save(theirs, tmp_path / "latest_net_G.pth", *(("module.", True) if kind != "plain" else ()))
    model = studio.load(path, device="cpu")
    config = model.network.config
    assert (config.net, config.norm, model.directions) == (net, "instance_affine" if norm == "batch" else norm, ("AtoB",))
    assert model.family.name == ("pix2pix" if net.startswith("unet") else "cyclegan")
    x = torch.rand(2, 3, side(net), side(net)) * 2 - 1
    expected = torch.cat([by_picture(theirs)(one[None]) for one in x])
    assert float((model.network(x) - expected).abs().max()) <= 1e-4
    image = noise(side(net), side(net))
    assert np.abs(np.asarray(model.translate(image)).astype(float) - (by_hand(theirs, image) + 1) * 127.5).max() <= 0.51


@torch.inference_mode()
def test_other_channels_widths_and_dropout(tmp_path):
    networks = {"a": Resnet(6, c_in=1, c_out=3, width=3), "b": Resnet(9, "batch", dropout=True), "c": Unet(7, c_in=3, c_out=1)}
    for name, theirs in networks.items():
        model = studio.load(save(by_picture(theirs.eval()), tmp_path / f"{name}.pth"), device="cpu")
        size = side(model.network.config.net)
        x = torch.rand(1, model.network.config.input_channels, size, size)
        assert float((model.network(x) - theirs(x)).abs().max()) <= 1e-4
        assert model.network.config.dropout == (name != "a")


@torch.inference_mode()
def test_both_directions_that_lie_together(tmp_path, studio_home):
    a, b = (official("resnet_6blocks", "instance", seed) for seed in (0, 1))
    save(a, tmp_path / "latest_net_G_A.pth"), save(b, tmp_path / "latest_net_G_B.pth")
    for name in "AB":
        model = studio.load(tmp_path / f"latest_net_G_{name}.pth", device="cpu")
        assert model.directions == ("AtoB", "BtoA")
        assert model.id == "latest_net_G"
        x = torch.rand(1, 3, 32, 32)
        for way, theirs in (("AtoB", a), ("BtoA", b)):
            assert float((model.network(x, way) - theirs(x)).abs().max()) <= 1e-4
    info = import_checkpoint(default_library(), tmp_path / "latest_net_G_B.pth", "horses")
    kept = studio.load("horses", device="cpu")
    assert torch.equal(kept.network(x, "BtoA"), model.network(x, "BtoA"))
    assert info.family == "cyclegan"
    # Another network beside it is left out, and the card says so.
    save(official("resnet_9blocks", "instance"), tmp_path / "latest_net_G_B.pth")
    found = import_file(tmp_path / "latest_net_G_A.pth")
    assert found.config["directions"] == "AtoB"
    assert "another architecture" in found.notes[0]
    (tmp_path / "latest_net_G_B.pth").write_bytes(b"PK\x03\x04 nonsense")
    assert "left out" in import_file(tmp_path / "latest_net_G_A.pth").notes[0]


# -- what does not fit ------------------------------------------------------------------------------------------------


def refused(content, path, match):
    torch.save(content, path)
    with pytest.raises(StudioError, match=match) as e:
        studio.load(path, device="cpu")
    assert e.value.hint
    assert "\n" not in str(e.value)


def test_what_does_not_fit_is_named(tmp_path):
    path, good = tmp_path / "w.pth", official("resnet_6blocks", "instance").state_dict()

    def changed(state=good, **changes):
        out = {**state, **{k.replace("__", "."): v for k, v in changes.items()}}
        return {k: v for k, v in out.items() if v is not None}

    refused(Resnet(2).state_dict(), path, "2 residual blocks")
    refused(Resnet(13, width=1).state_dict(), path, "13 residual blocks")
    refused(Unet(5).state_dict(), path, "U-Net of 5")
    refused(Unet(10, width=1).state_dict(), path, "U-Net of 10")
    refused(changed(model__1__bias=None), path, "no tensor 'model.1.bias'")
    refused(changed(model__30__weight=torch.ones(2)), path, "'model.30.weight', which this CycleGAN does not have")
    refused(changed(model__1__weight=torch.full((4, 3, 7, 7), float("nan"))), path, "not finite")
    refused(changed(model__1__weight=torch.ones(4, 5, 7, 7)), path, "input_channels must be 1 or 3")
    refused(changed(model__4__weight=torch.ones(8, 4, 5, 5)), path, "model.4.weight")
    refused(changed(model__4__weight=torch.ones(8, 4)), path, "does not fit")
    refused(changed(model__2__weight=torch.ones(4)), path, "no tensor|which this")
    refused(changed(model__10__conv_block__5__weight=None), path, "5.5 residual blocks")
    refused(changed(model__10__conv_block__5__weight=None, model__10__conv_block__1__weight=None), path, "conv_block.1")
    refused(changed(model__7__filt=torch.ones(3, 3)), path, "'model.7.filt'|model.7.weight")
    refused(changed(model__7__mask=torch.ones(3, 3)), path, "'model.7.mask', which no such")
    refused({"model.10.conv_block.1.weight": torch.ones(2)}, path, "no tensor of a convolution")
    refused({"model.model.0.weight": torch.ones(2, 3, 4, 4)}, path, "U-Net of 0")
    for judge in (PatchDiscriminator(3, 4), PixelDiscriminator(3, 4)):
        refused(judge.state_dict(), path, "a discriminator, which scores")
    refused(
        torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)).state_dict(prefix="model."), path, "of an unknown kind: 'model.0"
    )
    deep = {"model.model.1.model." + "3.model." * i + "1.weight": torch.ones(1, 1, 4, 4) for i in range(3000)}
    refused({**Unet(7).state_dict(), **deep}, path, "U-Net of 1504")
    wide = {**good, "model.1.weight": torch.ones(1).expand(1 << 22, 3, 7, 7)}
    refused(wide, path, "larger than the file")


class Call:
    def __init__(self, function, *args):
        self.function, self.args = function, args

    def __reduce__(self):
        return self.function, self.args


def test_code_has_no_effect(tmp_path):
    target, path = tmp_path / "owned", tmp_path / "latest_net_G.pth"
    for content in (Call(os.mkdir, str(target)), {**official("resnet_6blocks", "instance").state_dict(), "x": Call(os.mkdir, str(target))}):
        torch.save(content, path)
        with pytest.raises(StudioError, match="more than weights"):
            import_file(path)
        assert not target.exists()
    # A whole network is a program too.
    torch.save(official("resnet_6blocks", "instance"), path)
    with pytest.raises(StudioError, match="more than weights"):
        import_file(path)


# -- the Python API ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def resnet(tmp_path_factory):
    theirs = official("resnet_6blocks", "instance")
    return studio.load(save(theirs, tmp_path_factory.mktemp("w") / "latest_net_G.pth"), device="cpu"), theirs


@pytest.fixture(scope="module")
def unet(tmp_path_factory):
    return studio.load(save(official("unet_128", "batch"), tmp_path_factory.mktemp("w") / "latest_net_G.pth"), device="cpu")


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (7, 5), (129, 128), (33, 64)])
def test_any_size(resnet, unet, size):
    for model in (resnet[0], unet):
        assert model.translate(noise(*size)).size == size


def test_what_is_added_is_mirrored_and_cut_away(resnet):
    model, theirs = resnet
    image = noise(30, 22)
    mirrored = Image.fromarray(np.pad(np.asarray(image), ((0, 2), (0, 2), (0, 0)), mode="reflect"))
    expected = (by_hand(theirs, mirrored)[:22, :30] + 1) * 127.5
    assert np.abs(np.asarray(model.translate(image)).astype(float) - expected).max() <= 0.51


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "YCbCr", "HSV", "LAB", "I;16", "I", "F", "LA", "RGBA", "PA", "RGBX"])
def test_any_mode(resnet, mode):
    image = noise(16, 12)
    if mode == "LA" or mode == "RGBA":
        image.putalpha(Image.linear_gradient("L").resize((16, 12)))
        image = image.convert(mode)
    elif mode in ("I;16", "I"):
        image = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257).convert(mode)
    elif mode == "PA":
        image = image.convert("P").convert("PA")
    elif mode == "LAB":
        image = Image.new("LAB", (16, 12), (120, 130, 90))
    else:
        image = image.convert(mode)
    out = resnet[0].translate(image)
    assert out.size == (16, 12)
    assert out.mode == ("RGBA" if "A" in mode and mode != "LAB" else "RGB")
    if mode == "RGBA":
        assert np.array_equal(np.asarray(out.getchannel("A")), np.asarray(image.getchannel("A")))
    if mode in ("L", "I;16", "I"):
        same = resnet[0].translate(noise(16, 12).convert("L").convert("RGB"))
        assert np.array_equal(np.asarray(out), np.asarray(same)), "the same brightness, whatever the depth"


def test_pictures_and_directions_that_cannot_be_used(resnet, tmp_path):
    model, _ = resnet
    good = noise(8, 8)
    (tmp_path / "cut.png").write_bytes(b"")
    noise(64, 64).save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:500])
    for image, direction, words in (
        (good, "BtoA", "no direction 'BtoA'"),
        (good, "sideways", "no direction"),
        (good, None, "no direction"),
        (Image.new("RGB", (0, 5)), "AtoB", "0 x 5"),
        (Image.new("1", (8193, 8192)), "AtoB", "64 megapixels"),
        (np.zeros((4, 4, 3)), "AtoB", "not a picture but"),
        (Image.open(tmp_path / "cut.png"), "AtoB", "cannot be read"),
    ):
        with pytest.raises(StudioError, match=words):
            model.translate(image, direction)


def test_there_is_no_noise_to_draw_from(resnet):
    model, _ = resnet
    assert (model.z_dim, model.w_dim, model.num_ws, model.c_dim, model.classes) == (None, None, None, 0, ())
    assert "AtoB" in repr(model)
    assert model.nbytes > 0
    for ask in (lambda: model.mapping([[0.0]]), lambda: model.synthesis([[[0.0]]]), lambda: model.sample([1]), lambda: model.w_avg):
        with pytest.raises(StudioError, match="does not generate pictures from noise"):
            ask()


def test_a_model_that_draws_from_noise_does_not_translate(models):
    with pytest.raises(StudioError, match="does not translate pictures"):
        studio.load(models / "tiny", device="cpu").translate(noise(8, 8))


def test_explore_refuses_it(resnet, tmp_path):
    from studio.engine.engine import Engine
    from studio.engine.recipe import Recipe
    from studio.models.library import Library

    save(official("unet_128", "batch"), tmp_path / "net.pth")
    import_checkpoint(Library([tmp_path / "models"]), tmp_path / "net.pth", "net")
    with Engine(Library([tmp_path / "models"]), device="cpu") as engine, pytest.raises(StudioError, match="no latent w"):
        engine.render(Recipe(model="net"))
