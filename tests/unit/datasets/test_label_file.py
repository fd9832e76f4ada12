"""Labels of dataset.json, as NVIDIA's tools write it and as people leave it, by every door."""

import json
import zipfile

import numpy as np
import pytest

import studio
from studio.datasets.image_set import ImageSet
from studio.datasets.label_file import read_label_files, to_labels
from studio.datasets.labels import pictures_per_class
from tests.unit.datasets.pictures import encoded, scene

NAMES = [f"0000{i // 3}/img{i:08d}.png" for i in range(6)]


def packed(path, label_file: str | None, names=NAMES):
    """A zip as dataset_tool.py writes it: pictures in packing folders, and the label file."""
    with zipfile.ZipFile(path, "w") as z:
        for i, name in enumerate(names):
            z.writestr(name, encoded(scene(i, (40, 40)), "PNG"))
        if label_file is not None:
            z.writestr("dataset.json", label_file)
    return path


def lines(*labels, end="", slash="/") -> str:
    rows = ", ".join(f"[{json.dumps(name.replace('/', slash))}, {label}]" for name, label in zip(NAMES, labels, strict=False))
    return f'{{"labels": [{rows}{end}]}}'


CASES = {
    "numbers": (lines(2, 0, 1, 1, 0, 2), ["0", "1", "2"], [2, 0, 1, 1, 0, 2]),
    "a class without pictures keeps its number": (lines(3, 0, 3, 0, 0, 0), ["0", "1", "2", "3"], [3, 0, 3, 0, 0, 0]),
    "backslashes": (lines(0, 1, 0, 1, 0, 1, slash="\\"), ["0", "1"], [0, 1, 0, 1, 0, 1]),
    "single backslashes": (lines(0, 1, 0, 1, 0, 1, slash="\\").replace("\\\\", "\\"), ["0", "1"], [0, 1, 0, 1, 0, 1]),
    "a trailing comma": (lines(0, 1, 0, 1, 0, 1, end=","), ["0", "1"], [0, 1, 0, 1, 0, 1]),
    "a byte order mark": ("\ufeff" + lines(0, 1, 0, 1, 0, 1), ["0", "1"], [0, 1, 0, 1, 0, 1]),
    "null of one": (lines(0, "null", 1, 1, 0, 0), ["0", "1"], [0, None, 1, 1, 0, 0]),
    "some are missing": (lines(0, 1), ["0", "1"], [0, 1, None, None, None, None]),
    "vectors of one class": (lines("[1, 0]", "[0.0, 1.0]", "[0, 1]", "[1, 0]", "[1, 0]", "[1, 0]"), ["0", "1"], [0, 1, 1, 0, 0, 0]),
    "several classes at once": (lines("[1, 1]", "[0, 1]", "[1, 0]", 1, 0, 0), ["0", "1"], [None, 1, 0, 1, 0, 0]),
    "names": (lines('"cat"', '"ant"', '"cat"', '"ant"', '"ant"', '"cat"'), ["ant", "cat"], [1, 0, 1, 0, 0, 1]),
    "a table": (json.dumps({"labels": dict(zip(NAMES, [0, 1, 0, 1, 0, 1], strict=True))}), ["0", "1"], [0, 1, 0, 1, 0, 1]),
    "null": ('{"labels": null}', [], [None] * 6),
    "no file": (None, [], [None] * 6),
    "damaged": ('{"labels": [', [], [None] * 6),
    "of something else": ('{"info": {"year": 2017}, "images": [], "00000": 3}', [], [None] * 6),
}


