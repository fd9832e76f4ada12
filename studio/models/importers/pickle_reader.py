"""A pickle read as plain records: tensors, numbers, text, lists, dicts. Nothing of the file is imported or run.

A pickle is a program for a small stack machine, and Python's own readers run it in full: they import the names it
holds and call them. Python's Unpickler could be fenced in by overriding find_class, but the C one sizes its memo by a
number from the file, and both would still call whatever find_class gives back with whatever arguments the file
chose. So this is a machine of our own, with the few dozen instructions that checkpoints use and nothing else. A name
in the file picks an entry from a short table of constructors written here; it is never looked up in a module, and the
machine has no way to import one.

Memory and time are bounded by the size of the file: a claimed length beyond the file's end is refused before it is
allocated, and a budget of steps ends what would go on for too long.
"""

import io
import math
import pickle
import pickletools
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch

_MAX_STEPS = 400_000  # a 1024 px network with its discriminator takes about 60,000
_MAX_NESTING = 1_000  # of marks; real files have 16
_MAX_TEXT = 128 << 20  # bytes of one text: tensors travel as text in protocol 2
_MAX_NAME = 200  # characters of 'module.name'
_TORCH_MAGIC = 0x1950A86A20F9469CFC6C  # first number of PyTorch's files before version 1.6
_TORCH_PROTOCOL = 1001


class Refused(Exception):
    """The file holds something that no checkpoint needs: what it is, in a few words, and a hint for the reader."""

    def __init__(self, what: str, hint: str = ""):
        super().__init__(what)
        self.hint = hint


class Damaged(Exception):
    """The file is no complete pickle."""


def plain(text: Any, limit: int = 80) -> str:
    """Text from a file, fit to be shown: short, one line, no markup, no control characters."""
    if not isinstance(text, str):
        return f"a {type(text).__name__}"
    shown = "".join(c if c.isalnum() or c in " ._-+:/,()" else "?" for c in text[:limit])
    return shown + ("..." if len(text) > limit else "")


# -- what a pickle becomes --------------------------------------------------------------------------------------------


@dataclass(eq=False, repr=False)
class Record:
    """An object whose class the file describes in source text: the name of the class and what the object held."""

    class_name: str
    state: dict

    def kwargs(self) -> dict:
        """The keyword arguments that it was made with, as far as they are recorded."""
        value = self.state.get("_init_kwargs")
        return value if isinstance(value, dict) else {}


@dataclass(eq=False, repr=False)
class Storage:
    """The numbers of one or more tensors, still in the bytes of the file until they are asked for."""

    data: bytes
    dtype: torch.dtype
    numel: int
    _values: torch.Tensor | None = None

    def values(self) -> torch.Tensor:
        """All numbers, (numel,). Raises Refused when PyTorch's weights-only reader does not take the bytes."""
        if self._values is None:
            try:
                loaded = torch.load(io.BytesIO(self.data), map_location="cpu", weights_only=True)
                memory = loaded._untyped_storage
            except Exception as e:  # PyTorch raises many kinds for bytes that are not what they should be
                raise Refused(f"tensor data that PyTorch does not accept ({type(e).__name__})") from None
            if loaded.dtype != self.dtype or memory.nbytes() != self.numel * self.dtype.itemsize:
                raise Refused("tensor data that are not what they claim to be")
            self._values = torch.empty(0, dtype=self.dtype).set_(memory, 0, (self.numel,))
            self.data = b""
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
class Array:
    """A numpy array; its content comes after it was made."""

    value: np.ndarray | None = None


@dataclass(eq=False, repr=False)
class _Kind:
    """A numpy dtype of plain numbers."""

    code: str
    order: str = "<"

    def dtype(self) -> np.dtype:
        return np.dtype(self.order + self.code)


@dataclass(eq=False, repr=False)
class _Constructor:
    """What a name in the file stands for here. make=None: it may be mentioned, not called."""

    name: str
    make: Callable[..., Any] | None


@dataclass
class _Budget:
    """What one file may cost in all."""

    size: int
    steps: int = _MAX_STEPS
    memory: int = field(init=False)

    def __post_init__(self):
        self.memory = 2 * self.size + (64 << 20)

    def step(self, n: int = 1) -> None:
        self.steps -= n
        if self.steps < 0:
            raise Refused("more instructions than any checkpoint")

    def allocate(self, n: int) -> None:
        self.memory -= n
        if self.memory < 0:
            raise Refused("more data than fits its size")


