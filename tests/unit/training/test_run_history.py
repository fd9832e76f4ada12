"""The history of a run as read from its event file, also of files that earlier studios wrote."""

import pytest

from studio.training.run_history import RunHistory


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
