import dataclasses

import numpy as np
import pytest

from studio.engine.canvas import Canvas
from studio.engine.colour_grade import ColourGrade
from studio.engine.model_facts import DirectionSet, ModelFacts
from studio.engine.parameters import (
    LAYER_CHOICES,
    PAD_REACH,
    TABLE,
    chosen_layers,
    edit_address,
    edit_strength,
    pad_position,
    parameter,
    parameters_of,
    reset,
    with_edit,
    with_settings,
)
from studio.engine.recipe import ClassWeight, Edit, Mix, Noise, Recipe, SeedWeight, Transform, pack_latent
from studio.errors import StudioError

PLAIN = Recipe(model="tiny", psi=0.7)
FACTS = ModelFacts(
    id="tiny",
    title="Tiny",
    classes=("cat", "dog"),
    num_ws=10,
    has_noise=True,
    transformable=True,
    direction_sets=(
        DirectionSet("model", "Found in this model", ("model:smile", "model:a@0-3"), ("smile", "a@0-3")),
        DirectionSet("random", "Random directions", ("random:0:0",), ("Direction 1",)),
    ),
    resizable=True,
    tileable=True,
)
BARE = dataclasses.replace(
    FACTS, classes=(), has_noise=False, transformable=False, resizable=False, tileable=False, direction_sets=FACTS.direction_sets[1:]
)


@pytest.mark.parametrize(
    ("address", "value", "changes"),
    [
        ("psi", 0.25, dict(psi=0.25)),
        ("seed", 7, dict(seeds=(SeedWeight(7),))),
        ("class", 1, dict(classes=(ClassWeight(1),))),
        ("class.1", 0.5, dict(classes=(ClassWeight(0), ClassWeight(1, 0.5)))),
        ("edit.model:smile", 1.5, dict(edits=(Edit("model:smile", 1.5),))),
        ("edit.model:smile@2-4", 1.5, dict(edits=(Edit("model:smile", 1.5, (2, 5)),))),
        ("edit.model:smile@middle", 1.5, dict(edits=(Edit("model:smile", 1.5, (4, 8)),))),
        ("edit.model:a@0-3@all", -1.0, dict(edits=(Edit("model:a@0-3", -1.0),))),
        ("pad.x", 0.5, dict(edits=(Edit("pad:0:x", 0.5 * PAD_REACH),))),
        ("pad.y", -1.0, dict(edits=(Edit("pad:0:y", -PAD_REACH),))),
        ("noise.mode", "random", dict(noise=Noise("random"))),
        ("noise.strength", 2.0, dict(noise=Noise(strength=2.0))),
        ("noise.seed", 9, dict(noise=Noise(seed=9))),
        ("transform.x", 0.25, dict(transform=Transform(x=0.25))),
        ("transform.y", -0.25, dict(transform=Transform(y=-0.25))),
        ("transform.rotate", 90.0, dict(transform=Transform(rotate=90))),
        ("colour.exposure", -1.5, dict(colour=ColourGrade(exposure=-1.5))),
        ("colour.contrast", 2.0, dict(colour=ColourGrade(contrast=2))),
        ("colour.saturation", 0.0, dict(colour=ColourGrade(saturation=0))),
        ("colour.posterise", 4.0, dict(colour=ColourGrade(posterise=4))),
        ("colour.palette_strength", 0.5, dict(colour=ColourGrade(palette_strength=0.5))),
        ("canvas.kaleidoscope", 6, dict(canvas=Canvas(kaleidoscope=6))),
        ("canvas.turn", 15.0, dict(canvas=Canvas(turn=15))),
        ("canvas.width", 2.0, dict(canvas=Canvas(width=2))),
        ("canvas.height", 0.5, dict(canvas=Canvas(height=0.5))),
        ("canvas.fill", "stretch", dict(canvas=Canvas(fill="stretch"))),
        ("canvas.tileable", 1, dict(canvas=Canvas(tileable=True))),
    ],
)
def test_a_parameter_writes_what_it_reads(address, value, changes):
    p = parameter(address, FACTS)
    assert p.address == address
    moved = p.set(PLAIN, value)
    assert moved == PLAIN.replace(**changes)
    assert p.get(moved) == value
    assert p.available(FACTS)
    assert p.get(p.set(moved, p.default)) == p.default


