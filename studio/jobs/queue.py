"""Queue of trainings in SQLite: one row per training, and which state may follow which."""

import contextlib
import datetime
import logging
import secrets
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import filelock

from studio.common.databases import is_damaged, says_damaged, set_aside, text_of
from studio.errors import StudioError
from studio.jobs.recovery import MESSAGE, readable_rows, runs_with_plan

log = logging.getLogger(__name__)

_SCHEMA = 1
ENDED = ("done", "failed", "cancelled")
# 'stopping' is a running job that was asked for something; its `request` says what.
_MAY_FOLLOW = {
    "queued": ("running", "stopping", "paused", "cancelled", "failed"),
    "running": ("stopping", "queued", "paused", "done", "failed", "cancelled"),
    "stopping": ("queued", "paused", "done", "failed", "cancelled"),
    "paused": ("queued", "cancelled", "done"),
    "done": (),
    "failed": ("queued",),
    "cancelled": ("queued",),
}


@dataclass(frozen=True)
class Job:
    """A training in the queue."""

    id: str
    title: str
    state: str
    """queued, running, stopping, paused, done, failed or cancelled."""
    plan_toml: str
    run_dir: str
    """Folder of the run."""
    created: str
    """ISO 8601, UTC, like the next two."""
    started: str = ""
    """Empty = not yet."""
    ended: str = ""
    """Empty = not yet."""
    restarts: int = 0
    """How often its worker died by itself since a person last started it."""
    handle: str = ""
    """The launcher's name of its worker, empty = none."""
    slot: int = -1
    """Number of the accelerator, -1 = none."""
    request: str = ""
    """What a stopping job was asked for: 'pause', 'finish' or 'cancel'. It stays when the worker died before it could obey."""
    message: str = ""
    """A sentence for people."""


# Attribute of a Job -> column. The names of columns never change, so that every studio opens the queues of earlier ones.
_COLUMNS = {f.name: f.name for f in fields(Job)} | {"request": "wish"}


