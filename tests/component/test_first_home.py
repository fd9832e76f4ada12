"""A home that the first studio wrote (version 0.1.0, before its rooms were rebuilt) opens: pictures, gallery, settings."""

import shutil
from pathlib import Path

import pytest

from studio.engine.image_recipe import ImageRecipe
from studio.engine.recipe import ClassWeight, Edit, Mix, Noise, Recipe, SeedWeight, Transform
from studio.gallery.gallery import Gallery
from studio.gallery.items import Query
from studio.provenance.inspect import inspect_file
from studio.provenance.metadata import read_recipe
from studio.provenance.policy import provenance_policy, save_policy
from studio.provenance.source_pictures import find_source

FIRST = Path(__file__).parents[1] / "fixtures" / "first_studio" / "home"
DRAWN = Recipe(
    model="anna",
    seeds=(SeedWeight(3), SeedWeight(4, 0.5)),
    psi=0.6,
    classes=(ClassWeight(1),),
    mixes=(Mix(9, (0, 2), 0.5),),
    edits=(Edit("random:0:1", 1.5, (1, 3)),),
    noise=Noise("random", 7, 0.5),
    transform=Transform(0.1, 0, 5),
)


@pytest.fixture
def home(studio_home):
    shutil.copytree(FIRST, studio_home)
    return studio_home


def test_its_recipes_are_read(home):
    explore, out = home / "outputs" / "explore", home / "outputs"
    assert Recipe.from_json((home / "recipe.json").read_text()) == DRAWN
    assert read_recipe(explore / "20260101-000000-000-anna-seed3.png") == DRAWN
    assert read_recipe(explore / "20260101-000001-000-anna-seed0.webp") == Recipe(model="anna")
    translated = read_recipe(out / "translate" / "a-ink-20260101-000002.png")
    assert translated == ImageRecipe(
        "ink", verb="translate", source=translated.source, direction="BtoA", strength=0.5, keep_colour=True, repeat=2
    )
    assert find_source(translated.source) is not None
    assert read_recipe(out / "upscale" / "a-x4-20260101-000003.png").scale == 2
    report = inspect_file(explore / "20260101-000004-000-picture.png")
    assert report.by_ai
    assert report.recipe is None, "it was saved with the label alone"


def test_its_gallery_keeps_stars_and_tags_with_and_without_the_index(home):
    for index in (True, False):
        if not index:
            for file in home.glob("gallery.sqlite3*"):
                file.unlink()
        gallery = Gallery.at(home)
        gallery.refresh()
        items = {item.path: item for item in gallery.page(Query(), 0, 10)}
        assert len(items) == 5
        assert items["upscale/a-x4-20260101-000003.png"].favourite
        assert items["translate/a-ink-20260101-000002.png"].tags == ("draft", "sea")
        assert gallery.count(Query(text="seed 3")) == 1
        gallery.close()


def test_its_settings_hold_and_stay_as_they_were_written(home):
    policy = provenance_policy()
    assert not policy.includes_recipe
    assert policy.artist == "Ada"
    before = (home / "settings.toml").read_text()
    save_policy(policy)
    assert (home / "settings.toml").read_text() == before + "source_metadata = true\n", "which this version has added"
