"""Ingestion: what is kept and reported, cancelling, faults, memory."""

import subprocess
import sys
import threading
import tracemalloc
import zipfile
from concurrent.futures import CancelledError

import numpy as np
import pytest
from PIL import Image

import studio.datasets.ingest as ingestion
from studio.datasets.image_set import ImageSet
from studio.errors import StudioError
from tests.unit.datasets.pictures import encoded, hidden, scene


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


def test_the_location_is_removed_and_reported(store, tmp_path):
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


def test_several_folders_are_classes_unless_asked_otherwise(store, photos, tmp_path):
    with zipfile.ZipFile(tmp_path / "birds.zip", "w") as z:
        z.writestr("1.png", encoded(scene(9), "PNG"))
    scene(10).save(tmp_path / "loose.png")
    sources = [photos / "dogs", tmp_path / "birds.zip", tmp_path / "loose.png"]
    report = store.ingest(sources, owned=True)
    assert report.classes == {"birds": 1, "dogs": 4, "other": 1}
    assert store.ingest(sources, owned=True, classes=False).classes == {}


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


def test_classes_whose_long_names_begin_alike_stay_two(store, tmp_path):
    long = "x" * 90
    with zipfile.ZipFile(tmp_path / "s.zip", "w") as z:
        for i, folder in enumerate((f"{long} cats", f"{long} dogs", "a?", "a*")):
            z.writestr(f"{folder}/1.png", encoded(scene(i), "PNG"))
    assert len(store.ingest([tmp_path / "s.zip"], owned=True).classes) == 4
