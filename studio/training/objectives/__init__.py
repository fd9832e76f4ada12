"""What a training step is, for each kind of training. The trainer knows none of it."""

from studio.networks import get_family
from studio.training.objectives.adversarial import Adversarial
from studio.training.objectives.contrastive import Contrastive
from studio.training.objectives.cycle import Cycle
from studio.training.objectives.paired import Paired
from studio.training.objectives.super_resolution import SuperResolution
from studio.training.plan import Plan


def objective_of(plan: Plan) -> type:
    """The class of the objective that trains the plan's family."""
    if get_family(plan.family).objective == "cycle":
        return Contrastive if plan.objective.unpaired == "contrastive" else Cycle
    kinds = {"adversarial": Adversarial, "paired": Paired, "super_resolution": SuperResolution}
    return kinds[get_family(plan.family).objective]
