"""The event file of a run: append-only JSON lines that curves, sheets and progress are drawn from."""

import json
import os
from pathlib import Path
from typing import Any


class EventLog:
    """Append events to `path`. Its length is part of the training state, so that a resumed run
    goes on from the line it really had reached and no event is told twice."""

    def __init__(self, path: Path, length: int = 0):
        self.path = Path(path)
        if length > (self.path.stat().st_size if self.path.exists() else 0):
            length = 0  # the file was removed by hand: start a new one rather than write holes
        self._file = open(self.path, "ab")
        self._file.truncate(length)

    def write(self, event: dict[str, Any]) -> None:
        """Append one event; readers see whole lines only, for a line is one write."""
        self._file.write((json.dumps(event, separators=(",", ":")) + "\n").encode())
        self._file.flush()

    def sync(self) -> int:
        """Force the file to disk. Returns its length in bytes."""
        self._file.flush()
        os.fsync(self._file.fileno())
        return self._file.tell()

    def close(self) -> None:
        self._file.close()


def read_events(path: Path, offset: int = 0) -> tuple[list[dict[str, Any]], int]:
    """Whole lines from byte `offset` on, and the offset to go on from. A torn last line is left for later."""
    try:
        with open(path, "rb") as f:
            f.seek(offset)
            data = f.read()
    except FileNotFoundError:
        return [], 0
    end = data.rfind(b"\n") + 1
    return [json.loads(line) for line in data[:end].splitlines() if line.strip()], offset + end
