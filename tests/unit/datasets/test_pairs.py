import json
import sys
from pathlib import Path

import numpy as np
import pytest

import studio
from studio.cli.main import main
from studio.datasets.image_set import ImageSet
from studio.datasets.pairs import PairNames, find_pairs, pair_sets
from studio.errors import StudioError
from tests.unit.datasets.pictures import scene


def test_the_name_counts_and_the_ending_does_not():
    pairs = find_pairs(["a.jpg", "b.jpg", "c.jpg"], ["b.png", "c.png", "d.png"])
    assert pairs.rows == ((1, 0), (2, 1))
    assert pairs.strays_a == ("a.jpg",)
    assert pairs.strays_b == ("d.png",)


def test_folders_that_a_set_has_in_common_do_not_count():
    pairs = find_pairs(["photos/x/1.jpg", "photos/y/1.jpg"], ["maps\\y\\1.png", "maps\\x\\1.png"])
    assert pairs.rows == ((0, 1), (1, 0))
    assert pairs.strays_a == pairs.strays_b == ()
    # The folder counts where the sets agree in it.
    pairs = find_pairs(["x/1.jpg"], ["x/1.png", "y/1.png"])
    assert pairs.rows == ((0, 0),)
    assert pairs.strays_b == ("y/1.png",)


def test_nobody_has_two_partners():
    pairs = find_pairs(["1.jpg", "1.png"], ["1.gif", "1.webp"])
    assert pairs.rows == ((0, 0),)
    assert pairs.strays_a == ("1.png",)
    assert pairs.strays_b == ("1.webp",)


def test_none_at_all():
    for a, b in ((["a.png"], ["b.png"]), ([], ["b.png"])):
        with pytest.raises(StudioError, match="partner"):
            find_pairs(a, b)


@pytest.mark.parametrize(
    ("a", "b", "names"),
    [
        (["Cat.JPG", "dog.jpg"], ["cat.png", "DOG.png"], [("Cat.JPG", "cat.png"), ("dog.jpg", "DOG.png")]),
        (["1_A.png", "2_A.png"], ["2_B.png", "1_B.png"], [("1_A.png", "1_B.png"), ("2_A.png", "2_B.png")]),
        (["7_input.png"], ["7_target.png"], [("7_input.png", "7_target.png")]),
        (["tree.jpg", "bush.jpg"], ["bush-mask.png", "tree-mask.png"], [("tree.jpg", "tree-mask.png"), ("bush.jpg", "bush-mask.png")]),
        (["real_01.png", "real_02.png"], ["fake_02.png", "fake_01.png"], [("real_01.png", "fake_01.png"), ("real_02.png", "fake_02.png")]),
        (["5_real_A.png"], ["5_fake_B.png"], [("5_real_A.png", "5_fake_B.png")]),
        (
            ["train/A/1.png", "test/A/1.png"],
            ["train/B/1.png", "test/B/1.png"],
            [("train/A/1.png", "train/B/1.png"), ("test/A/1.png", "test/B/1.png")],
        ),
        (["Photo 3 (input).png"], ["photo 3 (output).png"], [("Photo 3 (input).png", "photo 3 (output).png")]),
        (["cafe\u0301.png"], ["caf\u00e9.png"], [("cafe\u0301.png", "caf\u00e9.png")]),
        (["frame.001", "frame.002"], ["frame.002.png", "frame.001.png"], [("frame.001", "frame.001.png"), ("frame.002", "frame.002.png")]),
    ],
)
def test_names_match_without_case_and_with_the_usual_endings(a, b, names):
    assert list(find_pairs(a, b).names)[: len(names)] == names
    assert find_pairs(a, b).strays_a == ()


@pytest.mark.parametrize(
    ("a", "b", "names"),
    [
        # A name of one's own comes before an ending of the side.
        (["x_a.png", "x_b.png"], ["x_a.png", "x_b.png"], [("x_a.png", "x_a.png"), ("x_b.png", "x_b.png")]),
        # Where two could be meant, none is taken.
        (["x_a.png", "x_b.png", "y.png"], ["x.png", "y.png"], [("y.png", "y.png")]),
        (["Cat.png", "cat.png", "y.png"], ["CAT.png", "y.png"], [("y.png", "y.png")]),
        (["1.png", "1.png", "y.png"], ["1.png", "y.png"], [("y.png", "y.png")]),
        # Not of the ending but of the name.
        (["a.png", "y.png"], ["b.png", "y.png"], [("y.png", "y.png")]),
        (["data.png", "y.png"], ["dat.png", "y.png"], [("y.png", "y.png")]),
    ],
)
def test_a_pair_that_may_be_wrong_is_none(a, b, names):
    assert list(find_pairs(a, b).names) == names


def test_by_order_as_people_count():
    pairs = find_pairs(["p10.png", "p2.png", "p1.png"], ["x.png", "z.png", "y.png"], "order")
    assert pairs.names == (("p10.png", "z.png"), ("p2.png", "y.png"), ("p1.png", "x.png"))
    assert pairs.strays_a == pairs.strays_b == ()
    with pytest.raises(StudioError, match="2 and 1"):
        find_pairs(["1.png", "2.png"], ["1.png"], "order")


def picture(folder: Path, name: str, number: int) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    scene(number, (40, 40)).save(path)


