"""Motions as JSON: round trips, files of other hands, and hostile ones."""

import json

import pytest

import studio
from studio.engine.recipe import Edit, Recipe
from studio.errors import StudioError
from studio.motion.motion import Motion
from studio.motion.paths import Circle, KeyFrame, KeyFrames, NoiseLoop
from studio.motion.sources import LFO, Constant, Envelope, Point, Ramp, RandomWalk, Sound
from studio.motion.timing import Duration
from studio.motion.tracks import Track
from tests.conftest import ROOT

BASE = Recipe(model="tiny", psi=0.6)
FULL = Motion(
    BASE,
    KeyFrames(
        (
            KeyFrame(seed=0, duration=Duration(4, "beats"), easing="bounce"),
            KeyFrame(recipe=BASE.replace(edits=(Edit("random:0:0", 1.5),)), duration=Duration(30, "frames")),
            KeyFrame(seed=7),
        ),
        "spline",
    ),
    (
        Track("psi", LFO("triangle", Duration(2), 0.25), range=(0.2, 1.0), amount=0.5, curve="ease", smoothing=0.1, invert=True),
        Track("edit.random:0:1@fine", RandomWalk(Duration(1, "beats"), 0.2, 5)),
        Track("noise.strength", Envelope((Point(0, 0.5, "hold"), Point(Duration(2, "beats"), 1)))),
        Track("transform.rotate", Ramp()),
        Track("transform.x", Sound("chroma.3", 2.0, 0.5)),
        Track("transform.y", Constant(0.5)),
    ),
    Duration(20),
    True,
    25,
    90,
    "track.wav",
)
LEAST = {"version": 1, "base": {"model": "tiny"}, "duration": 2}


@pytest.mark.parametrize("motion", [FULL, Motion(BASE, NoiseLoop(3, 2.0), duration=Duration(3)), Motion(BASE, Circle((2, 9), Duration(5)))])
def test_json_round_trip(motion):
    assert Motion.from_json(motion.to_json()) == motion
    assert Motion.load(motion.to_json()) == motion
    assert Motion.from_json(motion.to_json()).to_json() == motion.to_json()


def test_a_file_written_by_hand(tmp_path):
    text = """{"base": {"model": "tiny", "psi": 0.7}, "bpm": 100, "loop": true, "sound": "track.wav",
      "path": {"type": "key frames", "interpolation": "slerp", "frames": [
        {"seed": 1, "duration": "4 beats"}, {"seed": 5, "duration": 1.5, "easing": "hold"}, {"seed": 9, "duration": "12 frames"}]},
      "tracks": [{"parameter": "psi", "source": {"type": "lfo", "shape": "noise", "period": "8 beats"}, "range": [0.5, 1]}]}"""
    (tmp_path / "motion.json").write_text(text)
    motion = studio.Motion.load(tmp_path / "motion.json")
    assert motion == Motion.load(text)
    assert motion.sound_file() == tmp_path / "track.wav"
    assert motion.clock().length == pytest.approx(2.4 + 1.5 + 0.4, abs=1 / 60)
    assert motion.tracks[0].source == LFO("noise", Duration(8, "beats"))


def test_motions_of_the_first_version_open():
    motion = Motion.load(ROOT / "tests" / "fixtures" / "motion-v1.json")
    assert motion == FULL
    assert json.loads(motion.to_json()) == json.loads((ROOT / "tests" / "fixtures" / "motion-v1.json").read_text())


def changed(**changes) -> dict:
    return {**LEAST, **changes}


def track(**changes) -> dict:
    return changed(tracks=[{"parameter": "psi", "source": {"type": "constant"}, **changes}])


@pytest.mark.parametrize(
    "raw",
    [
        None,
        [],
        "motion",
        {},
        {"version": 1},
        changed(version=2),
        changed(version=True),
        changed(base=None),
        changed(base={"model": ""}),
        changed(base={"model": "tiny", "psi": float("nan")}),
        changed(speed=3),
        changed(fps=0),
        changed(fps=float("inf")),
        changed(fps="30"),
        changed(bpm=1e9),
        changed(bpm=None),
        changed(loop=1),
        changed(sound=3),
        changed(sound="a\0b"),
        changed(duration="soon"),
        changed(duration=[1]),
        changed(tracks={}),
        changed(tracks=[{}]),
        changed(tracks=[None]),
        changed(tracks=[{"parameter": "psi"}]),
        track(amount="much"),
        track(range=[0]),
        track(range="wide"),
        track(source={"type": "lfo", "period": 0}),
        track(source={"type": "envelope", "points": "none"}),
        track(source={"type": "envelope", "points": [{"at": 0}]}),
        track(source=[1]),
        track(colour="red"),
        changed(tracks=track()["tracks"] * 65),
        changed(path=3),
        changed(path={"type": "straight"}),
        changed(path={"type": "key frames"}),
        changed(path={"type": "key frames", "frames": []}),
        changed(path={"type": "key frames", "frames": [{}]}),
        changed(path={"type": "key frames", "frames": [{"seed": 1, "recipe": {"model": "tiny"}}]}),
        changed(path={"type": "key frames", "frames": [{"seed": -1}]}),
        changed(path={"type": "key frames", "frames": [{"seed": 1, "easing": "quick"}]}),
        changed(path={"type": "key frames", "frames": [{"seed": 1}] * 4097}),
        changed(path={"type": "key frames", "frames": [{"recipe": {"model": "other"}}]}),
        changed(path={"type": "noise loop", "diameter": 0}),
        changed(path={"type": "noise loop", "period": 0}),
        changed(path={"type": "circle", "seeds": [1, 1]}),
        changed(path={"type": "circle", "seeds": [1, 2, 3]}),
    ],
)
def test_what_is_no_motion(raw):
    with pytest.raises(StudioError) as e:
        Motion.from_dict(raw)
    assert e.value.hint
    assert len(str(e.value)) < 400


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, '{"base": ' * 50_000, "1" * 10_000, b"\xff\xfe{", " " * (17 << 20)])
def test_what_is_no_json(text):
    with pytest.raises(StudioError, match="motion"):
        Motion.from_json(text)


@pytest.mark.parametrize(
    "changes", [dict(duration=3601), dict(duration="250000 frames", fps=60), dict(duration="9 beats", bpm=0.01), dict(duration=0)]
)
def test_nothing_is_longer_than_an_hour(changes):
    with pytest.raises(StudioError):
        Motion.from_dict(changed(**changes)).clock()


def test_a_motion_without_a_length_says_so():
    with pytest.raises(StudioError, match="no duration"):
        Motion(BASE).clock()
    with pytest.raises(StudioError, match="no duration"):
        Motion(BASE, KeyFrames((KeyFrame(seed=1, duration=Duration(0)),))).clock()


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(StudioError, match="cannot be read"):
        Motion.load(tmp_path / "none.json")
    with pytest.raises(StudioError, match="cannot be read"):
        Motion.load(tmp_path)
