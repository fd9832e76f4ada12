"""An upscaler for one's own art: planned by the Train tab, learned by a real worker, kept and opened."""

import dataclasses
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from studio.datasets.store import DataSetStore
from studio.engine.engine import Engine
from studio.errors import StudioError
from studio.jobs.supervisor import Supervisor
from studio.metrics.registry import summary
from studio.models.library import Library
from studio.training.methods import METHODS, get_goal
from studio.training.plan import Budget, Plan
from studio.training.plan_builder import PlanChoices, draft_plan, find_base
from studio.training.presets_super_resolution import preset_upscaler_plan
from studio.training.run_history import RunHistory
from studio.training.trainer import train
from studio.ui.components.tab import Page
from studio.ui.components.training_set_view import FULL_SIZE
from studio.ui.explore.tab import ExploreTab
from studio.ui.session import Session
from studio.ui.train.tab import TrainTab
from studio.ui.train.upscaler_view import amount_html, example_html
from studio.ui.train.watch_view import sheet_html
from tests.component.jobs.test_jobs import LONG, begun
from tests.component.jobs.test_translation_jobs import ModelOpener
from tests.component.training.test_trainer import numbers, same_state


def art(folder: Path, sizes: list[tuple[int, int]]) -> Path:
    """Coarse noise, smoothly enlarged, of (width, height)."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i, size in enumerate(sizes):
        Image.fromarray(rng.integers(0, 255, (12, 16, 3), dtype=np.uint8)).resize(size, Image.BICUBIC).save(folder / f"{i}.png")
    return folder


@pytest.fixture
def stored(studio_home, tmp_path):
    sets = DataSetStore()
    return sets.add(sets.ingest([art(tmp_path / "art", [(150, 96)] * 5 + [(40, 90)])], owned=True, title="Art"))


def test_pictures_of_any_size_stay_whole_and_what_is_too_small_or_too_little_is_said(stored):
    with Image.open(stored.picture("0.png")) as image:
        assert image.size == (150, 96), "the intake keeps them as large as they are"
    assert "5" not in amount_html(stored, 32).split("That is not much")[1]
    assert "left out" not in amount_html(stored, 32)
    text = amount_html(stored, 64)
    assert "1 of 6 are smaller than that and are left out" in text
    assert "hold 10" in text
    assert "That is not much" in text
    assert "Too small" in amount_html(stored, 128)
    assert example_html(stored, 128, 2, "bicubic", (255, 255, 255)) == ""
    assert example_html(stored, 64, 2, "real", (255, 255, 255)).count("<img") == 8


@pytest.mark.parametrize("style", [pytest.param("faithful", marks=pytest.mark.slow), "sharp"])
def test_it_learns_in_a_worker_pauses_goes_on_exactly_and_opens(style, stored, tmp_path):
    plan = preset_upscaler_plan("sketch", pictures=6, device="cpu", scale=2, style=style)
    plan = dataclasses.replace(
        plan,
        network=dict(scale=2, width=8, convs=1, ndf=4),
        data=dataclasses.replace(plan.data, path=str(stored.path), hash=stored.id, resolution=64),
        optimizer=dataclasses.replace(plan.optimizer, batch=4),
        budget=Budget(kimg=0.064, log_kimg=0.004, sample_kimg=0.016, snapshot_kimg=0.016, state_kimg=0.016),
    )
    with Engine(Library([stored.path.parents[1] / "models"]), device="cpu") as engine, Supervisor(every=0.02) as s:
        job = s.submit(plan, style)
        s.wait_for(lambda: begun(s, job.id, 0.017) or s.job(job.id).state == "failed", LONG)
        s.pause(job.id)
        assert s.wait(job.id, ("paused", "done", "failed"), LONG).state == "paused", s.logs(job.id)
        s.resume(job.id)
        done = s.wait(job.id, ("done", "failed"), LONG)
        assert done.state == "done", s.logs(job.id)
        watch = RunHistory(done.run_dir).refresh()
        assert watch.samples[-1].rows == ("low", "bicubic", "ours", "original")
        assert "original: the patches before" in sheet_html(watch.samples[-1])
        assert watch.patches_summary.startswith("Learns from 4 pictures; 1 held back")
        assert watch.patches_summary.endswith("smaller than a patch: 1.")
        judged = [m for m in watch.snapshots if m.adversarial]
        assert (len(judged) == 0) == (style == "faithful")
        assert watch.best.values["psnr"] == max(m.values["psnr"] for m in judged or watch.snapshots)
        assert "bicubic" in summary(watch.best.values)
        opened = []
        with gr.Blocks():
            page = Page(engine, gr.State(), gr.Tabs(), supervisor=s, datasets=DataSetStore())
            page.built["explore"] = ExploreTab(page)
            page.built["upscale"] = ModelOpener(page, "upscale", opened)
            tab = TrainTab(page)
        shown = tab.use.keep_and_open(Session(), watch.snapshots[-1], style)
        assert shown[page.tabs]["selected"] == "upscale"
        assert shown[page.built["upscale"].place] == "here"
        assert [m.id for m in engine.library.scan()[0]] == opened
        # What was kept can be begun from, at its own factor.
        choices = PlanChoices("faithful", base=opened[0], factor=4, patch=64)
        start = find_base(choices, engine.library)
        plan_again = draft_plan(choices, start, 6)
        assert start.config["scale"] == 2
        assert plan_again.network == {}
        assert plan_again.data.resolution == 64
    # Nobody can tell that it was paused.
    train(plan, tmp_path / "alone", device="cpu")
    assert numbers(tmp_path / "alone") == numbers(Path(done.run_dir))
    assert same_state(tmp_path / "alone", Path(done.run_dir))


def test_the_tab_makes_the_plan(stored):
    with Engine(Library([]), device="cpu") as engine, Supervisor(every=1, slots=0) as s:
        with gr.Blocks():
            page = Page(engine, gr.State(), gr.Tabs(), supervisor=s, datasets=DataSetStore())
            tab = TrainTab(page)
        images, plan_step, session = tab.images, tab.plan, Session()
        update = tab._choose_goal(session, "upscale", stored.id, None, "smart", "#ffffff", False)
        crop = update[images.crop]
        assert crop["value"] == FULL_SIZE
        assert crop["visible"] is False
        assert "left out" not in crop
        assert set(update) <= {*images.outputs, *plan_step.outputs}
        assert {*images.a.outputs, *plan_step.outputs, images.crop, images.preview, images.next} <= set(update)
        assert get_goal("upscale").image_sets == "one"

        def values(method, patch="", factor=3, kimg="1"):
            given = {component: component.value for component in plan_step.inputs}
            given |= {plan_step.method: method, plan_step.factor: factor, plan_step.advanced["patch"]: patch, plan_step.seed: 3}
            return given | {plan_step.base: "", plan_step.advanced["kimg"]: kimg}

        def begin(method, patch="", factor=3):
            form = {page.session: session, images.goal: "upscale", images.a.set: stored.id, images.b.set: None}
            form |= {images.crop: FULL_SIZE, images.background: "#ffffff", images.mirror: False}
            tab._start({**form, **values(method, patch, factor)})
            return Plan.from_toml(s.jobs()[0].plan_toml)

        for method in [m.name for m in METHODS if m.upscales]:
            plan = begin(method, "48")
            assert (plan.network["scale"], plan.data.resolution, plan.data.crop, plan.data.mirror) == (3, 48, "centre", True)
            assert (plan.data.degrade == "real") == (method == "mend")
            assert (plan.objective.pretrain == 1) == (method == "faithful")
            assert "on this machine" in plan_step.estimate_html(values(method, kimg=""))
            assert plan_step.example_html(values(method, "48", kimg=""), stored.id, "#ffffff").count("<img") == 8
        with pytest.raises(StudioError, match="120 pixels wide"):
            begin("faithful")
        with pytest.raises(StudioError, match="multiple of 24"):
            begin("faithful", "50")
