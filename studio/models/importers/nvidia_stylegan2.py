"""StyleGAN2 in NVIDIA's network pickles: its classes, its options, and its config as tensors and file describe it."""

import dataclasses
import re
from collections.abc import Callable
from typing import Any

import torch

from studio.models.importers.imported import UnsupportedCheckpoint, excerpt
from studio.models.importers.nvidia_network import (
    PickledNetwork,
    check_options,
    clamp_value,
    expected_tensors,
    lr_multiplier_of,
    options_of,
    positive_number,
)
from studio.networks.generative.stylegan2 import StyleGAN2Config
from studio.networks.layers import fir_filter

# The classes that a StyleGAN2 pickle is made of. Any other computes something else.
CLASSES = {
    "Generator",
    "MappingNetwork",
    "SynthesisNetwork",
    "SynthesisBlock",
    "SynthesisLayer",
    "ToRGBLayer",
    "FullyConnectedLayer",
    "Conv2dLayer",
    "Discriminator",
    "DiscriminatorBlock",
    "DiscriminatorEpilogue",
    "MinibatchStdLayer",
}
# Constructor arguments of those classes: they are read below, or have no effect on float32 results.
OPTIONS = {
    "z_dim",
    "c_dim",
    "w_dim",
    "cmap_dim",
    "num_ws",
    "img_resolution",
    "img_channels",
    "resolution",
    "is_last",
    "mapping_kwargs",
    "synthesis_kwargs",
    "block_kwargs",
    "epilogue_kwargs",
    "num_layers",
    "embed_features",
    "layer_features",
    "activation",
    "lr_multiplier",
    "w_avg_beta",
    "channel_base",
    "channel_max",
    "num_fp16_res",
    "use_fp16",
    "fp16_channels_last",
    "channels_last",
    "conv_clamp",
    "architecture",
    "resample_filter",
    "use_noise",
    "kernel_size",
    "up",
    "down",
    "bias",
    "bias_init",
    "trainable",
    "freeze_layers",
    "freeze_embed",
    "first_layer_idx",
    "mbstd_group_size",
    "mbstd_num_channels",
    "group_size",
    "num_channels",
    "in_channels",
    "out_channels",
    "tmp_channels",
    "in_features",
    "out_features",
    "fused_modconv_default",
}


_UNUSED_FILTER = re.compile(r"synthesis\.b\d+\.conv1\.resample_filter|b\d+\.(fromrgb|conv0|conv)\.resample_filter")


def generator_config(net: PickledNetwork) -> StyleGAN2Config:
    if net.modules[""].class_name != "Generator" or "synthesis.b4.const" not in net.tensors:
        raise UnsupportedCheckpoint(f"a network of the class '{excerpt(net.modules[''].class_name)}' that is not a StyleGAN2 generator")
    check_options(net, CLASSES, OPTIONS)
    resolutions = net.children("synthesis", r"b(\d{1,5})")
    top = resolutions[-1]
    if resolutions != [2**i for i in range(2, 2 + len(resolutions))] or not 8 <= top <= 4096:
        raise UnsupportedCheckpoint("a synthesis with odd resolutions")

    (w_dim,) = net.size("mapping.w_avg", 1)
    layers = len(net.children("mapping", r"fc(\d{1,3})"))
    hidden, z_and_class = net.size("mapping.fc0.weight", 2)
    embed, c_dim = net.size("mapping.embed.weight", 2) if "mapping.embed" in net.modules else (0, 0)
    (img_channels,) = net.size(f"synthesis.b{top}.torgb.bias", 1)
    if img_channels != 3:
        raise UnsupportedCheckpoint(f"a generator with img_channels {img_channels}; only 3 (colour) can be shown")
    if "synthesis.b8.skip" in net.modules:
        architecture = "resnet"
    else:
        architecture = "skip" if "synthesis.b4.torgb" in net.modules else "orig"
    if z_and_class <= embed:
        raise UnsupportedCheckpoint("a mapping without a latent z")
    convs = net.of_class("SynthesisLayer")
    widths = {r: net.size(f"synthesis.b{r}.conv1.bias", 1)[0] for r in resolutions}
    base, most = _channel_rule(widths, options_of(net, "", "synthesis"))
    config = StyleGAN2Config(
        resolution=top,
        z_dim=z_and_class - embed,
        c_dim=c_dim,
        w_dim=w_dim,
        img_channels=img_channels,
        channel_base=base,
        channel_max=most,
        mapping_layers=layers,
        mapping_lr_multiplier=positive_number(lr_multiplier_of(net), "lr_multiplier"),
        embed_features=None if embed in (0, w_dim) else embed,
        mapping_layer_features=None if layers == 1 or hidden == w_dim else hidden,
        w_avg_beta=positive_number(net.one(["mapping"], "w_avg_beta", 0.995), "w_avg_beta"),
        architecture=architecture,
        resample_filter=_taps(net),
        conv_clamp=clamp_value(net.one(convs + net.of_class("ToRGBLayer"), "conv_clamp", None)),
        use_noise="synthesis.b4.conv1.noise_const" in net.tensors,
    )
    for name, value in (("z_dim", config.z_dim), ("c_dim", c_dim), ("w_dim", w_dim)):
        net.agree("", name, value)
        net.agree("mapping", name, value)
    for path in ("", "synthesis"):
        net.agree(path, "img_resolution", top)
        net.agree(path, "img_channels", img_channels)
    net.agree("mapping", "num_layers", layers)
    for path in net.of_class("SynthesisBlock"):
        net.agree(path, "architecture", architecture)
    for path in convs:
        net.agree(path, "use_noise", config.use_noise)
        net.agree(path, "up", 2 if path.endswith(".conv0") else 1)
    return config


