"""A stack machine that runs the data instructions of a pickle, and nothing else.

A pickle is a program for a small stack machine, and Python's own readers run it in full: they import the names it
holds and call them. Python's Unpickler could be fenced in by overriding find_class, but the C one sizes its memo by a
number from the file, and both would still call whatever find_class gives back with whatever arguments the file
chose. So this is a machine of our own, with the few dozen instructions that checkpoints use. A name in the file picks
an entry from a table that the caller gives; it is never looked up in a module, and the machine has no way to import one.

Memory and time are bounded by the size of the file: a claimed length beyond the file's end is refused before it is
allocated, and a budget of steps ends what would go on for too long.
"""

import pickle
import pickletools
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from studio.models.importers.imported import UnsupportedCheckpoint, excerpt

_MAX_STEPS = 400_000  # a 1024 px network with its discriminator takes about 60,000
_MAX_NESTING = 1_000  # of marks; real files have 16
_MAX_TEXT = 128 << 20  # bytes of one text: tensors travel as text in protocol 2
_MAX_NAME = 200  # characters of 'module.name'


class DamagedPickle(Exception):
    """The file is not a complete pickle."""


@dataclass(eq=False, repr=False)
class Constructor:
    """What a name in the file stands for. make: called with the budget and the arguments in the file; None = may not be called."""

    name: str
    make: Callable[..., Any] | None


class Stateful:
    """An object whose state a pickle may set after making it."""

    def set_state(self, state: Any) -> bool:
        """Take the state. Returns False, and changes nothing, when it has an odd form."""
        raise NotImplementedError


@dataclass
class PickleBudget:
    """What one file may cost in all.  size: bytes of the file."""

    size: int
    steps: int = _MAX_STEPS
    memory: int = field(init=False)

    def __post_init__(self):
        self.memory = 2 * self.size + (64 << 20)

    def step(self, n: int = 1) -> None:
        """Count instructions. Raises UnsupportedCheckpoint when there are too many."""
        self.steps -= n
        if self.steps < 0:
            raise UnsupportedCheckpoint("more instructions than any checkpoint")

    def allocate(self, n: int) -> None:
        """Count bytes. Raises UnsupportedCheckpoint when there are too many."""
        self.memory -= n
        if self.memory < 0:
            raise UnsupportedCheckpoint("more data than fits its size")


def key_of(value: Any) -> str | int:
    """A key of a dict or an item of a set.

    Only text and small numbers: hashing a deep nest of tuples overruns the C stack, and large numbers can be chosen
    so that all of them collide.
    """
    if type(value) is str or (type(value) is int and -(1 << 31) <= value < 1 << 32):
        return value
    raise UnsupportedCheckpoint(f"a {type(value).__name__} as a key")


