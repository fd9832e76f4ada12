"""The gallery's two SQLite files: an index, which can be rebuilt at any time, and the marks (stars and tags), which cannot.

They are separate because the index is written all the time and may be lost, while the marks are rarely written and must not be.
"""

import contextlib
import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from filelock import FileLock

from studio.common.databases import check, is_damaged, says_damaged, set_aside, text_of
from studio.errors import StudioError

log = logging.getLogger(__name__)
T = TypeVar("T")

_SCHEMA = 1
_TIMEOUT = 30  # seconds that one process waits for another
_PICTURES = """CREATE TABLE IF NOT EXISTS pictures (
    path TEXT PRIMARY KEY, made INTEGER NOT NULL, size INTEGER NOT NULL, tab TEXT NOT NULL, kind TEXT NOT NULL, width INTEGER NOT NULL,
    height INTEGER NOT NULL, verb TEXT NOT NULL, model TEXT NOT NULL, seed INTEGER, words TEXT NOT NULL)"""
_NEWEST = "CREATE INDEX IF NOT EXISTS newest ON pictures (made, path)"
_MARKS = """CREATE TABLE IF NOT EXISTS marks.marks (
    path TEXT PRIMARY KEY, size INTEGER NOT NULL, sha256 TEXT NOT NULL, favourite INTEGER NOT NULL, tags TEXT NOT NULL)"""
_MARK_COLUMNS = ("path", "size", "sha256", "favourite", "tags")
PICTURE_COLUMNS = ("path", "made", "size", "tab", "kind", "width", "height", "verb", "model", "seed", "words")


class _Damaged(Exception):
    def __init__(self, path: Path):
        super().__init__(f"{path} is damaged")
        self.path = path


class Store:
    """The tables `pictures` (file `index`, in WAL mode) and `marks.marks` (file `marks`). Threads and processes may share them.

    A damaged file is renamed and created anew; marks that can still be read are carried over.
    If the folder cannot be written, the index is kept in memory and `keeps_marks` is False.
    """

    def __init__(self, index: Path, marks: Path):
        self.index, self.marks = Path(index), Path(marks)
        self.keeps_marks = True
        self._lock = threading.RLock()
        self._db: sqlite3.Connection | None = None

    def close(self) -> None:
        """Close the files. The next query opens them again."""
        with self._lock:
            if self._db is not None:
                self._db.close()
            self._db = None

    def read(self, sql: str, values: Sequence = ()) -> list[sqlite3.Row]:
        """Rows of a SELECT."""
        return self._with(lambda db: db.execute(sql, values).fetchall())

    def write(self, statements: Sequence[tuple[str, Sequence[Sequence]]]) -> None:
        """Execute each (SQL, rows of values) in one transaction."""

        def run(db: sqlite3.Connection) -> None:
            db.execute("BEGIN IMMEDIATE")
            try:
                for sql, rows in statements:
                    db.executemany(sql, rows)
                db.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):  # a full disk may have rolled it back already
                    db.execute("ROLLBACK")
                raise

        self._with(run)

    def write_mark(self, sql: str, values: Sequence) -> None:
        """Change a mark. Raises StudioError when marks cannot be saved."""

        def run(db: sqlite3.Connection) -> None:
            if not self.keeps_marks:
                raise sqlite3.OperationalError(f"{self.marks.parent} cannot be written")
            db.execute(sql, values)

        with self._lock:
            try:
                try:
                    run(self._opened())
                except (sqlite3.DatabaseError, UnicodeDecodeError) as e:
                    if not says_damaged(e):
                        raise
                    self._mend(e)
                    run(self._opened())
            except sqlite3.DatabaseError as e:
                raise StudioError(f"Stars and tags cannot be saved: {e}.", "Check the folder's permissions and free space.") from None

    def _with(self, act: Callable[[sqlite3.Connection], T]) -> T:
        with self._lock:
            try:
                return act(self._opened())
            except (sqlite3.DatabaseError, UnicodeDecodeError) as e:
                if says_damaged(e) and self.keeps_marks:
                    self._mend(e)
                elif isinstance(e, sqlite3.OperationalError) and self.keeps_marks and "locked" not in str(e):
                    self.close()
                    self._db = self._in_memory(e)
                else:
                    raise StudioError(f"The gallery's index cannot be used: {e}.", "Try again in a moment.") from None
            try:
                return act(self._opened())
            except (sqlite3.DatabaseError, UnicodeDecodeError) as e:
                raise StudioError(f"The gallery's index cannot be used: {e}.", "Try again in a moment.") from None

    def _mend(self, why: Exception) -> None:
        """Set aside what is damaged; if nothing seems to be, go on in memory."""
        log.warning("the gallery's index cannot be read: %s", why)
        self.close()
        aside = [self._set_aside(path) for path in (self.index, self.marks)]
        if not any(aside):
            self._db = self._in_memory(why)

    # -- opening -------------------------------------------------------------------------------------------------

    def _opened(self) -> sqlite3.Connection:
        while self._db is None:
            try:
                self._db = self._on_disk()
            except _Damaged as e:
                try:
                    if not self._set_aside(e.path):
                        self._db = self._in_memory(e)
                except OSError as error:  # it stays where it is, and is not used
                    self._db = self._in_memory(error)
            except (OSError, sqlite3.OperationalError) as e:
                if "locked" in str(e):
                    raise StudioError(f"The gallery's index {self.index} is in use.", "Try again in a moment.") from None
                self._db = self._in_memory(e)
        return self._db

    def _on_disk(self) -> sqlite3.Connection:
        for folder in (self.index.parent, self.marks.parent):
            if not folder.is_dir():
                folder.mkdir(parents=True, exist_ok=True)
        db = _connect(str(self.index))
        try:
            with _detect_damage(self.index):
                db.execute("PRAGMA main.journal_mode = WAL")
                db.execute("PRAGMA main.synchronous = NORMAL")
                check(db, thorough=True)
                if db.execute("PRAGMA main.user_version").fetchone()[0] != _SCHEMA:
                    db.execute("DROP TABLE IF EXISTS main.pictures")
                db.execute(_PICTURES)
                db.execute(_NEWEST)
                db.execute(f"SELECT {', '.join(PICTURE_COLUMNS)} FROM main.pictures LIMIT 0")
                db.execute(f"PRAGMA main.user_version = {_SCHEMA}")
            with _detect_damage(self.marks):
                db.execute("ATTACH ? AS marks", [str(self.marks)])
                db.execute("PRAGMA marks.synchronous = FULL")
                check(db, "marks", thorough=True)
                if db.execute("PRAGMA marks.user_version").fetchone()[0] > _SCHEMA:
                    raise StudioError(f"The stars and tags in {self.marks} were written by a newer studio.", "Open them with that one.")
                db.execute(_MARKS)
                db.execute(f"SELECT {', '.join(_MARK_COLUMNS)} FROM marks.marks LIMIT 0")
                db.execute(f"PRAGMA marks.user_version = {_SCHEMA}")
        except BaseException:
            db.close()
            raise
        self.keeps_marks = True
        return db

    def _in_memory(self, why: Exception) -> sqlite3.Connection:
        """A database in memory, filled with whatever can be read from the files."""
        log.warning("the gallery's index %s is kept in memory: %s", self.index, why)
        db = _connect(":memory:")
        with contextlib.suppress(sqlite3.Error, UnicodeDecodeError), contextlib.closing(_connect(_read_only(self.index))) as old:
            check(old, thorough=True)
            old.backup(db)
        db.execute(_PICTURES)
        db.execute(_NEWEST)
        db.execute("ATTACH ':memory:' AS marks")
        db.execute(_MARKS)
        _insert_marks(db, _readable_marks(self.marks))
        self.keeps_marks = False
        return db

    def _set_aside(self, path: Path) -> bool:
        """Set a file aside if it is damaged; what can be read of the marks is carried over. Returns whether it was, now or by another
        process meanwhile."""
        table, columns = ("marks", _MARK_COLUMNS) if path == self.marks else ("pictures", PICTURE_COLUMNS)
        before = _inode(path)
        with FileLock(path.with_name(f".{path.name}.lock")):
            if not is_damaged(path, table, columns, _TIMEOUT):
                return _inode(path) != before
            kept = _readable_marks(path) if path == self.marks else []
            aside = set_aside(path)
            log.warning("%s is damaged; it is set aside as %s", path, aside.name)
            if kept:
                db = _connect(":memory:")
                db.execute("ATTACH ? AS marks", [str(path)])
                db.execute(_MARKS)
                _insert_marks(db, kept)
                db.close()
        return True


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except OSError:
        return 0


