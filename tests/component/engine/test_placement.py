"""Moving and turning pictures: recipe -> engine, for the families that can."""

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image

from studio.engine.engine import Engine, to_uint8
from studio.engine.recipe import Edit, Recipe, SeedWeight, Transform
from studio.errors import StudioError
from studio.models.folder import save_folder
from studio.models.library import Library
from studio.networks import families
from studio.provenance.metadata import encode
from studio.training.plan import Plan
from studio.training.plan_checks import family_config
from tests.conftest import save_tiny, with_latent
from tests.unit.networks.test_stylegan3 import R, tiny_stylegan3

PLAIN = Recipe(model="mover", psi=0.7)
TURNED = PLAIN.replace(transform=Transform(rotate=90))


def save_mover(folder, name="mover", **changes):
    """A model folder of a tiny StyleGAN3 that turns well."""
    network = tiny_stylegan3(**{**R, **changes})
    return save_folder(
        folder / name,
        "stylegan3",
        dataclasses.asdict(network.config),
        network.state_dict(),
        title=f"Tiny {name}",
        thumbnail=Image.new("RGB", (64, 64), (40, 90, 200)),
        dtype="float32",
    )


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    save_mover(folder)
    save_tiny(folder)
    with Engine(Library([folder]), device="cpu") as e:
        yield e


def test_the_picture_is_turned_against_the_clock(engine):
    still, turned = engine.render(PLAIN).astype(int), engine.render(TURNED).astype(int)
    assert np.abs(np.rot90(still) - turned).max() <= 1
    assert still.std() > 3
    assert np.abs(still - turned).max() > 10


def test_a_place_stays_with_its_picture(engine):
    """In whatever order pictures are asked for, alone, in sheets or live, each lies where its recipe says."""
    recipes = [PLAIN, TURNED, PLAIN.replace(transform=Transform(0.25, -0.1, -30)), PLAIN.replace(seeds=(SeedWeight(1),))]
    alone = [engine.render(r) for r in recipes]
    assert len({a.tobytes() for a in alone}) == 4
    for r, a in zip([*recipes, *reversed(recipes)], [*alone, *reversed(alone)], strict=True):
        assert np.array_equal(engine.submit("s", r).result(), a)
    for got, a in zip(engine.render_many(recipes * 2), alone * 2, strict=True):
        assert np.abs(got.astype(int) - a).max() <= 1
    assert np.array_equal(engine.render(PLAIN), alone[0])


def test_layers_are_kept_within_a_place_and_not_across(engine):
    edit = (Edit("random:0:0", 1, (5, 7)),)
    engine.submit("t", TURNED).result()
    got = engine.submit("t", TURNED.replace(edits=edit)).result()
    assert engine.status()["steps_run"] == 2
    assert np.array_equal(got, engine.render(TURNED.replace(edits=edit)))
    engine.submit("t", PLAIN.replace(edits=edit)).result()
    assert engine.status()["steps_run"] == engine.status()["steps_all"] == 7


def test_a_frozen_picture_keeps_its_place(engine):
    assert np.array_equal(engine.render(with_latent(engine, TURNED)), engine.render(TURNED))


def test_an_error_leaves_the_model_as_it_was(engine):
    before = engine.render(PLAIN)
    with pytest.raises(StudioError):
        engine.render(TURNED.replace(edits=(Edit("model:absent", 1),)))
    assert np.array_equal(engine.render(PLAIN), before)


def test_other_families_say_that_they_cannot(engine):
    recipe = Recipe(model="tiny", transform=Transform(x=0.1))
    for ask in (engine.render, lambda r: engine.render_many([r]), lambda r: engine.submit("s", r).result()):
        with pytest.raises(StudioError, match="cannot be moved or turned") as e:
            ask(recipe)
        assert e.value.hint
    assert engine.render(recipe.replace(transform=Transform())).any()


def test_words_in_the_png_tell_the_place(engine):
    assert b"turned: 90 degrees" in encode(np.zeros((4, 4, 3), np.uint8), TURNED)
    assert b"turned" not in encode(np.zeros((4, 4, 3), np.uint8), PLAIN)


def test_the_engine_draws_what_the_network_draws(engine):
    network = engine.model("mover").network
    with torch.inference_mode():
        assert np.array_equal(engine.render(PLAIN), to_uint8(network.synthesis(engine.ws(PLAIN)[None]))[0])


def test_a_family_without_a_discriminator_is_not_trained():
    assert [f.name for f in families() if f.transformable and f.discriminator is None] == ["stylegan3"]
    plan = Plan.from_toml('family = "stylegan3"\n[data]\npath = "x"\nresolution = 32\n')
    with pytest.raises(StudioError, match="cannot be trained here"):
        family_config(plan, None)
