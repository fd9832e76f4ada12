"""Checks of a plan before any work is done: the network it asks for, its precision, and whether its parts fit together."""

import dataclasses
import math
from pathlib import Path

import torch

from studio.errors import StudioError
from studio.models.folder import ModelInfo, open_folder
from studio.models.library import default_library
from studio.networks import Task, get_family
from studio.training.growth import grown_at
from studio.training.losses import get_loss
from studio.training.plan import Plan


def find_base(plan: Plan) -> ModelInfo | None:
    """The model that a training starts from, a folder or an id of the library; None = from nothing. Raises StudioError."""
    if not plan.base:
        return None
    return open_folder(Path(plan.base)) if Path(plan.base).is_dir() else default_library().get(plan.base)


def check_pictures(plan: Plan) -> None:
    """Raise StudioError when the plan names no pictures: an empty path would be the folder at hand."""
    if not plan.data.path:
        raise StudioError("The plan names no pictures: data.path is empty.", "Set it to a folder or a zip of pictures.")


def check_before_queueing(plan: Plan) -> None:
    """Raise StudioError for a plan that could never run here: its network, its parts, its base, or its pictures."""
    check_plan(plan, family_config(plan, find_base(plan)))
    check_pictures(plan)
    if get_family(plan.family).task is Task.TRANSLATE and not plan.data.path_b:
        raise StudioError("The plan names no pictures of the other side: data.path_b is empty.", "Set it to a folder or a zip of pictures.")
    for name in ("path", "path_b"):
        path = getattr(plan.data, name)
        if path and not Path(path).expanduser().exists():
            hint = "Check the path; it counts from the plan's folder."
            raise StudioError(f"The pictures of the plan are not there: data.{name} is {path}.", hint)


def family_config(plan: Plan, base: ModelInfo | None, c_dim: int = 0):
    """The network's hyper-parameters: the base's, or the family's defaults with the plan's overrides.

    c_dim: number of classes of the pictures.  Raises StudioError when there is no such network.
    """
    family = get_family(plan.family)
    if family.discriminator is None:
        raise StudioError(f"{family.title} cannot be trained here.", "Choose another family; stylegan2 suits most pictures.")
    if base is not None and (plan.network or base.family != plan.family):
        raise StudioError(
            "A training that starts from a model uses that model's family and network.",
            "Remove [network] from the plan, or set its family to the model's.",
        )
    fields = {f.name for f in dataclasses.fields(family.config)}
    given = {name: value for name, value in (("resolution", plan.data.resolution), ("c_dim", c_dim)) if name in fields}
    known = fields - set(given)
    unknown = sorted(set(plan.network) - known)
    if unknown:
        raise StudioError(
            f"[network] of the plan has '{unknown[0]}', which is not a setting of {family.title}.", f"Known: {', '.join(sorted(known))}."
        )
    # A base of another size or number of classes is fine: what fits is copied (see transfer.py).
    settings = plan.network if base is None else base.config
    try:
        return family.config(**{**settings, **given})
    except (TypeError, ValueError) as e:
        raise StudioError(f"[network] of the plan does not work: {e}.", "Compare it with the example in README.md.") from None


def choose_precision(wanted: str, device: torch.device, translates: bool = False) -> str:
    """'fp32', 'bf16' or 'fp16': `wanted`, or for 'auto' what multiplies fastest on the device.

    translates: whether the networks are translators, which gain from bfloat16 even on CPUs without matrix units.
    """
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    if device.type == "cpu" and torch.cpu._is_amx_tile_supported():
        return "bf16"  # it has matrix units for it
    if device.type == "cpu" and translates and torch.cpu._is_avx512_bf16_supported():
        return "bf16"  # plain convolutions get a third faster; where weights change with each picture, bf16 is slower than fp32
    return "fp32"


