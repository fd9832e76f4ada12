"""The newest Python of this machine besides the one at hand: `python tests/newest_python.py` prints its path, or nothing."""

import os
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

OLDEST, NEWEST = (3, 10), (3, 14)  # that the studio and PyTorch know; without packages for it, a newer one says nothing
_ASK = "import sys, ssl, venv, ensurepip; print(*sys.version_info[:2])"


def candidates(path: str, pyenv: Path) -> list[Path]:
    """Programs that may be such a Python: python3.X in the folders of PATH, and those of pyenv."""
    found = [file for folder in filter(None, path.split(os.pathsep)) for file in sorted(Path(folder).glob("python3.*"))]
    named = [file for file in found if re.fullmatch(r"python3\.\d+(\.exe)?", file.name)]
    return [*named, *(file for folder in sorted(pyenv.glob("3.*")) if (file := folder / "bin" / "python").exists())]


def version(python: Path) -> tuple[int, int] | None:
    """(major, minor) of a Python that can make environments; None for what cannot, such as a stand-in of pyenv for one not chosen."""
    try:
        done = subprocess.run([python, "-c", _ASK], capture_output=True, text=True, timeout=60)
        major, minor = done.stdout.split()
        return int(major), int(minor)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None


def newest(pythons: Iterable[Path], besides: tuple[int, int]) -> Path | None:
    """The newest of some Pythons that the studio runs on, of another version than `besides`; None when there is none."""
    known = {python: version(python) for python in pythons}
    fit = [(found, python) for python, found in known.items() if found and OLDEST <= found <= NEWEST and found != besides]
    return max(fit, key=lambda pair: pair[0])[1] if fit else None


if __name__ == "__main__":
    print(newest(candidates(os.environ.get("PATH", ""), Path.home() / ".pyenv" / "versions"), sys.version_info[:2]) or "")
