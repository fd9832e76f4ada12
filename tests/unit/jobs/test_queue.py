"""Queues that earlier studios wrote still open."""

import shutil
import sqlite3
from pathlib import Path

import pytest

from studio.errors import StudioError
from studio.jobs import requests
from studio.jobs.queue import JobStore
from studio.training.plan import Plan

FIRST = Path(__file__).parents[2] / "fixtures" / "first_studio"


@pytest.fixture
def store(tmp_path) -> JobStore:
    shutil.copy(FIRST / "jobs.sqlite", tmp_path)
    return JobStore(tmp_path / "jobs.sqlite")


def test_a_queue_of_the_first_studio_opens(store):
    jobs = {job.title: job for job in store.list()}
    assert {title: job.state for title, job in jobs.items()} == {
        "Waiting": "queued",
        "Asked to pause": "stopping",
        "Finished": "done",
        "Broken": "failed",
    }
    asked = jobs["Asked to pause"]
    assert (asked.request, asked.handle, asked.slot, asked.restarts) == ("pause", "4242:1767323046.10", 0, 1)
    assert jobs["Broken"].message == "There is nothing at /nowhere."
    assert jobs["Finished"].ended.startswith("2026-01-02T03:04:")
    assert jobs["Waiting"].run_dir == "/home/artist/.gan-studio/runs/20260102-030405-aaaa"
    assert Plan.from_toml(jobs["Waiting"].plan_toml).card.title == "Discs"


def test_it_is_written_so_that_the_first_studio_can_read_it(store, tmp_path):
    job = store.get("bbbb")
    store.change(job.id, "stopping", request="cancel")
    with sqlite3.connect(store.path) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (1,)
        assert db.execute("SELECT wish FROM jobs WHERE id = ?", [job.id]).fetchone() == ("cancel",)
        assert "request" not in {row[1] for row in db.execute("PRAGMA table_info(jobs)")}
    new = requests.submit(store, tmp_path / "runs", Plan.from_toml(job.plan_toml), "New")
    assert store.get(new.id).request == ""
    assert requests.pause(store, new.id).state == "paused"
    assert len(store.list()) == 5


def test_a_queue_of_a_later_studio_is_refused(store):
    with sqlite3.connect(store.path) as db:
        db.execute("PRAGMA user_version = 2")
    with pytest.raises(StudioError, match="newer studio"):
        JobStore(store.path)
