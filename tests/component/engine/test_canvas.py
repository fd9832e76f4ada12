"""Canvas and colours after the network: recipe -> engine."""

import dataclasses

import numpy as np
import pytest
import torch

from studio.engine.bend import Bend
from studio.engine.canvas import Canvas
from studio.engine.colour_grade import ColourGrade
from studio.engine.engine import to_uint8
from studio.engine.parameters import parameter, with_settings
from studio.engine.recipe import Edit, Recipe, SeedWeight
from studio.errors import StudioError
from studio.imaging.kaleidoscope import kaleidoscope
from studio.networks.generative.latent_generator import Grid
from studio.provenance.metadata import encode, read_recipe
from tests.component.engine.test_placement import save_mover
from tests.conftest import save_tiny

PLAIN = Recipe(model="tiny", psi=0.7)
WIDE = PLAIN.replace(canvas=Canvas(width=1.5))


def drawn(engine, recipe) -> torch.Tensor:
    """What the network itself draws on the recipe's grid."""
    network = engine.model(recipe.model).network
    with torch.inference_mode(), network.synthesis.on_grid(recipe.canvas.grid):
        return network.synthesis(engine.ws(recipe)[None])


@pytest.mark.parametrize("canvas", [Canvas(1.5), Canvas(1, 2, "stretch"), Canvas(tileable=True), Canvas(2, 0.5, tileable=True)])
def test_the_engine_draws_what_the_network_draws(engine, canvas):
    recipe = PLAIN.replace(canvas=canvas)
    picture = engine.render(recipe)
    assert picture.shape == (32 * canvas.height, 32 * canvas.width, 3)
    assert np.array_equal(picture, to_uint8(drawn(engine, recipe))[0])
    assert engine.model("tiny").network.synthesis.grid == Grid()


def test_in_whatever_order_pictures_are_asked_for_each_has_its_own_canvas(engine):
    recipes = [PLAIN, WIDE, PLAIN.replace(canvas=Canvas(tileable=True)), WIDE.replace(seeds=(SeedWeight(3),))]
    recipes += [r.replace(colour=ColourGrade(exposure=1)) for r in recipes] + [WIDE.replace(canvas=Canvas(1.5, kaleidoscope=3))]
    alone = [engine.render(r) for r in recipes]
    assert len({a.tobytes() for a in alone}) == len(alone)
    for i in np.random.default_rng(0).integers(0, len(recipes), 40):
        assert np.array_equal(engine.submit("s", recipes[i]).result(), alone[i])
    for got, a in zip(engine.render_many(recipes * 2), alone * 2, strict=True):
        assert np.abs(got.astype(int) - a).max() <= 1


def test_colours_and_kaleidoscope_compute_no_layer_anew(engine):
    edited = PLAIN.replace(edits=(Edit("random:0:0", 1),))
    engine.submit("s", edited).result()
    for setting in ("colour.exposure=1", "colour.posterise=4", "canvas.kaleidoscope=5", "canvas.turn=20"):
        edited = with_settings(edited, [setting])
        got = engine.submit("s", edited).result()
        assert engine.status()["steps_run"] == 0
        assert np.array_equal(got, engine.render(edited))


def test_the_kaleidoscope_comes_before_the_colours(engine):
    recipe = PLAIN.replace(canvas=Canvas(kaleidoscope=3, turn=10), colour=ColourGrade(posterise=3))
    mirrored = kaleidoscope(drawn(engine, PLAIN), 3, 10)
    assert np.array_equal(engine.render(recipe), to_uint8(recipe.colour.applied(mirrored))[0])


def test_bends_and_pictures_of_layers_on_a_canvas(engine):
    recipe = WIDE.replace(bends=(Bend("b16.conv1", "rotate", 30, "cluster:0:4"),))
    assert engine.render(recipe).shape == (32, 48, 3)
    assert not np.array_equal(engine.render(recipe), engine.render(WIDE))
    assert engine.layer_picture(recipe, "b16.conv1", channel=1).shape == (171, 256, 3)
    assert engine.layer_picture(recipe, "b32.torgb").shape == (171, 256, 3)


def test_previews_keep_the_shape(engine, models):
    save_tiny(models, "large", resolution=512, channel_base=2048)
    save_tiny(models, "large-orig", resolution=512, channel_base=2048, architecture="orig")
    for model in ("large", "large-orig"):
        recipe = Recipe(model=model, canvas=Canvas(width=1.5))
        assert engine.render(recipe, preview=True).shape == (256, 384, 3)
        assert engine.render(recipe).shape == (512, 768, 3)


def test_other_families_say_that_they_cannot(engine, models):
    save_mover(models)
    mover = Recipe(model="mover")
    assert engine.render(mover.replace(canvas=Canvas(width=2))).shape == (32, 64, 3)
    for ask in (engine.render, lambda r: engine.render_many([r]), lambda r: engine.submit("s", r).result()):
        with pytest.raises(StudioError, match="cannot be tiled") as e:
            ask(mover.replace(canvas=Canvas(tileable=True)))
        assert e.value.hint
    assert parameter("canvas.width").available(engine.facts("mover"))
    assert not parameter("canvas.tileable").available(engine.facts("mover"))
    assert parameter("canvas.tileable").available(engine.facts("tiny"))
    assert engine.render(mover).any()


def test_a_saved_picture_brings_them_back_and_says_them_in_words(engine):
    recipe = WIDE.replace(
        canvas=dataclasses.replace(WIDE.canvas, tileable=True), colour=ColourGrade(exposure=0.5), bends=(Bend("b8.conv1", "blur", 2),)
    )
    data = encode(engine.render(recipe), recipe)
    assert read_recipe(data) == recipe
    for words in (b"width: 1.5", b"tileable: True", b"exposure: 0.5", b"bend: b8.conv1 blur 2"):
        assert words in data
