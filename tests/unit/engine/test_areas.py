"""Areas with another seed: in a recipe, as parameters, and where they are seen."""

import dataclasses
import json
import math

import numpy as np
import pytest
import torch

from studio.engine.area import Area, pack_mask
from studio.engine.parameters import parameter, parameters_of, with_settings
from studio.engine.recipe import Recipe
from studio.errors import StudioError
from tests.unit.engine.test_parameters import BARE, FACTS

PLAIN = Recipe(model="m")
MASK = pack_mask(np.random.default_rng(0).integers(0, 256, (64, 64)))


def shares(area, height=6, width=8):
    """Its share at every pixel, asked of it, and a table of (u, v) of the same shape."""
    u, v = (torch.arange(width) + 0.5) / width, (torch.arange(height) + 0.5) / height
    return area.share(u, v).numpy(), [[(float(a), float(b)) for a in u] for b in v]


def smooth(t):
    t = min(1, max(0, t))
    return 3 * t**2 - 2 * t**3


@pytest.mark.parametrize(
    ("area", "inside"),
    [
        (Area(1), lambda u, v: u - 0.5),
        (Area(1, at=0.25, softness=0.3, angle=180), lambda u, v: (1 - u) - 0.25),
        (Area(1, angle=90, weight=0.5), lambda u, v: 0.5 - v),
        (Area(1, angle=30, softness=1), lambda u, v: (u - 0.5) * math.cos(math.pi / 6) + (0.5 - v) * 0.5),
        (Area(1, "circle", at=0.3), lambda u, v: 0.3 - math.hypot(u - 0.5, v - 0.5)),
    ],
)
def test_a_share_passes_softly_over_its_edge(area, inside):
    got, places = shares(area)
    expected = [[area.weight * smooth(inside(u, v) / area.softness + 0.5) for u, v in row] for row in places]
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_without_softness_the_edge_is_hard():
    got, _ = shares(Area(1, softness=0))
    assert got.tolist() == [[0, 0, 0, 0, 1, 1, 1, 1]] * 6


def test_a_mask_is_seen_where_it_is_bright():
    picture = np.zeros((64, 64), np.uint8)
    picture[:32, :] = 255
    got, _ = shares(Area(1, "mask", mask=pack_mask(picture), weight=0.5))
    assert got[:3].tolist() == [[0.5] * 8] * 3
    assert not got[3:].any()
    places = (torch.arange(64) + 0.5) / 64
    whole = Area(1, "mask", mask=MASK).share(places, places)
    np.testing.assert_allclose((whole * 255).round().numpy(), np.random.default_rng(0).integers(0, 256, (64, 64)))


def test_a_recipe_keeps_its_areas():
    recipe = PLAIN.replace(areas=(Area(7), Area(2**32 - 1, "circle", 0.3, 0.1, weight=0.5), Area(3, "mask", mask=MASK)))
    assert Recipe.from_json(recipe.to_json()) == recipe
    assert Recipe.from_link(recipe.to_link()) == recipe
    assert Recipe.from_json('{"model":"m","areas":[{"seed":5.0}]}').areas == (Area(5),)
    assert "areas" not in json.loads(PLAIN.to_json())


@pytest.mark.parametrize(
    "make",
    [
        lambda: Area(-1),
        lambda: Area(1, "star"),
        lambda: Area(1, ["gradient"]),
        lambda: Area(1, at=math.nan),
        lambda: Area(1, softness=-1),
        lambda: Area(1, angle=math.inf),
        lambda: Area(1, weight=2),
        lambda: Area(1, "mask"),
        lambda: Area(1, mask=MASK),
        lambda: Area(1, "mask", mask="AAAA"),
        lambda: Area(1, "mask", mask="%%%"),
        lambda: Area(1, "mask", mask=3),
        lambda: Area(1, "mask", mask=MASK + MASK),
        lambda: PLAIN.replace(areas=(Area(1),) * 9),
        lambda: PLAIN.replace(areas=(3,)),
        lambda: Recipe.from_json('{"model":"m","areas":[{}]}'),
        lambda: Recipe.from_json('{"model":"m","areas":{"seed":1}}'),
        lambda: Recipe.from_json('{"model":"m","areas":[{"seed":1,"depth":2}]}'),
    ],
)
def test_bad_values_are_told_in_a_sentence(make):
    with pytest.raises(StudioError) as e:
        make()
    assert e.value.message.endswith(".")
    assert e.value.hint
    assert len(str(e.value)) < 500


def test_parameters_of_areas():
    recipe = PLAIN.replace(areas=(Area(7), Area(8, "circle"), Area(3, "mask", mask=MASK)))
    there = [p.address for p in parameters_of(FACTS, recipe) if p.address.startswith("area.")]
    assert there == [
        *("area.0.seed", "area.0.at", "area.0.softness", "area.0.angle", "area.0.weight"),
        *("area.1.seed", "area.1.at", "area.1.softness", "area.1.weight", "area.2.seed", "area.2.weight"),
    ]
    moved = with_settings(recipe, ["area.1.at=0.25", "area.0.seed=9", "area.0.angle=45"], FACTS)
    assert moved.areas == (Area(9, angle=45), Area(8, "circle", 0.25), recipe.areas[2])
    for address in there:
        p = parameter(address, FACTS)
        assert p.get(p.set(recipe, p.default)) == p.default
        assert not p.available(BARE)
    with pytest.raises(StudioError, match="3 areas"):
        parameter("area.3.at").set(recipe, 0.5)
    for address in ("area.0", "area.0.shape", "area.x.at"):
        with pytest.raises(StudioError, match="no parameter"):
            parameter(address)


def test_equal_areas_are_equal_and_quick():
    assert dataclasses.replace(Area(1, "mask", mask=MASK), seed=0) == Area(0, "mask", mask=MASK)
    assert hash(Area(1)) == hash(Area(1, at=0.5))
