"""What the studio imports is declared in pyproject.toml, within bounds, and requirements.txt is generated from it."""

import ast
import importlib.metadata
import re
import sys
from pathlib import Path

from studio.common import toml
from tests import requirements
from tests.conftest import ROOT

PROJECT = toml.loads((ROOT / "pyproject.toml").read_text())["project"]
# Provided by the host where it exists, and looked for before it is imported.
OF_THE_HOST = {"spaces"}
# Extras whose packages the studio imports where they are installed.
EXTRAS = ("credentials", "ray", "realesrgan")


def declared(lines: list[str]) -> set[str]:
    return {re.match(r"[A-Za-z0-9_.-]+", line)[0].lower().replace("_", "-") for line in lines}


def imported() -> dict[str, Path]:
    """Top-level modules from outside that studio/ imports, lazily or not -> a file that does."""
    found = {}
    for path in sorted((ROOT / "studio").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module]
            else:
                continue
            for name in (name.partition(".")[0] for name in names):
                if name not in sys.stdlib_module_names and name != "studio":
                    found.setdefault(name, path.relative_to(ROOT))
    return found


def test_every_imported_package_is_declared():
    lines = [*PROJECT["dependencies"], *(line for extra in EXTRAS for line in PROJECT["optional-dependencies"][extra])]
    known, packages = declared(lines), importlib.metadata.packages_distributions()
    packages["tomli"] = ["tomli"]  # installed below Python 3.11 only
    missing = {}
    for module, path in imported().items():
        names = {name.lower().replace("_", "-") for name in packages.get(module, [module])}
        if module not in OF_THE_HOST and not names & known:
            missing[module] = f"{path} imports it; pyproject.toml does not declare {' or '.join(sorted(names))}"
    assert not missing


def test_every_dependency_has_a_lower_and_an_upper_bound():
    lines = [*PROJECT["dependencies"], *(line for extra in PROJECT["optional-dependencies"].values() for line in extra)]
    unbounded = [line for line in lines if not re.match(r"[^;]*>=[^;]*,<", line)]
    assert not unbounded


def test_the_makefile_installs_torch_within_the_same_bounds():
    text = (ROOT / "Makefile").read_text()
    for line in PROJECT["dependencies"]:
        if line.startswith(("torch>", "torchvision>")):
            assert f'"{line}"' in text


def test_requirements_txt_is_generated_from_pyproject_toml():
    assert requirements.FILE.read_text() == requirements.text(), "stale: make requirements.txt"
