"""NVIDIA's pickles of StyleGAN3: round trips, contradictions, and files made to ask for too much."""

import dataclasses
from collections import OrderedDict

import numpy as np
import pytest
import torch

from studio.errors import StudioError
from studio.inference.model import load, load_info
from studio.models.acquire.checkpoint_import import import_checkpoint
from studio.models.importers import import_file
from studio.models.library import Library
from studio.models.network_builder import load_network
from studio.networks.generative import stylegan3 as sg3
from studio.networks.generative.stylegan2 import Mapping
from studio.networks.layers import EqualizedLinear
from tests.conftest import GOLDEN
from tests.unit.importers.nvidia_pickler import EasyDict, Persistent, dumps
from tests.unit.importers.nvidia_pickler import networks as stylegan2_networks
from tests.unit.importers.nvidia_pickler import persist as stylegan2_persist
from tests.unit.importers.test_hostile import _warm, watched_import  # noqa: F401  (_warm is used by itself)
from tests.unit.networks.test_stylegan3 import R, tiny_stylegan3

CLASS_NAMES = {
    sg3.Generator: "Generator",
    sg3.Synthesis: "SynthesisNetwork",
    sg3.SynthesisInput: "SynthesisInput",
    sg3.SynthesisLayer: "SynthesisLayer",
    Mapping: "MappingNetwork",
    EqualizedLinear: "FullyConnectedLayer",
}
_OURS = {"z_dim", "c_dim", "w_dim", "resolution", "img_channels", "mapping_layers", "mapping_lr_multiplier", "w_avg_beta"}


def persist(network, bare=False):
    """A network of ours as the tree of objects that NVIDIA's code would write. bare: only what the config cannot do without."""
    cfg = network.config
    bands = cfg.bands

    def facts(module):
        if isinstance(module, Mapping):
            return dict(z_dim=cfg.z_dim, c_dim=cfg.c_dim, w_dim=cfg.w_dim, num_layers=cfg.mapping_layers, w_avg_beta=cfg.w_avg_beta)
        if isinstance(module, EqualizedLinear):
            return dict(activation=module.act, bias_gain=module.bias_gain, weight_gain=np.float64(module.weight_gain))
        if isinstance(module, sg3.Synthesis):
            names = ("num_layers", "num_critical", "margin_size", "output_scale")
            return {k: getattr(cfg, k) for k in names} | {"img_resolution": cfg.resolution}
        if isinstance(module, sg3.SynthesisInput):
            return dict(sampling_rate=np.float64(bands[0].rate), bandwidth=np.float64(bands[0].cutoff), size=np.array([bands[0].size] * 2))
        if isinstance(module, sg3.SynthesisLayer):
            i = [getattr(network.synthesis, name) for name in network.synthesis.layer_names].index(module)
            before, after = bands[max(i - 1, 0)], bands[i]
            return dict(
                is_torgb=module.torgb,
                is_critically_sampled=i >= cfg.num_layers - cfg.num_critical,
                conv_clamp=cfg.conv_clamp,
                in_sampling_rate=before.rate,
                out_cutoff=np.float64(after.cutoff),
                in_half_width=np.float64(before.half_width),
            )
        return dict(img_resolution=cfg.resolution, img_channels=3, z_dim=cfg.z_dim, c_dim=cfg.c_dim, w_dim=cfg.w_dim)

    def visit(module):
        state = dict(
            _parameters=OrderedDict(module._parameters),
            _buffers=OrderedDict(module._buffers),
            _non_persistent_buffers_set=set(),
            _modules=OrderedDict((n, visit(m)) for n, m in module._modules.items()),
        )
        if not bare:
            state |= facts(module)
        return Persistent(CLASS_NAMES[type(module)], state)

    root = visit(network)
    given = {k: v for k, v in dataclasses.asdict(cfg).items() if k not in _OURS}
    mapping = EasyDict(num_layers=cfg.mapping_layers, lr_multiplier=cfg.mapping_lr_multiplier)
    root.state["_init_kwargs"] = EasyDict(img_resolution=cfg.resolution, img_channels=3, mapping_kwargs=mapping, num_fp16_res=4, **given)
    return root


