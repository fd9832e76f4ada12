"""Workers that need not import torch first: real processes, forked from one that has it loaded.

Run as a program it is the server: each line of its input names a worker to start, each line of its output is a process id.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil

from studio.jobs.launchers.local import LocalLauncher
from studio.jobs.queue import Job
from studio.jobs.requests import log_path


class WorkerServer:
    """The process that workers are forked from."""

    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__))], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ}
        )

    def start(self, run_dir: str, log: Path, patch: str) -> int:
        """Start a worker. Returns its process id.  patch: code that is executed in it first."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        request = {"run_dir": run_dir, "log": str(log), "environment": dict(os.environ), "patch": patch}
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def close(self) -> None:
        """End the server; workers keep running."""
        self.process.kill()
        self.process.wait()


class WarmLauncher(LocalLauncher):
    """A `LocalLauncher` whose workers come from a server.  patch: code that is executed in each of them first."""

    def __init__(self, server: WorkerServer, patch: str = ""):
        super().__init__()
        self.server, self.patch = server, patch

    def submit(self, job: Job, slot: int) -> str:
        pid = self.server.start(job.run_dir, log_path(job), self.patch)
        try:
            return f"{pid}:{psutil.Process(pid).create_time():.2f}"
        except psutil.NoSuchProcess:
            return f"{pid}:0"


def _serve() -> None:
    # What a worker needs, also what torch imports at its first optimiser.
    import torch._dynamo  # noqa: F401

    import studio.training.trainer  # noqa: F401
    from studio.jobs import worker

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the workers
    for line in sys.stdin:
        request = json.loads(line)
        pid = os.fork()
        if pid:
            print(pid, flush=True)
            continue
        code = 1
        try:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.setsid()
            log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            nothing = os.open(os.devnull, os.O_RDONLY)
            for source, target in ((nothing, 0), (log, 1), (log, 2)):
                os.dup2(source, target)
            os.environ.clear()
            os.environ.update(request["environment"])
            exec(request["patch"], {})
            code = worker.main([request["run_dir"]])
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)


if __name__ == "__main__":
    _serve()
