"""Strangers in one studio: each has files of their own, which go when they leave."""

import contextlib
import hashlib
import logging
import os
import re
import secrets
import shutil
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from pathlib import Path

import filelock

from studio.ui.session import Workspace

DAY = 24 * 3600
_OFTEN = 600  # seconds between two looks for what is old
MOST_BYTES = 100 << 20  # of one file that a visitor hands in
_OPEN = "open"  # files of those whose browser keeps no cookie: whoever has the address, which cannot be guessed, may fetch them
_COOKIE = re.compile("[A-Za-z0-9_-]{32,64}")
_MOST_SESSIONS = 100_000  # whose owners are remembered
_log = logging.getLogger(__name__)


class Visitors:
    """The folder of all visitors' files: of-<browser>/<session>/outputs, .../sources, and one folder a file that was handed in.

    A browser is known by a cookie, of which only the hash is kept. Gradio's own cache is meant to be this folder, so that nothing
    of a visitor is anywhere else.
    folder: is emptied at first, unless another studio uses it as well.  clock: seconds since the epoch, comparable with times of files.
    Raises OSError when it cannot be written.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time):
        self.folder, self._clock = Path(folder).resolve(), clock
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._givers: dict[str, set[str]] = {}  # folder of a file that was handed in -> browsers it came from
        self._open: dict[str, set[str]] = {}  # browser -> its sessions
        self._swept = self._clock()
        self._sessions: OrderedDict[str, str] = OrderedDict()  # Gradio's name of a session -> browser
        self._alone = filelock.FileLock(self.folder / ".lock", thread_local=False)
        try:
            self._alone.acquire(timeout=0)
        except filelock.Timeout:
            self.sweep()
        else:
            self._empty()

    def close(self) -> None:
        """Delete everything, when no other studio uses the folder."""
        if self._alone.is_locked:
            self._empty()
            self._alone.release()

    def _empty(self) -> None:
        for path in self._folders():
            _remove(path)

    def _folders(self) -> list[Path]:
        return [p for p in self.folder.iterdir() if p.is_dir()]

    # -- browsers and their sessions -----------------------------------------------------------------------------

    @staticmethod
    def new_cookie() -> str:
        """For a browser that has none yet."""
        return secrets.token_urlsafe(32)

    @staticmethod
    def whose(cookie: str | None) -> str:
        """The browser of a cookie, as the name of its folder; that of all who have none."""
        if not cookie or not _COOKIE.fullmatch(cookie):
            return _OPEN
        return "of-" + hashlib.sha256(cookie.encode()).hexdigest()[:32]

    def place(self, whose: str, session: str) -> Workspace:
        """Where a new session keeps its files."""
        self._sweep_at_times()
        with self._lock:
            self._open.setdefault(whose, set()).add(session)
        place = Workspace(self.folder / whose / session, guest=True)
        place.folder.mkdir(parents=True, exist_ok=True)
        return place

    def end(self, place: Workspace) -> None:
        """Delete what a session has, and what its browser has handed in when that was its last one."""
        whose, session = place.folder.parent.name, place.folder.name
        _remove(place.folder)
        with self._lock:
            left = self._open.get(whose, set())
            left.discard(session)
            if left or whose == _OPEN:
                return
            self._open.pop(whose, None)
            for givers in self._givers.values():
                givers.discard(whose)
            unowned = [name for name, givers in self._givers.items() if not givers]
            for name in unowned:
                del self._givers[name]
        for name in [*unowned, whose]:
            _remove(self.folder / name)

    def owns(self, whose: str, session_hash: str) -> bool:
        """Whether this browser may speak for a session of Gradio's. The first that names one has it."""
        with self._lock:
            if len(self._sessions) > _MOST_SESSIONS:
                self._sessions.popitem(last=False)
            return self._sessions.setdefault(session_hash, whose) == whose

    # -- files ---------------------------------------------------------------------------------------------------

    def render_folder(self) -> Path:
        """A new folder for a picture that was asked for by the API."""
        self._sweep_at_times()
        folder = self.folder / _OPEN / secrets.token_hex(16)
        folder.mkdir(parents=True)
        return folder

    def handed_in(self, whose: str, paths: Iterable[str]) -> None:
        """A browser has sent these files, which are in the folder now."""
        with self._lock:
            for path in paths:
                self._givers.setdefault(self._first(path), set()).add(whose)

    def may(self, whose: str, path: str) -> bool:
        """Whether a browser may have a file: one of its own, or one that everybody may have who knows its name."""
        first = self._first(path)
        with self._lock:
            givers = self._givers.get(first, set())
        return first in (whose, _OPEN) or bool({whose, _OPEN} & givers)

    def inside(self, path: str) -> bool:
        """Whether a path leads into the folder."""
        return bool(self._first(path))

    def _first(self, path: str) -> str:
        """The first part of a path below the folder, '' when it is not below."""
        try:
            return Path(os.path.realpath(path)).relative_to(self.folder).parts[0]
        except (ValueError, IndexError, OSError):
            return ""

    def sweep(self) -> None:
        """Delete what nobody has used for a day."""
        before = self._clock() - DAY
        for path in self._folders():
            parts = [path]
            if path.name.startswith(("of-", _OPEN)):
                with contextlib.suppress(OSError):  # it may go meanwhile
                    parts = [p for p in path.iterdir() if p.is_dir()]
            for part in parts:
                if _newest(part) < before:
                    _remove(part)

    def _sweep_at_times(self) -> None:
        with self._lock:
            due = self._clock() - self._swept >= _OFTEN
            self._swept = self._clock() if due else self._swept
        if due:
            self.sweep()


def _newest(folder: Path) -> float:
    times = [0.0]
    for path in (folder, *folder.rglob("*")):
        try:
            times.append(path.stat().st_mtime)
        except OSError:
            pass  # it went meanwhile
    return max(times)


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        _log.warning("%s could not be deleted", folder)
