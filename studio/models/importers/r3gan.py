"""Weights of R3GAN's generator, from its code's network pickle or a state dict -> our config and tensors.

The sizes are read off the tensors. Its code runs some stages in bfloat16; here all are computed as precisely as the rest.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import torch

from studio.models.importers.imported import ImportedModel, UnsupportedCheckpoint, config_of
from studio.models.importers.torch_weights import Tensors
from studio.networks.generative.r3gan import R3GANConfig
from studio.networks.layers import fir_filter

_PREFIXES = ("", "Model.", "module.Model.", "module.")


def recognises(weights: Mapping[str, object]) -> bool:
    """Whether tensors of these names are those of its generator."""
    return any({f"{p}MainLayers.0.Layers.0.Basis", f"{p}AggregationLayer.Layer.weight"} <= weights.keys() for p in _PREFIXES)


def read(path: Path, weights: Mapping[str, torch.Tensor]) -> ImportedModel:
    """Weights of the generator, and where they were read -> config and tensors.  Raises UnsupportedCheckpoint."""
    prefix = next(p for p in _PREFIXES if f"{p}MainLayers.0.Layers.0.Basis" in weights)
    t, state = Tensors({name.removeprefix(prefix): tensor for name, tensor in weights.items()}), {}
    basis = state["synthesis.basis"] = t.take("MainLayers.0.Layers.0.Basis", 3)
    weigh = state["synthesis.weigh.weight"] = t.take("MainLayers.0.Layers.0.LinearLayer.weight", 2)
    embed_dim = c_dim = 0
    if "EmbeddingLayer.weight" in t.all:
        state["synthesis.embed.weight"] = t.take("EmbeddingLayer.weight", 2)
        embed_dim, c_dim = state["synthesis.embed.weight"].shape
    stages = t.numbers(r"MainLayers\.(\d{1,2})\.")
    if stages != list(range(len(stages))) or not 2 <= len(stages) <= 9:
        raise UnsupportedCheckpoint(f"{len(stages)} stages instead of 2 to 9")
    widths, blocks, groups, inner = [len(basis)], [], [], set()
    for i in stages:
        ours, theirs = f"synthesis.stages.{i}", f"MainLayers.{i}.Layers"
        if i:
            _doubling(t, state, ours, f"{theirs}.0")
            widths.append(len(state[f"{ours}.change.weight"]) if f"{ours}.change.weight" in state else widths[-1])
        numbers = t.numbers(rf"MainLayers\.{i}\.Layers\.(\d{{1,2}})\.")
        if numbers != list(range(len(numbers))) or len(numbers) < 2:
            raise UnsupportedCheckpoint("residual blocks that do not follow each other")
        for k in numbers[1:]:
            block, layer = f"{ours}.blocks.{k - 1}", f"{theirs}.{k}"
            for name, number in (("widen", 1), ("conv", 2), ("narrow", 3)):
                state[f"{block}.{name}.weight"] = t.take(f"{layer}.LinearLayer{number}.Layer.weight", 4)
            for number in (0, 1):
                state[f"{block}.bias{number}"] = t.take(f"{layer}.NonLinearity{number + 1}.Bias", 1)
            conv = state[f"{block}.conv.weight"]
            inner.add((len(conv) / widths[-1], conv.shape[-1]))
        blocks.append(len(numbers) - 1)
        groups.append(max(len(conv) // conv.shape[1], 1))
    state["synthesis.torgb.weight"] = t.take("AggregationLayer.Layer.weight", 4)
    t.check_all_used("R3GAN")
    if len(state["synthesis.torgb.weight"]) != 3:
        raise UnsupportedCheckpoint("a generator of pictures that are not in colour")
    if len(inner) != 1:
        raise UnsupportedCheckpoint("residual blocks of several designs")
    ((expansion, kernel_size),) = inner
    config = config_of(
        R3GANConfig,
        resolution=4 << stages[-1],
        z_dim=weigh.shape[1] - embed_dim,
        c_dim=c_dim,
        embed_dim=embed_dim,
        widths=tuple(widths),
        blocks=tuple(blocks),
        groups=tuple(groups),
        expansion=int(expansion),
        kernel_size=kernel_size,
    )
    return ImportedModel("r3gan", dataclasses.asdict(config), state, path.stem, "R3GAN weights")


def _doubling(t: Tensors, state: dict[str, torch.Tensor], ours: str, theirs: str) -> None:
    if f"{theirs}.LinearLayer.Layer.weight" in t.all:
        state[f"{ours}.change.weight"] = t.take(f"{theirs}.LinearLayer.Layer.weight", 4)
    state[f"{ours}.resample_filter"] = fir_filter((1, 3, 3, 1))
    found = t.take(f"{theirs}.Resampler.Kernel", 2)
    if found.shape != (4, 4) or not torch.allclose(found, state[f"{ours}.resample_filter"], atol=1e-6):
        raise UnsupportedCheckpoint(f"'{theirs}.Resampler.Kernel', another filter than (1, 2, 1)")