class PickleMachine:
    """Runs the instructions of protocols 2 to 5 that carry data. `left`: unread bytes of the file."""

    def __init__(
        self,
        file: BinaryIO,
        size: int,
        budget: PickleBudget,
        names: dict[str, Any],
        persistent: Callable[[Any], Any] | None = None,
        key: Callable[[Any], Any] = key_of,
        classes: Callable[[str], Any] | None = None,  # what a name stands for that is not in `names`; None = nothing
    ):
        self.file, self.left, self.budget = file, size, budget
        self.names, self.persistent, self.key, self.classes = names, persistent, key, classes
        self.stack: list[Any] = []
        self.outer: list[list[Any]] = []  # the stacks below the marks
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        """One pickle, up to its STOP. Raises UnsupportedCheckpoint, DamagedPickle."""
        self.stack, self.outer, self.memo = [], [], {}
        try:
            while True:
                self.budget.step()
                code = self.read(1)
                if code == pickle.STOP:
                    return self.stack.pop()
                handler = _HANDLERS.get(code)
                if handler is None and code not in _INSTRUCTIONS:
                    raise DamagedPickle
                if handler is None:
                    raise UnsupportedCheckpoint(f"the instruction {_INSTRUCTIONS[code]}, which no checkpoint needs")
                handler(self)
        except (IndexError, KeyError, TypeError, ValueError, OverflowError, struct.error):
            raise DamagedPickle from None  # an empty stack or memo, invalid text, too few arguments

    def read(self, n: int) -> bytes:
        if n > self.left:
            raise DamagedPickle
        data = self.file.read(n)
        self.left -= len(data)
        if len(data) != n:
            raise DamagedPickle
        return data

    def number(self, n: int) -> int:
        return int.from_bytes(self.read(n), "little")

    def line(self) -> str:
        data = self.file.readline(min(_MAX_NAME, self.left))
        self.left -= len(data)
        if not data.endswith(b"\n"):
            raise DamagedPickle
        return data[:-1].decode("ascii", "replace")

    def text(self, n: int) -> str:
        if n > _MAX_TEXT:
            raise DamagedPickle if n > self.left else UnsupportedCheckpoint("a text of absurd length")
        value = str(self.read(n), "utf-8")
        # A single rare character makes Python store a whole text with 4 bytes per character.
        self.budget.allocate(sys.getsizeof(value))
        return value

    def mark(self) -> None:
        if len(self.outer) >= _MAX_NESTING:
            raise UnsupportedCheckpoint("a nest of absurd depth")
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
            raise DamagedPickle
        items = self.stack[-n:]
        del self.stack[-n:]
        return items

    def frame(self) -> None:
        # A frame only says how much to read ahead; the instructions are the same without it.
        if self.number(8) > self.left:
            raise DamagedPickle

    def protocol(self) -> None:
        if not 2 <= (version := self.number(1)) <= pickle.HIGHEST_PROTOCOL:
            raise UnsupportedCheckpoint(f"a pickle of protocol {version}")

    def memoize(self) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def put(self, n: int) -> None:
        self.memo[self.number(n)] = self.stack[-1]

    def get(self, n: int) -> None:
        self.stack.append(self.memo[self.number(n)])

    def extend(self, items: list[Any]) -> None:
        if type(self.stack[-1]) is not list:
            raise UnsupportedCheckpoint(f"a {type(self.stack[-1]).__name__} filled like a list")
        self.stack[-1].extend(items)

    def update(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if len(items) % 2:
            raise DamagedPickle
        if type(target) is not dict:
            raise UnsupportedCheckpoint(f"a {type(target).__name__} filled like a dictionary")
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[self.key(key)] = value

    def add(self, items: list[Any]) -> None:
        if type(self.stack[-1]) is not set:
            raise UnsupportedCheckpoint(f"a {type(self.stack[-1]).__name__} filled like a set")
        self.stack[-1].update(self.key(v) for v in items)

    def name(self, module: Any, name: Any) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise UnsupportedCheckpoint("a name that is not text")
        full = f"{module[:_MAX_NAME]}.{name[:_MAX_NAME]}"
        found = self.names[full] if full in self.names else self.classes(full) if self.classes else None
        if found is None:
            raise _forbidden_name(full)
        self.stack.append(found)

    def refuse_instance(self) -> None:
        raise _forbidden_name(f"{self.line()}.{self.line()}")

    def call(self) -> None:
        target, args = self.top(2)
        if not isinstance(target, Constructor):
            raise UnsupportedCheckpoint(f"a call of a {type(target).__name__}")
        if target.make is None or not isinstance(args, tuple):
            raise UnsupportedCheckpoint(f"an odd use of '{target.name}'")
        self.stack.append(target.make(self.budget, *args))

    def build(self) -> None:
        target, state = self.top(2)
        self.stack.append(target)
        if isinstance(target, Stateful) and target.set_state(state):
            return
        if type(target) is dict and isinstance(state, dict):
            pass  # attributes of a dictionary, of no use here
        elif isinstance(target, Constructor):
            raise UnsupportedCheckpoint(f"a change to '{target.name}'")
        else:
            raise UnsupportedCheckpoint(f"a state for a {type(target).__name__}")

    def reference(self) -> None:
        if self.persistent is None:
            raise UnsupportedCheckpoint("the instruction BINPERSID, which no checkpoint needs")
        self.stack.append(self.persistent(self.stack.pop()))


def _forbidden_name(full: str) -> UnsupportedCheckpoint:
    shown = excerpt(full)
    if full.startswith(("dnnlib.tflib.", "tfutil.", "tensorflow.")):
        return UnsupportedCheckpoint(
            f"'{shown}': a network of NVIDIA's older TensorFlow code",
            "Convert it first, with legacy.py of NVIDIA's stylegan2-ada-pytorch.",
        )
    return UnsupportedCheckpoint(f"'{shown}', which is not run here")


def _handlers() -> dict[bytes, Callable[[PickleMachine], Any]]:
    def push(value: Callable[[PickleMachine], Any]) -> Callable[[PickleMachine], None]:
        return lambda m: m.stack.append(value(m))

    def sized(width: int, read: Callable[[PickleMachine, int], Any]) -> Callable[[PickleMachine], None]:
        return lambda m: m.stack.append(read(m, m.number(width)))

    return {
        pickle.PROTO: PickleMachine.protocol,
        pickle.FRAME: PickleMachine.frame,
        pickle.MARK: PickleMachine.mark,
        pickle.POP: PickleMachine.pop,
        pickle.POP_MARK: PickleMachine.above_mark,
        pickle.NONE: push(lambda m: None),
        pickle.NEWTRUE: push(lambda m: True),
        pickle.NEWFALSE: push(lambda m: False),
        pickle.BININT: push(lambda m: struct.unpack("<i", m.read(4))[0]),
        pickle.BININT1: push(lambda m: m.number(1)),
        pickle.BININT2: push(lambda m: m.number(2)),
        # Numbers of up to 2040 bits. LONG4, for longer ones, is left out: none is needed, and they are slow.
        pickle.LONG1: push(lambda m: int.from_bytes(m.read(m.number(1)), "little", signed=True)),
        pickle.BINFLOAT: push(lambda m: struct.unpack(">d", m.read(8))[0]),
        pickle.SHORT_BINUNICODE: sized(1, PickleMachine.text),
        pickle.BINUNICODE: sized(4, PickleMachine.text),
        pickle.BINUNICODE8: sized(8, PickleMachine.text),
        pickle.SHORT_BINSTRING: push(lambda m: str(m.read(m.number(1)), "latin1")),  # a text of Python 2
        pickle.SHORT_BINBYTES: sized(1, PickleMachine.read),
        pickle.BINBYTES: sized(4, PickleMachine.read),
        pickle.BINBYTES8: sized(8, PickleMachine.read),
        pickle.BYTEARRAY8: sized(8, PickleMachine.read),
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
        pickle.MEMOIZE: PickleMachine.memoize,
        pickle.BINPUT: lambda m: m.put(1),
        pickle.LONG_BINPUT: lambda m: m.put(4),
        pickle.BINGET: lambda m: m.get(1),
        pickle.LONG_BINGET: lambda m: m.get(4),
        pickle.GLOBAL: lambda m: m.name(m.line(), m.line()),
        pickle.STACK_GLOBAL: lambda m: m.name(*m.top(2)),
        pickle.INST: PickleMachine.refuse_instance,
        pickle.REDUCE: PickleMachine.call,
        pickle.NEWOBJ: PickleMachine.call,
        pickle.BUILD: PickleMachine.build,
        pickle.BINPERSID: PickleMachine.reference,
    }


_HANDLERS = _handlers()
_INSTRUCTIONS = {op.code.encode("latin1"): op.name for op in pickletools.opcodes}