@pytest.mark.parametrize("stored", [True, False])
def test_ten_pairs_stay_ten_when_some_pictures_are_equal(store, tmp_path, stored):
    for i in range(10):
        picture(tmp_path / "masks", f"{i}.png", 0 if i < 4 else i)  # four blank masks, say
        picture(tmp_path / "photos", f"{i}.png", 100 + i)
    sides = [tmp_path / "masks", tmp_path / "photos"]
    if stored:
        sets = [store.add(store.ingest([side], owned=True, title=side.name)) for side in sides]
        assert [s.count for s in sets] == [7, 10]
        sides = [s.path for s in sets]
    a, b = (studio.dataset(side) for side in sides)
    assert studio.pairs(a, b) == studio.pairs(*sides) == [(f"{i}.png", f"{i}.png") for i in range(10)] or stored
    assert sorted(studio.pairs(a, b)) == [(f"{i}.png", f"{i}.png") for i in range(10)]
    for name_a, name_b in studio.pairs(a, b):
        i = int(name_a[0])
        assert np.array_equal(a[name_a], np.asarray(scene(0 if i < 4 else i, (40, 40))))
        assert np.array_equal(b[name_b], np.asarray(scene(100 + i, (40, 40))))
    opened = [ImageSet.open(side, 40, tmp_path / "cache") for side in sides]
    found = pair_sets(*(PairNames.of(o.names, o.origins) for o in opened))
    assert len(found.rows) == 10, "and so training has them"
    assert all(np.array_equal(opened[0].array[i], a[x]) for (i, _), (x, _) in zip(found.rows, found.names, strict=True))


def test_equal_pictures_can_be_kept_as_files_of_their_own(store, tmp_path):
    for i in range(4):
        picture(tmp_path / "masks", f"{i}.png", 0)
    report = store.ingest([tmp_path / "masks"], owned=True, keep_equal=True)
    assert [a.name for a in report.accepted] == ["0.png", "1.png", "2.png", "3.png"]
    assert report.duplicates == []
    assert store.changed(store.add(report).id) == []


def test_long_and_odd_names_are_paired_by_what_they_were(store, tmp_path):
    """Names are cut at 80 characters and numbered in the order of each set, which differs here."""
    long = "the same beginning of a long name, which many programs make of a whole sentence, up to here"
    a = [f"{long} {word}.png" for word in ("beta", "gamma")]
    b = [f"{long} {word}.png" for word in ("alpha", "beta", "gamma")]
    odd = ["a_.png", "a-2.png", "b{1}.png"] if sys.platform == "win32" else ["a?.png", "a*.png", "a_.png", "b{1}.png"]
    for side, names in (("A", [*a, *odd]), ("B", [*b, *reversed(odd)])):
        for name in names:
            picture(tmp_path / side, name, sum(map(ord, name)) + (side == "B"))
    sets = [store.add(store.ingest([tmp_path / side], owned=True, title=side)) for side in "AB"]
    assert max(len(name) for name in sets[0].names()) < 90
    expected = [(name, name) for name in sorted([*a, *odd])]
    assert sorted(studio.pairs("A", "B")) == expected
    seen = studio.dataset("A"), studio.dataset("B")
    assert sorted(seen[0].names) == [name for name, _ in expected]
    for name, _ in expected:
        assert np.array_equal(seen[0][name], np.asarray(scene(sum(map(ord, name)), (40, 40))))
        assert np.array_equal(seen[1][seen[1].names.index(name)], np.asarray(scene(sum(map(ord, name)) + 1, (40, 40))))


def test_names_that_an_earlier_studio_cut_are_never_guessed(store, tmp_path):
    cut = "n" * 80
    for side in "AB":
        for name in (f"{cut}.png", f"{cut}-2.png", "fine.png"):
            picture(tmp_path / side, name, ord(side) + len(name))
    for side in "AB":
        stored = store.add(store.ingest([tmp_path / side], owned=True, title=side))
        card = json.loads((stored.path / "set.json").read_text())
        del card["origins"]
        (stored.path / "set.json").write_text(json.dumps(card))
    assert studio.pairs("A", "B") == [("fine.png", "fine.png")]
    found = pair_sets(*(store.get(side).pair_names() for side in "AB"))
    assert len(found.strays_a) == len(found.strays_b) == 2, "and they are named"


def test_duplicates_that_an_earlier_studio_left_out_come_back_as_pairs(store, tmp_path):
    for i in range(3):
        picture(tmp_path / "A", f"sub/{i}.png", 0)
        picture(tmp_path / "B", f"sub/{i}.png", i + 1)
    for side in "AB":
        stored = store.add(store.ingest([tmp_path / side], owned=True, title=side))
        card = json.loads((stored.path / "set.json").read_text())
        del card["origins"]
        (stored.path / "set.json").write_text(json.dumps(card))
    assert len(studio.pairs("A", "B")) == 3


def test_pairs_on_the_command_line(tmp_path, capsys):
    picture(tmp_path / "A", "1_A.png", 1)
    picture(tmp_path / "A", "lone.png", 2)
    picture(tmp_path / "B", "1_B.png", 3)
    assert main(["dataset", "pairs", str(tmp_path / "A"), str(tmp_path / "B")]) == 0
    out = capsys.readouterr()
    assert out.out == "1_A.png\t1_B.png\n"
    assert "without a partner in A: lone.png" in out.err
    assert main(["dataset", "pairs", str(tmp_path / "A"), str(tmp_path / "B"), "--by", "order"]) == 2
