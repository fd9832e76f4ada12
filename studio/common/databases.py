"""SQLite files that may be damaged: whether they are, and how they are set aside."""

import contextlib
import datetime
import os
import sqlite3
from collections.abc import Iterable
from pathlib import Path

# Of what SQLite calls an operation's own fault, this means that something else is written in the file than was.
_DAMAGE = ("no such column", "malformed", "Could not decode", "unsupported file format", "not a database", "same text encoding")
MOST_VERSION = 1000  # of a schema, PRAGMA user_version; a larger one is no version but damage


def says_damaged(error: Exception) -> bool:
    """Whether an error of SQLite means that the file is damaged. It has no better word for that than DatabaseError; and Python cannot
    decode a message that quotes damaged text."""
    if isinstance(error, sqlite3.OperationalError):
        return any(words in str(error) for words in _DAMAGE)
    return type(error) is sqlite3.DatabaseError or isinstance(error, sqlite3.DataError | UnicodeDecodeError)


def text_of(data: bytes) -> str:
    """Text of a column, for `text_factory`: a damaged character is no reason to lose the row."""
    return data.decode("utf-8", "replace")


def check(db: sqlite3.Connection, name: str = "main", thorough: bool = False) -> None:
    """Check the pages of an open database. Raises an error for which `says_damaged` is true, and other errors of SQLite.

    thorough: compare its indexes and types too, which takes longer.
    """
    found = db.execute(f"PRAGMA {name}.{'integrity_check' if thorough else 'quick_check'}(1)").fetchone()[0]
    if found != "ok" or db.execute(f"PRAGMA {name}.user_version").fetchone()[0] > MOST_VERSION:
        raise sqlite3.DatabaseError(f"the check failed: {found}")


def is_damaged(path: Path, table: str, columns: Iterable[str], patience: float = 30) -> bool:
    """Whether a file is there and is no sound database, or its table, if there is one, lacks columns.

    patience: seconds to wait for other processes that use it.
    """
    if not path.exists():
        return False
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=patience)) as db:
            check(db, thorough=True)
            if db.execute("PRAGMA encoding").fetchone()[0] != "UTF-8":
                return True
            db.execute(f"SELECT {', '.join(columns)} FROM {table} LIMIT 0")
    except (sqlite3.Error, UnicodeDecodeError) as e:
        return says_damaged(e)
    return False


def set_aside(path: Path) -> Path:
    """Give a damaged file another name, and what SQLite keeps beside it too. Returns the new path. Raises OSError."""
    moment = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    aside = path.with_name(f"{path.name}.damaged-{moment}")
    number = 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.name}.damaged-{moment}-{number}")
    for ending in ("-wal", "-shm", "-journal"):
        with contextlib.suppress(FileNotFoundError):
            os.replace(f"{path}{ending}", f"{aside}{ending}")
    os.replace(path, aside)
    return aside
