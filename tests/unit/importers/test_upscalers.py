"""Upscalers and restorers of others (.pth, .safetensors): ESRGAN and the compact network become ours, the rest is spandrel's."""

import json
import re

import numpy as np
import pytest
import spandrel
import torch
from PIL import Image
from safetensors.torch import save_file

import studio
from studio.errors import StudioError
from studio.models.acquire.checkpoint_import import import_checkpoint
from studio.models.folder import open_folder
from studio.models.importers import import_file
from studio.models.library import Library
from studio.networks.super_resolution.spandrel_network import SpandrelNetwork
from tests.unit.networks.test_super_resolution import make


def random_weights(network: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """Small and all different, so that each matters and none drowns the others."""
    torch.manual_seed(seed)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    return network.eval().requires_grad_(False)


def community_networks() -> dict[str, torch.nn.Module]:
    """Small networks of spandrel, one or two of a kind: convolutions, attention in windows, a restorer, one in grey."""
    from spandrel.architectures import SPAN, DnCNN, NAFNet, RealCUGAN, SwinIR

    return {
        "SwinIR": SwinIR.SwinIR(
            depths=[2], num_heads=[2], embed_dim=12, window_size=8, img_size=64, upscale=2, upsampler="pixelshuffledirect"
        ),
        "SPAN": SPAN.SPAN(num_in_ch=3, num_out_ch=3, feature_channels=8, upscale=4),
        "NAFNet": NAFNet.NAFNet(width=4, middle_blk_num=1, enc_blk_nums=[1, 1], dec_blk_nums=[1, 1]),
        "DnCNN": DnCNN.DnCNN(in_nc=1, out_nc=1, nc=8, nb=4, mode="R"),
        "RealCUGAN": RealCUGAN.UpCunet2x(in_channels=3, out_channels=3),
    }


@pytest.fixture(scope="module")
def community():
    return {name: random_weights(network) for name, network in community_networks().items()}


def drawn(network, x: torch.Tensor) -> torch.Tensor:
    """What a network of ours makes of [0, 1], in [0, 1]."""
    with torch.inference_mode():
        return network(x * 2 - 1) * 0.5 + 0.5


def described(state: dict) -> spandrel.ImageModelDescriptor:
    return spandrel.MAIN_REGISTRY.load(dict(state))


# -- ESRGAN and the compact network ---------------------------------------------------------------------------------------


def bsrgan_names(state: dict) -> dict:
    """As BSRGAN and RealSR call the layers."""
    out = {}
    for name, tensor in state.items():
        name = re.sub(r"^body\.(\d+)\.rdb(\d)", r"RRDB_trunk.\1.RDB\2", name)
        out[name.replace("conv_body", "trunk_conv").replace("conv_up", "upconv").replace("conv_hr", "HRconv")] = tensor
    return out


@pytest.mark.parametrize("scale", [1, 2, 4])
@pytest.mark.parametrize("names", ["ours", "BSRGAN", "first code", "several cards"])
@torch.inference_mode()
def test_esrgan_draws_what_spandrel_draws(tmp_path, scale, names):
    network = random_weights(make("rrdb", scale=scale, blocks=2, growth=32))
    state = network.state_dict()
    theirs = described(state)
    saved = {
        "ours": state,
        "BSRGAN": bsrgan_names(state),
        "first code": theirs.model.state_dict(),
        "several cards": {f"module.{k}": v for k, v in state.items()},
    }[names]
    torch.save({"params": {"x": torch.zeros(1)}, "params_ema": saved}, tmp_path / "net.pth")
    model = studio.load(tmp_path / "net.pth", device="cpu")
    assert (model.family.name, model.scale) == ("rrdb", scale)
    x = torch.rand(1, 3, 8, 12)
    due = theirs.model(x)
    assert due.shape == (1, 3, 8 * scale, 12 * scale)
    torch.testing.assert_close(drawn(model.network, x), due, atol=1e-5, rtol=0)


@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("size", [(33, 34), (35, 32), (37, 2), (1, 3)])
@torch.inference_mode()
def test_sides_of_any_length_are_mirrored_as_spandrel_mirrors_them(tmp_path, scale, size):
    """A network that folds pictures needs sides that are multiples; how they are filled up shows at the borders."""
    network = random_weights(make("rrdb", scale=scale, blocks=2, growth=32))
    theirs = described(network.state_dict())
    torch.save(network.state_dict(), tmp_path / "net.pth")
    model = studio.load(tmp_path / "net.pth", device="cpu")
    image = Image.fromarray(np.random.default_rng(1).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))
    due = theirs(torch.from_numpy(np.array(image)).permute(2, 0, 1)[None] / 255)[0].permute(1, 2, 0)
    assert np.abs(np.asarray(model.upscale(image), int) - (due * 255).round().int().numpy()).max() <= 1


