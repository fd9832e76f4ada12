"""Link between a submission on a Ray cluster and its run folder here."""

import contextlib
import json
import logging
import os
import shlex
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import filelock

from studio.common.files import atomic_write
from studio.errors import NoRoom, StudioError
from studio.jobs.launchers.ray_connection import RayConnection
from studio.jobs.launchers.ray_download import RunDownload
from studio.jobs.launchers.ray_upload import pack_job
from studio.jobs.queue import Job
from studio.jobs.requests import CONTROL, log_path
from studio.jobs.worker import OUTCOME

_IDLE = 10.0  # seconds without a question after which a link rests: another app may own the queue now
_log = logging.getLogger(__name__)


class RayLink:
    """Thread that submits a job, passes requests on, and fetches what the job makes.

    gpus: of the job, None = 1 if the cluster has any.  patience: seconds for which the cluster may be silent.  every: seconds between
    two rounds.  send: whether the job is still to be submitted.
    """

    def __init__(
        self, address: str, job: Job, send: bool, gpus: int | None, patience: float, every: float, clock: Callable[[], float]
    ) -> None:
        self.address, self.job, self.send, self.gpus = address, job, send, gpus
        self.patience, self.every, self.clock = patience, every, clock
        self.run_dir = Path(job.run_dir)
        self.ended = self.lost = self.resting = False
        self.last_answer = self.last_question = self.clock()
        self._connection: RayConnection | None = None
        self._node_id, self._sent_request = "", ""
        self._download = RunDownload(self.run_dir, job.id, self._read, self._heard)
        self._thread = threading.Thread(target=self._run, name=f"ray {job.handle}", daemon=True)
        self._thread.start()

    def alive(self, job: Job) -> bool:
        """Whether the job still runs; the owner of the queue asks twice a second."""
        self.job, self.last_question = job, self.clock()
        if not self.ended and self.clock() - self.last_answer > self.patience:
            self.lost = self.ended = True  # the thread may hang in a request forever; what still arrives is ignored
        return not self.ended

    @property
    def connection(self) -> RayConnection:
        """The connection, made when there is none. Raises OSError when the cluster does not answer."""
        if self._connection is None:
            self._connection = RayConnection(self.address, self._heard)
        return self._connection

    def _run(self) -> None:
        while not self.ended:
            if self.clock() - self.last_question > _IDLE:
                self.resting = True
                return
            try:
                # The app that owned the queue before may not have noticed yet that it no longer does.
                with filelock.FileLock(self.run_dir / ".messenger", timeout=0):
                    self._round()
            except (filelock.Timeout, OSError) as e:  # exceptions of the library `requests` are OSErrors
                _log.info("the Ray cluster at %s: %s", self.address, e)
                self._connection = None
            except StudioError as e:
                self._give_up("room" if isinstance(e, NoRoom) else "failed", str(e))
            except Exception as e:
                _log.exception("communication with the Ray cluster failed")
                self._give_up("failed", f"Something went wrong on the way to the cluster: {type(e).__name__}: {e}")
            if not self.ended:
                time.sleep(self.every)

    def _give_up(self, outcome: str, message: str) -> None:
        """End the job from here, because its results cannot be fetched."""
        with contextlib.suppress(RuntimeError, OSError):
            RayConnection(self.address).stop(self.job.handle)
        with contextlib.suppress(OSError):
            atomic_write(self.run_dir / OUTCOME, json.dumps({"outcome": outcome, "message": message}).encode())
        self.ended = True

    def _round(self) -> None:
        """Send what is waiting, and fetch what is new."""
        connection = self.connection
        if self.send:
            self._submit(connection)
            self.send = False
        info = connection.info(self.job.handle)
        if info is None:
            self.lost = self.ended = True
            return
        ended = info.status.is_terminal()
        self._node_id = info.driver_node_id or ""
        listing = self._download.listing() if self._node_id else None
        if listing is None:
            # A job that waits for room on the cluster has no worker to obey yet.
            if self._request() in ("pause", "cancel") and not ended and not self._node_id:
                connection.stop(self.job.handle)
        else:
            news = self._download.fetch(listing, ended)
            self._pass_on_request(connection, listing)
            if ended or news:
                self._fetch_log(connection)
        if ended and not self.ended:
            if listing is None:
                self._fetch_log(connection)
            else:
                connection.run_shell(f"rm -rf {shlex.quote(str(Path(listing['folder']).parent))}", listing["node"])
            # The loss of a machine is not the job's fault; a failed command is.
            self.lost = "ACTOR" in str(getattr(info, "error_type", None) or "")
            self.ended = True

    def _heard(self) -> None:
        """Note that the cluster answered. Raises ConnectionError when the owner of the queue has already given up on it."""
        if self.ended:
            raise ConnectionError("it was silent for too long")
        self.last_answer = self.clock()

    def _read(self, name: str) -> Iterator[bytes]:
        """The contents of a file in the outbox of the submission, in chunks."""
        return self.connection.read(self._node_id, f"{self.job.handle}/{name}")

    def _submit(self, connection: RayConnection) -> None:
        gpus = self.gpus
        if gpus is None:
            gpus = 1 if connection.has_gpus() else 0
        variables = {name: os.environ[name] for name in ("OMP_NUM_THREADS",) if name in os.environ}
        if gpus == 0:
            variables["CUDA_VISIBLE_DEVICES"] = ""
        with open(log_path(self.job), "ab") as f:
            f.write(self._log_title())
        with tempfile.TemporaryDirectory(prefix="studio-ray-") as stage:
            code, parcels = pack_job(self.run_dir, Path(stage))
            # There is no answer while Ray receives the parcels.
            self.last_answer = self.clock() + 600
            arguments: dict[str, Any] = dict(
                entrypoint=f"python -m studio.jobs.launchers.ray_worker {self.job.handle} {self.job.id} {max(1, gpus)}",
                submission_id=self.job.handle,
                runtime_env={"working_dir": str(code), "py_modules": [str(p) for p in parcels], "env_vars": variables},
                metadata={"title": self.job.title},
                entrypoint_num_gpus=gpus or None,
                entrypoint_num_cpus=None if gpus else 1,
            )
            try:
                connection.submit(**arguments)
            except RuntimeError as e:
                raise StudioError(f"The Ray cluster refuses the training: {str(e).strip()[-300:]}", "Its log says more.") from None
        self.last_answer = self.clock()

    def _request(self) -> str:
        """What the worker is asked for, empty = nothing."""
        try:
            return (self.run_dir / CONTROL).read_text()
        except OSError:
            return ""

    def _pass_on_request(self, connection: RayConnection, listing: dict[str, Any]) -> None:
        """Write the request to the control file on the worker's machine."""
        request = self._request()
        if request and request != self._sent_request:
            path = shlex.quote(f"{listing['folder']}/{CONTROL}")
            connection.run_shell(f"printf %s {shlex.quote(request)} > {path}.part && mv {path}.part {path}", listing["node"])
            self._sent_request = request

    def _fetch_log(self, connection: RayConnection) -> None:
        """Write what the worker printed below the submission's title in the log."""
        printed = connection.logs(self.job.handle).encode()
        path = log_path(self.job)
        before = path.read_bytes() if path.exists() else b""
        head, title, _ = before.partition(self._log_title())
        self._heard()
        atomic_write(path, head + (title or self._log_title()) + printed)

    def _log_title(self) -> bytes:
        return f"-- on the Ray cluster: {self.job.handle}\n".encode()
