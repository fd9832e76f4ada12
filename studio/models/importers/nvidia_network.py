"""A network in one of NVIDIA's pickles: its modules, its tensors, and the facts it states about itself."""

import math
import re
from collections.abc import Callable
from typing import Any

import torch

from studio.models.importers.imported import UnsupportedCheckpoint, excerpt
from studio.models.importers.pickle_reader import PersistentObject, StoredTensor

_MAX_MODULES = 5_000  # real networks have about 200
_MAX_PATH = 200  # characters of 'synthesis.b8.conv0'
_MISSING = object()
# Arguments of a network that it passes on to a part of it.
_PARTS = ("synthesis_kwargs", "block_kwargs", "mapping_kwargs", "epilogue_kwargs")


class PickledNetwork:
    """A recorded network: its modules by path ('' is the network itself) and its tensors by state_dict's names."""

    def __init__(self, root: PersistentObject):
        self.modules: dict[str, PersistentObject] = {}
        self.tensors: dict[str, StoredTensor] = {}
        waiting: list[tuple[str, Any]] = [("", root)]
        while waiting:
            path, record = waiting.pop()
            # A network may contain itself, or share parts without end: limits on depth and count stop both.
            if not isinstance(record, PersistentObject) or len(path) > _MAX_PATH or len(self.modules) >= _MAX_MODULES:
                raise UnsupportedCheckpoint("a network with an odd structure")
            self.modules[path] = record
            prefix = f"{path}." if path else ""
            skipped = record.state.get("_non_persistent_buffers_set")
            for part in ("_parameters", "_buffers"):
                for name, value in _members(record, part):
                    if value is None or (part == "_buffers" and isinstance(skipped, set) and name in skipped):
                        continue
                    if not isinstance(value, StoredTensor):
                        raise UnsupportedCheckpoint(f"'{prefix}{name}', which is not a tensor")
                    self.tensors[prefix + name] = value
            waiting += [(prefix + name, child) for name, child in _members(record, "_modules") if child is not None]

    def size(self, name: str, ndim: int) -> tuple[int, ...]:
        """The shape of a tensor that must be there. Raises UnsupportedCheckpoint."""
        if name not in self.tensors:
            raise UnsupportedCheckpoint(f"no tensor '{name}'")
        size = self.tensors[name].size
        if len(size) != ndim or 0 in size:
            raise UnsupportedCheckpoint(f"'{name}' of the shape {size}")
        return size

    def children(self, path: str, pattern: str) -> list[int]:
        """The numbers in the names of the modules below a path, in order: 'fc(number)' -> [0, 1, 2]."""
        full = re.compile(re.escape(f"{path}." if path else "") + pattern)
        return sorted(int(m.group(1)) for m in map(full.fullmatch, self.modules) if m)

    def fact(self, path: str, name: str) -> Any:
        """A fact that a module recorded about itself, as attribute or constructor argument, or _MISSING."""
        record = self.modules.get(path)
        if record is None:
            return _MISSING
        return record.state.get(name, record.kwargs().get(name, _MISSING))

    def one(self, paths: list[str], name: str, default: Any) -> Any:
        """A fact on which all modules that record it agree; `default` when none does. Raises UnsupportedCheckpoint."""
        values = [v for v in (self.fact(p, name) for p in paths) if v is not _MISSING]
        if not all(v is None or type(v) in (int, float, bool, str) for v in values):
            raise UnsupportedCheckpoint(f"an odd {name}")
        if any(v != values[0] for v in values):
            raise UnsupportedCheckpoint(f"layers that differ in {name}")
        return values[0] if values else default

    def agree(self, path: str, name: str, value: Any) -> None:
        """Refuse a file whose statements contradict its tensors."""
        recorded = self.one([path], name, value)
        if recorded != value:
            raise UnsupportedCheckpoint(
                f"a network with {name} {excerpt(str(recorded), 20)} instead of {value}" + (f" ('{path}')" if path else "")
            )

    def of_class(self, *names: str) -> list[str]:
        """Paths of the modules of these classes."""
        return [path for path, record in self.modules.items() if record.class_name in names]

    def build(self, file_size: int) -> dict[str, torch.Tensor]:
        """All tensors, whatever they are. Raises UnsupportedCheckpoint."""
        # Tensors may share data, so a small file could ask for a large network.
        if sum(t.nbytes for t in self.tensors.values()) > file_size:
            raise UnsupportedCheckpoint("tensors that are larger than the file")
        try:
            return {name: tensor.build() for name, tensor in self.tensors.items()}
        except RuntimeError:  # what PyTorch raises when memory is short
            raise MemoryError from None

    def load(self, expected: dict[str, tuple[int, ...]], file_size: int) -> dict[str, torch.Tensor]:
        """All tensors as float32, when they are exactly the expected ones. Raises UnsupportedCheckpoint."""
        for name in sorted(expected.keys() | self.tensors.keys()):
            if name not in self.tensors:
                raise UnsupportedCheckpoint(f"no tensor '{name}'")
            if name not in expected:
                raise UnsupportedCheckpoint(f"a tensor '{name}', which this family does not have")
            if self.tensors[name].size != expected[name]:
                raise UnsupportedCheckpoint(f"'{name}' of the shape {self.tensors[name].size} instead of {expected[name]}")
            if not self.tensors[name].storage.dtype.is_floating_point:
                raise UnsupportedCheckpoint(f"'{name}' in whole numbers")
        # Tensors may share data, so a small file could ask for a large network.
        if sum(t.nbytes for t in self.tensors.values()) > file_size:
            raise UnsupportedCheckpoint("tensors that are larger than the file")
        state = {}
        for name, tensor in self.tensors.items():
            try:
                state[name] = tensor.build().float()
            except RuntimeError:  # raised by PyTorch when memory is short
                raise MemoryError from None
            if not torch.isfinite(state[name]).all():
                raise UnsupportedCheckpoint(f"'{name}' with numbers that are not finite, as after a failed training")
        return state


