"""Settings, and atomic writes of files and folders."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from studio.common.files import atomic_folder, atomic_write
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
