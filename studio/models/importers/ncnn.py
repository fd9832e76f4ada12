"""Upscalers in ncnn's two files -> our config and tensors: the graph as text (.param), and the weights beside it (.bin).

Only the graphs of ESRGAN and of Real-ESRGAN's compact network are known. The file's graph and ours are reduced to the same
few operations and compared from the end to the beginning: anything but the very same network is refused.
"""

import dataclasses
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from studio.errors import StudioError
from studio.models.importers.imported import ImportedModel, UnsupportedCheckpoint, excerpt
from studio.models.importers.torch_weights import studio_errors
from studio.models.importers.upscalers import rrdb, srvgg

MAGIC = b"7767517"
_HINT = "Of ncnn's models, ESRGAN, Real-ESRGAN and its compact network can be imported, in float32 or float16."
_MAX_TEXT = 8 << 20  # bytes of the graph; known graphs have about 100,000
_MAX_LAYERS = 20_000
_MAX_VALUES = 64  # of an array in a line
_FLOAT16, _FLOAT32 = 0x01306B47, 0  # tags before the weights of a convolution
_QUANTISED = {0x000D4B38: "whole numbers of 8 bits", 0x0002C056: "another order than that of this graph"}


@dataclass(frozen=True, eq=False)
class Node:
    """One operation of a graph.

    op: 'input', 'conv', 'prelu', 'leaky', 'concat', 'add', 'scale', 'repeat' (pixels), 'shrink', 'shuffle'.
    facts: numbers that belong to it.  name: of the layer, to find its weights by; not compared.
    depth: operations from the input to here.
    """

    op: str
    inputs: tuple["Node", ...] = ()
    facts: tuple[float, ...] = ()
    name: str = ""
    depth: int = field(init=False)

    def __post_init__(self):
        object.__setattr__(self, "depth", 1 + max((n.depth for n in self.inputs), default=0))


def weights_beside(path: Path, head: bytes) -> bool:
    """Whether a file that begins like this may be ncnn's weights: its graph is beside it."""
    if path.suffix == ".param" or int.from_bytes(head[:4], "little") not in (_FLOAT16, _FLOAT32, *_QUANTISED):
        return False
    graph = path.with_suffix(".param")
    try:
        with open(graph, "rb") as f:
            return f.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def read(path: Path) -> ImportedModel:
    """path: the graph, or the weights with the graph beside them.  Raises StudioError.

    Costs no more memory than a few times the size of both files.
    """
    graph_file, weights_file = path.with_suffix(".param"), path.with_suffix(".bin")
    with open(path, "rb") as f:
        if f.read(len(MAGIC)) == MAGIC:  # whatever its name
            graph_file = path
    if not weights_file.is_file() or weights_file == graph_file:
        raise StudioError(f"There is no {weights_file.name} beside {graph_file.name}.", "An ncnn model is two files; keep them together.")
    with studio_errors(path, _HINT):
        if graph_file.stat().st_size > _MAX_TEXT:
            raise UnsupportedCheckpoint("a graph of absurd length")
        layers = _layers(graph_file.read_bytes())
        end = _graph(layers)
        return _imported(end, _weights(layers, weights_file), graph_file)


# -- the graph as the file has it ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Layer:
    """A line: its operation, blobs, and numbers by key (arrays have keys of their own below -23300)."""

    op: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    numbers: dict[int, tuple[float, ...]]

    def get(self, key: int, default: float = 0) -> float:
        return self.numbers.get(key, (default,))[0]

    def whole(self, key: int, default: int = 0) -> int:
        return int(self.get(key, default))


def _layers(text: bytes) -> list[_Layer]:
    """The lines of a graph. Raises UnsupportedCheckpoint for anything else."""
    try:
        lines = [line.split() for line in text.decode("utf-8").splitlines() if line.strip()]
        counts = [int(n) for n in lines[1]]
        if lines[0] != [MAGIC.decode()] or len(counts) != 2 or counts[0] != len(lines) - 2:
            raise UnsupportedCheckpoint("a graph whose number of lines is not the stated one: it is cut short or damaged")
        if counts[0] > _MAX_LAYERS:
            raise UnsupportedCheckpoint(f"a graph of {counts[0]:,} layers")
        return [_layer(words) for words in lines[2:]]
    except (UnicodeDecodeError, ValueError, IndexError, OverflowError):
        raise UnsupportedCheckpoint("a graph that is damaged") from None


