"""Launcher of workers on a Ray cluster, whose machines share no disk with this one.

Only the port of Ray's dashboard is needed, which Ray's job API uses anyway; an SSH tunnel to it will do, and neither Python nor Ray
need have the same version on both sides.

- Upload (ray_upload.py): the program, the pictures, the base model and the state of the run are packages of the job's runtime
  environment.
- Download (ray_download.py): the remote side (ray_worker.py) keeps the run folder among Ray's logs, the one place whose files the
  dashboard serves from any machine. They are fetched by short requests, no connection is kept open, and the app may close and come
  back in between.
- Requests (ray_link.py): a second job, a line of shell on the worker's machine, writes the control file.

The obvious alternative, an actor and Ray's object store, needs a Ray client inside the app: the same versions on both sides, one more
port, and a connection that takes the app down when the cluster dies.
"""

import contextlib
import dataclasses
import secrets
import time
from collections.abc import Callable

from studio.errors import StudioError
from studio.jobs.launchers.ray_connection import RayConnection
from studio.jobs.launchers.ray_link import RayLink
from studio.jobs.queue import Job
from studio.settings import environment_integer


class RayLauncher:
    """Launcher of workers as jobs of the Ray cluster at `address`.

    address: of the dashboard ('http://head:8265'), or what else Ray's job API accepts: 'auto', 'head:6379', 'ray://head:10001'.
    patience: seconds for which the cluster may be silent before its trainings go back into the queue.
    every: seconds between two checks of a worker.
    A handle is the name of the submission.  Raises StudioError for an invalid address, and when Ray is not installed.
    """

    # Jobs that do not fit wait on the cluster.
    slots = 16

    def __init__(self, address: str, patience: float = 120.0, every: float = 1.0, clock: Callable[[], float] = time.monotonic):
        try:
            import ray.job_submission  # noqa: F401
        except ImportError:
            raise StudioError("Ray is not installed here.", 'Install it: pip install "gan-studio[ray]"') from None
        valid = address == "auto" or address.startswith(("http://", "https://", "ray://")) or address.rpartition(":")[2].isdecimal()
        if not valid:
            raise StudioError(f"'{address}' is not the address of a Ray cluster.", "Give that of its dashboard, like http://head:8265.")
        self.address, self.patience, self.every, self.clock = address, patience, every, clock
        self.gpus = environment_integer("STUDIO_RAY_GPUS", None, least=0)
        self._links: dict[str, RayLink] = {}

    def submit(self, job: Job, slot: int) -> str:
        """Begin to send the job, which may take minutes. Errors on the way become its outcome."""
        handle = f"studio-{job.id}-{secrets.token_hex(3)}"
        self._link(dataclasses.replace(job, handle=handle), send=True)
        return handle

    def alive(self, job: Job) -> bool:
        if not job.handle:
            return False
        link = self._links.get(job.handle)
        if link is None or link.resting:
            link = self._link(job, send=False)
        return link.alive(job)

    def kill(self, job: Job) -> None:
        with contextlib.suppress(RuntimeError, OSError):
            RayConnection(self.address).stop(job.handle)

    def lost(self, job: Job) -> bool:
        link = self._links.pop(job.handle, None)
        return link is None or link.lost

    def _link(self, job: Job, send: bool) -> RayLink:
        link = self._links[job.handle] = RayLink(self.address, job, send, self.gpus, self.patience, self.every, self.clock)
        return link
