"""Several seeds in one picture: recipe -> engine."""

import numpy as np
import pytest
import torch

from studio.engine.area import Area, pack_mask
from studio.engine.bend import Bend
from studio.engine.canvas import Canvas
from studio.engine.engine import to_uint8
from studio.engine.recipe import Edit, Noise, Recipe, SeedWeight
from studio.errors import StudioError
from tests.component.engine.test_layer_bends import SMALL, engine, folder  # noqa: F401 - fixtures

PLAIN = Recipe(model="stylegan2", psi=0.7)
OTHER = PLAIN.replace(seeds=(SeedWeight(5),))
FULL = pack_mask(np.full((64, 64), 255, np.uint8))
CAN = [name for name in SMALL if name not in ("gan", "fastgan")]


def blended(engine, recipe) -> torch.Tensor:  # noqa: F811
    """The picture of a recipe with one area, step by step: both latents from one state, each pixel by its share."""
    network, area = engine.model(recipe.model).network, recipe.areas[0]
    ours, theirs = engine.ws(recipe)[None], engine.ws(recipe.replace(seeds=(SeedWeight(area.seed),)))[None]
    noise = lambda layer: layer.noise_const * layer.noise_strength if layer.use_noise else None  # noqa: E731
    state = (None, None)
    with torch.inference_mode():
        for step in network.synthesis.steps:
            a, b = (step.run(ws[:, step.w_index], state, noise) for ws in (ours, theirs))
            new = []
            for old, x, y in zip(state, a, b, strict=True):
                if x is None or x is old:
                    new.append(x)
                    continue
                x = x.clone()
                size, margin = x.shape[-1], step.margin
                for i in range(size):
                    for j in range(size):
                        u, v = ((n + 0.5 - margin) / (size - 2 * margin) for n in (j, i))
                        share = float(area.share(torch.tensor([u]), torch.tensor([v])))
                        x[:, :, i, j] = torch.lerp(x[:, :, i, j], y[:, :, i, j], share)
                new.append(x)
            state = tuple(new)
    return state[1]


@pytest.mark.parametrize("name", ["stylegan2", "stylegan3", "dcgan"])
def test_each_layer_is_blended_pixel_by_pixel(engine, name):  # noqa: F811
    recipe = Recipe(model=name, areas=(Area(5, at=0.4, softness=0.6),))
    expected = to_uint8(blended(engine, recipe))[0].astype(int)
    assert np.abs(engine.render(recipe) - expected).max() <= 1


@pytest.mark.parametrize("name", CAN)
def test_an_area_everywhere_is_the_other_picture_and_nowhere_this_one(engine, name):  # noqa: F811
    base, other = Recipe(model=name), Recipe(model=name, seeds=(SeedWeight(5),))
    assert np.array_equal(engine.render(base.replace(areas=(Area(5, "mask", mask=FULL),))), engine.render(other))
    assert np.array_equal(engine.render(base.replace(areas=(Area(5, weight=0),))), engine.render(base))
    half = engine.render(base.replace(areas=(Area(5, softness=0.2),)))
    assert not np.array_equal(half, engine.render(base))
    assert not np.array_equal(half, engine.render(other))


def test_random_noise_is_the_same_in_all_areas(engine):  # noqa: F811
    noise = Noise("random", 3)
    recipe = PLAIN.replace(noise=noise, areas=(Area(5, "mask", mask=FULL),))
    assert np.array_equal(engine.render(recipe), engine.render(OTHER.replace(noise=noise)))


def test_cached_layers_give_the_bits_of_a_full_run(engine):  # noqa: F811
    rng = np.random.default_rng(0)
    recipe, skipped = PLAIN.replace(areas=(Area(5), Area(6, "circle"))), 0
    engine.submit("s", recipe).result()
    for _ in range(30):
        low = int(rng.integers(0, 8))
        recipe = recipe.replace(edits=(Edit("random:0:0", float(rng.normal()), (low, 8)),))
        if rng.random() < 0.3:
            recipe = recipe.replace(areas=(Area(int(rng.integers(3)), at=float(rng.random())), Area(6, "circle"))[: rng.integers(3)])
        if rng.random() < 0.3:
            recipe = recipe.replace(bends=(Bend("b16.conv1", "rotate", float(rng.uniform(-9, 9))),))
        got = engine.submit("s", recipe).result()
        skipped += engine.status()["steps_all"] - engine.status()["steps_run"]
        assert np.array_equal(got, engine.render(recipe))
    assert skipped > 20


def test_sheets_canvases_and_layers_have_areas(engine):  # noqa: F811
    recipes = [PLAIN.replace(seeds=(SeedWeight(i),), areas=(Area(i + 3, angle=90.0 * (i % 2)),)) for i in range(5)]
    for picture, recipe in zip(engine.render_many(recipes), recipes, strict=True):
        assert np.abs(picture.astype(int) - engine.render(recipe)).max() <= 1
    wide = recipes[0].replace(canvas=Canvas(width=2, tileable=True))
    assert engine.render(wide).shape == (32, 64, 3)
    assert not np.array_equal(engine.layer_picture(recipes[0], "b16.conv1"), engine.layer_picture(PLAIN, "b16.conv1"))


@pytest.mark.parametrize("name", ["gan", "fastgan"])
def test_other_families_say_that_they_cannot(engine, name):  # noqa: F811
    with pytest.raises(StudioError, match="several seeds") as e:
        engine.render(Recipe(model=name, areas=(Area(1),)))
    assert e.value.hint
