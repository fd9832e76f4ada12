"""Scan of the pickle in a file of torch.save, before PyTorch reads it: what reading it would cost.

PyTorch's mode for weights only imports and runs nothing, but it makes what it is asked to make: a `bytearray` of 2 GB from a file of
500 bytes, a dictionary whose keys all collide, a key nested so deeply that its hash overruns the stack. So the same instructions are
run by our own machine first, with a budget, and without tensors.
"""

import io
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from studio.models.importers.imported import UnsupportedCheckpoint, excerpt
from studio.models.importers.pickle_machine import Constructor, PickleBudget, PickleMachine, Stateful, key_of

_MAX_STEPS = 2_000_000  # with the state of an optimizer a tensor takes about 100
_PARTS = 5  # pickles before the data in files of PyTorch before 1.6: magic number, protocol, system, content, names of the data


class _Unbuilt(Stateful):
    """What PyTorch would make; here nothing is."""

    def set_state(self, state: Any) -> bool:
        return True


def _key(value: Any) -> Any:
    return value if value is None or type(value) is bool or (type(value) is float and abs(value) < 2**32) else key_of(value)


def _dict(budget: PickleBudget, items: Any = ()) -> dict:
    """A dictionary, empty or of pairs, as Python 2 wrote an ordered one."""
    pairs = list(items.items()) if type(items) is dict else items
    if not isinstance(pairs, list | tuple) or not all(isinstance(p, list | tuple) and len(p) == 2 for p in pairs):
        raise UnsupportedCheckpoint("a dictionary in an odd form")
    budget.step(len(pairs))
    return {_key(key): value for key, value in pairs}


def _set(budget: PickleBudget, items: Any = ()) -> set:
    if not isinstance(items, list | tuple):
        raise UnsupportedCheckpoint("a set in an odd form")
    budget.step(len(items))
    return {_key(v) for v in items}


def _encoded(budget: PickleBudget, text: Any, encoding: Any = "") -> _Unbuilt:
    if isinstance(text, str):
        budget.allocate(2 * len(text))
    return _Unbuilt()


def _unbuilt(budget: PickleBudget, *args: Any) -> _Unbuilt:
    return _Unbuilt()


def _refuse(name: str) -> Callable[..., Any]:
    def make(budget: PickleBudget, *args: Any) -> Any:
        # A class of tensors called with numbers makes one of that size, and so does a bytearray.
        raise UnsupportedCheckpoint(f"'{excerpt(name)}', which no weights need")

    return make


_MAKERS: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": _dict,
    "collections.Counter": _dict,
    "builtins.set": _set,
    "__builtin__.set": _set,
    "_codecs.encode": _encoded,
    "builtins.complex": _unbuilt,
    "__builtin__.complex": _unbuilt,
}
# Of what PyTorch itself allows these can make something large from a number, or are of no use to a network. Everything else makes
# little, is refused by PyTorch, or was added to what it allows by whoever calls it.
_LARGE = re.compile(
    r"(builtins|__builtin__)\.bytearray|torch\.(cuda\.|sparse\.)*\w*Tensor"
    r"|torch\._utils\._rebuild_(nested_tensor|qtensor|sparse_tensor|wrapper_subclass|device_tensor_from_numpy)"
)


class _Names(dict[str, Any]):
    """A constructor for any name: which of them PyTorch imports is PyTorch's affair."""

    def __contains__(self, name: object) -> bool:
        return True

    def __missing__(self, name: str) -> Constructor:
        make = _refuse(name) if _LARGE.fullmatch(name) else _MAKERS.get(name, _unbuilt)
        self[name] = Constructor(name, make)
        return self[name]


def scan_weights(path: Path) -> None:
    """Check what reading a file of torch.save would cost: about its size in memory, seconds, a nest of small depth.

    Raises UnsupportedCheckpoint, which names what was found, and DamagedPickle. Tensors that claim more data than the file has are
    refused too.
    """
    size = path.stat().st_size
    budget = PickleBudget(size, _MAX_STEPS)
    with open(path, "rb") as file:
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                names = [e for e in archive.infolist() if e.filename.lower().rpartition("/")[2] == "data.pkl"]
                if len(names) != 1:
                    raise UnsupportedCheckpoint("no list of weights" if not names else "two lists of weights")
                content = archive.read(names[0])
            _scan(io.BytesIO(content), len(content), size, budget, 1)
        else:
            file.seek(0)
            _scan(file, size, size, budget, _PARTS)


def _scan(file: BinaryIO, length: int, size: int, budget: PickleBudget, parts: int) -> None:
    claimed: dict[Any, int] = {}

    def data(pid: Any) -> _Unbuilt:
        """('storage', its type, key, device, length, view) -> something that stands for the data."""
        if not isinstance(pid, tuple) or len(pid) < 5 or pid[0] != "storage" or type(pid[4]) is not int or pid[4] < 0:
            raise UnsupportedCheckpoint("tensor data of an unknown format")
        claimed[key_of(pid[2])] = pid[4]
        return _Unbuilt()

    machine = PickleMachine(file, length, budget, _Names(), data, _key)
    for _ in range(parts):
        machine.run()
    if sum(claimed.values()) > size:
        raise UnsupportedCheckpoint("tensors that are larger than the file")
