"""Workers as processes of this machine."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Sequence

import psutil

from studio.jobs.orders import log_path
from studio.jobs.store import Job

_WORKER = (sys.executable, "-m", "studio.jobs.worker")


class LocalLauncher:
    """Starts `command` with the run folder behind it, in a session of its own: it outlives the app.

    A handle is 'pid:time of its start', for the numbers of processes are used again.
    """

    def __init__(self, command: Sequence[str] = _WORKER):
        self.command = list(command)
        self._children: dict[int, subprocess.Popen] = {}

    def submit(self, job: Job, slot: int) -> str:
        environment = dict(os.environ)
        if slot >= 0 and "CUDA_VISIBLE_DEVICES" not in environment:
            environment["CUDA_VISIBLE_DEVICES"] = str(slot)
        with open(log_path(job), "ab") as log:
            child = subprocess.Popen(
                [*self.command, job.run_dir], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True
            )
        self._children[child.pid] = child
        return f"{child.pid}:{psutil.Process(child.pid).create_time():.2f}"

    def alive(self, job: Job) -> bool:
        return self._process(job) is not None

    def kill(self, job: Job) -> None:
        process = self._process(job)
        if process is not None:
            with contextlib.suppress(psutil.Error):
                process.kill()

    def lost(self, job: Job) -> bool:
        _, _, started = job.handle.partition(":")
        return bool(started) and psutil.boot_time() > float(started) + 1

    def _process(self, job: Job) -> psutil.Process | None:
        number, _, started = job.handle.partition(":")
        if not number.isdigit():
            return None
        child = self._children.get(int(number))
        if child is not None and child.poll() is not None:
            del self._children[int(number)]
            return None
        try:
            process = psutil.Process(int(number))
            if abs(process.create_time() - float(started)) > 0.02:
                return None
            if process.status() == psutil.STATUS_ZOMBIE:
                if child is not None:
                    child.wait()
                return None
            return process
        except (psutil.Error, ValueError):
            return None
