"""Who looks after the queue: starts workers, sees how they end, starts again what died."""

import contextlib
import json
import logging
import threading
from collections.abc import Callable
from pathlib import Path

import filelock

from studio.errors import StudioError
from studio.jobs import requests
from studio.jobs.launchers import Launcher
from studio.jobs.launchers.local import LocalLauncher
from studio.jobs.queue import ENDED, Job, JobStore
from studio.jobs.worker import OUTCOME
from studio.settings import get_settings
from studio.training.events import read_events
from studio.training.plan import Plan

MOST_RESTARTS = 2
_log = logging.getLogger(__name__)


class Supervisor:
    """The queue of one home. Of several apps on the same home one is the owner; the others can look.

    home: default the studio's.  launcher: default this machine's processes.  slots: workers at the same time, one an
    accelerator.  every: seconds between two looks at the workers.  Close it, or use it in a `with`; workers go on
    after that.
    """

    sentence = "Another studio is open on the same folder and looks after the trainings; here you can only watch."

    def __init__(self, home: Path | None = None, launcher: Launcher | None = None, slots: int = 1, every: float = 0.5):
        home = Path(home) if home is not None else get_settings().home
        self.store, self.runs = JobStore(home / "jobs.sqlite"), home / "runs"
        self.launcher, self.slots, self._every = launcher or LocalLauncher(), slots, every
        self._lock = filelock.FileLock(home / ".jobs.lock", thread_local=False)
        self._changed = threading.Condition()
        self._closing = False
        self._own()
        self._thread = threading.Thread(target=self._look_after, name="supervisor", daemon=True)
        self._thread.start()

    @property
    def owner(self) -> bool:
        """Whether this one looks after the queue."""
        return self._lock.is_locked

    def _own(self) -> None:
        with contextlib.suppress(filelock.Timeout):
            self._lock.acquire(timeout=0)

    def close(self) -> None:
        """Stop looking after the queue. Running trainings go on."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()
        self._lock.release()

    def __enter__(self) -> "Supervisor":
        return self

    def __exit__(self, *exc) -> None:
        self.close()

    # -- what people ask -----------------------------------------------------------------------------------------

    def submit(self, plan: Plan, title: str) -> Job:
        """Put a plan into the queue. All orders raise StudioError when another studio is the owner."""
        return self._order(lambda: requests.submit(self.store, self.runs, plan, title))

    def pause(self, id: str) -> Job:
        """Save and free the accelerator."""
        return self._order(lambda: requests.pause(self.store, id))

    def resume(self, id: str) -> Job:
        """Go on from the last state, exactly."""
        return self._order(lambda: requests.resume(self.store, id))

    def finish(self, id: str) -> Job:
        """End now, with a last moment."""
        return self._order(lambda: requests.finish(self.store, id))

    def cancel(self, id: str) -> Job:
        """Give it up; its moments are kept."""
        return self._order(lambda: requests.cancel(self.store, id))

    def delete(self, id: str) -> None:
        """Take an ended training off the list. Its run folder stays."""
        self._order(lambda: self.store.remove(id))

    def jobs(self) -> list[Job]:
        """All, the newest first."""
        return self.store.list()

    def job(self, id: str) -> Job:
        """One. Raises StudioError when there is none."""
        return self.store.get(id)

    def logs(self, id: str) -> str:
        """The end of what its workers printed."""
        return requests.log_of(self.job(id))

    def events(self, id: str, offset: int = 0) -> tuple[list[dict], int]:
        """Its events from byte `offset` on, and where to go on."""
        return read_events(Path(self.job(id).run_dir) / "events.jsonl", offset)

    def wait(self, id: str, states: tuple[str, ...], timeout: float) -> Job:
        """Wait until the job is in one of `states`. Raises TimeoutError after `timeout` seconds."""
        return self.wait_for(lambda: self.job(id).state in states, timeout) and self.job(id)

    def wait_for(self, ready: Callable[[], bool], timeout: float) -> bool:
        """Wait until `ready()`, asked after each look at the workers."""
        with self._changed:
            if not self._changed.wait_for(ready, timeout):
                raise TimeoutError("the queue did not come that far")
        return True

    def _order(self, give: Callable):
        if not self.owner:
            raise StudioError(self.sentence, "Use that one, or close it first.")
        result = give()
        with self._changed:
            self._changed.notify_all()
        return result

    # -- looking after it ----------------------------------------------------------------------------------------

    def _look_after(self) -> None:
        while True:
            try:
                if not self.owner:
                    self._own()  # the other one may have closed
                if self.owner:
                    self._look()
            except Exception:
                _log.exception("looking after the queue failed; it is tried again")
            with self._changed:
                self._changed.notify_all()
                if self._closing:
                    return
                self._changed.wait(self._every)

    def _look(self) -> None:
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
            self._begin(job, slot)

    def _begin(self, job: Job, slot: int) -> None:
        (Path(job.run_dir) / OUTCOME).unlink(missing_ok=True)
        requests.put_wish(job)
        # Said before it is done: an owner that dies in between finds a running job without a worker and starts another.
        self.store.change(job.id, "stopping" if job.wish else "running", only_from=("queued",), slot=slot, handle="")
        try:
            handle = self.launcher.submit(job, slot)
        except (OSError, StudioError) as e:
            self.store.change(job.id, "failed", message=f"No worker could be started: {e}", slot=-1)
            return
        self.store.change(job.id, handle=handle)

    def _ended(self, job: Job) -> None:
        outcome = _read_outcome(Path(job.run_dir))
        kind, said = outcome.get("outcome", ""), outcome.get("message", "")
        no_worker = dict(handle="", slot=-1)
        nobody = dict(no_worker, wish="")
        if kind == "done":
            self.store.change(job.id, "done", message="", **nobody)
        elif kind == "paused":
            self.store.change(job.id, "paused", message="Paused: everything is saved.", **nobody)
        elif kind == "cancelled":
            self.store.change(job.id, "cancelled", message="Given up. Its moments are kept.", **nobody)
        elif kind == "room":
            self.store.change(job.id, "paused", message=said, **nobody)
        elif kind == "memory":
            plan = requests.smaller_batches(job)
            if plan is None:
                text = "There is too little memory even for one picture at a time. Choose a smaller size, or a smaller network."
                self.store.change(job.id, "failed", message=text, **nobody)
            else:
                at_once = Plan.from_toml(plan).optimizer.micro_batch
                text = f"Memory ran out: it goes on with {at_once} pictures at once (micro-batch); the batch stays as it was."
                self.store.change(job.id, "queued", message=text, **no_worker)
        elif kind == "failed":
            self.store.change(job.id, "failed", message=said, **nobody)
        elif job.state == "stopping" and job.wish in ("pause", "cancel"):
            state = "paused" if job.wish == "pause" else "cancelled"
            self.store.change(job.id, state, message="It ended before it could save; it goes on from its last state.", **nobody)
        elif not job.handle or self.launcher.lost(job):
            self.store.change(
                job.id, "queued", message="The machine or the studio was stopped; it goes on from its last state.", **no_worker
            )
        elif job.restarts < MOST_RESTARTS:
            text = f"Its worker died; it goes on from its last state (try {job.restarts + 2} of {MOST_RESTARTS + 1})."
            self.store.change(job.id, "queued", message=text, restarts=job.restarts + 1, **no_worker)
        else:
            last = [line for line in requests.log_of(job, 4096).splitlines() if line.strip()][-1:]
            text = f"Its worker died {MOST_RESTARTS + 1} times." + (f" The log ends with: {last[0][:300]}" if last else "")
            self.store.change(job.id, "failed", message=text, **nobody)


def ended(job: Job) -> bool:
    """Whether nothing more will happen to it by itself."""
    return job.state in ENDED


def _read_outcome(run_dir: Path) -> dict:
    try:
        outcome = json.loads((run_dir / OUTCOME).read_text(encoding="utf-8"))
        return outcome if isinstance(outcome, dict) else {}
    except (OSError, ValueError):
        return {}
