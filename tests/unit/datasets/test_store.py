"""From files to a stored set: what is kept and told, cancelling, memory, videos, and the life of a set."""

import hashlib
import io
import os
import stat
import subprocess
import sys
import threading
import tracemalloc
import zipfile
from concurrent.futures import CancelledError
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

import studio.datasets.ingest as ingestion
from studio.cli.main import main
from studio.datasets.image_set import ImageSet
from studio.datasets.ingest import ingest
from studio.datasets.ingest_report import OWNERSHIP
from studio.datasets.rights import Consent
from studio.datasets.sources import Limits
from studio.datasets.store import DataSetStore
from studio.errors import StudioError
from studio.training.plan import Data, Plan


def scene(seed: int, size=(64, 48)) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), dtype=np.uint8).astype(np.uint8)
    return Image.fromarray(noise).resize(size, Image.BICUBIC)


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.fixture
def store(studio_home):
    return DataSetStore()


@pytest.fixture
def photos(tmp_path):
    """A folder of two classes of three, a twin, a near twin and a text."""
    for i in range(6):
        folder = tmp_path / "photos" / ("cats" if i < 3 else "dogs")
        folder.mkdir(parents=True, exist_ok=True)
        scene(i).save(folder / f"{i}.png")
    (tmp_path / "photos" / "dogs" / "twin.png").write_bytes((tmp_path / "photos" / "cats" / "0.png").read_bytes())
    scene(1).save(tmp_path / "photos" / "cats" / "near.jpg", quality=90)
    (tmp_path / "photos" / "notes.txt").write_text("about cats")
    return tmp_path / "photos"


def hidden(store) -> list[str]:
    return [p.name for p in store.home.iterdir() if p.name.startswith(".")] if store.home.exists() else []


def test_from_files_to_training(photos, store, tmp_path):
    told = []
    report = store.ingest([photos], owned=True, title=" Pets ", progress=lambda done, total, name: told.append((done, total, name)))
    assert [a.name for a in report.accepted] == [
        *(f"cats/{n}" for n in ("0.png", "1.png", "2.png", "near.jpg")),
        *(f"dogs/{i}.png" for i in (3, 4, 5)),
    ]
    assert report.rejected == [("photos/notes.txt", "not a picture or a video")]
    assert report.duplicates == [("photos/dogs/twin.png", "cats/0.png")]
    assert report.near == [("cats/1.png", "cats/near.jpg")]
    assert report.classes == {"cats": 4, "dogs": 3}
    assert [t[:2] for t in told] == [(i + 1, 9) for i in range(9)]
    assert store.list() == [], "a staged intake is no set yet"
    stored = store.add(report, crop="fit")
    assert (stored.count, stored.title, stored.classes, stored.owned) == (7, "Pets", {"cats": 4, "dogs": 3}, True)
    assert stored.card["statement"] == OWNERSHIP
    assert stored.card["crop"] == "fit"
    assert stored.path.name == stored.id
    assert not hidden(store)
    assert store.changed(stored.id) == []
    for path in (stored.path, stored.path / "pictures"):
        opened = ImageSet.open(path, 16, tmp_path / "cache")
        assert opened.hash == stored.id
        assert opened.classes == ("cats", "dogs")
        assert len(opened) == 7
    assert (stored.path / "pictures" / "cats" / "near.jpg").read_bytes() == (photos / "cats" / "near.jpg").read_bytes()


def test_the_same_pictures_are_stored_once(photos, store):
    first = store.add(store.ingest([photos], owned=False, title="One"))
    again = store.add(store.ingest([photos], owned=True, title="Two"))
    assert again.id == first.id
    assert again.title == "One"
    assert again.owned
    assert not first.owned
    assert len(store.list()) == 1
    assert not hidden(store)


def test_the_number_of_workers_changes_nothing(photos, store):
    ids = {store.add(store.ingest([photos], owned=True, workers=w)).id for w in (1, 2, 7)}
    assert len(ids) == 1