# -- the constructors; each checks its arguments, for the file chooses them ---------------------------------------------


def _record(budget: _Budget, meta: Any, *_unused) -> Record:
    if not isinstance(meta, dict) or meta.get("type") != "class" or not isinstance(meta.get("state"), dict):
        raise Refused("a persistent object of an unknown kind")
    if not isinstance(meta.get("class_name"), str):
        raise Refused("a persistent object without a class")
    # The source text of the class stays behind here, unread.
    return Record(meta["class_name"], meta["state"])


def _dimensions(values: Any) -> tuple[int, ...]:
    if not isinstance(values, (tuple, list)) or len(values) > 8:
        raise Refused("a tensor with an absurd shape")
    if not all(type(v) is int and 0 <= v < 1 << 40 for v in values):
        raise Refused("a tensor with an absurd shape")
    return tuple(values)


def _tensor(budget: _Budget, storage: Any, offset: Any, size: Any, stride: Any, *_flags_and_hooks) -> StoredTensor:
    if not isinstance(storage, Storage):
        raise Refused("a tensor without data")
    (offset,), size, stride = _dimensions((offset,)), _dimensions(size), _dimensions(stride)
    if len(size) != len(stride):
        raise Refused("a tensor with an absurd shape")
    count = math.prod(size)
    last = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True)) if count else 0
    # The second test refuses strides of 0, which would make a giant of a single number.
    if count and (last >= storage.numel or count > storage.numel):
        raise Refused("a tensor that reaches beyond its data")
    return StoredTensor(storage, offset, size, stride)


def _parameter(budget: _Budget, data: Any, *_flags_and_hooks) -> StoredTensor:
    if not isinstance(data, StoredTensor):
        raise Refused("a parameter that is no tensor")
    return data


def _storage(budget: _Budget, data: Any) -> Storage:
    """Check the frame of PyTorch's older format, which these bytes must be, without reading the numbers in it.

    Zip files, PyTorch's newer format, are refused: no network pickle has them inside, and they may be compressed.
    """
    if not isinstance(data, bytes):
        raise Refused("tensor data that are no bytes")
    if not data.startswith(b"\x80\x02"):
        raise Refused("tensor data of an unknown format")
    file = io.BytesIO(data)
    machine = _Machine(file, len(data), budget, _STORAGE_NAMES, _storage_id)
    try:
        magic, protocol, system = machine.run(), machine.run(), machine.run()
        if magic != _TORCH_MAGIC or protocol != _TORCH_PROTOCOL or not isinstance(system, dict):
            raise Refused("tensor data of an unknown format")
        storage, keys = machine.run(), machine.run()
        (numel,) = struct.unpack("<q", machine.read(8))
    except Damaged:
        raise Refused("tensor data of an unknown format") from None
    if not isinstance(storage, tuple) or not isinstance(keys, list) or keys != [storage[0]]:
        raise Refused("tensor data of an unknown format")
    if system.get("little_endian") is not True:
        raise Refused("tensor data of a big-endian machine")
    _, dtype, claimed = storage
    if numel != claimed or machine.left != numel * dtype.itemsize:
        raise Refused("tensor data that are not as long as they claim")
    return Storage(data, dtype, numel)


def _storage_id(pid: Any) -> tuple[str, torch.dtype, int]:
    """('storage', its type, key, device, length, view) -> (key, dtype, length)."""
    if not isinstance(pid, tuple) or len(pid) != 6 or pid[0] != "storage" or pid[5] is not None:
        raise Refused("tensor data of an unknown format")
    _, kind, key, device, numel, _ = pid
    if not isinstance(kind, torch.dtype) or not isinstance(key, str) or not isinstance(device, str):
        raise Refused("tensor data of an unknown format")
    return key, kind, _dimensions((numel,))[0]


def _numpy_kind(budget: _Budget, name: Any, *_align_and_copy) -> _Kind:
    if not isinstance(name, str) or name.lstrip("<>|=") not in _NUMPY_KINDS:
        raise Refused(f"a numpy array of the kind '{plain(name, 20)}'")
    return _Kind(name.lstrip("<>|="), ">" if name.startswith(">") else "<")


