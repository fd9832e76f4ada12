"""Sentences on trainings of the queue that would miss a training set or a model, shown before either is deleted."""

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from studio.errors import StudioError
from studio.jobs.queue import Job
from studio.training.plan import Plan

LIVE_STATES = ("queued", "running", "paused", "stopping")  # of trainings that are in progress or will continue by themselves


def needing_set(jobs: Iterable[Job], set_id: str) -> list[str]:
    """A sentence for each training under way that learns from the training set `set_id`, as side A or B."""
    return [
        f"The training '{job.title}' learns from it and could not continue."
        for job, plan in _under_way(jobs)
        if set_id in (plan.data.hash, plan.data.hash_b)
    ]


def needing_model(jobs: Iterable[Job], model_id: str) -> list[str]:
    """A sentence for each training under way that is fine-tuned from the model `model_id`."""
    return [
        f"The training '{job.title}' starts from it: restore it, or the training may be unable to continue."
        for job, plan in _under_way(jobs)
        if Path(plan.base).name == model_id
    ]


def _under_way(jobs: Iterable[Job]) -> Iterator[tuple[Job, Plan]]:
    for job in jobs:
        if job.state in LIVE_STATES:
            with contextlib.suppress(StudioError):  # a plan written by another version
                yield job, Plan.from_toml(job.plan_toml)