def _connect(name: str) -> sqlite3.Connection:
    db = sqlite3.connect(name, timeout=_TIMEOUT, isolation_level=None, check_same_thread=False, uri=True)
    db.row_factory, db.text_factory = sqlite3.Row, text_of
    db.create_function("folded", 1, lambda text: (text or "").casefold(), deterministic=True)  # SQLite itself folds ASCII only
    return db


@contextlib.contextmanager
def _detect_damage(path: Path) -> Iterator[None]:
    """Raise _Damaged for this file where an error of SQLite means damage."""
    try:
        yield
    except (sqlite3.DatabaseError, UnicodeDecodeError) as e:
        if says_damaged(e):
            raise _Damaged(path) from e
        raise


def _read_only(path: Path) -> str:
    return f"{path.absolute().as_uri()}?mode=ro"


def _readable_marks(path: Path) -> list[tuple]:
    """Rows of a file of marks, read from both ends up to the damage; none if the file is missing."""
    rows: dict[str, tuple] = {}
    unusable = (sqlite3.Error, UnicodeDecodeError)
    with contextlib.suppress(*unusable), contextlib.closing(_connect(_read_only(path))) as db:
        for order in ("ORDER BY path ASC", "ORDER BY path DESC", "NOT INDEXED"):
            with contextlib.suppress(*unusable):
                for row in db.execute(f"SELECT {', '.join(_MARK_COLUMNS)} FROM marks {order}"):
                    if [type(value) for value in row] == [str, int, str, int, str]:
                        rows[row["path"]] = tuple(row)
    return list(rows.values())


def _insert_marks(db: sqlite3.Connection, rows: list[tuple]) -> None:
    db.execute("BEGIN")
    db.executemany("INSERT OR IGNORE INTO marks.marks VALUES (?, ?, ?, ?, ?)", rows)
    db.execute("COMMIT")
