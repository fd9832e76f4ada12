import torch
import torchvision

from studio.networks.backbones.alexnet import AlexNetFeatures
from studio.networks.backbones.vgg19 import VGG19Features


def test_alexnet_is_torchvisions():
    torch.manual_seed(0)
    ours, x = AlexNetFeatures(), torch.randn(1, 3, 70, 64)
    with torch.device("meta"):
        published = torchvision.models.alexnet(weights=None)
    assert {k: v.shape for k, v in ours.state_dict().items()} == {
        k: v.shape for k, v in published.state_dict().items() if k.startswith("features.")
    }
    theirs = published.features.to_empty(device="cpu")
    theirs.load_state_dict(ours.features.state_dict())
    maps, seen = [], x
    for layer in theirs:
        seen = layer(seen)
        if isinstance(layer, torch.nn.ReLU):
            maps.append(seen.clone())
    with torch.no_grad():
        for a, b in zip(ours(x), maps, strict=True):
            torch.testing.assert_close(a, b)


def test_vgg19_is_torchvisions():
    torch.manual_seed(0)
    x = torch.randn(1, 3, 32, 48)
    with torch.device("meta"):
        published = torchvision.models.vgg19(weights=None, init_weights=False)
        wide = VGG19Features(activated=True)
    assert {k: v.shape for k, v in wide.state_dict().items()} == {
        k: v.shape for k, v in published.state_dict().items() if k.startswith("features.")
    }
    widths = (4, 5, 6, 7, 8)
    cfg = [widths[(64, 128, 256, 512, 512).index(v)] if isinstance(v, int) else v for v in torchvision.models.vgg.cfgs["E"]]
    cfg[-5:-1] = [8] * 4  # the last two blocks are equally wide in the paper
    after, before = VGG19Features(activated=True, widths=widths), VGG19Features(activated=False, widths=widths)
    theirs = torchvision.models.vgg.make_layers(cfg)
    theirs.load_state_dict(after.features.state_dict())
    before.load_state_dict(after.state_dict())
    with torch.no_grad():
        assert after(x).shape == (1, 8, 2, 3)
        torch.testing.assert_close(after(x), theirs[:36](x))
        torch.testing.assert_close(before(x), theirs[:35](x))
