"""The studio's folders, and numbers read from the environment."""

import atexit
import contextlib
import functools
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from studio.errors import StudioError

_PACKAGE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Settings:
    """The folders of one studio.

    home: the artist's own folder (environment variable STUDIO_HOME, otherwise ~/gan-studio).
    shipped: the read-only folder of the models that come with the studio.
    If home is read-only, only the cache moves elsewhere: to a temporary folder that is deleted with the process.
    """

    home: Path
    shipped: Path

    def _folder(self, name: str) -> Path:
        path = self.home / name
        with contextlib.suppress(OSError):  # whoever writes there reports the error
            path.mkdir(parents=True, exist_ok=True)
        return path

    @property
    def models(self) -> Path:
        """Model folders the artist trained, imported or downloaded."""
        return self._folder("models")

    @property
    def outputs(self) -> Path:
        """Pictures the artist saved."""
        return self._folder("outputs")

    @property
    def runs(self) -> Path:
        """One folder per training run: its plan, events, sample sheets and snapshots."""
        return self._folder("runs")

    @property
    def cache(self) -> Path:
        """Files that can be regenerated and may be deleted at any time."""
        path = self._folder("cache")
        return path if os.access(path, os.W_OK) else scratch()

    @property
    def datasets(self) -> Path:
        """Image sets, each in a folder named after its content hash."""
        return self._folder("datasets")


def get_settings() -> Settings:
    """Settings from the environment, which is read again at each call."""
    home = os.environ.get("STUDIO_HOME")
    try:
        usual = Path.home() / "gan-studio"
    except RuntimeError:  # a user without a home, as in some containers
        usual = Path.cwd() / "gan-studio"
    installed = _PACKAGE / "_checkpoints"  # in a wheel; a source tree has checkpoints/ beside studio/
    return Settings(
        home=Path(home).expanduser() if home else usual,
        shipped=installed if installed.is_dir() else _PACKAGE.parent / "checkpoints",
    )


@functools.cache
def scratch() -> Path:
    """Temporary folder that is deleted when this process ends."""
    path = Path(tempfile.mkdtemp(prefix="gan-studio-"))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


def environment_integer(name: str, default: int | None, least: int) -> int | None:
    """Integer from the environment variable `name`; `default` if it is unset or empty.

    Raises StudioError if the value is not an integer or is below `least`.
    """
    text = os.environ.get(name, "").strip()
    if not text:
        return default
    if not text.isdecimal() or int(text) < least:
        raise StudioError(f"The environment's {name} is '{text}'.", f"It must be a whole number, {least} or more.")
    return int(text)
