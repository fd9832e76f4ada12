"""R3GAN: the pictures of a reference checkpoint, and of its formulas where there are classes and other widths."""

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import studio
from studio.engine.engine import Engine
from studio.engine.recipe import ClassWeight, Recipe, SeedWeight
from studio.errors import StudioError
from studio.models.acquire.checkpoint_import import import_checkpoint
from studio.models.importers import import_file
from studio.models.importers.pickle_reader import read_pickle
from studio.models.library import Library
from tests.conftest import GOLDEN

FOLDER = GOLDEN / "r3gan-32"
KERNEL = torch.outer(torch.tensor([1.0, 3, 3, 1]), torch.tensor([1.0, 3, 3, 1])) / 64


def test_equal_to_the_reference():
    io, case = np.load(FOLDER / "io.npz"), json.loads((FOLDER / "case.json").read_text())
    model = studio.load(FOLDER / "network-full.pkl", device="cpu")
    assert (model.resolution, model.z_dim, model.c_dim) == (case["resolution"], 64, case["c_dim"])
    drawn = model.synthesis(model.mapping(io["z"]))
    assert float((drawn - torch.from_numpy(io["img"])).abs().max()) < case["tolerance"]


def weights(widths=(12, 8, 8), blocks=(1, 2, 1), z=6, classes=3, embed=4, groups=2, seed=0) -> dict[str, torch.Tensor]:
    """A state dict with random weights that all matter, of which each resolution has its own width."""
    torch.manual_seed(seed)
    p = {
        "MainLayers.0.Layers.0.Basis": torch.randn(widths[0], 4, 4),
        "MainLayers.0.Layers.0.LinearLayer.weight": torch.randn(widths[0], z + embed) * 0.3,
        "AggregationLayer.Layer.weight": torch.randn(3, widths[-1], 1, 1) * 0.3,
    }
    if classes:
        p["EmbeddingLayer.weight"] = torch.randn(embed, classes)
    for i, width in enumerate(widths):
        if i:
            p[f"MainLayers.{i}.Layers.0.Resampler.Kernel"] = KERNEL
            if widths[i - 1] != width:
                p[f"MainLayers.{i}.Layers.0.LinearLayer.Layer.weight"] = torch.randn(width, widths[i - 1], 1, 1) * 0.3
        for k in range(1, blocks[i] + 1):
            layer, inner = f"MainLayers.{i}.Layers.{k}", 2 * width
            p[f"{layer}.LinearLayer1.Layer.weight"] = torch.randn(inner, width, 1, 1) * 0.3
            p[f"{layer}.LinearLayer2.Layer.weight"] = torch.randn(inner, inner // groups, 3, 3) * 0.2
            p[f"{layer}.LinearLayer3.Layer.weight"] = torch.randn(width, inner, 1, 1) * 0.3
            p[f"{layer}.NonLinearity1.Bias"], p[f"{layer}.NonLinearity2.Bias"] = torch.randn(inner), torch.randn(inner)
    return p


def picture(p: dict[str, torch.Tensor], z: torch.Tensor, c: torch.Tensor | None) -> torch.Tensor:
    """The published formulas, once more and plainly."""

    def activated(x, bias):
        x = x + bias.view(1, -1, 1, 1)
        return torch.maximum(x, 0.2 * x)

    if c is not None:
        z = torch.cat([z, c @ p["EmbeddingLayer.weight"].T], dim=1)
    scale = z @ p["MainLayers.0.Layers.0.LinearLayer.weight"].T
    x, i = p["MainLayers.0.Layers.0.Basis"][None] * scale[:, :, None, None], 0
    while f"MainLayers.{i}.Layers.1.NonLinearity1.Bias" in p:
        layers = f"MainLayers.{i}.Layers"
        if i:
            if f"{layers}.0.LinearLayer.Layer.weight" in p:
                x = F.conv2d(x, p[f"{layers}.0.LinearLayer.Layer.weight"])
            n, channels, h, w = x.shape
            x = F.conv_transpose2d(x.reshape(-1, 1, h, w), KERNEL[None, None] * 4, stride=2, padding=1).reshape(n, channels, 2 * h, 2 * w)
        k = 1
        while f"{layers}.{k}.NonLinearity1.Bias" in p:
            a, b, c3 = (p[f"{layers}.{k}.LinearLayer{j}.Layer.weight"] for j in (1, 2, 3))
            y = activated(F.conv2d(x, a), p[f"{layers}.{k}.NonLinearity1.Bias"])
            y = activated(F.conv2d(y, b, padding=1, groups=len(b) // b.shape[1]), p[f"{layers}.{k}.NonLinearity2.Bias"])
            x, k = x + F.conv2d(y, c3), k + 1
        i += 1
    return F.conv2d(x, p["AggregationLayer.Layer.weight"])


@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("prefix", ["", "Model."])
def test_pictures_are_those_of_its_formulas(tmp_path, classes, prefix):
    p = weights(classes=classes, embed=4 if classes else 0)
    torch.save({prefix + k: v for k, v in p.items()}, tmp_path / "r3.pth")
    model = studio.load(tmp_path / "r3.pth", device="cpu")
    z, c = torch.randn(3, 6), torch.eye(3) if classes else None
    theirs = picture(p, z, c)
    assert theirs.std() > 0.1
    assert model.c_dim == classes
    assert (model.synthesis(model.mapping(z, c)) - theirs).abs().max() < 1e-5 * theirs.abs().max()


def test_it_is_explored_with_its_classes(tmp_path):
    torch.save(weights(), tmp_path / "r3.pth")
    library = Library([tmp_path / "models"])
    info = import_checkpoint(library, tmp_path / "r3.pth")
    assert info.classes == ("0", "1", "2")
    with Engine(library, device="cpu") as engine:
        one, two = (engine.render(Recipe(model=info.id, seeds=(SeedWeight(1),), classes=(ClassWeight(k, 1.0),), psi=0.8)) for k in (0, 1))
        assert one.shape == (16, 16, 3)
        assert not np.array_equal(one, two)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"MainLayers.1.Layers.0.Resampler.Kernel": torch.ones(4, 4) / 16}, "another filter"),
        ({"MainLayers.1.Layers.1.NonLinearity1.Bias": None}, "no tensor"),
        ({"AggregationLayer.Layer.weight": torch.zeros(1, 8, 1, 1)}, "not in colour"),
        ({"Attention.gamma": torch.zeros(1)}, "Attention.gamma"),
        ({"MainLayers.2.Layers.1.LinearLayer2.Layer.weight": torch.zeros(24, 12, 3, 3)}, "several designs"),
        ({"MainLayers.0.Layers.0.Basis": torch.full((12, 4, 4), torch.inf)}, "not finite"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, change, named):
    torch.save({k: v for k, v in (weights() | change).items() if v is not None}, tmp_path / "r3.pth")
    with pytest.raises(StudioError, match=named):
        import_file(tmp_path / "r3.pth")


@pytest.mark.parametrize("name", ["os.system", "training.networks.__init__", "torch.nn.modules", "R3GAN", "training.loss.f", "torch.load"])
def test_only_classes_of_networks_are_recorded_by_name(tmp_path, name):
    """A pickle that names anything else is refused, as before, and nothing is looked up."""
    module, _, attribute = name.rpartition(".")
    program = b"\x80\x04" + b"c" + (module or "x").encode() + b"\n" + attribute.encode() + b"\n" + b")\x81."
    (tmp_path / "net.pkl").write_bytes(program)
    with pytest.raises(StudioError, match="not run here"):
        import_file(tmp_path / "net.pkl")


def test_an_object_named_in_the_file_is_only_what_it_held(tmp_path):
    program = b"\x80\x04cR3GAN.Networks\nGenerator\n)\x81}X\x01\0\0\0aK\x05sb."
    (tmp_path / "net.pkl").write_bytes(program)
    found = read_pickle(tmp_path / "net.pkl")
    assert (found.class_name, found.state) == ("Generator", {"a": 5})
    (tmp_path / "net.pkl").write_bytes(b"\x80\x04cR3GAN.Networks\nGenerator\nK\x05\x85\x81.")
    with pytest.raises(StudioError, match="odd use"):
        import_file(tmp_path / "net.pkl")
