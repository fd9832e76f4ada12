"""Motions that are made at once."""

import dataclasses

import numpy as np
import pytest

from studio.engine.parameters import edit_strength
from studio.engine.recipe import ClassWeight, Recipe, SeedWeight
from studio.errors import StudioError
from studio.motion.features import FEATURES, AudioFeatures
from studio.motion.motion import Motion
from studio.motion.player import Player
from studio.motion.presets import following_sound, noise_loop, through_classes, through_directions, through_seeds, truncation_pulse
from studio.motion.timing import Duration
from tests.conftest import save_one_row

BASE = Recipe(model="tiny", psi=0.7)
CLASSES = Recipe(model="tiny-classes", psi=0.9)


def test_from_seed_to_seed_in_equal_times(engine):
    open_walk, loop = (Player(through_seeds(BASE, [1, 5, 9], 3.0, loop), engine) for loop in (False, True))
    assert (open_walk.frames, loop.frames) == (90, 90)
    seeds = {s: engine.ws(BASE.replace(seeds=(SeedWeight(s),))) for s in (1, 5, 9)}
    for player, time, seed in ((open_walk, 1.5, 5), (open_walk, 3.0, 9), (loop, 1.0, 5), (loop, 2.0, 9), (loop, 3.0, 1)):
        assert engine.ws(player.recipe_at(time)).numpy() == pytest.approx(seeds[seed].numpy(), abs=1e-5)


def test_from_class_to_class(engine):
    player = Player(through_classes(CLASSES, [0, 2, 1], 3.0, loop=True), engine)
    for time, k in ((0.0, 0), (1.0, 2), (2.0, 1), (3.0, 0)):
        expected = engine.ws(CLASSES.replace(classes=(ClassWeight(k),)))
        assert engine.ws(player.recipe_at(time)).numpy() == pytest.approx(expected.numpy(), abs=1e-5)


def test_one_direction_after_the_other(engine):
    names = ["random:0:0", "random:0:1"]
    player = Player(through_directions(BASE, names, 8.0, reach=1.5), engine)
    strengths = np.array([[edit_strength(player.recipe_at(t), name) for name in names] for t in (0, 1, 2, 3, 4, 5, 6, 7, 8)])
    assert strengths == pytest.approx(
        np.array([[0, 0], [1.5, 0], [0, 0], [-1.5, 0], [0, 0], [0, 1.5], [0, 0], [0, -1.5], [0, 0]]), abs=1e-9
    )


def test_truncation_swells_and_falls(engine):
    motion = noise_loop(BASE, 4.0).replace(tracks=(truncation_pulse(Duration(2), 0.4, 1.0),))
    psis = [Player(motion, engine).recipe_at(t).psi for t in (0.0, 0.5, 1.0, 2.0, 3.0)]
    assert psis == pytest.approx([0.4, 0.7, 1.0, 0.4, 1.0])
    assert Motion.from_json(motion.to_json()) == motion


def test_a_sound_moves_a_model_of_one_layer_as_a_whole(engine, tmp_path):
    facts = dataclasses.replace(engine.facts("tiny"), num_ws=1)
    features = AudioFeatures(8.0, 0.0, np.array([]), np.array([]), {})
    motion = following_sound(BASE, features, tmp_path / "a.wav", facts)
    assert [t.parameter for t in motion.tracks] == ["psi", "edit.random:0:0", "edit.random:0:1"]


@pytest.mark.parametrize("layers", ["fine", "middle", "coarse"])
def test_a_dcgan_follows_a_sound_also_where_a_motion_names_layers(models, engine, tmp_path, layers):
    save_one_row(models)
    base, loud = Recipe(model="one-row", psi=0.7), (1 / 30, np.linspace(0, 1, 240))
    features = AudioFeatures(8.0, 0.0, np.array([]), np.array([]), dict.fromkeys(FEATURES, loud))
    motion = following_sound(base, features, tmp_path / "a.wav", engine.facts("one-row"))
    named = dataclasses.replace(motion.tracks[1], parameter=f"edit.random:0:0@{layers}")  # as another model's motion, given this one
    assert engine.facts("one-row").num_ws == 1
    for made in (motion, motion.replace(tracks=(*motion.tracks[:1], named))):
        recipe = Player(made, engine, features).recipe_at(6.0)
        assert sum(e.strength for e in recipe.edits if e.direction == "random:0:0") > 0
        assert not np.array_equal(engine.render(recipe), engine.render(recipe.replace(edits=())))


@pytest.mark.parametrize(
    "make",
    [
        lambda: through_seeds(BASE, [1], 3.0),
        lambda: through_classes(CLASSES, [], 3.0),
        lambda: through_directions(BASE, [], 3.0),
        lambda: noise_loop(BASE, 1e9).clock(),
    ],
)
def test_what_makes_no_motion(make):
    with pytest.raises(StudioError):
        make()
