"""The CycleGAN tribe, read by order and shape: norms, blocks, sizes, sampling, names, and what stands around the weights."""

import argparse
import datetime
import pathlib
import threading

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import studio
from studio.cli.main import main
from studio.errors import StudioError
from studio.models.acquire.checkpoint_import import import_checkpoint
from studio.models.importers import import_file
from studio.models.importers.torch_weights import load_tensors
from studio.models.importers.wrappers import generators_among
from studio.models.library import default_library
from tests.conftest import GOLDEN
from tests.unit.importers.official_translators import MirroredResnet, Resnet, Unet, by_picture, official, side, with_statistics


def saved(content, path):
    """A file with a state dict, of a network or as it is."""
    torch.save(content.state_dict() if isinstance(content, torch.nn.Module) else content, path)
    return path


@torch.inference_mode()
def apart(network, theirs, size=32) -> float:
    """The largest difference of one picture, in a range of 2."""
    x = torch.rand(1, network.config.input_channels, size, size) * 2 - 1
    return float((network(x) - theirs(x)).abs().max())


# -- other code bases' own files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["cyclegan-affine-instance-norm", "cut-resnet9-antialias"])
@torch.inference_mode()
def test_golden(name):
    model, io = studio.load(GOLDEN / name / "latest_net_G.pth", device="cpu"), np.load(GOLDEN / name / "io.npz")
    x = torch.from_numpy(io["x"]).permute(2, 0, 1)[None].float() / 127.5 - 1
    assert float((model.network(x) - torch.from_numpy(io["y"])).abs().max()) <= 1e-4
    assert model.network.config.upsampling == ("antialias" if "cut" in name else "transposed")


def test_another_filter_is_refused(tmp_path):
    state = load_tensors(GOLDEN / "cut-resnet9-antialias" / "latest_net_G.pth")
    for name, change in (("model.7.filt", lambda f: f * 1.1), ("model.21.filt", lambda f: f[:, :, :3, :3])):
        with pytest.raises(StudioError, match=name):
            import_file(saved({**state, name: change(state[name])}, tmp_path / "net.pth"))


# -- norms and their statistics ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", ["affine", "affine running", "running", "none"])
@pytest.mark.parametrize("net", ["resnet_3blocks", "unet_64"])
def test_norms(tmp_path, net, norm):
    theirs = by_picture(official(net, norm))
    found = import_file(saved(theirs, tmp_path / "net.pth"))
    expected = {"affine": "instance_affine", "affine running": "instance_affine", "running": "instance", "none": "none"}[norm]
    assert found.config["norm"] == expected
    assert apart(studio.load(tmp_path / "net.pth", device="cpu").network, theirs, side(net)) <= 1e-4


RUNNING = [("resnet_3blocks", "batch"), ("resnet_3blocks", "affine running"), ("resnet_3blocks", "running"), ("unet_64", "batch")]


@pytest.mark.parametrize(("net", "norm"), RUNNING)
def test_running_statistics_on_request(tmp_path, net, norm):
    theirs = official(net, norm)
    path = saved(theirs, tmp_path / "net.pth")
    running, picture = (studio.load(path, device="cpu", statistics=wanted).network for wanted in ("running", "picture"))
    assert apart(running, theirs, side(net)) <= 1e-4
    assert apart(picture, theirs, side(net)) > 0.05, "the two choices must differ for this to say anything"
    assert apart(picture, by_picture(theirs), side(net)) <= 1e-4


def test_running_statistics_where_biases_would_be_lost(tmp_path):
    path = saved(official("unet_64", "affine running"), tmp_path / "net.pth")
    with pytest.raises(StudioError, match=r"biases where .* Use those of each picture"):
        import_file(path, "running")


@torch.inference_mode()
def test_batch_norm_after_a_convolution_with_a_bias(tmp_path):
    theirs = with_statistics(Resnet(3, "batch", bias=True))
    path = saved(theirs, tmp_path / "net.pth")
    assert apart(studio.load(path, device="cpu", statistics="running").network, theirs) <= 1e-4
    assert apart(studio.load(path, device="cpu").network, by_picture(theirs)) <= 1e-4