def test_the_default_is_that_of_a_fresh_picture():
    for address, p in TABLE.items():
        assert p.get(PLAIN) == p.default, address
        assert p.type == "choice" or p.low <= p.default <= p.high, address
        assert p.label, address
        assert not p.choices or p.default in [value for _, value in p.choices]


def test_weights_of_a_recipes_own_lists():
    recipe = PLAIN.replace(seeds=(SeedWeight(1), SeedWeight(2, 0.5)), mixes=(Mix(5, (0, 2)), Mix(6, (2, 4), 0.25)))
    assert parameter("seed.1.weight").get(recipe) == 0.5
    assert parameter("seed.1.weight").set(recipe, 0.1).seeds == (SeedWeight(1), SeedWeight(2, 0.1))
    assert parameter("mix.1.weight").get(recipe) == 0.25
    assert parameter("mix.0.weight").set(recipe, 0).mixes == (Mix(5, (0, 2), 0), Mix(6, (2, 4), 0.25))
    for act in (lambda p: p.get(recipe), lambda p: p.set(recipe, 1)):
        with pytest.raises(StudioError, match="2 mixes"):
            act(parameter("mix.2.weight"))


def test_another_seed_leaves_behind_what_belonged_to_the_old_one():
    recipe = PLAIN.replace(
        seeds=(SeedWeight(1), SeedWeight(2)),
        latent=pack_latent(np.zeros((2, 2))),
        mixes=(Mix(5, (0, 2)),),
        edits=(Edit("random:0:0", 1), Edit("pad:1:x", 1)),
    )
    assert parameter("seed").set(recipe, 8.0) == PLAIN.replace(seeds=(SeedWeight(8),), edits=(Edit("random:0:0", 1),))


def test_weights_of_classes():
    weight = parameter("class.1", FACTS)
    assert weight.label == "dog"
    mixed = weight.set(PLAIN, 1)
    assert parameter("class.0").get(mixed) == 1, "a recipe without classes means the first"
    alone = parameter("class.0").set(mixed, 0)
    assert alone.classes == (ClassWeight(1),)
    with pytest.raises(StudioError, match="weight 0"):
        weight.set(alone, 0)


def test_edits_are_set_and_taken_out():
    one = with_edit(PLAIN, "random:0:0", None, 1)
    both = with_edit(one, "random:0:0", (0, 2), 2)
    assert edit_strength(both, "random:0:0") == 1
    assert edit_strength(both, "random:0:0", (0, 2)) == 2
    assert with_edit(both, "random:0:0", None, 0).edits == (Edit("random:0:0", 2, (0, 2)),)
    assert reset(both.replace(transform=Transform(0.1))) == PLAIN
    assert [edit_address("a"), edit_address("a", (0, 4)), edit_address("a@all")] == ["edit.a", "edit.a@0-3", "edit.a@all@all"]
    assert parameter(edit_address("a@all")).set(PLAIN, 1).edits == (Edit("a@all", 1),)


def test_the_pad_stays_within_its_edges():
    assert pad_position(with_edit(PLAIN, "pad:0:x", None, 50)) == (1, 0)


def test_layer_choices():
    assert [chosen_layers(choice, 10) for choice in LAYER_CHOICES] == [None, (0, 4), (4, 8), (8, 10)]
    for few in (1, 2):
        assert [chosen_layers(choice, few) for choice in LAYER_CHOICES] == [None] * 4, "they all mean everything"
        fine = parameter("edit.random:0:0@fine", dataclasses.replace(BARE, num_ws=few))
        assert fine.set(PLAIN, 1).edits == (Edit("random:0:0", 1, (0, few)),)


