"""Preview of a Space on this machine before it is uploaded: its app.py in a process of its own."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from studio.errors import StudioError

_OPEN = "GAN Studio is open at "
_PATIENCE = 10  # seconds to end after being asked to


@dataclass
class Preview:
    """A running Space.  process: of its app.py.  url: its address, reachable from this machine only.  home: its temporary STUDIO_HOME."""

    process: subprocess.Popen
    url: str
    home: Path

    def close(self) -> None:
        """End it and delete its files. May be called again."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.home, ignore_errors=True)

    def __enter__(self) -> "Preview":
        return self

    def __exit__(self, *exc) -> None:
        self.close()


def preview(folder: Path, python: str = sys.executable) -> Preview:
    """Start a Space's app.py. It is open when this returns, after a few seconds.

    python: the interpreter to start it with.  The Space sees only its own folder and an empty home.
    Raises StudioError with its last output if it does not start.
    """
    folder = Path(folder).resolve()
    if not (folder / "app.py").is_file():
        raise StudioError(f"{folder} has no app.py.", "Make the Space first.")
    home = Path(tempfile.mkdtemp(prefix="studio-preview-"))
    environment = {"STUDIO_HOME": str(home), "GRADIO_SERVER_NAME": "127.0.0.1", "GRADIO_SERVER_PORT": str(_free_port())}
    environment |= {
        "GRADIO_TEMP_DIR": str(home / "uploads"),
        "PYTHONPATH": str(folder),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
    }
    process = subprocess.Popen(
        [python, "app.py"],
        cwd=folder,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    assert process.stdout is not None
    said: deque[str] = deque(maxlen=20)
    for line in process.stdout:
        said.append(line.strip())
        if line.startswith(_OPEN):
            threading.Thread(target=_drain, args=(process,), daemon=True).start()
            return Preview(process, line[len(_OPEN) :].split()[0], home)
    Preview(process, "", home).close()
    last = next((line for line in reversed(said) if line), "it said nothing")
    raise StudioError(f"The Space did not start: {last:.300}", "Make it again. If that doesn't help, send us this message.")


def _drain(process: subprocess.Popen) -> None:
    """Read the rest of the output, since a full pipe would block the process."""
    for _ in process.stdout or ():
        pass


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]
