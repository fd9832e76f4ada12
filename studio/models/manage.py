"""Keeping models: titles, copies, a bin that gives back what was thrown away, and zips to carry them elsewhere.

A model changes its place by one rename, so that a studio that is killed at any moment leaves it whole: where it was, or where
it was to go. What is half made lies in the bin's folder, which no list shows, until `empty_bin` sweeps it.
"""

import contextlib
import datetime
import json
import logging
import os
import re
import secrets
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from studio.common import toml
from studio.common.files import atomic_file, atomic_folder, atomic_write, ensure_room, fsync_path
from studio.common.progress import Cancel, Progress, raise_if_cancelled, report
from studio.common.text import printable
from studio.errors import StudioError
from studio.models.card import quoted
from studio.models.folder import ModelInfo, is_safe_name, open_folder, safe_name
from studio.models.library import Library

_log = logging.getLogger(__name__)
_BIN = ".bin"  # within the artist's own models, so that a rename gets there; the dot keeps it out of every list
_GONE, _NEW = ".gone-", ".new-"  # begin the names of what is being deleted, and of copies that are being made
_TIME = "%Y%m%dT%H%M%SZ"
_LEFTOVER = datetime.timedelta(days=1)  # after so long a copy has no maker any more
_BLOCK = 1 << 20
_MAX_TITLE = 120
_MAX_CARD_BYTES = 1 << 20
_ZIP_DATE = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class TrashedModel:
    """A model in the bin.

    id: of this entry.  model: the id it had.  path: its folder now.  when: UTC.  size: bytes.
    """

    id: str
    model: str
    title: str
    path: Path
    when: datetime.datetime
    size: int


def _utc() -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc)


def is_own(library: Library, info: ModelInfo) -> bool:
    """Whether the artist may rename it and throw it away: it is a folder among their own, and not read-only."""
    return bool(info.hash) and info.path.parent == Path(os.path.abspath(library.roots[0])) and not info.readonly


def _own(library: Library, id: str, deed: str) -> ModelInfo:
    info = next((m for m in library.scan()[0] if m.id == id), None) or library.get(id)
    if is_own(library, info):
        return info
    if not info.hash:
        raise StudioError(f"'{info.title}' is offered by a package and not here yet: it cannot be {deed}.", "Use it once, and it is.")
    if info.path.parent != Path(os.path.abspath(library.roots[0])):
        raise StudioError(f"'{info.title}' came with the studio: it cannot be {deed}.", "Duplicate it; the copy is your own.")
    raise StudioError(f"'{info.title}' is read-only: it cannot be {deed}.", f"Duplicate it, or allow writing to {info.path}.")


# -- titles ---------------------------------------------------------------------------------------------------------------


def rename(library: Library, id: str, title: str) -> ModelInfo:
    """Give a model another title, in its config and on its card. Its id stays: saved pictures find their model by it.

    Raises StudioError when the title is no title, or the model is not the artist's own.
    """
    title = checked_title(title)
    info = _own(library, id, "renamed")
    try:
        _retitle(info.path, info.title, title)
    except OSError as e:
        raise StudioError(f"'{info.title}' cannot be renamed: {e.strerror or e}.", f"Is there room on the disk of {info.path}?") from e
    return open_folder(info.path)


def checked_title(title: str) -> str:
    """A title on one line. Raises StudioError for one that is empty, too long, or not made of letters that can be seen."""
    title = " ".join(str(title).split())
    if not title:
        raise StudioError("The model has no name then.", "Write one.")
    if len(title) > _MAX_TITLE or not title.isprintable():
        raise StudioError(f"'{printable(title, 40)}' cannot be the name of a model.", f"Use up to {_MAX_TITLE} letters.")
    return title


def _retitle(folder: Path, old: str, new: str) -> None:
    # The card first: were the config first and the studio killed between, nobody would know what to replace on the card.
    card = folder / "README.md"
    if card.is_file() and card.stat().st_size <= _MAX_CARD_BYTES:
        try:
            text = card.read_bytes().decode("utf-8")
        except UnicodeDecodeError:
            text = ""
        changed = _retitled(text, old, new)
        if changed != text:
            atomic_write(card, changed.encode())
    config = folder / "config.json"
    raw = json.loads(config.read_text(encoding="utf-8"))
    atomic_write(config, (json.dumps({**raw, "title": new}, indent=2, ensure_ascii=False) + "\n").encode(errors="replace"))


def _retitled(card: str, old: str, new: str) -> str:
    """The card with the title in its YAML head and in its first heading; a heading that says something else stays."""
    head, body = re.match(r"(---\r?\n.*?\n---\r?(?:\n|$))?(.*)", card, re.DOTALL).groups(default="")
    head = re.sub(r"(?m)^model_name:(?! *[|>]).*?(?=\r?$)", lambda _: f"model_name: {quoted(new)}", head, count=1)
    same = re.escape(" ".join(old.split()))
    return head + re.sub(rf"\A(\s*# ){same}(?=[ \t]*\r?(?:\n|\Z))", lambda m: m[1] + new, body)


