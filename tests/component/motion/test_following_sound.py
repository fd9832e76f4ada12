"""Films that follow a sound: clicks at known times, analysed, rendered, decoded again."""

from fractions import Fraction

import av
import numpy as np
import pytest

from studio.engine.engine import Engine
from studio.engine.recipe import Recipe
from studio.errors import StudioError
from studio.models.library import Library
from studio.motion.features import FEATURES, AudioFeatures, analyse, features_of
from studio.motion.motion import Motion
from studio.motion.player import Player
from studio.motion.presets import following_sound
from studio.motion.sources import Scene, Sound
from studio.motion.timing import Clock, Duration
from studio.motion.tracks import Track
from tests.conftest import save_tiny
from tests.unit.imaging.test_sound import write_wav

RATE = 22050
FPS = 30


def clicks(times, seconds: float) -> np.ndarray:
    """Bursts of a falling tone at these times."""
    out = np.zeros(round(seconds * RATE))
    burst = np.sin(2 * np.pi * 1500 * np.arange(900) / RATE) * np.exp(-np.arange(900) / 150)
    for time in times:
        at = round(time * RATE)
        out[at : at + 900] += 0.8 * burst[: len(out) - at]
    return out.astype(np.float32)


@pytest.fixture(scope="module")
def three_minutes(tmp_path_factory):
    """(times of clicks at uneven intervals, the file, its features)."""
    rng = np.random.default_rng(0)
    times = 0.5 + np.cumsum(rng.uniform(0.6, 3.0, 98))
    times = times[times < 179]
    path = tmp_path_factory.mktemp("sound") / "clicks.wav"
    write_wav(path, clicks(times, 180), RATE)
    return times, path, analyse(path)


def seen_and_heard(film) -> tuple[np.ndarray, np.ndarray]:
    """Times at which the picture of a film jumps away from its first one, and at which its sound begins to be loud."""
    with av.open(str(film)) as container:
        shown = [(f.time, f.to_ndarray(format="gray").astype(float)) for f in container.decode(video=0)]
    with av.open(str(film)) as container:
        rate = container.streams.audio[0].rate
        samples = np.zeros(round((shown[-1][0] + 2) * rate))
        for frame in container.decode(audio=0):
            at, block = round(frame.time * rate), frame.to_ndarray()
            block = (block[0] if frame.format.is_planar else block[0, ::2]) / (32768 if block.dtype == np.int16 else 1)
            samples[max(0, at) : at + len(block)] += block[max(0, -at) :]
    changed = np.array([np.abs(picture - shown[0][1]).mean() for _, picture in shown])
    jumps = [shown[i][0] for i in range(1, len(shown)) if changed[i] - changed[i - 1] > 0.3 * changed.max()]
    loud = np.flatnonzero(np.abs(samples) > 0.2) / rate
    return np.array(jumps), loud[np.r_[True, np.diff(loud) > 0.3]]


def test_onsets_over_three_minutes(three_minutes):
    times, _, features = three_minutes
    assert features.seconds == pytest.approx(180, abs=0.01)
    assert len(features.onsets) == len(times)
    assert np.abs(features.onsets - times).max() < 0.5 / FPS


def test_picture_and_sound_stay_within_a_frame_over_three_minutes(three_minutes, tmp_path, studio_home):
    """Every click is heard in the decoded film where the picture jumps: the truncation opens with it, and falls back."""
    times, path, features = three_minutes
    save_tiny(tmp_path / "models", "smallest", resolution=8)  # 5,400 frames are rendered
    base = Recipe(model="smallest", psi=0.0)
    motion = Motion(base, tracks=(Track("psi", Sound("onset", decay=0.15), range=(0.0, 2.0)),), duration=Duration(180))
    with Engine(Library([tmp_path / "models"]), device="cpu") as engine:
        made = motion.render(tmp_path / "a.mp4", engine, sound=path, features=features, size=64)
    seen, heard = seen_and_heard(made)
    assert heard == pytest.approx(times, abs=0.005), "the sound is where it was"
    assert len(seen) == len(heard)
    # A frame is seen from its time to that of the next; what is heard meanwhile is at most one frame away.
    assert np.abs(seen - heard).max() <= 1 / FPS


@pytest.mark.parametrize("name", ["a.mp4", "a.webm", "a.mov"])
def test_clicks_are_heard_and_seen_together_in_every_container(engine, tmp_path, name):
    times = np.array([0.7, 1.55, 2.9, 3.6])
    write_wav(tmp_path / "clicks.wav", clicks(times, 5), RATE)
    motion = Motion(
        Recipe(model="tiny", psi=0.0),
        tracks=(Track("psi", Sound("onset", decay=0.1), range=(0.0, 2.0)),),
        duration=Duration(5),
        sound=str(tmp_path / "clicks.wav"),
    )
    seen, heard = seen_and_heard(motion.render(tmp_path / name, engine, size=64))
    assert heard == pytest.approx(times, abs=0.01)
    assert len(seen) == len(heard)
    assert np.abs(seen - heard).max() <= 1 / FPS


