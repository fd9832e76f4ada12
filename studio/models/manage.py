"""Management of models in the library: titles, copies, snapshots that are kept, and zips to take them elsewhere.

A model moves by a single rename, so a studio that is killed at any moment leaves it complete, at its old or its new place.
Unfinished copies are in the trash folder, which no list shows, until `empty_trash` clears them.
"""

import contextlib
import json
import os
import re
import secrets
import shutil
import zipfile
from pathlib import Path
from typing import IO

from studio.common.files import atomic_file, atomic_folder, atomic_write, ensure_room, fsync_path
from studio.common.progress import Cancel, Progress, raise_if_cancelled, report
from studio.common.text import printable
from studio.errors import StudioError
from studio.models.card import quoted
from studio.models.folder import ModelInfo, open_folder, safe_name
from studio.models.library import Library

TRASH = ".bin"  # folder among the artist's own models, so that a rename can reach it; the dot keeps it out of every list
COPY_PREFIX = ".new-"  # prefix of unfinished copies
_BLOCK = 1 << 20
_MAX_TITLE = 120
_MAX_CARD_BYTES = 1 << 20
_ZIP_DATE = (1980, 1, 1, 0, 0, 0)


def is_own(library: Library, info: ModelInfo) -> bool:
    """Whether the artist may rename a model or move it to the trash: its folder is among their own, and not read-only."""
    return bool(info.hash) and info.path.parent == Path(os.path.abspath(library.roots[0])) and not info.readonly


def own_model(library: Library, id: str, action: str) -> ModelInfo:
    """A model that the artist may change. Raises StudioError for any other.  action: past participle, such as 'renamed'."""
    info = next((m for m in library.scan()[0] if m.id == id), None) or library.get(id)
    if is_own(library, info):
        return info
    if not info.hash:
        raise StudioError(
            f"'{info.title}' comes with a package and is not in the library yet: it cannot be {action}.", "Use it once, then try again."
        )
    if info.path.parent != Path(os.path.abspath(library.roots[0])):
        raise StudioError(f"'{info.title}' came with the studio: it cannot be {action}.", "Duplicate it: the copy is yours.")
    raise StudioError(f"'{info.title}' is read-only: it cannot be {action}.", f"Duplicate it, or allow writing to {info.path}.")


# -- titles ---------------------------------------------------------------------------------------------------------------


def rename(library: Library, id: str, title: str) -> ModelInfo:
    """Change the title of a model, in its config and on its card. Its id stays, because saved pictures find their model by it.

    Raises StudioError when the title is not valid, or the model is not the artist's own.
    """
    title = checked_title(title)
    info = own_model(library, id, "renamed")
    try:
        _retitle(info.path, info.title, title)
    except OSError as e:
        raise StudioError(f"'{info.title}' cannot be renamed: {e.strerror or e}.", f"Is there room on the disk of {info.path}?") from e
    return open_folder(info.path)


def checked_title(title: str) -> str:
    """A title on one line. Raises StudioError when it is empty, too long, or has characters that cannot be seen."""
    title = " ".join(str(title).split())
    if not title:
        raise StudioError("The name is empty.", "Enter one.")
    if len(title) > _MAX_TITLE or not title.isprintable():
        raise StudioError(f"'{printable(title, 40)}' cannot be the name of a model.", f"Use up to {_MAX_TITLE} letters.")
    return title


def _retitle(folder: Path, old: str, new: str) -> None:
    # The card first: if the config came first and the studio were killed in between, the old title on the card could not be found.
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
    """The card with the new title in its YAML head and in its first heading, unless that heading says something else."""
    parts = re.match(r"(---\r?\n.*?\n---\r?(?:\n|$))?(.*)", card, re.DOTALL)
    assert parts is not None  # both parts may be empty
    head, body = parts.groups(default="")
    head = re.sub(r"(?m)^model_name:(?! *[|>]).*?(?=\r?$)", lambda _: f"model_name: {quoted(new)}", head, count=1)
    same = re.escape(" ".join(old.split()))
    return head + re.sub(rf"\A(\s*# ){same}(?=[ \t]*\r?(?:\n|\Z))", lambda m: m[1] + new, body)


# -- copies ---------------------------------------------------------------------------------------------------------------


def duplicate(
    library: Library, id: str, title: str | None = None, progress: Progress | None = None, cancel: Cancel | None = None
) -> ModelInfo:
    """Copy any model into the artist's own; a bundled model becomes a folder first.

    title: None = that of the model, with '(copy)'.  progress: called with (done, all) in bytes.
    cancel: asked while copying; when true CancelledError is raised and nothing is left behind.
    Raises StudioError when the disk is full.
    """
    title = None if title is None else checked_title(title)
    info = library.get(id)
    title = title or checked_title(f"{' '.join(info.title.split())[: _MAX_TITLE - 10]} (copy)")
    files, trash_folder = model_files(info.path), library.roots[0] / TRASH
    trash_folder.mkdir(parents=True, exist_ok=True)
    ensure_room(trash_folder, size_of(info))
    copy = trash_folder / f"{COPY_PREFIX}{secrets.token_hex(6)}"
    copier = _FileCopier(sum(size for _, _, size in files), progress, cancel)
    try:
        copy.mkdir()
        for name, source, _ in files:
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            with open(copy / name, "wb") as f:
                copier.copy(source, f)
                f.flush()
                os.fsync(f.fileno())
        _retitle(copy, info.title, title)
        for folder in (*(p for p in copy.rglob("*") if p.is_dir()), copy):
            fsync_path(folder)
        return move_into_library(library, copy, safe_name(title))
    except OSError as e:
        raise StudioError(f"'{info.title}' cannot be copied: {e.strerror or e}.", f"Is there room on the disk of {trash_folder}?") from e
    finally:
        shutil.rmtree(copy, ignore_errors=True)


