"""Reader of network pickles: tensors, numbers, text, lists and dicts, and objects as the state they held.

Nothing of the file is imported or run (see pickle_machine). A name in it may only stand for one of the few
constructors here, each of which checks its arguments.
"""

import io
import math
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from studio.models.importers.imported import UnsupportedCheckpoint, excerpt
from studio.models.importers.pickle_machine import Constructor, DamagedPickle, PickleBudget, PickleMachine, Stateful, key_of

_TORCH_MAGIC = 0x1950A86A20F9469CFC6C  # first number of PyTorch's files before version 1.6
_TORCH_PROTOCOL = 1001


# -- what a pickle becomes --------------------------------------------------------------------------------------------


@dataclass(eq=False, repr=False)
class PersistentObject:
    """An object whose class the file describes in source text: the name of the class and what the object held."""

    class_name: str
    state: dict

    def kwargs(self) -> dict:
        """The keyword arguments it was made with, as far as they are recorded."""
        value = self.state.get("_init_kwargs")
        return value if isinstance(value, dict) else {}


@dataclass(eq=False, repr=False)
class NamedObject(PersistentObject, Stateful):
    """An object whose class the file only names; what it held comes after it was made."""

    def set_state(self, state: Any) -> bool:
        """state: its attributes."""
        if not isinstance(state, dict) or self.state:
            return False
        self.state = state
        return True


@dataclass(eq=False, repr=False)
class Storage:
    """The numbers of one or more tensors, left as bytes of the file until they are needed."""

    data: bytes
    dtype: torch.dtype
    numel: int
    _values: torch.Tensor | None = None

    def values(self) -> torch.Tensor:
        """All numbers, (numel,). Raises UnsupportedCheckpoint when PyTorch's weights-only reader rejects the bytes."""
        if self._values is None:
            try:
                loaded = torch.load(io.BytesIO(self.data), map_location="cpu", weights_only=True)
                memory = loaded._untyped_storage
            except Exception as e:  # PyTorch raises many exceptions for bytes that are not what they should be
                raise UnsupportedCheckpoint(f"tensor data that PyTorch does not accept ({type(e).__name__})") from None
            if loaded.dtype != self.dtype or memory.nbytes() != self.numel * self.dtype.itemsize:
                raise UnsupportedCheckpoint("tensor data that are not what they claim to be")
            values = torch.empty(0, dtype=self.dtype).set_(memory, 0, (self.numel,))  # pyright: ignore[reportCallIssue, reportArgumentType] - its stub has no storage
            self._values, self.data = values, b""
            return values
        return self._values


@dataclass(eq=False, repr=False)
class StoredTensor:
    """A tensor, described and known to lie within its storage, not built yet."""

    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    @property
    def numel(self) -> int:
        """How many numbers it has."""
        return math.prod(self.size)

    @property
    def nbytes(self) -> int:
        """Bytes of its numbers as the file keeps them."""
        return self.numel * self.storage.dtype.itemsize

    def build(self) -> torch.Tensor:
        """The tensor, contiguous, in memory of its own."""
        values = self.storage.values()
        return torch.as_strided(values, self.size, self.stride, self.offset).clone(memory_format=torch.contiguous_format)


@dataclass(eq=False, repr=False)
class Array(Stateful):
    """A numpy array; its content is set after it is made."""

    value: np.ndarray | None = None

    def set_state(self, state: Any) -> bool:
        """state: (version, shape, type, whether the order is Fortran's, bytes)."""
        if not isinstance(state, tuple) or len(state) != 5:
            return False
        _version, shape, array_type, fortran, data = state
        self.value = _numpy_filled(data, array_type, shape, bool(fortran))
        return True


@dataclass(eq=False, repr=False)
class _ArrayType(Stateful):
    """A numpy dtype of plain numbers."""

    code: str
    order: str = "<"

    def dtype(self) -> np.dtype:
        return np.dtype(self.order + self.code)

    def set_state(self, state: Any) -> bool:
        """state: (version, byte order, ...)."""
        if not isinstance(state, tuple) or len(state) < 2:
            return False
        self.order = ">" if state[1] == ">" else "<"
        return True


# -- the constructors; each checks its arguments, for the file chooses them ---------------------------------------------


def _record(budget: PickleBudget, meta: Any, *_unused) -> PersistentObject:
    if not isinstance(meta, dict) or meta.get("type") != "class" or not isinstance(meta.get("state"), dict):
        raise UnsupportedCheckpoint("a persistent object of an unknown kind")
    if not isinstance(meta.get("class_name"), str):
        raise UnsupportedCheckpoint("a persistent object without a class")
    # The source text of the class stays behind here, unread.
    return PersistentObject(meta["class_name"], meta["state"])


