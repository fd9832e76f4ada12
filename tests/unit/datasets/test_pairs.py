import pytest

from studio.datasets.pairs import find_pairs
from studio.errors import StudioError


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
