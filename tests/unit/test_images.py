import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from studio.datasets.images import ImageSet
from studio.errors import StudioError


def test_classes_and_order(pictures, tmp_path):
    s = ImageSet.open(pictures, 16, tmp_path / "cache")
    assert s.array.shape == (24, 16, 16, 3) and s.classes == ("disc", "square")
    assert s.labels.tolist() == [0] * 12 + [1] * 12
    first = sorted((pictures / "disc").iterdir())[0]
    assert np.array_equal(s.array[0], np.asarray(Image.open(first))), "pictures of the right size are not touched"


def test_a_zip_is_the_same_set_as_its_folder(pictures, tmp_path):
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as z:
        for file in sorted(pictures.rglob("*.png"), reverse=True):
            z.write(file, file.relative_to(pictures))
        z.writestr("LICENSE.txt", "free")
        z.writestr("__MACOSX/disc/._000.png", b"x")
    a, b = (ImageSet.open(p, 16, tmp_path / "cache") for p in (pictures, tmp_path / "set.zip"))
    assert a.hash == b.hash and np.array_equal(a.array, b.array)
    (pictures / "disc" / "new.png").write_bytes((sorted((pictures / "disc").iterdir())[0]).read_bytes())
    assert ImageSet.open(pictures, 16, tmp_path / "cache").hash != a.hash


def test_odd_pictures(tmp_path):
    folder = tmp_path / "p"
    folder.mkdir()
    wide = Image.new("RGB", (40, 20), (255, 0, 0))
    wide.paste((0, 255, 0), (10, 0, 30, 20))
    wide.save(folder / "a-wide.png")
    Image.new("RGBA", (8, 8), (0, 0, 255, 0)).save(folder / "b-clear.png")
    Image.new("CMYK", (8, 8), (0, 0, 0, 255)).save(folder / "c-cmyk.jpg")
    Image.fromarray(np.full((8, 8), 65535, np.uint16)).save(folder / "d-deep.png")
    turned = Image.new("RGB", (8, 8))
    turned.paste((255, 255, 255), (0, 0, 8, 4))
    exif = Image.Exif()
    exif[0x0112] = 3
    turned.save(folder / "e-turned.png", exif=exif)
    (folder / "f-broken.png").write_bytes(b"\x89PNG broken")
    s = ImageSet.open(folder, 8, tmp_path / "cache")
    assert len(s) == 5 and s.labels is None and s.classes == ()
    assert [name for name, _ in s.skipped] == ["f-broken.png"]
    assert s.array[0].reshape(-1, 3).tolist() == [[0, 255, 0]] * 64, "the centre square"
    assert (s.array[1] == 255).all(), "clear pixels show the ground"
    assert (s.array[2] < 50).all() and (s.array[3] == 255).all()
    assert (s.array[4][:4] == 0).all() and (s.array[4][4:] == 255).all(), "turned upright"


def test_nothing_usable(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "not.zip").write_bytes(b"not a zip")
    broken = io.BytesIO()
    with zipfile.ZipFile(broken, "w") as z:
        z.writestr("a.png", b"broken")
    (tmp_path / "broken.zip").write_bytes(broken.getvalue())
    for name in ("empty", "not.zip", "missing", "broken.zip"):
        with pytest.raises(StudioError):
            ImageSet.open(tmp_path / name, 8, tmp_path / "cache")
