"""Recipes of Mix: the mixer of several pictures, and the grid of style mixes."""

from collections.abc import Sequence
from dataclasses import dataclass

from studio.engine.recipe import Mix, Recipe, SeedWeight
from studio.latents.layer_ranges import LAYER_RANGE_NAMES, layer_ranges
from studio.outputs.sheets import mix_grid


def plain_recipe(like: Recipe, seed: int, psi: float) -> Recipe:
    """The picture of one seed, with the model, classes and noise of another recipe."""
    return Recipe(model=like.model, seeds=(SeedWeight(seed),), psi=psi, noise=like.noise, classes=like.classes)


def mixer_recipe(like: Recipe, seeds: Sequence[int], weights: Sequence[Sequence[float]], psi: float, num_ws: int) -> Recipe:
    """The first seed's picture, with shares of the other seeds in each layer range.

    like: gives model, classes and noise.  weights: of each seed, one for each of LAYER_RANGE_NAMES, at least 0. Within each
    range they are relative; where all are 0 only the first seed remains. What several names stand for, in a network of one or two
    rows, gets the sum of their weights.
    """
    mixes, ranges = [], [layer_ranges(num_ws)[name] for name in LAYER_RANGE_NAMES]
    for layers in dict.fromkeys(ranges):
        shares = [sum(float(w[i]) for i, other in enumerate(ranges) if other == layers) for w in weights]
        total = sum(shares)
        mixes += [Mix(seed, layers, share / total) for seed, share in zip(seeds[1:], shares[1:], strict=True) if share > 0]
    first = plain_recipe(like, seeds[0], psi)
    return first.replace(mixes=tuple(mixes))


@dataclass(frozen=True)
class MixGrid:
    """A grid of style mixes: in each cell the row's picture with some layers of the column's.

    rows, columns: seeds.  headers: seed -> its plain picture.  cells: one row of recipes for each seed of `rows`.
    """

    rows: list[int]
    columns: list[int]
    headers: dict[int, Recipe]
    cells: list[list[Recipe]]

    @property
    def recipes(self) -> list[Recipe]:
        """All pictures to render: the headers in their order, then the cells row by row."""
        return [*self.headers.values(), *(cell for row in self.cells for cell in row)]


def style_grid(like: Recipe, rows: list[int], columns: list[int], layers: tuple[int, int], psi: float) -> MixGrid:
    """The recipes of a grid.  like: gives model, classes and noise.  layers: taken from the column, from the first up to, not
    including, the second."""
    cells = mix_grid(like.model, rows, columns, layers, psi, like.noise, like.classes)
    return MixGrid(rows, columns, {seed: plain_recipe(like, seed, psi) for seed in dict.fromkeys([*columns, *rows])}, cells)
