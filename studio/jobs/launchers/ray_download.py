"""Download of a run folder from a Ray cluster while its training goes on.

Files arrive in an order that is consistent at every moment: sheets and snapshots, then the events that mention them, then the state
that counts on those events, and the outcome last.
"""

import dataclasses
import json
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from studio.common.files import atomic_folder, atomic_write, ensure_room, fsync_path
from studio.jobs.launchers.ray_upload import PLAN, STATE, events_length
from studio.jobs.launchers.ray_worker import EVENTS, LISTING, SEGMENT, segment
from studio.jobs.requests import CONTROL, JOB_PLAN
from studio.jobs.worker import OUTCOME
from studio.training.plan import Plan

Stamp = list[int]  # size in bytes and modification time of a file in the listing


class RunDownload:
    """Download of the job `job_id` into `run_dir`.

    read: contents of a file in the submission's outbox, in chunks.  heard: called before data is written; may raise OSError.
    """

    def __init__(self, run_dir: Path, job_id: str, read: Callable[[str], Iterator[bytes]], heard: Callable[[], None]):
        self.run_dir, self.job_id, self._read, self._heard = run_dir, job_id, read, heard
        self._fetched: dict[str, Stamp] = {}

    def listing(self) -> dict[str, Any] | None:
        """What lies in the outbox; None when there is none yet. Raises OSError when it cannot be read."""
        import requests

        try:
            return json.loads(b"".join(self._read(LISTING)))
        except requests.HTTPError as e:
            # There is none yet, or the machine is gone, which the state of the job will show.
            if e.response is not None and ("not found" in e.response.text or "doesn't exist" in e.response.text):
                return None
            raise
        except ValueError:
            raise ConnectionError("the listing arrived incomplete") from None

    def fetch(self, listing: dict[str, Any], ended: bool) -> bool:
        """Fetch what is new. Returns whether there was anything.  ended: whether the job has ended; the outcome is fetched then."""
        files: dict[str, Stamp] = listing["files"]
        new = {name: stamp for name, stamp in files.items() if not self._has(name, stamp)}
        self._fetch_snapshots(files, new)
        for name, stamp in new.items():
            if not name.startswith("snapshots/") and name not in (STATE, PLAN, JOB_PLAN, OUTCOME, CONTROL):
                self._fetch_file(name, stamp)
        self._fetch_events(listing["events"])
        if PLAN in new:
            self._fetch_plan(new[PLAN])
        if STATE in new:
            self._fetch_file(STATE, new[STATE], ready=lambda part: events_length(part) <= (self.run_dir / EVENTS).stat().st_size)
        if ended and OUTCOME in files:
            self._fetch_file(OUTCOME, files[OUTCOME])
        return bool(new)

    def _has(self, name: str, stamp: Stamp) -> bool:
        if self._fetched.get(name) == stamp:
            return True
        # Sheets and snapshots never change, so an app that was away need not fetch them again.
        here = self.run_dir / name
        return name.startswith(("samples/", "snapshots/")) and here.is_file() and here.stat().st_size == stamp[0]

    def _fetch_snapshots(self, files: dict[str, Stamp], new: dict[str, Stamp]) -> None:
        """Fetch each snapshot with new files as a complete folder."""
        for folder in sorted({"/".join(n.split("/")[:2]) for n in new if n.startswith("snapshots/")}):
            inside = {n: s for n, s in files.items() if n.startswith(folder + "/")}
            with atomic_folder(self.run_dir / folder) as part:
                for name, stamp in inside.items():
                    self._download(name, part / name[len(folder) + 1 :], stamp)
            self._fetched |= inside

    def _fetch_file(self, name: str, stamp: Stamp, ready: Callable[[Path], bool] = lambda part: True) -> None:
        """Fetch a file and give it its name. If it is not `ready`, the old one stays, and the next listing tries again."""
        part = self.run_dir / f".{name.replace('/', '.')}.{secrets.token_hex(4)}.part"
        try:
            self._download(name, part, stamp)
            if ready(part):
                (self.run_dir / name).parent.mkdir(parents=True, exist_ok=True)
                os.replace(part, self.run_dir / name)
                self._fetched[name] = stamp
        finally:
            part.unlink(missing_ok=True)

    def _fetch_events(self, length: int) -> None:
        """Append what is new of the event file, `length` bytes in all."""
        path = self.run_dir / EVENTS
        here = path.stat().st_size if path.exists() else 0
        with open(path, "ab") as f:
            while here < length:
                number, past = divmod(here, SEGMENT)
                data = b"".join(self._read(segment(number)))[past:]
                if not data:
                    break
                self._heard()
                f.write(data)
                f.flush()
                here += len(data)
            os.fsync(f.fileno())

    def _fetch_plan(self, stamp: Stamp) -> None:
        """Fetch the plan of the run, with the paths of this machine."""
        remote = Plan.from_toml(b"".join(self._read(f"{self.job_id}/{PLAN}")).decode())
        local = Plan.load(self.run_dir / JOB_PLAN)
        data = dataclasses.replace(remote.data, path=local.data.path, path_b=local.data.path_b)
        plan = dataclasses.replace(remote, base=local.base, data=data)
        atomic_write(self.run_dir / PLAN, plan.to_toml().encode())
        self._fetched[PLAN] = stamp

    def _download(self, name: str, target: Path, stamp: Stamp) -> None:
        """Write a file of the run to `target`. Raises ConnectionError when it differs from the listing."""
        size = stamp[0]
        ensure_room(self.run_dir, size)
        target.parent.mkdir(parents=True, exist_ok=True)
        with open(target, "wb") as f:
            for chunk in self._read(f"{self.job_id}/{name}"):
                f.write(chunk)
        fsync_path(target)
        if target.stat().st_size != size:
            raise ConnectionError(f"{name} changed while it was fetched")  # the next listing is newer
