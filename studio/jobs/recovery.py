"""Recovery of a damaged queue: its rows as far as they can be read, and a row for every run folder that has a plan."""

import contextlib
import datetime
import json
import re
import sqlite3
from collections.abc import Iterable
from pathlib import Path

from studio.common.databases import text_of
from studio.errors import StudioError
from studio.training.plan import Plan

MESSAGE = "The list of trainings was damaged and has been made again from the folders of the runs."
_STATES = {"done": "done", "failed": "failed", "cancelled": "cancelled"}  # how a worker ended -> state; others can continue


def readable_rows(path: Path, columns: Iterable[str], states: Iterable[str]) -> dict[str, dict]:
    """id -> row of a damaged queue, from either end up to where it is damaged. A row with an unknown state or another type is left out."""
    names, known, rows = list(columns), set(states), {}
    numbers = ("restarts", "slot")
    unusable = (sqlite3.Error, UnicodeDecodeError, OSError)
    with contextlib.suppress(*unusable), contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db:
        db.text_factory = text_of
        for order in ("ORDER BY rowid", "ORDER BY rowid DESC", "ORDER BY id", "ORDER BY id DESC"):
            with contextlib.suppress(*unusable):
                for values in db.execute(f"SELECT {', '.join(names)} FROM jobs {order}"):
                    row = dict(zip(names, values, strict=True))
                    if all(type(v) is (int if name in numbers else str) for name, v in row.items()) and row["state"] in known:
                        rows[row["id"]] = row
    return rows


def runs_with_plan(runs: Path) -> list[dict]:
    """What the folders of runs say of their trainings, oldest first: id, title, state, plan_toml, run_dir, created, message."""
    found = []
    for folder in sorted(runs.iterdir()) if runs.is_dir() else ():
        try:
            text = (folder / "job.toml").read_text(encoding="utf-8")
            title = Plan.from_toml(text).card.title
            changed = (folder / "job.toml").stat().st_mtime
        except (OSError, UnicodeDecodeError, StudioError):
            continue
        outcome = _outcome(folder / "outcome.json")
        state = _STATES.get(outcome.get("outcome", ""), "paused")
        more = outcome.get("message") or ("Resume it to continue from its last state." if state == "paused" else "")
        found.append(
            {
                "id": folder.name,
                "title": title or "Untitled",
                "state": state,
                "plan_toml": text,
                "run_dir": str(folder),
                "created": _created(folder.name, changed),
                "message": f"{MESSAGE} {more}".strip(),
            }
        )
    return sorted(found, key=lambda row: row["created"])


def _created(id: str, changed: float) -> str:
    """When a training was added, by its id or else by its plan's file. ISO 8601, UTC."""
    stamp = re.match(r"\d{8}-\d{6}", id)
    moment = None
    if stamp:
        with contextlib.suppress(ValueError):
            moment = datetime.datetime.strptime(stamp.group(), "%Y%m%d-%H%M%S").replace(tzinfo=datetime.timezone.utc)
    moment = moment or datetime.datetime.fromtimestamp(changed, datetime.timezone.utc)
    return moment.isoformat(timespec="microseconds")


def _outcome(path: Path) -> dict:
    try:
        outcome = json.loads(path.read_text(encoding="utf-8"))
        return outcome if isinstance(outcome, dict) else {}
    except (OSError, ValueError, RecursionError):
        return {}
