import ast
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


def test_no_circle_of_files():
    """Lazy imports count: they only hide a circle. Imports for annotations alone do not."""
    files = {".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): p for p in (ROOT / "studio").rglob("*.py")}
    uses = {module: _imports(path, set(files)) - {module} for module, path in files.items()}
    # What uses nothing that is left, and what nothing left uses, is in no circle; take it away until no more goes.
    while True:
        users = {used for all_used in uses.values() for used in all_used}
        left = {module: used & set(uses) for module, used in uses.items() if module in users and used & set(uses)}
        if left == uses:
            break
        uses = left
    assert not uses, f"these files import each other in a circle: {uses}"


def _imports(path: Path, modules: set[str]) -> set[str]:
    tree, found = ast.parse(path.read_text()), set()
    for_annotations = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in for_annotations:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            submodules = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in modules else node.module for name in submodules}
    return found & modules


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
    code = "import sys, studio, studio.cli.main; assert not {'torch', 'gradio'} & set(sys.modules); studio.StudioError; studio.load"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_contributing_names_files_that_exist():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    named = {name for name in re.findall(r"`([\w/.]+(?:\.py|/))`", text) if not name.startswith(".")}
    paths = {p.relative_to(ROOT).as_posix() + ("/" if p.is_dir() else "") for room in ("studio", "tests") for p in (ROOT / room).rglob("*")}
    assert len(named) > 40
    assert {name for name in named if not any(f"/{path}".endswith(f"/{name}") for path in paths)} == set()
