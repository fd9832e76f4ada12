"""Trash of the gallery: deleted files by the deletion that moved them there, restored or emptied together."""

import contextlib
import datetime
import errno
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from studio.common.files import fsync_path
from studio.errors import StudioError

TRASH_DAYS = 30
_BATCH = re.compile(r"(\d{8}-\d{6})-[0-9a-f]{8}")
_TIMESTAMP = "%Y%m%d-%H%M%S"


class Trash:
    """The folder of deleted files of `outputs`, best on the same disk.  now: the time. The folder need not exist."""

    def __init__(self, folder: Path, outputs: Path, now: Callable[[], datetime.datetime]):
        self.folder, self.outputs, self._now = folder, outputs, now

    def put(self, paths: Iterable[str]) -> str:
        """Move files of `outputs` (relative paths) here, all or none. Returns a name for `restore`. Files that are gone are ignored.

        Raises StudioError when a file cannot be moved.
        """
        name = f"{self._now().astimezone(datetime.timezone.utc):{_TIMESTAMP}}-{secrets.token_hex(4)}"
        moved: list[tuple[Path, Path]] = []
        try:
            for path in paths:
                source, target = self.outputs / path, self.folder / name / path
                target.parent.mkdir(parents=True, exist_ok=True)
                with contextlib.suppress(FileNotFoundError):
                    _move(source, target)
                    moved.append((source, target))
        except OSError as e:
            for source, target in moved:
                _move(target, source)
            raise StudioError(f"Nothing was deleted: {e.strerror or e}.", f"Check the permissions of {self.outputs}.") from None
        return name

    def restore(self, batch: str) -> int:
        """Move the files of one deletion back to where they were. Returns how many. If a name has been taken, a number is added to it.

        Raises StudioError when they are no longer here, or cannot be moved.
        """
        folder = self.folder / batch
        files = [p for p in folder.rglob("*") if p.is_file()] if _BATCH.fullmatch(batch) else []
        if not files:
            raise StudioError("These files are no longer in the trash.", f"It keeps them for {TRASH_DAYS} days.")
        try:
            for file in files:
                target = _free(self.outputs / file.relative_to(folder))
                target.parent.mkdir(parents=True, exist_ok=True)
                _move(file, target)
        except OSError as e:
            raise StudioError(f"Not all could be put back: {e.strerror or e}.", f"The rest is still in {folder}.") from None
        shutil.rmtree(folder, ignore_errors=True)
        return len(files)

    def empty(self, days: float) -> int:
        """Delete for good what has been here for longer than `days`. Returns the number of deletions that were emptied."""
        old = self._now().astimezone(datetime.timezone.utc) - datetime.timedelta(days=days)
        emptied = 0
        for folder in self.folder.iterdir() if self.folder.is_dir() else ():
            match = _BATCH.fullmatch(folder.name)
            if match and datetime.datetime.strptime(match[1], _TIMESTAMP).replace(tzinfo=datetime.timezone.utc) < old:
                shutil.rmtree(folder, ignore_errors=True)
                emptied += 1
        return emptied


def _move(source: Path, target: Path) -> None:
    try:
        os.rename(source, target)
    except OSError as e:
        if e.errno != errno.EXDEV:
            raise
        shutil.copy2(source, target)  # the trash is on another disk
        fsync_path(target)
        source.unlink()


def _free(path: Path) -> Path:
    """The path, with a number behind the stem if it is taken."""
    free, number = path, 2
    while os.path.lexists(free):
        free, number = path.with_name(f"{path.stem}-{number}{path.suffix}"), number + 1
    return free
