import base64
import json
import math
import zlib

import numpy as np
import pytest
from PIL import Image

from studio.engine.recipe import ClassWeight, Edit, Mix, Noise, Recipe, SeedWeight, Transform, pack_latent, unpack_latent
from studio.errors import StudioError
from studio.provenance.metadata import encode, read_recipe, save_picture

FULL = Recipe(
    model="tiny",
    model_hash="ab" * 32,
    seeds=(SeedWeight(3, 0.25), SeedWeight(2**32 - 1, 0.75)),
    latent=pack_latent(np.arange(6, dtype=np.float32).reshape(2, 3)),
    psi=-0.3,
    cutoff=4,
    classes=(ClassWeight(2, 0.5), ClassWeight(0, 0.5)),
    edits=(Edit("random:0:1", 1.5, (2, 4)), Edit("model:smile", -2.0)),
    mixes=(Mix(7, (0, 2), 0.4),),
    noise=Noise("random", 9, 0.5),
    transform=Transform(0.25, -0.5, 30),
)
PLAIN = Recipe(model="tiny")


@pytest.mark.parametrize("recipe", [FULL, PLAIN])
def test_every_form_gives_the_recipe_back(recipe, tmp_path):
    assert Recipe.from_json(recipe.to_json()) == recipe
    assert Recipe.from_link(recipe.to_link()) == recipe
    assert recipe.key() == Recipe.from_json(recipe.to_json()).key()
    picture = np.random.default_rng(0).integers(0, 255, (9, 8, 3), dtype=np.uint8)
    for kind in ("png", "webp"):
        path = save_picture(picture, recipe, tmp_path / f"p.{kind}")
        assert read_recipe(path) == recipe
        assert read_recipe(path.read_bytes()) == recipe
        assert np.array_equal(np.asarray(Image.open(path)), picture)
        assert b"trainedAlgorithmicMedia" in path.read_bytes()
    assert read_recipe(encode(picture, recipe, "webp", 80)) == recipe
    assert sorted(p.name for p in tmp_path.iterdir()) == ["p.png", "p.webp"], "nothing half-written is left"


def test_equal_recipes_have_one_key_and_others_another():
    assert Recipe(model="m", psi=0.0).key() == Recipe(model="m", psi=-0.0).key()
    assert PLAIN.key() != PLAIN.replace(psi=0.5).key()
    assert len(PLAIN.key()) == 16
    assert Recipe(model="m", psi=np.float32(0.5)) == Recipe(model="m", psi=0.5)


def test_the_order_of_keys_is_fixed():
    assert list(json.loads(FULL.to_json())) == [
        "version",
        "model",
        "model_hash",
        "seeds",
        "latent",
        "psi",
        "cutoff",
        "classes",
        "edits",
        "mixes",
        "noise",
        "transform",
    ]
    shuffled = dict(reversed(json.loads(FULL.to_json()).items()))
    assert Recipe.from_dict(shuffled).to_json() == FULL.to_json()


def test_a_newer_studio_is_told():
    with pytest.raises(StudioError, match="newer studio"):
        Recipe.from_json('{"model": "m", "sparkle": 1}')


def test_a_picture_in_its_place_says_nothing_of_it():
    """Recipes saved before pictures could be placed keep their bytes, keys and links."""
    assert PLAIN.replace(transform=Transform(-0.0, 0, 0.0)).to_json() == '{"version":1,"model":"tiny"}'
    assert json.loads(PLAIN.replace(transform=Transform(rotate=9)).to_json())["transform"] == {"x": 0.0, "y": 0.0, "rotate": 9.0}


def test_a_short_recipe_is_short():
    assert json.loads(PLAIN.to_json()) == {"version": 1, "model": "tiny"}


@pytest.mark.parametrize(
    "make",
    [
        lambda: SeedWeight(-1),
        lambda: SeedWeight(1, math.nan),
        lambda: Edit("random:0:0", math.nan),
        lambda: Edit("", 1),
        lambda: Edit("random:0:0", 1, (3, 2)),
        lambda: Mix(1, (0, 0)),
        lambda: Mix(1, (0, 1), 2),
        lambda: Noise("loud"),
        lambda: Noise(strength=math.inf),
        lambda: ClassWeight(-1),
        lambda: ClassWeight(0.5),
        lambda: Recipe(model=""),
        lambda: Recipe(model="m", psi=math.nan),
        lambda: Recipe(model="m", psi=5),
        lambda: Recipe(model="m", psi=10**400),
        lambda: Recipe(model="m\x00"),
        lambda: Recipe(model="\ud800"),
        lambda: Recipe(model="m", model_hash="../.."),
        lambda: Recipe(model="m", model_hash=None),
        lambda: Recipe(model="m", latent="%%%"),
        lambda: Recipe(model="m", latent=pack_latent(np.full((2, 3), np.inf))),
        lambda: Recipe(model="m", seeds=None),
        lambda: Recipe(model="m", edits=(1,)),
        lambda: Recipe(model="m", cutoff=True),
        lambda: SeedWeight(2**70),
        lambda: Edit("a\nb", 1),
        lambda: Recipe(model="m", psi="high"),
        lambda: Recipe(model="m", seeds=()),
        lambda: Recipe(model="m", seeds=(SeedWeight(1, 0),)),
        lambda: Recipe(model="m", cutoff=-1),
        lambda: Recipe(model="m", classes=(ClassWeight(0, 0),)),
        lambda: Recipe(model="m", transform=(0, 0, 0)),
        lambda: Transform(x=math.nan),
        lambda: Transform(y="up"),
        lambda: Transform(rotate=361),
    ],
)
def test_bad_values_are_told_in_a_sentence(make):
    with pytest.raises(StudioError) as e:
        make()
    assert e.value.message.endswith(".")
    assert e.value.hint


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        '{"model": "m", "psi": ' + "9" * 5000 + "}",
        '{"model": "\\ud800"}',
        b"\xff\xfe\x00",
        '{"model": "m", "psi": 1e999}',
        "[]",
        "{",
        '{"model": 3}',
        '{"version": 2, "model": "m"}',
        '{"model": "m", "colour": 1}',
        '{"model": "m", "seeds": 3}',
        '{"model": "m", "seeds": [{"sed": 1}]}',
        '{"model": "m", "seeds": [3]}',
        '{"model": "m", "latent": 7}',
        '{"model": "m", "psi": NaN}',
        '{"model": "m", "noise": []}',
        '{"model": "m", "transform": 3}',
        '{"model": "m", "transform": {"z": 1}}',
        '{"model":' + "[" * 100_000,
    ],
)
def test_bad_json_is_told(text):
    with pytest.raises(StudioError):
        Recipe.from_json(text)


def test_bad_links_are_told_and_bombs_do_not_go_off():
    bomb = base64.urlsafe_b64encode(zlib.compress(b" " * (1 << 28))).decode()
    for link in ("", "!!!", "abc", bomb):
        with pytest.raises(StudioError):
            Recipe.from_link(link)


def test_a_latent_of_another_model():
    with pytest.raises(StudioError, match="another model"):
        unpack_latent(FULL.latent, 3, 3)
    with pytest.raises(StudioError):
        unpack_latent(pack_latent(np.full((2, 3), np.nan)), 2, 3)


def test_pictures_without_a_recipe(tmp_path):
    plain = tmp_path / "plain.png"
    Image.new("RGB", (4, 4)).save(plain)
    with pytest.raises(StudioError, match="no recipe inside"):
        read_recipe(plain)
    for data in (b"", b"not a picture", plain.read_bytes()[:40]):
        with pytest.raises(StudioError):
            read_recipe(data)
