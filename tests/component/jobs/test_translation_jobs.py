"""The five methods that translate pictures, each as the studio plans it, through the queue with a real worker."""

import dataclasses
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
from PIL import Image

import studio
from studio.datasets.store import DataSetStore
from studio.engine.engine import Engine
from studio.jobs.supervisor import Supervisor
from studio.models.folder import ModelInfo, open_folder
from studio.models.library import Library
from studio.training.methods import METHODS, get_method
from studio.training.plan import Budget, Plan
from studio.training.presets import preset_plan
from studio.training.run_history import RunHistory
from studio.training.trainer import train
from studio.ui.components.tab import Page, Tab, TabState
from studio.ui.components.targets import Target
from studio.ui.explore.tab import ExploreTab
from studio.ui.session import Session
from studio.ui.train.tab import TrainTab
from tests.component.jobs.test_jobs import LONG, begun
from tests.component.training.test_trainer import numbers, same_state

ROWS = {
    "cyclegan": ("A", "A->B", "A->B->A", "B", "B->A", "B->A->B"),
    "cut": ("A", "A->B"),
    "pix2pix": ("A", "A->B", "B"),
    "colourise": ("A", "A->B", "B"),
    "lineart": ("A", "A->B", "B"),
}
CURVES = {"cyclegan": {"cycle", "identity"}, "cut": {"nce"}, "pix2pix": {"l1"}, "colourise": {"l1"}, "lineart": {"l1"}}


class ModelOpener(Tab[TabState]):
    """Stands for the tab `id`, in which models can be opened: the ids of those that were go to `opened`."""

    def __init__(self, page: Page, id: str, opened: list[str]):
        self.id, self.opened = id, opened
        super().__init__(page)

    def _build(self) -> None:
        self.place = gr.HTML()

    def _wire(self) -> None:
        """Nothing happens on it."""

    @property
    def model_target(self) -> Target:
        def open_model(session: Session, model: ModelInfo) -> dict:
            self.opened.append(model.id)
            return {self.place: "here"}

        return Target(self.id, f"Open in {self.id}", open_model, [self.place])


def picture_set(folder: Path, names: list[str], seed: int) -> Path:
    """Discs of random colour, 144 px."""
    folder.mkdir()
    rng = np.random.default_rng(seed)
    yy, xx = np.mgrid[:144, :144]
    for name in names:
        y, x, r = rng.integers(40, 100, 3)
        disc = (yy - y) ** 2 + (xx - x) ** 2 < r * r / 4
        Image.fromarray(np.where(disc[..., None], rng.integers(0, 255, 3), 240).astype(np.uint8)).save(folder / name)
    return folder


def tiny(method: str, folder: Path, steps: int) -> Plan:
    """The studio's plan of a method, on the smallest size and with few channels."""
    side = get_method(method).resolutions[0]
    plan = preset_plan("sketch", pictures=6, resolution=side, device="cpu", method=method)
    two = get_method(method).image_sets != "one"
    a = picture_set(folder / "a", [f"{i}.png" for i in range(6)], 0)
    b = picture_set(folder / "b", [f"{i}.jpg" for i in range(1, 8)], 1)
    return dataclasses.replace(
        plan,
        seed=3,
        network={**plan.network, "ngf": 4, "ndf": 4},
        data=dataclasses.replace(plan.data, path=str(a), path_b=str(b) if two else "", mirror=True),
        budget=Budget(kimg=steps / 1000, log_kimg=0.001, sample_kimg=0.004, snapshot_kimg=0.008, state_kimg=0.004, metric_images=4),
    )


TRANSLATING = [k.name for k in METHODS if k.translates]
QUICK = ("cyclegan", "pix2pix")


@pytest.mark.parametrize("method", [k if k in QUICK else pytest.param(k, marks=pytest.mark.slow) for k in TRANSLATING])
def test_it_learns_in_a_worker_pauses_and_goes_on_exactly(method, studio_home, warm, tmp_path):
    plan = tiny(method, tmp_path, 24)
    with Supervisor(launcher=warm(), every=0.02) as s:
        job = s.submit(plan, method)
        s.wait_for(lambda: begun(s, job.id, 0.009) or s.job(job.id).state == "failed", LONG)
        s.pause(job.id)
        paused = s.wait(job.id, ("paused", "done", "failed"), LONG)
        assert paused.state == "paused", (paused.message, s.logs(job.id))
        at = RunHistory(paused.run_dir).refresh().kimg
        s.resume(job.id)
        done = s.wait(job.id, ("done", "failed"), LONG)
        assert done.state == "done", s.logs(job.id)
    run = Path(done.run_dir)
    watch = RunHistory(run).refresh()
    assert at < 0.024
    assert watch.kimg == pytest.approx(0.024)
    assert watch.samples[-1].rows == ROWS[method]
    assert CURVES[method] <= set(watch.curves)
    two = get_method(method).image_sets
    assert watch.sets_summary.startswith(
        {"one": "", "unpaired": "Side A has 6 pictures, side B 7.", "paired": "Learns from 5 pairs. Left out"}[two]
    )
    assert ["kid" in m.values for m in watch.snapshots] == [True] * 3
    assert "kid_b2a" in open_folder(watch.snapshots[-1].path).extra["training"] or method != "cyclegan"
    # What it made is a model that translates, a picture of any size.
    model = studio.load(watch.snapshots[-1].path, device="cpu")
    assert model.translate(Image.new("RGB", (150, 130), (200, 30, 30))).size == (150, 130)
    # Nobody can tell that it was paused.
    train(plan, tmp_path / "alone", device="cpu")
    assert numbers(tmp_path / "alone") == numbers(run)
    assert same_state(tmp_path / "alone", run)


def test_a_model_of_ones_own_is_begun_from(studio_home, tmp_path):
    plan = tiny("colourise", tmp_path, 2)
    model = train(plan, tmp_path / "first", device="cpu")
    again = preset_plan("sketch", str(model), pictures=6, resolution=128, device="cpu", method="colourise")
    again = dataclasses.replace(again, data=dataclasses.replace(again.data, path=plan.data.path), budget=plan.budget)
    train(again, tmp_path / "again", device="cpu")
    watch = RunHistory(tmp_path / "again").refresh()
    info = open_folder(watch.snapshots[-1].path)
    assert info.config["transform"] == "grey"
    assert info.config["ngf"] == 4
    assert "the part that draws (generator)" in watch.transfer_summary


def test_what_it_made_opens_in_the_tab_that_can_use_it(studio_home, tmp_path):
    plan = tiny("colourise", tmp_path, 1)
    train(plan, tmp_path / "run", device="cpu")
    snapshot = RunHistory(tmp_path / "run").refresh().snapshots[-1]
    with Engine(Library([studio_home / "models"]), device="cpu") as engine, Supervisor(every=1) as s:
        opened = []
        for known in (True, False):
            with gr.Blocks():
                page = Page(engine, gr.State(), gr.Tabs(), supervisor=s, datasets=DataSetStore())
                page.built["explore"] = ExploreTab(page)
                if known:
                    page.built["translate"] = ModelOpener(page, "translate", opened)
                tab = TrainTab(page)
            shown = tab.use.keep_and_open(Session(), snapshot, "In colour")
            if known:
                place = page.built["translate"].place
                assert set(shown) == {page.tabs, place} <= set(tab.use.opened_outputs)
                assert shown[page.tabs]["selected"] == "translate"
                assert shown[place] == "here"
            else:
                assert shown == {}
        assert [m.id for m in engine.library.scan()[0]] == opened, "kept once"