# -- copies ---------------------------------------------------------------------------------------------------------------


def duplicate(
    library: Library, id: str, title: str | None = None, progress: Progress | None = None, cancel: Cancel | None = None
) -> ModelInfo:
    """A copy among the artist's own, of any model; one that a package offers becomes a folder first.

    title: None = that of the model, with '(copy)'.  progress: called with (done, all) in bytes.
    cancel: asked while it copies; when true CancelledError is raised and nothing is left.
    Raises StudioError when the disk is full.
    """
    title = None if title is None else checked_title(title)
    info = library.get(id)
    title = title or checked_title(f"{' '.join(info.title.split())[: _MAX_TITLE - 10]} (copy)")
    files, place = _files(info.path), library.roots[0] / _BIN
    place.mkdir(parents=True, exist_ok=True)
    ensure_room(place, size_of(info))
    copy = place / f"{_NEW}{secrets.token_hex(6)}"
    told = _Told(sum(size for _, _, size in files), progress, cancel)
    try:
        copy.mkdir()
        for name, source, _ in files:
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            with open(copy / name, "wb") as f:
                told.pour(source, f)
                f.flush()
                os.fsync(f.fileno())
        _retitle(copy, info.title, title)
        for folder in (*(p for p in copy.rglob("*") if p.is_dir()), copy):
            fsync_path(folder)
        return _enter(library, copy, safe_name(title))
    except OSError as e:
        raise StudioError(f"'{info.title}' cannot be copied: {e.strerror or e}.", f"Is there room on the disk of {place}?") from e
    finally:
        shutil.rmtree(copy, ignore_errors=True)


def keep_snapshot(library: Library, snapshot: Path, name: str | None = None, title: str | None = None) -> ModelInfo:
    """Copy a snapshot of a training into the library, once: a second time the model there is found. Returns the model there.

    snapshot: its model folder.  name: of the model's folder, or the next that is free; None = its title and the snapshot's name.
    title: None = that of the snapshot.
    Raises StudioError when the snapshot is broken, or the title is no title.
    """
    title = None if title is None else checked_title(title)
    info = open_folder(snapshot)
    name = safe_name(name or f"{title or info.title}-{info.id}")
    own = library.roots[0] / name
    if own.is_dir():
        with contextlib.suppress(StudioError):  # a broken folder of that name is no copy of it
            found = open_folder(own)
            if found.hash == info.hash:
                return found
    own = library.roots[0] / library.free_name(name)
    with atomic_folder(own) as part:
        shutil.copytree(info.path, part, dirs_exist_ok=True)
        if title is not None and title != info.title:
            _retitle(part, info.title, title)
    return library.get(own.name)


def _enter(library: Library, folder: Path, wanted: str) -> ModelInfo:
    """A folder of the bin goes among the artist's own, under the wanted name or the next that is free."""
    while True:
        path = Path(os.path.abspath(library.roots[0])) / library.free_name(wanted)
        try:
            os.replace(folder, path)
        except OSError:
            if not path.exists():
                raise
            continue  # somebody took the name in between
        fsync_path(path.parent)
        return open_folder(path)


class _Told:
    """Copies files block by block, tells how far it is, and stops when it is asked to."""

    def __init__(self, all_: int, progress: Progress | None, cancel: Cancel | None):
        self.done, self.all, self.progress, self.cancel = 0, all_, progress, cancel

    def pour(self, source: Path, out: BinaryIO) -> None:
        with open(source, "rb") as f:
            while block := f.read(_BLOCK):
                raise_if_cancelled(self.cancel)
                out.write(block)
                self.done += len(block)
                report(self.progress, self.done, self.all)


def _files(folder: Path) -> list[tuple[str, Path, int]]:
    """(name with '/', path, bytes) of all that belongs to a model folder, by name. What lies outside of it, hidden files, and
    links to either do not belong to it."""
    home, out = os.path.realpath(folder), []
    for top, folders, names in os.walk(folder):
        folders[:] = [d for d in folders if not d.startswith(".")]
        for name in names:
            path = Path(top, name)
            inside = os.path.commonpath([home, os.path.realpath(path)]) == home
            if inside and not name.startswith(".") and name.isprintable() and path.is_file():
                out.append((path.relative_to(folder).as_posix(), path, path.stat().st_size))
    return sorted(out)


def size_of(info: ModelInfo) -> int:
    """Bytes of the model's folder; 0 of one that is only offered."""
    return sum(size for _, _, size in _files(info.path))