class JobStore:
    """Rows of the queue in the file `path`. Several processes and threads may use it at the same time.

    now: the current time, which goes into the rows.  runs: folder of the runs, default beside the file.
    A damaged file, or one that was cut to nothing, is set aside and made again from what can be read and from the runs.
    """

    def __init__(
        self,
        path: Path,
        now: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(datetime.timezone.utc),
        runs: Path | None = None,
    ):
        self.path, self._now = Path(path), now
        self.runs = self.path.parent / "runs" if runs is None else Path(runs)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as e:
            raise StudioError(f"The folder {self.path.parent} cannot be made: {e.strerror or e}.", "--home names another one.") from None
        if self._is_damaged():
            self._recover()
        with self._open() as db:
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version > _SCHEMA:
                raise StudioError(f"The queue {self.path} was written by a newer studio.", "Open it with that one.")
            self._make_table(db)

    @staticmethod
    def _make_table(db: sqlite3.Connection) -> None:
        types = {_COLUMNS[f.name]: "INTEGER" if f.type is int else "TEXT" for f in fields(Job)}
        columns = ", ".join(f"{name} {type_} NOT NULL" for name, type_ in types.items() if name != "id")
        db.execute(f"CREATE TABLE IF NOT EXISTS jobs (id TEXT PRIMARY KEY, {columns})")
        db.execute(f"PRAGMA user_version = {_SCHEMA}")

    @contextlib.contextmanager
    def _open(self, recover: bool = True) -> Iterator[sqlite3.Connection]:
        """Open the database in a transaction that locks out other writers.

        Raises StudioError when it cannot be used; a damaged one is then made again already.
        """
        try:
            db = sqlite3.connect(self.path, timeout=30, isolation_level=None)
        except sqlite3.Error as e:
            raise self._failed(e) from None
        try:
            db.row_factory, db.text_factory = sqlite3.Row, text_of
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
            except BaseException:
                with contextlib.suppress(sqlite3.Error):  # a full disk may have rolled it back already
                    db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")
        except (sqlite3.Error, UnicodeDecodeError) as e:
            db.close()
            if not (recover and says_damaged(e)):
                raise self._failed(e) from None
            self._recover()
            raise StudioError(MESSAGE, "Look through the list, then try again.") from None
        finally:
            db.close()

    def _failed(self, error: Exception) -> StudioError:
        text = str(error)
        hint = "Is the disk full?" if "full" in text else "Another studio may be writing to it: try again in a moment."
        if "unable to open" in text or "readonly" in text:
            hint = "May you write in its folder? --home names another one."
        return StudioError(f"The queue {self.path} cannot be used: {error}.", hint)

    def _is_damaged(self) -> bool:
        """Whether the file is no sound queue, or was cut to nothing although there are runs."""
        with contextlib.suppress(FileNotFoundError):
            if self.path.stat().st_size == 0:
                return any(self.runs.glob("*/job.toml"))
        if is_damaged(self.path, "jobs", _COLUMNS.values()):
            return True
        # Sound pages may hold damaged text.
        with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(self.path, timeout=30)) as db:
            return db.execute("SELECT count(*) FROM jobs").fetchone()[0] > len(readable_rows(self.path, _COLUMNS.values(), _MAY_FOLLOW))
        return False

    def _recover(self) -> None:
        """Set a damaged queue aside and make it again: rows that can be read stay, other runs get a row of what their folder says."""
        try:
            with filelock.FileLock(self.path.with_name(f".{self.path.name}.lock"), timeout=30):
                if not self._is_damaged():
                    return  # another process was quicker
                rows = readable_rows(self.path, _COLUMNS.values(), _MAY_FOLLOW)
                aside = set_aside(self.path)
                runs = [row for row in runs_with_plan(self.runs) if row["id"] not in rows]
                log.warning("%s is damaged and set aside as %s; kept %d rows, made %d", self.path, aside.name, len(rows), len(runs))
                with self._open(recover=False) as db:
                    self._make_table(db)
                    for row in sorted([*rows.values(), *runs], key=lambda row: row["created"]):
                        _insert(db, {_COLUMNS[f.name]: f.default for f in fields(Job)} | row)
        except (OSError, filelock.Timeout) as e:
            raise StudioError(f"The queue {self.path} is damaged and cannot be set aside: {e}.", "May you write in its folder?") from None

    def new_id(self) -> str:
        """A new job id: the time, so that ids sort by age, and random digits."""
        return f"{self._now():%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"

    def add(self, title: str, plan_toml: str, run_dir: Path, id: str) -> Job:
        """Add a row in the state 'queued'."""
        job = Job(id, title, "queued", plan_toml, str(run_dir), self._now().isoformat(timespec="microseconds"))
        with self._open() as db:
            _insert(db, {column: getattr(job, name) for name, column in _COLUMNS.items()})
        return job

    def list(self) -> "list[Job]":
        """All jobs, newest first."""
        with self._open() as db:
            # By their number and not by the time: the clock may have been set back.
            rows = db.execute("SELECT * FROM jobs ORDER BY rowid DESC").fetchall()
        return [_job(row) for row in rows]

    def get(self, id: str) -> Job:
        """The job whose id is, starts with or ends with `id`. Raises StudioError when there is none, or several."""
        found = [j for j in self.list() if j.id == id] or [j for j in self.list() if id and (j.id.startswith(id) or j.id.endswith(id))]
        if len(found) == 1:
            return found[0]
        if found:
            raise StudioError(f"'{id}' matches {len(found)} trainings.", "Give more letters of the id.")
        raise StudioError(f"There is no training '{id}'.", "'studio jobs list' lists those that exist.")

    def change(self, id: str, state: str | None = None, only_from: tuple[str, ...] | None = None, **values) -> Job:
        """Set the state, and other attributes of Job. Raises StudioError when the job's current state does not allow it.

        only_from: the only states in which anything is changed.
        """
        with self._open() as db:
            row = db.execute("SELECT * FROM jobs WHERE id = ?", [id]).fetchone()
            if row is None:
                raise StudioError(f"There is no training '{id}'.", "It may have been deleted.")
            now = row["state"]
            allowed = state is None or state == now or state in _MAY_FOLLOW[now]
            if not allowed or (only_from is not None and now not in only_from):
                raise StudioError(f"The training '{row['title']}' is {now}.", f"It cannot become {state} from there." if state else "")
            if state is not None and state != now:
                values["state"] = state
                time = self._now().isoformat(timespec="seconds")
                values |= {"started": time, "ended": ""} if state == "running" else {"ended": time} if state in ENDED else {}
            if values:
                names = ", ".join(f"{_COLUMNS[name]} = ?" for name in values)
                db.execute(f"UPDATE jobs SET {names} WHERE id = ?", [*values.values(), id])
            row = db.execute("SELECT * FROM jobs WHERE id = ?", [id]).fetchone()
        return _job(row)

    def remove(self, id: str) -> None:
        """Delete the row of an ended job; its run folder stays. Raises StudioError for a job that has not ended."""
        job = self.get(id)
        if job.state not in ENDED:
            raise StudioError(f"The training '{job.title}' is {job.state}.", "Cancel it first.")
        with self._open() as db:
            db.execute("DELETE FROM jobs WHERE id = ?", [job.id])


def _job(row: sqlite3.Row) -> Job:
    return Job(**{name: row[column] for name, column in _COLUMNS.items()})


def _insert(db: sqlite3.Connection, row: dict) -> None:
    db.execute(f"INSERT INTO jobs ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})", list(row.values()))
