"""A queue whose file is damaged: set aside, and made again from what can be read and from the folders of the runs."""

import datetime
import json
import random
import sqlite3

import pytest

from studio.errors import StudioError
from studio.jobs import requests
from studio.jobs.queue import JobStore
from studio.jobs.supervisor import Supervisor
from studio.training.plan import Plan
from tests.conftest import ROOT

PLAN = (ROOT / "tests" / "fixtures" / "first_studio" / "run" / "job.toml").read_text()


@pytest.fixture
def home(tmp_path):
    """Five trainings: queued, running, done, failed and paused."""
    store = JobStore(tmp_path / "jobs.sqlite")
    plan = Plan.from_toml(PLAN)
    for i, (state, outcome) in enumerate(
        (
            ("queued", None),
            ("running", None),
            ("done", {"outcome": "done"}),
            ("failed", {"outcome": "failed", "message": "No data."}),
            ("paused", None),
        )
    ):
        job = requests.submit(store, tmp_path / "runs", plan, f"Training {i}")
        if state != "queued":
            store.change(job.id, "running", handle=f"{i}:1")
            if state != "running":
                store.change(job.id, state)
        if outcome:
            (tmp_path / "runs" / job.id / "outcome.json").write_text(json.dumps(outcome))
    with sqlite3.connect(store.path) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    return tmp_path


def damage(path, how: str) -> None:
    data = path.read_bytes()
    if how == "garbage":
        path.write_bytes(b"this is no database " * 500)
    elif how == "cut to nothing":
        path.write_bytes(b"")
    elif how == "cut":
        path.write_bytes(data[: len(data) // 3])
    elif how == "its header":
        path.write_bytes(bytes(100) + data[100:])
    else:
        path.write_bytes(data[:4096] + bytes(255 - b for b in data[4096:]))


@pytest.mark.parametrize("how", ["garbage", "cut to nothing", "cut", "its header", "its pages"])
def test_it_is_made_again_from_the_runs(home, how):
    before = {j.id for j in JobStore(home / "jobs.sqlite").list()}
    damage(home / "jobs.sqlite", how)
    with Supervisor(home) as supervisor:
        jobs = {j.id: j for j in supervisor.jobs()}
    assert jobs.keys() == before
    assert {j.title for j in jobs.values()} == {Plan.from_toml(PLAN).card.title}
    assert sorted(j.state for j in jobs.values()) == ["done", "failed", "paused", "paused", "paused"], "nothing starts by itself"
    assert all("made again" in j.message for j in jobs.values())
    assert next(j for j in jobs.values() if j.state == "failed").message.endswith("No data.")
    assert len([p for p in home.glob("jobs.sqlite.damaged-*") if not p.name.endswith(("-wal", "-shm"))]) == 1
    store = JobStore(home / "jobs.sqlite")
    waiting = next(j for j in jobs.values() if j.state == "paused")
    assert requests.resume(store, waiting.id).state == "queued", "it is a queue like any other"


def test_rows_that_can_be_read_stay_as_they_are(home):
    path = home / "jobs.sqlite"
    before = {j.id: j for j in JobStore(path).list()}
    with sqlite3.connect(path) as db:  # an index that does not fit its table: every row is still there
        db.execute("PRAGMA writable_schema = 1")
        root = db.execute("SELECT rootpage FROM sqlite_master WHERE type = 'index'").fetchone()[0]
        size = db.execute("PRAGMA page_size").fetchone()[0]
    db.close()
    data = bytearray(path.read_bytes())
    data[(root - 1) * size : (root - 1) * size + 64] = bytes(64)
    path.write_bytes(data)
    assert {j.id: j for j in JobStore(path).list()} == before
    assert list(home.glob("jobs.sqlite.damaged-*"))


def test_damage_while_it_is_open_is_said_once(home):
    store = JobStore(home / "jobs.sqlite")
    damage(store.path, "garbage")
    with pytest.raises(StudioError, match="made again from the folders of the runs"):
        store.list()
    assert len(store.list()) == 5


def test_bytes_changed_anywhere(home):
    """Whatever is damaged, every training that has a folder is in the list."""
    data, runs = (home / "jobs.sqlite").read_bytes(), {p.name for p in (home / "runs").iterdir()}
    for seed in range(30):
        dice, changed = random.Random(seed), bytearray(data)
        for _ in range(dice.choice((1, 5, 200))):
            changed[dice.randrange(len(changed))] = dice.randrange(256)
        for file in home.glob("jobs.sqlite*"):
            file.unlink()
        (home / "jobs.sqlite").write_bytes(changed)
        if 1 < int.from_bytes(changed[60:64], "big") < 1000:
            continue  # it says that it is of a later studio
        assert {j.id for j in JobStore(home / "jobs.sqlite").list()} >= runs, seed


def test_a_new_home_has_nothing_to_recover(tmp_path):
    (tmp_path / "jobs.sqlite").write_bytes(b"")
    assert JobStore(tmp_path / "jobs.sqlite").list() == []
    assert not list(tmp_path.glob("*.damaged-*"))


def test_the_order_is_that_of_adding_also_when_the_clock_is_set_back(tmp_path):
    clock = [datetime.datetime(2026, 5, 1, 12, tzinfo=datetime.timezone.utc)]
    store = JobStore(tmp_path / "jobs.sqlite", now=lambda: clock[0])
    for title in ("first", "second", "third"):
        requests.submit(store, tmp_path / "runs", Plan.from_toml(PLAN), title)
        clock[0] -= datetime.timedelta(days=400)
    assert [j.title for j in store.list()] == ["third", "second", "first"]
