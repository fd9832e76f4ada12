"""Recipes of pictures that were made from others, their sources, and how both are laid over each other."""

import hashlib
import io
import json

import numpy as np
import pytest
from PIL import Image, ImageCms

from studio.engine.image_recipe import ImageRecipe, recipe_from
from studio.engine.recipe import Recipe
from studio.errors import NoRoom, StudioError
from studio.imaging.blending import blend, from_oklab, to_oklab
from studio.provenance import source_pictures
from studio.provenance.metadata import encode, read_recipe, save_picture

FULL = ImageRecipe("monet & co", "ab" * 32, "translate", "cd" * 32, "BtoA", 0.25, True, 3, 0.0, 512)
LARGE = ImageRecipe("sharp", verb="upscale", scale=2.5)
PLAIN = ImageRecipe("monet")
RNG = np.random.default_rng(0)


# -- the recipe -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("recipe", [FULL, LARGE, PLAIN])
def test_every_form_gives_the_recipe_back(recipe, tmp_path):
    assert ImageRecipe.from_json(recipe.to_json()) == recipe == ImageRecipe.from_link(recipe.to_link())
    assert recipe_from(json.loads(recipe.to_json())) == recipe
    assert hash(recipe) == hash(recipe.replace())
    picture = Image.fromarray(RNG.integers(0, 255, (9, 8, 4), dtype=np.uint8))
    picture.info["icc_profile"] = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for kind in ("png", "webp"):
        path = save_picture(picture, recipe, tmp_path / f"p.{kind}")
        assert read_recipe(path) == read_recipe(path.read_bytes(), ImageRecipe) == recipe
        with Image.open(path) as saved:
            assert np.array_equal(np.asarray(saved), np.asarray(picture)), "the colours below what is transparent too"
            assert saved.info["icc_profile"] == picture.info["icc_profile"]
        assert b"compositeWithTrainedAlgorithmicMedia" in path.read_bytes()


def test_each_kind_is_told_from_the_other():
    picture = np.zeros((4, 4, 3), np.uint8)
    drawn, made = encode(picture, Recipe("monet")), encode(picture, PLAIN, "webp")
    assert read_recipe(drawn) == Recipe("monet")
    assert read_recipe(made) == PLAIN
    with pytest.raises(StudioError, match="made from another one"):
        read_recipe(made, Recipe)
    with pytest.raises(StudioError, match="drawn from a seed"):
        read_recipe(drawn, ImageRecipe)
    assert b"trainedAlgorithmicMedia" in drawn
    assert b"Composite" not in drawn


def test_a_png_says_it_in_words():
    with Image.open(io.BytesIO(encode(np.zeros((4, 4, 3), np.uint8), FULL))) as image:
        words = image.text["parameters"]
    for part in ("monet & co", "BtoA", "strength: 0.25", "colours of the source", "repeated: 3 times", "cd" * 32):
        assert part in words
    with Image.open(io.BytesIO(encode(np.zeros((4, 4, 3), np.uint8), LARGE))) as image:
        assert "upscaled: 2.5 times" in image.text["parameters"]


def test_a_short_recipe_is_short_and_keys_differ():
    assert json.loads(PLAIN.to_json()) == {"version": 1, "model": "monet", "verb": "translate"}
    recipes = [FULL, LARGE, PLAIN, *(PLAIN.replace(**{k: v}) for k, v in dict(tile=64, strength=0.5, keep_colour=True, repeat=2).items())]
    assert len({r.key() for r in recipes}) == len(recipes)
    assert len(PLAIN.key()) == 16
    assert PLAIN.replace(strength=np.float32(1)).key() == PLAIN.replace(strength=1).key() == PLAIN.key()


@pytest.mark.parametrize(
    "change",
    [
        dict(model=""),
        dict(model=3),
        dict(model_hash="xyz"),
        dict(source="g" * 64),
        dict(source=None),
        dict(verb="draw"),
        dict(verb=None),
        dict(direction="CtoD"),
        dict(direction=["AtoB"]),
        dict(strength=1.01),
        dict(strength=float("nan")),
        dict(strength="1"),
        dict(keep_colour=1),
        dict(keep_colour="yes"),
        dict(repeat=0),
        dict(repeat=9),
        dict(repeat=1.0),
        dict(repeat=True),
        dict(scale=0.5),
        dict(scale=17),
        dict(scale=None),
        dict(tile=31),
        dict(tile=-1),
        dict(tile=64.0),
        dict(tile=10**9),
    ],
)
def test_what_makes_no_sense_is_refused(change):
    with pytest.raises(StudioError):
        PLAIN.replace(**change)
    with pytest.raises(StudioError):
        recipe_from({"model": "monet", "verb": "translate", **change})


def test_no_recipe():
    newer = ({"model": "m", "verb": "translate", "sparkle": 1}, {"model": "m", "verb": "upscale", "version": 2})
    for raw in (None, [], "x", {"verb": "translate"}, *newer):
        with pytest.raises(StudioError):
            recipe_from(raw)


# -- sources ----------------------------------------------------------------------------------------------------------


