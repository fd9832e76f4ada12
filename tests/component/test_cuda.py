"""The same pictures and the same learning on a graphics card as on the processor. Skipped where there is none."""

import dataclasses

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState

import studio
from studio.engine.engine import Engine
from studio.engine.image_recipe import ImageRecipe
from studio.engine.recipe import ClassWeight, Edit, Recipe, SeedWeight
from studio.errors import StudioError
from studio.metrics.evaluation import SetEvaluator
from studio.models.folder import save_folder
from studio.models.library import Library
from studio.networks import Task, get_family
from studio.training.events import read_events
from studio.training.methods import METHODS
from studio.training.trainer import train
from tests.component.training.test_methods import explore, stop_after, tiny
from tests.component.training.test_super_resolution import drawings, judged, plan_for  # noqa: F401
from tests.component.training.test_trainer import numbers
from tests.component.training.test_translation import cycle_plan, sides  # noqa: F401
from tests.conftest import ROOT, save_tiny
from tests.unit.inference.test_translation import apart, cyclegan, scene
from tests.unit.inference.test_upscaling import upscaler

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no graphics card")


@pytest.fixture(autouse=True)
def exact():
    """Products of full precision, so that both can be compared."""
    with torch.backends.cudnn.flags(allow_tf32=False):
        yield


def levels(a, b) -> np.ndarray:
    """How far apart two pictures are, level by level."""
    return np.abs(np.asarray(a).astype(int) - np.asarray(b))


def steps_of(run) -> list[dict]:
    """What each step told, but for its time and memory."""
    return [e for e in numbers(run) if e.pop("type") == "step"]


def both(models):
    library = Library([models])
    return Engine(library, device="cpu"), Engine(library, device="cuda", precision="fp32")


def test_pictures_are_those_of_the_processor(models):
    cpu, card = both(models)
    recipes = [Recipe("tiny", seeds=(SeedWeight(s),), psi=0.8) for s in range(4)]
    recipes += [recipes[0].replace(edits=(Edit("random:0:0", 2.0),)), Recipe("tiny-classes", classes=(ClassWeight(2),))]
    with cpu, card:
        for recipe in recipes:
            assert levels(cpu.render(recipe), card.render(recipe)).max() <= 1
            assert np.array_equal(card.submit("s", recipe).result(), card.render(recipe)), "cached layers change no byte"
        assert max(levels(a, card.render(r)).max() for a, r in zip(card.render_many(recipes), recipes, strict=True)) <= 1


@pytest.mark.parametrize("name", sorted(p.parent.name for p in (ROOT / "checkpoints").glob("*/config.json")))
@pytest.mark.parametrize("precision", ["fp32", None])
def test_what_comes_along_is_drawn_alike(name, precision):
    library = Library([ROOT / "checkpoints"])
    family = get_family(library.get(name).family)
    with Engine(library, device="cpu") as cpu, Engine(library, device="cuda", precision=precision) as card:
        if family.task is Task.UPSCALE:
            recipe, image = ImageRecipe(name, verb="upscale"), scene(131, 97)
            a, b = (np.asarray(e.upscale(recipe, image)) for e in (cpu, card))
        elif family.task is Task.TRANSLATE:
            a, b = (np.asarray(e.translate(ImageRecipe(name), scene(200, 150))) for e in (cpu, card))
        else:
            a, b = (e.render(Recipe(name, psi=0.7)) for e in (cpu, card))
    off = levels(a, b)
    assert a.std() > 8
    assert off.max() <= 2 if precision else off.mean() < 3


def test_pictures_from_pictures_are_those_of_the_processor(models):
    for name, family, model in (("sharp", "srvgg", upscaler()), ("painter", "cyclegan", cyclegan(directions="both"))):
        config = dataclasses.asdict(model.network.config)
        save_folder(models / name, family, config, model.network.state_dict(), title=name, dtype="float32")
    cpu, card = both(models)
    with cpu, card:
        for size in ((70, 50), (131, 97)):
            recipe = ImageRecipe("sharp", verb="upscale", tile=32)
            assert apart(cpu.upscale(recipe, scene(*size)), card.upscale(recipe, scene(*size))) <= 1
            recipe = ImageRecipe("painter", tile=96)
            assert apart(cpu.translate(recipe, scene(*size)), card.translate(recipe, scene(*size))) <= 2


