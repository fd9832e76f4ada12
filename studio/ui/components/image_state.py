"""What visitors have open in an image tab, and how much memory and disk all of them may take."""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from studio.ui.components.tab import TabState


@dataclass
class ImageState(TabState):
    """What one visitor does in an image tab.

    model: id of the chosen one, '' before there is any.  path: the picture to work on.
    """

    model: str = ""
    path: Path | None = None

    def give(self, path: Path | None) -> None:
        """Begin with another picture; None = with none."""
        self.release()
        self.path = path

    def release(self) -> None:
        """Free what takes up memory or disk and can be made again."""

    def close(self) -> None:
        """Free everything: the visitor has left."""
        self.release()


class PictureBudget:
    """Bytes that the open pictures of all visitors may take together; those of the least recent visitors are released first."""

    def __init__(self, limit: int):
        self.limit = limit
        self._open: OrderedDict[str, tuple[int, ImageState]] = OrderedDict()  # session id -> (bytes, state), oldest first
        self._lock = threading.Lock()

    def keep(self, session_id: str, state: ImageState, size: int) -> None:
        """Count `size` bytes for this visitor, now the most recent one. Their own pictures stay, however large they are."""
        with self._lock:
            self._open.pop(session_id, None)
            self._open[session_id] = (size, state)
            while sum(size for size, _ in self._open.values()) > self.limit and len(self._open) > 1:
                _, (_, oldest) = self._open.popitem(last=False)
                oldest.release()

    def forget(self, session_id: str) -> None:
        """The visitor has left."""
        with self._lock:
            self._open.pop(session_id, None)
