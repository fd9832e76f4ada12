"""Writes network pickles in the form of NVIDIA's code from networks of our own, for tests of the importer.

The objects go through Python's pickle and PyTorch's own __reduce__; only the persistent classes are imitated: each
module becomes a call of torch_utils.persistence._reconstruct_persistent_obj with its source text, name and state.
"""

import math
import pickle
import sys
import types
from collections import OrderedDict
from contextlib import contextmanager

import numpy as np
import torch

from studio.networks.generative import stylegan2 as sg2
from studio.networks.layers import EqualizedConv, EqualizedLinear, MinibatchStd, fir_filter

CLASS_NAMES = {
    sg2.Generator: "Generator",
    sg2.Mapping: "MappingNetwork",
    sg2.Synthesis: "SynthesisNetwork",
    sg2.SynthesisBlock: "SynthesisBlock",
    sg2.StyledConv: "SynthesisLayer",
    sg2.ToRGB: "ToRGBLayer",
    EqualizedLinear: "FullyConnectedLayer",
    EqualizedConv: "Conv2dLayer",
    sg2.Discriminator: "Discriminator",
    sg2.DiscriminatorBlock: "DiscriminatorBlock",
    sg2.DiscriminatorEpilogue: "DiscriminatorEpilogue",
    MinibatchStd: "MinibatchStdLayer",
}


class EasyDict(dict):
    """Keeps attributes as items, like dnnlib's."""

    def __getattr__(self, name):
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def __setattr__(self, name, value):
        self[name] = value


def _reconstruct_persistent_obj(meta):
    raise AssertionError("the importer must not get here")


EasyDict.__module__ = "dnnlib.util"
_reconstruct_persistent_obj.__module__ = "torch_utils.persistence"


@contextmanager
def _nvidia_modules():
    """Python's pickler looks each name up before it writes it; these modules exist only meanwhile."""
    made = {name: types.ModuleType(name) for name in ("dnnlib", "dnnlib.util", "torch_utils", "torch_utils.persistence")}
    made["dnnlib.util"].EasyDict = EasyDict
    made["torch_utils.persistence"]._reconstruct_persistent_obj = _reconstruct_persistent_obj
    sys.modules.update(made)
    try:
        yield
    finally:
        for name in made:
            del sys.modules[name]


class Persistent:
    """An object that pickles as NVIDIA's persistent classes do."""

    def __init__(self, class_name, state, source="# source text of the networks\n"):
        self.class_name, self.state, self.source = class_name, state, source

    def __reduce__(self):
        meta = dict(type="class", version=6, module_src=self.source, class_name=self.class_name, state=self.state)
        return _reconstruct_persistent_obj, (meta,), None

    def child(self, path):
        """The part at a path such as 'synthesis.b8.conv0'."""
        found = self
        for name in path.split("."):
            found = found.state["_modules"][name]
        return found


