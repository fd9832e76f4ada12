"""Sets of old stay the sets they were: same hash, same pixels, with the crop and the ground that used to be fixed."""

import hashlib
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from studio.datasets.image_set import ImageSet
from studio.datasets.picture_files import content_hash
from studio.errors import StudioError
from studio.training.plan import Data, Plan
from tests.conftest import ROOT


def test_the_hash_of_a_set_is_the_one_plans_of_old_hold(tmp_path):
    (tmp_path / "p" / "a").mkdir(parents=True)
    (tmp_path / "p" / "a" / "1.png").write_bytes(b"one")
    Image.new("RGB", (8, 8)).save(tmp_path / "p" / "b.png")
    expected = hashlib.sha256(b"1 (255, 255, 255)")
    for name in ("a/1.png", "b.png"):
        expected.update(name.encode() + b"\0" + hashlib.sha256((tmp_path / "p" / name).read_bytes()).digest())
    white = ImageSet.open(tmp_path / "p", 8, tmp_path / "cache")
    assert white.hash == expected.hexdigest()
    black = ImageSet.open(tmp_path / "p", 8, tmp_path / "cache", ground=(0, 0, 0), crop="fit")
    assert black.hash == white.hash, "how a set is shown is the plan's business"
    assert content_hash([]) == hashlib.sha256(b"1 (255, 255, 255)").hexdigest()


def test_the_bundled_models_set_still_has_its_hash():
    """By the recorded SHA-256 of its 12,000 files; those that are here must be what is recorded."""
    fixtures = Path(__file__).parent / "fixtures"
    with np.load(fixtures / "lpc-characters-hashes.npz") as recorded:
        folders = recorded["class_names"][recorded["classes"]]
        names = [f"lpc-characters/{folder}/{number:05d}.png" for folder, number in zip(folders, recorded["numbers"], strict=True)]
        shas = dict(zip(names, (row.tobytes() for row in recorded["sha"]), strict=True))
    assert len(shas) == 12_000
    assert names == sorted(names)
    plan = Plan.load(ROOT / "checkpoints" / "lpc-characters" / "plan.toml")
    assert content_hash(shas.items()) == plan.data.hash
    for file in (fixtures / "lpc-characters-40.zip", ROOT.parent / "shared" / "data" / Path(plan.data.path).name):
        if file.is_file():
            with zipfile.ZipFile(file) as z:
                found = {n: hashlib.sha256(z.read(n)).digest() for n in z.namelist() if n.endswith(".png")}
            assert found == {n: shas[n] for n in found}
            assert len(found) in (40, 12_000)


def test_crop_and_ground_make_a_cache_of_their_own(tmp_path):
    (tmp_path / "p").mkdir()
    picture = Image.new("RGBA", (32, 16), (0, 0, 0, 0))
    picture.paste((200, 0, 0, 255), (0, 0, 16, 16))
    picture.save(tmp_path / "p" / "a.png")
    centre = ImageSet.open(tmp_path / "p", 16, tmp_path / "cache").array
    fit = ImageSet.open(tmp_path / "p", 16, tmp_path / "cache", crop="fit", ground=(0, 0, 255)).array
    again = ImageSet.open(tmp_path / "p", 16, tmp_path / "cache").array
    assert np.array_equal(centre, again)
    assert centre[0, 8, 2].tolist() == [200, 0, 0]
    assert centre[0, 8, 13].tolist() == [255, 255, 255]
    assert fit[0, 0, 0].tolist() == [0, 0, 255]
    assert fit[0, 8, 2].tolist() == [200, 0, 0]
    assert fit[0, 8, 13].tolist() == [0, 0, 255]
    caches = [p for p in (tmp_path / "cache" / "images").iterdir() if not p.name.endswith(".lock")]
    assert len(caches) == 2
    with pytest.raises(StudioError, match="no crop 'round'"):
        ImageSet.open(tmp_path / "p", 16, tmp_path / "cache", crop="round")


def test_plans_of_old_are_read_and_bad_settings_refused():
    old = Plan.from_toml('[data]\npath = "/x"\nresolution = 64\n')
    assert old.data.crop == "centre"
    assert old.data.ground == "#ffffff"
    new = Plan(data=Data(crop="smart", ground="#102030"))
    assert Plan.from_toml(new.to_toml()) == new
    with pytest.raises(StudioError, match="centre, smart or fit"):
        Plan(data=Data(crop="round"))
    for bad in ("white", "#fff", "#gggggg", ""):
        with pytest.raises(StudioError, match="not a colour"):
            Plan(data=Data(ground=bad))
