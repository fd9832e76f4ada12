"""Settings, and atomic writes of files and folders."""

import errno
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from studio.common.files import atomic_folder, atomic_write, is_disk_full, part_beside, sweep_parts
from studio.errors import StudioError
from studio.settings import get_settings


def test_home_follows_the_environment(tmp_path, monkeypatch):
    for name in ("one", "two"):
        monkeypatch.setenv("STUDIO_HOME", str(tmp_path / name))
        assert get_settings().home == tmp_path / name
        assert not (tmp_path / name).exists(), "asking makes nothing"
        assert get_settings().runs == tmp_path / name / "runs"
        assert (tmp_path / name / "runs").is_dir()
    monkeypatch.delenv("STUDIO_HOME")
    assert get_settings().home == Path.home() / "gan-studio"
    monkeypatch.setenv("STUDIO_HOME", "~/elsewhere")
    assert get_settings().home == Path.home() / "elsewhere"


def test_each_thing_has_its_folder(studio_home):
    settings = get_settings()
    for name in ("models", "outputs", "runs", "cache", "datasets"):
        assert getattr(settings, name) == studio_home / name
        assert (studio_home / name).is_dir()


def test_a_write_that_is_killed_leaves_the_old_file_and_hides_its_part(tmp_path):
    target = tmp_path / "file"
    target.write_bytes(b"old")
    code = (
        "import os, sys\n"
        "from studio.common import files\n"
        "files.os.fsync = lambda f: os.kill(os.getpid(), 9)\n"  # after the bytes, before the name
        "files.atomic_write(sys.argv[1], b'new' * 1000)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(target)])
    assert done.returncode != 0
    assert target.read_bytes() == b"old"
    assert all(name == "file" or name.startswith(".") for name in os.listdir(tmp_path))
    atomic_write(target, b"new")
    assert target.read_bytes() == b"new"


def test_a_folder_that_is_killed_leaves_the_old_one(tmp_path):
    target = tmp_path / "folder"
    with atomic_folder(target) as part:
        (part / "a").write_text("old")
    code = (
        "import os, sys\n"
        "from studio.common.files import atomic_folder\n"
        "with atomic_folder(sys.argv[1]) as part:\n"
        "    (part / 'a').write_text('new')\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(target)]).returncode != 0
    assert (target / "a").read_text() == "old"
    assert all(name == "folder" or name.startswith(".") for name in os.listdir(tmp_path))


def test_a_file_in_the_way_of_a_folder_is_told(tmp_path):
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(OSError, match="taken"), atomic_folder(tmp_path / "taken" / "model"):
        pass
    assert (tmp_path / "taken").read_text() == "a file"


def test_errors_keep_their_two_sentences():
    error = StudioError("It is wrong.", "Do this.")
    assert str(error) == "It is wrong. Do this."
    assert str(StudioError("It is wrong.")) == "It is wrong."
    again = pickle.loads(pickle.dumps(error))  # they cross the border of a worker process
    assert (again.message, again.hint) == ("It is wrong.", "Do this.")


def test_parts_of_killed_processes_are_swept(tmp_path):
    old, new, own = part_beside(tmp_path / "cats"), part_beside(tmp_path / "dogs"), tmp_path / "model.part"
    for folder in (old, new):
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(b"x")
    part_beside(tmp_path / "plan.toml").write_bytes(b"x")
    own.write_bytes(b"x")
    now = (new / "model.safetensors").stat().st_mtime
    os.utime(new, (1, 1))  # what is in it was written a moment ago
    assert sweep_parts(tmp_path, clock=lambda: now + 3599) == 0
    os.utime(new / "model.safetensors", (now + 1000, now + 1000))
    assert sweep_parts(tmp_path, clock=lambda: now + 3700) == 2
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([new.name, own.name])
    assert sweep_parts(tmp_path / "nowhere") == 0


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        RuntimeError("[enforce fail at inline_container.cc:858] . PytorchStreamWriter failed writing file data/5: file write failed"),
        ValueError("I/O error: No space left on device (os error 28)"),
    ],
)
def test_a_full_disk_is_known_by_what_libraries_say(error):
    assert is_disk_full(error)
    outer = RuntimeError("saving failed")
    outer.__cause__ = error
    assert is_disk_full(outer)
    assert not is_disk_full(OSError(errno.EACCES, "Permission denied"))
    assert not is_disk_full(None)
