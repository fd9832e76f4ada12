"""Queue of trainings in SQLite: one row per training, and which state may follow which."""

import contextlib
import datetime
import secrets
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path

from studio.errors import StudioError

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

    now: the current time, which goes into the rows.
    """

    def __init__(self, path: Path, now: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(datetime.timezone.utc)):
        self.path, self._now = Path(path), now
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._open() as db:
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version > _SCHEMA:
                raise StudioError(f"The queue {self.path} was written by a newer studio.", "Open it with that one.")
            types = {_COLUMNS[f.name]: "INTEGER" if f.type is int else "TEXT" for f in fields(Job)}
            columns = ", ".join(f"{name} {type_} NOT NULL" for name, type_ in types.items() if name != "id")
            db.execute(f"CREATE TABLE IF NOT EXISTS jobs (id TEXT PRIMARY KEY, {columns})")
            db.execute(f"PRAGMA user_version = {_SCHEMA}")

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """Open the database in a transaction that locks out other writers."""
        try:
            db = sqlite3.connect(self.path, timeout=30, isolation_level=None)
        except sqlite3.Error as e:
            raise StudioError(
                f"The queue {self.path} cannot be opened: {e}.", "Is the disk full, or does the file belong to someone else?"
            ) from None
        try:
            db.row_factory = sqlite3.Row
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
            except BaseException:
                db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")
        except sqlite3.Error as e:
            raise StudioError(f"The queue {self.path} cannot be used: {e}.", "Is the disk full?") from None
        finally:
            db.close()

    def new_id(self) -> str:
        """A new job id: the time, so that ids sort by age, and random digits."""
        return f"{self._now():%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"

    def add(self, title: str, plan_toml: str, run_dir: Path, id: str) -> Job:
        """Add a row in the state 'queued'."""
        job = Job(id, title, "queued", plan_toml, str(run_dir), self._now().isoformat(timespec="microseconds"))
        with self._open() as db:
            placeholders = ", ".join("?" * len(_COLUMNS))
            values = [getattr(job, name) for name in _COLUMNS]
            db.execute(f"INSERT INTO jobs ({', '.join(_COLUMNS.values())}) VALUES ({placeholders})", values)
        return job

    def list(self) -> "list[Job]":
        """All jobs, newest first."""
        with self._open() as db:
            rows = db.execute("SELECT * FROM jobs ORDER BY created DESC").fetchall()
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
