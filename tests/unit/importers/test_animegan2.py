"""AnimeGANv2 in the layout of its port to PyTorch: the pictures of its formulas, and of a reference checkpoint where it is at hand."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

import studio
from studio.errors import StudioError
from studio.inference.translation import translate_picture
from studio.models.acquire.checkpoint_import import import_checkpoint
from studio.models.library import Library
from studio.training.plan import Plan
from studio.training.plan_checks import family_config
from tests.conftest import ROOT

# name in the layout -> (channels in, channels out, kernel); channels as multiples of the width, 0 = the picture's
_PLAIN = {
    "block_a.0": (0, 1, 7),
    "block_a.1": (1, 2, 3),
    "block_a.2": (2, 2, 3),
    "block_b.0": (2, 4, 3),
    "block_b.1": (4, 4, 3),
    "block_c.0": (4, 4, 3),
    "block_c.5": (8, 4, 3),
    "block_d.0": (4, 4, 3),
    "block_d.1": (4, 4, 3),
    "block_e.0": (4, 2, 3),
    "block_e.1": (2, 2, 3),
    "block_e.2": (2, 1, 7),
}


def weights(width: int = 4, seed: int = 0) -> dict[str, torch.Tensor]:
    """A state dict with random weights that all matter; that of the published models has the width 32."""
    torch.manual_seed(seed)
    p: dict[str, torch.Tensor] = {}

    def layer(conv: str, norm: str, inside: int, outside: int, kernel: int) -> None:
        p[f"{conv}.weight"] = torch.randn(outside, inside, kernel, kernel) / (inside * kernel**2) ** 0.5
        p[f"{norm}.weight"], p[f"{norm}.bias"] = 1 + torch.randn(outside) * 0.2, torch.randn(outside) * 0.2

    for name, (a, b, k) in _PLAIN.items():
        layer(f"{name}.1", f"{name}.2", a * width or 3, b * width, k)
    for i in range(1, 5):
        a, b, name = (4 if i == 1 else 8) * width, 8 * width, f"block_c.{i}.layers"
        layer(f"{name}.0.1", f"{name}.0.2", a, 2 * a, 1)
        layer(f"{name}.1.1", f"{name}.1.2", 1, 2 * a, 3)
        p[f"{name}.1.1.bias"] = torch.randn(2 * a) * 0.2
        layer(f"{name}.2", f"{name}.3", 2 * a, b, 1)
    p["out_layer.0.weight"] = torch.randn(3, width, 1, 1) * 0.5
    return p


def picture(p: dict[str, torch.Tensor], x: torch.Tensor, align: bool = True) -> torch.Tensor:
    """The published formulas, once more and plainly."""

    def normed(x, name):
        mean, var = x.mean(dim=(1, 2, 3), keepdim=True), x.var(dim=(1, 2, 3), correction=0, keepdim=True)
        return (x - mean) / (var + 1e-5).sqrt() * p[f"{name}.weight"][:, None, None] + p[f"{name}.bias"][:, None, None]

    def act(x):
        return torch.maximum(x, 0.2 * x)

    def layer(x, name, stride=1, pad=None, groups=1):
        weight = p[f"{name}.1.weight"]
        around = weight.shape[-1] // 2
        x = F.pad(x, pad or (around,) * 4, mode="reflect") if around else x
        return act(normed(F.conv2d(x, weight, p.get(f"{name}.1.bias"), stride=stride, groups=groups), f"{name}.2"))

    def enlarged(x):
        size = [2 * side for side in x.shape[2:]]
        return F.interpolate(x, size, mode="bilinear", align_corners=align)

    x = layer(layer(layer(x, "block_a.0"), "block_a.1", 2, (0, 1, 0, 1)), "block_a.2")
    x = layer(layer(layer(x, "block_b.0", 2, (0, 1, 0, 1)), "block_b.1"), "block_c.0")
    for i in range(1, 5):
        y = layer(x, f"block_c.{i}.layers.0")
        y = layer(y, f"block_c.{i}.layers.1", groups=y.shape[1])
        y = normed(F.conv2d(y, p[f"block_c.{i}.layers.2.weight"]), f"block_c.{i}.layers.3")
        x = x + y if x.shape == y.shape else y
    x = layer(layer(enlarged(layer(x, "block_c.5")), "block_d.0"), "block_d.1")
    x = layer(layer(layer(enlarged(x), "block_e.0"), "block_e.1"), "block_e.2")
    return torch.tanh(F.conv2d(x, p["out_layer.0.weight"]))


@pytest.mark.parametrize("wrapper", ["", "module."])
def test_pictures_are_those_of_its_formulas(tmp_path, wrapper):
    p = weights()
    torch.save({wrapper + name: tensor for name, tensor in p.items()}, tmp_path / "paprika.pt")
    model = studio.load(tmp_path / "paprika.pt", device="cpu")
    assert model.directions == ("AtoB",)
    x = torch.rand(2, 3, 24, 32) * 2 - 1
    with torch.no_grad():
        for align in (True, False):
            model.network.G.align_corners = align
            theirs = picture(p, x, align)
            assert theirs.std() > 0.05
            assert (model.network(x) - theirs).abs().max() < 1e-5


def test_equal_to_the_reference_where_it_is_at_hand():
    """Its 8 MB are too many for the repository, where the formulas above stand in for it."""
    folder = ROOT.parent / "shared" / "golden" / "animegan2"
    if folder.is_dir():
        p, io = torch.load(folder / "generator.pt", weights_only=True), np.load(folder / "io.npz")
        x = torch.from_numpy(io["x"]).permute(2, 0, 1)[None].float() / 127.5 - 1
        model = studio.load(folder / "generator.pt", device="cpu")
        for align, wanted in ((True, io["y_align"]), (False, io["y"])):
            model.network.G.align_corners = align
            with torch.no_grad():
                assert (model.network(x) - torch.from_numpy(wanted)).abs().max() < 1e-4
                assert (picture(p, x, align) - torch.from_numpy(wanted)).abs().max() < 1e-4


def test_it_translates_pictures_of_any_size_and_is_not_trained(tmp_path):
    torch.save(weights(), tmp_path / "hayao.pt")
    info = import_checkpoint(Library([tmp_path / "models"]), tmp_path / "hayao.pt")
    assert any("aligned corners" in line for line in (info.path / "README.md").read_text().splitlines())
    model = studio.load(info.path, device="cpu")
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (31, 45, 4), np.uint8), "RGBA")
    result = model.translate(image)
    assert (result.size, result.mode) == ((45, 31), "RGBA")
    assert np.array_equal(np.asarray(model.translate(image, tile=32)), np.asarray(result)), "it is always done whole"
    assert model.translate(Image.new("L", (5, 3))).size == (5, 3)
    with pytest.raises(StudioError, match="AnimeGANv2 cannot be trained here"):
        family_config(Plan(family="animegan2"), None)


def test_a_picture_that_does_not_fit_into_memory_is_said(tmp_path, monkeypatch):
    torch.save(weights(), tmp_path / "hayao.pt")
    network = studio.load(tmp_path / "hayao.pt", device="cpu").network

    def full(x):
        raise MemoryError

    monkeypatch.setattr(network.G, "forward", full)
    with pytest.raises(StudioError, match="ran out of memory"):
        translate_picture(network, Image.new("RGB", (64, 64)), "AtoB")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"block_c.3.layers.0.1.weight": None}, "no tensor"),
        ({"block_c.7.layers.0.1.weight": torch.zeros(1, 1, 1, 1)}, "do not follow each other"),
        ({"block_f.0.1.weight": torch.zeros(3)}, "block_f"),
        ({"block_d.0.1.weight": torch.zeros(7, 16, 3, 3)}, "shape"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, change, named):
    torch.save({k: v for k, v in (weights() | change).items() if v is not None}, tmp_path / "odd.pt")
    with pytest.raises(StudioError, match=named):
        studio.load(tmp_path / "odd.pt", device="cpu")