def keep_snapshot(library: Library, snapshot: Path, name: str | None = None, title: str | None = None) -> ModelInfo:
    """Copy a training snapshot into the library and return the model there; if it was copied before, that copy is returned.

    snapshot: its model folder.  name: of the model's folder, or the next free one; None = its title and the snapshot's name.
    title: None = that of the snapshot.
    Raises StudioError when the snapshot is broken, or the title is not valid.
    """
    title = None if title is None else checked_title(title)
    info = open_folder(snapshot)
    name = safe_name(name or f"{title or info.title}-{info.id}")
    own = library.roots[0] / name
    if own.is_dir():
        with contextlib.suppress(StudioError):  # a broken folder of that name is not a copy
            found = open_folder(own)
            if found.hash == info.hash:
                return found
    own = library.roots[0] / library.free_name(name)
    with atomic_folder(own) as part:
        shutil.copytree(info.path, part, dirs_exist_ok=True)
        if title is not None and title != info.title:
            _retitle(part, info.title, title)
    return library.get(own.name)


def move_into_library(library: Library, folder: Path, wanted: str) -> ModelInfo:
    """Move a folder from the trash to the artist's own models, under the wanted name or the next free one."""
    while True:
        path = Path(os.path.abspath(library.roots[0])) / library.free_name(wanted)
        try:
            os.replace(folder, path)
        except OSError:
            if not path.exists():
                raise
            continue  # the name was taken in between
        fsync_path(path.parent)
        return open_folder(path)


class _FileCopier:
    """Copies files block by block, reports progress, and stops when asked to."""

    def __init__(self, all_: int, progress: Progress | None, cancel: Cancel | None):
        self.done, self.all, self.progress, self.cancel = 0, all_, progress, cancel

    def copy(self, source: Path, out: IO[bytes]) -> None:
        with open(source, "rb") as f:
            while block := f.read(_BLOCK):
                raise_if_cancelled(self.cancel)
                out.write(block)
                self.done += len(block)
                report(self.progress, self.done, self.all)


def model_files(folder: Path) -> list[tuple[str, Path, int]]:
    """(name with '/', path, bytes) of every file of a model folder, sorted by name; without hidden files, and without links to
    those or out of the folder."""
    home, out = os.path.realpath(folder), []
    for top, folders, names in os.walk(folder):
        folders[:] = [d for d in folders if not d.startswith(".")]
        for name in names:
            path = Path(top, name)
            inside = os.path.commonpath([home, os.path.realpath(path)]) == home
            if inside and not name.startswith(".") and name.isprintable() and path.is_file():
                with contextlib.suppress(FileNotFoundError):  # it went away meanwhile
                    out.append((path.relative_to(folder).as_posix(), path, path.stat().st_size))
    return sorted(out)


def size_of(info: ModelInfo) -> int:
    """Bytes of the model's folder; 0 for a bundled model that is no folder yet."""
    return sum(size for _, _, size in model_files(info.path))


def export_zip(info: ModelInfo, out: Path, progress: Progress | None = None, cancel: Cancel | None = None) -> Path:
    """Write the model folder as a zip, in a folder named by its id. The same model gives the same bytes.

    progress: called with (done, all) in bytes.  cancel: asked while writing; when true CancelledError is raised and nothing is
    left behind.  Raises StudioError when the disk is full or a file cannot be read.
    """
    out, files = Path(out), model_files(info.path)
    copier = _FileCopier(sum(size for _, _, size in files), progress, cancel)
    out.parent.mkdir(parents=True, exist_ok=True)
    ensure_room(out.parent, copier.all)
    try:
        # Stored, not compressed: weights hardly shrink, and every zip library writes the same bytes.
        with atomic_file(out) as f, zipfile.ZipFile(f, "w", zipfile.ZIP_STORED) as archive:
            for name, source, size in files:
                entry = zipfile.ZipInfo(f"{info.id}/{name}", _ZIP_DATE)
                entry.create_system, entry.external_attr, entry.file_size = 3, 0o100644 << 16, size
                with archive.open(entry, "w") as part:
                    copier.copy(source, part)
    except OSError as e:
        raise StudioError(f"'{info.title}' cannot be exported: {e.strerror or e}.", f"Is there room on the disk of {out.parent}?") from e
    return out
