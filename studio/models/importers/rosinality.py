"""Checkpoints of rosinality's stylegan2-pytorch (.pt with g_ema, and g, d, latent_avg beside it) -> our StyleGAN2.

It is the paper's configuration F: skip generator, residual discriminator, filter (1, 3, 3, 1). Only names and a few shapes
differ from ours. One difference remains: it adds the epsilon of the demodulation after the weights are scaled and not before,
which is not visible in any picture.
"""

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path

import torch

from studio.models.importers.imported import ImportedModel, UnsupportedCheckpoint, config_of
from studio.models.importers.torch_weights import Tensors
from studio.networks.generative.stylegan2 import Discriminator, StyleGAN2Config
from studio.networks.generative.stylegan2 import Mapping as MappingNetwork
from studio.networks.layers import fir_filter

State = dict[str, torch.Tensor]
_MEAN_OF = 10_000  # draws, where the file has no mean of w
_LR_MULTIPLIER = 0.01  # of the mapping; a constant of that code


def recognises(weights: Mapping[str, torch.Tensor]) -> bool:
    """Whether these are weights of its generator."""
    return any(f"{prefix}style.1.weight" in weights and f"{prefix}conv1.conv.modulation.weight" in weights for prefix in ("", "module."))


def read(path: Path, weights: Mapping[str, torch.Tensor]) -> ImportedModel:
    """Weights as `torch_weights.load_tensors` gives them -> config and tensors of both networks.  Raises UnsupportedCheckpoint."""
    # A training on several cards saves its networks within wrappers.
    weights = {re.sub(r"^(d\.)?module\.", r"\1", name): tensor for name, tensor in weights.items()}
    own = {k: v for k, v in weights.items() if not k.startswith("d.")}
    t, notes = Tensors(own), []
    config, state = _generator(t, notes)
    t.check_all_used("StyleGAN2")
    state["mapping.w_avg"] = _mean(own, config, state, notes)
    discriminator = None
    if len(own) < len(weights):
        try:
            discriminator = _discriminator(Tensors({k[2:]: v for k, v in weights.items() if k.startswith("d.")}), config)
        except UnsupportedCheckpoint as e:  # it is only needed for further training
            notes.append(f"Its discriminator was left out: it holds {e}.")
    return ImportedModel(
        "stylegan2",
        dataclasses.asdict(config),
        state,
        path.stem,
        "checkpoint of rosinality's stylegan2-pytorch",
        tuple(notes),
        discriminator,
    )


