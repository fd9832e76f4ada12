"""Canvas and colour grade in a recipe, and what a grade does to a picture."""

import json
import math

import numpy as np
import pytest
import torch

from studio.engine.canvas import Canvas
from studio.engine.colour_grade import ColourGrade, colour_names
from studio.engine.recipe import Recipe
from studio.errors import NotFinite, StudioError
from studio.imaging.pixels import to_uint8
from studio.networks.generative.latent_generator import Grid

PLAIN = Recipe(model="m")


def test_a_recipe_keeps_them_and_is_silent_about_defaults():
    full = PLAIN.replace(canvas=Canvas(1.5, 2, "stretch", True, 6, -30), colour=ColourGrade(1, 0.5, 2, ("#d97326", "#000000"), 0.25, 4))
    assert Recipe.from_json(full.to_json()) == full
    assert Recipe.from_link(full.to_link()) == full
    assert PLAIN.replace(canvas=Canvas(1, 1), colour=ColourGrade(-0.0)).to_json() == '{"version":1,"model":"m"}'
    assert json.loads(full.to_json())["colour"]["palette"] == ["#d97326", "#000000"]
    assert Recipe.from_json('{"model":"m","canvas":{"tileable":true}}').canvas == Canvas(tileable=True)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Canvas(width=math.nan),
        lambda: Canvas(width=1e9),
        lambda: Canvas(height=0),
        lambda: Canvas(4, 4),
        lambda: Canvas(fill="paint"),
        lambda: Canvas(fill=["repeat"]),
        lambda: Canvas(tileable=1),
        lambda: Canvas(kaleidoscope=33),
        lambda: Canvas(kaleidoscope=2.0),
        lambda: Canvas(turn=math.inf),
        lambda: ColourGrade(exposure=math.nan),
        lambda: ColourGrade(contrast=-1),
        lambda: ColourGrade(saturation="high"),
        lambda: ColourGrade(palette=("red",)),
        lambda: ColourGrade(palette="#ffffff"),
        lambda: ColourGrade(palette=("#FFFFFF",)),
        lambda: ColourGrade(palette=("#ffffff\n",)),
        lambda: ColourGrade(palette=("#ffffff",) * 33),
        lambda: ColourGrade(palette=(3,)),
        lambda: ColourGrade(palette_strength=2),
        lambda: ColourGrade(posterise=65),
        lambda: ColourGrade(posterise=True),
        lambda: PLAIN.replace(canvas=(1, 1)),
        lambda: PLAIN.replace(colour=None),
        lambda: Recipe.from_json('{"model":"m","canvas":3}'),
        lambda: Recipe.from_json('{"model":"m","canvas":{"depth":3}}'),
        lambda: Recipe.from_json('{"model":"m","colour":{"palette":[["#ffffff"]]}}'),
        lambda: Recipe.from_json('{"model":"m","colour":{"exposure":1e999}}'),
    ],
)
def test_bad_values_are_told_in_a_sentence(make):
    with pytest.raises(StudioError) as e:
        make()
    assert e.value.message.endswith(".")
    assert e.value.hint


def test_a_canvas_is_a_grid_of_quarters():
    assert Canvas().grid == Grid() == Canvas(kaleidoscope=5, turn=3).grid
    assert Canvas(1.5, 0.75).grid == Grid(height=3, width=6)
    assert Canvas(width=1.6).width == 1.5
    assert Canvas(fill="stretch", tileable=True).grid == Grid(4, 4, True, True)


def random_picture(channels=3):
    pixels = np.random.default_rng(0).integers(0, 256, (2, 6, 5, channels), dtype=np.uint8)
    return pixels, torch.from_numpy(pixels).permute(0, 3, 1, 2) / 127.5 - 1


def graded(**settings):
    """(pixels before, pixels after)"""
    pixels, img = random_picture()
    return pixels, to_uint8(ColourGrade(**settings).applied(img))


def test_a_grade_that_changes_nothing_gives_the_same_tensor():
    _, img = random_picture()
    assert ColourGrade().applied(img) is img
    assert ColourGrade(palette_strength=0.5).applied(img) is not None
    before, after = graded(posterise=1, palette_strength=0.5)
    assert np.array_equal(before, after), "no palette, one level: nothing"


def stored(light):
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def linear(values):
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


@pytest.mark.parametrize("stops", [-2, 0.5, 3])
def test_a_stop_doubles_the_light(stops):
    before, after = graded(exposure=stops)
    expected = stored(np.minimum(linear(before / 255) * 2**stops, 1)) * 255
    assert np.abs(after - expected).max() <= 0.6


def test_contrast_keeps_middle_grey():
    before, after = graded(contrast=1.7)
    assert np.abs(after - np.clip((before / 255 - 0.5) * 1.7 + 0.5, 0, 1) * 255).max() <= 0.6
    assert set(np.unique(graded(contrast=0)[1])) <= {127, 128}


@pytest.mark.parametrize("factor", [0, 0.5, 2])
def test_saturation_keeps_luma(factor):
    before, after = graded(saturation=factor)
    luma = before @ np.array([0.2126, 0.7152, 0.0722])
    expected = np.clip(luma[..., None] + factor * (before - luma[..., None]), 0, 255)
    assert np.abs(after - expected).max() <= 0.6


def test_posterised_values_are_few_and_the_nearest():
    before, after = graded(posterise=4)
    levels = np.array([0, 85, 170, 255])
    assert np.array_equal(after, levels[np.abs(before[..., None].astype(int) - levels).argmin(axis=-1)])


def test_a_palette_at_full_strength_leaves_nothing_else():
    palette = ("#000000", "#d97326", "#ffffff", "#2040c0")
    before, after = graded(palette=palette)
    assert set(colour_names(after.reshape(-1, 3))) <= set(palette)
    _, half = graded(palette=palette, palette_strength=0.5)
    assert np.abs(half - (before.astype(float) + after) / 2).max() <= 0.6
    _, img = random_picture()
    own = ColourGrade(palette=("#102030",)).applied(torch.full_like(img, 1.0))
    assert np.array_equal(to_uint8(own)[0, 0, 0], [0x10, 0x20, 0x30])


def test_grey_pictures_get_colours():
    _, img = random_picture(1)
    after = to_uint8(ColourGrade(palette=("#ff0000", "#000000")).applied(img))
    assert after.shape == (2, 6, 5, 3)
    assert not after[..., 1:].any()
    assert after[..., 0].any()


def test_values_that_are_no_numbers_are_still_found():
    img = torch.zeros(1, 3, 4, 4)
    img[0, 0, 0, 0] = math.nan
    for grade in (ColourGrade(exposure=1), ColourGrade(palette=("#ffffff",)), ColourGrade(posterise=4)):
        with pytest.raises(NotFinite):
            to_uint8(grade.applied(img))
