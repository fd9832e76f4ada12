"""What a person asks of a training. Any process may ask; the owner of the queue and the worker see to it."""

import dataclasses
from pathlib import Path

from studio.common.files import atomic_write
from studio.errors import StudioError
from studio.jobs.queue import Job, JobStore
from studio.training.plan import Plan

CONTROL = "control"  # a file in the run folder: what the worker is asked for
JOB_PLAN = "job.toml"  # a file in the run folder: the plan that the worker follows
_LOG = "log.txt"


def submit(store: JobStore, runs: Path, plan: Plan, title: str) -> Job:
    """Put a plan into the queue, with a run folder of its own below `runs`."""
    id = store.new_id()
    run_dir = Path(runs) / id
    atomic_write(run_dir / JOB_PLAN, plan.to_toml().encode())
    return store.add(title.strip() or "Untitled", plan.to_toml(), run_dir, id)


def pause(store: JobStore, id: str) -> Job:
    """Save and free the accelerator; `resume` goes on exactly there."""
    job = store.get(id)
    if job.state == "queued":
        return store.change(job.id, "paused", only_from=("queued",), message="Paused before it began.", wish="")
    return _ask(store, job, "pause")


def finish(store: JobStore, id: str) -> Job:
    """End now and keep what there is: a last moment is made, and the training is done."""
    return _ask(store, store.get(id), "finish")


def cancel(store: JobStore, id: str) -> Job:
    """Give the training up. Its moments so far are kept."""
    job = store.get(id)
    if job.state in ("queued", "paused"):
        return store.change(job.id, "cancelled", only_from=("queued", "paused"), message="Given up.", wish="")
    return _ask(store, job, "cancel")


def resume(store: JobStore, id: str) -> Job:
    """Into the queue again, from its last state."""
    job = store.get(id)
    if job.state not in ("paused", "failed", "cancelled"):
        raise StudioError(f"The training '{job.title}' is {job.state}.", "Only one that is paused, failed or given up can go on.")
    return store.change(job.id, "queued", only_from=(job.state,), restarts=0, wish="", handle="", message="")


def _ask(store: JobStore, job: Job, wish: str) -> Job:
    if job.state not in ("running", "stopping"):
        raise StudioError(f"The training '{job.title}' is {job.state}.", "Only one that is running can do that.")
    # The row first: a worker that sees the wish and ends is then known to have been asked.
    job = store.change(job.id, "stopping", only_from=("running", "stopping"), wish=wish)
    put_wish(job)
    return job


def put_wish(job: Job) -> None:
    """Where its worker looks: what the job is asked for, or nothing."""
    path = Path(job.run_dir) / CONTROL
    if job.wish:
        atomic_write(path, job.wish.encode())
    else:
        path.unlink(missing_ok=True)


def smaller_batches(job: Job) -> str | None:
    """Halve the pictures at once of a job's plan, in its run folder. Returns the new plan, None when they are one."""
    path = Path(job.run_dir) / JOB_PLAN
    plan = Plan.load(path)
    now = plan.optimizer.micro_batch or plan.optimizer.batch
    smaller = next((m for m in range(now // 2, 0, -1) if plan.optimizer.batch % m == 0), None)
    if smaller is None:
        return None
    plan = dataclasses.replace(plan, optimizer=dataclasses.replace(plan.optimizer, micro_batch=smaller))
    atomic_write(path, plan.to_toml().encode())
    return plan.to_toml()


def log_of(job: Job, most: int = 1 << 20) -> str:
    """The end of what its workers printed, at most `most` bytes."""
    try:
        with open(Path(job.run_dir) / _LOG, "rb") as f:
            f.seek(0, 2)
            f.seek(max(0, f.tell() - most))
            return f.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""


def log_path(job: Job) -> Path:
    """The file its workers print to."""
    return Path(job.run_dir) / _LOG
