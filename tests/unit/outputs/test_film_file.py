"""Formats of films and the parts of their files; tests/component/motion/test_film.py has whole films."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from studio.errors import StudioError
from studio.imaging.xmp import DigitalSourceType, motion_in, mp4_xmp, xmp_packet
from studio.outputs.film_file import frame_milliseconds, join_segments, write_segment
from studio.outputs.film_format import CODECS, FORMATS, film_format

PACKET = xmp_packet(DigitalSourceType.GENERATED, motion="abc-_1")


@pytest.mark.parametrize(
    ("count", "fps", "unit"), [(90, Fraction(30), 10), (7, Fraction(24), 10), (100, Fraction(30000, 1001), 1), (3, Fraction(120), 1)]
)
def test_durations_of_frames_add_up(count, fps, unit):
    durations = frame_milliseconds(count, fps, unit)
    assert len(durations) == count
    assert all(d % unit == 0 for d in durations)
    exact = np.arange(1, count + 1) * 1000 / float(fps)
    assert np.abs(np.cumsum(durations) - exact).max() <= unit / 2 + 1e-6, "no frame is off by more than rounding"


def test_endings_and_codecs():
    assert film_format(Path("a.mp4")).name == "h264"
    assert film_format(Path("A.MOV")).name == "prores"
    assert film_format(Path("a.mov"), "h265").container == "mov"
    assert film_format(Path("folder")).kind == "pictures"
    assert set(CODECS) == {"h264", "h265", "vp9", "prores"}
    for ending, codec in ((".avi", ""), (".mp4", "prores"), (".gif", "h264"), ("", "vp9"), (".webm", "h264")):
        with pytest.raises(StudioError) as e:
            film_format(Path(f"a{ending}"), codec)
        assert e.value.hint
    assert all(formats for formats in FORMATS.values())


@pytest.mark.parametrize(
    ("name", "codec", "size"),
    [
        ("a.mp4", "", (32, 64, 1, 30)),
        ("a.mp4", "h265", (100, 200, 1, 30)),
        ("a.mp4", "", (9000, 64, 1, 30)),
        ("a.gif", "", (64, 64, 1, 60)),
        ("a.gif", "", (1024, 1024, 2000, 30)),
        ("a.webp", "", (20000, 64, 1, 30)),
    ],
)
def test_what_a_format_cannot_hold(name, codec, size):
    with pytest.raises(StudioError) as e:
        film_format(Path(name), codec).check(*size)
    assert e.value.hint


@pytest.mark.parametrize(
    ("fps", "name"), [(Fraction(30), "a.mp4"), (Fraction(30000, 1001), "a.mp4"), (Fraction(24), "a.mov"), (Fraction(25), "a.webm")]
)
def test_segments_follow_each_other_without_a_gap(tmp_path, fps, name):
    """Pictures of rising grey, cut into three segments, come out in order and in time."""
    form = film_format(Path(name))
    pictures = [np.full((64, 64, 3), 20 + 4 * i, np.uint8) for i in range(50)]
    segments = []
    for i, (begin, end) in enumerate(((0, 20), (20, 40), (40, 50))):
        write_segment(tmp_path / f"{i}.part", pictures[begin:end], form, fps)
        segments.append((tmp_path / f"{i}.part", end - begin))
    join_segments(tmp_path / name, segments, form, fps, PACKET)
    with av.open(str(tmp_path / name)) as container:
        frames = [(f.time, f.to_ndarray(format="rgb24").mean()) for f in container.decode(video=0)]
    assert [time for time, _ in frames] == pytest.approx(np.arange(50) / float(fps), abs=0.001)
    assert [grey for _, grey in frames] == pytest.approx([20 + 4 * i for i in range(50)], abs=2)
    if form.container != "webm":
        assert mp4_xmp(tmp_path / name) == PACKET


def test_a_motion_in_a_packet():
    assert motion_in(PACKET) == "abc-_1"
    assert motion_in(xmp_packet(DigitalSourceType.GENERATED)) == ""
    assert motion_in("<gs:motion>a b</gs:motion>") == ""
    assert motion_in("x" * (5 << 20) + "<gs:motion>a</gs:motion>") == ""
