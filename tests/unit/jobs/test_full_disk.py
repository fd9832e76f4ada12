"""A disk without a byte left while a training runs, and commands on such a disk: a pause with a reason, a sentence."""

import errno
import json
import os
import signal
import sys

import pytest

from studio.cli import main as cli
from studio.common.files import atomic_write
from studio.jobs import worker
from studio.jobs.queue import JobStore
from studio.jobs.supervisor import Supervisor
from tests.conftest import ROOT

PLAN = ROOT / "tests" / "fixtures" / "first_studio" / "run" / "job.toml"


def test_a_training_on_a_full_disk_pauses_and_says_why(tmp_path, studio_home, monkeypatch):
    run = tmp_path / "run"
    run.mkdir()
    (run / "job.toml").write_text(PLAN.read_text())
    monkeypatch.setattr(os, "nice", lambda n: 0, raising=False)
    monkeypatch.setattr(signal, "signal", lambda *_: None)

    def train(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device", str(run / "events.jsonl"))

    def write(path, data):
        """The disk is so full that only the room of the reserve is left for the outcome."""
        if (run / ".reserve").exists():
            raise OSError(errno.ENOSPC, "No space left on device")
        atomic_write(path, data)

    monkeypatch.setattr("studio.training.trainer.train", train)
    monkeypatch.setattr("studio.common.files.atomic_write", write)
    assert worker.main([str(run)]) == 1
    outcome = json.loads((run / "outcome.json").read_text())
    assert outcome["outcome"] == "room"
    assert "disk is full" in outcome["message"]

    monkeypatch.undo()
    monkeypatch.setenv("STUDIO_HOME", str(studio_home))
    store = JobStore(studio_home / "jobs.sqlite")
    job = store.add("Cats", PLAN.read_text(), run, "a")
    store.change(job.id, "running", handle="1:1")  # such a process is not alive
    with Supervisor(studio_home, every=60) as supervisor:
        assert "disk is full" in supervisor.wait(job.id, ("paused",), timeout=60).message


def test_who_owns_the_queue_sweeps_what_killed_processes_left(studio_home):
    left = [studio_home / "models" / ".cats.1234abcd.part", studio_home / "runs" / "a" / "snapshots" / ".000100.1234abcd.part"]
    for folder in left:
        folder.mkdir(parents=True)
        os.utime(folder, (1, 1))
    with Supervisor(studio_home, every=60):
        assert not any(folder.exists() for folder in left)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/data/cats"), "Free some space"),
        (PermissionError(errno.EACCES, "Permission denied", "/data/cats"), "permissions"),
        (OSError(errno.EROFS, "Read-only file system", "/data/cats"), "permissions"),
    ],
)
def test_a_command_that_cannot_write_says_so(monkeypatch, capsys, error, said):
    def fail(args):
        raise error

    monkeypatch.setitem(cli._VERBS, "jobs", fail)
    monkeypatch.setattr(sys, "argv", ["studio"])
    assert cli.main(["jobs"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("studio: ")
    assert "/data/cats" in told
    assert said in told
    assert told.count("\n") == 1
