"""Settings of a batch: names of the results, file type and quality."""

import pytest

from studio.engine.image_recipe import ImageRecipe
from studio.errors import StudioError
from studio.outputs.animations import AnimationInfo
from studio.outputs.convert_files import Conversion

RECIPE = ImageRecipe("drawings-x4", verb="upscale")


@pytest.mark.parametrize(
    ("pattern", "changes", "name"),
    [
        ("{name}", {}, "cat {1}"),
        ("{name}_x{scale}", {}, "cat {1}_x4"),
        ("{name}_x{scale}", {"recipe": RECIPE.replace(scale=2.5)}, "cat {1}_x2.5"),
        ("{number}-{name}-{scale}", {"longer_side": 2000}, "0007-cat {1}-2000px"),
        ("{model}/{name}", {}, "drawings-x4_cat {1}"),
    ],
)
def test_a_pattern_names_the_results(pattern, changes, name):
    assert Conversion(**{"recipe": RECIPE, "pattern": pattern, **changes}).stem("cat {1}", 7, 4) == name


@pytest.mark.parametrize("pattern", ["{naem}", "same", "{model}_{scale}", "{name}{}", ""])
def test_a_pattern_that_cannot_be_is_refused(pattern):
    with pytest.raises(StudioError, match="pattern"):
        Conversion(RECIPE, pattern=pattern)


@pytest.mark.parametrize(("file_type", "quality"), [("png", 90), ("", 90), ("gif", 90), ("webp", 0), ("jpeg", 101)])
def test_a_quality_that_cannot_be_is_refused(file_type, quality):
    with pytest.raises(StudioError, match="quality"):
        Conversion(RECIPE, file_type, quality=quality)


@pytest.mark.parametrize(
    ("asked", "format", "type_"),
    [
        ("", "GIF", "gif"),
        ("", "AVIF", "webp"),
        ("jpeg", "GIF", "gif"),
        ("webp", "GIF", "webp"),
        ("png", "GIF", "png"),
        ("gif", "WEBP", "gif"),
    ],
)
def test_an_animation_stays_what_it_is_unless_asked(asked, format, type_):
    assert Conversion(RECIPE, asked).moving_type(AnimationInfo(format, (8, 8), 3)) == type_


def test_endings_of_pictures():
    assert [Conversion(RECIPE, type_).ending for type_ in ("", "png", "jpeg", "webp")] == [".png", ".png", ".jpg", ".webp"]
    with pytest.raises(StudioError, match="does not move"):
        _ = Conversion(RECIPE, "gif").ending
    with pytest.raises(StudioError, match="'bmp'"):
        Conversion(RECIPE, "bmp")


def test_recipes_of_earlier_studios_say_nothing_of_seams():
    assert not ImageRecipe.from_dict({"model": "m", "verb": "upscale"}).seamless
    assert "seamless" not in RECIPE.to_json()
    kept = RECIPE.replace(seamless=True)
    assert ImageRecipe.from_json(kept.to_json()) == kept