def persist(network, style="ada", source="# source text of the networks\n"):
    """A network of ours as the tree of persistent objects that NVIDIA's code would have.

    style: 'ada' nests the arguments of the synthesis in synthesis_kwargs, 'sg3' gives them beside the others,
    'bare' records nothing about any module but its class and tensors.
    """
    cfg = network.config
    is_g = isinstance(network, sg2.Generator)
    clamp = cfg.conv_clamp
    known = {
        sg2.Mapping: lambda m: dict(
            z_dim=m.z_dim, c_dim=m.c_dim, w_dim=m.w_dim, num_ws=m.num_ws, num_layers=m.num_layers, w_avg_beta=m.w_avg_beta
        ),
        sg2.SynthesisBlock: lambda m: dict(resolution=m.resolution, architecture=cfg.architecture, use_fp16=True),
        sg2.StyledConv: lambda m: dict(
            resolution=m.resolution, up=m.up, use_noise=m.use_noise, activation="lrelu", conv_clamp=clamp, act_gain=math.sqrt(2)
        ),
        sg2.ToRGB: lambda m: dict(conv_clamp=clamp, weight_gain=np.float64(m.weight_gain)),
        EqualizedLinear: lambda m: dict(activation=m.act, bias_gain=m.bias_gain, weight_gain=np.float64(m.weight_gain)),
        EqualizedConv: lambda m: dict(activation=m.act, up=m.up, down=m.down, conv_clamp=m.clamp, weight_gain=np.float64(m.weight_gain)),
        sg2.DiscriminatorBlock: lambda m: dict(architecture=cfg.d_architecture),
        sg2.DiscriminatorEpilogue: lambda m: dict(architecture=cfg.d_architecture),
        MinibatchStd: lambda m: dict(group_size=m.group_size, num_channels=m.num_channels),
    }

    def buffers(module):
        """NVIDIA's layers that neither double nor halve keep the default filter, which they never use."""
        found = OrderedDict(module._buffers)
        if isinstance(module, (sg2.StyledConv, EqualizedConv)) and module.up == getattr(module, "down", 1) == 1:
            found["resample_filter"] = fir_filter([1, 3, 3, 1])
        return found

    def visit(module):
        state = OrderedDict(
            training=False,
            _parameters=OrderedDict(module._parameters),
            _buffers=buffers(module),
            _non_persistent_buffers_set=set(),
            _backward_hooks=OrderedDict(),
            _is_full_backward_hook=None,
            _modules=OrderedDict((n, visit(m)) for n, m in module._modules.items() if type(m) in CLASS_NAMES),
        )
        if style != "bare":
            state.update(known.get(type(module), lambda m: {})(module))
            state.update(_init_args=(), _init_kwargs={})
        return Persistent(CLASS_NAMES[type(module)], dict(state), source)

    root = visit(network)
    if style != "bare":
        shape = dict(c_dim=cfg.c_dim, img_resolution=cfg.resolution, img_channels=cfg.img_channels)
        inner = EasyDict(channel_base=cfg.channel_base, channel_max=cfg.channel_max, num_fp16_res=4, conv_clamp=clamp)
        inner.resample_filter = list(cfg.resample_filter) if len(cfg.resample_filter) > 1 else None
        if is_g:
            shape |= dict(z_dim=cfg.z_dim, w_dim=cfg.w_dim)
            kwargs = dict(shape, mapping_kwargs=EasyDict(num_layers=cfg.mapping_layers))
            kwargs |= dict(synthesis_kwargs=inner) if style == "ada" else inner
        else:
            kwargs = dict(shape, block_kwargs=EasyDict(), mapping_kwargs={}, epilogue_kwargs=EasyDict(mbstd_group_size=4))
        root.state.update(shape, _init_kwargs=EasyDict(kwargs))
    return root


def dumps(content, protocol=4):
    """Bytes of a network pickle."""
    with _nvidia_modules():
        return pickle.dumps(content, protocol=protocol)


def networks(seed=0, **options):
    """A small generator with every tensor drawn at random, and its discriminator."""
    cfg = sg2.StyleGAN2Config(**{"z_dim": 16, "w_dim": 16, "channel_base": 256, "channel_max": 16, "resolution": 16} | options)
    torch.manual_seed(seed)
    made = sg2.Generator(cfg).eval(), sg2.Discriminator(cfg).eval()
    with torch.no_grad():
        for network in made:
            for name, tensor in network.state_dict().items():
                if not name.endswith("resample_filter"):
                    tensor.copy_(torch.randn_like(tensor))
    return made


def network_pickle(protocol=4, style="ada", **options):
    """(generator, discriminator, bytes) of a whole file such as a training writes."""
    generator, discriminator = networks(**options)
    content = {
        "G": None,
        "D": persist(discriminator, style),
        "G_ema": persist(generator, style),
        "augment_pipe": None,
        "training_set_kwargs": EasyDict(class_name="training.dataset.ImageFolderDataset", path="/data/cats.zip", xflip=True),
    }
    return generator, discriminator, dumps(content, protocol)


def legacy_storage(tensor):
    """The bytes in which PyTorch hands the storage of a tensor to a pickle."""
    storage = tensor.__reduce_ex__(2)[1][0]
    return storage.__reduce__()[1][0]