def export_zip(info: ModelInfo, out: Path, progress: Progress | None = None, cancel: Cancel | None = None) -> Path:
    """Write the model folder as a zip: a folder called by its id. The same model gives the same bytes.

    progress: called with (done, all) in bytes.  cancel: asked while it writes; when true CancelledError is raised and
    nothing is left.  Raises StudioError when the disk is full or a file cannot be read.
    """
    out, files = Path(out), _files(info.path)
    told = _Told(sum(size for _, _, size in files), progress, cancel)
    out.parent.mkdir(parents=True, exist_ok=True)
    ensure_room(out.parent, told.all)
    try:
        # Stored and not packed: weights do not get smaller, and every zip library writes the same bytes.
        with atomic_file(out) as f, zipfile.ZipFile(f, "w", zipfile.ZIP_STORED) as archive:
            for name, source, size in files:
                entry = zipfile.ZipInfo(f"{info.id}/{name}", _ZIP_DATE)
                entry.create_system, entry.external_attr, entry.file_size = 3, 0o100644 << 16, size
                with archive.open(entry, "w") as part:
                    told.pour(source, part)
    except OSError as e:
        raise StudioError(f"'{info.title}' cannot be exported: {e.strerror or e}.", f"Is there room on the disk of {out.parent}?") from e
    return out


# -- the bin --------------------------------------------------------------------------------------------------------------


def move_to_trash(library: Library, id: str, now: Callable[[], datetime.datetime] = _utc) -> TrashedModel:
    """Move a model into the bin. Raises StudioError when it is not the artist's own."""
    info = _own(library, id, "thrown away")
    entry = library.roots[0] / _BIN / f"{now():{_TIME}}-{secrets.token_hex(3)}"
    entry.mkdir(parents=True)
    try:
        os.replace(info.path, entry / info.id)
    except OSError as e:
        entry.rmdir()
        raise StudioError(f"'{info.title}' cannot be thrown away: {e.strerror or e}.", "Does a program have its files open?") from e
    fsync_path(entry)
    fsync_path(info.path.parent)
    return _thrown(entry)


def list_trash(library: Library) -> list[TrashedModel]:
    """What was thrown away, the newest first."""
    place = library.roots[0] / _BIN
    entries = [_thrown(entry) for entry in place.iterdir()] if place.is_dir() else []
    return sorted((t for t in entries if t is not None), key=lambda t: (t.when, t.id), reverse=True)


def _thrown(entry: Path) -> TrashedModel | None:
    """None of an entry that a killed studio left empty, and of what is no entry."""
    when = _time_of(entry)
    for path in entry.iterdir() if when and entry.is_dir() else ():
        if is_safe_name(path.name) and path.is_dir():
            try:
                title = json.loads((path / "config.json").read_text(encoding="utf-8"))["title"]
            except (OSError, ValueError, KeyError, TypeError):
                title = path.name
            return TrashedModel(entry.name, path.name, str(title), path, when, sum(size for _, _, size in _files(path)))
    return None


def _time_of(entry: Path) -> datetime.datetime | None:
    try:
        return datetime.datetime.strptime(entry.name.partition("-")[0], _TIME).replace(tzinfo=datetime.timezone.utc)
    except ValueError:
        return None


def restore(library: Library, thrown_id: str) -> ModelInfo:
    """Give a model of the bin back to the library, under its name, or with -2 when that is taken meanwhile.

    Raises StudioError when it is not in the bin.
    """
    thrown = next((t for t in list_trash(library) if t.id == thrown_id), None)
    if thrown is None:
        raise StudioError("That model is no longer in the bin.", "Reload the page to see what is.")
    try:
        info = _enter(library, thrown.path, thrown.model)
    except OSError as e:
        raise StudioError(f"'{thrown.title}' cannot be restored: {e.strerror or e}.", "Does a program have its files open?") from e
    with contextlib.suppress(OSError):
        thrown.path.parent.rmdir()
    return info


def empty_trash(library: Library, older_than_days: float = 30, now: Callable[[], datetime.datetime] = _utc) -> int:
    """Delete for good what has been in the bin for so long, and what killed studios left half made. Returns how many models."""
    place, moment, count = library.roots[0] / _BIN, now(), 0
    for entry in list(place.iterdir()) if place.is_dir() else ():
        when = _time_of(entry)
        try:
            if when is not None and moment - when >= datetime.timedelta(days=older_than_days):
                count += _thrown(entry) is not None
                # It leaves the list at once and whole; the files follow.
                gone = place / f"{_GONE}{secrets.token_hex(6)}"
                os.replace(entry, gone)
                shutil.rmtree(gone, ignore_errors=True)
            elif entry.name.startswith(_GONE) or (
                entry.name.startswith(_NEW) and moment.timestamp() - entry.stat().st_mtime > _LEFTOVER.total_seconds()
            ):
                shutil.rmtree(entry, ignore_errors=True)
        except OSError as e:  # another studio on the same home was quicker, or a program has it open: next time
            _log.warning("%s stays in the bin: %s", entry, e)
    return count


def dependants(library: Library, id: str) -> list[str]:
    """Models that began from this one, in sentences, to be told when it is thrown away."""
    out = []
    for info in library.scan()[0]:
        try:
            base = toml.loads((info.path / "plan.toml").read_text(encoding="utf-8")).get("base", "")
        except (OSError, ValueError):
            continue
        if isinstance(base, str) and base and Path(base).name == id:
            out.append(f"'{info.title}' was trained from it; it still works, but cannot be trained again.")
    return out
