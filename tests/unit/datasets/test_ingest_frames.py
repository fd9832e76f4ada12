"""Animations and files of several pages in a training set: each picture, or the first."""

import json

import numpy as np
import pytest
from PIL import Image

from studio.datasets.sources import Limits
from studio.imaging.xmp import PNG_XMP_KEY
from tests.unit.datasets.pictures import scene


def several(path, count=4, **options):
    pictures = [scene(i) for i in range(count)]
    lossless = {"lossless": True} if path.suffix == ".webp" else {}
    pictures[0].save(path, save_all=True, append_images=pictures[1:], **lossless, **options)
    return pictures


def stored_pixels(stored) -> list[np.ndarray]:
    return [np.asarray(Image.open(stored.picture(name)).convert("RGB")) for name in stored.names()]


@pytest.mark.parametrize("kind", ["png", "webp", "tif"])
def test_each_frame_and_page_becomes_a_picture(store, tmp_path, kind):
    pictures = several(tmp_path / f"a.{kind}")
    report = store.ingest([tmp_path / f"a.{kind}"], owned=True)
    noun = "page" if kind == "tif" else "frame"
    assert report.several == [(f"a.{kind}", f"4 {noun}s")]
    assert f"4 {noun}s of a.{kind}." in report.lines()
    stored = store.add(report)
    assert stored.names() == [f"a-{i}.png" for i in ("0001", "0002", "0003", "0004")]
    assert stored.card["changed"]["a-0003.png"] == f"a.{kind}, {noun} 3: {noun} 3 of 4"
    for made, due in zip(stored_pixels(stored), pictures, strict=True):
        assert np.array_equal(made, np.asarray(due))


@pytest.mark.parametrize("kind", ["gif", "avif"])
def test_frames_that_lost_colours_are_near(store, tmp_path, kind):
    pictures = several(tmp_path / f"a.{kind}")
    stored = store.add(store.ingest([tmp_path / f"a.{kind}"], owned=True))
    for made, due in zip(stored_pixels(stored), pictures, strict=True):
        assert np.abs(made.astype(int) - np.asarray(due)).mean() < 12


@pytest.mark.parametrize(("kind", "name"), [("gif", "a.png"), ("tif", "a.png"), ("webp", "a.webp"), ("png", "a.png")])
def test_only_the_first_where_that_is_chosen(store, tmp_path, kind, name):
    several(tmp_path / f"a.{kind}")
    report = store.ingest([tmp_path / f"a.{kind}"], owned=True, every_frame=False)
    assert report.several == []
    assert [(a.name, a.note.split(", ")[-1]) for a in report.accepted] == [(name, "the first of 4 pictures")]


def test_equal_frames_are_duplicates_and_similar_ones_are_near(store, tmp_path):
    again = scene(0)
    near = Image.fromarray(np.asarray(again) ^ 1)
    scene(0).save(tmp_path / "a.png", save_all=True, append_images=[scene(1), again, near])
    report = store.ingest([tmp_path / "a.png"], owned=True)
    assert report.duplicates == [("a.png, frame 3", "a-0001.png")]
    assert report.near == [("a-0001.png", "a-0004.png")]
    assert report.origins.equal == (("a-0003.png", "a-0001.png"),), "its partner in a set of pairs is a-0003 too"
    assert len(store.ingest([tmp_path / "a.png"], owned=True, keep_equal=True)) == 4


def test_of_a_long_one_as_many_as_are_wanted_spread_evenly(store, tmp_path):
    several(tmp_path / "a.webp", 10)
    report = store.ingest([tmp_path / "a.webp"], owned=True, limits=Limits(frames=4))
    assert [a.name for a in report.accepted] == ["a-0001.png", "a-0003.png", "a-0006.png", "a-0008.png"]
    assert "4 of 10 frames of a.webp." in report.lines()


def test_rights_stay_and_labels_hold_for_each(store, tmp_path):
    exif = Image.Exif()
    exif[0x013B] = "Ada"
    exif.get_ifd(0x8825).update({1: "N", 2: (52.0, 31.0, 12.0)})
    exif[0x8825] = exif.get_ifd(0x8825)
    (tmp_path / "p").mkdir()
    several(tmp_path / "p" / "a.webp", exif=exif.tobytes())
    scene(7).save(tmp_path / "p" / "b.png")
    (tmp_path / "p" / "dataset.json").write_text(json.dumps({"labels": [["a.webp", 1], ["b.png", 0]]}))
    report = store.ingest([tmp_path / "p"], owned=True)
    assert report.locations_removed == 1
    stored = store.add(report)
    assert stored.classes == {"0": 1, "1": 4}
    with Image.open(stored.picture("a-0002.png")) as image:
        assert "Ada" in image.info[PNG_XMP_KEY]
        assert not image.getexif().get_ifd(0x8825)


def test_what_comes_before_a_damaged_page_is_kept(store, tmp_path):
    pictures = [scene(i) for i in range(3)]
    pictures[0].save(tmp_path / "a.tif", save_all=True, append_images=[pictures[1], pictures[2].resize((16, 16))])
    report = store.ingest([tmp_path / "a.tif"], owned=True)
    assert [a.name for a in report.accepted] == ["a-0001.png", "a-0002.png"]
    assert report.rejected == [("a.tif", "after 2 pages: too small: 16 x 16 pixels, the shorter side must have 32")]
    assert len(store.add(report).names()) == 2