def _members(record: PersistentObject, part: str) -> list[tuple[str, Any]]:
    members = record.state.get(part)
    if not isinstance(members, dict):
        raise UnsupportedCheckpoint("a network with an odd structure")
    if not all(isinstance(name, str) and re.fullmatch(r"[A-Za-z0-9_]{1,60}", name) for name in members):
        raise UnsupportedCheckpoint("a network with odd names")
    return list(members.items())


def expected_tensors(network: Callable[[Any], torch.nn.Module], config: Any) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the tensors of a network, without allocating them."""
    try:
        with torch.device("meta"):
            return {k: tuple(v.shape) for k, v in network(config).state_dict().items()}
    except (RuntimeError, ValueError, TypeError, OverflowError):
        raise UnsupportedCheckpoint("a network of impossible size") from None


def options_of(net: PickledNetwork, *paths: str, passed_on: tuple[str, ...] = ("synthesis_kwargs", "block_kwargs")) -> dict[str, Any]:
    """Constructor arguments of modules, with what they pass on to those of their parts that are named.

    A generator's mapping has arguments of the same names as its synthesis (num_layers): they may not mix.
    """
    found: dict[str, Any] = {}
    for path in paths:
        for name, value in net.modules[path].kwargs().items() if path in net.modules else ():
            if isinstance(name, str) and name.endswith("_kwargs") and isinstance(value, dict):
                found |= value if name in passed_on else {}
            else:
                found[name] = value
    return found


def check_options(net: PickledNetwork, classes: set[str], options: set[str]) -> None:
    """Refuse what would make the pictures differ from the original's."""
    for path, record in net.modules.items():
        if record.class_name not in classes:
            raise UnsupportedCheckpoint(f"a module of the class '{excerpt(record.class_name)}' ('{path}')")
        for name, value in options_of(net, path, passed_on=_PARTS).items():
            if name not in options and value is not None and value is not False:
                raise UnsupportedCheckpoint(f"the option '{excerpt(name)}' of a {record.class_name}, which is not supported")
        if record.class_name not in ("SynthesisLayer", "ToRGBLayer", "FullyConnectedLayer", "Conv2dLayer"):
            continue
        linear = path.rsplit(".", 1)[-1] in ("affine", "embed", "skip", "out", "torgb")
        activation = net.one([path], "activation", "linear" if linear else "lrelu")
        if activation != ("linear" if linear else "lrelu"):
            shown = excerpt(activation) if isinstance(activation, str) else "an odd one"
            raise UnsupportedCheckpoint(f"the activation '{shown}' in '{path}', which is not supported")
        _check_gain(net, path, "act_gain", 1 if linear else math.sqrt(2))
        rate = 1.0
        if record.class_name == "FullyConnectedLayer":
            rate = positive_number(net.one([path], "bias_gain", 1), "bias_gain")
            if rate != 1 and not re.fullmatch(r"mapping\.fc\d+", path):
                raise UnsupportedCheckpoint(f"an lr_multiplier of {rate} in '{path}', which is not supported")
        weight = net.tensors.get(f"{path}.weight")
        if weight is not None and weight.numel:
            _check_gain(net, path, "weight_gain", rate / math.sqrt(math.prod(weight.size[1:])))


def _check_gain(net: PickledNetwork, path: str, name: str, expected: float) -> None:
    recorded = net.one([path], name, expected)
    if not math.isclose(positive_number(recorded, name), expected, rel_tol=1e-3):
        raise UnsupportedCheckpoint(f"an unsupported {name} in '{path}'")


def lr_multiplier_of(net: PickledNetwork) -> Any:
    layers = [f"mapping.fc{i}" for i in net.children("mapping", r"fc(\d{1,3})")]
    recorded = net.one(["mapping"], "lr_multiplier", 0.01)
    return net.one(layers, "bias_gain", net.one(layers, "lr_multiplier", recorded))


def positive_number(value: Any, name: str) -> float:
    if type(value) not in (int, float) or not 0 < value < 1e9:  # not so for NaN
        raise UnsupportedCheckpoint(f"an odd {name}")
    return float(value)


def clamp_value(value: Any) -> float | None:
    return None if value is None else positive_number(value, "conv_clamp")
