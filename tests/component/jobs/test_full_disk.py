"""Disks without a byte left and disks that cannot be written, as the system has them: mounted here where that is allowed."""

import contextlib
import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import gradio as gr
import pytest

from studio.cli.main import main
from studio.errors import NoRoom
from studio.models.acquire.add import add
from studio.models.library import default_library
from studio.training.events import read_events
from studio.training.trainer import train
from studio.ui.components.handlers import friendly
from tests.component.jobs.test_jobs import endless
from tests.component.training.test_trainer import tiny_plan
from tests.conftest import GOLDEN, ROOT

_NETWORK = GOLDEN / "stylegan2-ada-cond5-32" / "network-full.pkl"


class Disk:
    """A small disk of its own.  folder: where it is mounted."""

    def __init__(self, folder: Path):
        self.folder = folder

    def fill(self) -> None:
        """Leave no byte."""
        with open(self.folder / "filler", "ab", buffering=0) as f:
            for size in (1 << 16, 1 << 10, 1):
                with contextlib.suppress(OSError):
                    while True:
                        f.write(bytes(size))
        assert shutil.disk_usage(self.folder).free == 0

    def free(self) -> None:
        """Take the filling away."""
        (self.folder / "filler").unlink()

    def lock(self) -> None:
        """Make it one that can only be read."""
        subprocess.run(["mount", "-o", "remount,ro", self.folder], check=True)


@pytest.fixture
def disk(tmp_path):
    """An empty disk of 24 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root on Linux can mount a disk for the test")
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", folder], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
    yield Disk(folder)
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.mark.parametrize(("state_kimg", "words"), [(0.024, "is nearly full"), (50.0, "The disk is full")])
def test_a_training_whose_disk_is_full_to_the_last_byte_pauses_and_goes_on(disk, pictures, studio_home, monkeypatch, state_kimg, words):
    """What finds no room is its next state, whose size is known before, or the next line of its events."""
    monkeypatch.setenv("STUDIO_KEEP_FREE_MB", "0")
    run, plan = disk.folder / "run", endless(tiny_plan(pictures))
    run.mkdir()
    plan = dataclasses.replace(plan, budget=dataclasses.replace(plan.budget, state_kimg=state_kimg))
    (run / "job.toml").write_text(plan.to_toml())
    command = [sys.executable, "-m", "studio.jobs.worker", str(run)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert any('"sample"' in line for line in process.stdout), "it has begun"
        disk.fill()
        said = process.communicate(timeout=300)[0]
    finally:
        process.kill()
        process.wait(timeout=60)
    assert process.returncode == 1
    outcome = json.loads((run / "outcome.json").read_text())
    assert outcome["outcome"] == "room", said
    assert words in outcome["message"]
    assert "Free " in outcome["message"]

    disk.free()
    train(tiny_plan(pictures), run, device="cpu")
    after = read_events(run / "events.jsonl")[0]
    assert after[-1]["type"] == "done"
    assert [e["images"] for e in after if e["type"] == "step"] == sorted({e["images"] for e in after if e["type"] == "step"})
    assert sum(e["type"] == "start" for e in after) == 1


def writing_commands(disk, pictures, plan) -> list[list[str]]:
    """Commands that write into the home, or onto the disk."""
    return [
        ["import", str(_NETWORK), "--name", "five"],
        ["dataset", "add", str(pictures), "--mine", "--min-side", "8"],
        ["--device", "cpu", "train", str(plan), "--out", str(disk.folder / "run")],
        ["--device", "cpu", "seeds", "1", "--outdir", str(disk.folder / "seeds")],
        ["jobs", "add", str(plan)],
    ]


def test_commands_in_a_full_home(disk, pictures, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("STUDIO_HOME", str(disk.folder / "home"))
    monkeypatch.setenv("STUDIO_KEEP_FREE_MB", "0")
    (tmp_path / "plan.toml").write_text(tiny_plan(pictures).to_toml())
    disk.fill()
    for words in writing_commands(disk, pictures, tmp_path / "plan.toml"):
        assert main(words) == 2, words
        said = capsys.readouterr().err
        assert said.startswith("studio: "), words
        assert "unexpected" not in said
        assert any(hint in said for hint in ("Free ", "room on the disk", "is full")), (words, said)
    with pytest.raises(NoRoom):
        add(_NETWORK, default_library(), name="five")
    with pytest.raises(gr.Error, match="Free some space"):
        friendly(add)(_NETWORK, default_library(), name="five")
    assert not list(disk.folder.rglob("*.part"))


def test_commands_in_a_home_that_can_only_be_read(disk, pictures, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("STUDIO_HOME", str(disk.folder / "home"))
    (tmp_path / "plan.toml").write_text(tiny_plan(pictures).to_toml())
    (disk.folder / "home").mkdir()
    disk.lock()
    for words in (*writing_commands(disk, pictures, tmp_path / "plan.toml"), ["marks", "--metadata", "mark"]):
        assert main(words) == 2, words
        said = capsys.readouterr().err
        assert said.startswith("studio: "), words
        assert "unexpected" not in said
        assert "Read-only" in said or "May you write" in said, (words, said)
    with pytest.raises(gr.Error, match="Check its permissions"):
        friendly(add)(_NETWORK, default_library(), name="five")
