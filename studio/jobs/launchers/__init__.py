"""Where workers run. A launcher starts one for a job, says whether it is alive, and can end it."""

from typing import Protocol

from studio.jobs.queue import Job


class Launcher(Protocol):
    """A place for workers. Handles are texts, kept in the job's row, so that they outlive the app."""

    @property
    def slots(self) -> int:
        """Workers that it can feed at the same time."""
        ...

    def submit(self, job: Job, slot: int) -> str:
        """Start a worker on accelerator `slot`. Returns its handle."""
        ...

    def alive(self, job: Job) -> bool:
        """Whether the worker of `job.handle` is still at work. Events, sheets and snapshots that it made elsewhere
        are in job.run_dir by then."""
        ...

    def kill(self, job: Job) -> None:
        """End it at once. Nothing happens when it has ended."""
        ...

    def lost(self, job: Job) -> bool:
        """Whether it ended because the machine did, which is no fault of the job."""
        ...
