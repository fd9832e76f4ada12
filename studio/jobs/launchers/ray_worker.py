"""The far end of a training on a Ray cluster: `python -m studio.jobs.launchers.ray_worker SUBMISSION JOB PROCESSES`.

It runs as a Ray job on some machine of the cluster. What the studio sent lies in folders of the Python path (see
ray.py); the worker then is the same as at home. Whatever is to go home lies in a folder among Ray's logs, which Ray's
dashboard serves, with a listing of it that is written anew twice a second.
"""

import dataclasses
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from studio.common.files import atomic_write
from studio.jobs.launchers.local import worker_command
from studio.jobs.requests import JOB_PLAN
from studio.training.plan import Plan

OUTBOX = "studio"  # the folder among Ray's logs
LISTING = "listing.json"
EVENTS = "events.jsonl"
SEGMENT = 256 << 10  # bytes: the event file is fetched in such parts, so that old events do not travel again and again
_OFTEN = 0.5  # seconds between two listings


def main(argv: list[str]) -> int:
    """argv: name of the submission, id of the job, processes. Returns what the worker returned."""
    submission, job_id, processes = argv[0], argv[1], int(argv[2])
    logs, node = _whereabouts()
    outbox = logs / OUTBOX / submission
    run_dir = outbox / job_id
    with tempfile.TemporaryDirectory(prefix="studio-") as home:
        for kind, folder in (("run", run_dir), *((kind, Path(home) / kind) for kind in ("data", "other", "base"))):
            folder.mkdir(parents=True)
            _unpack(kind, folder, Path(home))
        for name in (JOB_PLAN, "plan.toml"):
            if (run_dir / name).exists():
                _at_home_here(run_dir / name, Path(home))
        environment = {**os.environ, "STUDIO_HOME": home}
        child = subprocess.Popen([*worker_command(processes), str(run_dir)], env=environment)
        signal.signal(signal.SIGTERM, lambda *_: child.terminate())
        box = _Box(outbox, run_dir, node)
        while True:
            try:
                box.publish()
                child.wait(_OFTEN)
                box.publish()
                return 0 if child.returncode == 0 else 1
            except subprocess.TimeoutExpired:
                continue


def _whereabouts() -> tuple[Path, str]:
    """Folder of Ray's logs on this machine, and the machine's name among the resources."""
    import ray

    told = ray.init(log_to_driver=False, logging_level=logging.ERROR).address_info
    ray.shutdown()
    return Path(told["session_dir"]) / "logs", f"node:{told['node_ip_address']}"


def _unpack(kind: str, folder: Path, scratch: Path) -> None:
    """Join the parts of a parcel, each a folder of the Python path, and unpack it.

    kind: 'run', 'data', 'other' (the pictures of side B) or 'base'.
    """
    found = (part for entry in sys.path for part in Path(entry or ".").glob(f"parcel_{kind}_*/part"))
    parts = sorted(found, key=lambda part: part.parent.name)
    if not parts:
        return
    whole = scratch / f"{kind}.tar"
    with open(whole, "wb") as out:
        for part in parts:
            with open(part, "rb") as f:
                shutil.copyfileobj(f, out)
    with tarfile.open(whole) as tar:
        tar.extractall(folder, filter="data")
    whole.unlink()


def _at_home_here(path: Path, home: Path) -> None:
    """Make the paths of a plan those of this machine."""
    plan = Plan.from_toml(path.read_text(encoding="utf-8"))

    def here(kind: str, path: str) -> str:
        return str(home / kind / Path(path).name) if path else ""

    data = dataclasses.replace(plan.data, path=here("data", plan.data.path), path_b=here("other", plan.data.path_b))
    plan = dataclasses.replace(plan, data=data, base=here("base", plan.base))
    atomic_write(path, plan.to_toml().encode())


class _Box:
    """What lies ready to be fetched: the run folder itself, the parts of its event file, the listing."""

    def __init__(self, outbox: Path, run_dir: Path, node: str):
        self.outbox, self.run_dir, self.node = outbox, run_dir, node
        self.cut, self.told = 0, b""

    def publish(self) -> None:
        """Write the parts that are new, then the listing.

        The events are looked at first: all sheets and moments that they tell of are then among the files.
        """
        events = self._cut_events()
        files = {}
        for path in sorted(self.run_dir.rglob("*")):
            name = path.relative_to(self.run_dir).as_posix()
            if name == EVENTS or any(p.startswith(".") for p in name.split("/")):
                continue
            try:
                if path.is_file():
                    files[name] = [path.stat().st_size, path.stat().st_mtime_ns]
            except OSError:
                continue  # replaced at this moment; the next listing has it
        listing = {"folder": str(self.run_dir), "node": self.node, "events": events, "files": files}
        told = json.dumps(listing).encode()
        if told != self.told:
            atomic_write(self.outbox / LISTING, told)
            self.told = told

    def _cut_events(self) -> int:
        """Write what is new of the event file in parts of SEGMENT bytes. Returns the bytes that can be fetched."""
        try:
            with open(self.run_dir / EVENTS, "rb") as f:
                first = self.cut // SEGMENT
                f.seek(first * SEGMENT)
                data = f.read()
        except FileNotFoundError:
            return 0
        data = data[: data.rfind(b"\n") + 1]
        length = first * SEGMENT + len(data)
        if length > self.cut:
            for i in range(0, len(data), SEGMENT):
                atomic_write(self.outbox / segment(first + i // SEGMENT), data[i : i + SEGMENT])
            self.cut = length
        return self.cut


def segment(number: int) -> str:
    """Name of a part of the event file."""
    return f"events.{number:06d}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
