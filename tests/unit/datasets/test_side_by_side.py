"""Pictures that hold a pair side by side are recognised, and split into two sets that pair."""

import numpy as np
import pytest
from PIL import Image

import studio
from studio.cli.main import main
from studio.datasets.rights import OWN, Consent
from studio.datasets.side_by_side import looks_side_by_side, split_side_by_side
from tests.unit.datasets.pictures import scene


@pytest.fixture
def facades(store, tmp_path):
    """Three pictures, blank on the left and different on the right."""
    for i in range(3):
        picture = Image.new("RGB", (80, 40), (9, 9, 9))
        picture.paste(scene(i, (40, 40)), (40, 0))
        path = tmp_path / "facades" / "train" / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path)
    return store.add(store.ingest([tmp_path / "facades"], owned=True, consent=Consent(OWN), title="Facades"))


def test_they_become_two_sets_of_the_same_names(facades, store):
    assert looks_side_by_side(facades)
    a, b = split_side_by_side(store, facades.id)
    assert (a.title, b.title, a.count, b.count) == ("Facades A", "Facades B", 3, 3)
    assert a.consent == b.consent == facades.consent
    assert not looks_side_by_side(a)
    assert store.get(facades.id).count == 3
    left, right = studio.dataset(a.path), studio.dataset(b.path)
    assert studio.pairs(left, right) == [(f"{i}.png", f"{i}.png") for i in range(3)]
    for i in range(3):
        assert (left[f"{i}.png"] == 9).all()
        assert np.array_equal(right[f"{i}.png"], np.asarray(scene(i, (40, 40))))


def test_split_on_the_command_line(facades, store, capsys):
    assert main(["dataset", "split", "Facades"]) == 0
    assert "Facades A" in capsys.readouterr().out
    assert {s.title for s in store.list()} == {"Facades", "Facades A", "Facades B"}


@pytest.mark.parametrize("sizes", [[(40, 40)] * 3, [(80, 40), (80, 40), (80, 50)], [(40, 80)] * 3])
def test_other_pictures_are_not_taken_for_pairs(sizes, store, tmp_path):
    for i, size in enumerate(sizes):
        scene(i, size).save(tmp_path / f"{i}.png")
    assert not looks_side_by_side(store.add(store.ingest(sorted(tmp_path.glob("*.png")), owned=True)))
