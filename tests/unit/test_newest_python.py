"""The search for another Python, for the second run of the unit tests."""

import sys
from pathlib import Path

import pytest

from tests.newest_python import candidates, newest, version


@pytest.fixture
def pythons(tmp_path):
    """Stand-ins that answer like Pythons of several versions, one that is broken, and one that is too new."""
    if sys.platform == "win32":
        pytest.skip("the stand-ins are shell scripts")
    for name, answer in {"3.9": "3 9", "3.11": "3 11", "3.12": "3 12", "3.13": "", "3.99": "3 99"}.items():
        file = tmp_path / "bin" / f"python{name}"
        file.parent.mkdir(exist_ok=True)
        file.write_text(
            f"#!/bin/sh\necho {answer}\n" if answer else "#!/bin/sh\necho 'pyenv: python3.13: command not found' >&2\nexit 127\n"
        )
        file.chmod(0o755)
    (tmp_path / "bin" / "python3.12-config").write_text("no Python")
    inside = tmp_path / "versions" / "3.10.13" / "bin" / "python"
    inside.parent.mkdir(parents=True)
    inside.write_text("#!/bin/sh\necho 3 10\n")
    inside.chmod(0o755)
    return candidates(str(tmp_path / "bin"), tmp_path / "versions")


def test_the_newest_that_works_and_is_another(pythons):
    assert newest(pythons, (3, 11)).name == "python3.12"
    assert newest(pythons, (3, 12)).name == "python3.11"
    assert newest([p for p in pythons if p.name == "python"], (3, 12)).parent.parent.name == "3.10.13"
    assert newest([], (3, 11)) is None
    assert newest([p for p in pythons if p.name == "python3.11"], (3, 11)) is None


def test_what_is_no_python_has_no_version(pythons):
    assert version(Path(sys.executable)) == sys.version_info[:2]
    assert version(Path("/nowhere/python3")) is None
    assert {p.name: version(p) for p in pythons}["python3.13"] is None
