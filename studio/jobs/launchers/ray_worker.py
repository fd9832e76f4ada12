"""Remote side of a training on a Ray cluster: `python -m studio.jobs.launchers.ray_worker SUBMISSION JOB PROCESSES`.

It runs as a Ray job on some machine of the cluster. What the studio sent lies in folders of the Python path (see ray_upload.py); from
there on the worker is the same as on the studio's own machine. Results lie in a folder among Ray's logs, which Ray's dashboard serves,
with a listing that is rewritten twice a second.
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
from typing import Any

from studio.common.files import atomic_write
from studio.jobs.launchers.local import worker_command
from studio.jobs.requests import JOB_PLAN
from studio.training.plan import Plan

OUTBOX = "studio"  # the folder among Ray's logs
LISTING = "listing.json"
EVENTS = "events.jsonl"
SEGMENT = 256 << 10  # bytes: the event file is fetched in segments, so that old events are not sent again and again
_INTERVAL = 0.5  # seconds between two listings


def main(argv: list[str]) -> int:
    """Run a worker. argv: name of the submission, id of the job, number of processes. Returns 0 when the worker did."""
    submission, job_id, processes = argv[0], argv[1], int(argv[2])
    logs, node = _location()
    outbox = logs / OUTBOX / submission
    run_dir = outbox / job_id
    with tempfile.TemporaryDirectory(prefix="studio-") as home:
        for parcel, folder in (("run", run_dir), *((name, Path(home) / name) for name in ("data", "other", "base"))):
            folder.mkdir(parents=True)
            _unpack(parcel, folder, Path(home))
        for name in (JOB_PLAN, "plan.toml"):
            if (run_dir / name).exists():
                _relocate(run_dir / name, Path(home))
        environment = {**os.environ, "STUDIO_HOME": home}
        child = subprocess.Popen([*worker_command(processes), str(run_dir)], env=environment)
        signal.signal(signal.SIGTERM, lambda *_: child.terminate())
        box = _Outbox(outbox, run_dir, node)
        while True:
            try:
                box.publish()
                child.wait(_INTERVAL)
                box.publish()
                return 0 if child.returncode == 0 else 1
            except subprocess.TimeoutExpired:
                continue


def _location() -> tuple[Path, str]:
    """Folder of Ray's logs on this machine, and the machine's name among the cluster's resources."""
    import ray

    context: Any = ray.init(log_to_driver=False, logging_level=logging.ERROR)
    address = context.address_info
    ray.shutdown()
    return Path(address["session_dir"]) / "logs", f"node:{address['node_ip_address']}"


def _unpack(parcel: str, folder: Path, scratch: Path) -> None:
    """Join the parts of a parcel, each a folder of the Python path, and unpack it.

    parcel: 'run', 'data', 'other' (the pictures of side B) or 'base'.
    """
    found = (part for entry in sys.path for part in Path(entry or ".").glob(f"parcel_{parcel}_*/part"))
    parts = sorted(found, key=lambda part: part.parent.name)
    if not parts:
        return
    archive = scratch / f"{parcel}.tar"
    with open(archive, "wb") as out:
        for part in parts:
            with open(part, "rb") as f:
                shutil.copyfileobj(f, out)
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    archive.unlink()


def _relocate(path: Path, home: Path) -> None:
    """Change the paths of a plan to those of this machine."""
    plan = Plan.from_toml(path.read_text(encoding="utf-8"))

    def local(parcel: str, path: str) -> str:
        return str(home / parcel / Path(path).name) if path else ""

    data = dataclasses.replace(plan.data, path=local("data", plan.data.path), path_b=local("other", plan.data.path_b))
    plan = dataclasses.replace(plan, data=data, base=local("base", plan.base))
    atomic_write(path, plan.to_toml().encode())


class _Outbox:
    """Files ready to be fetched: the run folder itself, the segments of its event file, and the listing."""

    def __init__(self, outbox: Path, run_dir: Path, node: str):
        self.folder, self.run_dir, self.node = outbox, run_dir, node
        self.events_length, self.last_listing = 0, b""

    def publish(self) -> None:
        """Write the new segments, then the listing.

        The events are read first, so that all sheets and snapshots they mention are among the files.
        """
        events = self._publish_events()
        files = {}
        for path in sorted(self.run_dir.rglob("*")):
            name = path.relative_to(self.run_dir).as_posix()
            if name == EVENTS or any(p.startswith(".") for p in name.split("/")):
                continue
            try:
                if path.is_file():
                    files[name] = [path.stat().st_size, path.stat().st_mtime_ns]
            except OSError:
                continue  # being replaced right now; the next listing has it
        listing = {"folder": str(self.run_dir), "node": self.node, "events": events, "files": files}
        encoded = json.dumps(listing).encode()
        if encoded != self.last_listing:
            atomic_write(self.folder / LISTING, encoded)
            self.last_listing = encoded

    def _publish_events(self) -> int:
        """Write what is new of the event file in segments of SEGMENT bytes. Returns the number of bytes that can be fetched."""
        try:
            with open(self.run_dir / EVENTS, "rb") as f:
                first = self.events_length // SEGMENT
                f.seek(first * SEGMENT)
                data = f.read()
        except FileNotFoundError:
            return 0
        data = data[: data.rfind(b"\n") + 1]
        length = first * SEGMENT + len(data)
        if length > self.events_length:
            for i in range(0, len(data), SEGMENT):
                atomic_write(self.folder / segment(first + i // SEGMENT), data[i : i + SEGMENT])
            self.events_length = length
        return self.events_length


def segment(number: int) -> str:
    """Name of a segment of the event file."""
    return f"events.{number:06d}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
