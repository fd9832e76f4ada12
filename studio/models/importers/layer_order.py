"""Layers of a state dict in the order in which they run, told by order and shape rather than by their exact names."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch

from studio.models.importers.imported import UnsupportedCheckpoint, excerpt
from studio.models.importers.torch_weights import Tensors

_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
_PARTS = {"weight", "bias", *_STATISTICS, "filt"}
BATCHES_SEEN = 10.0  # by a BatchNorm whose statistics are settled
_MAX_DEPTH = 40  # parts of a name that are looked at; a U-Net of 9 halvings has 20
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Layer:
    """Tensors of one layer.  name: what their names begin with.  shapes: of its parts, such as 'weight' and 'running_mean'."""

    name: str
    shapes: dict[str, Shape]

    @property
    def weight(self) -> Shape:
        """Shape of its weight; () when it has none."""
        return self.shapes.get("weight", ())

    @property
    def is_conv(self) -> bool:
        """Whether it is a convolution."""
        return len(self.weight) == 4

    @property
    def is_filter(self) -> bool:
        """Whether it is a fixed filter."""
        return "filt" in self.shapes

    @property
    def is_norm(self) -> bool:
        """Whether it is a norm, with weights or with statistics alone."""
        return len(self.weight) == 1 or (not self.weight and "running_mean" in self.shapes)

    @property
    def numbers(self) -> Shape:
        """The numbers in its name: 'model.10.conv_block.5' -> (10, 5)."""
        return tuple(int(part) for part in self.name.split(".")[:_MAX_DEPTH] if _is_number(part))


def layers_of(weights: Mapping[str, torch.Tensor]) -> list[Layer]:
    """The layers, by the numbers in their names where these say the order, else in the order of the file.

    Raises UnsupportedCheckpoint for a tensor that is part of no layer known here.
    """
    found: dict[str, dict[str, Shape]] = {}
    for name, tensor in weights.items():
        layer, _, part = name.rpartition(".")
        if part not in _PARTS:
            raise UnsupportedCheckpoint(f"a tensor '{excerpt(name, 60)}', which no such network has")
        found.setdefault(layer, {})[part] = tuple(tensor.shape)
    names = sorted(found, key=_by_number) if _numbered(found) else list(found)
    return [Layer(name, found[name]) for name in names]


def _numbered(names: Iterable[str]) -> bool:
    """Whether all that differs between names are numbers, as in a sequence of layers and sequences."""
    children: dict[str, set[str]] = {}
    for name in names:
        parts = name.split(".")[:_MAX_DEPTH]
        for i, part in enumerate(parts):
            children.setdefault(".".join(parts[:i]), set()).add(part)
    return all(len(parts) == 1 or all(map(_is_number, parts)) for parts in children.values())


def _is_number(part: str) -> bool:
    return re.fullmatch(r"\d{1,4}", part) is not None


def _by_number(name: str) -> list[tuple[int, int, str]]:
    return [(0, int(part), "") if _is_number(part) else (1, 0, part) for part in name.split(".")[:_MAX_DEPTH]]


def misfit(layer: Layer) -> UnsupportedCheckpoint:
    """The refusal of a layer whose shape is another than the one that belongs there."""
    part, shape = next(iter(layer.shapes.items()))
    return UnsupportedCheckpoint(f"'{excerpt(f'{layer.name}.{part}', 60)}' of the shape {shape}, which does not fit there")


class LayerReader:
    """Takes the tensors of layer after layer, as those of a network of ours."""

    def __init__(self, weights: dict[str, torch.Tensor], layers: list[Layer]):
        self.tensors, self.left, self.state = Tensors(weights), list(layers), {}

    def next_layer(self, what: str) -> Layer:
        """The next layer.  what: the name of ours, for the refusal when there is none."""
        if not self.left:
            raise UnsupportedCheckpoint(f"no tensor '{what}.weight'")
        return self.left.pop(0)

    def take(self, layer: Layer, part: str, ndim: int = 1) -> torch.Tensor:
        """One tensor of a layer. Raises UnsupportedCheckpoint when it is missing or does not fit."""
        return self.tensors.take(f"{layer.name}.{part}", ndim)

    def skip(self, layer: Layer, *parts: str) -> None:
        """Parts of a layer that are not needed."""
        self.tensors.skip(*(f"{layer.name}.{part}" for part in parts))

    def skip_statistics(self, layer: Layer) -> None:
        """Running statistics that are not needed."""
        self.skip(layer, *_STATISTICS)