def test_the_card_says_which_statistics_are_used(tmp_path, studio_home, capsys):
    path = saved(official("unet_64", "batch"), tmp_path / "latest_net_G.pth")
    assert main(["import", str(path), "--name", "published"]) == 0
    assert main(["import", str(path), "--name", "averaged", "--statistics", "running"]) == 0
    cards = [(studio_home / "models" / name / "README.md").read_text() for name in ("published", "averaged")]
    assert "statistics of each picture, as the published test script does" in cards[0]
    assert "--statistics running" in cards[0]
    assert "use the running statistics of its training" in cards[1]
    networks = [studio.load(name, device="cpu").network for name in ("published", "averaged")]
    assert [network.config.norm for network in networks] == ["instance_affine", "batch"]
    assert default_library().get("published").hash != default_library().get("averaged").hash
    with pytest.raises(StudioError, match="statistics"):
        import_checkpoint(default_library(), path, "odd", statistics="mean")


# -- sizes, sampling, padding, names -----------------------------------------------------------------------------------


@pytest.mark.parametrize("blocks", [3, 4, 12])
def test_blocks(tmp_path, blocks):
    theirs = official(f"resnet_{blocks}blocks", "instance", width=2)
    assert apart(studio.load(saved(theirs, tmp_path / "net.pth"), device="cpu").network, theirs) <= 1e-4


@pytest.mark.parametrize("downs", [6, 9])
def test_unets(tmp_path, downs):
    theirs = by_picture(with_statistics(Unet(downs, width=1)))
    model = studio.load(saved(theirs, tmp_path / "net.pth"), device="cpu")
    assert (model.network.config.net, model.network.config.resolution) == (f"unet_{2**downs}", 2**downs)
    assert apart(model.network, theirs, 2**downs) <= 1e-4


@pytest.mark.parametrize("up", ["transposed", "resize", "resize_zero"])
@pytest.mark.parametrize("padding", ["reflect", "zero"])
@pytest.mark.parametrize("dropout", [False, True])
def test_layers_without_tensors_are_told_by_the_numbers(tmp_path, up, padding, dropout):
    theirs = with_statistics(Resnet(3, up=up, padding=padding, dropout=dropout))
    found = import_file(saved(theirs, tmp_path / "net.pth"))
    assert (found.config["upsampling"], found.config["padding"], found.config["dropout"]) == (up, padding, dropout)
    assert not found.notes
    assert apart(studio.load(tmp_path / "net.pth", device="cpu").network, theirs) <= 1e-4


def test_names_do_not_matter(tmp_path):
    theirs = with_statistics(Resnet(4, "affine"))
    renamed = {k.replace("conv_block", "body").replace("model.", "layers."): v for k, v in theirs.state_dict().items()}
    assert apart(studio.load(saved(renamed, tmp_path / "net.pth"), device="cpu").network, theirs) <= 1e-4
    save_file(renamed, tmp_path / "net.safetensors")  # which lists layer 10 before layer 4
    assert apart(studio.load(tmp_path / "net.safetensors", device="cpu").network, theirs) <= 1e-4


def test_a_network_whose_parts_have_names(tmp_path):
    theirs = with_statistics(MirroredResnet(3))
    found = import_file(saved({"state_dict": theirs.state_dict(), "optimizer": {}}, tmp_path / "genz.pth.tar"))
    assert not found.notes
    assert apart(studio.load(tmp_path / "genz.pth.tar", device="cpu").network, theirs) <= 1e-4
    unknown = {k.replace("res_blocks", "middle"): v for k, v in theirs.state_dict().items()}
    assert "how borders are padded" in import_file(saved(unknown, tmp_path / "net.pth")).notes[0]


# -- what stands around the weights ------------------------------------------------------------------------------------


def test_names_of_generators():
    for name in ("netG", "G", "model_g", "generator", "netG_state_dict", "generator_state_dict", "gen", "G_ema"):
        assert generators_among([name, "netD", "optimizer", "epoch"]) == {"A": name}
    for a, b in (("netG_A", "netG_B"), ("G_A2B_state", "G_B2A_state"), ("genA2B", "genB2A"), ("G_XtoY", "G_YtoX"), ("gen_AB", "gen_BA")):
        assert generators_among([b, "D_A", a]) == {"A": a, "B": b}
    assert generators_among(["discriminator", "model", "weight", "g" * 1000]) == {}


