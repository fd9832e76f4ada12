"""NVIDIA's network pickles: the pictures of NVIDIA's own code, and round trips through many kinds of files."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from studio.errors import StudioError
from studio.models.importers import import_file
from studio.models.network_builder import load_network
from studio.networks.generative.stylegan2 import Discriminator, StyleGAN2Config
from tests.conftest import GOLDEN
from tests.unit.importers.nvidia_pickler import EasyDict, Persistent, dumps, network_pickle, networks, persist


def write(tmp_path, data, name="net.pkl"):
    path = tmp_path / name
    path.write_bytes(data)
    return path


def build(found):
    return load_network(found.family, found.config, found.state_dict, "the import")


# -- equal to NVIDIA's code -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["stylegan2-ada-uncond-64", "stylegan2-ada-cond5-32"])
@torch.inference_mode()
def test_golden_outputs(name):
    folder = GOLDEN / name
    case, io = json.loads((folder / "case.json").read_text()), dict(np.load(folder / "io.npz"))
    found = import_file(folder / "network-full.pkl")
    net = build(found)
    assert (net.resolution, net.c_dim) == (case["resolution"], case["c_dim"])
    z, c = torch.tensor(io["z"]), torch.tensor(io["c"])

    def error(ours, theirs):
        assert ours.shape == theirs.shape
        return float((ours - torch.tensor(theirs)).abs().max())

    for psi in ("1.0", "0.7"):
        ws = net.mapping(z, c, float(psi))
        assert error(ws, io[f"ws_{psi}"]) <= case["tolerance"]
        assert error(net.synthesis(ws), io[f"img_{psi}"]) <= case["tolerance"]
    assert error(net.mapping(z, c, 0.5, 4), io["ws_psi.5_cut4"]) <= case["tolerance"]
    assert error(net.synthesis(torch.tensor(io["ws_mix"])), io["img_mix"]) <= case["tolerance"]


def test_golden_discriminator_is_whole():
    found = import_file(GOLDEN / "stylegan2-ada-cond5-32" / "network-full.pkl")
    d = Discriminator(StyleGAN2Config(**found.config))
    d.load_state_dict(found.discriminator_state)
    logits = d(torch.zeros(2, 3, 32, 32), torch.eye(5)[:2])
    assert logits.shape == (2, 1)
    assert torch.isfinite(logits).all()


def test_golden_notes_name_the_training_data():
    found = import_file(GOLDEN / "stylegan2-ada-cond5-32" / "network-full.pkl")
    assert any("x.zip" in note for note in found.notes)


# -- round trips ------------------------------------------------------------------------------------------------------

CASES = {
    "16 px": {},
    "32 px, 3 classes": {"resolution": 32, "c_dim": 3},
    "128 px, narrow at the top": {"resolution": 128, "channel_base": 512, "channel_max": 12},
    "2 mapping layers": {"mapping_layers": 2, "c_dim": 3},
    "1 mapping layer": {"mapping_layers": 1},
    "widths cut nowhere": {"channel_base": 64, "channel_max": 512},
    "widths cut everywhere": {"channel_base": 32768, "channel_max": 8},
    "a base that is no power of two": {"channel_base": 250, "channel_max": 50},
    "clamped": {"conv_clamp": 256.0},
    "other mapping widths": {"z_dim": 24, "w_dim": 10, "c_dim": 3, "embed_features": 7, "mapping_layer_features": 13},
    "another learning rate": {"mapping_lr_multiplier": 0.1, "w_avg_beta": 0.99},
    "resnet": {"architecture": "resnet", "resolution": 32},
    "orig": {"architecture": "orig", "d_architecture": "orig"},
    "skip on both sides": {"d_architecture": "skip", "resolution": 32},
    "without noise": {"use_noise": False},
    "another filter": {"resample_filter": (1.0, 2.0, 1.0)},
    "a filter of five taps": {"resample_filter": (1.0, 4.0, 6.0, 4.0, 1.0)},
    "no filter": {"resample_filter": (1.0,), "d_architecture": "resnet"},
    "no minibatch deviation": {"mbstd_num_channels": 0},
    "deviation over the batch": {"mbstd_group_size": None},
    "classes by embedding alone": {"c_dim": 3, "d_mapping_layers": 0},
}


def check_round_trip(generator, discriminator, found):
    """Everything of the networks came back: each bit of each tensor, and the outputs."""
    for network, state in ((generator, found.state_dict), (discriminator, found.discriminator_state)):
        want = network.state_dict()
        assert state.keys() == want.keys()
        assert all(torch.equal(state[k], want[k]) and state[k].dtype == torch.float32 for k in want)
    got, cfg = build(found), generator.config
    z, c = torch.randn(2, cfg.z_dim), torch.eye(cfg.c_dim)[:2] if cfg.c_dim else None
    with torch.inference_mode():
        assert torch.equal(got.mapping(z, c, 0.7, 3), generator.mapping(z, c, 0.7, 3))
        img = generator(z, c)
        assert torch.equal(got(z, c), img)
        d = Discriminator(StyleGAN2Config(**found.config)).eval()
        d.load_state_dict(found.discriminator_state)
        assert torch.equal(d(img, c), discriminator(img, c))


@pytest.mark.parametrize("options", CASES.values(), ids=CASES.keys())
def test_round_trip(tmp_path, options):
    generator, discriminator, data = network_pickle(**options)
    found = import_file(write(tmp_path, data))
    check_round_trip(generator, discriminator, found)
    want = dataclasses.asdict(generator.config)
    want["resample_filter"] = tuple(float(t) for t in want["resample_filter"])
    for name in ("embed_features", "mapping_layer_features"):
        assert found.config.pop(name) == want.pop(name)
    assert found.config == want
    assert not any("left out" in note for note in found.notes)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("style", ["ada", "sg3", "bare"])
def test_protocols_and_styles(tmp_path, protocol, style):
    generator, discriminator, data = network_pickle(protocol, style, c_dim=3)
    check_round_trip(generator, discriminator, import_file(write(tmp_path, data)))


def test_what_cannot_be_derived_has_nvidias_defaults(tmp_path):
    generator, _, data = network_pickle(style="bare", channel_base=250, channel_max=50)
    config = import_file(write(tmp_path, data)).config
    assert (config["mapping_lr_multiplier"], config["w_avg_beta"], config["conv_clamp"]) == (0.01, 0.995, None)
    assert all(min(config["channel_base"] // r, config["channel_max"]) == generator.config.channels(r) for r in (4, 8, 16))


def test_the_numpy_of_older_files(tmp_path):
    """numpy 2 moved the names of its constructors; files from before have the others."""
    generator, discriminator, data = network_pickle(protocol=3)
    assert b"cnumpy._core.multiarray\nscalar\n" in data
    data = data.replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")
    check_round_trip(generator, discriminator, import_file(write(tmp_path, data)))


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_everything_else_that_real_files_hold(tmp_path, protocol):
    generator, discriminator = networks()
    pipe = {
        "_parameters": {},
        "_buffers": {"p": torch.tensor(0.5)},
        "_modules": {},
        "training": True,
        "bands": [1, 1, 0],
        "table": np.arange(6.0).reshape(2, 3),
        "fortran": np.asfortranarray(np.ones((2, 3), "f4")),
        "big": np.array([1, 2], ">i4"),
        "flag": np.bool_(True),
        "dtype": torch.float16,
        "device": torch.device("cuda", 0),
        "size": torch.Size([1, 2]),
        "names": {"a", "b"},
        "none": None,
        "large": 1 << 70,
        "small": -5,
        "empty": b"",
        "raw": b"\x00\xff",
        "nested": EasyDict(a=EasyDict(b=[(), (1,), (1, 2, 3, 4)])),
    }
    content = {
        "G_ema": persist(generator),
        "D": persist(discriminator),
        "augment_pipe": Persistent("AugmentPipe", pipe),
        "training_set_kwargs": None,
        "progress": {"cur_nimg": np.int64(5)},
    }
    check_round_trip(generator, discriminator, import_file(write(tmp_path, dumps(content, protocol))))


def test_tensors_that_are_views_half_precision_or_channels_last(tmp_path):
    generator, _ = networks()
    root = persist(generator)
    conv, rgb, fc = (root.child(f"{p}").state for p in ("synthesis.b8.conv1", "synthesis.b8.torgb", "mapping.fc0"))
    large = torch.randn(3, 16, 16, 3, 3)
    conv["_parameters"]["weight"] = large[1]
    conv["_buffers"]["noise_const"] = conv["_buffers"]["noise_const"].half()
    rgb["_parameters"]["weight"] = rgb["_parameters"]["weight"].double()
    fc["_parameters"]["weight"] = fc["_parameters"]["weight"].detach().t().contiguous().t()
    root.child("synthesis.b16.conv0").state["_parameters"]["weight"] = torch.nn.Parameter(
        generator.synthesis.b16.conv0.weight.detach().to(memory_format=torch.channels_last)
    )
    state = import_file(write(tmp_path, dumps({"G_ema": root}))).state_dict
    want = generator.state_dict()
    assert torch.equal(state.pop("synthesis.b8.conv1.weight"), large[1])
    assert torch.equal(state.pop("synthesis.b8.conv1.noise_const"), want["synthesis.b8.conv1.noise_const"].half().float())
    assert all(torch.equal(v, want[k]) for k, v in state.items())
    assert all(v.is_contiguous() and v.dtype == torch.float32 for v in state.values())
    assert len({v.untyped_storage().data_ptr() for v in state.values()}) == len(state)


def test_frozen_layers_are_buffers(tmp_path):
    generator, discriminator = networks()
    root = persist(discriminator)
    layer = root.child("b16.conv0").state
    layer["_buffers"].update((k, v.detach()) for k, v in layer["_parameters"].items())
    layer["_parameters"].clear()
    content = {"G_ema": persist(generator), "D": root}
    check_round_trip(generator, discriminator, import_file(write(tmp_path, dumps(content))))


def test_the_mean_comes_before_the_last_state(tmp_path):
    mean, last = networks(seed=1)[0], networks(seed=2)[0]
    content = {"G": persist(last), "G_ema": persist(mean)}
    both = import_file(write(tmp_path, dumps(content)))
    assert torch.equal(both.state_dict["mapping.w_avg"], mean.mapping.w_avg)
    for content in ({"G": persist(last), "G_ema": None}, {"G": persist(last)}):
        alone = import_file(write(tmp_path, dumps(content)))
        assert torch.equal(alone.state_dict["mapping.w_avg"], last.mapping.w_avg)
        assert any("G_ema" in note for note in alone.notes)
    single = import_file(write(tmp_path, dumps(persist(mean))))
    assert torch.equal(single.state_dict["mapping.w_avg"], mean.mapping.w_avg)


def test_title_source_and_notes(tmp_path):
    _, _, data = network_pickle()
    found = import_file(write(tmp_path, data, "network-snapshot-000123.pkl"))
    assert found.title == "network-snapshot-000123"
    assert "G_ema" in found.source
    assert any("cats.zip" in note for note in found.notes)
    assert not any("/data" in note for note in found.notes)


def test_name_of_the_file_does_not_matter(tmp_path):
    _, _, data = network_pickle()
    assert import_file(write(tmp_path, data, "holiday.png")).family == "stylegan2"


def test_a_discriminator_that_does_not_fit_is_left_out_and_said(tmp_path):
    generator, _ = networks()
    _, other = networks(resolution=32)
    found = import_file(write(tmp_path, dumps({"G_ema": persist(generator), "D": persist(other)})))
    assert found.discriminator_state is None
    assert any("discriminator was left out" in note for note in found.notes)


def test_a_discriminator_of_other_widths_is_kept(tmp_path):
    generator, discriminator = networks(d_channel_base=512, d_channel_max=20)
    content = {"G_ema": persist(generator), "D": persist(discriminator)}
    check_round_trip(generator, discriminator, import_file(write(tmp_path, dumps(content))))


# -- what our StyleGAN2 does not have is named ------------------------------------------------------------------------


def change(path, **facts):
    return lambda root: (root.child(path) if path else root).state.update(facts)


def option(**kwargs):
    return lambda root: root.state["_init_kwargs"].synthesis_kwargs.update(kwargs)


def tensor(path, name, value):
    def apply(root):
        state = root.child(path).state
        for part in ("_parameters", "_buffers"):
            state[part].pop(name, None)
        if value is not None:
            state["_buffers"][name] = value

    return apply


def clamped(root):
    """The states of all modules that record a clamp."""
    found = [root.state] if "conv_clamp" in root.state else []
    return found + [s for child in root.state["_modules"].values() for s in clamped(child)]


UNSUPPORTED = {
    "activation": (change("synthesis.b8.conv1", activation="swish"), "'swish' in 'synthesis.b8.conv1'"),
    "activation of the mapping": (change("mapping.fc0", activation="relu"), "'relu'"),
    "unknown option": (option(magnitude_ema=0.5), "magnitude_ema"),
    "clamp differs": (change("synthesis.b8.conv1", conv_clamp=1), "differ in conv_clamp"),
    "clamp of a giant": (lambda r: [p.update(conv_clamp=1 << 2000) for p in clamped(r)], "odd conv_clamp"),
    "clamp of no number": (lambda r: [p.update(conv_clamp=float("nan")) for p in clamped(r)], "conv_clamp"),
    "odd clamp": (change("synthesis.b8.conv1", conv_clamp=[1]), "odd conv_clamp"),
    "gain": (change("mapping.fc0", weight_gain=9.0), "weight_gain"),
    "bias gain": (change("synthesis.b8.conv1.affine", bias_gain=0.5), "lr_multiplier"),
    "rates differ": (change("mapping.fc0", bias_gain=0.5, weight_gain=0.5 / 4), "differ in bias_gain"),
    "says another size": (change("", img_resolution=32), "img_resolution 32"),
    "says another z": (change("", z_dim=99), "z_dim 99"),
    "says other layers": (change("mapping", num_layers=3), "num_layers 3"),
    "says another architecture": (change("synthesis.b8", architecture="resnet"), "architecture resnet"),
    "says no noise": (change("synthesis.b8.conv1", use_noise=False), "use_noise"),
    "tensor missing": (tensor("synthesis.b8.conv1", "weight", None), "no tensor 'synthesis.b8.conv1.weight'"),
    "filter missing": (tensor("synthesis.b8.conv1", "resample_filter", None), "no tensor"),
    "no mean of w": (tensor("mapping", "w_avg", None), "mapping.w_avg"),
    "tensor left over": (tensor("synthesis.b8.conv1", "extra", torch.ones(1)), "'synthesis.b8.conv1.extra'"),
    "shape": (tensor("synthesis.b8.conv1", "weight", torch.ones(16, 16, 1, 1)), r"\(16, 16, 1, 1\)"),
    "whole numbers": (tensor("mapping", "w_avg", torch.ones(16, dtype=torch.int64)), "whole numbers"),
    "not finite": (tensor("mapping", "w_avg", torch.full((16,), float("nan"))), "not finite"),
    "long filter": (tensor("synthesis.b4", "resample_filter", torch.ones(8)), "resample_filter"),
    "filter of a cross": (tensor("synthesis.b4", "resample_filter", torch.eye(4)), "separable"),
    "class": (lambda root: setattr(root.child("synthesis.b8"), "class_name", "AttentionBlock"), "AttentionBlock"),
    "class of all": (lambda root: setattr(root, "class_name", "UNet"), "UNet"),
    "no latent": (tensor("mapping.fc0", "weight", torch.ones(16, 0)), "mapping.fc0.weight"),
}


@pytest.mark.parametrize(("edit", "named"), UNSUPPORTED.values(), ids=UNSUPPORTED.keys())
def test_unsupported_is_named(tmp_path, edit, named):
    root = persist(networks()[0])
    edit(root)
    with pytest.raises(StudioError, match=named) as e:
        import_file(write(tmp_path, dumps({"G_ema": root})))
    assert e.value.hint


def test_grey_pictures_are_named(tmp_path):
    _, _, data = network_pickle(img_channels=1)
    with pytest.raises(StudioError, match="img_channels 1"):
        import_file(write(tmp_path, data))


@pytest.mark.parametrize("content", [{}, {"D": None}, {"G_ema": 5}, [], 7, "text", {"G_ema": None, "G": None}])
def test_no_generator(tmp_path, content):
    with pytest.raises(StudioError, match="not imported"):
        import_file(write(tmp_path, dumps(content)))
