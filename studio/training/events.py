"""Event file of a run: append-only JSON lines from which curves, sheets and progress are drawn."""

import json
import os
from pathlib import Path
from typing import Any


class EventLog:
    """Writer of the event file `path`.

    length: bytes that are kept. It is part of the training state, so that a resumed run continues from the line it had reached and no
    event is written twice.
    """

    def __init__(self, path: Path, length: int = 0):
        self.path = Path(path)
        if length > (self.path.stat().st_size if self.path.exists() else 0):
            length = 0  # the file was removed by hand: start a new one rather than leave a hole in it
        self._file = open(self.path, "ab")  # noqa: SIM115 - closed by close()
        self._file.truncate(length)

    def write(self, event: dict[str, Any]) -> None:
        """Append one event. Readers only see complete lines, because a line is one write."""
        self._file.write((json.dumps(event, separators=(",", ":")) + "\n").encode())
        self._file.flush()

    def sync(self) -> int:
        """Flush the file to disk. Returns its length in bytes."""
        self._file.flush()
        os.fsync(self._file.fileno())
        return self._file.tell()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_events(path: Path, offset: int = 0) -> tuple[list[dict[str, Any]], int]:
    """Events from byte `offset` on, and the offset to continue from. An incomplete last line is left for the next call."""
    try:
        with open(path, "rb") as f:
            f.seek(offset)
            data = f.read()
    except FileNotFoundError:
        return [], 0
    end = data.rfind(b"\n") + 1
    return [json.loads(line) for line in data[:end].splitlines() if line.strip()], offset + end