def test_other_formats_become_png_and_lose_nothing(store, tmp_path):
    (tmp_path / "p").mkdir()
    clear = Image.new("RGBA", (40, 40), (10, 20, 30, 0))
    clear.paste((200, 100, 50, 255), (0, 0, 20, 40))
    clear.save(tmp_path / "p" / "a.tif")
    scene(1).save(tmp_path / "p" / "b.bmp")
    scene(2).save(tmp_path / "p" / "b.gif")
    scene(3).save(tmp_path / "p" / "c.avif")
    (tmp_path / "p" / "d.txt").write_bytes(encoded(scene(4), "JPEG"))  # the name is no matter
    stored = store.add(store.ingest([tmp_path / "p"], owned=True))
    assert stored.names() == ["a.png", "b-2.png", "b.png", "c.png", "d.jpg"]
    assert set(stored.card["changed"]) == {
        "a.png",
        "b.png",
        "b-2.png",
        "c.png",
    }
    with Image.open(stored.picture("a.png")) as image:
        assert image.mode == "RGBA"
        assert image.getpixel((30, 5))[3] == 0
    assert np.array_equal(np.asarray(Image.open(stored.picture("b.png"))), np.asarray(scene(1)))
    with pytest.raises(StudioError):
        stored.picture("../set.json")


