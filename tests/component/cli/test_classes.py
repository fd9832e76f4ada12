"""`studio classes`."""

import json
import zipfile

import numpy as np
import pytest
from PIL import Image

from studio.cli.main import main
from studio.datasets.store import DataSetStore
from tests.conftest import save_tiny


@pytest.fixture
def home(studio_home, tmp_path, monkeypatch):
    """A home with a model without classes and one with three; the working directory is empty."""
    save_tiny(studio_home / "models", "anna")
    save_tiny(studio_home / "models", "clara", seed=2, c_dim=3)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return studio_home


def made(path) -> list[tuple[str, int]]:
    with zipfile.ZipFile(path) as archive:
        return [(p["class"], p["seed"]) for p in json.loads(archive.read("manifest.json"))["pictures"]]


def run(*words) -> int:
    return main(["classes", *words, "--device", "cpu"])


def test_a_set_of_all_or_of_some_classes(home, capsys):
    assert run("--per-class", "2", "-o", "all.zip") == 0
    assert capsys.readouterr().out.strip() == "all.zip"
    assert made("all.zip") == [("kind 0", 0), ("kind 0", 1), ("kind 1", 2), ("kind 1", 3), ("kind 2", 4), ("kind 2", 5)]
    assert run("--model", "clara", "--class", "KIND 2", "--class", "0", "--per-class", "1", "--seed", "7", "--same-seeds") == 0
    assert made("set.zip") == [("kind 0", 7), ("kind 2", 7)]


def test_filling_up_an_image_set(home, tmp_path, capsys):
    rng = np.random.default_rng(0)
    for kind, count in (("kind 0", 3), ("kind 1", 1), ("newts", 1)):
        (tmp_path / "mine" / kind).mkdir(parents=True)
        for i in range(count):
            Image.fromarray(rng.integers(0, 255, (40, 40, 3), np.uint8)).save(tmp_path / "mine" / kind / f"{i}.png")
    store = DataSetStore()
    store.add(store.ingest([tmp_path / "mine"], owned=True, title="Mine"))
    assert run("--fill-up", "Mine") == 0
    assert made("set.zip") == [("kind 1", 0), ("kind 1", 1)]
    assert "does not draw: newts" in capsys.readouterr().err
    assert run("--fill-up", "Mine", "--class", "kind 0", "-o", "none.zip") == 2


@pytest.mark.parametrize(
    "words", [("--model", "anna"), ("--model", "nobody"), ("--class", "newts"), ("--per-class", "0"), ("--psi", "9"), ("--seed", "-1")]
)
def test_what_cannot_be_done_is_told(home, capsys, words):
    assert run(*words) == 2
    assert capsys.readouterr().err.startswith("studio: ")
