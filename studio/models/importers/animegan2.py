"""Weights of AnimeGANv2's generator, in the layout of its port to PyTorch -> our config and tensors.

The port's forward pass aligns the corners of what it enlarges unless it is told otherwise; so do we.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import torch

from studio.models.importers.imported import ImportedModel, UnsupportedCheckpoint
from studio.models.importers.torch_weights import Tensors
from studio.networks.translation.animegan2 import AnimeGAN2Config

State = dict[str, torch.Tensor]


def recognises(weights: Mapping[str, object]) -> bool:
    """Whether tensors of these names are those of its generator."""
    return any({f"{p}block_a.0.1.weight", f"{p}block_e.2.1.weight", f"{p}out_layer.0.weight"} <= weights.keys() for p in ("", "module."))


def read(path: Path, weights: Mapping[str, torch.Tensor]) -> ImportedModel:
    """Weights of the generator, and where they were read -> config and tensors.  Raises UnsupportedCheckpoint."""
    t, state = Tensors({name.removeprefix("module."): tensor for name, tensor in weights.items()}), {}
    for ours, theirs, layers in (("to_half", "a", 3), ("to_quarter", "b", 2), ("at_half", "d", 2), ("at_full", "e", 3)):
        for i in range(layers):
            _layer(t, state, f"G.{ours}.{i}", f"block_{theirs}.{i}.1", f"block_{theirs}.{i}.2")
    places = t.numbers(r"block_c\.(\d{1,2})\.")
    if places != list(range(len(places))) or len(places) < 3:
        raise UnsupportedCheckpoint("blocks of AnimeGANv2 that do not follow each other")
    for i in (0, places[-1]):
        _layer(t, state, f"G.style.{i}", f"block_c.{i}.1", f"block_c.{i}.2")
    for i in places[1:-1]:
        ours, theirs = f"G.style.{i}", f"block_c.{i}.layers"
        _layer(t, state, f"{ours}.widen", f"{theirs}.0.1", f"{theirs}.0.2")
        _layer(t, state, f"{ours}.each", f"{theirs}.1.1", f"{theirs}.1.2", bias=True)
        _layer(t, state, f"{ours}.narrow", f"{theirs}.2", f"{theirs}.3")
    state["G.torgb.weight"] = t.take("out_layer.0.weight", 4)
    t.check_all_used("AnimeGANv2")
    config = AnimeGAN2Config(width=len(state["G.to_half.0.conv.weight"]), blocks=len(places) - 2)
    note = "It enlarges with aligned corners, as its code does by default."
    return ImportedModel("animegan2", dataclasses.asdict(config), state, path.stem, "AnimeGANv2 weights", (note,))


def _layer(t: Tensors, state: State, ours: str, conv: str, norm: str, bias: bool = False) -> None:
    """A convolution and the normalisation behind it."""
    state[f"{ours}.conv.weight"] = t.take(f"{conv}.weight", 4)
    if bias:
        state[f"{ours}.conv.bias"] = t.take(f"{conv}.bias", 1)
    state[f"{ours}.norm.weight"], state[f"{ours}.norm.bias"] = t.take(f"{norm}.weight", 1), t.take(f"{norm}.bias", 1)