def _numpy_scalar(budget: _Budget, kind: Any, data: Any = b"") -> int | float | bool:
    if not isinstance(kind, _Kind) or not isinstance(data, bytes) or len(data) != kind.dtype().itemsize:
        raise Refused("a damaged numpy number")
    return np.frombuffer(data, kind.dtype())[0].item()


def _numpy_empty(budget: _Budget, *_unused) -> Array:
    return Array()


def _numpy_filled(data: Any, kind: Any, shape: Any, fortran: bool) -> np.ndarray:
    shape = _dimensions(shape)
    if not isinstance(kind, _Kind) or not isinstance(data, bytes) or math.prod(shape) * kind.dtype().itemsize != len(data):
        raise Refused("a damaged numpy array")
    return np.frombuffer(data, kind.dtype()).reshape(shape, order="F" if fortran else "C")


def _numpy_buffer(budget: _Budget, data: Any, kind: Any, shape: Any, order: Any = "C") -> Array:
    return Array(_numpy_filled(data, kind, shape, order == "F"))


def _encoded(budget: _Budget, text: Any, encoding: Any) -> bytes:
    """How protocol 2 writes bytes."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise Refused("text in an odd encoding")
    budget.allocate(len(text))
    return text.encode("latin1")


def _no_bytes(budget: _Budget, *args) -> bytes:
    if args:
        raise Refused("bytes in an odd form")
    return b""


def _dict(budget: _Budget, *args) -> dict:
    if args not in ((), ([],), ({},)):
        raise Refused("a dictionary in an odd form")
    return {}


def _set(budget: _Budget, items: Any = ()) -> set:
    if not isinstance(items, (list, tuple)):
        raise Refused("a set in an odd form")
    budget.step(len(items))
    return {_key(v) for v in items}


def _shape(budget: _Budget, items: Any = ()) -> tuple[int, ...]:
    return _dimensions(items)


def _device(budget: _Budget, kind: Any = "", index: Any = None) -> str:
    return plain(kind, 20)  # where the tensors once were is of no use here


def _key(value: Any) -> str | int:
    """A key of a dict or an item of a set.

    Only text and small numbers: hashing a deep nest of tuples overruns the C stack, and large numbers can be chosen
    so that all of them collide.
    """
    if type(value) is str or (type(value) is int and -(1 << 31) <= value < 1 << 32):
        return value
    raise Refused(f"a {type(value).__name__} as a key")


_NUMPY_KINDS = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1")
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
_STORAGE_NAMES |= {"collections.OrderedDict": _Constructor("collections.OrderedDict", _dict)}
_FILE_NAMES: dict[str, Any] = {
    name: _Constructor(name, make)
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
        (_numpy_kind, ("numpy.dtype",)),
        (None, ("numpy.ndarray",)),
        (_numpy_scalar, ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")),
        (_numpy_empty, ("numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct")),
        (_numpy_buffer, ("numpy.core.numeric._frombuffer", "numpy._core.numeric._frombuffer")),
    )
    for name in names
}
_FILE_NAMES |= {f"torch.{str(d).removeprefix('torch.')}": str(d) for d in _DTYPES.values()}


# -- the machine ------------------------------------------------------------------------------------------------------


class _Machine:
    """Runs the instructions of protocols 2 to 5 that carry data. `left` is what the file still has."""

    def __init__(
        self,
        file: BinaryIO,
        size: int,
        budget: _Budget,
        names: dict[str, Any],
        persistent: Callable[[Any], Any] | None = None,
    ):
        self.file, self.left, self.budget = file, size, budget
        self.names, self.persistent = names, persistent
        self.stack: list[Any] = []
        self.outer: list[list[Any]] = []  # the stacks below the marks
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        """One pickle, up to its STOP. Raises Refused, Damaged."""
        self.stack, self.outer, self.memo = [], [], {}
        try:
            while True:
                self.budget.step()
                code = self.read(1)
                if code == pickle.STOP:
                    return self.stack.pop()
                handler = _HANDLERS.get(code)
                if handler is None and code not in _INSTRUCTIONS:
                    raise Damaged
                if handler is None:
                    raise Refused(f"the instruction {_INSTRUCTIONS[code]}, which no checkpoint needs")
                handler(self)
        except (IndexError, KeyError, TypeError, ValueError, OverflowError, struct.error):
            raise Damaged from None  # a stack or memo that is empty, text that is none, too few arguments

    def read(self, n: int) -> bytes:
        if n > self.left:
            raise Damaged
        data = self.file.read(n)
        self.left -= len(data)
        if len(data) != n:
            raise Damaged
        return data

    def number(self, n: int) -> int:
        return int.from_bytes(self.read(n), "little")

    def line(self) -> str:
        data = self.file.readline(min(_MAX_NAME, self.left))
        self.left -= len(data)
        if not data.endswith(b"\n"):
            raise Damaged
        return data[:-1].decode("ascii", "replace")

    def text(self, n: int) -> str:
        if n > _MAX_TEXT:
            raise Damaged if n > self.left else Refused("a text of absurd length")
        value = str(self.read(n), "utf-8")
        # A single odd character makes Python keep all of a text with 4 bytes each.
        self.budget.allocate(sys.getsizeof(value))
        return value

    def mark(self) -> None:
        if len(self.outer) >= _MAX_NESTING:
            raise Refused("a nest of absurd depth")
        self.outer.append(self.stack)
        self.stack = []

    def above_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.outer.pop()
        return items

    def pop(self) -> None:
        if self.stack:
            self.stack.pop()
        else:
            self.above_mark()

    def top(self, n: int) -> list[Any]:
        if len(self.stack) < n:
            raise Damaged
        items = self.stack[-n:]
        del self.stack[-n:]
        return items

    def frame(self) -> None:
        # A frame only says how much to read ahead; the instructions are the same without it.
        if self.number(8) > self.left:
            raise Damaged

    def protocol(self) -> None:
        if not 2 <= (version := self.number(1)) <= pickle.HIGHEST_PROTOCOL:
            raise Refused(f"a pickle of protocol {version}")

    def memoize(self) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def put(self, n: int) -> None:
        self.memo[self.number(n)] = self.stack[-1]

    def get(self, n: int) -> None:
        self.stack.append(self.memo[self.number(n)])

    def extend(self, items: list[Any]) -> None:
        if type(self.stack[-1]) is not list:
            raise Refused(f"a {type(self.stack[-1]).__name__} filled like a list")
        self.stack[-1].extend(items)

    def update(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if len(items) % 2:
            raise Damaged
        if type(target) is not dict:
            raise Refused(f"a {type(target).__name__} filled like a dictionary")
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[_key(key)] = value

    def add(self, items: list[Any]) -> None:
        if type(self.stack[-1]) is not set:
            raise Refused(f"a {type(self.stack[-1]).__name__} filled like a set")
        self.stack[-1].update(_key(v) for v in items)

    def name(self, module: Any, name: Any) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise Refused("a name that is no text")
        full = f"{module[:_MAX_NAME]}.{name[:_MAX_NAME]}"
        if full not in self.names:
            raise _stranger(full)
        self.stack.append(self.names[full])

    def refuse_instance(self) -> None:
        raise _stranger(f"{self.line()}.{self.line()}")

    def call(self) -> None:
        target, args = self.top(2)
        if not isinstance(target, _Constructor):
            raise Refused(f"a call of a {type(target).__name__}")
        if target.make is None or not isinstance(args, tuple):
            raise Refused(f"an odd use of '{target.name}'")
        self.stack.append(target.make(self.budget, *args))

    def build(self) -> None:
        target, state = self.top(2)
        self.stack.append(target)
        if isinstance(target, Array) and isinstance(state, tuple) and len(state) == 5:
            _version, shape, kind, fortran, data = state
            target.value = _numpy_filled(data, kind, shape, bool(fortran))
        elif isinstance(target, _Kind) and isinstance(state, tuple) and len(state) > 1:
            target.order = ">" if state[1] == ">" else "<"
        elif type(target) is dict and isinstance(state, dict):
            pass  # attributes of a dictionary, of no use here
        elif isinstance(target, _Constructor):
            raise Refused(f"a change to '{target.name}'")
        else:
            raise Refused(f"a state for a {type(target).__name__}")

    def reference(self) -> None:
        if self.persistent is None:
            raise Refused("the instruction BINPERSID, which no checkpoint needs")
        self.stack.append(self.persistent(self.stack.pop()))


def _stranger(full: str) -> Refused:
    shown = plain(full)
    if full.startswith(("dnnlib.tflib.", "tfutil.", "tensorflow.")):
        return Refused(
            f"'{shown}': a network of NVIDIA's older TensorFlow code",
            "Convert it first, with legacy.py of NVIDIA's stylegan2-ada-pytorch.",
        )
    return Refused(f"'{shown}', which is not run here")


def _handlers() -> dict[bytes, Callable[[_Machine], Any]]:
    def push(value: Callable[[_Machine], Any]) -> Callable[[_Machine], None]:
        return lambda m: m.stack.append(value(m))

    def sized(width: int, read: Callable[[_Machine, int], Any]) -> Callable[[_Machine], None]:
        return lambda m: m.stack.append(read(m, m.number(width)))

    return {
        pickle.PROTO: _Machine.protocol,
        pickle.FRAME: _Machine.frame,
        pickle.MARK: _Machine.mark,
        pickle.POP: _Machine.pop,
        pickle.POP_MARK: _Machine.above_mark,
        pickle.NONE: push(lambda m: None),
        pickle.NEWTRUE: push(lambda m: True),
        pickle.NEWFALSE: push(lambda m: False),
        pickle.BININT: push(lambda m: struct.unpack("<i", m.read(4))[0]),
        pickle.BININT1: push(lambda m: m.number(1)),
        pickle.BININT2: push(lambda m: m.number(2)),
        # Numbers of up to 2040 bits. LONG4, for longer ones, is left out: none is needed, and they are slow.
        pickle.LONG1: push(lambda m: int.from_bytes(m.read(m.number(1)), "little", signed=True)),
        pickle.BINFLOAT: push(lambda m: struct.unpack(">d", m.read(8))[0]),
        pickle.SHORT_BINUNICODE: sized(1, _Machine.text),
        pickle.BINUNICODE: sized(4, _Machine.text),
        pickle.BINUNICODE8: sized(8, _Machine.text),
        pickle.SHORT_BINBYTES: sized(1, _Machine.read),
        pickle.BINBYTES: sized(4, _Machine.read),
        pickle.BINBYTES8: sized(8, _Machine.read),
        pickle.BYTEARRAY8: sized(8, _Machine.read),
        pickle.EMPTY_LIST: push(lambda m: []),
        pickle.EMPTY_DICT: push(lambda m: {}),
        pickle.EMPTY_SET: push(lambda m: set()),
        pickle.EMPTY_TUPLE: push(lambda m: ()),
        pickle.TUPLE: lambda m: (lambda items: m.stack.append(tuple(items)))(m.above_mark()),
        pickle.TUPLE1: push(lambda m: tuple(m.top(1))),
        pickle.TUPLE2: push(lambda m: tuple(m.top(2))),
        pickle.TUPLE3: push(lambda m: tuple(m.top(3))),
        pickle.APPEND: lambda m: m.extend(m.top(1)),
        pickle.APPENDS: lambda m: m.extend(m.above_mark()),
        pickle.SETITEM: lambda m: m.update(m.top(2)),
        pickle.SETITEMS: lambda m: m.update(m.above_mark()),
        pickle.ADDITEMS: lambda m: m.add(m.above_mark()),
        pickle.MEMOIZE: _Machine.memoize,
        pickle.BINPUT: lambda m: m.put(1),
        pickle.LONG_BINPUT: lambda m: m.put(4),
        pickle.BINGET: lambda m: m.get(1),
        pickle.LONG_BINGET: lambda m: m.get(4),
        pickle.GLOBAL: lambda m: m.name(m.line(), m.line()),
        pickle.STACK_GLOBAL: lambda m: m.name(*m.top(2)),
        pickle.INST: _Machine.refuse_instance,
        pickle.REDUCE: _Machine.call,
        pickle.NEWOBJ: _Machine.call,
        pickle.BUILD: _Machine.build,
        pickle.BINPERSID: _Machine.reference,
    }


_HANDLERS = _handlers()
_INSTRUCTIONS = {op.code.encode("latin1"): op.name for op in pickletools.opcodes}


def read_pickle(path: Path) -> Any:
    """The content of a pickle file as records, tensors that are not built yet, and plain values.

    Raises Refused, which names what was found, and Damaged. Costs no more memory than a few times the file's size.
    """
    size = path.stat().st_size
    with open(path, "rb") as file:
        content = _Machine(file, size, _Budget(size), _FILE_NAMES).run()
    if type(content) is int and content == _TORCH_MAGIC:
        raise Refused("PyTorch weights in the format before version 1.6 (.pth), not a network pickle")
    return content