@pytest.mark.parametrize("case", CASES)
def test_labels_by_every_door(case, store, tmp_path):
    text, classes, labels = CASES[case]
    path = packed(tmp_path / "faces.zip", text)
    stored = store.add(store.ingest([path], owned=True, title="Faces"))
    with zipfile.ZipFile(path) as z:
        z.extractall(tmp_path / "folder")
    for source in (path, tmp_path / "folder", "Faces", stored.path):
        seen = studio.dataset(source)
        assert (seen.names, seen.classes, seen.labels) == (NAMES, classes, labels), source
    trained = [ImageSet.open(p, 8, tmp_path / "cache") for p in (path, tmp_path / "folder", stored.path)]
    assert len({t.hash for t in trained}) == 1
    assert trained[0].hash == stored.id
    for t in trained:
        assert t.classes == tuple(classes)
        assert t.labels is None if not classes else t.labels.tolist() == [-1 if i is None else i for i in labels]
    assert stored.classes == {name: labels.count(i) for i, name in enumerate(classes)}


def test_what_cannot_be_used_of_a_label_file_is_said(store, tmp_path):
    text = lines("[1, 1]", 0, 1, 1, 0, 0)[:-2] + ', ["gone.png", 1], ["00000/img00000001.png", 1]]}'
    report = store.ingest([packed(tmp_path / "s.zip", text)], owned=True)
    said = "\n".join(report.lines())
    assert "2 pictures have several labels at once" in said
    assert "1 picture has a label but is not there" in said
    assert "The labels of dataset.json are the classes; 2 pictures without one." in said
    assert report.rejected == []
    broken = store.ingest([packed(tmp_path / "b.zip", "[[")], owned=True)
    assert "its labels cannot be read" in "\n".join(broken.lines())
    skipped = dict(ImageSet.open(tmp_path / "b.zip", 8, tmp_path / "cache").skipped)
    assert "its labels cannot be read" in skipped["dataset.json"]


def test_the_same_pictures_with_other_labels_are_another_set(store, tmp_path):
    sets = [store.add(store.ingest([packed(tmp_path / f"{i}.zip", t)], owned=True)) for i, t in enumerate((None, lines(0, 1), lines(1, 0)))]
    assert len({s.id for s in sets}) == 3
    fewer = store.without(sets[1].id, [NAMES[5]])
    assert studio.dataset(fewer.path).labels == [0, 1, None, None, None]
    assert store.add(store.ingest([packed(tmp_path / "0.zip", lines(0, 1))], owned=True, classes=False)).classes == {}


@pytest.mark.parametrize(
    ("names", "classes"),
    [
        (["00000/1.png", "00001/2.png"], {}),
        (["00000/1.png", "01000/1000.png", "69000/69001.png"], {}),
        (["top/00000/1.png", "top/00001/2.png", "3.png"], {"other": 1, "top": 2}),
        (["00000/1.png", "2.png"], {}),
        (["cats/00000/1.png", "dogs/00000/2.png", "dogs/00001/3.png"], {"cats": 1, "dogs": 2}),
        (["1998/1.png", "1999/2.png"], {"1998": 1, "1999": 1}),
    ],
)
def test_folders_that_only_pack_pictures_are_no_classes(names, classes, store, tmp_path):
    path = packed(tmp_path / "s.zip", None, names)
    assert store.ingest([path], owned=True).classes == classes
    seen = ImageSet.open(path, 8, tmp_path / "cache")
    counts = np.bincount(seen.labels).tolist() if seen.labels is not None else []
    assert sorted(zip(seen.classes, counts, strict=True)) == sorted(classes.items())
    assert pictures_per_class(sorted(names)) == classes or "3.png" in names


def test_labels_count_from_the_folder_of_their_file():
    data = b'{"labels": [["a.png", 1], ["./b.png", 0]]}'
    found = read_label_files([("deep/down/dataset.json", lambda: data)], ["deep/down/a.png", "deep/down/b.png", "a.png"])
    assert found.of == {"deep/down/a.png": 1, "deep/down/b.png": 0}
    assert found.remarks == []
    huge = to_labels({"a": 99_999_999, "b": 3})
    assert huge.classes == ("3", "99999999"), "numbers too large to be indices are names"