def _layer(words: Sequence[str]) -> _Layer:
    op, name, inputs, outputs = words[0], words[1], int(words[2]), int(words[3])
    blobs = words[4 : 4 + inputs + outputs]
    if min(inputs, outputs) < 0 or len(blobs) != inputs + outputs:
        raise UnsupportedCheckpoint(f"a line '{excerpt(name, 40)}' that is damaged")
    numbers = {}
    for word in words[4 + inputs + outputs :]:
        key, _, value = word.partition("=")
        values = value.split(",")
        if int(key) <= -23300:  # an array, whose length comes first
            key, values = -23300 - int(key), values[1:]
        numbers[int(key)] = tuple(float(v) for v in values[:_MAX_VALUES])
        if not all(map(math.isfinite, numbers[int(key)])) or not numbers[int(key)]:
            raise UnsupportedCheckpoint(f"a line '{excerpt(name, 40)}' that is damaged")
    return _Layer(op, name, tuple(blobs[:inputs]), tuple(blobs[inputs:]), numbers)


# -- the weights, in the order of the layers -------------------------------------------------------------------------------


def _weights(layers: Sequence[_Layer], file: Path) -> dict[str, tuple[torch.Tensor, ...]]:
    """Layer name -> (weight, bias) of a convolution or (slopes,) of a PReLU, float32. Raises UnsupportedCheckpoint."""
    left, out = file.stat().st_size, {}
    with open(file, "rb") as f:

        def take(count: int, width: int) -> np.ndarray:
            nonlocal left
            nbytes = -(-count * width // 4) * 4  # in steps of 4 bytes
            if count < 1 or nbytes > left:
                raise UnsupportedCheckpoint(
                    f"a graph that asks for more weights than {file.name} has: it is cut short, or belongs to another model"
                )
            left -= nbytes
            data = f.read(nbytes)
            if len(data) != nbytes:
                raise UnsupportedCheckpoint(f"a {file.name} that is cut short")
            values = np.frombuffer(data, "<f2" if width == 2 else "<f4", count).astype(np.float32)
            if not np.isfinite(values).all():
                raise UnsupportedCheckpoint(f"a {file.name} with numbers that are not finite, as those of another model")
            return values

        for layer in layers:
            if layer.name in out:
                raise UnsupportedCheckpoint(f"two layers called '{excerpt(layer.name, 40)}'")
            if layer.op == "PReLU":
                out[layer.name] = (torch.from_numpy(take(layer.whole(0), 4)),)
            elif layer.op == "Convolution":
                tag = int(take(1, 4).view("<u4")[0])
                out[layer.name] = _kernels(layer, take(layer.whole(6), _width(tag))), torch.from_numpy(take(layer.whole(0), 4))
    if left:
        raise UnsupportedCheckpoint(f"a graph that leaves {left:,} bytes of {file.name} unread: they are not of one model")
    return out


def _width(tag: int) -> int:
    """Bytes of a number, from the tag before the weights."""
    if tag not in (_FLOAT16, _FLOAT32):
        raise UnsupportedCheckpoint(
            f"weights in {_QUANTISED.get(tag, 'a table of 256 values')}, which are quantised: choose a file in float16 or float32"
        )
    return 2 if tag == _FLOAT16 else 4


def _kernels(layer: _Layer, values: np.ndarray) -> torch.Tensor:
    """(out, in, 3, 3)"""
    out = layer.whole(0)
    if out < 1 or len(values) % (9 * out):
        raise UnsupportedCheckpoint(f"a convolution '{excerpt(layer.name, 40)}' whose numbers do not fit it")
    return torch.from_numpy(values).reshape(out, -1, 3, 3)


# -- the graph in our few operations ---------------------------------------------------------------------------------------


def _graph(layers: Sequence[_Layer]) -> Node:
    """The node of the output. Raises UnsupportedCheckpoint for an operation that is in no known network."""
    blobs: dict[str, Node] = {}
    used: set[str] = set()
    for layer in layers:
        if any(blob not in blobs for blob in layer.inputs) or any(blob in blobs for blob in layer.outputs):
            raise UnsupportedCheckpoint(f"a line '{excerpt(layer.name, 40)}' that does not fit those before it")
        used.update(layer.inputs)
        node = _node(layer, tuple(blobs[blob] for blob in layer.inputs))
        blobs.update((blob, node) for blob in layer.outputs)
    ends = {id(blobs[blob]): blobs[blob] for blob in blobs if blob not in used}
    if len(ends) != 1:
        raise UnsupportedCheckpoint(f"a graph with {len(ends)} outcomes")
    return ends.popitem()[1]


def _node(layer: _Layer, inputs: tuple[Node, ...]) -> Node:
    unknown = UnsupportedCheckpoint(f"a layer {excerpt(layer.op, 30)} '{excerpt(layer.name, 40)}', used in a way that is not supported")
    counts = {"Input": 0, "Concat": len(inputs), "Eltwise": 2, "BinaryOp": 1 if layer.whole(1) else 2}
    if len(inputs) != counts.get(layer.op, 1) or not layer.outputs or (len(layer.outputs) > 1 and layer.op != "Split"):
        raise unknown
    if layer.op == "Input":
        return Node("input")
    if layer.op in ("Split", "Noop"):
        return inputs[0]
    if layer.op == "Convolution":
        return _convolution(layer, inputs, unknown)
    if layer.op == "PReLU":
        return Node("prelu", inputs, name=layer.name)
    if layer.op == "ReLU":
        return Node("leaky", inputs, (layer.get(0),))
    if layer.op == "Concat" and layer.whole(0) == 0:
        return Node("concat", inputs)
    if layer.op == "Eltwise" and layer.whole(0) == 1:
        return _sum(*(_times(node, share) for node, share in zip(inputs, layer.numbers.get(1, (1.0, 1.0)), strict=False)))
    if layer.op == "BinaryOp" and layer.whole(0) == 0 and not layer.whole(1):
        return _sum(*inputs)
    if layer.op == "BinaryOp" and layer.whole(0) == 2 and layer.whole(1):
        return _times(inputs[0], layer.get(2))
    square = layer.get(1, 1) == layer.get(2, 1) and not any(layer.get(k) for k in (3, 4, 5, 6))
    if layer.op == "Interp" and square and layer.whole(0) in (1, 3):
        return Node("repeat" if layer.whole(0) == 1 else "shrink", inputs, (layer.get(1, 1),))
    if layer.op == "PixelShuffle" and not layer.whole(1):
        return Node("shuffle", inputs, (layer.whole(0, 1),))
    raise unknown


def _convolution(layer: _Layer, inputs: tuple[Node, ...], unknown: UnsupportedCheckpoint) -> Node:
    """3x3, same size, with bias; an activation within it becomes an operation of its own."""
    expected = {
        1: 3,
        2: 1,
        3: 1,
        4: 1,
        5: 1,
        8: 0,
        18: 0,
        19: 0,
    }  # kernel, dilation, stride, border, bias, whole numbers, its value, dynamic
    same = {11: 1, 12: 2, 13: 3, 14: 4, 15: 4, 16: 4}  # the same for the height and the other sides, if given
    default = {2: 1, 3: 1}
    if any(layer.get(key, default.get(key, 0)) != value for key, value in expected.items()):
        raise unknown
    if any(layer.get(key, expected[of]) != expected[of] for key, of in same.items()):
        raise unknown
    node = Node("conv", inputs, name=layer.name)
    if layer.whole(9) == 0:
        return node
    if layer.whole(9) in (1, 2):  # ReLU, LeakyReLU
        return Node("leaky", (node,), (layer.get(10) if layer.whole(9) == 2 else 0.0,))
    raise unknown


def _times(node: Node, share: float) -> Node:
    return node if share == 1 else Node("scale", (node,), (share,))


def _sum(a: Node, b: Node) -> Node:
    """The term nearer to the input comes first: the order in the file does not matter to a sum."""
    return Node("add", tuple(sorted((a, b), key=lambda n: n.depth)))


# -- the known graphs in the same operations -----------------------------------------------------------


def _esrgan(blocks: int, doublings: int) -> Node:
    """Layers have the names that they have in networks/rrdb.py."""

    def conv(name: str, x: Node) -> Node:
        return Node("conv", (x,), name=name)

    def leaky(x: Node) -> Node:
        return Node("leaky", (x,), (0.2,))

    first = x = conv("conv_first", Node("input"))
    for i in range(blocks):
        before = x
        for j in (1, 2, 3):
            seen = [x]
            for k in (1, 2, 3, 4):
                layer = f"body.{i}.rdb{j}.conv{k}"
                seen.append(leaky(conv(layer, Node("concat", tuple(seen)) if k > 1 else x)))
            x = _sum(_times(conv(f"body.{i}.rdb{j}.conv5", Node("concat", tuple(seen))), 0.2), x)
        x = _sum(_times(x, 0.2), before)
    x = _sum(first, conv("conv_body", x))
    for i in range(doublings):
        x = leaky(conv(f"conv_up{i + 1}", Node("repeat", (x,), (2.0,))))
    return conv("conv_last", leaky(conv("conv_hr", x)))


def _compact(convs: int, act: str, drawn: int, share: float) -> Node:
    """Layers have the names that they have in networks/srvgg.py.  share: of the drawn size that remains at the end."""
    start = x = Node("input")
    for i in range(convs + 1):
        x = Node("conv", (x,), name=f"body.{2 * i}")
        slope = {"relu": (0.0,), "leakyrelu": (0.1,)}.get(act)
        x = Node("prelu", (x,), name=f"body.{2 * i + 1}") if slope is None else Node("leaky", (x,), slope)
    x = Node("shuffle", (Node("conv", (x,), name=f"body.{2 * convs + 2}"),), (drawn,))
    x = _sum(x, Node("repeat", (start,), (float(drawn),)))
    return x if share == 1 else Node("shrink", (x,), (share,))


def _matched(theirs: Node, ours: Node) -> dict[str, str] | None:
    """Our layer names -> theirs, when both graphs are the same; None otherwise."""
    pairs, names, waiting = {}, {}, [(theirs, ours)]
    while waiting:
        a, b = waiting.pop()
        if id(b) in pairs:  # reached another way, which must lead to the same place
            if pairs[id(b)] is not a:
                return None
            continue
        pairs[id(b)] = a
        same = a.op == b.op and len(a.inputs) == len(b.inputs) and len(a.facts) == len(b.facts)
        if not same or any(not math.isclose(x, y, rel_tol=1e-4) for x, y in zip(a.facts, b.facts, strict=True)):
            return None
        if b.name:
            names[b.name] = a.name
        waiting += zip(a.inputs, b.inputs, strict=True)
    return names


def _nodes(end: Node) -> list[Node]:
    seen, waiting = {}, [end]
    while waiting:
        node = waiting.pop()
        if id(node) not in seen:
            seen[id(node)] = node
            waiting += node.inputs
    return list(seen.values())


def _imported(end: Node, weights: dict[str, tuple[torch.Tensor, ...]], path: Path) -> ImportedModel:
    """The model of a graph. Raises UnsupportedCheckpoint when its network is unknown."""
    nodes = _nodes(end)
    ops = [n.op for n in nodes]
    convs, repeats = ops.count("conv"), ops.count("repeat")
    if "shuffle" in ops:
        drawn = next(int(n.facts[0]) for n in nodes if n.op == "shuffle")
        share = next((n.facts[0] for n in nodes if n.op == "shrink"), 1.0)
        slopes = {n.facts[0] for n in nodes if n.op == "leaky"}
        act = "prelu" if "prelu" in ops else "relu" if slopes == {0.0} else "leakyrelu"
        names = _matched(end, _compact(convs - 2, act, drawn, share)) if convs >= 2 else None
    else:
        blocks = (convs - 4 - repeats) // 15
        names = _matched(end, _esrgan(blocks, repeats)) if blocks >= 1 and repeats <= 3 else None
    if names is None:
        raise UnsupportedCheckpoint("an ncnn graph of an unknown network")
    tensors = {}
    for ours, theirs in names.items():
        tensors |= {f"{ours}.{part}": value for part, value in zip(("weight", "bias"), weights[theirs], strict=False)}
    if "shuffle" in ops:
        config, state = srvgg(tensors, act)
        if config.scale != drawn:
            raise UnsupportedCheckpoint("a compact network whose last layer does not fit the size of its pictures")
        if share != 1:
            config = _shrunk(config, drawn, share)
    else:
        config, state = rrdb(tensors)
    half = all(torch.equal(t, t.half().float()) for t in state.values() if t.ndim > 1)
    return ImportedModel(
        "srvgg" if "shuffle" in ops else "rrdb",
        dataclasses.asdict(config),
        state,
        title=re.sub(r"\.ncnn$", "", path.stem),
        source="ncnn's .param and .bin",
        dtype="float16" if half else "float32",
    )


def _shrunk(config, drawn: int, share: float):
    """The compact network that draws larger than its result."""
    scale = round(drawn * share)
    if not math.isclose(scale, drawn * share, rel_tol=1e-4):
        raise UnsupportedCheckpoint(f"a network that makes pictures {drawn * share:.3f} times larger, which is not a whole number")
    try:
        return dataclasses.replace(config, scale=scale, drawn_scale=drawn)
    except ValueError as e:
        raise UnsupportedCheckpoint(f"an unsupported architecture: {e}") from None
