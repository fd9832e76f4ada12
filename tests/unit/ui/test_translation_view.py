"""What Train shows of two sets before the training begins, and of a sheet afterwards."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from studio.datasets.store import DataSetStore
from studio.training.methods import get_goal
from studio.training.run_history import Sample
from studio.ui.train.translation_view import preview_html
from studio.ui.train.watch_view import sheet_html

WHITE = (255, 255, 255)


@pytest.fixture
def store(tmp_path):
    return DataSetStore(tmp_path / "datasets")


@pytest.fixture
def add(store, tmp_path):
    def add(title: str, names: list[str], first: int = 0) -> str:
        folder = tmp_path / title
        folder.mkdir()
        for i, name in enumerate(names):
            picture = np.full((40, 40, 3), 200, np.uint8)
            picture[8:30, 8:30] = (9 * (first + i), 100, 40)
            Image.fromarray(picture).save(folder / name)
        return store.add(store.ingest([folder], owned=True, title=title)).id

    return add


def pictures(text: str) -> list[np.ndarray]:
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(d)))) for d in re.findall(r"data:image/webp;base64,([^\"]+)", text)]


def test_pairs_are_shown_side_by_side_and_strays_by_name(store, add):
    a = add("sketches", [f"{i}.png" for i in range(9)] + ["<lone>.png"])
    b = add("paintings", [f"{i}.png" for i in range(9)] + ["late.png"], first=12)
    text = preview_html(get_goal("pairs"), store, a, b, "centre", WHITE)
    assert "9 pairs found" in text
    assert text.count("<figure>") == 6
    shown = pictures(text)
    # Of each pair the blues and greens are alike, and the red is that of its own name.
    assert [int(y[80, 80, 0]) - int(x[80, 80, 0]) for x, y in zip(shown[::2], shown[1::2], strict=True)] == [9 * 12] * 6
    assert "Without a partner in A (1)" in text
    assert "lone" in text
    assert "late.png" in text
    assert "<lone>" not in text


def test_without_pairs_or_with_one_set_twice_it_is_said(store, add):
    a, b = add("sketches", ["1.png", "2.png"]), add("paintings", ["x.png", "y.png"], first=5)
    assert "No pairs yet" in preview_html(get_goal("pairs"), store, a, b, "centre", WHITE)
    for goal in ("pairs", "restyle"):
        assert "the same set" in preview_html(get_goal(goal), store, a, a, "centre", WHITE)
    assert preview_html(get_goal("restyle"), store, a, b, "centre", WHITE) == ""
    assert (
        preview_html(get_goal("pairs"), store, a, None, "centre", WHITE)
        == preview_html(get_goal("draw"), store, a, None, "centre", WHITE)
        == ""
    )


def test_what_goes_in_is_made_of_the_pictures(store, add):
    a = add("sketches", ["1.png", "2.png"])
    grey = pictures(preview_html(get_goal("colour"), store, a, None, "centre", WHITE))
    lines = pictures(preview_html(get_goal("fill"), store, a, None, "centre", WHITE))
    assert len(grey) == len(lines) == 4
    assert np.ptp(grey[0].astype(int), axis=2).max() <= 1
    assert np.ptp(grey[1].astype(int), axis=2).max() > 50
    assert np.ptp(lines[0].astype(int), axis=2).max() <= 1, "lines on white"
    assert (lines[0] > 250).mean() > 0.7, "lines on white"
    assert lines[0].min() < 100, "lines on white"


def test_a_sheet_of_a_translator_has_its_rows_named(tmp_path):
    Image.new("RGB", (8, 3)).save(tmp_path / "x.webp")
    text = sheet_html(Sample(0.25, tmp_path / "x.webp", ("A", "A->B", "B")))
    assert "<span>A → B</span>" in text.replace("&rarr;", "→")
    assert "B: the target" in text
    assert "0.25 thousand" in text
    assert "64 latents" in sheet_html(Sample(12.5, tmp_path / "x.webp"))
