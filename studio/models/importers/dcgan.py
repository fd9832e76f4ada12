"""DCGAN generators in the layout of PyTorch's own example (netG_epoch_24.pth) -> config and tensors of our DCGAN.

Transposed convolutions of 4x4, each but the last before a BatchNorm: the first makes 4x4 pixels of z, each further one doubles
them. What the layers are called does not matter.
"""

import dataclasses
import itertools
from collections.abc import Mapping
from pathlib import Path

import torch

from studio.models.importers.imported import ImportedModel, UnsupportedCheckpoint
from studio.models.importers.layer_order import BATCHES_SEEN, Layer, LayerReader, layers_of, misfit
from studio.models.importers.wrappers import generators_among
from studio.networks.generative.dcgan import DCGANConfig

State = dict[str, torch.Tensor]


def recognises(weights: Mapping[str, torch.Tensor]) -> bool:
    """Whether these are the transposed convolutions and norms of a generator."""
    try:
        layers = layers_of(_bare(weights))
    except UnsupportedCheckpoint:
        return False
    convs = layers[::2]
    return (
        len(layers) in range(5, 16, 2)
        and all(layer.is_conv and layer.weight[2:] == (4, 4) for layer in convs)
        and all(a.weight[1] == b.weight[0] for a, b in itertools.pairwise(convs))
        and all(layer.is_norm and layer.weight == conv.weight[1:2] for layer, conv in zip(layers[1::2], convs, strict=False))
    )


def read(path: Path, weights: Mapping[str, torch.Tensor]) -> ImportedModel:
    """Weights, and where they were read -> config and tensors of the generator.  Raises UnsupportedCheckpoint."""
    weights = _bare(weights)
    layers = layers_of(weights)
    convs = layers[::2]
    config = _config(convs)
    reader = LayerReader(weights, layers)
    for resolution in config.block_resolutions:
        _take_block(reader, f"synthesis.b{resolution}", resolution, config)
    reader.tensors.check_all_used("DCGAN")
    return ImportedModel(
        family="dcgan",
        config=dataclasses.asdict(config),
        state_dict=reader.state,
        title=path.stem,
        source="state dict of a DCGAN in the layout of PyTorch's example",
    )


def _bare(weights: Mapping[str, torch.Tensor]) -> State:
    """The generator's tensors without the 'module.' or 'netG.' before all names."""
    state = dict(weights)
    for _ in range(3):
        tops = {name.partition(".")[0] for name in state}
        top = "module" if tops == {"module"} else generators_among(tops).get("A")
        if top is None:
            break
        state = {name.partition(".")[2]: tensor for name, tensor in state.items() if name.startswith(f"{top}.")}
    return state


def _config(convs: list[Layer]) -> DCGANConfig:
    """The config whose layers have these widths. Raises UnsupportedCheckpoint when there is none."""
    widths = [conv.weight[1] for conv in convs[:-1]]  # at 4, 8, ... px
    try:
        config = DCGANConfig(
            resolution=4 << (len(convs) - 1),
            z_dim=convs[0].weight[0],
            img_channels=convs[-1].weight[1],
            ngf=widths[-1],
            channel_max=widths[0],
        )
    except ValueError as e:
        raise UnsupportedCheckpoint(f"an unsupported DCGAN: {e}") from None
    if [config.channels(4 << i) for i in range(len(widths))] != widths:
        raise UnsupportedCheckpoint(
            f"a DCGAN of {', '.join(map(str, widths[:7]))} channels; known are those that halve as the size doubles"
        )
    return config


def _take_block(reader: LayerReader, ours: str, resolution: int, config: DCGANConfig) -> None:
    conv, is_last = reader.next_layer(ours), resolution == config.resolution
    weight = reader.take(conv, "weight", 4)
    bias = reader.take(conv, "bias") if "bias" in conv.shapes else torch.zeros(weight.shape[1])
    if len(bias) != weight.shape[1]:
        raise misfit(conv)
    if resolution == 4:  # from one pixel, a transposed convolution is a linear layer
        reader.state[f"{ours}.project.weight"] = weight.flatten(1).T.contiguous()
    else:
        reader.state[f"{ours}.conv.weight"] = weight
    if is_last:
        reader.state[f"{ours}.conv.bias"] = bias
        return
    norm = reader.next_layer(ours)
    parts = {part: reader.take(norm, part) for part in ("weight", "bias", "running_mean", "running_var")}
    parts["running_mean"] = parts["running_mean"] - bias  # ours has no bias before a norm
    for part, tensor in parts.items():
        if len(tensor) != len(bias):
            raise misfit(norm)
        reader.state[f"{ours}.norm.{part}"] = tensor
    reader.state[f"{ours}.norm.batches_seen"] = torch.tensor(BATCHES_SEEN)
    reader.skip_statistics(norm)