def _dimensions(values: Any) -> tuple[int, ...]:
    if not isinstance(values, (tuple, list)) or len(values) > 8:
        raise UnsupportedCheckpoint("a tensor with an absurd shape")
    if not all(type(v) is int and 0 <= v < 1 << 40 for v in values):
        raise UnsupportedCheckpoint("a tensor with an absurd shape")
    return tuple(values)


def _tensor(budget: PickleBudget, storage: Any, offset: Any, size: Any, stride: Any, *_flags_and_hooks) -> StoredTensor:
    if not isinstance(storage, Storage):
        raise UnsupportedCheckpoint("a tensor without data")
    (offset,), size, stride = _dimensions((offset,)), _dimensions(size), _dimensions(stride)
    if len(size) != len(stride):
        raise UnsupportedCheckpoint("a tensor with an absurd shape")
    count = math.prod(size)
    last = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True)) if count else 0
    # The second test refuses strides of 0, which would turn a single number into a giant tensor.
    if count and (last >= storage.numel or count > storage.numel):
        raise UnsupportedCheckpoint("a tensor that reaches beyond its data")
    return StoredTensor(storage, offset, size, stride)


def _parameter(budget: PickleBudget, data: Any, *_flags_and_hooks) -> StoredTensor:
    if not isinstance(data, StoredTensor):
        raise UnsupportedCheckpoint("a parameter that is not a tensor")
    return data


def _storage(budget: PickleBudget, data: Any) -> Storage:
    """Check that the bytes have the frame of PyTorch's older format, without reading the numbers in it.

    Zip files, PyTorch's newer format, are refused: no network pickle contains them, and they may be compressed.
    """
    if not isinstance(data, bytes):
        raise UnsupportedCheckpoint("tensor data that are not bytes")
    if not data.startswith(b"\x80\x02"):
        raise UnsupportedCheckpoint("tensor data of an unknown format")
    file = io.BytesIO(data)
    machine = PickleMachine(file, len(data), budget, _STORAGE_NAMES, _storage_id)
    try:
        magic, protocol, system = machine.run(), machine.run(), machine.run()
        if magic != _TORCH_MAGIC or protocol != _TORCH_PROTOCOL or not isinstance(system, dict):
            raise UnsupportedCheckpoint("tensor data of an unknown format")
        storage, keys = machine.run(), machine.run()
        (numel,) = struct.unpack("<q", machine.read(8))
    except DamagedPickle:
        raise UnsupportedCheckpoint("tensor data of an unknown format") from None
    if not isinstance(storage, tuple) or not isinstance(keys, list) or keys != [storage[0]]:
        raise UnsupportedCheckpoint("tensor data of an unknown format")
    if system.get("little_endian") is not True:
        raise UnsupportedCheckpoint("tensor data of a big-endian machine")
    _, dtype, claimed = storage
    if numel != claimed or machine.left != numel * dtype.itemsize:
        raise UnsupportedCheckpoint("tensor data that are not as long as they claim")
    return Storage(data, dtype, numel)


def _storage_id(pid: Any) -> tuple[str, torch.dtype, int]:
    """('storage', its type, key, device, length, view) -> (key, dtype, length)."""
    if not isinstance(pid, tuple) or len(pid) != 6 or pid[0] != "storage" or pid[5] is not None:
        raise UnsupportedCheckpoint("tensor data of an unknown format")
    _, dtype, key, device, numel, _ = pid
    if not isinstance(dtype, torch.dtype) or not isinstance(key, str) or not isinstance(device, str):
        raise UnsupportedCheckpoint("tensor data of an unknown format")
    return key, dtype, _dimensions((numel,))[0]


def _numpy_dtype(budget: PickleBudget, name: Any, *_align_and_copy) -> _ArrayType:
    if not isinstance(name, str) or name.lstrip("<>|=") not in _NUMPY_DTYPES:
        raise UnsupportedCheckpoint(f"a numpy array of the kind '{excerpt(name, 20)}'")
    return _ArrayType(name.lstrip("<>|="), ">" if name.startswith(">") else "<")


def _numpy_scalar(budget: PickleBudget, array_type: Any, data: Any = b"") -> int | float | bool:
    if not isinstance(array_type, _ArrayType) or not isinstance(data, bytes) or len(data) != array_type.dtype().itemsize:
        raise UnsupportedCheckpoint("a damaged numpy number")
    return np.frombuffer(data, array_type.dtype())[0].item()


def _numpy_empty(budget: PickleBudget, *_unused) -> Array:
    return Array()


def _numpy_filled(data: Any, array_type: Any, shape: Any, fortran: bool) -> np.ndarray:
    shape = _dimensions(shape)
    if not isinstance(array_type, _ArrayType) or not isinstance(data, bytes) or math.prod(shape) * array_type.dtype().itemsize != len(data):
        raise UnsupportedCheckpoint("a damaged numpy array")
    return np.frombuffer(data, array_type.dtype()).reshape(shape, order="F" if fortran else "C")