def test_the_place_is_taken_out_and_told(store, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    exif.get_ifd(0x8825).update({1: "N", 2: (52.0, 31.0, 12.0)})
    scene(1).save(tmp_path / "a.jpg", exif=exif)
    report = store.ingest([tmp_path / "a.jpg"], owned=True)
    assert report.locations_removed == 1
    assert "The GPS location was removed from 1 photograph." in report.lines()
    stored = store.add(report)
    with Image.open(stored.picture("a.jpg")) as image:
        assert not image.getexif().get_ifd(0x8825)
        assert image.getexif()[0x0112] == 6
    assert store.sheet(stored.id)[0][1].shape == (96, 96, 3)


@pytest.mark.parametrize(
    ("members", "names"),
    [
        (["top/elf/1.png", "top/orc/1.png"], ["elf/1.png", "orc/1.png"]),
        (["top/1.png", "top/more/1.png"], ["more/1.png", "top/1.png"]),
        (["1.png", "more/1.png"], ["more/1.png", "other/1.png"]),
        (["deep/down/1.png", "deep/down/2.png"], ["1.png", "2.png"]),
        (["Cats/1.png", "cats/1.png", "dogs/1.png"], ["Cats/1-2.png", "Cats/1.png", "dogs/1.png"]),
    ],
)
def test_classes_from_sub_folders(store, tmp_path, members, names):
    with zipfile.ZipFile(tmp_path / "s.zip", "w") as z:
        z.writestr("LICENSE.txt", "free")
        for i, name in enumerate(members):
            z.writestr(name, encoded(scene(i), "PNG"))
    report = store.ingest([tmp_path / "s.zip"], owned=True)
    assert [a.name for a in report.accepted] == sorted(names)
    stored = store.add(report)
    opened = ImageSet.open(stored.path, 8, tmp_path / "cache")
    counts = np.bincount(opened.labels) if opened.labels is not None else []
    assert stored.classes == dict(zip(opened.classes, counts, strict=True)), "as training names and counts them"


def test_several_folders_are_classes_unless_told_otherwise(store, photos, tmp_path):
    with zipfile.ZipFile(tmp_path / "birds.zip", "w") as z:
        z.writestr("1.png", encoded(scene(9), "PNG"))
    scene(10).save(tmp_path / "loose.png")
    sources = [photos / "dogs", tmp_path / "birds.zip", tmp_path / "loose.png"]
    report = store.ingest(sources, owned=True)
    assert report.classes == {"birds": 1, "dogs": 4, "other": 1}
    assert store.ingest(sources, owned=True, classes=False).classes == {}


# -- cancelling, faults, memory ------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [0, 3, 9])
def test_cancelling_leaves_nothing_behind(photos, store, after):
    done = []
    with pytest.raises(CancelledError):
        store.ingest([photos], owned=True, progress=lambda d, t, n: done.append(d), cancel=lambda: len(done) >= after)
    assert len(done) <= after + 4
    assert hidden(store) == []
    assert store.list() == []


def test_cancelling_does_not_wait_for_the_rest(store, tmp_path, monkeypatch):
    for i in range(60):
        scene(i).save(tmp_path / f"{i}.png")
    made, done, real = [], [], ingestion.prepare_picture
    monkeypatch.setattr(ingestion, "prepare_picture", lambda *args: made.append(1) or real(*args))
    with pytest.raises(CancelledError):
        store.ingest(
            sorted(tmp_path.glob("*.png")), owned=True, workers=1, progress=lambda d, t, n: done.append(d), cancel=lambda: bool(done)
        )
    assert len(done) == 1
    assert len(made) <= 4


def test_a_fault_in_the_middle_leaves_nothing_behind(photos, store):
    def fail(done, total, name):
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.ingest([photos], owned=True, progress=fail)
    assert hidden(store) == []


@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit on the size of files")
def test_a_full_disk(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "p").mkdir()
    for i in range(4):
        Image.fromarray(rng.integers(0, 255, (100, 100, 3), dtype=np.uint8).astype(np.uint8)).save(tmp_path / "p" / f"{i}.png")
    code = (
        "import resource, sys\nfrom pathlib import Path\nfrom studio.datasets.ingest import ingest\nfrom studio.errors import StudioError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))\n"
        "try:\n    print(len(ingest([sys.argv[1]], owned=True, home=Path(sys.argv[2]))))\n"
        "except StudioError as e:\n    print('refused:', e)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "p"), str(tmp_path / "home")], capture_output=True, text=True)
    assert done.stdout.startswith("refused:"), done
    assert "room on the disk" in done.stdout, done
    assert not list((tmp_path / "home").iterdir())


def test_memory_does_not_grow_with_the_number_of_files(store, tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(tmp_path / "s.zip", "w") as z:
        for i in range(120):  # 120 files of half a megabyte
            z.writestr(f"{i}.bmp", encoded(Image.fromarray(rng.integers(0, 255, (400, 420, 3), dtype=np.uint8).astype(np.uint8)), "BMP"))
    now, most, lock, real = [0], [0], threading.Lock(), ingestion.prepare_picture

    def counted(*args):
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        try:
            return real(*args)
        finally:
            with lock:
                now[0] -= 1

    monkeypatch.setattr(ingestion, "prepare_picture", counted)
    tracemalloc.start()
    try:
        report = store.ingest([tmp_path / "s.zip"], owned=True, workers=2)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(report) == 120
    assert 1 <= most[0] <= 2
    assert peak < 16e6


def test_large_pictures_are_decoded_one_at_a_time(store, tmp_path, monkeypatch):
    monkeypatch.setattr(ingestion, "_LARGE", 1000)
    for i in range(8):
        scene(i).save(tmp_path / f"{i}.png")
    active, two, real = [], threading.Event(), ingestion.prepare_picture

    def alone(*args):
        active.append(1)
        if len(active) > 1:
            two.set()
        two.wait(0.05)  # time for another to come in, if it may
        try:
            return real(*args)
        finally:
            active.pop()

    monkeypatch.setattr(ingestion, "prepare_picture", alone)
    report = store.ingest(sorted(tmp_path.glob("*.png")), owned=True, workers=4)
    assert len(report) == 8
    assert not two.is_set()


def test_leftovers_of_killed_intakes_are_swept(store, photos):
    report = ingest([photos], owned=True, home=store.home)
    store.sweep()
    assert hidden(store) == [report.staged.name], "somebody may still look at it"
    (store.home / ".deleted-1.part").mkdir()
    store.sweep(now=lambda: report.staged.stat().st_mtime + 8 * 24 * 3600)
    assert hidden(store) == []
    with pytest.raises(StudioError, match="are gone"):
        store.add(report)


# -- videos --------------------------------------------------------------------------------------------------------


def film(path, colours, rate=10, size=(64, 48), codec="mpeg4", rotation=None):
    """A video in which each colour stands for a second."""
    import av

    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt, stream.time_base = *size, "yuv420p", Fraction(1, rate)
        for i in range(len(colours) * rate):
            pixels = np.full((size[1], size[0], 3), colours[i // rate], np.uint8)
            pixels[: size[1] // 2, : size[0] // 2] = 255
            out.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        out.mux(stream.encode())
    return path


COLOURS = [(220, 30, 30), (30, 220, 30), (30, 30, 220), (200, 200, 30)]


@pytest.mark.parametrize("ending", ["mp4", "mkv", "avi", "mov"])
def test_frames_of_a_video(store, tmp_path, ending):
    clip = film(tmp_path / f"clip.{ending}", COLOURS)
    told = []
    report = store.ingest([clip], owned=True, progress=lambda d, t, n: told.append(n))
    # Two looks a second; the second of each colour shows nothing new.
    assert report.videos == [(f"clip.{ending}", 4)]
    assert len(report) == 4
    assert not report.rejected
    stored = store.add(report)
    assert stored.names()[0] == "clip-00000000ms.png"
    assert stored.names()[1] == "clip-00001000ms.png"
    for name, colour in zip(stored.names(), COLOURS, strict=True):
        pixels = np.asarray(Image.open(stored.picture(name))).astype(int)
        assert pixels.shape == (48, 64, 3), name
        assert np.abs(pixels[40, 50] - colour).max() < 25, name
        assert pixels[5, 5].min() > 220, "upright"
    assert any(" s of 4 s" in name for name in told)


def test_limits_and_distances_of_frames(store, tmp_path):
    clip = film(tmp_path / "clip.mp4", COLOURS)
    assert len(store.ingest([clip], owned=True, limits=Limits(frames=2))) == 2
    names = [a.name for a in store.ingest([clip], owned=True, limits=Limits(every=2.0)).accepted]
    assert names == ["clip-00000000ms.png", "clip-00002000ms.png"]
    assert "too large" in dict(store.ingest([clip], owned=True, limits=Limits(max_pixels=1000)).rejected)["clip.mp4"]
    assert "too small" in dict(store.ingest([clip], owned=True, limits=Limits(min_side=60)).rejected)["clip.mp4"]


def test_a_video_in_a_zip_and_damaged_ones(store, tmp_path):
    clip = film(tmp_path / "clip.mp4", COLOURS)
    with zipfile.ZipFile(tmp_path / "s.zip", "w") as z:
        z.write(clip, "films/clip.mp4")
        z.writestr("films/cut.mp4", clip.read_bytes()[:400])
        z.writestr("films/0.png", encoded(scene(0), "PNG"))
    report = store.ingest([tmp_path / "s.zip"], owned=True)
    assert report.videos == [("s.zip/films/clip.mp4", 4)]
    assert len(report) == 5
    assert [n for n, _ in report.rejected] == ["s.zip/films/cut.mp4"]
    assert not (report.staged / "incoming").exists()


def test_cancelling_in_the_middle_of_a_video(store, tmp_path):
    clip = film(tmp_path / "clip.mp4", COLOURS)
    seen = []
    with pytest.raises(CancelledError):
        store.ingest([clip], owned=True, progress=lambda d, t, n: seen.append(n), cancel=lambda: len(seen) > 12)
    assert 12 < len(seen) < 18
    assert hidden(store) == []


# -- the life of a set ---------------------------------------------------------------------------------------------


def test_a_set_never_changes(photos, store):
    old = store.add(store.ingest([photos], owned=True, title="Pets"))
    before = {p: p.read_bytes() for p in old.path.rglob("*") if p.is_file()}
    new = store.without(old.id, ["cats/near.jpg", "dogs/3.png"])
    assert new.id != old.id
    assert new.count == 5
    assert new.card["made_from"] == old.id
    assert new.card["removed"] == ["cats/near.jpg", "dogs/3.png"]
    assert new.card["near"] == []
    assert new.owned
    assert new.title == "Pets"
    assert new.classes == {"cats": 3, "dogs": 2}
    assert {p: p.read_bytes() for p in old.path.rglob("*") if p.is_file()} == before
    assert store.without(old.id, ["dogs/3.png", "cats/near.jpg"]).id == new.id
    assert not hidden(store)
    if sys.platform != "win32":
        assert all(not os.stat(old.picture(n)).st_mode & stat.S_IWUSR for n in old.names())
    for names in (["cats/none.png"], old.names()):
        with pytest.raises(StudioError):
            store.without(old.id, names)
    store.delete(old.id)
    assert store.changed(new.id) == [], "what was made from it keeps its pictures"
    assert [s.id for s in store.list()] == [new.id]


def test_a_picture_changed_by_hand_is_found_out(photos, store):
    stored = store.add(store.ingest([photos], owned=True))
    picture = stored.picture("cats/0.png")
    picture.chmod(0o644)
    picture.write_bytes(b"other")
    stored.picture("cats/1.png").unlink()
    assert store.changed(stored.id) == ["cats/0.png", "cats/1.png"]


def test_deleting_tells_what_depends_on_it(photos, store, studio_home):
    stored = store.add(store.ingest([photos], owned=True))
    assert store.dependants(stored.id) == []
    for folder, data in (
        ("models/pets", Data(hash=stored.id)),
        ("models/others", Data(hash="0" * 64)),
        ("runs/by-hash", Data(path="/elsewhere", hash=stored.id)),
        ("runs/by-path", Data(path=str(stored.path / "pictures"))),
        ("runs/side-b", Data(path="/elsewhere", hash="0" * 64, path_b="/else", hash_b=stored.id)),
        ("runs/side-b-by-path", Data(path="/elsewhere", path_b=str(stored.path))),
    ):
        (studio_home / folder).mkdir(parents=True)
        (studio_home / folder / "plan.toml").write_text(Plan(data=data).to_toml())
    (studio_home / "models" / "pets" / "config.json").write_text("{}")
    (studio_home / "runs" / "broken").mkdir()
    (studio_home / "runs" / "broken" / "plan.toml").write_bytes(b"\xff")
    assert store.dependants(stored.id, others=["A training waits for it."]) == [
        "The model 'pets' was trained on it; it still works, but cannot be trained again.",
        "The training 'by-hash' learns from it and could not go on.",
        "The training 'by-path' learns from it and could not go on.",
        "The training 'side-b' learns from it and could not go on.",
        "The training 'side-b-by-path' learns from it and could not go on.",
        "A training waits for it.",
    ]
    store.delete(stored.id)
    assert list(store.home.iterdir()) == []


def test_finding_sets(photos, store):
    a = store.add(store.ingest([photos], owned=True, title="Pets"))
    b = store.add(store.ingest([photos / "cats"], owned=True, title="Cats"))
    assert store.get(a.id) == store.get(a.id[:8]) == store.get("Pets") == a
    assert {s.id for s in store.list()} == {a.id, b.id}
    for wrong in ("", "nothing", "../", "."):
        with pytest.raises(StudioError):
            store.get(wrong)
    (b.path / "set.json").write_text("{")
    assert [s.id for s in store.list()] == [a.id], "a broken set does not hide the others"
    with pytest.raises(StudioError, match="cannot be read"):
        store.get(b.id)


def test_the_sheet_shows_what_training_sees(store, tmp_path, monkeypatch):
    (tmp_path / "p").mkdir()
    for i in range(5):
        scene(i, (900, 600)).save(tmp_path / "p" / f"{i}.png")
    stored = store.add(store.ingest([tmp_path / "p"], owned=True))
    assert len(list((stored.path / "previews").iterdir())) == 5
    for crop in ("centre", "fit"):
        truth = ImageSet.open(stored.path, 64, tmp_path / "cache", crop=crop, ground=(9, 9, 9)).array
        pages = [store.sheet(stored.id, page, 2, crop, 64, (9, 9, 9)) for page in range(4)]
        assert [len(p) for p in pages] == [2, 2, 1, 0]
        assert [n for p in pages for n, _ in p] == stored.names()
        shown = np.stack([t for p in pages for _, t in p])
        assert shown.dtype == np.uint8
        assert np.abs(shown.astype(int) - truth).mean() < 4
    for preview in (stored.path / "previews").iterdir():
        preview.write_bytes(b"torn")
    assert np.array_equal(store.sheet(stored.id, 0, 9, "fit", 64, (9, 9, 9))[0][1], truth[0]), "made from the picture itself then"


def test_nothing_usable(store, tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    report = store.ingest([tmp_path / "notes.txt"], owned=True)
    with pytest.raises(StudioError, match=r"no picture that can be used\. notes\.txt: not a picture"):
        store.add(report)
    report.discard()
    assert hidden(store) == []


def test_stored_files_are_named_by_what_they_hold(photos, store):
    report = store.ingest([photos], owned=True)
    stored = store.add(report)
    for a in report.accepted:
        assert hashlib.sha256(stored.picture(a.name).read_bytes()).hexdigest() == a.sha


# -- the command line ----------------------------------------------------------------------------------------------


def test_the_command_line(photos, store, tmp_path, capsys, monkeypatch):
    assert main(["dataset", "list"]) == 0
    assert "no image set yet" in capsys.readouterr().out
    assert main(["dataset", "add", str(photos), "--title", "Pets", "--mine", "--crop", "fit", "--ground", "#102030"]) == 0
    out, err = capsys.readouterr()
    stored = store.list()[0]
    assert "7 pictures added, in 2 classes." in out
    assert stored.id in out
    assert "left out: photos/notes.txt: not a picture or a video" in err
    assert main(["dataset", "list"]) == 0
    assert "Pets" in capsys.readouterr().out
    assert main(["dataset", "show", "Pets", "--sheet", str(tmp_path / "sheet.png")]) == 0
    out = capsys.readouterr().out
    assert "the work of whoever" in out
    assert "nearly the same: cats/1.png, cats/near.jpg" in out
    assert Image.open(tmp_path / "sheet.png").size == (1024, 128)
    monkeypatch.setattr("builtins.input", lambda text: "n")
    assert main(["dataset", "remove", stored.id[:6]]) == 2
    assert len(store.list()) == 1
    monkeypatch.setattr("builtins.input", lambda text: "y")
    assert main(["dataset", "remove", stored.id[:6]]) == 0
    assert store.list() == []
    for wrong in (["--crop", "round"], ["--ground", "red"], ["--every", "0"]):
        assert main(["dataset", "add", str(photos), *wrong]) == 2
        assert store.list() == []
        assert hidden(store) == []
    assert main(["dataset", "add", str(photos / "notes.txt")]) == 2
    assert hidden(store) == []
    assert "Nobody said whose" in (main(["dataset", "add", str(photos), "--flat"]), capsys.readouterr().out)[1]
    assert main(["dataset", "add", str(photos), "--flat", "--licence", "CC BY 4.0", "--attribution", "Anna", "--source", "a fair"]) == 0
    assert store.list()[0].consent == Consent("licensed", "a fair", "CC BY 4.0", "Anna")
    assert store.list()[0].owned
    assert main(["dataset", "add", str(photos), "--flat", "--not-mine"]) == 0
    assert store.list()[0].consent.answer == "none"
    assert main(["dataset", "add", str(photos), "--mine", "--not-mine"]) == 2
