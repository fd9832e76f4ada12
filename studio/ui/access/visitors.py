"""Visitors: strangers in one studio. Each has files of their own, which are deleted when they leave."""

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

from studio.ui.access.upload_quota import DAY, UploadQuota
from studio.ui.session import Workspace

_SWEEP_INTERVAL = 600  # seconds between searches for old files
MAX_UPLOAD_BYTES = 100 << 20  # of one file
MOST_UPLOADED = 512 << 20  # bytes that one visitor may upload before they leave, or in a day
MOST_OF_ADDRESS = 8 * MOST_UPLOADED  # of all visitors at one address: a router, a school, a proxy
_HALF_SENT = 3600  # seconds after which a file whose upload was broken off is deleted
# Folder for browsers that keep no cookie: whoever has the address of a file there, which cannot be guessed, may fetch it.
_OPEN = "open"
_COOKIE = re.compile("[A-Za-z0-9_-]{32,64}")
_MAX_SESSIONS = 100_000  # Gradio sessions whose browsers are remembered
_log = logging.getLogger(__name__)


class Visitors:
    """The folder of all visitors' files: of-<browser>/<session>/outputs and .../sources, and one folder for each upload.

    A browser is recognised by a cookie; only its hash is stored. Gradio's own cache must be this same folder, so that visitors have
    no files anywhere else.
    folder: emptied at the start, unless another studio is using it.  clock: seconds, not the time of day, which may be set.
    Raises OSError when the folder cannot be written.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic):
        self.folder, self._clock = Path(folder).resolve(), clock
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._uploaders: dict[str, set[str]] = {}  # folder of an upload -> browsers it came from
        self._open: dict[str, set[str]] = {}  # browser -> its sessions
        self._seen: dict[Path, tuple[float, float]] = {}  # file or folder -> its newest file time, and when that was first seen
        self._quota = UploadQuota(self._clock)
        self._swept = self._clock()
        self._sessions: OrderedDict[str, str] = OrderedDict()  # session hash of Gradio -> browser
        self._alone = filelock.FileLock(self.folder / ".lock", thread_local=False)
        try:
            self._alone.acquire(timeout=0)
        except filelock.Timeout:
            self.sweep()
        else:
            self._empty()

    def close(self) -> None:
        """Delete everything, unless another studio uses the folder."""
        if self._alone.is_locked:
            self._empty()
            self._alone.release()

    def _empty(self) -> None:
        for path in self.folder.iterdir():
            if path.name != ".lock":
                _remove(path)

    # -- browsers and their sessions -----------------------------------------------------------------------------

    @staticmethod
    def new_cookie() -> str:
        """A cookie for a browser that has none yet."""
        return secrets.token_urlsafe(32)

    @staticmethod
    def browser_of(cookie: str | None) -> str:
        """Name of the folder of the browser with this cookie. All browsers without a valid one share a folder."""
        if not cookie or not _COOKIE.fullmatch(cookie):
            return _OPEN
        return "of-" + hashlib.sha256(cookie.encode()).hexdigest()[:32]

    def workspace(self, browser: str, session: str) -> Workspace:
        """A folder for the files of a new session."""
        self._sweep_when_due()
        with self._lock:
            self._open.setdefault(browser, set()).add(session)
        workspace = Workspace(self.folder / browser / session, guest=True)
        workspace.folder.mkdir(parents=True, exist_ok=True)
        self._unused_for(workspace.folder)
        return workspace

    def end(self, workspace: Workspace) -> None:
        """Delete the files of a session and, when it was the last one of its browser, the browser's uploads."""
        browser, session = workspace.folder.parent.name, workspace.folder.name
        _remove(workspace.folder)
        with self._lock:
            left = self._open.get(browser, set())
            left.discard(session)
            if left or browser == _OPEN:
                return
            self._open.pop(browser, None)
            self._quota.left(browser)
            for uploaders in self._uploaders.values():
                uploaders.discard(browser)
            orphaned = [name for name, uploaders in self._uploaders.items() if not uploaders]
            for name in orphaned:
                del self._uploaders[name]
        for name in [*orphaned, browser]:
            _remove(self.folder / name)

    def owns(self, browser: str, session_hash: str) -> bool:
        """Whether a session of Gradio belongs to this browser: the first one that names a session owns it."""
        with self._lock:
            if len(self._sessions) > _MAX_SESSIONS:
                self._sessions.popitem(last=False)
            return self._sessions.setdefault(session_hash, browser) == browser

    def visitor_of(self, session_hash: str) -> str:
        """The browser that owns a session of Gradio; '' for one that is not known, and for those without a cookie."""
        with self._lock:
            browser = self._sessions.get(session_hash, "")
        return "" if browser == _OPEN else browser

    # -- files ---------------------------------------------------------------------------------------------------

    def render_folder(self) -> Path:
        """A new folder for a picture requested through the API."""
        self._sweep_when_due()
        folder = self.folder / _OPEN / secrets.token_hex(16)
        folder.mkdir(parents=True)
        self._unused_for(folder)
        return folder

    def uploaded(self, browser: str, paths: Iterable[str]) -> None:
        """Remember that this browser uploaded these files, which are in the folder already."""
        with self._lock:
            for path in paths:
                self._uploaders.setdefault(self._first(path), set()).add(browser)
                self._unused_for(self.folder / self._first(path))

    def may_read(self, browser: str, path: str) -> bool:
        """Whether a browser may read a file: one of its own, or one open to everybody who knows its name."""
        first = self._first(path)
        with self._lock:
            uploaders = self._uploaders.get(first, set())
        return first in (browser, _OPEN) or bool({browser, _OPEN} & uploaders)

    def contains(self, path: str) -> bool:
        """Whether a path leads into the folder, links followed."""
        return bool(self._first(path))

    def _first(self, path: str) -> str:
        """The first part of a path below the folder; '' when it is not below."""
        try:
            return Path(os.path.realpath(path)).relative_to(self.folder).parts[0]
        except (ValueError, IndexError, OSError):
            return ""

    def sweep(self) -> None:
        """Delete what nobody has used for a day, and what was left of uploads that were broken off."""
        parts: list[Path] = []
        for path in self.folder.iterdir():
            if path.is_dir() and path.name.startswith(("of-", _OPEN)):
                with contextlib.suppress(OSError):  # it may just have been deleted
                    parts += [p for p in path.iterdir() if p.is_dir()]
            elif path.name != ".lock":
                parts.append(path)
        for part in parts:
            if self._unused_for(part) >= (DAY if part.is_dir() else _HALF_SENT):
                _remove(part)
        self._seen = {path: seen for path, seen in self._seen.items() if path.exists()}

    def _unused_for(self, path: Path) -> float:
        """Seconds since something below a path was last seen to change. Times of files are only compared with each other."""
        newest, now = _newest(path), self._clock()
        before = self._seen.get(path)
        if before is None or before[0] != newest:
            self._seen[path] = before = newest, now
        return now - before[1]

    def receive(self, browser: str, address: str, count: int) -> bool:
        """Count bytes of an upload. Returns False, and counts nothing, when the visitor or the address may not upload so many more."""
        return self._quota.take("" if browser == _OPEN else browser, address, count, MOST_UPLOADED, MOST_OF_ADDRESS)

    def _sweep_when_due(self) -> None:
        with self._lock:
            due = self._clock() - self._swept >= _SWEEP_INTERVAL
            self._swept = self._clock() if due else self._swept
        if due:
            self.sweep()


def _newest(folder: Path) -> float:
    times = [0.0]
    for path in (folder, *folder.rglob("*")):
        with contextlib.suppress(OSError):  # it may just have been deleted
            times.append(path.stat().st_mtime)
    return max(times)


def _remove(folder: Path) -> None:
    if folder.is_dir():
        shutil.rmtree(folder, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            folder.unlink(missing_ok=True)
    if folder.exists():
        _log.warning("%s could not be deleted", folder)