def test_a_source_is_kept_once_by_its_content(studio_home, tmp_path):
    for name, kind in (("a.png", "PNG"), ("b.JPG", "JPEG"), ("c", "WEBP")):
        Image.fromarray(RNG.integers(0, 255, (9, 8, 3), dtype=np.uint8)).save(tmp_path / name, kind)
        data = (tmp_path / name).read_bytes()
        sha = source_pictures.keep_source(tmp_path / name)
        (tmp_path / name).rename(tmp_path / "renamed.tif")
        assert source_pictures.keep_source(tmp_path / "renamed.tif") == sha == hashlib.sha256(data).hexdigest()
        assert source_pictures.find_source(sha).name == f"{sha}.{kind.lower()}"
        assert source_pictures.find_source(sha).read_bytes() == data
    assert len(list((studio_home / "sources").iterdir())) == 3, "and nothing half-written"


def test_what_is_no_source(studio_home, tmp_path, monkeypatch):
    assert source_pictures.find_source("0" * 64) is None
    assert source_pictures.find_source("*") is None
    assert source_pictures.find_source("../a") is None
    assert source_pictures.find_source("") is None
    (tmp_path / "text.png").write_text("hello")
    for path in (tmp_path / "text.png", tmp_path / "none.png", tmp_path):
        with pytest.raises(StudioError, match="cannot be read"):
            source_pictures.keep_source(path)
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    monkeypatch.setattr(source_pictures, "_MAX_FILE", 10)
    with pytest.raises(StudioError, match="512 MB"):
        source_pictures.keep_source(tmp_path / "a.png")
    monkeypatch.undo()
    monkeypatch.setenv("STUDIO_HOME", str(studio_home))
    monkeypatch.setenv("STUDIO_KEEP_FREE_MB", "1e12")
    with pytest.raises(NoRoom):
        source_pictures.keep_source(tmp_path / "a.png")
    assert list((studio_home / "sources").iterdir()) == []


def test_a_full_disk_leaves_nothing_behind(studio_home, tmp_path, monkeypatch):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")

    def full(fd):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(source_pictures.os, "fsync", full)
    with pytest.raises(StudioError, match="could not be stored"):
        source_pictures.keep_source(tmp_path / "a.png")
    assert list((studio_home / "sources").iterdir()) == []


# -- blending ---------------------------------------------------------------------------------------------------------


def noise(mode="RGB", size=(64, 48)) -> Image.Image:
    return Image.fromarray(RNG.integers(0, 256, (size[1], size[0], len(mode)), dtype=np.uint8))


def test_oklab_is_that_of_its_paper():
    """The table of the article gives XYZ -> Oklab; D65 white is (1, 0, 0), and greys have no colour. Red as in CSS Color 4."""
    lab = to_oklab(np.array([[255, 255, 255], [0, 0, 0], [128, 128, 128], [255, 0, 0]], np.uint8))
    np.testing.assert_allclose(lab[:2], [[1, 0, 0], [0, 0, 0]], atol=1e-4)
    np.testing.assert_allclose(lab[2, 1:], 0, atol=1e-4)
    np.testing.assert_allclose(lab[3], [0.62796, 0.22486, 0.12585], atol=1e-4)
    every = np.asarray(noise())
    np.testing.assert_allclose(from_oklab(to_oklab(every)), ((every / 255 + 0.055) / 1.055) ** 2.4, atol=6e-3)


def test_strength_mixes():
    old, new = noise(), noise()
    assert blend(old, new) is new
    assert np.array_equal(np.asarray(blend(old, new, 0.0)), np.asarray(old))
    half = (np.asarray(old).astype(float) + np.asarray(new)) / 2
    assert np.abs(np.asarray(blend(old, new, 0.5)) - half).max() <= 0.5


def test_transparency_is_that_of_the_result():
    old, new = noise("RGBA"), noise("RGBA")
    for settings in (dict(strength=0.3), dict(keep_colour=True)):
        out = blend(old, new, **settings)
        assert out.mode == "RGBA"
        assert out.getchannel("A").tobytes() == new.getchannel("A").tobytes()


def test_the_colours_of_the_source_and_the_light_of_the_result():
    old, new = noise(), noise()
    out = blend(old, new, keep_colour=True)
    a, b, c = (to_oklab(np.asarray(x)) for x in (old, new, out))
    assert np.abs(c[..., 0] - b[..., 0]).max() < 0.02, "the lightness is the result's, wherever it is"
    hue, chroma = np.arctan2(a[..., 2], a[..., 1]), np.hypot(a[..., 1], a[..., 2])
    found, strong = np.arctan2(c[..., 2], c[..., 1]), np.hypot(c[..., 1], c[..., 2])
    coloured = strong > 0.08
    turned = np.abs((found - hue + np.pi) % (2 * np.pi) - np.pi)[coloured]
    assert np.percentile(turned, 99) < 0.05, "the hue is the source's, never stronger"
    assert (strong < chroma + 0.01).all(), "the hue is the source's, never stronger"
    assert np.mean(np.abs(strong - chroma) < 0.01) > 0.3, "and as strong where a screen can show it"
    same = blend(old, old, keep_colour=True)
    assert np.abs(np.asarray(same).astype(int) - np.asarray(old)).max() <= 1
    grey = blend(old.convert("L"), new, keep_colour=True)
    assert np.ptp(np.asarray(grey).astype(int), axis=2).max() <= 1


def test_bands_are_not_seen(monkeypatch):
    from studio.imaging import blending

    old, new = noise(), noise()
    whole = blend(old, new, 0.7, True)
    monkeypatch.setattr(blending, "_CHUNK_PIXELS", 64 * 5)
    assert blend(old, new, 0.7, True).tobytes() == whole.tobytes()
