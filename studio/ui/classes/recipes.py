"""Recipes of Classes: blends of the chosen classes, rows of them, and the walk through them."""

from collections.abc import Sequence

from studio.engine.recipe import ClassWeight, Recipe, SeedWeight
from studio.latents.seeds import MAX_SEED, check_seed
from studio.ui.classes.state import MAX_CHOSEN, ROW, ClassSettings

_MAX_COUNT = 32


def class_recipe(model: str, seed: int, psi: float, classes: Sequence[ClassWeight]) -> Recipe:
    """One seed in a blend of classes."""
    return Recipe(model=model, seeds=(SeedWeight(seed),), psi=psi, classes=tuple(classes))


def side_by_side(chosen: Sequence[int], count: int) -> list[int]:
    """Classes for a row or a walk: the chosen ones or, when only one is chosen, the first of the model's `count`."""
    return list(chosen) if len(chosen) > 1 else list(range(min(MAX_CHOSEN, count)))


def grid_recipes(model: str, chosen: Sequence[int], count: int, settings: ClassSettings) -> list[list[Recipe]]:
    """Rows of recipes: in BLEND one row of the blend in several seeds, in ROW one row for each seed with a class in each cell.

    chosen: at least one class.  count: classes that the model has.  Raises StudioError for a seed out of range.
    """
    first, rows = check_seed(settings.seed), max(1, min(_MAX_COUNT, int(settings.count or 1)))
    seeds = [(first + i) % (MAX_SEED + 1) for i in range(rows)]
    if settings.mode == ROW:
        classes = side_by_side(chosen, count)
        return [[class_recipe(model, seed, settings.psi, [ClassWeight(k)]) for k in classes] for seed in seeds]
    shares = [ClassWeight(k, w) for k, w in zip(chosen, settings.weights, strict=False) if w and w > 0]
    if len(shares) < 2:  # a single one needs no weight; when all are 0 the first remains
        shares = [ClassWeight(shares[0].index if shares else chosen[0])]
    return [[class_recipe(model, seed, settings.psi, shares) for seed in seeds]]