@pytest.mark.parametrize("value", [10**4000, -(10**400), float("nan"), float("inf"), 51, True, "0.5", None], ids=lambda v: str(v)[:6])
def test_the_place_on_the_pad_is_checked(value):
    for axis in "xy":
        with pytest.raises(StudioError, match=f"on the pad, {axis}"):
            parameter(f"pad.{axis}").set(PLAIN, value)
    assert parameter("pad.x").set(PLAIN, np.float32(0.5)).edits == (Edit("pad:0:x", 0.5 * PAD_REACH),)


def test_a_model_has_what_it_can_do():
    everything = [p.address for p in parameters_of(FACTS)]
    assert everything == [*TABLE, "class.0", "class.1", "edit.model:smile", "edit.model:a@0-3@all", "edit.random:0:0"]
    assert [p.address for p in parameters_of(BARE)] == [
        *("seed", "psi", "pad.x", "pad.y"),
        *("colour.exposure", "colour.contrast", "colour.saturation", "colour.posterise", "colour.palette_strength"),
        *("canvas.kaleidoscope", "canvas.turn", "edit.random:0:0"),
    ]
    recipe = PLAIN.replace(mixes=(Mix(5, (0, 2)),))
    assert [p.address for p in parameters_of(BARE, recipe)][-1] == "mix.0.weight"
    assert parameter("edit.model:smile", FACTS).label == "smile"
    assert not parameter("edit.model:smile").available(BARE)
    assert parameter("edit.random:7:3").available(BARE)


@pytest.mark.parametrize(
    ("address", "value", "message"),
    [
        ("psi", 3, "The truncation psi is 3."),
        ("psi", None, "The truncation psi"),
        ("seed", 1.5, "The seed is 1.5."),
        ("class", 0.5, "The class is 0.5."),
        ("class.0", -1, "The weight of a class"),
        ("edit.smile", 101, "The slider 'smile' is 101."),
        ("pad.x", "far", "'far'"),
        ("noise.mode", "loud", "The noise is 'loud'."),
        ("noise.strength", 11, "The strength of the noise"),
        ("transform.rotate", 400, "The turn is 400."),
        ("colour.exposure", 11, "The exposure is 11."),
        ("colour.posterise", 2.5, "Posterise is 2.5."),
        ("canvas.kaleidoscope", -1, "The kaleidoscope is -1."),
        ("canvas.width", 5, "The width of the canvas is 5."),
        ("canvas.fill", "paint", "The canvas is filled by 'paint'."),
        ("canvas.tileable", 2, "The canvas is tileable: 2."),
        ("canvas.tileable", "1", "The canvas is tileable: '1'."),
    ],
)
def test_what_cannot_be_used_is_refused_in_the_recipes_words(address, value, message):
    with pytest.raises(StudioError, match=message):
        parameter(address).set(PLAIN, value)


@pytest.mark.parametrize("address", ["", "psy", "edit.", "class.x", "mix.0", "mix.-1.weight", "noise", "seed.0"])
def test_an_address_of_nothing(address):
    with pytest.raises(StudioError, match="There is no parameter"):
        parameter(address)


def test_layers_by_name_need_a_model():
    with pytest.raises(StudioError, match="depends on the model"):
        parameter("edit.smile@coarse")


def test_settings_as_people_type_them():
    moved = with_settings(PLAIN, ["psi=0.5", "noise.mode = none", "edit.model:smile@0-3=-1", "seed=4"], FACTS)
    assert moved == PLAIN.replace(psi=0.5, noise=Noise("none"), edits=(Edit("model:smile", -1, (0, 4)),), seeds=(SeedWeight(4),))
    for bad, message in (("psi", "sets nothing"), ("psi=low", "psi is 'low'"), ("seed=1.5", "seed is '1.5'"), ("psi=3", "psi is 3")):
        with pytest.raises(StudioError, match=message):
            with_settings(PLAIN, [bad], FACTS)
    with pytest.raises(StudioError, match=r"has no parameter 'transform\.x'"):
        with_settings(PLAIN, ["transform.x=0"], BARE)
