"""Lookup of the training task of a plan."""

from studio.networks import Task, get_family
from studio.training.plan import Plan
from studio.training.tasks.base import TrainingTask
from studio.training.tasks.generation import GenerationTask
from studio.training.tasks.super_resolution import SuperResolutionTask
from studio.training.tasks.translation import TranslationTask

_TASKS: dict[Task, type[TrainingTask]] = {
    Task.GENERATE: GenerationTask,
    Task.TRANSLATE: TranslationTask,
    Task.UPSCALE: SuperResolutionTask,
}


def task_of(plan: Plan) -> type[TrainingTask]:
    """The class of the task that trains the plan's family."""
    return _TASKS[get_family(plan.family).task]