def _numpy_buffer(budget: PickleBudget, data: Any, array_type: Any, shape: Any, order: Any = "C") -> Array:
    return Array(_numpy_filled(data, array_type, shape, order == "F"))


def _encoded(budget: PickleBudget, text: Any, encoding: Any) -> bytes:
    """Bytes as protocol 2 writes them."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise UnsupportedCheckpoint("text in an odd encoding")
    budget.allocate(len(text))
    return text.encode("latin1")


def _no_bytes(budget: PickleBudget, *args) -> bytes:
    if args:
        raise UnsupportedCheckpoint("bytes in an odd form")
    return b""


def _dict(budget: PickleBudget, *args) -> dict:
    if args not in ((), ([],), ({},)):
        raise UnsupportedCheckpoint("a dictionary in an odd form")
    return {}


def _set(budget: PickleBudget, items: Any = ()) -> set:
    if not isinstance(items, (list, tuple)):
        raise UnsupportedCheckpoint("a set in an odd form")
    budget.step(len(items))
    return {key_of(v) for v in items}


def _shape(budget: PickleBudget, items: Any = ()) -> tuple[int, ...]:
    return _dimensions(items)


def _device(budget: PickleBudget, name: Any = "", index: Any = None) -> str:
    return excerpt(name, 20)  # where the tensors once were is of no use here


# Modules of torch and of code bases that keep their networks by name. Their classes are never looked up: what is kept of an object
# is the name of its class and what it held.
_RECORDED = re.compile(r"(?:torch\.nn\.(?:modules|utils|parameter)|training\.networks\w*|R3GAN|pg_modules)(?:\.\w+)*\._?[A-Za-z]\w*")


def _class_named(full: str) -> Constructor | None:
    """A class that is recorded by its name, or None."""
    if not _RECORDED.fullmatch(full):
        return None

    def make(budget: PickleBudget, *args: Any) -> NamedObject:
        if args:
            raise UnsupportedCheckpoint(f"an odd use of '{excerpt(full)}'")
        return NamedObject(full.rpartition(".")[2], {})

    return Constructor(full, make)


_NUMPY_DTYPES = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1")
_DTYPES = {
    "Float": torch.float32,
    "Double": torch.float64,
    "Half": torch.float16,
    "BFloat16": torch.bfloat16,
    "Long": torch.int64,
    "Int": torch.int32,
    "Short": torch.int16,
    "Char": torch.int8,
    "Byte": torch.uint8,
    "Bool": torch.bool,
}
_STORAGE_NAMES: dict[str, Any] = {f"torch.{name}Storage": dtype for name, dtype in _DTYPES.items()}
_STORAGE_NAMES |= {"collections.OrderedDict": Constructor("collections.OrderedDict", _dict)}
_FILE_NAMES: dict[str, Any] = {
    name: Constructor(name, make)
    for make, names in (
        (_record, ("torch_utils.persistence._reconstruct_persistent_obj",)),
        (_tensor, ("torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor")),
        (_parameter, ("torch._utils._rebuild_parameter",)),
        (_storage, ("torch.storage._load_from_bytes",)),
        (_shape, ("torch.Size",)),
        (_device, ("torch.device",)),
        (_dict, ("collections.OrderedDict", "dnnlib.util.EasyDict", "dnnlib.EasyDict")),
        (_set, ("builtins.set", "__builtin__.set")),
        (_no_bytes, ("builtins.bytes", "__builtin__.bytes")),
        (_encoded, ("_codecs.encode",)),
        (_numpy_dtype, ("numpy.dtype",)),
        (None, ("numpy.ndarray",)),
        (_numpy_scalar, ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")),
        (_numpy_empty, ("numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct")),
        (_numpy_buffer, ("numpy.core.numeric._frombuffer", "numpy._core.numeric._frombuffer")),
    )
    for name in names
}
_FILE_NAMES |= {f"torch.{str(d).removeprefix('torch.')}": str(d) for d in _DTYPES.values()}


def read_pickle(path: Path) -> Any:
    """The content of a pickle file as records, tensors that are not built yet, and plain values.

    Raises UnsupportedCheckpoint, which names what was found, and DamagedPickle. Costs no more memory than a few times the file's size.
    """
    size = path.stat().st_size
    with open(path, "rb") as file:
        content = PickleMachine(file, size, PickleBudget(size), _FILE_NAMES, classes=_class_named).run()
    if type(content) is int and content == _TORCH_MAGIC:
        raise UnsupportedCheckpoint("PyTorch weights in the format before version 1.6 (.pth), not a network pickle")
    return content
