"""Films of tiny models: every format, decoded again; interruptions; labels; flashes."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import zipfile
from concurrent.futures import CancelledError
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

import studio
from studio.engine.canvas import Canvas
from studio.engine.engine import Engine
from studio.engine.recipe import Recipe
from studio.errors import NoRoom, StudioError
from studio.imaging.xmp import DigitalSourceType
from studio.models.library import Library
from studio.motion import film
from studio.motion.motion import Motion
from studio.motion.paths import KeyFrame, KeyFrames
from studio.motion.player import Player
from studio.motion.presets import noise_loop, through_seeds
from studio.motion.sources import LFO, Constant, Envelope, Point, Ramp
from studio.motion.timing import Duration
from studio.motion.tracks import Track
from studio.provenance.inspect import inspect_file
from studio.provenance.metadata import read_recipe
from studio.provenance.policy import LABEL_ONLY, ProvenancePolicy, save_policy
from tests.conftest import ROOT
from tests.unit.imaging.test_sound import tone, write_wav

BASE = Recipe(model="tiny", psi=0.8)
WALK = through_seeds(BASE, [1, 5, 9], 4.3, loop=True)  # 129 frames: three segments, the last one short
VIDEOS = ("a.mp4", "a.webm", "a.mov")
FILES = (*VIDEOS, "a.gif", "a.webp", "a.zip")


@pytest.fixture(autouse=True)
def home(studio_home) -> Path:
    return studio_home


@pytest.fixture
def sound(tmp_path) -> Path:
    write_wav(tmp_path / "tone.wav", tone(10.0))
    return tmp_path / "tone.wav"


def sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def decoded(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]


def works(home: Path) -> list[str]:
    return [p.name for p in (home / "cache" / "films").iterdir() if p.is_dir()]


@pytest.mark.parametrize("name", VIDEOS)
def test_a_video_holds_every_frame_at_its_time_and_the_sound(engine, tmp_path, sound, name, home):
    told = []
    path = WALK.render(tmp_path / name, engine, sound=sound, size=64, progress=lambda done, total: told.append((done, total)))
    shown = decoded(path)
    player = Player(WALK, engine)
    assert len(shown) == player.frames == 129
    for i in (0, 59, 60, 61, 128):
        expected = np.asarray(Image.fromarray(engine.render(player.of_frame(i))).resize((64, 64), Image.Resampling.NEAREST)).astype(int)
        wrong = [np.abs(shown[k] - expected).mean() for k in range(129)]
        assert wrong[i] < 12
        assert wrong[i] < min(wrong[(i + 30) % 129], wrong[(i + 65) % 129])
    with av.open(str(path)) as container:
        times = [f.time for f in container.decode(video=0)]
    assert times == pytest.approx(np.arange(129) / 30, abs=0.001)
    with av.open(str(path)) as container:
        samples = [(f.time, f.samples / f.sample_rate) for f in container.decode(audio=0)]
    assert samples[0][0] == pytest.approx(0, abs=0.001)
    assert samples[-1][0] + samples[-1][1] == pytest.approx(4.3, abs=0.04), "cut to the film's length"
    assert told == [(i, 129) for i in sorted([*range(1, 130), 60, 120, 129])]
    assert works(home) == [], "nothing is left of the work"


@pytest.mark.parametrize(
    ("name", "codec", "found"), [("a.mp4", "", "h264"), ("a.mp4", "h265", "hevc"), ("a.webm", "", "vp9"), ("a.mov", "", "prores")]
)
def test_codecs(engine, tmp_path, name, codec, found):
    with av.open(str(noise_loop(BASE, 0.2).render(tmp_path / name, engine, codec=codec))) as container:
        assert container.streams.video[0].codec_context.name == found
        assert container.streams.video[0].codec_context.width == 512, "small pictures are enlarged by whole pixels"
        assert not container.streams.audio


@pytest.mark.parametrize("name", FILES)
def test_the_same_film_is_the_same_file(engine, tmp_path, name, sound):
    motion, other = through_seeds(BASE, [1, 5], 2.2), Path(name).with_stem("b").name
    assert sha(motion.render(tmp_path / name, engine, sound=sound, size=64)) == sha(
        motion.render(tmp_path / other, engine, sound=sound, size=64)
    )


def test_frames_in_a_folder_and_a_zip_have_their_recipes(engine, tmp_path):
    motion = noise_loop(BASE, 0.5, seed=3)
    folder, archive = motion.render(tmp_path / "frames", engine), motion.render(tmp_path / "frames.zip", engine)
    player = Player(motion, engine)
    names = [f"frame-{i:05d}.png" for i in range(1, 16)]
    assert sorted(p.name for p in folder.iterdir()) == names
    with zipfile.ZipFile(archive) as opened:
        assert opened.namelist() == names
        assert opened.read(names[3]) == (folder / names[3]).read_bytes()
    recipe = read_recipe(folder / names[3], Recipe)
    assert recipe == engine.stamped(player.of_frame(3))
    with Image.open(folder / names[3]) as image:
        np.testing.assert_array_equal(np.asarray(image), engine.render(recipe))
    with pytest.raises(StudioError, match="not empty"):
        motion.render(folder, engine)


@pytest.mark.parametrize("name", ["a.gif", "a.webp"])
def test_animations_take_as_long_as_the_film(engine, tmp_path, name):
    with Image.open(noise_loop(BASE, 1.0).render(tmp_path / name, engine)) as image:
        durations = []
        for i in range(image.n_frames):
            image.seek(i)
            image.load()
            durations.append(image.info["duration"])
        assert sum(durations) == 1000
        assert image.info["loop"] == 0
        assert image.size == (512, 512)


@pytest.mark.parametrize("name", [*FILES, "frames/frame-00001.png"])
def test_every_ending_says_that_it_was_made_by_ai(engine, tmp_path, name):
    made = noise_loop(BASE, 0.1).render(tmp_path / name.partition("/")[0], engine)
    if made.suffix == ".zip":
        with zipfile.ZipFile(made) as opened:
            opened.extract("frame-00001.png", tmp_path)
        made = tmp_path / "frame-00001.png"
    report = inspect_file(tmp_path / name if made.is_dir() else made)
    assert report.by_ai
    assert report.source == DigitalSourceType.GENERATED.value.rpartition("/")[2]


@pytest.mark.parametrize("name", [f for f in FILES if f != "a.zip"])
def test_a_film_has_its_motion_inside(engine, tmp_path, name, home):
    motion = through_seeds(BASE, [1, 5], 0.4).replace(sound=str(tmp_path / "of-mine" / "tone.wav"))
    (tmp_path / "of-mine").mkdir()
    write_wav(tmp_path / "of-mine" / "tone.wav", tone(1.0))
    made = motion.render(tmp_path / name, engine, size=64)
    again = Motion.load(made)
    assert again == motion.replace(sound="tone.wav"), "but not where its sound lies"
    assert str(tmp_path).encode() not in made.read_bytes()
    assert "motion of the film" in inspect_file(made).lines()[1][1]
    save_policy(ProvenancePolicy(tells=LABEL_ONLY))
    made = motion.render(tmp_path / name, engine, size=64)
    assert inspect_file(made).by_ai
    with pytest.raises(StudioError, match="no motion"):
        Motion.load(made)


def test_files_without_a_motion(tmp_path):
    for name, data in (("a.json", b"\x89PNG"), ("b", b"GIF89a" + bytes(50)), ("c.mp4", b"\0\0\0\x18ftypmp42" + bytes(40)), ("d", b"hello")):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(StudioError, match="no motion"):
            Motion.load(tmp_path / name)
    bad = b"GIF89a" + bytes(7) + b"\x21\xff\x0bXMP DataXMP<gs:motion>AAAA</gs:motion>\x01\xff"
    (tmp_path / "e.gif").write_bytes(bad)
    with pytest.raises(StudioError, match="damaged"):
        Motion.load(tmp_path / "e.gif")


class Interrupted(Exception):
    """Whatever may happen in the middle of a film."""


@pytest.mark.parametrize("name", FILES)
def test_an_interrupted_film_goes_on_and_is_the_same_file(engine, tmp_path, monkeypatch, name, home):
    whole = WALK.render(tmp_path / f"whole{Path(name).suffix}", engine, size=64)
    rendered = []

    def render(recipe, preview=False):
        rendered.append(recipe)
        if len(rendered) == 100:
            raise Interrupted
        return Engine.render(engine, recipe, preview)

    monkeypatch.setattr(engine, "render", render)
    with pytest.raises(Interrupted):
        WALK.render(tmp_path / name, engine, size=64)
    assert not (tmp_path / name).exists()
    assert not list(tmp_path.glob(".*.part"))
    assert len(works(home)) == 1
    assert not list((home / "cache" / "films").glob("*/.*.part"))
    rendered.clear()
    rendered += [None] * 100
    made = WALK.render(tmp_path / name, engine, size=64)
    assert len(rendered) - 100 == 69, "the first segment of 60 was kept"
    assert sha(made) == sha(whole)
    assert works(home) == []


def test_a_killed_process_leaves_what_the_next_one_goes_on_with(models, tmp_path, home):
    """SIGKILL in the middle of the second segment."""
    (tmp_path / "motion.json").write_text(WALK.to_json())
    code = f"""
