"""Launcher of workers as processes of this machine."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Sequence

import psutil

from studio.jobs.queue import Job
from studio.jobs.requests import log_path

_WORKER = ("-m", "studio.jobs.worker")
# Every setting is given, because accelerate otherwise reads answers once given to its own questionnaire.
# 'multi_gpu' is one process per card; without a card the processes communicate over gloo and compute on the CPU.
_DISTRIBUTED = (
    "-m",
    "accelerate.commands.launch",
    "--multi_gpu",
    "--num_machines",
    "1",
    "--machine_rank",
    "0",
    "--gpu_ids",
    "all",
    "--mixed_precision",
    "no",
    "--dynamo_backend",
    "no",
    "--main_process_port",
    "0",
)


def worker_command(processes: int = 1) -> list[str]:
    """Command that starts a worker, or `processes` workers that train one model together; the run folder is its last argument."""
    if processes == 1:
        return [sys.executable, *_WORKER]
    return [sys.executable, *_DISTRIBUTED, "--num_processes", str(processes), *_WORKER]


class LocalLauncher:
    """Launcher of workers in their own session, so that they outlive the app.

    command: starts a worker when the run folder is appended, None = the studio's own.
    processes: of one training. With 1 each accelerator has a training of its own, with more all of them work on one.
    A handle is 'pid:start time', because process ids are reused.
    """

    def __init__(self, command: Sequence[str] | None = None, processes: int = 1):
        self.command, self.processes = list(command or worker_command(processes)), processes
        self._children: dict[int, subprocess.Popen] = {}

    @property
    def slots(self) -> int:
        """Number of trainings at the same time: one per graphics card, otherwise one."""
        if self.processes > 1 or os.environ.get("CUDA_VISIBLE_DEVICES") == "":
            return 1
        import torch

        return max(1, torch.cuda.device_count())

    def submit(self, job: Job, slot: int) -> str:
        environment = dict(os.environ)
        if self.processes == 1 and slot >= 0 and "CUDA_VISIBLE_DEVICES" not in environment:
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
        if process is None:
            return
        with contextlib.suppress(psutil.Error):
            for one in [*process.children(recursive=True), process]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    one.kill()

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