def _generator(t: Tensors, notes: list[str]) -> tuple[StyleGAN2Config, State]:
    state: State = {"synthesis.b4.const": t.take("input.input", 4)[0]}
    t.skip("latent_avg")
    layers = t.numbers(r"style\.(\d{1,3})\.weight")
    if layers != list(range(1, len(layers) + 1)):
        raise UnsupportedCheckpoint("a mapping whose layers do not follow each other")
    for i in layers:
        state[f"mapping.fc{i - 1}.weight"], state[f"mapping.fc{i - 1}.bias"] = t.take(f"style.{i}.weight", 2), t.take(f"style.{i}.bias", 1)
    convs = t.numbers(r"convs\.(\d{1,2})\.")
    if convs != list(range(len(convs))) or len(convs) % 2 or not 2 <= len(convs) <= 18:
        raise UnsupportedCheckpoint(f"{len(convs)} convolutions instead of 2 to 18")
    resolutions = [4 * 2**i for i in range(len(convs) // 2 + 1)]
    noise = torch.Generator().manual_seed(0)
    if "noises.noise_0" not in t.all:
        notes.append("It has no noise of its own; noise drawn here stands in for it.")

    def conv(ours: str, theirs: str, number: int, resolution: int) -> int:
        _modulated(t, state, ours, theirs)
        state[f"{ours}.bias"] = t.take(f"{theirs}.activate.bias", 1)
        state[f"{ours}.noise_strength"] = t.take(f"{theirs}.noise.weight", 1)[0]
        name = f"noises.noise_{number}"
        drawn = torch.randn(resolution, resolution, generator=noise)
        state[f"{ours}.noise_const"] = t.take(name, 4)[0, 0] if name in t.all else drawn
        state[f"{ours}.resample_filter"] = fir_filter((1, 3, 3, 1))
        return len(state[f"{ours}.bias"])

    widths = {4: conv("synthesis.b4.conv1", "conv1", 0, 4)}
    _rgb(t, state, "synthesis.b4.torgb", "to_rgb1")
    for i, r in enumerate(resolutions[1:]):
        conv(f"synthesis.b{r}.conv0", f"convs.{2 * i}", 2 * i + 1, r)
        _check_filter(t, f"convs.{2 * i}.conv.blur.kernel", 4)
        widths[r] = conv(f"synthesis.b{r}.conv1", f"convs.{2 * i + 1}", 2 * i + 2, r)
        _rgb(t, state, f"synthesis.b{r}.torgb", f"to_rgbs.{i}")
        _check_filter(t, f"to_rgbs.{i}.upsample.kernel", 4)
    for r in resolutions:
        state[f"synthesis.b{r}.resample_filter"] = fir_filter((1, 3, 3, 1))
    w_dim, z_dim = state["mapping.fc0.weight"].shape
    base, most = _channel_rule(widths)
    config = config_of(
        StyleGAN2Config,
        resolution=resolutions[-1],
        z_dim=z_dim,
        w_dim=w_dim,
        channel_base=base,
        channel_max=most,
        mapping_layers=len(layers),
        mapping_lr_multiplier=_LR_MULTIPLIER,
    )
    return config, state


def _modulated(t: Tensors, state: State, ours: str, theirs: str) -> None:
    state[f"{ours}.weight"] = t.take(f"{theirs}.conv.weight", 5)[0]
    state[f"{ours}.affine.weight"] = t.take(f"{theirs}.conv.modulation.weight", 2)
    state[f"{ours}.affine.bias"] = t.take(f"{theirs}.conv.modulation.bias", 1)


def _rgb(t: Tensors, state: State, ours: str, theirs: str) -> None:
    _modulated(t, state, ours, theirs)
    state[f"{ours}.bias"] = t.take(f"{theirs}.bias", 4).flatten()
    if len(state[f"{ours}.bias"]) != 3:
        raise UnsupportedCheckpoint("a generator of pictures that are not in colour")


def _check_filter(t: Tensors, name: str, gain: float) -> None:
    """The filter stored with a layer must be ours."""
    if name in t.all:
        found, expected = t.take(name, 2), fir_filter((1, 3, 3, 1)) * gain
        if found.shape != expected.shape or not torch.allclose(found, expected, atol=1e-5):
            raise UnsupportedCheckpoint(f"'{name}', a filter other than (1, 3, 3, 1)")


def _channel_rule(widths: dict[int, int]) -> tuple[int, int]:
    """channel_base and channel_max: the widths are min(base // r, max), base a multiple of 16384 there."""
    most = max(widths.values())
    base = max((r * w for r, w in widths.items() if w < most), default=max(widths) * most)
    if any(min(base // r, most) != w for r, w in widths.items()):
        raise UnsupportedCheckpoint("channels that do not follow StyleGAN2's rule")
    return base, most


def _mean(weights: Mapping[str, torch.Tensor], config: StyleGAN2Config, state: State, notes: list[str]) -> torch.Tensor:
    """The mean of w, (w_dim,): from the file, or measured."""
    kept = weights.get("latent_avg")
    if kept is not None and kept.numel() == config.w_dim and torch.isfinite(kept).all():
        return kept.float().flatten().clone()
    notes.append(f"It has no mean of w; it was measured over {_MEAN_OF:,} draws.")
    mapping = MappingNetwork(config.z_dim, 0, config.w_dim, None, config.mapping_layers, lr_multiplier=_LR_MULTIPLIER)
    named = {k.removeprefix("mapping."): v for k, v in state.items() if k.startswith("mapping.fc")}
    if {k: v.shape for k, v in mapping.state_dict().items()} != {k: v.shape for k, v in named.items()}:
        raise UnsupportedCheckpoint("a mapping whose layers do not fit together")
    mapping.load_state_dict(named)
    with torch.no_grad():
        return mapping(torch.randn(_MEAN_OF, config.z_dim, generator=torch.Generator().manual_seed(0))).mean(dim=0)


def _discriminator(t: Tensors, config: StyleGAN2Config) -> State:
    """Weights of its discriminator under our names.  Raises UnsupportedCheckpoint when it does not fit the generator's config."""
    state: State = {}
    top = config.resolution

    def layer(ours: str, theirs: str, place: int, ndim: int = 4, bias: bool = True, separate: bool = True) -> None:
        """A convolution at `place` of a sequence, with its bias in the activation after it; a linear layer has its own."""
        state[f"{ours}.weight"] = t.take(f"{theirs}.{place}.weight", ndim)
        if bias:
            state[f"{ours}.bias"] = t.take(f"{theirs}.{place + separate}.bias", 1)

    layer(f"b{top}.fromrgb", "convs.0", 0)
    for i, r in enumerate(reversed(config.block_resolutions[1:]), 1):
        layer(f"b{r}.conv0", f"convs.{i}.conv1", 0)
        layer(f"b{r}.conv1", f"convs.{i}.conv2", 1)
        layer(f"b{r}.skip", f"convs.{i}.skip", 1, bias=False)
        _check_filter(t, f"convs.{i}.conv2.0.kernel", 1)
        _check_filter(t, f"convs.{i}.skip.0.kernel", 1)
    layer("b4.conv", "final_conv", 0)
    layer("b4.fc", "final_linear", 0, ndim=2, separate=False)
    layer("b4.out", "final_linear", 1, ndim=2, separate=False)
    t.check_all_used("StyleGAN2")
    return _with_filters(state, config)


def _with_filters(state: State, config: StyleGAN2Config) -> State:
    """The state with the filters that our discriminator stores, if everything else matches exactly.  Raises UnsupportedCheckpoint."""
    with torch.device("meta"):
        expected = {k: tuple(v.shape) for k, v in Discriminator(config).state_dict().items()}
    state |= {k: fir_filter((1, 3, 3, 1)) for k in expected if k.endswith("resample_filter")}
    for name, shape in expected.items():
        if name not in state or tuple(state[name].shape) != shape:
            raise UnsupportedCheckpoint(f"no '{name}' of the shape {shape}")
    return state
