import zipfile

import numpy as np
import pytest
from PIL import Image

from studio.datasets.full_size import FullSizeImages
from studio.datasets.image_set import ImageSet
from studio.errors import StudioError


def fill(folder, sizes=((30, 20), (7, 50), (64, 64))):
    folder.mkdir()
    rng, arrays = np.random.default_rng(0), []
    for i, (width, height) in enumerate(sizes):
        arrays.append(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
        Image.fromarray(arrays[-1]).save(folder / f"{i}.png")
    return arrays


def test_pictures_stay_as_large_and_as_sharp_as_they_are(tmp_path):
    arrays = fill(tmp_path / "a")
    (tmp_path / "a" / "broken.png").write_bytes(b"no picture")
    found = FullSizeImages.open(tmp_path / "a", tmp_path / "cache")
    assert found.names == ("0.png", "1.png", "2.png")
    assert [n for n, _ in found.skipped] == ["broken.png"]
    for i, wanted in enumerate(arrays):
        np.testing.assert_array_equal(found[i], wanted)
    assert found.hash == ImageSet.open(tmp_path / "a", 16, tmp_path / "cache").hash
    assert isinstance(found.pixels, np.memmap)
    assert len(found.keys) == 3


def test_a_zip_gives_the_same_set_and_the_second_time_nothing_is_decoded(tmp_path, monkeypatch):
    fill(tmp_path / "a")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for file in sorted((tmp_path / "a").iterdir()):
            archive.write(file, file.name)
    folder = FullSizeImages.open(tmp_path / "a", tmp_path / "cache")
    monkeypatch.setattr("studio.datasets.full_size.decode", lambda *a, **k: pytest.fail("decoded again"))
    packed = FullSizeImages.open(tmp_path / "a.zip", tmp_path / "cache")
    assert packed.hash == folder.hash
    assert packed.keys == folder.keys
    np.testing.assert_array_equal(packed[2], folder[2])


def test_a_torn_cache_is_made_anew(tmp_path):
    arrays = fill(tmp_path / "a")
    FullSizeImages.open(tmp_path / "a", tmp_path / "cache")
    (pixels,) = (tmp_path / "cache" / "whole").rglob("pixels")
    pixels.write_bytes(pixels.read_bytes()[:-9])
    np.testing.assert_array_equal(FullSizeImages.open(tmp_path / "a", tmp_path / "cache")[2], arrays[2])


def test_nothing_usable_is_said(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.png").write_bytes(b"no picture")
    with pytest.raises(StudioError, match="no picture that can be read"):
        FullSizeImages.open(tmp_path / "a", tmp_path / "cache")
    with pytest.raises(StudioError, match="nothing at"):
        FullSizeImages.open(tmp_path / "b", tmp_path / "cache")
