"""Caches bounded by bytes."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

V = TypeVar("V")


class ByteLRU(Generic[V]):
    """Keep what was used last, within a budget of bytes. Not thread-safe: its owner's thread alone uses it."""

    def __init__(self, budget: int):
        self.budget = budget
        self._items: OrderedDict[Hashable, tuple[V, int]] = OrderedDict()

    @property
    def nbytes(self) -> int:
        """Bytes of all that is kept."""
        return sum(size for _, size in self._items.values())

    def get(self, key: Hashable) -> V | None:
        """The value, now the most recent; None when it is not kept."""
        if key not in self._items:
            return None
        self._items.move_to_end(key)
        return self._items[key][0]

    def put(self, key: Hashable, value: V, size: int) -> None:
        """Keep a value of `size` bytes; the oldest others leave until all fit. One value larger than the whole
        budget is kept alone, for it is in use."""
        self._items.pop(key, None)
        self.make_room(size)
        self._items[key] = (value, size)

    def make_room(self, size: int) -> None:
        """Let the oldest go until `size` more bytes fit, or nothing is left."""
        while self._items and self.nbytes + size > self.budget:
            self._items.popitem(last=False)

    def clear(self) -> None:
        """Forget everything."""
        self._items.clear()

    def drop(self, key: Hashable) -> None:
        """Forget a value, if it is kept."""
        self._items.pop(key, None)

    def keys(self) -> list[Hashable]:
        """Oldest first."""
        return list(self._items)
