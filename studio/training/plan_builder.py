"""Plans made from an artist's choices: the page, the command line and the API get the same plan for the same choices."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from studio.datasets.pairs import BY_NAME, pair_sets
from studio.datasets.rights import LICENSED, Consent, most_restrictive
from studio.datasets.store import DataSet
from studio.errors import StudioError
from studio.models.folder import ModelInfo
from studio.models.library import Library, default_library
from studio.models.licences import why_not
from studio.models.rights import consent_of
from studio.training.data.patches import names_large_enough
from studio.training.methods import Method, get_method
from studio.training.plan import Card, Plan
from studio.training.plan_checks import check_measurable, check_plan, choose_precision, family_config
from studio.training.presets import estimate_seconds, learning_classes, preset_plan
from studio.training.presets_super_resolution import estimate_upscaler_seconds, preset_upscaler_plan


@dataclass(frozen=True)
class PlanChoices:
    """What an artist chooses to train. Settings that are None are decided by the preset."""

    method: str
    """A name of methods.py."""
    preset: str = "sketch"
    """A name of presets.PRESETS: how long to train."""
    base: str = ""
    """Id of a model in the library to start from, empty = from scratch."""
    resolution: int = 64
    """Side in pixels of pictures that are generated or translated; upscalers take `patch`."""
    factor: int = 2
    """Upscaling: how many times as wide and high; with a base, the base's counts."""
    classes: bool = False
    """Generation: also learn the classes."""
    crop: str = "centre"
    """How pictures become squares: 'centre', 'smart' or 'fit'. Upscalers crop nothing."""
    ground: str = "#ffffff"
    """Colour behind transparent parts and in the margins of padded pictures."""
    mirror: bool = False
    """Also learn each picture flipped; upscalers always do."""
    pairs: str = BY_NAME
    """Paired translation: how partners are found, by 'name' or by 'order'."""
    title: str = ""
    """Of the model; empty = that of the first set."""
    licence: str = ""
    """Of the model."""
    seed: int = 0
    device: str = "cpu"
    """'cpu' or 'cuda', which it is meant to be trained on."""
    kimg: float | None = None
    """Thousands of pictures shown."""
    batch: float | None = None
    """Pictures per step; rounded down."""
    patch: float | None = None
    """Upscaling: side of the large patches in pixels; rounded down, 0 = as None."""
    r1_gamma: float | None = None
    """Generation: weight of R1."""
    freeze_d: float | None = None
    """Generation: blocks of the discriminator that stay as the base has them; rounded down."""
    ada_target: float | None = None
    """Generation: sign of D(real) that ADA steers to."""
    tunable_weight: float | None = None
    """Translation and upscaling: the weight named by the method."""
    lambda_identity: float | None = None
    """Unpaired translation: weight of leaving a picture of the target side unchanged."""


def find_base(choices: PlanChoices, library: Library | None = None) -> ModelInfo | None:
    """The model to start from. Raises StudioError when `library` (default: the studio's own) has none of that id."""
    return (library or default_library()).get(choices.base) if choices.base else None


def draft_plan(choices: PlanChoices, base: ModelInfo | None, pictures: int = 1) -> Plan:
    """The plan without its data and card: enough to estimate the time and to preview the task.

    base: of `find_base`.  pictures: number in the set.  Raises StudioError as the presets do.
    """
    method = get_method(choices.method)
    start = str(base.path) if base else ""
    if method.upscales:
        scale = base.scale if base and base.scale else choices.factor
        plan = preset_upscaler_plan(choices.preset, start, pictures=pictures, device=choices.device, scale=scale, style=method.name)
        plan = dataclasses.replace(plan, data=_replaced(plan.data, resolution=choices.patch or None))
    else:
        plan = preset_plan(
            choices.preset, start, pictures=pictures, device=choices.device, resolution=choices.resolution, method=method.name
        )
    return dataclasses.replace(
        plan, budget=_replaced(plan.budget, kimg=choices.kimg), optimizer=_replaced(plan.optimizer, batch=choices.batch)
    )