def test_level_bands_and_brightness():
    second = np.arange(RATE) / RATE
    parts = [0.8 * np.sin(2 * np.pi * hz * second) for hz in (80, 1000, 7000)]
    features = features_of(np.concatenate([*parts, 0 * second]).astype(np.float32))
    scene = Scene(Clock(Fraction(FPS), 4 * FPS, 120), features)
    middles = np.array([0.5, 1.5, 2.5, 3.5])
    found = {name: Sound(name).values(middles, scene) for name in FEATURES}
    assert found["bass"] == pytest.approx([1, 0, 0, 0], abs=0.05)
    assert found["mid"] == pytest.approx([0, 1, 0, 0], abs=0.05)
    assert found["treble"] == pytest.approx([0, 0, 1, 0], abs=0.05)
    assert found["level"][:3] == pytest.approx([1, 1, 1], abs=0.1)
    assert found["level"][3] < 0.01
    expected = [0.0, *(np.log(np.array([1000, 7000]) / 100) / np.log(80)), 0.0]
    assert found["centroid"] == pytest.approx(expected, abs=0.03)


def test_pitch_classes():
    second = np.arange(RATE) / RATE
    notes = (261.63, 440.0)  # C4 and A4
    features = features_of(np.concatenate([0.5 * np.sin(2 * np.pi * hz * second) for hz in notes]).astype(np.float32))
    chroma = np.array([features.at(f"chroma.{i}", np.array([0.5, 1.5])) for i in range(12)])
    assert chroma.argmax(axis=0).tolist() == [0, 9]
    assert chroma.max(axis=0) == pytest.approx([1, 1], abs=0.05)


def test_beats_of_a_steady_pulse():
    features = features_of(clicks(np.arange(0.5, 29.5, 0.5), 30))
    assert features.tempo == pytest.approx(120, rel=0.03)
    inside = features.beats[(features.beats > 2) & (features.beats < 28)]
    assert np.abs((inside + 0.25) % 0.5 - 0.25).max() < 0.04
    assert np.diff(inside) == pytest.approx(0.5, abs=0.04)


def test_silence_and_scraps_have_no_features():
    for samples in (np.zeros(3 * RATE, np.float32), np.zeros(10, np.float32), np.zeros(0, np.float32)):
        features = features_of(samples)
        assert len(features.onsets) == len(features.beats) == 0
        assert all(not features.at(name, np.linspace(0, 3, 9)).any() for name in FEATURES)
        assert features.tempo == 0


def test_a_film_of_a_sound_by_itself(engine, tmp_path):
    write_wav(tmp_path / "beat.wav", clicks(np.arange(0.25, 11.9, 0.5), 12), RATE)
    features, base = analyse(tmp_path / "beat.wav"), Recipe(model="tiny", psi=0.7)
    motion = following_sound(base, features, tmp_path / "beat.wav", engine.facts("tiny"))
    seeds = [f.seed for f in motion.path.frames]
    assert seeds == list(range(len(seeds)))
    assert 5 <= len(seeds) <= 8, "a bar of four beats takes two seconds"
    assert {t.parameter for t in motion.tracks} == {"psi", "edit.random:0:0@fine", "edit.random:0:1@middle"}
    player = Player(motion, engine, features)
    assert player.clock.length == pytest.approx(12, abs=0.02)
    assert len({player.of_frame(i).key() for i in range(0, player.frames, 10)}) > 30
    again = Motion.from_json(motion.to_json())
    assert again == motion
    with av.open(str(again.render(tmp_path / "a.mp4", engine, size=64))) as container:
        assert container.streams.audio


@pytest.mark.parametrize(
    ("beats", "onsets"), [((), ()), ((), (1.0, 1.1, 5.0)), (tuple(np.arange(0, 60, 0.25)), ()), ((), tuple(np.arange(0, 60, 0.05)))]
)
def test_key_frames_are_never_too_near_nor_too_far(engine, tmp_path, beats, onsets):
    features = AudioFeatures(60.0, 0.0, np.array(onsets), np.array(beats), {})
    motion = following_sound(Recipe(model="tiny"), features, tmp_path / "a.wav", engine.facts("tiny"), seeds=(4, 9))
    durations = [f.duration.value for f in motion.path.frames]
    assert sum(durations) == pytest.approx(60)
    assert min(durations) >= 0.8 - 1e-9
    assert max(durations) <= 8
    assert [f.seed for f in motion.path.frames[:3]] == [4, 9, 4]


def test_without_librosa_it_says_what_to_install(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "librosa", None)
    with pytest.raises(StudioError, match="pip install librosa"):
        features_of(np.zeros(RATE, np.float32))
