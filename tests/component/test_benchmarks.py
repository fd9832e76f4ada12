"""Every benchmark still runs, on the smallest sizes: one from the command line, each in this process."""

import importlib
import subprocess
import sys

import pytest

from tests.benchmarks.__main__ import BENCHMARKS, command, draw_pictures, run
from tests.conftest import ROOT


def test_every_benchmark_is_in_the_list():
    files = {p.stem for p in (ROOT / "tests" / "benchmarks").glob("*.py")} - {"__init__", "__main__"}
    assert files == set(BENCHMARKS)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A folder with the few pictures that some of them need."""
    folder = tmp_path_factory.mktemp("drawn")
    draw_pictures(folder, 8)
    return folder


@pytest.mark.parametrize("name", BENCHMARKS)
def test_it_runs(name, drawn, studio_home, monkeypatch, capsys):
    _python, _m, module, *arguments = command(name, True, drawn)
    monkeypatch.setattr(sys, "argv", [module, *arguments])
    importlib.import_module(module).main()
    assert len(capsys.readouterr().out.splitlines()) >= 3, "it prints what it measured"


def test_from_the_command_line(drawn, studio_home):
    done = subprocess.run(command("engine", True, drawn), cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(done.stdout.splitlines()) >= 3


def test_one_that_fails_is_told(monkeypatch, capfd):
    monkeypatch.setitem(BENCHMARKS, "gallery", ("", "--no-such-option"))
    assert run(["gallery"], True) == 1
