import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from studio.metrics.features import FEATURES, FeatureNet
from tests.conftest import ROOT

PHOTOGRAPHS = ROOT.parent / "shared" / "data" / "wallpapers.zip"  # may not be copied into the repository one by one
SEEN = [("safety-pin.png", 772), ("stopwatch.png", 409), ("abacus.png", 398)]
SEEN += [("065.jpg", 968), ("082.jpg", 301), ("089.jpg", 985)] if PHOTOGRAPHS.is_file() else []  # cup, ladybug, daisy


@pytest.mark.parametrize(("file", "index"), SEEN)
def test_the_network_knows_what_it_sees(file, index):
    """Classes of ImageNet by their number."""
    path = Path(__file__).parent / "fixtures" / file
    data = path.read_bytes() if path.is_file() else zipfile.ZipFile(PHOTOGRAPHS).read(f"wallpapers/{file}")
    with Image.open(io.BytesIO(data)) as image:
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
