"""Supervisor of the queue: starts workers, records how they end, and restarts those that died."""

import contextlib
import json
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import filelock

from studio.common.files import sweep_parts
from studio.errors import StudioError
from studio.jobs import requests
from studio.jobs.launchers.base import Launcher
from studio.jobs.launchers.local import LocalLauncher
from studio.jobs.queue import ENDED, Job, JobStore
from studio.jobs.worker import OUTCOME
from studio.settings import get_settings
from studio.training.events import read_events
from studio.training.plan import Plan

MAX_RESTARTS = 2
_log = logging.getLogger(__name__)


class Supervisor:
    """Queue of one home folder. If several apps share a home, one owns the queue; the others can only watch.

    home: default the studio's.  launcher: default processes of this machine.  slots: number of workers at the same time, one per
    accelerator.  every: seconds between two checks of the workers.  Close it, or use it in a `with`; workers keep running after
    that.
    """

    sentence = "Another studio is open on the same folder and manages the trainings; here you can only watch."

    def __init__(self, home: Path | None = None, launcher: Launcher | None = None, slots: int = 1, every: float = 0.5):
        home = Path(home) if home is not None else get_settings().home
        self.store, self.runs = JobStore(home / "jobs.sqlite"), home / "runs"
        self.launcher, self.slots, self._every = launcher or LocalLauncher(), slots, every
        self._lock = filelock.FileLock(home / ".jobs.lock", thread_local=False)
        self._changed = threading.Condition()
        self._closing = False
        self._try_to_own()
        self._thread = threading.Thread(target=self._supervise, name="supervisor", daemon=True)
        self._thread.start()

    @property
    def owner(self) -> bool:
        """Whether this one manages the queue."""
        return self._lock.is_locked

    def _try_to_own(self) -> None:
        with contextlib.suppress(filelock.Timeout, OSError):
            self._lock.acquire(timeout=0)
            home = self.runs.parent
            for folder in (home, home / "models", home / "outputs", self.runs, *self.runs.glob("*/"), *self.runs.glob("*/snapshots/")):
                sweep_parts(folder)

    def close(self) -> None:
        """Stop managing the queue. Running trainings keep running."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()
        self._lock.release()

    def __enter__(self) -> "Supervisor":
        return self

    def __exit__(self, *exc) -> None:
        self.close()

    # -- requests -----------------------------------------------------------------------------------------------

    def submit(self, plan: Plan, title: str) -> Job:
        """Add a plan to the queue. All requests raise StudioError when another studio owns it."""
        return self._request(lambda: requests.submit(self.store, self.runs, plan, title))

    def pause(self, id: str) -> Job:
        """Save the state and free the accelerator."""
        return self._request(lambda: requests.pause(self.store, id))

    def resume(self, id: str) -> Job:
        """Continue from the last state, exactly."""
        return self._request(lambda: requests.resume(self.store, id))

    def finish(self, id: str) -> Job:
        """End now, with a last snapshot."""
        return self._request(lambda: requests.finish(self.store, id))

    def cancel(self, id: str) -> Job:
        """Cancel it; its snapshots are kept."""
        return self._request(lambda: requests.cancel(self.store, id))

    def delete(self, id: str) -> None:
        """Remove an ended training from the list. Its run folder stays."""
        self._request(lambda: self.store.remove(id))

    def jobs(self) -> list[Job]:
        """All jobs, newest first."""
        return self.store.list()

    def job(self, id: str) -> Job:
        """The job called `id`. Raises StudioError when there is none."""
        return self.store.get(id)

    def logs(self, id: str) -> str:
        """The end of the log of its workers."""
        return requests.read_log(self.job(id))

    def events(self, id: str, offset: int = 0) -> tuple[list[dict], int]:
        """Its events from byte `offset` on, and the offset to continue from."""
        return read_events(Path(self.job(id).run_dir) / "events.jsonl", offset)

    def wait(self, id: str, states: tuple[str, ...], timeout: float) -> Job:
        """Wait until the job is in one of `states`. Raises TimeoutError after `timeout` seconds."""
        self.wait_for(lambda: self.job(id).state in states, timeout)
        return self.job(id)

    def wait_for(self, ready: Callable[[], object], timeout: float) -> None:
        """Wait until `ready()` is true; it is called after each check of the workers. Raises TimeoutError after `timeout` seconds."""
        with self._changed:
            if not self._changed.wait_for(lambda: bool(ready()), timeout):
                raise TimeoutError("the queue did not get that far")

    def _request(self, make: Callable):
        if not self.owner:
            raise StudioError(self.sentence, "Use that one, or close it first.")
        result = make()
        with self._changed:
            self._changed.notify_all()
        return result

    # -- supervision ----------------------------------------------------------------------------------------

    def _supervise(self) -> None:
        while True:
            try:
                if not self.owner:
                    self._try_to_own()  # the owner may have closed
                if self.owner:
                    self._check_workers()
            except Exception:
                _log.exception("supervising the queue failed; trying again")
            with self._changed:
                self._changed.notify_all()
                if self._closing:
                    return
                self._changed.wait(self._every)

    def _check_workers(self) -> None:
        jobs = self.store.list()
        busy = set()
        for job in jobs:
            if job.state in ("running", "stopping"):
                if self.launcher.alive(job):
                    busy.add(job.slot)
                else:
                    self._ended(job)
        free = [s for s in range(self.slots) if s not in busy]
        waiting = [j for j in reversed(self.store.list()) if j.state == "queued"]
        for job, slot in zip(waiting, free, strict=False):
            self._start(job, slot)

    def _start(self, job: Job, slot: int) -> None:
        (Path(job.run_dir) / OUTCOME).unlink(missing_ok=True)
        requests.write_control(job)
        # Recorded before the worker starts: if the owner dies in between, the job counts as running without a worker, and is restarted.
        self.store.change(job.id, "stopping" if job.request else "running", only_from=("queued",), slot=slot, handle="")
        try:
            handle = self.launcher.submit(job, slot)
        except (OSError, StudioError) as e:
            self.store.change(job.id, "failed", message=f"No worker could be started: {e}", slot=-1)
            return
        self.store.change(job.id, handle=handle)

    def _ended(self, job: Job) -> None:
        outcome = _read_outcome(Path(job.run_dir))
        how, message = outcome.get("outcome", ""), outcome.get("message", "")
        no_worker: dict[str, Any] = dict(handle="", slot=-1)
        idle: dict[str, Any] = dict(no_worker, request="")
        if how == "done":
            self.store.change(job.id, "done", message="", **idle)
        elif how == "paused":
            self.store.change(job.id, "paused", message="Paused: everything is saved.", **idle)
        elif how == "cancelled":
            self.store.change(job.id, "cancelled", message="Cancelled. Its snapshots are kept.", **idle)
        elif how == "room":
            self.store.change(job.id, "paused", message=message, **idle)
        elif how == "memory":
            plan = requests.halve_micro_batch(job)
            if plan is None:
                text = "There is too little memory even for one picture at a time. Choose a smaller resolution or a smaller network."
                self.store.change(job.id, "failed", message=text, **idle)
            else:
                micro_batch = Plan.from_toml(plan).optimizer.micro_batch
                text = f"Memory ran out: it continues with {micro_batch} pictures at once (micro-batch); the batch stays the same."
                self.store.change(job.id, "queued", message=text, **no_worker)
        elif how == "failed":
            self.store.change(job.id, "failed", message=message, **idle)
        elif job.state == "stopping" and job.request in ("pause", "cancel"):
            state = "paused" if job.request == "pause" else "cancelled"
            self.store.change(job.id, state, message="It ended before it could save; it can continue from its last state.", **idle)
        elif not job.handle or self.launcher.lost(job):
            self.store.change(
                job.id, "queued", message="The machine or the studio was stopped; it continues from its last state.", **no_worker
            )
        elif job.restarts < MAX_RESTARTS:
            text = f"Its worker died; it continues from its last state (try {job.restarts + 2} of {MAX_RESTARTS + 1})."
            self.store.change(job.id, "queued", message=text, restarts=job.restarts + 1, **no_worker)
        else:
            last = [line for line in requests.read_log(job, 4096).splitlines() if line.strip()][-1:]
            text = f"Its worker died {MAX_RESTARTS + 1} times." + (f" The log ends with: {last[0][:300]}" if last else "")
            self.store.change(job.id, "failed", message=text, **idle)


def ended(job: Job) -> bool:
    """Whether nothing more will happen to the job by itself."""
    return job.state in ENDED


def _read_outcome(run_dir: Path) -> dict:
    try:
        outcome = json.loads((run_dir / OUTCOME).read_text(encoding="utf-8"))
        return outcome if isinstance(outcome, dict) else {}
    except (OSError, ValueError):
        return {}
