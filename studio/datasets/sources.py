"""Sources of pictures - files, folders and zips, none of them trusted - as one list of files that are opened one at a time."""

import contextlib
import functools
import os
import stat
import struct
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from studio.common.archives import directory_bytes, member_problem, unpack_member
from studio.common.progress import Cancel
from studio.common.text import printable
from studio.errors import StudioError

_CLUTTER = {"thumbs.db", "desktop.ini", "__macosx"}
_RAW = {".dng", ".nef", ".cr2", ".cr3", ".arw", ".orf", ".rw2", ".raf", ".pef", ".srw"}
_FREE_RATIO = 100 << 20  # bytes; a zip that unpacks to less does no harm, however well it is packed
_PICTURE_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"avif", b"avis"}


@dataclass(frozen=True)
class Limits:
    """Limits of an ingestion, in bytes, pixels and seconds."""

    files: int = 100_000  # over all sources
    file_bytes: int = 256 << 20  # one picture file
    video_bytes: int = 8 << 30
    zip_bytes: int = 64 << 30  # all of a zip, unpacked
    zip_ratio: int = 200  # unpacked to packed, beyond what is harmless anyway
    name_bytes: int = 255  # one part of a path
    depth: int = 12  # folders in folders
    min_side: int = 32  # pixels of the shorter side
    max_pixels: int = 120_000_000
    frames: int = 200  # of one video
    every: float = 0.0  # seconds between two frames of a video; 0 = evenly over its length, at most two a second


@dataclass(frozen=True)
class SourceFile:
    """One file among the sources."""

    name: str
    """Name for people, 'pets.zip/cats/1.png'."""
    filename: str
    """'1.png'."""
    folders: tuple[str, ...]
    """Name of the source and its sub-folders, ('pets', 'cats'); empty for a single file."""
    size: int
    """Bytes, as stated."""
    open: Callable[[], IO[bytes]]
    """Gives a stream; close it."""
    path: Path | None = None
    """Where it lies on the disk; None inside a zip."""
    inner: str = ""
    """Its exact name within its source, 'cats/1.png'."""


@dataclass(frozen=True)
class UploadedFile:
    """A file from a browser, which keeps it under a name of its own."""

    path: Path
    """Where it lies now."""
    name: str
    """The name it had, with the folders it was chosen with, 'pets/cats/{1}.png'."""


@dataclass
class SourceFiles:
    """All files among the sources."""

    files: list[SourceFile] = field(default_factory=list)
    """In the order of the sources, sorted by name within each."""
    refused: list[tuple[str, str]] = field(default_factory=list)
    """(name, reason)."""
    ignored: int = 0
    """How many were ignored silently because operating systems put them everywhere ('.DS_Store', 'Thumbs.db')."""


@contextlib.contextmanager
def open_sources(
    paths: Iterable[str | Path | UploadedFile], limits: Limits = Limits(), follow_links: bool = False
) -> Iterator[SourceFiles]:
    """Look through files, folders and zips; nothing is unpacked before a file is opened.

    Zips stay open inside the `with`. Links to folders are not followed, links to files only with `follow_links`; without it they
    are refused, with it those that lead nowhere are passed over. Memory: one small record a file.
    Raises StudioError if a path does not exist, or there are too many files.
    """
    found = SourceFiles()
    with contextlib.ExitStack() as stack:
        for given in paths:
            if isinstance(given, UploadedFile) and _add_uploaded(given, limits, found):
                continue
            path = given.path if isinstance(given, UploadedFile) else Path(given).expanduser()
            if path.is_dir():
                _walk(path, limits, found, follow_links)
            elif not path.exists():
                raise StudioError(f"There is nothing at {printable(str(path))}.", "Give pictures, videos, folders or zips.")
            elif not path.is_file():
                found.refused.append((printable(path.name), "neither a file nor a folder"))
            elif _starts_like_zip(path):
                _look_into_zip(path, limits, found, stack)
            else:
                _add(
                    found,
                    limits,
                    SourceFile(
                        printable(path.name), path.name, (), path.stat().st_size, functools.partial(open, path, "rb"), path, path.name
                    ),
                )
        yield found


