import pytest

from studio.errors import StudioError
from studio.training.presets import PRESETS, preset_plan


def test_presets_grow_with_patience_and_suit_the_start():
    lengths = [preset_plan(p.name, pictures=200, resolution=64, device="cpu").budget.kimg for p in PRESETS]
    assert lengths == sorted(lengths)
    assert len(set(lengths)) == 3
    few = preset_plan("sketch", "a model", pictures=200, resolution=64, device="cpu")
    many = preset_plan("sketch", "a model", pictures=12000, resolution=64, device="cpu")
    assert few.augment.kind == "ada"
    assert few.objective.freeze_d == 2
    assert few.network == {}
    assert many.augment.kind == "none"
    assert many.objective.freeze_d == 0
    with pytest.raises(StudioError, match="no preset"):
        preset_plan("hasty", pictures=1, resolution=64, device="cpu")
