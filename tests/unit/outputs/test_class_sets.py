"""Sets of pictures by class, in a zip."""

import csv
import io
import json
import os
import zipfile
from concurrent.futures import CancelledError

import numpy as np
import pytest
from PIL import Image

from studio.engine.engine import Engine
from studio.engine.recipe import Recipe
from studio.errors import NoRoom, StudioError
from studio.models.library import Library
from studio.outputs.class_sets import export_set, fill_up
from studio.provenance.metadata import read_recipe
from tests.conftest import save_tiny

NAMES = "tiny-classes"


@pytest.fixture
def out(tmp_path):
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def test_folders_manifest_and_recipes(engine, out):
    told = []
    path = export_set(engine, NAMES, {0: 2, 2: 3}, out / "set.zip", psi=0.8, seed=40, progress=lambda *a: told.append(a))
    assert told == [(i + 1, 5) for i in range(5)]
    assert os.listdir(out) == ["set.zip"]
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        rows = list(csv.DictReader(io.TextIOWrapper(archive.open("manifest.csv"), "utf-8")))
        table = json.loads(archive.read("manifest.json"))
        assert b"made by AI" in archive.read("README.txt")
        assert table["ai_generated"] is True
        files = [n for n in archive.namelist() if n.endswith(".png")]
        assert files == [r["file"] for r in rows] == [p["file"] for p in table["pictures"]]
        assert [f.split("/")[0] for f in files] == ["kind 0"] * 2 + ["kind 2"] * 3
        assert [r["class"] for r in rows] == [p["class"] for p in table["pictures"]] == ["kind 0"] * 2 + ["kind 2"] * 3
        assert [int(r["seed"]) for r in rows] == [40, 41, 42, 43, 44], "each picture has a seed of its own"
        for row, entry in zip(rows, table["pictures"], strict=True):
            recipe = Recipe.from_json(row["recipe"])
            data = archive.read(row["file"])
            assert recipe == Recipe.from_dict(entry["recipe"]) == read_recipe(data)
            assert recipe.model_hash
            assert recipe.psi == 0.8
            assert recipe.seed == int(row["seed"])
            assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))), engine.render(recipe))


def test_the_same_seeds_in_each_class_and_the_same_bytes_again(engine, out):
    paths = [export_set(engine, NAMES, 2, out / f"{i}.zip", seed=2**32 - 1, same_seeds=True) for i in range(2)]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    with zipfile.ZipFile(paths[0]) as archive:
        seeds = [p["seed"] for p in json.loads(archive.read("manifest.json"))["pictures"]]
    assert seeds == [2**32 - 1, 0] * 3, "after the last seed comes the first"


def test_odd_names_of_classes_stay_inside_and_apart(tmp_path, out):
    names = ["../x", "a/b", "a_b", "A_B", "con", "", "manifest.csv", "README.txt", "=1+1", "ü\u202e"]
    info = save_tiny(tmp_path / "odd", "odd", c_dim=len(names))
    raw = json.loads((info.path / "config.json").read_text())
    (info.path / "config.json").write_text(json.dumps({**raw, "classes": names}))
    with (
        Engine(Library([tmp_path / "odd"]), device="cpu") as engine,
        zipfile.ZipFile(export_set(engine, "odd", 1, out / "set.zip")) as archive,
    ):
        files = archive.namelist()
        assert [p["class"] for p in json.loads(archive.read("manifest.json"))["pictures"]] == names
        archive.extractall(out / "all")
    folders = [f.split("/")[0].casefold() for f in files if f.endswith(".png")]
    assert len(set(folders)) == len(names)
    assert not {"manifest.csv", "readme.txt", "con", "", ".."} & set(folders)
    assert all(f.count("/") <= 1 and "\\" not in f and f.isprintable() for f in files)
    assert len(list((out / "all").rglob("*.png"))) == len(names)


def test_cancelling_leaves_nothing(engine, out):
    asked = []
    with pytest.raises(CancelledError):
        export_set(engine, NAMES, 3, out / "set.zip", cancel=lambda: asked.append(1) or len(asked) > 4)
    assert len(asked) == 5
    assert os.listdir(out) == []


def test_a_full_disk_is_told_and_an_older_file_stays(engine, out, monkeypatch):
    (out / "set.zip").write_bytes(b"older")
    real, count = zipfile.ZipFile.writestr, []

    def full(self, *args, **kwargs):
        count.append(1)
        if len(count) > 2:
            raise OSError(28, "No space left on device")
        return real(self, *args, **kwargs)

    monkeypatch.setattr(zipfile.ZipFile, "writestr", full)
    with pytest.raises(StudioError, match=r"could not be saved.*No space"):
        export_set(engine, NAMES, 2, out / "set.zip")
    assert os.listdir(out) == ["set.zip"]
    assert (out / "set.zip").read_bytes() == b"older"
    monkeypatch.setenv("STUDIO_KEEP_FREE_MB", "1e12")
    with pytest.raises(NoRoom):
        export_set(engine, NAMES, 2, out / "other.zip")
    assert os.listdir(out) == ["set.zip"]


@pytest.mark.parametrize("wanted", [0, -1, 1.5, True, "2", {3: 1}, {-1: 1}, {}, {0: 0}, 10**9])
def test_numbers_that_cannot_be_used_are_told(engine, out, wanted):
    with pytest.raises(StudioError):
        export_set(engine, NAMES, wanted, out / "set.zip")
    assert os.listdir(out) == []


def test_a_model_without_classes_is_told(engine, out):
    with pytest.raises(StudioError, match="no classes"):
        export_set(engine, "tiny", 2, out / "set.zip")


def test_filling_up_to_the_largest_class():
    filling = fill_up({"Cats": 10, "dogs": 4, "BIRDS": 7, "newts": 12}, ["birds", "cats", "fish", "Dogs"])
    assert filling.make == {1: 2, 3: 8, 0: 5}
    assert filling.unmatched == ("newts",)
    assert fill_up({"a": 3, "b": 3}, ["a", "b"]).make == {}
    assert fill_up({}, ["a"]).make == {}