def micro_batch_size(plan: Plan, processes: int) -> int:
    """Number of pictures in a micro-batch. Raises StudioError when the batch does not split evenly over the processes."""
    batch = plan.optimizer.batch
    micro = plan.optimizer.micro_batch or batch // processes
    if micro == 0 or batch % (micro * processes):
        raise StudioError(
            f"A batch of {batch} does not split evenly over {processes} processes.",
            f"Choose a batch that is a multiple of {processes} times micro_batch.",
        )
    return micro


def check_measurable(plan: Plan, pictures: int) -> None:
    """Raise StudioError when the plan asks for KID and a generator's pictures are too few for it: the first snapshot would stop it.

    pictures: that are learned from.
    """
    if plan.budget.metric_images and pictures < 2:
        raise StudioError(
            "There is only one picture, and the quality (KID) that the plan asks for compares sets of at least two.",
            "Add pictures, or set budget.metric_images = 0 in the plan.",
        )


def check_plan(plan: Plan, config, processes: int = 1) -> None:
    """Raise StudioError when the parts of the plan do not fit together.

    config: of the family, see `family_config`.
    """
    family, objective = get_family(plan.family), plan.objective
    get_loss(objective.loss)
    if plan.budget.metric_images == 1:
        raise StudioError("KID cannot be measured on one generated picture.", "Set budget.metric_images to 0, or to 2 or more.")
    own = objective.discriminator == "own"
    if family.task is not Task.TRANSLATE and (plan.data.path_b or plan.data.load_size):
        raise StudioError("data.path_b and data.load_size are for families that translate.", "Remove them, or choose such a family.")
    if plan.data.conditional and not own:
        raise StudioError(
            "The projected discriminator does not know classes.", 'Set data.conditional = false, or objective.discriminator = "own".'
        )
    if plan.data.conditional and not family.classes:
        raise StudioError(f"{family.title} does not learn classes.", "Set data.conditional = false, or choose another family.")
    if own and objective.gp_weight > 0 and getattr(config, "d_norm", "") == "batch":
        raise StudioError(  # Gulrajani 2017, Sec. 4
            "A gradient penalty applies to each picture by itself, and batch norm ties the pictures of a batch together.",
            'Set network.d_norm = "layer", or objective.gp_weight = 0.',
        )
    if objective.pl_weight > 0 and not family.learns_w:
        raise StudioError(f"{family.title} has no latent w whose path lengths could be measured.", "Set objective.pl_weight = 0.")
    if plan.growth.fade_kimg > 0:
        _check_growth(plan, config)
    _check_batch(plan, config, micro_batch_size(plan, processes), own)


def _check_growth(plan: Plan, config) -> None:
    family, growth = get_family(plan.family), plan.growth
    if not family.progressive:
        raise StudioError(f"{family.title} does not grow.", "Remove [growth] from the plan, or choose StyleGAN.")
    # The last step must train the full network, or the newest layers would be saved without having learned anything.
    last = (math.ceil(plan.budget.kimg * 1000 / plan.pictures_a_step) - 1) * plan.pictures_a_step
    if grown_at(last, config.resolution, growth.start, growth.fade_kimg, growth.stable_kimg) < math.log2(config.resolution / 4):
        raise StudioError(
            f"With {plan.budget.kimg:g} kimg the pictures never grow to {config.resolution} px.",
            "Raise budget.kimg, or lower growth.fade_kimg and growth.stable_kimg.",
        )


def _check_batch(plan: Plan, config, micro: int, own: bool) -> None:
    """Raise StudioError when layers that look across the pictures of a batch would see too few of them."""
    if micro == 1 and getattr(config, "batch_norm", False):
        raise StudioError(
            "Batch norm compares the pictures of a batch, and there is only one at a time.",
            "Set optimizer.micro_batch (or batch) to 2 or more; 16 or more is better.",
        )
    group = min(getattr(config, "mbstd_group_size", None) or micro, micro)
    if own and getattr(config, "mbstd_num_channels", 0) and micro % group:
        raise StudioError(
            f"{micro} pictures at once do not split into the groups of {group} that the discriminator compares.",
            f"Make optimizer.micro_batch (or batch) a multiple of {group}, or set network.mbstd_group_size.",
        )
