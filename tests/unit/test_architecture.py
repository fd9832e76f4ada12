import re
import subprocess
import sys
from pathlib import Path

from studio.networks import families
from tests.conftest import ROOT


def test_imports_go_down_the_floors_only():
    command = [sys.executable, "-c", "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports())"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_floor_is_in_the_contract():
    text = (ROOT / "pyproject.toml").read_text()
    for path in (ROOT / "studio").iterdir():
        name = path.stem
        if not name.startswith(("_", ".")) and (path.suffix == ".py" or (path / "__init__.py").exists()):
            assert f'"studio.{name}"' in text, f"studio.{name} stands on no floor"


def test_no_file_is_executable_through_the_library():
    """No module of ours unpickles or evaluates; the one reader of pickles is the importer's own."""
    forbidden = re.compile(r"\b(pickle\.loads?|marshal\.|exec\(|(?<![.\w])eval\(|weights_only=False)")
    for path in Path(ROOT / "studio").rglob("*.py"):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            assert not forbidden.search(line), f"{path}:{number}: {line}"


def test_families_are_registered_with_a_sentence():
    assert next(f.name for f in families()) == "stylegan2"
    for family in families():
        assert family.sentence.endswith(".")
        assert family.title


def test_the_studio_is_lazy():
    """`studio --help` must not wait for torch."""
    code = "import sys, studio, studio.cli.main; assert 'torch' not in sys.modules and 'gradio' not in sys.modules; studio.StudioError; studio.load"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
