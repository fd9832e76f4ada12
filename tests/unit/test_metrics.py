import numpy as np
import pytest

from studio.datasets.images import ImageSet
from studio.errors import StudioError
from studio.metrics.features import FEATURES, FeatureNet
from studio.metrics.kid import kid, mmd2
from studio.metrics.quality import KidMeter


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


def test_the_network_knows_what_it_sees(shared):
    """Photographs and backgrounds: the classes the network is surest of must be what ImageNet would call them."""
    net = FeatureNet()
    images = ImageSet.open(shared / "data" / "wallpapers.zip", 224, shared_cache())
    logits = net.logits(images.array)
    probability = np.exp(logits - logits.max(axis=1, keepdims=True))
    probability /= probability.sum(axis=1, keepdims=True)
    assert logits.shape == (len(images), 1000)
    # 970 alp, 972 cliff, 973 coral reef, 975 lakeside, 976 promontory, 977 sandbar, 978 seashore, 979 valley, 980 volcano
    nature = probability[:, [970, 972, 973, 975, 976, 977, 978, 979, 980]].sum(axis=1)
    assert (nature > 0.5).sum() >= 10, "landscapes are among the wallpapers"


def shared_cache():
    import tempfile
    from pathlib import Path

    return Path(tempfile.mkdtemp())


def test_features_do_not_hang_on_the_batch():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (5, 32, 32, 3), dtype=np.uint8)
    net = FeatureNet(size=64)
    whole, seen = net.features(images, batch=5), []
    parts = net.features(images, batch=2, progress=lambda done, all_: seen.append((done, all_)))
    assert whole.shape == (5, FEATURES) and seen == [(2, 5), (4, 5), (5, 5)]
    np.testing.assert_allclose(whole, parts, atol=1e-3)
    maps = net.net.stage_maps(net.prepare(images))
    assert [tuple(m.shape[1:]) for m in maps][:2] == [(16, 32, 32), (24, 16, 16)] and maps[-1].shape[1:] == (320, 2, 2)


def test_meter_prefers_what_looks_like_the_data():
    rng = np.random.default_rng(0)

    def stripes(n):
        phase = rng.integers(0, 16, (n, 1, 1, 1))
        return np.broadcast_to((((np.arange(32)[None, :, None, None] + phase) // 8 % 2) * 255).astype(np.uint8), (n, 32, 32, 3))

    meter = KidMeter(stripes(40), size=64)
    alike, other = meter.measure(stripes(40))[0], meter.measure(rng.integers(0, 255, (40, 32, 32, 3), dtype=np.uint8))[0]
    assert alike < other / 5