@pytest.mark.parametrize("way", ["dict", "prefix", "cards", "deep"])
@pytest.mark.parametrize("name", ["netG", "model_g", "generator", "state_dict"])
def test_wrappers(tmp_path, way, name):
    theirs, judge = official("resnet_3blocks", "instance"), {"model.0.weight": torch.ones(4, 3, 4, 4)}
    state = theirs.state_dict()
    content = {
        "dict": {name: state, "netD": judge, "epoch": 3},
        "prefix": {f"{name}.{k}": v for k, v in state.items()} | {f"netD.{k}": v for k, v in judge.items()},
        "cards": {name: {f"module.{k}": v for k, v in state.items()}},
        "deep": {"model": {name: {"state_dict": {f"netG.module.{k}": v for k, v in state.items()}}}},
    }[way]
    if (way, name) == ("prefix", "state_dict"):
        content = {"state_dict": {f"generator.{k}": v for k, v in state.items()}}
    assert apart(studio.load(saved(content, tmp_path / "net.pth"), device="cpu").network, theirs) <= 1e-4


@pytest.mark.parametrize("way", ["dicts", "prefixes"])
@torch.inference_mode()
def test_both_directions_in_one_file(tmp_path, way):
    a, b = (official("resnet_3blocks", "instance", seed) for seed in (0, 1))
    content = {"netG_B2A": b.state_dict(), "netG_A2B": a.state_dict(), "netD_A": {}, "epoch": 7}
    if way == "prefixes":
        content = {f"{name}.{k}": v for name in ("netG_A2B", "netG_B2A") for k, v in content[name].items()}
    model = studio.load(saved(content, tmp_path / "checkpoint.pth"), device="cpu")
    assert model.directions == ("AtoB", "BtoA")
    x = torch.rand(1, 3, 32, 32)
    for direction, theirs in (("AtoB", a), ("BtoA", b)):
        assert float((model.network(x, direction) - theirs(x)).abs().max()) <= 1e-4
    content = {"netG_A": a.state_dict(), "netG_B": official("resnet_4blocks", "instance").state_dict()}
    with pytest.raises(StudioError, match="another architecture"):
        import_file(saved(content, tmp_path / "checkpoint.pth"))


BESIDE = {
    "number": np.float64(0.5),
    "array": np.arange(6.0).reshape(2, 3),
    "names": np.array(["a", "b"]),
    "path": pathlib.PurePosixPath("/data/horses"),
    "windows": pathlib.PureWindowsPath("C:/horses"),
    "here": pathlib.Path("horses"),
    "time": datetime.datetime(2020, 1, 2),
    "options": argparse.Namespace(ngf=64, path=pathlib.Path("x"), rate=np.float32(2e-4)),
}


@pytest.mark.parametrize("zipped", [True, False])
def test_values_beside_the_weights(tmp_path, zipped):
    theirs = official("resnet_3blocks", "instance")
    among = {key: value for key, value in BESIDE.items() if key != "options"}
    for content in ({"state_dict": theirs.state_dict(), **BESIDE}, {**theirs.state_dict(), **among, "epoch": 3}):
        torch.save(content, tmp_path / "net.pth", _use_new_zipfile_serialization=zipped)
        assert apart(studio.load(tmp_path / "net.pth", device="cpu").network, theirs) <= 1e-4


class Call:
    """Pickles as a call of any function."""

    def __init__(self, function, *args):
        self.function, self.args = function, args

    def __reduce__(self):
        return self.function, self.args


def test_a_huge_array_beside_the_weights_is_never_made(tmp_path):
    """numpy itself would take 8 TB for this record of a few bytes."""
    huge = Call(np.empty(0).__reduce__()[0], np.ndarray, (1 << 40,), b"d")
    theirs = official("resnet_3blocks", "instance")
    assert import_file(saved({"netG": theirs.state_dict(), "huge": huge}, tmp_path / "net.pth")).config["net"] == "resnet_3blocks"


def test_what_is_allowed_while_reading_is_forgotten_afterwards(tmp_path):
    """Several at once, too: the first that ends must not take it from the others."""
    before, failed = set(torch.serialization.get_safe_globals()), []
    content = {"netG": official("resnet_3blocks", "instance").state_dict(), **BESIDE}
    paths = [saved(content, tmp_path / f"{i}.pth") for i in range(4)]

    def read(path):
        try:
            for _ in range(4):
                load_tensors(path)
        except Exception as e:
            failed.append(e)

    threads = [threading.Thread(target=read, args=(path,)) for path in paths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failed
    assert set(torch.serialization.get_safe_globals()) == before


def test_names_made_to_take_long(tmp_path):
    """Thousands of names, each of thousands of parts: refused, as any other, without walking through all of it."""
    state = {"model.model.0.weight": torch.ones(1, 3, 4, 4)} | {"1." * 5000 + f"{i}.weight": torch.ones(1) for i in range(500)}
    with pytest.raises(StudioError, match="U-Net of 0"):
        import_file(saved(state, tmp_path / "net.pth"))
