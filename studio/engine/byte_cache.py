"""Caches bounded by bytes."""

import threading
from collections.abc import Hashable
from typing import Generic, NamedTuple, TypeVar

from cachetools import Cache, LRUCache

V = TypeVar("V")


class _Entry(NamedTuple):
    value: object
    size: int


class ByteCache(Generic[V]):
    """Cache of the most recently used values, within a budget of bytes. Thread-safe.

    A single value larger than the budget is still kept, alone, because it is in use.
    """

    def __init__(self, budget: int):
        self.budget = budget
        self._lock = threading.Lock()
        self._entries: LRUCache[Hashable, _Entry] = LRUCache(budget, getsizeof=lambda entry: min(entry.size, budget))

    @property
    def nbytes(self) -> int:
        """Bytes of all values."""
        with self._lock:
            # Read through the base class, whose look-ups don't count as uses.
            return sum(Cache.__getitem__(self._entries, key).size for key in self._entries)

    def get(self, key: Hashable) -> V | None:
        """The value, which becomes the most recently used; None when it is not cached."""
        with self._lock:
            entry = self._entries.get(key)
        return entry.value if entry is not None else None  # pyright: ignore[reportReturnType] - a tuple is not generic on Python 3.10

    def put(self, key: Hashable, value: V, size: int) -> None:
        """Store a value of `size` bytes; the least recently used others are evicted until all fit."""
        with self._lock:
            self._entries.pop(key, None)
            self._make_room(size)
            self._entries[key] = _Entry(value, size)

    def make_room(self, size: int) -> None:
        """Evict the least recently used values until `size` more bytes fit, or nothing is left."""
        with self._lock:
            self._make_room(size)

    def clear(self) -> None:
        """Remove everything."""
        with self._lock:
            self._entries.clear()

    def drop(self, key: Hashable) -> None:
        """Remove a value, if it is cached."""
        with self._lock:
            self._entries.pop(key, None)

    def keys(self) -> list[Hashable]:
        """All keys."""
        with self._lock:
            return list(self._entries)

    def _make_room(self, size: int) -> None:
        while self._entries and self._entries.currsize + size > self.budget:
            self._entries.popitem()