def discriminator_config(net: PickledNetwork, config: StyleGAN2Config) -> tuple[StyleGAN2Config, float | None]:
    """The config of both networks, and the discriminator's own conv_clamp."""
    if net.modules[""].class_name != "Discriminator":
        raise UnsupportedCheckpoint(f"a network of the class '{excerpt(net.modules[''].class_name)}'")
    check_options(net, CLASSES, OPTIONS)
    net.agree("", "img_resolution", config.resolution)
    net.agree("", "c_dim", config.c_dim)
    if net.children("", r"b(\d{1,5})") != config.block_resolutions:
        raise UnsupportedCheckpoint("blocks whose resolutions are not the generator's")
    widths = {r: net.size(f"b{r}.conv0.bias", 1)[0] for r in config.block_resolutions[1:]}
    widths[4], joined = net.size("b4.conv.weight", 4)[:2]
    base, most = _channel_rule(widths, options_of(net, ""))
    blocks = net.of_class("DiscriminatorBlock", "DiscriminatorEpilogue")
    if "b8.skip" in net.modules:
        architecture = "resnet"
    else:
        architecture = "skip" if "b4.fromrgb" in net.modules else "orig"
    if net.one(blocks, "architecture", architecture) != architecture:
        raise UnsupportedCheckpoint("blocks whose architecture is not the stated one")
    layers = len(net.children("mapping", r"fc(\d{1,3})"))
    if layers and lr_multiplier_of(net) != 0.01:
        raise UnsupportedCheckpoint("a class mapping with an lr_multiplier other than 0.01")
    group = net.one(["b4.mbstd"], "group_size", 4)
    if group is not None and (type(group) is not int or group < 1):
        raise UnsupportedCheckpoint("an odd group_size")
    same = all(config.channels(r) == w for r, w in widths.items())
    clamped = [p for p in net.of_class("Conv2dLayer") if not p.endswith(".skip") and p != "b4.fromrgb"]
    both = dataclasses.replace(
        config,
        d_architecture=architecture,
        d_channel_base=None if same else base,
        d_channel_max=None if same else most,
        mbstd_group_size=group,
        mbstd_num_channels=joined - widths[4],
        d_mapping_layers=layers if config.c_dim else 8,
    )
    return both, clamp_value(net.one(clamped, "conv_clamp", None))


def _channel_rule(widths: dict[int, int], options: dict[str, Any]) -> tuple[int, int]:
    """channel_base and channel_max, such that min(base // r, max) are the widths of all resolutions r."""
    most = max(widths.values())
    # base // r == width says r * width <= base < r * (width + 1), for all that the maximum does not limit.
    derived = max((r * w for r, w in widths.items() if w < most), default=max(widths) * most)
    for base, top in ((options.get("channel_base", 32768), options.get("channel_max", 512)), (derived, most)):
        if type(base) is int and type(top) is int and all(min(base // r, top) == w for r, w in widths.items()):
            return base, top
    raise UnsupportedCheckpoint("channels that do not follow StyleGAN2's rule")


def _taps(net: PickledNetwork) -> tuple[float, ...]:
    """The 1-D filter whose 2-D form the network carries."""
    if len(net.tensors["synthesis.b4.const"].size) != 3 or "synthesis.b4.resample_filter" not in net.tensors:
        raise UnsupportedCheckpoint("a synthesis with an odd structure")
    rows, columns = net.size("synthesis.b4.resample_filter", 2)
    if rows != columns or rows > 16:
        raise UnsupportedCheckpoint(f"a resample_filter of the shape {(rows, columns)}, which is not supported")
    kernel = net.tensors["synthesis.b4.resample_filter"].build().float()
    said = options_of(net, "", "synthesis").get("resample_filter")
    candidates = [(1, 3, 3, 1), tuple(said) if isinstance(said, list) and len(said) == rows else (), kernel.sum(0).tolist()]
    for taps in candidates:
        sound = len(taps) == rows and all(type(t) in (int, float) and abs(t) < 1e6 for t in taps) and sum(taps)
        if sound and torch.allclose(fir_filter(tuple(taps)), kernel, atol=1e-6):
            return tuple(float(t) for t in taps)
    raise UnsupportedCheckpoint("a resample_filter that is not separable, which is not supported")


def load_tensors(
    net: PickledNetwork, network: Callable[[Any], torch.nn.Module], config: StyleGAN2Config, size: int
) -> dict[str, torch.Tensor]:
    """Tensors of a generator or discriminator.  size: bytes of the file.

    Layers that neither double nor halve carry a low-pass filter that is never used, the default whatever the training chose.
    Raises UnsupportedCheckpoint.
    """
    expected = expected_tensors(network, config)
    unused = [name for name in expected if name in net.tensors and _UNUSED_FILTER.fullmatch(name)]
    state = net.load(expected | {name: net.tensors[name].size for name in unused}, size)
    ours = {expected[name]: fir_filter(taps) for name in unused for taps in ((1, 3, 3, 1), config.resample_filter)}
    return state | {name: ours[expected[name]] for name in unused if tuple(state[name].shape) != expected[name]}
