"""What a training step is, for each kind of training. The trainer knows none of it."""

from studio.networks import Task, get_family
from studio.training.objectives.adversarial import Adversarial
from studio.training.objectives.contrastive import Contrastive
from studio.training.objectives.cycle import Cycle
from studio.training.objectives.paired import Paired
from studio.training.objectives.super_resolution import SuperResolution
from studio.training.plan import Plan


def objective_of(plan: Plan) -> type:
    """The class of the objective that trains the plan's family."""
    family = get_family(plan.family)
    if family.task is Task.GENERATE:
        return Adversarial
    if family.task is Task.UPSCALE:
        return SuperResolution
    if family.paired:
        return Paired
    return Contrastive if plan.objective.unpaired == "contrastive" else Cycle