def _add_uploaded(given: UploadedFile, limits: Limits, found: SourceFiles) -> bool:
    """Add a file from a browser under the name it had. False for a zip by itself, which is a source of its own."""
    path = given.path
    parts = tuple(p for p in given.name.replace("\\", "/").split("/") if p not in ("", "."))
    if not parts or ".." in parts or not path.is_file() or (len(parts) == 1 and _starts_like_zip(path)):
        return False
    if _is_clutter(parts):
        found.ignored += 1
    elif problem := name_problem("/".join(parts), limits):
        found.refused.append((printable("/".join(parts)), problem))
    else:
        inner = "/".join(parts[1:] or parts)
        opener = functools.partial(_open_plain, path)
        _add(found, limits, SourceFile(printable("/".join(parts)), parts[-1], parts[:-1], path.stat().st_size, opener, path, inner))
    return True


def file_format(head: bytes, filename: str = "") -> str:
    """Format of a file by its first 64 bytes: 'picture', 'raw' (of a camera), 'zip', a video container as libav names it ('mov',
    'matroska', 'avi', 'mpegts', 'mpeg', 'flv', 'ogg', 'asf'), or ''.

    head: the bytes.  filename: its ending decides where the bytes cannot.
    """
    if Path(filename).suffix.lower() in _RAW:
        return "raw"
    if head.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return "picture"
    if head[:4] == b"RIFF":
        return {b"WEBP": "picture", b"AVI ": "avi"}.get(head[8:12], "")
    if head[4:8] == b"ftyp":
        brands = {head[8:12], *(head[i : i + 4] for i in range(16, min(len(head), struct.unpack(">I", head[:4])[0]), 4))}
        return "picture" if brands & _PICTURE_BRANDS else "mov"
    if head[4:8] in (b"moov", b"mdat", b"wide"):
        return "mov"
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "zip"
    for start, container in (
        (b"\x1aE\xdf\xa3", "matroska"),
        (b"FLV", "flv"),
        (b"OggS", "ogg"),
        (b"\x00\x00\x01\xba", "mpeg"),
        (b"0&\xb2u\x8ef\xcf\x11", "asf"),
    ):
        if head.startswith(start):
            return container
    return "mpegts" if head[:1] == b"G" and Path(filename).suffix.lower() in (".ts", ".mts", ".m2ts") else ""


def _add(found: SourceFiles, limits: Limits, file: SourceFile) -> None:
    if len(found.files) + len(found.refused) >= limits.files:
        raise StudioError(f"There are more than {limits.files:,} files.", "Split the set.")
    problem = name_problem(file.name if file.path is None else file.filename, limits)
    if problem:
        found.refused.append((printable(file.name), problem))
    else:
        found.files.append(file)


def name_problem(name: str, limits: Limits) -> str:
    """Why a name within a folder or zip is refused, in a few words; '' if it is not."""
    parts = name.split("/")
    if len(parts) > limits.depth:
        return f"more than {limits.depth} folders deep"
    if any(len(p.encode(errors="surrogateescape")) > limits.name_bytes for p in parts):
        return "an absurdly long name"
    return "control characters in its name" if any(ord(c) < 32 or ord(c) == 127 for c in name) else ""


def _is_clutter(parts: Iterable[str]) -> bool:
    return any((p.startswith(".") and p not in (".", "..")) or p.lower() in _CLUTTER for p in parts)


