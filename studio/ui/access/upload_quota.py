"""Quota of uploads: how many bytes one visitor, and one address, may bring."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

DAY = 24 * 3600
_REMEMBERED = 10_000  # visitors and addresses, each


@dataclass
class _Count:
    since: float
    bytes: int = 0
    parts: dict[str, int] = field(default_factory=dict)
    """Of a visitor: bytes by address."""


class UploadQuota:
    """Counts of uploaded bytes, for a day or until the visitor leaves.

    A browser chooses its cookie itself, or sends none, so whoever wants more is another visitor with each request. Therefore an address
    has a bound too, wide enough for a class room behind one router.
    clock: seconds.
    """

    def __init__(self, clock: Callable[[], float]):
        self._clock, self._lock = clock, threading.Lock()
        self._visitors: OrderedDict[str, _Count] = OrderedDict()
        self._addresses: OrderedDict[str, _Count] = OrderedDict()

    def take(self, visitor: str, address: str, count: int, most: int, most_of_address: int) -> bool:
        """Count bytes of a visitor ('' = one who cannot be told from others: their address alone counts, as if it were one visitor).

        Returns False, and counts nothing, when they would be more than `most` of the visitor or `most_of_address` of the address.
        """
        with self._lock:
            who = self._count(self._visitors, visitor or f"at {address}")
            where = self._count(self._addresses, address)
            if who.bytes + count > most or where.bytes + count > most_of_address:
                return False
            who.bytes += count
            where.bytes += count
            who.parts[address] = who.parts.get(address, 0) + count
            return True

    def left(self, visitor: str) -> None:
        """A visitor has left, and what they uploaded is deleted: it counts no more, for their address neither."""
        with self._lock:
            gone = self._visitors.pop(visitor, None) or _Count(0.0)
            for address, count in gone.parts.items():
                if (where := self._addresses.get(address)) is not None and where.since <= gone.since:
                    where.bytes = max(0, where.bytes - count)

    def _count(self, counts: OrderedDict[str, _Count], key: str) -> _Count:
        """The count of a visitor or an address, a new one after a day; it becomes the last that is forgotten."""
        now = self._clock()
        found = counts.pop(key, None)
        if found is None or now - found.since >= DAY:
            found = _Count(now)
        counts[key] = found
        if len(counts) > _REMEMBERED:
            counts.popitem(last=False)
        return found
