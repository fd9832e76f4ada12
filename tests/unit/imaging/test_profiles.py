"""Colour profiles: every door of the studio sees the same sRGB picture, against formulas written out and PIL.ImageCms."""

import io
import json

import numpy as np
import pytest
from PIL import Image, ImageCms

from studio.datasets.full_size import FullSizeImages
from studio.datasets.image_set import ImageSet
from studio.datasets.store import DataSetStore
from studio.gallery.thumbnails import small_view
from studio.imaging.decode import decode
from studio.imaging.raster import Raster, check_image
from studio.outputs.batches import open_source
from studio.outputs.upscaled_picture import open_upscale_source
from tests.unit.imaging.profiles import (
    ADOBE_GAMMA,
    ADOBE_RGB,
    DISPLAY_P3,
    SRGB,
    cmyk_profile,
    encoded_srgb,
    gamma,
    grey_profile,
    linear_srgb,
    meant,
    rgb_profile,
)

COLOURS = np.random.default_rng(3).integers(0, 256, (32, 32, 3), dtype=np.uint8)
GREYS = np.repeat(np.arange(256, dtype=np.uint8), 4).reshape(32, 32)
INKS = np.random.default_rng(4).integers(0, 256, (32, 32, 4), dtype=np.uint8)


def by_cms(image: Image.Image, profile: bytes) -> np.ndarray:
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    return np.asarray(ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB"), float)


CASES = {
    "display-p3": ("png", Image.fromarray(COLOURS), rgb_profile(DISPLAY_P3, linear_srgb), meant(COLOURS, DISPLAY_P3, linear_srgb)),
    "adobe-rgb": ("png", Image.fromarray(COLOURS), rgb_profile(ADOBE_RGB, ADOBE_GAMMA), meant(COLOURS, ADOBE_RGB, gamma(ADOBE_GAMMA))),
    "linear-named-srgb": ("tif", Image.fromarray(COLOURS), rgb_profile(SRGB, 1.0, "sRGB built-in, linear"), encoded_srgb(COLOURS / 255)),
    "grey": ("png", Image.fromarray(GREYS), grey_profile(1.8), encoded_srgb((GREYS / 255) ** 1.8)[..., None].repeat(3, 2)),
    "grey-16": (
        "png",
        Image.fromarray(GREYS.astype(np.uint16) * 257),
        grey_profile(1.8),
        encoded_srgb((GREYS / 255) ** 1.8)[..., None].repeat(3, 2),
    ),
    "inks": ("tif", Image.fromarray(INKS, "CMYK"), cmyk_profile(), by_cms(Image.fromarray(INKS, "CMYK"), cmyk_profile())),
}


@pytest.fixture(params=CASES, ids=str)
def case(request, tmp_path):
    ending, image, profile, due = CASES[request.param]
    path = tmp_path / "raw" / f"picture.{ending}"
    path.parent.mkdir()
    image.save(path, icc_profile=profile)
    return path, due


def test_the_test_would_see_a_profile_that_is_left_out():
    for name, (_, image, _, due) in CASES.items():
        plain = np.asarray(image.convert("RGB"), float) if image.mode != "I;16" else GREYS[..., None].repeat(3, 2)
        assert np.abs(plain - due).max() > 15, name


def test_every_door_sees_the_same_colours(case, tmp_path):
    path, due = case
    store = DataSetStore(tmp_path / "store")
    report = store.ingest([path], owned=True)
    stored = store.add(report)
    doors = {
        "decode": decode(path),
        "translate": np.asarray(open_source(path).picture.convert("RGB")),
        "upscale": np.asarray(open_upscale_source(path).view(32).convert("RGB")),
        "train, a raw folder": ImageSet.open(path.parent, 32, tmp_path / "cache").array[0],
        "train, patches": FullSizeImages.open(path.parent, tmp_path / "cache")[0],
        "train, a stored set": ImageSet.open(stored.path, 32, tmp_path / "cache").array[0],
        "its sheet": store.sheet(stored.id, resolution=32)[0][1],
    }
    with Image.open(path) as image:
        doors["the Python API"] = np.asarray(check_image(image).convert("RGB"))
    for name, seen in doors.items():
        assert np.abs(seen - due).max() <= 1.51, name
        assert np.array_equal(seen, doors["decode"]), name


@pytest.mark.parametrize("ending", ["png", "webp", "jpg"])
def test_small_views_in_the_gallery(tmp_path, ending):
    Image.new("RGB", (16, 16), (40, 200, 90)).save(tmp_path / f"a.{ending}", icc_profile=rgb_profile(DISPLAY_P3, linear_srgb), quality=100)
    due = meant(np.array([40, 200, 90]), DISPLAY_P3, linear_srgb)
    assert np.abs(np.asarray(small_view(tmp_path / f"a.{ending}", 64)) - due).max() <= 4


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_and_palettes_stay_beside_a_profile(tmp_path, mode):
    values = Image.fromarray(COLOURS if mode != "LA" else GREYS)
    profile = grey_profile(1.8) if mode == "LA" else rgb_profile(ADOBE_RGB, ADOBE_GAMMA)
    if mode == "P":
        picture = values.quantize(64)
        plain = np.asarray(picture.convert("RGB"))
    else:
        picture, plain = values.convert(mode), np.asarray(values.convert("RGB"))
        picture.putalpha(Image.fromarray(GREYS))
    picture.save(tmp_path / "a.png", icc_profile=profile)
    seen = np.asarray(open_source(tmp_path / "a.png").picture)
    due = encoded_srgb((plain / 255) ** 1.8) if mode == "LA" else meant(plain, ADOBE_RGB, gamma(ADOBE_GAMMA))
    assert np.abs(seen[..., :3] - due).max() <= 1.51
    if mode != "P":
        assert np.array_equal(seen[..., 3], GREYS)


def test_variants_of_srgb_change_nothing():
    own = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for profile in (own, rgb_profile(SRGB, linear_srgb, "c2")):
        image = Image.fromarray(COLOURS)
        image.info["icc_profile"] = profile
        assert np.array_equal(np.asarray(check_image(image)), COLOURS)


def test_a_set_keeps_a_profile_only_beside_the_pixels_it_is_for(tmp_path):
    Image.fromarray(INKS, "CMYK").save(tmp_path / "inks.tif", icc_profile=cmyk_profile())
    Image.fromarray(COLOURS).save(tmp_path / "p3.png", icc_profile=rgb_profile(DISPLAY_P3, linear_srgb))
    store = DataSetStore(tmp_path / "store")
    stored = store.add(store.ingest([tmp_path / "inks.tif", tmp_path / "p3.png"], owned=True))
    with Image.open(stored.picture("inks.png")) as inks, Image.open(stored.picture("p3.png")) as p3:
        assert "icc_profile" not in inks.info
        assert "icc_profile" in p3.info, "stored byte for byte"


def test_inks_become_srgb_in_a_raster_and_lose_their_profile(tmp_path):
    Image.fromarray(INKS, "CMYK").save(tmp_path / "inks.tif", icc_profile=cmyk_profile())
    raster = Raster.from_file(tmp_path / "inks.tif")
    assert raster.profile is None
    assert np.abs(raster.pixels - CASES["inks"][3]).max() <= 1


def test_a_set_of_an_earlier_studio_says_that_its_colours_may_be_off(tmp_path):
    Image.new("RGB", (600, 600), (40, 200, 90)).save(tmp_path / "p3.png", icc_profile=rgb_profile(DISPLAY_P3, linear_srgb))
    store = DataSetStore(tmp_path / "store")
    stored = store.add(store.ingest([tmp_path / "p3.png"], owned=True))
    assert stored.remark == ""
    card = json.loads((stored.path / "set.json").read_text())
    del card["colours"]
    (stored.path / "set.json").write_text(json.dumps(card))
    Image.new("RGB", (256, 256)).save(next((stored.path / "previews").iterdir()), "WEBP")
    old = store.get(stored.id)
    assert "before colour profiles" in old.remark
    due = meant(np.array([40, 200, 90]), DISPLAY_P3, linear_srgb)
    assert np.abs(store.sheet(old.id)[0][1] - due).max() <= 1.51, "its previews are not used"
    again = store.add(store.ingest([tmp_path / "p3.png"], owned=True))
    assert again.id == old.id
    assert again.remark == ""
    with Image.open(next((again.path / "previews").iterdir())) as preview:
        assert np.abs(np.asarray(preview)[9, 9] - due).max() <= 4
