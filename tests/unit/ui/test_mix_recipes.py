"""Recipes of Mix: the shares of the seeds in each range of layers."""

import pytest

from studio.engine.recipe import Mix, Recipe
from studio.ui.mix.recipes import mixer_recipe

LIKE = Recipe(model="tiny")
WEIGHTS = [(1, 1, 1), (0, 0.5, 1)]


def test_each_range_has_shares_of_its_own():
    assert mixer_recipe(LIKE, [1, 2], WEIGHTS, 0.7, 10).mixes == (Mix(2, (4, 8), 0.5 / 1.5), Mix(2, (8, 10), 0.5))


@pytest.mark.parametrize("num_ws", [1, 2])
def test_a_network_of_one_or_two_rows_takes_the_weights_together(num_ws):
    assert mixer_recipe(LIKE, [1, 2], WEIGHTS, 0.7, num_ws).mixes == (Mix(2, (0, num_ws), 1.5 / 4.5),)
