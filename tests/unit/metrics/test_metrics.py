import zipfile

import numpy as np
import pytest
from PIL import Image, ImageOps

from studio.errors import StudioError
from studio.metrics.features import FEATURES, FeatureNet
from studio.metrics.kid import kid, mmd2
from studio.metrics.kid_meter import KidMeter


def test_mmd_against_a_loop():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((7, 5)), rng.standard_normal((6, 5)) + 0.5

    def k(a, b):
        return (a @ b / 5 + 1) ** 3

    xx = np.mean([k(a, b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j])
    yy = np.mean([k(a, b) for i, a in enumerate(y) for j, b in enumerate(y) if i != j])
    xy = np.mean([k(a, b) for a in x for b in y])
    assert mmd2(x, y) == pytest.approx(xx + yy - 2 * xy, rel=1e-10)


def test_kid_is_unbiased_seeded_and_ordered():
    rng = np.random.default_rng(0)
    a, b, c = (rng.standard_normal((400, 16)) + shift for shift in (0, 0, 0.7))
    same, deviation = kid(a, b, 200, 50)
    assert abs(same) < 3 * deviation / 50**0.5 + 0.02
    assert kid(a, c, 200, 50)[0] > 10 * abs(same)
    assert kid(a, c, 200, 5, seed=1) == kid(a, c, 200, 5, seed=1) != kid(a, c, 200, 5, seed=2)
    with pytest.raises(StudioError):
        kid(a[:1], b)


@pytest.mark.parametrize(("file", "name", "index"), [("065", "cup", 968), ("082", "ladybug", 301), ("089", "daisy", 985)])
def test_the_network_knows_what_it_sees(shared, file, name, index):
    """Classes of ImageNet by their number."""
    archive = zipfile.ZipFile(shared / "data" / "wallpapers.zip")
    with Image.open(archive.open(f"wallpapers/{file}.jpg")) as image:
        side = min(image.size)
        square = ImageOps.fit(image.convert("RGB"), (side, side))
    assert FeatureNet().logits(np.asarray(square)[None]).argmax() == index


def test_features_do_not_hang_on_the_batch():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (5, 32, 32, 3), dtype=np.uint8)
    net = FeatureNet(size=64)
    whole, seen = net.features(images, batch=5), []
    parts = net.features(images, batch=2, progress=lambda done, all_: seen.append((done, all_)))
    assert whole.shape == (5, FEATURES)
    assert seen == [(2, 5), (4, 5), (5, 5)]
    np.testing.assert_allclose(whole, parts, atol=1e-3)
    maps = net.net.stage_maps(net.prepare(images))
    assert [tuple(m.shape[1:]) for m in maps][:2] == [(16, 32, 32), (24, 16, 16)]
    assert maps[-1].shape[1:] == (320, 2, 2)


def test_meter_prefers_what_looks_like_the_data():
    rng = np.random.default_rng(0)

    def stripes(n):
        phase = rng.integers(0, 16, (n, 1, 1, 1))
        return np.broadcast_to((((np.arange(32)[None, :, None, None] + phase) // 8 % 2) * 255).astype(np.uint8), (n, 32, 32, 3))

    meter = KidMeter(stripes(40), size=64)
    alike, other = meter.measure(stripes(40))[0], meter.measure(rng.integers(0, 255, (40, 32, 32, 3), dtype=np.uint8))[0]
    assert alike < other / 5
