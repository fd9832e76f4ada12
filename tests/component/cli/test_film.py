"""`studio film`."""

import json
import zipfile

import av
import numpy as np
import pytest

from studio.cli.main import main
from studio.motion.motion import Motion
from studio.motion.paths import KeyFrames, NoiseLoop
from tests.component.motion.test_following_sound import RATE, clicks
from tests.conftest import save_tiny
from tests.unit.imaging.test_sound import write_wav


@pytest.fixture
def home(studio_home, tmp_path, monkeypatch):
    """A home with a model; the working directory is empty."""
    save_tiny(studio_home / "models", "anna")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return studio_home


def run(*words) -> int:
    return main(["film", *words, "--device", "cpu"])


def streams(path) -> tuple[int, float, bool]:
    """(frames, frames a second, whether there is sound)."""
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        return sum(1 for _ in container.decode(video)), float(video.average_rate), bool(container.streams.audio)


def test_from_seed_to_seed(home, capsys):
    words = ("--seeds", "1,5,9", "--seconds", "1", "--loop", "--model", "anna", "--size", "64", "--save-motion", "walk.json")
    assert run(*words, "-o", "walk.mp4") == 0
    assert capsys.readouterr().out.strip() == "walk.mp4"
    assert streams("walk.mp4") == (30, 30, False)
    motion = Motion.load("walk.json")
    assert isinstance(motion.path, KeyFrames)
    assert (motion.loop, motion.path.interpolation, motion.base.psi) == (True, "spline", 0.7)
    assert run("walk.json", "--fps", "10", "--size", "64", "-o", "again.webm") == 0
    assert streams("again.webm") == (10, 10, False)


def test_a_noise_loop(home):
    assert run("--loop", "--seconds", "0.5", "--set", "psi=0.5", "--size", "64", "--save-motion", "m.json", "-o", "frames.zip") == 0
    motion = Motion.load("m.json")
    assert isinstance(motion.path, NoiseLoop)
    assert motion.base.psi == 0.5
    with zipfile.ZipFile("frames.zip") as archive:
        assert len(archive.namelist()) == 15


def test_a_film_of_a_sound(home, capsys):
    write_wav("track.wav", clicks(np.arange(0.25, 3.9, 0.5), 4), RATE)
    assert run("--sound", "track.wav", "--model", "anna", "--size", "64", "-o", "out.mp4") == 0
    assert streams("out.mp4") == (120, 30, True)
    assert run("--sound", "track.wav", "--seconds", "2", "--size", "64", "-o", "short.mp4") == 0
    assert streams("short.mp4") == (60, 30, True)
    assert run("--sound", "track.wav", "--loop", "--seconds", "1", "--size", "64", "-o", "loop.mp4") == 0
    assert streams("loop.mp4") == (30, 30, True)


def test_flashes_are_warned_of(home, capsys):
    source = {"type": "lfo", "shape": "square", "period": 0.2}
    raw = {"base": {"model": "anna"}, "duration": 2, "tracks": [{"parameter": "psi", "source": source, "range": [-2, 2]}]}
    with open("motion.json", "w") as file:
        json.dump(raw, file)
    assert run("motion.json", "--size", "64") == 0
    shown = capsys.readouterr()
    assert shown.out.strip() == "film.mp4"
    assert "seizures" in shown.err


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("none.json",),
        ("bad.json",),
        ("good.json", "--seeds", "1,2"),
        ("good.json", "--loop"),
        ("good.json", "--set", "psi=1"),
        ("good.json", "-o", "film.avi"),
        ("good.json", "-o", "film.mp4", "--codec", "vp9"),
        ("--seeds", "1"),
        ("--seeds", "x"),
        ("--seeds", "1,2", "--seconds", "0"),
        ("--seeds", "1,2", "--seconds", "nan"),
        ("--seeds", "1,2", "--model", "nobody"),
        ("--seeds", "1,2", "--fps", "1000"),
        ("--seeds", "1,2", "--size", "1"),
        ("--seeds", "1,2", "--psi", "9"),
        ("--sound", "none.wav"),
        ("--sound", "bad.json"),
    ],
)
def test_what_cannot_be_done_is_told(home, capsys, words):
    with open("bad.json", "w") as file:
        file.write("{")
    with open("good.json", "w") as file:
        json.dump({"base": {"model": "anna"}, "duration": 1}, file)
    assert run(*words) == 2
    assert capsys.readouterr().err.startswith("studio: ")