@pytest.mark.parametrize("doublings", [0, 1, 3])
def test_the_first_code_had_other_scales(tmp_path, doublings):
    from spandrel.architectures.ESRGAN import ESRGAN

    theirs = random_weights(ESRGAN(in_nc=3, out_nc=3, num_filters=8, num_blocks=1, scale=2**doublings))
    torch.save(theirs.state_dict(), tmp_path / "net.pth")
    model = studio.load(tmp_path / "net.pth", device="cpu")
    assert (model.family.name, model.scale) == ("rrdb", 2**doublings)
    x = torch.rand(1, 3, 5, 6)
    torch.testing.assert_close(drawn(model.network, x), theirs(x), atol=1e-5, rtol=0)


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@pytest.mark.parametrize("half", [False, True])
def test_the_compact_network_draws_what_spandrel_draws(tmp_path, scale, half):
    state = random_weights(make("srvgg", scale=scale)).state_dict()
    state = {k: v.half() for k, v in state.items()} if half else state
    save_file(state, tmp_path / "net.safetensors")
    model = studio.load(tmp_path / "net.safetensors", device="cpu")
    assert (model.family.name, model.scale) == ("srvgg", scale)
    x = torch.rand(1, 3, 5, 6)
    theirs = described({k: v.float() for k, v in state.items()}).model
    with torch.inference_mode():
        torch.testing.assert_close(drawn(model.network, x), theirs(x), atol=1e-5, rtol=0)


# -- what spandrel knows --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["SwinIR", "SPAN", "NAFNet", "DnCNN", "RealCUGAN"])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_community_model_draws_what_spandrel_draws(tmp_path, community, name, suffix):
    """From the file, and from the model folder that becomes of it; sides of any length."""
    state = community[name].state_dict()
    path = tmp_path / f"{name}{suffix}"
    torch.save(state, path) if suffix == ".pth" else save_file({k: v.clone() for k, v in state.items()}, path)
    theirs = described(state)
    direct = studio.load(path, device="cpu")
    info = import_checkpoint(Library([tmp_path / "models"]), path)
    kept = studio.load(info.path, device="cpu")
    assert (info.family, info.scale, direct.scale, kept.scale) == ("spandrel", *[theirs.scale] * 3)
    assert kept.network.in_channels == theirs.input_channels
    assert kept.network.config.architecture == name
    assert kept.network.untileable == (theirs.tiling.name != "SUPPORTED")
    assert kept.network.multiple == theirs.size_requirements.multiple_of
    for size in ((48, 40), (21, 50)):
        x = torch.rand(1, theirs.input_channels, *size)
        due = theirs(x)
        assert due.shape[2:] == (size[0] * theirs.scale, size[1] * theirs.scale)
        for model in (direct, kept):
            torch.testing.assert_close(drawn(model.network, x), due, atol=1e-5, rtol=0)
    card = (info.path / "README.md").read_text()
    assert name in card
    assert path.name in card
    assert "licence is that of the original" in card
    assert info.licence == ""
    assert {k.removeprefix("net.") for k in kept.network.state_dict()} == set(state)


def test_several_micro_batch_size(community):
    network = SpandrelNetwork.discover(community["SPAN"].state_dict())
    x = torch.rand(3, 3, 10, 12)
    torch.testing.assert_close(drawn(network, x), torch.cat([drawn(network, one[None]) for one in x]))
    assert drawn(network, x).abs().max() <= 1


def test_a_folder_whose_config_tells_of_another_network_is_refused(tmp_path, community):
    torch.save(community["SPAN"].state_dict(), tmp_path / "net.pth")
    info = import_checkpoint(Library([tmp_path]), tmp_path / "net.pth", "span")
    file = info.path / "config.json"
    for change in (dict(scale=2), dict(architecture="SwinIR"), dict(img_channels=1), dict(multiple=8), dict(whole=True)):
        raw = json.loads(file.read_text())
        kept = json.dumps(raw)
        raw["config"] |= change
        file.write_text(json.dumps(raw))
        with pytest.raises(StudioError, match="the tensors are of"):
            studio.load(info.path, device="cpu")
        file.write_text(kept)
    assert open_folder(info.path).scale == 4


