"""A run folder of the first studio: it is paused in the middle, opens, and is trained to its end."""

import shutil
from pathlib import Path

import pytest
import torch

from studio.engine.engine import Engine
from studio.engine.recipe import ClassWeight, Recipe
from studio.models.folder import open_folder
from studio.models.library import Library
from studio.training.events import read_events
from studio.training.plan import Plan
from studio.training.run_history import RunHistory
from studio.training.trainer import train

FIRST = Path(__file__).parents[2] / "fixtures" / "first_studio"


@pytest.fixture
def run(tmp_path) -> Path:
    for name in ("run", "pictures"):
        shutil.copytree(FIRST / name, tmp_path / name)
    return tmp_path / "run"


def test_its_training_goes_on_from_its_state(run, studio_home):
    before = read_events(run / "events.jsonl")[0]
    plan = Plan.load(run / "job.toml")
    last = train(plan, run, device="cpu")
    after = read_events(run / "events.jsonl")[0]
    assert after[: len(before)] == before, "nothing that was reported changes"
    assert [e["images"] for e in after if e["type"] == "step"] == list(range(4, 49, 4))
    assert after[-1]["type"] == "done"
    state = torch.load(run / "state.pt", weights_only=True)
    assert (state["format"], state["step"]) == (1, 12)
    assert {"G", "D", "ema", "augment", "opt_g", "opt_d", "pl_mean", "ada"} == set(state["objective"])
    history = RunHistory(run).refresh()
    assert history.progress == 1
    assert [s.kimg for s in history.snapshots] == [0.024, 0.048]
    assert open_folder(last).classes == ("disc", "square")


def test_its_snapshots_render(run):
    snapshot = RunHistory(run).refresh().snapshots[0].path
    info = open_folder(snapshot)
    assert (info.title, info.licence) == ("Discs", "CC0-1.0")
    with Engine(Library([snapshot.parent]), device="cpu") as engine:
        picture = engine.render(Recipe(model=snapshot.name, classes=(ClassWeight(1),)))
    assert picture.shape == (16, 16, 3)