def _walk(top: Path, limits: Limits, found: SourceFiles, follow_links: bool) -> None:
    root = top.resolve().name or "folder"
    files = []
    for folder, folders, names in os.walk(top):
        below = Path(folder).relative_to(top).parts
        for name in sorted(folders):
            if Path(folder, name).is_symlink():  # os.walk does not follow it; report that
                found.refused.append((printable("/".join((root, *below, name))), "a link to a folder; links are not followed"))
            elif len(below) >= limits.depth:
                found.refused.append((printable("/".join((root, *below, name))), f"more than {limits.depth} folders deep"))
        folders[:] = [f for f in folders if not _is_clutter([f]) and len(below) < limits.depth]
        files.extend((*below, name) for name in names)
        if len(files) > limits.files:
            raise StudioError(f"There are more than {limits.files:,} files in {top}.", "Split the set.")
    for parts in sorted(files, key="/".join):
        path = top.joinpath(*parts)
        name = printable("/".join((root, *parts)))
        if _is_clutter(parts):
            found.ignored += 1
            continue
        try:
            info = path.stat() if follow_links else path.lstat()
        except OSError as e:
            if not (follow_links and path.is_symlink()):
                found.refused.append((name, e.strerror or "cannot be read"))
            continue
        if stat.S_ISLNK(info.st_mode):
            found.refused.append((name, "a link; links are not followed"))
        elif not stat.S_ISREG(info.st_mode):
            found.refused.append((name, "not an ordinary file"))
        else:
            opener = functools.partial(open, path, "rb") if follow_links else functools.partial(_open_plain, path)
            _add(found, limits, SourceFile(name, parts[-1], (root, *parts[:-1]), info.st_size, opener, path, "/".join(parts)))


def _open_plain(path: Path) -> IO[bytes]:
    # If a link replaces the file between the check and the reading, it is not followed either.
    return os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)), "rb")


# -- zips --------------------------------------------------------------------------------------------------------------


def _starts_like_zip(path: Path) -> bool:
    try:
        with open(path, "rb") as f:
            return file_format(f.read(64)) == "zip" or path.suffix.lower() == ".zip"
    except OSError:
        return False


def _look_into_zip(path: Path, limits: Limits, found: SourceFiles, stack: contextlib.ExitStack) -> None:
    label = printable(path.name)
    try:
        # The whole list of members is read into memory, so its size is checked first.
        if directory_bytes(path) > limits.files * 1024:
            found.refused.append((label, "a zip with an absurdly long list of files"))
            return
        archive = stack.enter_context(zipfile.ZipFile(path))
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile) as e:
        found.refused.append((label, f"a zip that cannot be read ({e})"))
        return
    members = [m for m in archive.infolist() if not m.is_dir()]
    total, packed = sum(m.file_size for m in members), path.stat().st_size
    if total > limits.zip_bytes or total > max(_FREE_RATIO, limits.zip_ratio * packed):
        # Compared with the file's size, not with the sizes that members state: members may share their bytes.
        found.refused.append((label, f"a zip bomb: {packed / 1e6:.1f} MB that unpack to {total / 1e9:.1f} GB"))
        return
    for member in sorted(members, key=lambda m: m.filename):
        name = member.filename.replace("\\", "/")
        parts = tuple(p for p in name.split("/") if p not in ("", "."))
        if parts and _is_clutter(parts) and ".." not in parts:
            found.ignored += 1
            continue
        problem = member_problem(member, name, limits.zip_ratio) or name_problem(name, limits)
        if problem:
            found.refused.append((printable(f"{label}/{name}"), problem))
            continue
        opener = functools.partial(archive.open, member)
        whole = printable(f"{label}/{name}")
        _add(found, limits, SourceFile(whole, parts[-1], (path.stem, *parts[:-1]), member.file_size, opener, inner=member.filename))


def read_file(file: SourceFile, limit: int) -> bytes:
    """Bytes of a file. Raises ValueError if there are more than `limit`, or more than it states."""
    with file.open() as f:
        data = f.read(limit + 1)
    if len(data) > limit:
        raise ValueError(f"larger than {limit / 1e6:.0f} MB")
    return data


def read_head(file: SourceFile) -> bytes:
    """The first 64 bytes of a file."""
    with file.open() as f:
        return f.read(64)


def copy_file(file: SourceFile, path: Path, limit: int, cancel: Cancel | None = None) -> None:
    """Copy a file to `path`, a piece at a time. Raises ValueError beyond `limit` bytes, CancelledError."""
    with file.open() as source, open(path, "wb") as target:
        unpack_member(source, target, limit, cancel)
