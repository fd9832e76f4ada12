"""DCGANs in the layout of PyTorch's own example: equal pictures."""

import pytest
import torch
from torch import nn

import studio
from studio.errors import StudioError
from studio.models.importers import import_file
from tests.unit.importers.dcgan_layout import Example, example
from tests.unit.importers.official_translators import with_statistics


@torch.inference_mode()
def apart(model, theirs) -> float:
    z = torch.randn(3, model.z_dim)
    return float((model.network(z) - theirs(z)).abs().max())


SHAPES = [{}, dict(doublings=3, channels=1), dict(doublings=5, width=2), dict(bias=True), dict(name="net"), dict(widest=8)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("wrapped", [None, "netG_state_dict", "netG", "module."])
def test_equal_pictures(tmp_path, shape, wrapped):
    theirs = example(**shape)
    state = theirs.state_dict()
    if wrapped:
        state = {f"module.{k}": v for k, v in state.items()} if wrapped == "module." else {wrapped: state, "epoch": 3}
    torch.save(state, tmp_path / "netG.pth")
    model = studio.load(tmp_path / "netG.pth", device="cpu")
    assert model.family.name == "dcgan"
    assert model.network.config.resolution == 4 << shape.get("doublings", 4)
    assert apart(model, theirs) <= 1e-5


def test_what_does_not_fit_is_named(tmp_path):
    path, good = tmp_path / "netG.pth", example().state_dict()
    for changes, words in (
        ({"main.12.weight": torch.ones(4, 2, 4, 4)}, "img_channels must be 1 or 3"),
        ({"main.4.running_mean": torch.full((16,), float("nan"))}, "not finite"),
        ({"main.4.running_var": None}, "no tensor 'main.4.running_var'"),
        ({"main.4.bias": torch.ones(3)}, r"main.4.weight' of the shape"),
        ({"main.0.weight": torch.ones(10, 8, 4, 4)}, "of an unknown kind"),
        ({"main.13.weight": torch.ones(3)}, "of an unknown kind"),
    ):
        torch.save({k: v for k, v in {**good, **changes}.items() if v is not None}, path)
        with pytest.raises(StudioError, match=words) as e:
            import_file(path)
        assert e.value.hint
    # Widths that ours cannot have, and a size that it does not know.
    torch.save(with_statistics(nn.Sequential(*Example(widest=6).main)).state_dict(), path)
    assert import_file(path).config["channel_max"] == 6
    torch.save(example(doublings=2).state_dict(), path)
    with pytest.raises(StudioError, match=r"resolution must be 32|unknown kind"):
        import_file(path)


def test_a_discriminator_is_no_generator(tmp_path):
    layers = [nn.Conv2d(3, 4, 4, 2, 1, bias=False), nn.LeakyReLU(), nn.Conv2d(4, 8, 4, 2, 1, bias=False), nn.BatchNorm2d(8)]
    torch.save(
        {f"main.{k}": v for k, v in nn.Sequential(*layers, nn.LeakyReLU(), nn.Conv2d(8, 1, 4)).state_dict().items()}, tmp_path / "d.pth"
    )
    with pytest.raises(StudioError, match="of an unknown kind"):
        import_file(tmp_path / "d.pth")
