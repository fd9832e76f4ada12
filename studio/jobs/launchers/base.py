"""Launcher protocol: starts a worker for a job, says whether it is alive, and can end it."""

from typing import Protocol

from studio.jobs.queue import Job


class Launcher(Protocol):
    """A place where workers run. Handles are strings kept in the job's row, so that they outlive the app."""

    @property
    def slots(self) -> int:
        """Number of workers it can run at the same time."""
        ...

    def submit(self, job: Job, slot: int) -> str:
        """Start a worker on accelerator `slot`. Returns its handle."""
        ...

    def alive(self, job: Job) -> bool:
        """Whether the worker of `job.handle` still runs. Once it does not, all its events, sheets and snapshots are in `job.run_dir`."""
        ...

    def kill(self, job: Job) -> None:
        """End the worker at once. Does nothing when it has ended."""
        ...

    def lost(self, job: Job) -> bool:
        """Whether the worker ended because its machine did, which is not the job's fault."""
        ...
