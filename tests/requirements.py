"""requirements.txt, which Spaces read, generated from pyproject.toml: `python -m tests.requirements` writes it."""

from studio.sharing.space import requirements
from tests.conftest import ROOT

FILE = ROOT / "requirements.txt"


def text() -> str:
    """The file as it should be: one dependency a line, sorted."""
    return "".join(f"{line}\n" for line in requirements())


if __name__ == "__main__":
    FILE.write_text(text())
