"""One thread that owns the device, and its queue."""

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from typing import Any

import torch

from studio.common.memory import out_of_memory
from studio.errors import StudioError

log = logging.getLogger(__name__)


class Superseded(CancelledError):
    """A newer request of the same session took this one's place."""


@dataclass
class _Job:
    run: Callable[[], Any]
    future: Future
    session: Hashable | None  # None = never superseded


class DeviceThread:
    """Runs jobs one after the other. Of each session only the newest job that has not begun is kept.

    rescue: called on the thread when a job runs out of memory; the job is then tried once more.
    """

    def __init__(self, rescue: Callable[[], None]):
        self._rescue = rescue
        self._jobs: OrderedDict[int, _Job] = OrderedDict()
        self._waiting: dict[Hashable, int] = {}  # session -> key of its waiting job
        self._count = 0
        self._wake = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="engine", daemon=True)
        self._thread.start()

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    def ask(self, run: Callable[[], Any], session: Hashable | None = None) -> Future:
        """Queue `run` for the thread. Raises StudioError when closed."""
        future: Future = Future()
        if threading.current_thread() is self._thread:
            # Called from a future's callback: waiting for this same thread would deadlock.
            self._run_job(_Job(run, future, None))
            return future
        with self._wake:
            if self._closed:
                raise StudioError("The engine is closed.", "Start the studio again.")
            old = None
            if session is not None:
                old = self._jobs.pop(self._waiting.pop(session, -1), None)
                self._waiting[session] = self._count
            self._jobs[self._count] = _Job(run, future, session)
            self._count += 1
            self._wake.notify()
        _supersede(old)  # outside of the lock, because it runs callbacks of others
        return future

    def drop(self, session: Hashable) -> None:
        """Drop the session's waiting job; its future raises Superseded."""
        with self._wake:
            old = self._jobs.pop(self._waiting.pop(session, -1), None)
        _supersede(old)

    def close(self) -> None:
        """Cancel waiting jobs, let the running one end, stop the thread. May be called again."""
        with self._wake:
            self._closed = True
            left = list(self._jobs.values())
            self._jobs.clear()
            self._waiting.clear()
            self._wake.notify_all()
        for job in left:
            job.future.cancel()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _work(self) -> None:
        while True:
            with self._wake:
                while not self._jobs and not self._closed:
                    self._wake.wait()
                if self._closed:
                    return
                _, job = self._jobs.popitem(last=False)
                self._waiting.pop(job.session, None)
            self._run_job(job)

    def _run_job(self, job: _Job) -> None:
        if not job.future.set_running_or_notify_cancel():
            return
        try:
            with torch.inference_mode():
                result = self._run_with_rescue(job.run)
        except StudioError as e:
            job.future.set_exception(e)
        except Exception as e:  # the thread must outlive any single picture
            log.exception("rendering failed")
            job.future.set_exception(e)
        else:
            job.future.set_result(result)

    def _run_with_rescue(self, run: Callable[[], Any]) -> Any:
        try:
            return run()
        except Exception as e:
            if not out_of_memory(e):
                raise
            log.warning("out of memory; caches are emptied", exc_info=True)
        # Out here, because the handler above keeps the frames of the failed run, and their tensors, alive.
        self._rescue()
        try:
            return run()
        except Exception as e:
            if not out_of_memory(e):
                raise
            log.exception("out of memory again")
        raise StudioError("The device ran out of memory.", "Close other programs, or start with --device cpu.")


def _supersede(job: _Job | None) -> None:
    # The caller may have cancelled the future meanwhile; then nobody waits for the exception.
    if job is not None and job.future.set_running_or_notify_cancel():
        job.future.set_exception(Superseded("a newer picture was requested"))