def options_of_training(config, batch=32, cbase=256, cmax=16, map_depth=None, fp32=False):
    """Arguments of the generator as train.py of NVIDIA's stylegan3 gives them for its configurations."""
    kwargs = EasyDict(z_dim=16, w_dim=16, mapping_kwargs=EasyDict(), channel_base=cbase, channel_max=cmax)
    kwargs.mapping_kwargs.num_layers = (8 if config == "stylegan2" else 2) if map_depth is None else map_depth
    if config == "stylegan2":
        kwargs.fused_modconv_default = "inference_only"
    else:
        kwargs.magnitude_ema_beta = 0.5 ** (batch / 20e3)
    if config == "stylegan3-r":
        kwargs.conv_kernel = 1
        kwargs.channel_base *= 2
        kwargs.channel_max *= 2
        kwargs.use_radial_filters = True
    if fp32:
        kwargs.num_fp16_res = 0
        kwargs.conv_clamp = None
    return EasyDict(kwargs, c_dim=0, img_resolution=16, img_channels=3)


def write(tmp_path, root):
    path = tmp_path / "net.pkl"
    path.write_bytes(dumps({"G": None, "D": None, "G_ema": root}))
    return path


CASES = {
    "T": {},
    "R": R,
    "classes": dict(c_dim=3, w_dim=12),
    "other bands": dict(num_layers=6, num_critical=1, first_cutoff=1.5, first_stopband=4.0, last_stopband_rel=1.5, margin_size=6),
    "other filters": dict(filter_size=4, lrelu_upsampling=4, conv_clamp=None, output_scale=0.5),
    "one layer in the mapping": dict(mapping_layers=1, conv_clamp=64.0),
}


@pytest.mark.parametrize("bare", [False, True])
@pytest.mark.parametrize("options", CASES.values(), ids=CASES.keys())
def test_round_trip(tmp_path, options, bare):
    network = tiny_stylegan3(**options)
    found = watched_import(write(tmp_path, persist(network, bare)))
    assert found.family == "stylegan3"
    assert found.config == dataclasses.asdict(network.config)
    again = load_network(found.family, found.config, found.state_dict, "the import")
    ws = torch.randn(1, network.num_ws, network.w_dim)
    assert torch.equal(again.synthesis(ws), network.synthesis(ws))


TRAININGS = {
    "T": dict(config="stylegan3-t"),
    "R": dict(config="stylegan3-r"),
    "T in full precision": dict(config="stylegan3-t", fp32=True),
    "R, deeper mapping": dict(config="stylegan3-r", map_depth=3, batch=8),
}


@pytest.mark.parametrize("training", TRAININGS.values(), ids=TRAININGS.keys())
def test_options_as_nvidias_training_writes_them(tmp_path, training):
    kwargs = options_of_training(**training)
    given = {k: v for k, v in kwargs.items() if k in {f.name for f in dataclasses.fields(sg3.StyleGAN3Config)}}
    torch.manual_seed(0)
    config = sg3.StyleGAN3Config(**given, resolution=16, mapping_layers=kwargs.mapping_kwargs.num_layers)
    network = sg3.Generator(config).eval()
    root = persist(network, bare=True)
    root.state["_init_kwargs"] = kwargs
    found = import_file(write(tmp_path, root))
    assert found.config == dataclasses.asdict(config)


@pytest.mark.parametrize("fp32", [False, True])
def test_options_as_nvidias_training_writes_them_for_stylegan2(tmp_path, fp32):
    kwargs = options_of_training("stylegan2", fp32=fp32)
    options = dict(channel_base=256, channel_max=16, mapping_layers=8, w_avg_beta=0.995, conv_clamp=None if fp32 else 256.0)
    generator, _ = stylegan2_networks(**options)
    root = stylegan2_persist(generator, "bare")
    root.state["_init_kwargs"] = kwargs
    for path in ("synthesis.b4.conv1", "synthesis.b16.torgb"):  # which say their default, where train.py leaves it
        root.child(path).state["conv_clamp"] = options["conv_clamp"]
    found = import_file(write(tmp_path, root))
    assert found.family == "stylegan2"
    config = dataclasses.asdict(generator.config)
    assert {**found.config, "resample_filter": tuple(found.config["resample_filter"])} == {
        **config,
        "resample_filter": tuple(map(float, config["resample_filter"])),
    }


