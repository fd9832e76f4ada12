"""Picture files of a folder, a zip or a stored set: found, sorted, hashed, so that the same files always give the same set."""

import contextlib
import functools
import hashlib
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from studio.errors import StudioError
from studio.imaging.decode import reason

_ENDINGS = {".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff"}
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")  # whatever its name: EPS, say, would start another program
_MAX_FILE_BYTES = 256 << 20
_MAX_FILES = 2_000_000
_HASH_VERSION = 1  # part of the hash of a set; a change makes every earlier plan a plan for other pictures


def content_hash(files: Iterable[tuple[str, bytes]]) -> str:
    """Hash that names a set: SHA-256, in hexadecimal, over the name and hash of each file.

    files: (name with forward slashes, SHA-256 of the file), in the order of the names.
    """
    # The white background means nothing any more; without it every earlier plan would be a plan for other pictures.
    digest = hashlib.sha256(f"{_HASH_VERSION} (255, 255, 255)".encode())
    for name, sha in files:
        # On Linux a file name need not be valid text.
        digest.update(name.encode(errors="surrogateescape") + b"\0" + sha)
    return digest.hexdigest()


class PictureFile(NamedTuple):
    """A picture file in a folder or a zip."""

    name: str  # with forward slashes
    read: Callable[[], bytes]
    sha: bytes  # SHA-256


@contextlib.contextmanager
def picture_files(path: Path) -> Iterator[tuple[list[PictureFile], list[tuple[str, str]]]]:
    """Picture files of a folder, a zip or a stored set, sorted by name, and (name, reason) of those left out.

    They can be read while the context is open. Raises StudioError if the path cannot be read.
    """
    files: list[PictureFile] = []
    with _source(path) as (found, skipped):
        for name, read in found:
            try:
                sha = hashlib.sha256(read()).digest()
            except Exception as e:  # a damaged archive fails in many ways, each of them for one file only
                skipped.append((name, reason(e)))
                continue
            files.append(PictureFile(name, read, sha))
        yield files, skipped


@contextlib.contextmanager
def _source(path: Path) -> Iterator[tuple[list[tuple[str, Callable[[], bytes]]], list[tuple[str, str]]]]:
    """Contents of a folder or a zip: [(name, function that reads it)] of every picture file, sorted by name, and [(name, reason)] of
    those that are not looked into."""
    if path.is_dir():
        if (path / "set.json").is_file() and (path / "pictures").is_dir():
            path = path / "pictures"  # a stored set: its card and previews are no training pictures
        files = [p for p in path.rglob("*") if p.suffix.lower() in _ENDINGS and p.is_file()]
        names = sorted((p.relative_to(path).as_posix(), p) for p in files)
        yield _select((name, p.stat().st_size, p.read_bytes) for name, p in names)
        return
    try:
        archive = zipfile.ZipFile(path)
    except FileNotFoundError:
        raise StudioError(f"There is nothing at {path}.", "Give a folder or a zip of pictures.") from None
    except (OSError, ValueError, zipfile.BadZipFile) as e:
        raise StudioError(f"{path} is not a zip that can be read: {e}.", "Give a folder or a zip of pictures.") from None
    with archive:
        members = sorted((m for m in archive.infolist() if not m.is_dir()), key=lambda m: m.filename)
        # Nothing is written under a member's name, so an odd path in the archive does no harm; and no more of a member is
        # unpacked than the size it states.
        yield _select((m.filename, m.file_size, functools.partial(archive.read, m)) for m in members)


def _select(found: Iterable[tuple[str, int, Callable[[], bytes]]]):
    files, skipped = [], []
    for count, (name, size, read) in enumerate(found):
        if count >= _MAX_FILES:
            raise StudioError(f"There are more than {_MAX_FILES:,} files.", "Split the set.")
        parts = PurePosixPath(name).parts
        if PurePosixPath(name).suffix.lower() not in _ENDINGS or any(p.startswith((".", "__MACOSX")) for p in parts):
            continue
        if size > _MAX_FILE_BYTES:
            skipped.append((name, f"larger than {_MAX_FILE_BYTES >> 20} MB"))
        else:
            files.append((name, read))
    return files, skipped


def read_again(file: PictureFile, source: Path) -> bytes:
    """Bytes of a file. Raises StudioError if they are no longer those that were hashed.

    source: the folder or zip, for the message.
    """
    # The hash names what is cached, so it must be exactly these bytes.
    try:
        data = file.read()
    except Exception:
        data = None
    if data is None or hashlib.sha256(data).digest() != file.sha:
        raise StudioError(f"{source} changed while it was read.", "Try again when nothing else writes to it.")
    return data
