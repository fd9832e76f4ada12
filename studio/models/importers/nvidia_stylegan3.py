"""StyleGAN3 in NVIDIA's network pickles: its classes, its options, and its config read off the file.

Most of its hyper-parameters leave no trace in the shapes of tensors, so they are taken from what the file says about
itself; the names of the layers, which hold sizes and widths, and the facts that each layer recorded must then confirm them.
"""

import math
from typing import Any

from studio.models.importers.imported import UnsupportedCheckpoint, excerpt
from studio.models.importers.nvidia_network import PickledNetwork
from studio.networks.generative.stylegan3 import StyleGAN3Config

CLASSES = {"Generator", "MappingNetwork", "SynthesisNetwork", "SynthesisInput", "SynthesisLayer", "FullyConnectedLayer"}
# Constructor arguments of the synthesis that are fields of the config under the same name, and their types.
_FIELDS: dict[str, type] = {
    "channel_base": int,
    "channel_max": int,
    "num_layers": int,
    "num_critical": int,
    "first_cutoff": float,
    "first_stopband": float,
    "last_stopband_rel": float,
    "margin_size": int,
    "output_scale": float,
    "conv_kernel": int,
    "filter_size": int,
    "lrelu_upsampling": int,
    "use_radial_filters": bool,
    "conv_clamp": float,
    "magnitude_ema_beta": float,
}
# These are read below, checked against the tensors, or have no effect on float32 results.
OPTIONS = set(_FIELDS) | {
    "z_dim",
    "c_dim",
    "w_dim",
    "num_ws",
    "img_resolution",
    "img_channels",
    "mapping_kwargs",
    "synthesis_kwargs",
    "activation",
    "lr_multiplier",
    "w_avg_beta",
    "weight_init",
    "bias_init",
    "bias",
    "in_features",
    "out_features",
    "num_fp16_res",
    "use_fp16",
    "channels",
    "size",
    "sampling_rate",
    "bandwidth",
    "is_torgb",
    "is_critically_sampled",
    "in_channels",
    "out_channels",
    "in_size",
    "out_size",
    "in_sampling_rate",
    "out_sampling_rate",
    "in_cutoff",
    "out_cutoff",
    "in_half_width",
    "out_half_width",
}


def generator_config(net: PickledNetwork, lr_multiplier: Any, options: dict[str, Any]) -> StyleGAN3Config:
    """The config of a recorded generator.

    lr_multiplier: of its mapping.  options: constructor arguments of the generator and its synthesis.
    Raises UnsupportedCheckpoint when the file contradicts itself or asks for what our StyleGAN3 lacks.
    """
    if net.modules[""].class_name != "Generator":
        raise UnsupportedCheckpoint(f"a network of the class '{excerpt(net.modules[''].class_name)}' that is not a StyleGAN3 generator")
    (w_dim,) = net.size("mapping.w_avg", 1)
    layers = len(net.children("mapping", r"fc(\d{1,3})"))
    _, z_and_class = net.size("mapping.fc0.weight", 2)
    embed, c_dim = net.size("mapping.embed.weight", 2) if "mapping.embed" in net.modules else (0, 0)
    if z_and_class <= embed:
        raise UnsupportedCheckpoint("a mapping without a latent z")
    resolution = _value(int, net.one(["", "synthesis"], "img_resolution", None), "img_resolution")
    found = {name: _value(type_, options[name], name) for name, type_ in _FIELDS.items() if name in options}
    try:
        config = StyleGAN3Config(
            **found,
            resolution=resolution,
            z_dim=z_and_class - embed,
            c_dim=c_dim,
            w_dim=w_dim,
            img_channels=_value(int, net.one(["", "synthesis"], "img_channels", 3), "img_channels"),
            mapping_layers=layers,
            mapping_lr_multiplier=_value(float, lr_multiplier, "lr_multiplier"),
            w_avg_beta=_value(float, net.one(["mapping"], "w_avg_beta", 0.998), "w_avg_beta"),
        )
    except ValueError as e:
        raise UnsupportedCheckpoint(f"a StyleGAN3 that cannot be built: {e}") from None
    if config.img_channels != 3:
        raise UnsupportedCheckpoint(f"a generator with img_channels {config.img_channels}; only 3 (colour) can be shown")
    _check(net, config)
    return config


def _check(net: PickledNetwork, config: StyleGAN3Config) -> None:
    """Check the config against the names of the layers and the facts that all modules recorded."""
    bands = config.bands
    names = [f"L{i}_{band.size}_{band.channels}" for i, band in enumerate(bands)]
    there = {path.removeprefix("synthesis.") for path in net.modules if path.count(".") == 1 and path.startswith("synthesis.")}
    if there != {"input", *names}:
        odd = sorted(there ^ {"input", *names})[0]
        raise UnsupportedCheckpoint(f"layers that do not follow from its settings, such as '{excerpt(odd)}'")
    for name, value in (("z_dim", config.z_dim), ("c_dim", config.c_dim), ("w_dim", config.w_dim)):
        net.agree("", name, value)
        net.agree("mapping", name, value)
    net.agree("mapping", "num_layers", config.mapping_layers)
    for name in ("num_layers", "num_critical", "margin_size", "output_scale"):
        net.agree("synthesis", name, getattr(config, name))
    _agree(net, "synthesis.input", "sampling_rate", bands[0].rate)
    _agree(net, "synthesis.input", "bandwidth", bands[0].cutoff)
    for i, name in enumerate(names):
        path, before, after = f"synthesis.{name}", bands[max(i - 1, 0)], bands[i]
        net.agree(path, "is_torgb", i == config.num_layers)
        net.agree(path, "is_critically_sampled", i >= config.num_layers - config.num_critical)
        net.agree(path, "conv_clamp", config.conv_clamp)
        for side, band in (("in", before), ("out", after)):
            _agree(net, path, f"{side}_sampling_rate", band.rate)
            _agree(net, path, f"{side}_cutoff", band.cutoff)
            _agree(net, path, f"{side}_half_width", band.half_width)


def _agree(net: PickledNetwork, path: str, name: str, value: float) -> None:
    """Like `agree`, for computed numbers."""
    recorded = net.one([path], name, value)
    if not isinstance(recorded, (int, float)) or not math.isclose(recorded, value, rel_tol=1e-6):
        raise UnsupportedCheckpoint(f"a layer with {name} {excerpt(str(recorded), 20)} instead of {value:g} ('{path}')")


def _value(type_: type, value: Any, name: str) -> Any:
    """A number of the type that the config needs; conv_clamp may be None. Raises UnsupportedCheckpoint."""
    if value is None and name == "conv_clamp":
        return None
    if value is None:
        raise UnsupportedCheckpoint(f"an odd {name}")
    if type_ is float and type(value) in (int, float) and 0 < value < 1e9:  # not so for NaN
        return float(value)
    if type_ is not float and type(value) is type_ and 0 <= value < 1 << 31:
        return value
    raise UnsupportedCheckpoint(f"an odd {name}")
