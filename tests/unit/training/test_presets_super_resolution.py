import pytest

from studio.errors import StudioError
from studio.training.plan import Plan
from studio.training.plan_checks import check_plan, family_config
from studio.training.presets import PRESETS
from studio.training.presets_super_resolution import STYLES, preset_upscaler_plan


@pytest.mark.parametrize("family", ["srvgg", "rrdb", "srgan"])
@pytest.mark.parametrize("style", STYLES)
def test_every_preset_is_a_plan_that_can_be_trained(family, style):
    budgets = []
    for one in PRESETS:
        for device in ("cpu", "cuda"):
            scale = 2 if family == "rrdb" else 4
            plan = preset_upscaler_plan(one.name, pictures=30, scale=scale, style=style, device=device, family=family)
            check_plan(plan, family_config(plan, None))
            assert Plan.from_toml(plan.to_toml()) == plan
            assert (plan.objective.pretrain == 1) == (style == "faithful")
            assert (plan.data.degrade == "real") == (style == "mend")
        budgets.append(plan.budget.kimg)
        assert preset_upscaler_plan(one.name, "some-model", pictures=30, device="cuda").budget.kimg < plan.budget.kimg
    assert budgets == sorted(set(budgets))


def test_what_there_is_not_is_said():
    with pytest.raises(StudioError, match="preset 'eternal'"):
        preset_upscaler_plan("eternal", pictures=9, device="cpu")
    with pytest.raises(StudioError, match="style 'wild'"):
        preset_upscaler_plan("sketch", pictures=9, device="cpu", style="wild")
