"""Settings of a batch: names of the results, file type and quality."""

import pytest

from studio.engine.image_recipe import ImageRecipe
from studio.errors import StudioError
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


@pytest.mark.parametrize(("file_type", "quality"), [("png", 90), ("webp", 0), ("webp", 101)])
def test_a_quality_that_cannot_be_is_refused(file_type, quality):
    with pytest.raises(StudioError, match="quality"):
        Conversion(RECIPE, file_type, quality=quality)


def test_recipes_of_earlier_studios_say_nothing_of_seams():
    assert not ImageRecipe.from_dict({"model": "m", "verb": "upscale"}).seamless
    assert "seamless" not in RECIPE.to_json()
    kept = RECIPE.replace(seamless=True)
    assert ImageRecipe.from_json(kept.to_json()) == kept
