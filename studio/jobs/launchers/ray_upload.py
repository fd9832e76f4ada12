"""Packing of a job for a Ray cluster: the program, the pictures, the base model and the state of the run.

They travel as packages of the job's runtime environment. Ray refuses large packages, so parcels are cut into parts; and Ray knows
packages by their content, so that pictures which it still has are not sent again.
"""

import shutil
import tarfile
from pathlib import Path
from typing import IO, cast

import torch

import studio
from studio.errors import StudioError
from studio.jobs.launchers.ray_worker import EVENTS
from studio.jobs.requests import JOB_PLAN
from studio.models.folder import open_folder
from studio.models.library import default_library
from studio.training.plan import Plan

STATE, PLAN = "state.pt", "plan.toml"  # files of a run folder
_PART_BYTES = 48 << 20  # of a part of a parcel; Ray's dashboard takes 100 MB at once


def pack_job(run_dir: Path, stage: Path) -> tuple[Path, list[Path]]:
    """The program in one folder, and the parts of the parcels, each in a folder of its own, all below `stage`.

    Raises StudioError when the pictures or the base of the plan are missing.
    """
    plan = Plan.load(run_dir / JOB_PLAN)
    source = Path(studio.__file__).parent
    shutil.copytree(source, stage / "code" / "studio", ignore=lambda at, names: [n for n in names if not _is_program(Path(at, n))])
    parcels: list[Path] = []
    # Each side is a parcel of its own: if another training has sent one of them already, it does not travel again.
    for parcel, given in (("data", plan.data.path), *([("other", plan.data.path_b)] if plan.data.path_b else [])):
        pictures = Path(given).expanduser()
        if not given or not pictures.exists():
            raise StudioError(f"There is nothing at {given}.", "Give a folder or a zip of pictures.")
        parcels += pack_parcel(stage, parcel, {pictures.name: pictures})
    if plan.base:
        base = open_folder(Path(plan.base)) if Path(plan.base).is_dir() else default_library().get(plan.base)
        parcels += pack_parcel(stage, "base", {Path(plan.base).name: base.path})
    _truncate_events(run_dir)
    run = {name: run_dir / name for name in (JOB_PLAN, PLAN, STATE, EVENTS) if (run_dir / name).exists()}
    return stage / "code", parcels + pack_parcel(stage, "run", run)


def pack_parcel(stage: Path, parcel: str, files: dict[str, Path]) -> list[Path]:
    """Pack files and folders under new names. Returns the folders of the parts, in order.

    parcel: 'run', 'data', 'other' or 'base'.  files: new name -> path.
    """
    out = _SplitFile(stage, parcel)
    with tarfile.open(fileobj=cast(IO[bytes], out), mode="w|", dereference=True) as tar:
        for name, path in files.items():
            tar.add(path, arcname=name)
    out.close()
    return out.folders


def events_length(state: Path) -> int:
    """Bytes of the event file that a state counts on; 0 without a state."""
    return torch.load(state, map_location="cpu", mmap=True, weights_only=True)["events_length"] if state.exists() else 0


def _is_program(path: Path) -> bool:
    return path.suffix == ".py" or (path.is_dir() and not path.name.startswith(("_", ".")))


def _truncate_events(run_dir: Path) -> None:
    """Truncate the event file to what the state counts on, as the worker will do, so that from here on it only grows."""
    path = run_dir / EVENTS
    if path.exists():
        length = events_length(run_dir / STATE)
        with open(path, "r+b") as f:
            f.truncate(length if length <= path.stat().st_size else 0)


class _SplitFile:
    """A file to write to that is split into parts of _PART_BYTES, each in a folder of its own."""

    def __init__(self, stage: Path, parcel: str):
        self.stage, self.parcel = stage, parcel
        self.folders: list[Path] = []
        self._file: IO[bytes] | None = None

    def write(self, data: bytes) -> int:
        rest = memoryview(data)
        while rest:
            file = self._file
            if file is None or file.tell() >= _PART_BYTES:
                file = self._next()
            room = _PART_BYTES - file.tell()
            file.write(rest[:room])
            rest = rest[room:]
        return len(data)

    def _next(self) -> IO[bytes]:
        self.close()
        folder = self.stage / f"parcel_{self.parcel}_{len(self.folders):05d}"
        folder.mkdir()
        self.folders.append(folder)
        self._file = open(folder / "part", "wb")  # noqa: SIM115 - closed by close()
        return self._file

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
