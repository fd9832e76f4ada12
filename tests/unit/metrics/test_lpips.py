import functools

import numpy as np
import pytest
import torch

from studio.common import download
from studio.errors import StudioError
from studio.metrics import lpips
from studio.metrics.weights import kept_at
from studio.networks.backbones.alexnet import AlexNetFeatures


@pytest.fixture
def weights(studio_home, monkeypatch):
    """A narrow AlexNet of random weights in the place of the published ones."""
    narrow = functools.partial(AlexNetFeatures, widths=(5, 6, 7, 8, 9))
    torch.manual_seed(0)
    net = narrow()
    monkeypatch.setattr(lpips, "AlexNetFeatures", narrow)
    kept_at(lpips.ALEXNET[0]).parent.mkdir(parents=True)
    torch.save(net.state_dict(), kept_at(lpips.ALEXNET[0]))
    torch.save({f"lin{i}.model.1.weight": torch.rand(1, 5 + i, 1, 1) for i in range(5)}, kept_at(lpips.LINEAR[0]))
    return net


def test_the_distance_by_hand(weights):
    """Activation by activation; a comparison with the published implementation on random weights agreed to four digits."""
    measure, total = lpips.Lpips(), 0.0
    x, y = torch.rand(1, 3, 70, 64) * 2 - 1, torch.rand(1, 3, 70, 64) * 2 - 1
    linear = torch.load(kept_at(lpips.LINEAR[0]), weights_only=True)
    shift, scale = (torch.tensor(v)[:, None, None] for v in ([-0.030, -0.088, -0.188], [0.458, 0.448, 0.450]))
    maps = [(z - shift) / scale for z in (x, y)]
    seen = 0
    for layer in weights.features:
        maps = [layer(m) for m in maps]
        if isinstance(layer, torch.nn.ReLU):
            a, b = (m[0].detach().numpy() for m in maps)
            a, b = (v / (np.sqrt((v**2).sum(axis=0)) + 1e-10) for v in (a, b))
            total += float((linear[f"lin{seen}.model.1.weight"].numpy()[0] * (a - b) ** 2).sum(axis=0).mean())
            seen += 1
    assert seen == 5
    assert float(measure(x, y)) == pytest.approx(total, rel=1e-4)
    assert float(measure(x, x)) == 0
    assert lpips.weights_are_here()


def test_the_distance_agrees_with_torchmetrics(weights, monkeypatch):
    """Its network is built without a download from the same random weights; its classes are private, so that a newer one may differ."""
    private = pytest.importorskip("torchmetrics.functional.image.lpips", reason="torchmetrics has moved its LPIPS")
    theirs = private._LPIPS.__new__(private._LPIPS)
    torch.nn.Module.__init__(theirs)
    theirs.spatial, theirs.resize, theirs.L = False, None, 5
    monkeypatch.setattr(private, "_get_tv_model_features", lambda net, pretrained: weights.features)
    theirs.scaling_layer, theirs.net = private.ScalingLayer(), private.Alexnet(pretrained=False)
    linear = torch.load(kept_at(lpips.LINEAR[0]), weights_only=True)
    theirs.lins = torch.nn.ModuleList(private.NetLinLayer(5 + i) for i in range(5))
    for i, layer in enumerate(theirs.lins):
        layer.load_state_dict({"model.0.weight": linear[f"lin{i}.model.1.weight"]})
    x, y = torch.rand(2, 3, 70, 64) * 2 - 1, torch.rand(2, 3, 70, 64) * 2 - 1
    torch.testing.assert_close(lpips.Lpips()(x, y), theirs(x, y).flatten(), rtol=1e-3, atol=1e-5)


def test_without_weights_it_is_absent_and_says_why(studio_home, monkeypatch):
    def offline(url, **options):
        raise StudioError("no route to host")

    monkeypatch.setattr(download, "download_file", offline)
    assert not lpips.weights_are_here()
    with pytest.raises(StudioError, match="cannot be fetched"):
        lpips.Lpips()
