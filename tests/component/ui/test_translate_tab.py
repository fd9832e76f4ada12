"""What stands behind the Translate page, asked directly."""

import base64
import dataclasses
import io
import re

import gradio as gr
import numpy as np
import pytest
import torch
from PIL import Image

from studio.engine.engine import Engine
from studio.errors import StudioError
from studio.imaging.blending import blend
from studio.inference.model import load_info
from studio.models.folder import save_folder
from studio.models.library import Library
from studio.networks.translation.cyclegan import CycleGANConfig, Generator
from studio.ui.components import work_progress
from studio.ui.components.tab import Page
from studio.ui.components.work_progress import WorkProgress
from studio.ui.session import Session
from studio.ui.translate.tab import TranslateTab
from studio.ui.translate.view import cycle_loss, loss_words

SETTINGS = ("ink", "AtoB", 100, False, 1, 0)


@pytest.fixture
def tab(tmp_path, studio_home):
    config = CycleGANConfig(resolution=32, net="resnet_6blocks", ngf=2, n_layers=1)
    torch.manual_seed(0)
    save_folder(
        tmp_path / "models" / "ink", "cyclegan", dataclasses.asdict(config), Generator(config).state_dict(), title="Ink", dtype="float32"
    )
    with Engine(Library([tmp_path / "models"]), device="cpu") as engine, gr.Blocks():
        yield TranslateTab(Page(engine, gr.State()))


def given(tab, path, seed: int) -> Session:
    """A visitor whose picture was translated."""
    pixels = np.random.default_rng(seed).integers(0, 255, (20, 28, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    session = Session()
    tab._open(session, str(path))
    tab.result.run(tab, session, SETTINGS, lambda *a, **k: None)
    return session


def after(page: str) -> np.ndarray:
    data = re.search(r'class="after"[^>]*base64,([^"]+)"', page)[1]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))


def test_pictures_of_others_are_let_go_and_made_again(tab, tmp_path, monkeypatch):
    monkeypatch.setattr(tab.result.budget, "limit", 1)
    first, second = given(tab, tmp_path / "a.png", 0), given(tab, tmp_path / "b.png", 1)
    assert tab.state_of(first).source is None
    assert not tab.state_of(first).raws
    assert tab.state_of(second).raws
    page = tab._blend_live(first, *SETTINGS[:2], 30, *SETTINGS[3:])[tab.stage]
    model = load_info(tab.engine.library.get("ink"))
    with Image.open(tmp_path / "a.png") as mine:
        due = np.asarray(blend(mine, model.translate(mine), 0.3)).astype(int)
    assert np.abs(after(page) - due).max() <= 1
    assert tab.state_of(second).source is None, "the last who came is the last to go"


def test_a_saved_picture_needs_one(tab):
    with pytest.raises(StudioError, match="no picture yet"):
        tab.result.saved_file(Session(), tab.state_of(Session()), *SETTINGS)
    with pytest.raises(StudioError, match="No model is chosen"):
        tab.result.saved_file(Session(), tab.state_of(Session()), None, *SETTINGS[1:])
    assert tab.result.run(tab, Session(), SETTINGS, gr.Progress()) == {}


def test_what_was_lost_is_the_mean_of_what_can_be_seen():
    source, back = np.full((4, 6, 3), 100, np.uint8), np.full((4, 6, 3), 100, np.uint8)
    back[0, 0] = (110, 90, 100)
    shown, lost = cycle_loss(Image.fromarray(source), Image.fromarray(back))
    assert lost == pytest.approx(20 / 3 / 24 / 255)
    assert shown.getpixel((0, 0)) == (40, 40, 0)
    assert shown.getpixel((1, 0)) == (0, 0, 0)
    half = Image.fromarray(source).convert("RGBA")
    half.putalpha(Image.fromarray(np.repeat([[0], [255]], 2, axis=0).astype(np.uint8).repeat(6, axis=1)))
    assert cycle_loss(half, Image.fromarray(back).convert("RGBA"))[1] == 0, "the pixel is transparent"
    white, black = Image.new("RGB", (2, 2), "white"), Image.new("RGB", (2, 2))
    assert cycle_loss(white, black)[1] == pytest.approx(1)
    assert "Little" in loss_words(1.0)
    assert "everything" in loss_words(0.0)
    assert cycle_loss(Image.new("RGBA", (2, 2)), Image.new("RGBA", (2, 2)))[1] == 0


def test_progress_is_shown_now_and_then_with_the_time_that_is_left(monkeypatch):
    clock, shown = [0.0], []
    monkeypatch.setattr(work_progress.time, "perf_counter", lambda: clock[0])
    work = WorkProgress(lambda share, desc: shown.append((share, desc)), "Frames")
    for i in range(1, 1001):
        clock[0] = i * 0.01
        work(i, 2000)
    assert 20 <= len(shown) <= 40
    assert work.done == 1000
    share, words = shown[-1]
    assert share == pytest.approx(0.49, abs=0.02)
    assert words.startswith("Frames: 9")
    assert words.endswith("10 s left")
