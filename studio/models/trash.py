"""Trash of models: models in it can be restored until it is emptied."""

import contextlib
import datetime
import json
import logging
import os
import secrets
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from studio.common import toml
from studio.common.files import fsync_path
from studio.errors import StudioError
from studio.models.folder import ModelInfo, is_safe_name
from studio.models.library import Library
from studio.models.manage import COPY_PREFIX, TRASH, model_files, move_into_library, own_model

_log = logging.getLogger(__name__)
_GONE = ".gone-"  # prefix of entries that are being deleted
_TIME = "%Y%m%dT%H%M%SZ"
_LEFTOVER = datetime.timedelta(days=1)  # a copy of this age is no longer being made


@dataclass(frozen=True)
class TrashedModel:
    """A model in the trash.

    id: of this entry.  model: the id it had.  path: its current folder.  when: UTC.  size: bytes.
    """

    id: str
    model: str
    title: str
    path: Path
    when: datetime.datetime
    size: int


def _utc() -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc)


def move_to_trash(library: Library, id: str, now: Callable[[], datetime.datetime] = _utc) -> TrashedModel:
    """Move a model to the trash. Raises StudioError when it is not the artist's own."""
    info = own_model(library, id, "moved to the trash")
    entry = library.roots[0] / TRASH / f"{now():{_TIME}}-{secrets.token_hex(3)}"
    entry.mkdir(parents=True)
    try:
        os.replace(info.path, entry / info.id)
    except OSError as e:
        entry.rmdir()
        raise StudioError(f"'{info.title}' cannot be moved to the trash: {e.strerror or e}.", "Does a program have its files open?") from e
    fsync_path(entry)
    fsync_path(info.path.parent)
    trashed = _entry_model(entry)
    assert trashed is not None
    return trashed


def list_trash(library: Library) -> list[TrashedModel]:
    """Models in the trash, newest first."""
    trash_folder = library.roots[0] / TRASH
    entries = [_entry_model(entry) for entry in trash_folder.iterdir()] if trash_folder.is_dir() else []
    return sorted((t for t in entries if t is not None), key=lambda t: (t.when, t.id), reverse=True)


def _entry_model(entry: Path) -> TrashedModel | None:
    """The model in an entry of the trash; None if a killed studio left it empty, and for anything else."""
    when = _time_of(entry)
    for path in entry.iterdir() if when and entry.is_dir() else ():
        if is_safe_name(path.name) and path.is_dir():
            try:
                title = json.loads((path / "config.json").read_text(encoding="utf-8"))["title"]
            except (OSError, ValueError, KeyError, TypeError):
                title = path.name
            assert when is not None
            return TrashedModel(entry.name, path.name, str(title), path, when, sum(size for _, _, size in model_files(path)))
    return None


def _time_of(entry: Path) -> datetime.datetime | None:
    try:
        return datetime.datetime.strptime(entry.name.partition("-")[0], _TIME).replace(tzinfo=datetime.timezone.utc)
    except ValueError:
        return None


def restore(library: Library, entry_id: str) -> ModelInfo:
    """Move a model from the trash back into the library, under its old name or the next free one (-2, ...).

    Raises StudioError when it is not in the trash.
    """
    trashed = next((t for t in list_trash(library) if t.id == entry_id), None)
    if trashed is None:
        raise StudioError("That model is no longer in the trash.", "Reload the page to see what is there.")
    try:
        info = move_into_library(library, trashed.path, trashed.model)
    except OSError as e:
        raise StudioError(f"'{trashed.title}' cannot be restored: {e.strerror or e}.", "Does a program have its files open?") from e
    with contextlib.suppress(OSError):
        trashed.path.parent.rmdir()
    return info


def empty_trash(library: Library, older_than_days: float = 30, now: Callable[[], datetime.datetime] = _utc) -> int:
    """Delete permanently what has been in the trash that long, and what killed studios left unfinished. Returns the number of models."""
    trash_folder, today, count = library.roots[0] / TRASH, now(), 0
    for entry in list(trash_folder.iterdir()) if trash_folder.is_dir() else ():
        when = _time_of(entry)
        try:
            if when is not None and today - when >= datetime.timedelta(days=older_than_days):
                count += _entry_model(entry) is not None
                # The entry leaves the list at once; then its files are deleted.
                gone = trash_folder / f"{_GONE}{secrets.token_hex(6)}"
                os.replace(entry, gone)
                shutil.rmtree(gone, ignore_errors=True)
            elif entry.name.startswith(_GONE) or (
                entry.name.startswith(COPY_PREFIX) and today.timestamp() - entry.stat().st_mtime > _LEFTOVER.total_seconds()
            ):
                shutil.rmtree(entry, ignore_errors=True)
        except OSError as e:  # another studio on the same home was quicker, or a program has it open: retried next time
            _log.warning("%s stays in the trash: %s", entry, e)
    return count


def dependants(library: Library, id: str) -> list[str]:
    """Sentences on the models that were trained from this one, to show when it is moved to the trash."""
    out = []
    for info in library.scan()[0]:
        try:
            base = toml.loads((info.path / "plan.toml").read_text(encoding="utf-8")).get("base", "")
        except (OSError, ValueError):
            continue
        if isinstance(base, str) and base and Path(base).name == id:
            out.append(f"'{info.title}' was trained from it; it still works, but cannot be trained again.")
    return out