# -- what does not fit ----------------------------------------------------------------------------------------------------


def refused(content, path, match):
    torch.save(content, path)
    with pytest.raises(StudioError, match=match) as e:
        studio.load(path, device="cpu")
    assert e.value.hint
    assert "\n" not in str(e.value)
    assert str(e.value).isprintable()
    assert len(str(e.value)) < 500


def test_what_does_not_fit_is_named(tmp_path, community):
    path, esrgan, compact = tmp_path / "net.pth", make("rrdb").state_dict(), make("srvgg").state_dict()

    def changed(state, **changes):
        out = {**state, **{k.replace("__", "."): v for k, v in changes.items()}}
        return {k: v for k, v in out.items() if v is not None}

    nan = torch.full((8, 3, 3, 3), float("nan"))
    refused(changed(esrgan, conv_hr__weight=None), path, "no tensor 'conv_hr.weight'")
    refused(changed(esrgan, conv_first__weight=nan), path, "not finite")
    refused(changed(esrgan, conv_extra__weight=nan), path, "'conv_extra.weight', which this ESRGAN does not have")
    refused(changed(esrgan, conv_last__weight=torch.ones(5, 8, 3, 3)), path, "which is not a picture|unsupported")
    refused(changed(esrgan, body__7__rdb1__conv1__weight=nan), path, "do not follow each other")
    refused(changed(esrgan, body__0__rdb2__conv1__weight=torch.ones(5, 8, 3, 3)), path, "of shape")
    refused(changed(compact, body__1__weight=None, body__3__weight=None, body__5__weight=None), path, "activations it does not name")
    refused(changed(compact, body__2__weight=None), path, "do not follow each other")
    refused(changed(compact, body__6__weight=torch.ones(47, 8, 3, 3)), path, "which is not a picture")
    refused(changed(compact, body__600__weight=torch.ones(1)), path, "do not follow each other")
    span = community["SPAN"].state_dict()
    refused(changed(span, conv_1__eval_conv__weight=None), path, "do not make a network")
    refused(changed(span, conv_1__eval_conv__bias=torch.full((8,), float("inf"))), path, "not finite")
    refused({"some.weight": torch.ones(2), "other.bias": torch.ones(2)}, path, "of an unknown kind: 'some.weight'")


def test_a_network_of_two_channels_draws_no_pictures(tmp_path):
    from spandrel.architectures.NAFNet import NAFNet

    state = NAFNet(img_channel=2, width=4, middle_blk_num=1, enc_blk_nums=[1], dec_blk_nums=[1]).state_dict()
    refused(state, tmp_path / "net.pth", "turns 2 channels into 2")


def test_a_small_file_cannot_ask_for_a_large_network(tmp_path):
    """Layers with absurd numbers, and a width that one thin tensor tells: nothing of that size is ever allocated."""
    span = community_networks()["SPAN"].state_dict()
    wide = {**span, "conv_1.sk.weight": torch.ones(100_000, 3, 1, 1)}
    refused(wide, tmp_path / "net.pth", "do not make a network: ValueError they imply a network that is far larger")
    deep = {**span, "block_999999999.c1_r.sk.weight": torch.ones(1)}
    refused(deep, tmp_path / "net.pth", "absurd numbers")


def test_damaged_safetensors(tmp_path, community):
    path = tmp_path / "net.safetensors"
    save_file({k: v.clone() for k, v in community["SPAN"].state_dict().items()}, path)
    data = path.read_bytes()
    for bad in (data[: len(data) // 2], data[:200], data[:8] + b'{"' + b"x" * 500, data + b"12"):
        path.write_bytes(bad)
        with pytest.raises(StudioError, match="damaged or cut short"):
            import_file(path)
    path.write_bytes(data)
    found = import_file(path)
    assert found.config["architecture"] == "SPAN"
    assert all(torch.equal(v, found.state_dict[f"net.{k}"]) for k, v in community["SPAN"].state_dict().items())
