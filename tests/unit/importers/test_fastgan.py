"""FastGAN in the layouts of its authors and of Projected GANs: the pictures of a plain network, and of a reference checkpoint."""

import json

import numpy as np
import pytest
import torch

import studio
from studio.engine.engine import Engine
from studio.engine.recipe import Recipe, SeedWeight
from studio.errors import StudioError
from studio.models.acquire.checkpoint_import import import_checkpoint
from studio.models.importers import import_file
from studio.models.library import Library
from studio.training.plan import Plan
from studio.training.plan_checks import family_config
from tests.conftest import GOLDEN
from tests.unit.importers.fastgan_layout import generator, pickled, set_noise

FOLDER = GOLDEN / "fastgan-lite-128"


def test_equal_to_the_reference():
    io, case = np.load(FOLDER / "io.npz"), json.loads((FOLDER / "case.json").read_text())
    model = studio.load(FOLDER / "G_ema.pth", device="cpu")
    assert (model.resolution, model.z_dim, model.num_ws) == (case["resolution"], 64, 1)
    drawn = model.synthesis(model.mapping(io["z"]))
    assert float((drawn - torch.from_numpy(io["img"])).abs().max()) < case["tolerance"]


def checked(path, network, ngf=8, z=12):
    """The model of a file draws what the plain network does, with its noise and without."""
    model = studio.load(path, device="cpu")
    latents = torch.randn(2, z, generator=torch.Generator().manual_seed(1))
    ws = model.mapping(latents)
    with torch.no_grad():
        plain = network(latents)
        assert (model.synthesis(ws, noise_mode="none") - plain).abs().max() < 1e-4 * plain.abs().max()
        if model.has_noise:
            blocks = {side: getattr(model.network.synthesis, f"b{side}") for side in model.network.synthesis.sides[1:]}
            layers = {(side, k): getattr(b, f"conv{k}") for side, b in blocks.items() for k in (0, 1) if getattr(b, f"conv{k}")}
            set_noise(network, {at: layer.noise_const for at, layer in layers.items() if layer.use_noise})
            noisy = network(latents)
            assert (noisy - plain).abs().max() > 1e-3
            assert (model.synthesis(ws) - noisy).abs().max() < 1e-4 * noisy.abs().max()
    assert plain.std() > 1e-3
    return model


@pytest.mark.parametrize(
    ("kind", "size"),
    [("authors", 256), ("authors", 512), ("authors", 1024), ("projected", 128), ("projected", 256), ("projected lite", 512)],
)
def test_equal_pictures(tmp_path, kind, size):
    network = generator(kind, size)
    torch.save(network.state_dict(), tmp_path / "G.pth")
    model = checked(tmp_path / "G.pth", network)
    assert model.resolution == size
    assert model.has_noise == (kind != "projected lite")


def test_what_the_authors_code_saves(tmp_path):
    """{'g', 'd'}, from several cards, and in a full state its mean as a list of parameters in their order."""
    network = generator("authors", 256)
    g = network.state_dict()
    torch.save({"g": {f"module.{k}": v for k, v in g.items()}, "d": {"module.rf_big.0.weight": torch.zeros(3)}}, tmp_path / "50000.pth")
    checked(tmp_path / "50000.pth", network)
    last = {name: value + 1 for name, value in g.items()}
    mean = [g[name] for name, _ in network.named_parameters()]
    buffers = {name: value for name, value in g.items() if name in dict(network.named_buffers())}
    torch.save({"g": {**last, **buffers}, "d": {}, "g_ema": mean, "opt_g": {"state": {}}}, tmp_path / "all_50000.pth")
    network = generator("authors", 256)
    checked(tmp_path / "all_50000.pth", network)


def test_a_pickle_of_projected_gans(tmp_path):
    network = generator("projected", 128)
    (tmp_path / "network-snapshot.pkl").write_bytes(pickled(network))
    found = import_file(tmp_path / "network-snapshot.pkl")
    assert found.source == "FastGAN network pickle of Projected GANs' code, G_ema"
    assert any("cats.zip" in note for note in found.notes)
    checked(tmp_path / "network-snapshot.pkl", network)


def test_it_is_explored_and_mixed_and_not_trained(tmp_path):
    library = Library([tmp_path / "models"])
    info = import_checkpoint(library, FOLDER / "G_ema.pth", "birds")
    with Engine(library, device="cpu") as engine:
        pictures = [
            engine.render(Recipe(model=info.id, seeds=seeds, psi=psi))
            for seeds, psi in (
                ((SeedWeight(1),), 0.8),
                ((SeedWeight(2),), 0.8),
                ((SeedWeight(1, 0.5), SeedWeight(2, 0.5)), 0.8),
                ((SeedWeight(1),), 0.3),
                ((SeedWeight(1),), 0.8),
            )
        ]
        assert len(engine.facts(info.id).directions) == 8
    assert np.array_equal(pictures[0], pictures[4])
    assert all(not np.array_equal(pictures[0], other) for other in pictures[1:4])
    with pytest.raises(StudioError, match="FastGAN cannot be trained here"):
        family_config(Plan(family="fastgan"), None)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"feat_16.1.weight_orig": None}, "do not follow each other"),
        ({"to_big.weight_orig": torch.zeros(3, 5, 3, 3)}, "do not fit|fits no block"),
        ({"init.init.0.weight_u": torch.zeros(7)}, "do not fit the weight"),
        ({"feat_8.1.weight_orig": torch.zeros(128, 128, 3, 3)}, "spectral norm is 0"),
        ({"embed.weight": torch.zeros(5, 12)}, "embed.weight"),
        ({"init.init.1.bias": torch.full((256,), torch.nan)}, "not finite"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, change, named):
    state = generator("authors", 256).state_dict() | change
    torch.save({k: v for k, v in state.items() if v is not None}, tmp_path / "G.pth")
    with pytest.raises(StudioError, match=named):
        import_file(tmp_path / "G.pth")
