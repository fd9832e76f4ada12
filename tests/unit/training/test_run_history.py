"""The history of a run as read from its event file, also of files that earlier studios wrote."""

import shutil
from pathlib import Path

import pytest

from studio.training.run_history import RunHistory

FIRST = Path(__file__).parents[2] / "fixtures" / "first_studio"


def test_a_torn_or_shortened_event_file_is_read_on_rightly(tmp_path):
    line = '{"type":"step","step":%d,"images":%d,"seconds":%d,"loss_g":1.0}\n'
    file = tmp_path / "events.jsonl"
    file.write_text(
        '{"type":"start","step":0,"images":0,"total_images":1000}\n' + line % (10, 100, 10) + line % (20, 200, 20) + '{"type":"st'
    )
    watch = RunHistory(tmp_path).refresh()
    assert watch.kimg == pytest.approx(0.2)
    assert watch.progress == pytest.approx(0.2)
    assert watch.speed == pytest.approx(10)
    assert watch.eta_seconds == pytest.approx(80)
    file.write_text(
        '{"type":"start","step":0,"images":0,"total_images":1000}\n' + line % (10, 100, 10) + line % (12, 120, 99) + line % (14, 140, 101)
    )
    assert [x for x, _ in watch.refresh().curves["loss_g"]] == pytest.approx([0.1, 0.12, 0.14])
    assert watch.eta_seconds is None  # before the first 20 steps


def read(name: str, folder: Path) -> RunHistory:
    """The history of a run whose events the first studio wrote."""
    shutil.copy(FIRST / name, folder / "events.jsonl")
    return RunHistory(folder).refresh()


def test_events_of_an_upscaler_of_the_first_studio(tmp_path):
    history = read("events_upscaler.jsonl", tmp_path)
    assert history.progress == 1
    assert history.patches_summary == "Learns from 8 pictures; 2 held back for measuring, never learned from (000.png, 008.png)."
    assert history.samples[-1].rows == ("low", "bicubic", "ours", "original")
    assert {"l1", "psnr", "perceptual", "loss_g", "loss_d", "memory", "hours"} <= set(history.curves)
    first, last = history.snapshots
    assert (first.kimg, first.adversarial) == (0.016, False)
    assert last.adversarial
    assert last.values["psnr_bicubic"] == pytest.approx(25.46, abs=0.01)
    assert history.best == last, "snapshots without a discriminator no longer count"


def test_events_of_translators_of_the_first_studio(tmp_path):
    history = read("events_translator.jsonl", tmp_path)
    assert history.sets_summary == "Side A has 12 pictures, side B 12."
    assert history.samples[0].rows == ("A", "A->B", "A->B->A", "B", "B->A", "B->A->B")
    assert {"cycle", "identity"} <= set(history.curves)
    assert {"kid", "kid_b2a"} <= set(history.snapshots[-1].values)
    assert history.best.values["kid"] == min(s.values["kid"] for s in history.snapshots)
    assert read("events_pairs.jsonl", tmp_path).sets_summary == ""