@pytest.mark.parametrize("kind", [k.name for k in METHODS if k.generates])
def test_every_kind_learns_on_it_stops_and_goes_on(kind, pictures, studio_home, tmp_path):
    """In what the card does well; sums may be added in another order the next time, so that numbers are near, not equal."""
    plan = tiny(kind, pictures)
    plan = dataclasses.replace(plan, precision="auto", budget=dataclasses.replace(plan.budget, metric_images=16))
    for run, steps in (("whole", None), ("parts", 3), ("parts", None)):
        last = train(plan, tmp_path / run, should_stop=stop_after(steps) if steps else None)
    told, _ = read_events(tmp_path / "whole" / "events.jsonl")
    assert told[0]["device"].startswith("cuda")
    assert told[0]["precision"] == "bf16"
    steps = [steps_of(tmp_path / run) for run in ("whole", "parts")]
    assert [e["step"] for e in steps[0]] == [e["step"] for e in steps[1]] == [1, 2, 3, 4]
    for a, b in zip(*steps, strict=True):
        assert a == pytest.approx(b, rel=0.2, abs=0.1)
    assert np.isfinite([e for e in told if e["type"] == "snapshot"][-1]["kid"])
    explore(last, "cuda")


def test_the_first_steps_are_those_of_the_processor(pictures, studio_home, tmp_path):
    plan = tiny("stylegan2", pictures)
    for run, device in (("cpu", "cpu"), ("card", None)):
        AcceleratorState._reset_state(reset_partial_state=True)  # else a process stays on the device that it began on
        train(plan, tmp_path / run, device=device)
    a, b = (steps_of(tmp_path / run)[0] for run in ("cpu", "card"))
    assert a == pytest.approx(b, rel=1e-3, abs=1e-4)


def test_translators_and_upscalers_learn_on_it(sides, drawings, studio_home, tmp_path):  # noqa: F811
    plans = {"cycle": cycle_plan(sides, 3), "faithful": plan_for(drawings, 3), "sharp": plan_for(drawings, 4, objective=judged())}
    for name, plan in plans.items():
        last = train(dataclasses.replace(plan, precision="auto"), tmp_path / name)
        model, image = studio.load(last, device="cuda"), scene(40, 30)
        assert all(np.isfinite(list(step.values())).all() for step in steps_of(tmp_path / name))
        assert np.asarray(model.translate(image) if name == "cycle" else model.upscale(image)).std() > 0


def test_kid_is_that_of_the_processor():
    rng = np.random.default_rng(0)
    real, fake = rng.integers(0, 256, (40, 32, 32, 3), np.uint8), rng.integers(100, 200, (40, 32, 32, 3), np.uint8)
    card, cpu = (SetEvaluator(real, size=64, device=device).measure(fake)["kid"] for device in ("cuda", "cpu"))
    assert card == pytest.approx(cpu, rel=1e-2)


def test_when_the_card_is_full_the_engine_makes_room(models):
    for seed in range(3):
        save_tiny(models, f"more-{seed}", seed=seed)
    with Engine(Library([models]), device="cuda") as card:
        expected = [card.render(Recipe(f"more-{seed}")) for seed in range(3)]
        assert len(card.status()["loaded"]) == 3
        more = 2 * torch.cuda.get_device_properties(0).total_memory
        with pytest.raises(StudioError, match="out of memory"):
            card._worker.ask(lambda: torch.empty(more, dtype=torch.uint8, device="cuda")).result()
        for seed in range(3):
            assert np.array_equal(card.render(Recipe(f"more-{seed}")), expected[seed])
            assert len(card.status()["loaded"]) == seed + 1
