"""Players of tiny models: exact at key frames, smooth in between, closed in loops."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from studio.engine.recipe import ClassWeight, Edit, Mix, Noise, Recipe, SeedWeight, Transform, unpack_latent
from studio.errors import StudioError
from studio.latents.interpolation import lerp, slerp, spline
from studio.latents.noise import z_on_loop
from studio.latents.seeds import z_from_seed
from studio.motion.motion import Motion
from studio.motion.paths import Circle, KeyFrame, KeyFrames, NoiseLoop
from studio.motion.player import Player, settings_between, z_on_circle
from studio.motion.sources import LFO, Constant, Ramp, RandomWalk, Sound
from studio.motion.timing import Duration
from studio.motion.tracks import Track

BASE = Recipe(model="tiny", psi=0.6, edits=(Edit("random:0:0", 0.5),))


def key_frames(*seeds, interpolation="linear", seconds=1.0, easing="linear") -> KeyFrames:
    return KeyFrames(tuple(KeyFrame(seed=s, duration=Duration(seconds), easing=easing) for s in seeds), interpolation)


def w(engine, seed: int, model="tiny") -> torch.Tensor:
    return engine.ws(Recipe(model=model, seeds=(SeedWeight(seed),)))


def latent(engine, recipe) -> np.ndarray:
    return unpack_latent(recipe.latent, *engine.ws(recipe).shape)


@pytest.mark.parametrize("interpolation", ["linear", "spline", "slerp"])
def test_a_key_frame_is_its_picture_to_the_bit(engine, interpolation):
    player = Player(Motion(BASE, key_frames(3, 8, 5, interpolation=interpolation)), engine)
    for i, seed in enumerate((3, 8, 5)):
        found = player.recipe_at(float(i))
        alone = BASE.replace(seeds=(SeedWeight(seed),))
        np.testing.assert_array_equal(engine.render(found), engine.render(alone))
        assert (found.psi, found.edits) == (BASE.psi, BASE.edits), "settings stay settings"


def test_between_key_frames(engine):
    part = 0.3
    ws = [w(engine, s) for s in (3, 8, 5)]
    found = {
        i: Player(Motion(BASE, key_frames(3, 8, 5, interpolation=i)), engine).recipe_at(1 + part) for i in ("linear", "spline", "slerp")
    }
    assert latent(engine, found["linear"]) == pytest.approx(lerp(ws[1], ws[2], part).numpy(), abs=1e-6)
    assert latent(engine, found["spline"]) == pytest.approx(spline(ws, 1 + part).numpy(), abs=1e-6)
    z = slerp(*(torch.from_numpy(z_from_seed(s, 16)[0]) for s in (8, 5)), part)
    assert latent(engine, found["slerp"]) == pytest.approx(engine.model("tiny").mapping(z[None])[0].numpy(), abs=1e-5)


def test_easing_and_durations(engine):
    frames = KeyFrames((KeyFrame(seed=1, duration=Duration(2), easing="ease"), KeyFrame(seed=2, duration=Duration(0)), KeyFrame(seed=3)))
    player = Player(Motion(BASE, frames), engine)
    assert player.clock.length == pytest.approx(4.0)
    assert latent(engine, player.recipe_at(0.5)) == pytest.approx(lerp(w(engine, 1), w(engine, 2), 3 / 16 - 2 / 64).numpy(), abs=1e-6)
    assert latent(engine, player.recipe_at(2.0)) == pytest.approx(w(engine, 3).numpy()), "a cut"
    assert player.recipe_at(3.9) == player.recipe_at(2.0), "the last one stays"


LOOPS = [
    Motion(BASE, key_frames(3, 8, 5), loop=True),
    Motion(BASE, key_frames(3, 8, 5, interpolation="spline", seconds=0.77), loop=True, fps=29.97),
    Motion(BASE, key_frames(3, 8, interpolation="slerp"), duration=Duration(5), loop=True),
    Motion(BASE, NoiseLoop(4, 1.5), duration=Duration(3), loop=True),
    Motion(BASE, NoiseLoop(4, 1.5, Duration(0.9)), duration=Duration(3), loop=True),
    Motion(BASE, Circle((4, 9)), duration=Duration(3), loop=True),
    Motion(
        BASE,
        key_frames(3, 8),
        (
            Track("psi", LFO("sine", Duration(0.7)), range=(0.3, 1.0), smoothing=0.1),
            Track("edit.random:0:1@fine", RandomWalk(Duration(0.25), 0.2, 1), range=(-2, 2)),
            Track("noise.strength", LFO("noise", Duration(0.5))),
        ),
        loop=True,
    ),
]


@pytest.mark.parametrize("motion", LOOPS)
def test_the_end_of_a_loop_is_its_beginning_to_the_bit(engine, motion):
    player = Player(motion, engine)
    length = player.clock.length
    assert player.recipe_at(length).to_json() == player.recipe_at(0.0).to_json()
    assert player.of_frame(player.frames).to_json() == player.of_frame(0).to_json()
    assert player.of_frame(player.frames + 7).to_json() == player.of_frame(7).to_json()
    ws = [engine.ws(player.of_frame(i)) for i in (*range(player.frames), 0)]
    steps = [float((b - a).norm()) for a, b in pairwise(ws)]
    assert steps[-1] < 1.5 * max(steps[:-1]), "no jump where it closes"


@pytest.mark.parametrize("motion", LOOPS)
def test_a_frame_depends_on_nothing_before_it(engine, motion):
    there, alone = Player(motion, engine), Player(Motion.from_json(motion.to_json()), engine)
    all_frames = [there.of_frame(i) for i in range(there.frames)]
    for i in (there.frames - 1, 5, 17):
        assert alone.of_frame(i) == all_frames[i]


def test_noise_and_circles_are_mapped_from_z(engine):
    mapping = engine.model("tiny").mapping
    player = Player(Motion(BASE, NoiseLoop(4, 1.5), duration=Duration(3)), engine)
    assert latent(engine, player.recipe_at(1.0)) == pytest.approx(mapping(z_on_loop(4, 16, 1 / 3, 1.5)[None])[0].numpy(), abs=1e-6)
    player = Player(Motion(BASE, Circle((4, 9)), duration=Duration(4)), engine)
    assert latent(engine, player.recipe_at(0.0)) == pytest.approx(w(engine, 4).numpy(), abs=1e-6)
    assert latent(engine, player.recipe_at(2.0)) == pytest.approx(mapping(-z_from_seed(4, 16))[0].numpy(), abs=1e-5), "its opposite"


def test_a_circle_is_one():
    z = np.stack([z_on_circle(4, 9, 64, p) for p in np.linspace(0, 1, 13)]).astype(np.float64)
    unit = z / np.linalg.norm(z, axis=1, keepdims=True)
    assert np.linalg.norm(z, axis=1) == pytest.approx(np.linalg.norm(z[0]), rel=1e-6)
    assert (unit[:-1] * unit[1:]).sum(1) == pytest.approx(np.cos(2 * np.pi / 12), abs=1e-6)
    assert np.linalg.matrix_rank(z, tol=1e-3) == 2
    other = z_from_seed(9, 64)[0]
    assert unit[3] @ other / np.linalg.norm(other) > 0.95, "near the second seed at a quarter"


def test_classes_between_key_frames(engine):
    base = Recipe(model="tiny-classes", psi=0.8)
    frames = tuple(KeyFrame(recipe=base.replace(classes=(ClassWeight(k),)), duration=Duration(1), easing="linear") for k in (0, 2))
    ends = [engine.ws(base.replace(psi=1.0, classes=(ClassWeight(k),))) for k in (0, 2)]
    for interpolation in ("linear", "slerp"):
        player = Player(Motion(base, KeyFrames(frames, interpolation)), engine)
        assert latent(engine, player.recipe_at(0.25)) == pytest.approx(lerp(*ends, 0.25).numpy(), abs=1e-5)


def test_a_track_of_the_class_moves_key_frames_and_loops(engine):
    base = Recipe(model="tiny-classes", psi=1.0)
    track = Track("class", Constant(1.0), range=(0, 2))
    for path in (key_frames(3, 8), key_frames(3, 8, interpolation="slerp")):
        found = Player(Motion(base, path, (track,)), engine).recipe_at(0.0)
        assert latent(engine, found) == pytest.approx(
            engine.ws(base.replace(seeds=(SeedWeight(3),), classes=(ClassWeight(2),))).numpy(), abs=1e-6
        )


def test_mixes_that_all_key_frames_share_can_be_moved(engine):
    base = BASE.replace(mixes=(Mix(9, (0, 2)),))
    still = Player(Motion(base, key_frames(3, 8)), engine).recipe_at(1.0)
    assert still.mixes == base.mixes
    np.testing.assert_array_equal(engine.render(still), engine.render(base.replace(seeds=(SeedWeight(8),))))
    moved = Player(Motion(base, key_frames(3, 8), (Track("mix.0.weight", Ramp(), range=(0.0, 1.0)),)), engine)
    assert moved.recipe_at(0.0).mixes[0].weight == 0


def test_recipes_as_key_frames_keep_their_settings(engine):
    a = Recipe(model="tiny", psi=0.4, noise=Noise(strength=0.5), edits=(Edit("random:0:0", 1.0),), mixes=(Mix(4, (1, 3)),))
    b = Recipe(model="tiny", seeds=(SeedWeight(2), SeedWeight(6, 0.5)), psi=0.9, edits=(Edit("random:0:1", 2.0, (0, 2)),))
    frames = tuple(KeyFrame(recipe=r, duration=Duration(1), easing="linear") for r in (a, b, a))
    player = Player(Motion(BASE, KeyFrames(frames)), engine)
    for i, recipe in enumerate((a, b, a)):
        np.testing.assert_array_equal(engine.render(player.recipe_at(float(i))), engine.render(recipe))
    middle = player.recipe_at(0.5)
    assert (middle.psi, middle.noise.strength) == pytest.approx((0.65, 0.75))
    assert {e.direction: e.strength for e in middle.edits} == {"random:0:0": 0.5, "random:0:1": 1.0}


def test_settings_between_two_recipes():
    a = Recipe(model="m", psi=0.2, cutoff=3, transform=Transform(0.1, 0.2, 30), edits=(Edit("d", 2.0),))
    b = Recipe(model="m", psi=0.6, transform=Transform(0.3, 0.0, -30), classes=(ClassWeight(2, 3.0), ClassWeight(1, 1.0)))
    mixed = settings_between(a, b, 0.25, classes=True)
    assert (mixed.psi, mixed.cutoff, mixed.transform) == (pytest.approx(0.3), 3, Transform(0.15000000000000002, 0.15000000000000002, 15))
    assert mixed.edits == (Edit("d", 1.5),)
    assert {c.index: c.weight for c in mixed.classes} == pytest.approx({0: 0.75, 2: 0.1875, 1: 0.0625})
    assert settings_between(a, b, 0.25, classes=False).classes == ()


def test_a_path_of_none_leaves_the_latent(engine):
    player = Player(Motion(BASE, tracks=(Track("psi", Ramp(), range=(0, 1)),), duration=Duration(2)), engine)
    assert player.recipe_at(1.0) == BASE.replace(psi=0.5)
    assert player.frames == 60


@pytest.mark.parametrize(
    "motion",
    [
        Motion(BASE.replace(model="nobody"), duration=Duration(1)),
        Motion(BASE, tracks=(Track("class.9", Constant()),), duration=Duration(1)),
        Motion(BASE, tracks=(Track("psi", Sound("bass")),), duration=Duration(1)),
        Motion(BASE, key_frames(1, 2), (Track("seed", Ramp(), range=(0, 9)),)),
        Motion(BASE, KeyFrames((KeyFrame(seed=1), KeyFrame(recipe=BASE.replace(seeds=(SeedWeight(1), SeedWeight(2))))), "slerp")),
        Motion(BASE),
    ],
)
def test_what_cannot_be_played_is_said_before_it_begins(engine, motion):
    with pytest.raises(StudioError) as e:
        Player(motion, engine)
    assert e.value.hint