def build_plan(choices: PlanChoices, a: DataSet, b: DataSet | None = None, library: Library | None = None) -> Plan:
    """The plan of `choices` for stored image sets.

    a: the pictures to learn from.  b: for methods of two sets, what those of `a` should become.  library: where the base is (default:
    the studio's own).  Raises StudioError when sets and choices do not go together.
    """
    method = get_method(choices.method)
    sets = _check_sets(method, a, b, choices.pairs)
    base = find_base(choices, library)
    _check_licence(choices.licence, [*(x.consent for x in sets), *([consent_of(base)] if base else [])])
    plan = draft_plan(choices, base, a.count)
    if choices.classes and method.generates:
        plan = learning_classes(plan)
    data = dataclasses.replace(plan.data, path=str(a.path), hash=a.id, ground=choices.ground)
    if not method.upscales:
        data = dataclasses.replace(data, crop=choices.crop, mirror=choices.mirror)
    elif not names_large_enough(a, data.resolution):
        raise StudioError(
            f"No picture is {data.resolution} pixels wide and high.", "Add larger ones, or choose a smaller patch under Advanced."
        )
    for other in sets[1:]:
        data = dataclasses.replace(data, path_b=str(other.path), hash_b=other.id, pairs=choices.pairs)
    plan = dataclasses.replace(
        plan,
        seed=choices.seed,
        data=data,
        objective=_replaced(plan.objective, **_weights(choices, method)),
        augment=_replaced(plan.augment, target=choices.ada_target) if method.generates else plan.augment,
        card=_card(choices, a.title, most_restrictive(x.consent for x in sets)),
    )
    if method.generates:
        check_measurable(plan, a.count)
    else:
        check_plan(plan, family_config(plan, base))
    return plan


def estimate_plan_seconds(choices: PlanChoices, library: Library | None = None) -> float | None:
    """About how many seconds training takes on this machine's CPU; None if that is not known.

    Raises StudioError as `draft_plan` does.
    """
    base = find_base(choices, library)
    plan = draft_plan(choices, base)
    threads, config = torch.get_num_threads(), base.config if base else None
    if get_method(choices.method).upscales:
        return estimate_upscaler_seconds(plan, threads, config)
    fast_bf16 = choose_precision("auto", torch.device("cpu"), translates=True) == "bf16"
    return estimate_seconds(plan, choices.method, threads, fast_bf16, config)


def _check_sets(method: Method, a: DataSet, b: DataSet | None, pairs: str) -> list[DataSet]:
    """The sets that `method` learns from. Raises StudioError when it cannot."""
    sets = [a]
    if method.image_sets != "one":
        if b is None:
            raise StudioError("There are no pictures for side B.", "Create a training set for it under '1 Training set'.")
        sets.append(b)
    for stored in sets:
        if not stored.answered:
            raise StudioError(
                f"Nobody has said yet whose pictures '{stored.title}' are.",
                "Add them again, and answer 'Rights to these pictures'.",
            )
    if b is not None and method.image_sets == "paired":
        pair_sets(a.pair_names(), b.pair_names(), pairs)
    elif b is not None and method.image_sets == "unpaired" and a.id == b.id:
        raise StudioError("Both sides are the same set of pictures.", "Choose another for side A or B under '1 Training set'.")
    if method.needs_classes and len(a.classes) < 2:
        raise StudioError(
            f"{method.title} learns classes, and this set has none.",
            "Put each class of pictures into a sub-folder and add them again, or choose another method.",
        )
    return sets


def _check_licence(licence: str, consents: Sequence[Consent]) -> None:
    """Raises StudioError for a licence of the model that one of the sets, or the model it starts from, does not allow."""
    for consent in consents:
        if licence.strip() and (reason := why_not(consent.licence, licence) if consent.answer == LICENSED else ""):
            raise StudioError(f"The model cannot have the licence {licence.strip()}.", reason)


def _weights(choices: PlanChoices, method: Method) -> Mapping[str, float | None]:
    """Settings of the objective that the method reads."""
    if method.tunable_weight:
        identity = {"lambda_identity": choices.lambda_identity} if method.goal == "restyle" else {}
        return {method.tunable_weight: choices.tunable_weight, **identity}
    if method.upscales:
        return {}
    return dict(r1_gamma=choices.r1_gamma, freeze_d=choices.freeze_d)


def _card(choices: PlanChoices, set_title: str, consent: Consent) -> Card:
    return Card(
        title=choices.title.strip() or set_title,
        licence=choices.licence.strip(),
        consent=consent.answer,
        source=consent.source,
        data_licence=consent.licence,
        attribution=consent.attribution,
    )


def _replaced(part: Any, **given: float | None) -> Any:
    """A part of the plan with the settings that are not None, in the types of its fields."""
    types = {f.name: f.type for f in dataclasses.fields(part)}
    numbers = {name: value for name, value in given.items() if value is not None}
    return dataclasses.replace(part, **{name: int(value) if types[name] is int else float(value) for name, value in numbers.items()})