def test_it_becomes_a_model_of_the_library(tmp_path):
    file = GOLDEN / "stylegan3-t-64" / "network-full.pkl"
    info = import_checkpoint(Library([tmp_path]), file, "moving")
    model = load_info(info, "cpu")
    ws = model.mapping(np.random.RandomState(0).randn(1, 32))
    assert info.family == "stylegan3"
    assert torch.equal(model.synthesis(ws), load(file, "cpu").synthesis(ws))
    assert "cannot be trained here" in (info.path / "README.md").read_text()


def change(path, **facts):
    return lambda root: (root.child(path) if path else root).state.update(facts)


def option(**kwargs):
    return lambda root: root.state["_init_kwargs"].update(kwargs)


def tensor(path, name, value):
    def apply(root):
        state = root.child(path).state
        part = "_parameters" if name in state["_parameters"] else "_buffers"
        state[part].pop(name, None)
        if value is not None:
            state["_buffers"][name] = value

    return apply


UNSUPPORTED = {
    "unknown option": (option(sparkle=0.5), "sparkle"),
    "class": (lambda root: setattr(root.child("synthesis.input"), "class_name", "SpatialInput"), "SpatialInput"),
    "activation": (change("mapping.fc0", activation="relu"), "'relu'"),
    "says another size": (change("", img_resolution=64), "differ in img_resolution"),
    "giant": (lambda r: [change(p, img_resolution=1 << 40)(r) for p in ("", "synthesis")], "odd img_resolution"),
    "giant but for its tensors": (lambda r: [change(p, img_resolution=256)(r) for p in ("", "synthesis")], "do not follow"),
    "size of a kind": (lambda r: [change(p, img_resolution="32")(r) for p in ("", "synthesis")], "odd img_resolution"),
    "no whole power": (lambda r: [change(p, img_resolution=48)(r) for p in ("", "synthesis")], "power of two"),
    "layers without end": (option(num_layers=1 << 30), "num_layers"),
    "filters without end": (option(filter_size=1 << 30), "filter_size"),
    "grid without end": (option(lrelu_upsampling=1 << 20), "lrelu_upsampling"),
    "margins without end": (option(margin_size=1 << 30), "margin_size"),
    "widths without end": (option(channel_base=1 << 30, channel_max=1 << 30), "channel_base"),
    "wider than its tensors": (option(channel_base=4096, channel_max=4096), "do not follow"),
    "no number": (option(first_cutoff=float("nan")), "first_cutoff"),
    "a list": (option(num_critical=[1]), "num_critical"),
    "other bands than it names": (option(last_stopband_rel=1.9, first_stopband=9.0), "half_width|do not follow"),
    "another clamp in one layer": (change("synthesis.L0_36_16", conv_clamp=1), "conv_clamp 1"),
    "another cutoff in one layer": (change("synthesis.L0_36_16", out_cutoff=3.0), "out_cutoff"),
    "another band of the input": (change("synthesis.input", bandwidth=1.0), "bandwidth"),
    "says another scale": (change("synthesis", output_scale=1.0), "output_scale"),
    "tensor missing": (tensor("synthesis.input", "freqs", None), "no tensor 'synthesis.input.freqs'"),
    "placement missing": (tensor("synthesis.input", "transform", None), "no tensor 'synthesis.input.transform'"),
    "filter missing": (tensor("synthesis.L0_36_16", "up_filter", None), "no tensor 'synthesis.L0_36_16.up_filter'"),
    "tensor left over": (tensor("synthesis.L0_36_16", "extra", torch.ones(1)), "'synthesis.L0_36_16.extra'"),
    "another filter": (tensor("synthesis.L0_36_16", "up_filter", torch.ones(6)), r"\(6,\)"),
    "not finite": (tensor("synthesis.input", "phases", torch.full((16,), float("nan"))), "not finite"),
    "no latent": (tensor("mapping.fc0", "weight", torch.ones(16, 0)), "mapping.fc0.weight"),
}


@pytest.mark.parametrize(("edit", "named"), UNSUPPORTED.values(), ids=UNSUPPORTED.keys())
def test_what_does_not_fit_is_named_before_anything_is_made(tmp_path, edit, named):
    root = persist(tiny_stylegan3())
    edit(root)
    with pytest.raises(StudioError, match=named) as e:
        watched_import(write(tmp_path, root))
    assert e.value.hint


def test_a_layer_less(tmp_path):
    root = persist(tiny_stylegan3())
    root.child("synthesis").state["_modules"].popitem()
    with pytest.raises(StudioError, match="do not follow"):
        import_file(write(tmp_path, root))
