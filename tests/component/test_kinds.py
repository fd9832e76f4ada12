"""Every kind of model is a real member: it trains from a Plan, stops and goes on exactly, and its pictures come from the engine."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from studio.engine.engine import Engine
from studio.engine.recipe import ClassWeight, Edit, Mix, Recipe, SeedWeight
from studio.engine.sheets import walk_recipes
from studio.models.folder import open_folder
from studio.models.library import Library
from studio.models.loaded import load
from studio.training.growth import Growth
from studio.training.kinds import KINDS, get_kind
from studio.training.plan import Budget, Plan
from studio.training.presets import preset
from studio.training.trainer import train
from tests.component.test_trainer import numbers, same_state

STYLE = dict(z_dim=16, w_dim=16, channel_base=256, channel_max=16, mapping_layers=2)
TINY = {
    "stylegan2": STYLE,
    "stylegan": dict(STYLE, d_mapping_layers=2),
    "biggan": dict(ch=4, shared_dim=8, n_stats=2),
    "dcgan": dict(z_dim=8, ngf=4, ndf=4, label_dim=8),
    "gan": dict(z_dim=8, g_hidden=(16, 16), d_hidden=(16, 8), label_dim=8),
}


def tiny(name: str, pictures: Path, steps: int = 4, **changes) -> Plan:
    """The plan that the studio makes of a kind for 24 pictures, on a tiny network, for a few steps of 4 pictures."""
    plan = preset("sketch", pictures=24, resolution=32, device="cpu", kind=name)
    shown = 4 * plan.objective.n_critic / 1000
    plan = dataclasses.replace(
        plan,
        seed=5,
        precision="fp32",
        network={**plan.network, **TINY[plan.family]},
        data=dataclasses.replace(plan.data, path=str(pictures), mirror=True),
        optimizer=dataclasses.replace(plan.optimizer, batch=4),
        budget=Budget(kimg=steps * shown, log_kimg=shown, sample_kimg=2 * shown, snapshot_kimg=2 * shown, state_kimg=1),
        growth=Growth(start=8, fade_kimg=1.6 * shown, stable_kimg=0.0) if plan.growth.fade_kimg else Growth(),
    )
    return dataclasses.replace(plan, **changes)


def stop_after(steps: int):
    asked = iter([False] * steps + [True])
    return lambda: next(asked)


@pytest.mark.parametrize("kind", [k.name for k in KINDS])
def test_it_trains_stops_and_goes_on_and_its_pictures_come_from_the_engine(kind, pictures, studio_home, tmp_path):
    plan = tiny(kind, pictures)
    whole = train(plan, tmp_path / "whole", device="cpu")
    train(plan, tmp_path / "parts", should_stop=stop_after(3), device="cpu")
    assert numbers(tmp_path / "parts")[-1]["step"] == 3
    if get_kind(kind).grows:
        assert 0 < torch.load(tmp_path / "parts" / "state.pt")["objective"]["G"]["synthesis.grown"] % 1 < 1, "in the middle of a fade"
    parts = train(plan, tmp_path / "parts", device="cpu")
    assert numbers(tmp_path / "whole") == numbers(tmp_path / "parts")
    assert same_state(tmp_path / "whole", tmp_path / "parts")
    explore(whole)


def explore(folder: Path):
    """What the pages do with a snapshot."""
    model = load(folder, "cpu")
    with Engine(Library([folder.parent]), device="cpu") as engine:
        one, two = (Recipe(model=folder.name, seeds=(SeedWeight(seed),), psi=0.7) for seed in (1, 2))
        classes = () if not model.c_dim else (ClassWeight(0, 0.5), ClassWeight(1, 0.5))
        edited = one.replace(edits=(Edit("random:0:0", 2.0),))
        recipes = [one, two, edited, one.replace(psi=0.0), one.replace(seeds=one.seeds + two.seeds, psi=1.0)]
        if model.num_ws > 1:
            recipes.append(one.replace(mixes=(Mix(2, (0, 1)),)))
        if model.c_dim:
            recipes += [one.replace(classes=(ClassWeight(1),)), one.replace(classes=classes)]
        recipes += walk_recipes(engine, [one, two], 3)[1:2]
        drawn = [engine.render(recipe) for recipe in recipes]
        assert all(picture.shape == (32, 32, 3) for picture in drawn)
        ws = torch.stack([engine.ws(recipe) for recipe in recipes])
        assert len({w.numpy().tobytes() for w in ws}) == len(recipes)
        for recipe, picture in zip(recipes, drawn, strict=True):
            assert np.array_equal(engine.submit("session", recipe).result(), picture), "cached layers change no byte"
        sampled = model.sample([1, 2], truncation_psi=0.7)
        assert np.abs(sampled.astype(int) - np.stack(drawn[:2])).max() <= 1
        if model.c_dim:
            blend = model.sample([1], classes=[[0.5, 0.5]], truncation_psi=0.7)[0]
            assert np.abs(blend.astype(int) - engine.render(one.replace(classes=classes))).max() <= 1
    # So few steps move a picture by less than a level; what the network gives tells them apart.
    with torch.inference_mode():
        pictures = torch.cat([model.network.synthesis(w[None]) for w in ws])
    assert torch.isfinite(pictures).all()
    assert torch.cdist(pictures.flatten(1), pictures.flatten(1)).fill_diagonal_(1).min() > 0
    assert (pictures[0] - pictures[2]).abs().max() > 1e-4, "the edit shows"
    if model.c_dim:
        away = [(pictures[i] - pictures[0]).abs().mean() for i in (-3, -2)]
        assert away[0] > 1e-4 and 0 < away[1] < away[0], "another class is another picture, and half of it lies between"


@pytest.mark.parametrize("kind", ["stylegan2", "stylegan", "biggan", "gan"])  # DCGAN with classes is a kind of its own
def test_with_classes(kind, pictures, studio_home, tmp_path):
    plan = tiny(kind, pictures, steps=3)
    plan = dataclasses.replace(plan, data=dataclasses.replace(plan.data, conditional=True), growth=Growth())
    last = train(plan, tmp_path / "run", device="cpu")
    assert open_folder(last).classes == ("disc", "square")
    explore(last)
