"""Files written so that a reader never sees a half-written one, and checks of folders and disk space."""

import contextlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from studio.errors import NoRoom, StudioError


def can_write(folder: Path) -> bool:
    """Whether files can be made in a folder, which is made when it is not there."""
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def ensure_writable(folder: Path) -> Path:
    """The folder, made when it is not there. Raises StudioError when no file can be made in it."""
    if not can_write(folder):
        raise StudioError(
            f"The folder {folder} cannot be written, so nothing can be saved there.", "Start the studio with --home and a folder of yours."
        )
    return Path(folder)


def ensure_room(folder: Path, needed: int) -> None:
    """See that `needed` bytes can be written below `folder` and some are left to the rest of the machine.

    What is left: 200 MB, or the environment's STUDIO_KEEP_FREE_MB. Raises NoRoom, which says how much is missing.
    """
    try:
        keep = float(os.environ.get("STUDIO_KEEP_FREE_MB", 200)) * 1e6
    except ValueError:
        keep = 200e6
    free = shutil.disk_usage(folder).free
    if free < needed + keep:
        missing = max(1, round((needed + keep - free) / 1e6))
        raise NoRoom(
            f"The disk of {folder} is nearly full: {needed / 1e6:,.0f} MB are to be written, {free / 1e6:,.0f} MB are free.",
            f"Free {missing:,} MB, then go on.",
        )


def fsync_path(path: Path) -> None:
    """Force a file or folder to disk. Folders cannot be opened on Windows; there it is skipped."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except (PermissionError, IsADirectoryError):
        return
    try:
        os.fsync(handle)
    except OSError:
        pass  # some file systems refuse it on folders; the rename below is still atomic
    finally:
        os.close(handle)


def _beside(path: Path) -> Path:
    # The dot keeps half-written things out of every listing of ours.
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Give a new file to write; on a clean exit it takes the name `path`, and a reader sees the old file or the new one, never
    a part. On an error nothing of the new one is left."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = _beside(path)
    try:
        with open(part, "w+b") as f:
            yield f
            f.flush()
            os.fsync(f.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    fsync_path(path.parent)


def atomic_write(path: Path, data: bytes) -> None:
    """Write `data` to `path` so that a reader sees the old file or the new one, never a part."""
    with atomic_file(path) as f:
        f.write(data)


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Give a new folder beside `path` to fill; on a clean exit it takes the name `path`.

    An existing folder of that name is replaced whole. On an error nothing of the new one is left.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = _beside(path)
    part.mkdir()
    try:
        yield part
        for file in part.rglob("*"):
            fsync_path(file)
        fsync_path(part)
        old = None
        if path.exists():
            old = _beside(path)
            os.replace(path, old)
        os.replace(part, path)
        fsync_path(path.parent)
        if old is not None:
            shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(part, ignore_errors=True)
