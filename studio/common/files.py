"""Files written so that a reader never sees a half-written one, and checks of folders and disk space."""

import contextlib
import errno
import hashlib
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from studio.errors import NoRoom, StudioError


def can_write(folder: Path) -> bool:
    """Whether files can be made in a folder. The folder is made if it is missing."""
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def ensure_writable(folder: Path) -> Path:
    """The folder, made if it is missing. Raises StudioError if no file can be made in it."""
    if not can_write(folder):
        raise StudioError(
            f"The folder {folder} cannot be written, so nothing can be saved there.", "Start the studio with --home and a folder of yours."
        )
    return Path(folder)


def ensure_room(folder: Path, needed: int) -> None:
    """Check that `needed` bytes can be written below `folder` and leave some for the rest of the machine.

    That rest is 200 MB, or the environment variable STUDIO_KEEP_FREE_MB. Raises NoRoom, which says how much is missing.
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
    """Force a file or folder to disk. On Windows folders cannot be opened and are skipped."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except (PermissionError, IsADirectoryError):
        return
    try:
        os.fsync(handle)
    except OSError:
        pass  # some file systems refuse it on folders; the rename that follows is still atomic
    finally:
        os.close(handle)


def part_beside(path: Path) -> Path:
    """A new name beside `path` for something that is still being written. Its dot keeps it out of the studio's listings."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")


@contextlib.contextmanager
def atomic_path(path: Path, sync: bool = True) -> Iterator[Path]:
    """Yield the path of a new file to write; on a clean exit it takes the name `path`.

    A reader sees the old file or the new one, never a part. On an error nothing of the new one is left.
    sync: force it to disk first; False for what can be made again, such as thumbnails.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = part_beside(path)
    try:
        yield part
        if sync:
            fsync_path(part)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    if sync:
        fsync_path(path.parent)


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Yield a new file, open for reading and writing in binary; on a clean exit it takes the name `path`.

    A reader sees the old file or the new one, never a part. On an error nothing of the new one is left.
    """
    with atomic_path(path) as part, open(part, "w+b") as f:
        yield f
        f.flush()
        os.fsync(f.fileno())


def atomic_write(path: Path, data: bytes) -> None:
    """Write `data` to `path` so that a reader sees the old file or the new one, never a part."""
    with atomic_file(path) as f:
        f.write(data)


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a new folder beside `path` to fill; on a clean exit it takes the name `path`.

    An existing folder of that name is replaced as a whole. On an error nothing of the new one is left.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = part_beside(path)
    part.mkdir()
    try:
        yield part
        for file in part.rglob("*"):
            fsync_path(file)
        fsync_path(part)
        old = None
        if path.exists():
            old = part_beside(path)
            os.replace(path, old)
        os.replace(part, path)
        fsync_path(path.parent)
        if old is not None:
            shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def is_disk_full(error: BaseException | None) -> bool:
    """Whether an error, or what it came from, says that a disk or a quota is full. Libraries in C++ and Rust say so in words alone."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
            return True
        if any(
            words in str(error) for words in ("No space left on device", "PytorchStreamWriter failed writing", "database or disk is full")
        ):
            return True
        error = error.__cause__ or error.__context__
    return False


_FORBIDDEN = (errno.EROFS, errno.EACCES, errno.EPERM)


def storage_problem(error: BaseException, again: str = "try again") -> StudioError | None:
    """What to tell people of an error that comes from a full disk, or a folder that may not be written; None for any other error.

    again: what can be done once there is room.
    """
    of_system = error if isinstance(error, OSError) else None
    where = f" ({of_system.filename})" if of_system is not None and of_system.filename else ""
    if is_disk_full(error):
        return NoRoom(f"The disk is full: a file cannot be written{where}.", f"Free some space, then {again}.")
    if of_system is not None and of_system.errno in _FORBIDDEN:
        return StudioError(
            f"A file cannot be read or written{where}: {of_system.strerror}.", "Check its permissions, or name another folder."
        )
    return None


@contextlib.contextmanager
def storage_errors_in_words(again: str = "try again") -> Iterator[None]:
    """Within it, what `storage_problem` knows is raised as its StudioError."""
    try:
        yield
    except StudioError:
        raise
    except Exception as e:
        if problem := storage_problem(e, again):
            raise problem from e
        raise


def sweep_parts(folder: Path, unchanged: float = 3600, clock: Callable[[], float] = time.time) -> int:
    """Delete what processes that were killed left directly in a folder: names as of `part_beside`. Returns how many were deleted.

    unchanged: seconds for which nothing in it may have changed; somebody may still be writing it.  clock: comparable with file times.
    """
    gone = 0
    for part in sorted(folder.glob(".*.part")) if folder.is_dir() else ():
        times = [0.0]
        for path in (part, *(part.rglob("*") if part.is_dir() else ())):
            with contextlib.suppress(OSError):  # it may just have been deleted
                times.append(path.stat().st_mtime)
        if clock() - max(times) < unchanged:
            continue
        if part.is_dir() and not part.is_symlink():
            shutil.rmtree(part, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                part.unlink()
        gone += not part.exists()
    return gone


def sha256_of(path: str | Path) -> str:
    """The SHA-256 of a file, hex. Raises OSError when it cannot be read."""
    digest = hashlib.sha256()
    with open(path, "rb") as f:
        while block := f.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
