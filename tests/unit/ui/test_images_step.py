"""Step 1 of Train with pairs: side-by-side pictures are split, and pairs are found by order when the artist says so."""

from types import SimpleNamespace

import gradio as gr
import pytest
from PIL import Image

from studio.datasets.store import DataSetStore
from studio.ui.train.images_step import ImagesStep
from tests.unit.datasets.pictures import scene


@pytest.fixture
def step(studio_home):
    with gr.Blocks():
        step = ImagesStep(DataSetStore(), SimpleNamespace(jobs=list), gr.State(), lambda id: "")
        step.build()
        step.wire()
    return step


def add(step, tmp_path, title: str, names: list[str], size=(40, 40), first=0) -> str:
    (tmp_path / title).mkdir()
    for i, name in enumerate(names):
        scene(first + i, size).save(tmp_path / title / name)
    return step.datasets.add(step.datasets.ingest([tmp_path / title], owned=True, title=title)).id


def test_pairs_by_order_are_offered_and_shown(step, tmp_path):
    a = add(step, tmp_path, "A", ["1.png", "2.png"])
    b = add(step, tmp_path, "B", ["x.png", "y.png"], first=5)
    by_name, by_order = (step._preview("pairs", a, b, "centre", "#ffffff", order) for order in (False, True))
    assert by_name[step.by_order]["visible"]
    assert "No pairs yet" in by_name[step.preview]
    assert "2 pairs found</b> by order" in by_order[step.preview]
    assert "1.png + x.png" in by_order[step.preview]
    assert not step._preview("draw", a, None, "centre", "#ffffff")[step.by_order]["visible"]


def test_side_by_side_pictures_are_split_at_a_press(step, tmp_path):
    both = add(step, tmp_path, "Both", ["1.png", "2.png"], (80, 40))
    assert step._preview("pairs", both, None, "centre", "#ffffff")[step.split]["visible"]
    assert not step._preview("draw", both, None, "centre", "#ffffff")[step.split]["visible"]
    shown = step._split(SimpleNamespace(id="v"), both, "centre", "#ffffff", lambda *a, **k: None)
    a, b = shown[step.a.set]["value"], shown[step.b.set]["value"]
    assert [step.datasets.get(id).title for id in (a, b)] == ["Both A", "Both B"]
    found = step._preview("pairs", a, b, "centre", "#ffffff")
    assert "2 pairs found" in found[step.preview]
    assert not found[step.split]["visible"]
    with Image.open(step.datasets.get(a).picture("1.png")) as half:
        assert half.size == (40, 40)
