"""Plans that the first studio wrote: they open, and mean what today's presets mean."""

from pathlib import Path

import pytest

from studio.training.methods import METHODS, get_method
from studio.training.plan import Plan
from studio.training.plan_checks import check_plan, family_config
from studio.training.presets import preset_plan
from studio.training.presets_super_resolution import preset_upscaler_plan

PLANS = Path(__file__).parents[2] / "fixtures" / "first_studio" / "plans"


@pytest.mark.parametrize("method", [m.name for m in METHODS])
def test_plans_of_the_first_studio_open(method):
    plan, what = Plan.load(PLANS / f"{method}.toml"), get_method(method)
    if what.upscales:
        today = preset_upscaler_plan("standard", pictures=30, device="cpu", style=method)
    else:
        today = preset_plan("standard", pictures=30, resolution=what.resolutions[-1], device="cuda", method=method)
    assert plan == today
    assert today.to_toml() == (PLANS / f"{method}.toml").read_text()
    check_plan(plan, family_config(plan, None))