import os, signal, studio
from studio.models.library import Library
with studio.Engine(Library([{str(models)!r}]), device="cpu") as engine:
    kill = lambda done, total: os.kill(os.getpid(), signal.SIGKILL) if done == 75 else None
    studio.Motion.load("motion.json").render("a.mp4", engine, size=64, progress=kill)
"""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env)
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "a.mp4").exists()
    told = []
    with Engine(Library([models]), device="cpu") as engine:
        motion = studio.Motion.load(tmp_path / "motion.json")
        motion.render(tmp_path / "a.mp4", engine, size=64, progress=lambda done, total: told.append(done))
        assert told[:2] == [60, 61], "the first 60 frames were there"
        motion.render(tmp_path / "b.mp4", engine, size=64)
    assert sha(tmp_path / "a.mp4") == sha(tmp_path / "b.mp4")


def test_a_stopped_film_goes_on_and_another_one_does_not_take_its_place(engine, tmp_path, home):
    done = []
    with pytest.raises(CancelledError):
        WALK.render(tmp_path / "a.mp4", engine, size=64, progress=lambda i, total: done.append(i), cancel=lambda: len(done) >= 70)
    assert len(done) == 70
    other = WALK.replace(base=BASE.replace(psi=0.7))
    seen = []
    other.render(tmp_path / "b.mp4", engine, size=64, progress=lambda i, total: seen.append(i))
    assert seen[0] == 1
    assert len(works(home)) == 1, "the stopped one waits"


def test_a_film_that_is_being_rendered_is_not_rendered_twice(engine, tmp_path):
    refused = []

    def again(done, total):
        if done == 1:
            with pytest.raises(StudioError, match="already") as e:
                WALK.render(tmp_path / "b.mp4", engine, size=64)
            refused.append(e.value)

    noise = noise_loop(BASE, 0.1)
    WALK.render(tmp_path / "a.mp4", engine, size=64, progress=again, cancel=lambda: False)
    assert refused
    assert noise.render(tmp_path / "b.mp4", engine, size=64).exists()


def test_a_full_disk_is_told_and_nothing_is_lost(engine, tmp_path, monkeypatch, home):
    monkeypatch.setenv("STUDIO_KEEP_FREE_MB", "1e9")
    with pytest.raises(NoRoom):
        WALK.render(tmp_path / "a.mp4", engine, size=64)
    monkeypatch.delenv("STUDIO_KEEP_FREE_MB")

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(film, "join_segments", full)
    with pytest.raises(StudioError, match="disk is full"):
        WALK.render(tmp_path / "a.mp4", engine, size=64)
    assert not list(tmp_path.glob("*a.mp4*"))
    monkeypatch.undo()
    told = []
    monkeypatch.setenv("STUDIO_HOME", str(home))
    WALK.render(tmp_path / "a.mp4", engine, size=64, progress=lambda done, total: told.append(done))
    assert told == [60, 120, 129], "only the file is written"


@pytest.mark.parametrize("damage", ["segment-000060.mp4", "segment-000060.npy"])
def test_damaged_work_is_rendered_anew(engine, tmp_path, home, damage):
    done = []
    with pytest.raises(CancelledError):
        WALK.render(tmp_path / "a.mp4", engine, size=64, progress=lambda i, total: done.append(i), cancel=lambda: 125 in done)
    next((home / "cache" / "films").glob(f"*/{damage}")).write_bytes(b"torn")
    with pytest.raises(StudioError, match="put together"):
        WALK.render(tmp_path / "a.mp4", engine, size=64)
    assert not (tmp_path / "a.mp4").exists()
    assert WALK.render(tmp_path / "a.mp4", engine, size=64).exists()


def test_old_work_is_swept(tmp_path):
    import time

    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "segment.mp4").write_bytes(b"x")
    os.utime(tmp_path / "old", (time.time() - 40 * 86400,) * 2)
    assert film.sweep_films(tmp_path) == 1
    assert (tmp_path / "new").exists()
    assert not (tmp_path / "old").exists()


def test_flashes_are_warned_of(engine, tmp_path):
    """The picture at psi 0 and that at psi 2 in turn, whose light differs."""
    said = []
    for period in (0.2, 2.0):
        track = Track("psi", LFO("square", Duration(period)), range=(-2, 2))
        motion = Motion(BASE, tracks=(track,), duration=Duration(2), fps=20)
        assert motion.render(tmp_path / f"{period}.mp4", engine, size=64, remark=said.append).exists()
    lights = [film.cells_of(engine.render(BASE.replace(psi=psi))).mean() for psi in (-2.0, 2.0)]
    assert abs(lights[0] - lights[1]) > 20, "the test's own premise"
    assert len(said) == 1
    assert "more than three times a second at 0:0" in said[0]


def test_preview_size_and_rate(engine, tmp_path):
    motion = noise_loop(BASE, 1.0)
    assert len(decoded(motion.render(tmp_path / "a.mp4", engine, fps=12, size=100))) == 12
    assert decoded(motion.render(tmp_path / "a.mp4", engine, fps=12, size=100))[0].shape == (100, 100, 3)
    assert decoded(motion.render(tmp_path / "b.mp4", engine, fps=5, preview=True))[0].shape == (512, 512, 3)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.avi", {}),
        ("a.png", {}),
        ("a.mp4", {"codec": "vp9"}),
        ("a.gif", {"codec": "h264"}),
        ("a.gif", {"fps": 60}),
        ("a.gif", {"size": 8000}),
        ("a.mp4", {"size": 7}),
        ("a.mp4", {"size": 32}),
        ("a.mp4", {"size": 100, "codec": "h265"}),
        ("a.mp4", {"size": 1e9}),
        ("a.mp4", {"size": "large"}),
        ("a.mp4", {"fps": 0}),
        ("a.mp4", {"sound": "none.wav"}),
    ],
)
def test_what_cannot_be_rendered_is_told(engine, tmp_path, name, options):
    with pytest.raises(StudioError) as e:
        WALK.render(tmp_path / name, engine, **options)
    assert e.value.hint
    assert os.listdir(tmp_path) == ["models"]


def test_the_motion_names_its_sound(engine, tmp_path, sound):
    (tmp_path / "motion.json").write_text(json.dumps({**noise_loop(BASE, 0.5).to_dict(), "sound": "tone.wav"}))
    with av.open(str(Motion.load(tmp_path / "motion.json").render(tmp_path / "a.mp4", engine, size=64))) as container:
        assert container.streams.audio


def test_a_wider_canvas_makes_a_wider_film_and_one_that_changes_is_refused(models, engine, tmp_path):
    wide = Motion(Recipe(model="tiny", canvas=Canvas(width=2.0)), duration=Duration(0.2), fps=10)
    heights, widths = zip(*(picture.shape[:2] for picture in decoded(wide.render(tmp_path / "wide.mp4", engine))), strict=True)
    assert [2 * h for h in heights] == list(widths)
    changing = wide.replace(tracks=(Track("canvas.width", Ramp(), range=(1.0, 2.0)),))
    with pytest.raises(StudioError, match="canvas changes"):
        changing.render(tmp_path / "changing.mp4", engine)
    assert not (tmp_path / "changing.mp4").exists()


@pytest.mark.parametrize("how", ["key frames", "width", "height", "tileable"])
def test_a_canvas_that_will_change_is_refused_before_anything_is_rendered(engine, tmp_path, how, monkeypatch):
    monkeypatch.setattr(engine, "render", lambda *args, **options: pytest.fail("a picture was rendered"))
    second = Duration(1)
    if how == "key frames":
        keys = tuple(KeyFrame(recipe=BASE.replace(canvas=Canvas(width=w)), duration=second) for w in (1.0, 1.0, 2.0))
        changing = Motion(BASE, KeyFrames(keys), fps=10)
    else:
        late = Envelope((Point(Duration(0), 0.0), Point(Duration(2.5), 0.0), Point(Duration(3), 1.0)))
        ends = (0, 1) if how == "tileable" else (1.0, 2.0)
        changing = Motion(BASE, tracks=(Track(f"canvas.{how}", late, range=ends),), duration=Duration(3), fps=10)
    with pytest.raises(StudioError, match="canvas changes"):
        changing.render(tmp_path / "changing.mp4", engine)


def test_a_track_that_keeps_another_width_makes_a_film(engine, tmp_path):
    keys = KeyFrames(tuple(KeyFrame(seed=seed, duration=Duration(0.2)) for seed in (1, 2)))
    kept = Motion(BASE, keys, (Track("canvas.width", Constant(0.5), range=(1.0, 3.0)),), fps=10)
    shapes = {picture.shape for picture in decoded(kept.render(tmp_path / "kept.mp4", engine))}
    assert [(2 * h, w) for h, w, _ in shapes] == [(w, w) for _, w, _ in shapes]
    assert len(shapes) == 1
