"""Requests to a training: submit, pause, finish, cancel, resume. Any process may make them; the queue's owner and the worker obey."""

import dataclasses
from pathlib import Path

from studio.common.files import atomic_write
from studio.errors import StudioError
from studio.jobs.queue import Job, JobStore
from studio.training.plan import Plan

CONTROL = "control"  # a file in the run folder: the request to the worker
JOB_PLAN = "job.toml"  # a file in the run folder: the plan that the worker follows
_LOG = "log.txt"


def submit(store: JobStore, runs: Path, plan: Plan, title: str) -> Job:
    """Add a plan to the queue, with its own run folder below `runs`."""
    id = store.new_id()
    run_dir = Path(runs) / id
    atomic_write(run_dir / JOB_PLAN, plan.to_toml().encode())
    return store.add(title.strip() or "Untitled", plan.to_toml(), run_dir, id)


def pause(store: JobStore, id: str) -> Job:
    """Save the state and free the accelerator; `resume` continues exactly there."""
    job = store.get(id)
    if job.state == "queued":
        return store.change(job.id, "paused", only_from=("queued",), message="Paused before it started.", request="")
    return _request(store, job, "pause")


def finish(store: JobStore, id: str) -> Job:
    """End now and keep the result: a last snapshot is made, and the training is done."""
    return _request(store, store.get(id), "finish")


def cancel(store: JobStore, id: str) -> Job:
    """Cancel the training. The snapshots made so far are kept."""
    job = store.get(id)
    if job.state in ("queued", "paused"):
        return store.change(job.id, "cancelled", only_from=("queued", "paused"), message="Cancelled.", request="")
    return _request(store, job, "cancel")


def resume(store: JobStore, id: str) -> Job:
    """Queue it again; it continues from its last saved state."""
    job = store.get(id)
    if job.state not in ("paused", "failed", "cancelled"):
        raise StudioError(f"The training '{job.title}' is {job.state}.", "Only one that is paused, failed or cancelled can continue.")
    return store.change(job.id, "queued", only_from=(job.state,), restarts=0, request="", handle="", message="")


def _request(store: JobStore, job: Job, request: str) -> Job:
    if job.state not in ("running", "stopping"):
        raise StudioError(f"The training '{job.title}' is {job.state}.", "Only one that is running can do that.")
    # The row first: when a worker reads the request and ends, the row already says why.
    job = store.change(job.id, "stopping", only_from=("running", "stopping"), request=request)
    write_control(job)
    return job


def write_control(job: Job) -> None:
    """Write the request to the file that the job's worker reads, or delete the file when there is none."""
    path = Path(job.run_dir) / CONTROL
    if job.request:
        atomic_write(path, job.request.encode())
    else:
        path.unlink(missing_ok=True)


def halve_micro_batch(job: Job) -> str | None:
    """Halve the micro-batch of a job's plan in its run folder. Returns the new plan as TOML, None when it is one picture already."""
    path = Path(job.run_dir) / JOB_PLAN
    plan = Plan.load(path)
    now = plan.optimizer.micro_batch or plan.optimizer.batch
    smaller = next((m for m in range(now // 2, 0, -1) if plan.optimizer.batch % m == 0), None)
    if smaller is None:
        return None
    plan = dataclasses.replace(plan, optimizer=dataclasses.replace(plan.optimizer, micro_batch=smaller))
    atomic_write(path, plan.to_toml().encode())
    return plan.to_toml()


def read_log(job: Job, most: int = 1 << 20) -> str:
    """The end of what the job's workers printed, at most `most` bytes."""
    try:
        with open(Path(job.run_dir) / _LOG, "rb") as f:
            f.seek(0, 2)
            f.seek(max(0, f.tell() - most))
            return f.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""


def log_path(job: Job) -> Path:
    """The file that the job's workers print to."""
    return Path(job.run_dir) / _LOG
