"""`studio.dataset` and `studio dataset show`: what training sees; the same files by every door."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import studio
from studio.cli.main import main
from studio.datasets.image_set import ImageSet
from studio.errors import StudioError
from studio.training.data.images import ImageData
from studio.training.plan import Data, Plan
from tests.unit.datasets.pictures import encoded, scene


@pytest.fixture
def pets(tmp_path) -> Path:
    for i, name in enumerate(("cats/1.png", "cats/2.png", "dogs/1.png")):
        path = tmp_path / "pets" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        scene(i, (40, 60)).save(path)
    return tmp_path / "pets"


def test_a_folder_a_zip_and_a_stored_set_alike(pets, store, tmp_path):
    with zipfile.ZipFile(tmp_path / "pets.zip", "w") as z:
        for file in pets.rglob("*.png"):
            z.write(file, file.relative_to(pets))
    stored = store.add(store.ingest([pets], owned=True, title="Pets"), crop="fit")
    for source in (pets, str(pets), tmp_path / "pets.zip", "Pets", stored.id[:8], stored.path):
        seen = studio.dataset(source)
        assert len(seen) == 3
        assert seen.names == ["cats/1.png", "cats/2.png", "dogs/1.png"]
        assert seen.classes == ["cats", "dogs"]
        assert seen.labels == [0, 0, 1]
        for i, picture in enumerate(seen):
            assert picture.dtype == np.uint8
            assert np.array_equal(picture, np.asarray(scene(i, (40, 60))))
        assert np.array_equal(seen[-1], seen["dogs/1.png"])
        with pytest.raises(IndexError):
            seen[3]
        with pytest.raises(StudioError, match="no picture 'x'"):
            seen["x"]
    squares = studio.dataset("Pets", 16)
    expected = ImageSet.open(stored.path, 16, tmp_path / "cache", crop="fit").array
    assert np.array_equal(np.stack(list(squares)), expected)
    for wrong in ("Nobody", tmp_path / "nowhere"):
        with pytest.raises(StudioError):
            studio.dataset(wrong)
    with pytest.raises(StudioError, match="resolution"):
        studio.dataset("Pets", 0)


def test_show_prints_the_same(pets, store, capsys):
    store.add(store.ingest([pets], owned=True, title="Pets"))
    for source in ("Pets", str(pets)):
        assert main(["dataset", "show", source]) == 0
        out = capsys.readouterr().out
        assert "3 pictures" in out
        assert "  cats: 2\n  dogs: 1\n" in out
        assert out.endswith("cats/1.png\tcats\ncats/2.png\tcats\ndogs/1.png\tdogs\n")
        assert main(["dataset", "show", source, "--brief"]) == 0
        assert "cats/1.png" not in capsys.readouterr().out


def test_a_plan_takes_the_files_that_are_taken_in(store, tmp_path):
    """Whatever their endings say; the same from a folder, a zip, and through the store."""
    files = {
        "a.jfif": encoded(scene(1), "JPEG"),
        "b.avif": encoded(scene(2), "AVIF"),
        "c": encoded(scene(3), "PNG"),
        "d.txt": encoded(scene(4), "WEBP"),
        "e.jpe": encoded(scene(5), "JPEG"),
        "f.png": b"\x89PNG broken",
        "g.png": b"text",
        "LICENSE": b"free",
        ".hidden.png": encoded(scene(6), "PNG"),
        "Thumbs.db": encoded(scene(7), "PNG"),
        "photo.dng": encoded(scene(8), "TIFF"),
        "clip.mp4": b"\x00\x00\x00\x18ftypisom" + bytes(100),
    }
    (tmp_path / "p").mkdir()
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as z:
        for name, data in files.items():
            (tmp_path / "p" / name).write_bytes(data)
            z.writestr(name, data)
    report = store.ingest([tmp_path / "p"], owned=True)
    taken = sorted(Path(a.source).name for a in report.accepted)
    assert taken == ["a.jfif", "b.avif", "c", "d.txt", "e.jpe"]
    for source in (tmp_path / "p", tmp_path / "p.zip"):
        found = ImageSet.open(source, 16, tmp_path / "cache")
        assert sorted(found.names) == taken
        said = dict(found.skipped)
        assert set(said) == {"f.png", "g.png", "photo.dng", "clip.mp4"}
        assert "takes its frames" in said["clip.mp4"]
        assert "raw" in said["photo.dng"]


def test_only_pictures_with_a_class_teach_classes(tmp_path):
    with zipfile.ZipFile(tmp_path / "s.zip", "w") as z:
        for i in range(6):
            z.writestr(f"{i}.png", encoded(Image.new("RGB", (8, 8), (i, i, i)), "PNG"))
        z.writestr("dataset.json", '{"labels": [["0.png", 1], ["2.png", 0], ["3.png", 1]]}')
    images = ImageSet.open(tmp_path / "s.zip", 8, tmp_path / "cache")

    class Config:
        img_channels, c_dim = 3, 2

    plan = Plan(data=Data(resolution=8, conditional=True))
    data = ImageData(plan, Config, images, torch.device("cpu"))
    assert len(data) == 3
    batch = data.batch(0, 0, 0, 30)
    shown = ((batch.images[:, 0, 0, 0] + 1) * 127.5).round().int().tolist()
    assert {(n, c) for n, c in zip(shown, batch.c.argmax(dim=1).tolist(), strict=True)} == {(0, 1), (2, 0), (3, 1)}
    assert (batch.c.sum(dim=1) == 1).all()
    assert {int(p[0, 0, 0]) for p in data.reals(20)} == {0, 2, 3}

    class Plain(Config):
        c_dim = 0

    assert len(ImageData(Plan(data=Data(resolution=8)), Plain, images, torch.device("cpu"))) == 6


def test_a_name_that_is_a_set_comes_before_a_folder(pets, store, tmp_path, monkeypatch):
    store.add(store.ingest([pets / "cats"], owned=True, title="pets"))
    monkeypatch.chdir(tmp_path)
    assert len(studio.dataset("pets")) == 2
    assert len(studio.dataset("./pets/")) == 3, "a path is written as one"
    assert len(studio.dataset(Path("pets"))) == 3
    file = io.BytesIO()
    scene(1).save(file, "PNG")
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "1.png").write_bytes(file.getvalue())
    assert studio.dataset("one").labels == [None]
