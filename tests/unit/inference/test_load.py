"""studio.load and the object it gives."""

import numpy as np
import pytest
import torch

import studio
from studio.errors import StudioError
from tests.conftest import GOLDEN, save_tiny


@pytest.fixture
def model(tmp_path):
    save_tiny(tmp_path, "tiny")
    return studio.load(tmp_path / "tiny", device="cpu")


def test_any_array_of_numbers_is_taken(model):
    z = np.random.RandomState(0).randn(3, 16)
    expected = model.mapping(torch.from_numpy(z))
    readonly = z.copy()
    readonly.setflags(write=False)
    for same in (z, z.astype(np.float32), z.tolist(), readonly, np.asfortranarray(z), torch.from_numpy(z).requires_grad_()):
        assert torch.equal(model.mapping(same), expected)
    assert torch.equal(model.mapping(z[::-1]), expected.flip(0))
    assert not expected.requires_grad
    assert expected.dtype == torch.float32
    assert model.mapping(np.zeros((1, 16), np.int64)).shape == (1, model.num_ws, model.w_dim)


def test_what_is_put_in_is_not_written_to(model):
    z = np.random.RandomState(0).randn(1, 16).astype(np.float32)
    ws = model.mapping(z).numpy().copy()
    z0, ws0 = z.copy(), ws.copy()
    model.mapping(z, truncation_psi=0.3, truncation_cutoff=2)
    model.synthesis(ws)
    assert np.array_equal(z, z0)
    assert np.array_equal(ws, ws0)


@pytest.mark.parametrize(
    "z",
    [
        np.zeros((1, 16), complex),
        np.full((1, 16), 1e300),
        [[0.0] * 16, [0.0] * 15],
        None,
        [["a"] * 16],
        torch.zeros(1, 16, dtype=torch.complex64),
    ],
    ids=["complex", "too large", "ragged", "None", "text", "complex tensor"],
)
def test_what_is_no_array_of_real_numbers(model, z):
    with pytest.raises(StudioError, match=r"^z "):
        model.mapping(z)


@pytest.mark.parametrize("psi", ["a", None, float("inf"), [1, 2]])
def test_a_psi_that_is_no_number(model, psi):
    with pytest.raises(StudioError, match="truncation_psi"):
        model.mapping(np.zeros((1, 16)), truncation_psi=psi)


@pytest.mark.parametrize("cutoff", [-1, 2.5, "2"])
def test_a_cutoff_that_counts_no_rows(model, cutoff):
    with pytest.raises(StudioError, match=f"0 to {model.num_ws}"):
        model.mapping(np.zeros((1, 16)), truncation_psi=0.5, truncation_cutoff=cutoff)


def test_truncation_is_the_mean_of_w_and_stops_at_the_cutoff(model):
    z = np.random.RandomState(1).randn(2, 16)
    ws = model.mapping(z)
    half = model.mapping(z, truncation_psi=0.5, truncation_cutoff=np.int64(3))
    assert torch.allclose(half[:, :3], model.w_avg + 0.5 * (ws[:, :3] - model.w_avg), atol=1e-6)
    assert torch.equal(half[:, 3:], ws[:, 3:])
    assert torch.allclose(model.mapping(z, truncation_psi=0), model.w_avg.expand_as(ws), atol=1e-6)


def test_nothing_in_is_nothing_out(model):
    ws = model.mapping(np.zeros((0, 16)))
    assert model.synthesis(ws).shape == (0, 3, 32, 32)


def test_facts(model):
    assert model.nbytes == sum(t.numel() * t.element_size() for t in model.network.state_dict().values())
    assert model.id == "tiny" == model.info.id
    assert model.device == torch.device("cpu")
    assert model.w_avg.shape == (16,)
    assert "tiny" in repr(model)
    assert not model.network.training
    assert not any(p.requires_grad for p in model.network.parameters())


def test_a_path_is_meant_as_a_path(tmp_path, monkeypatch, studio_home):
    folder = save_tiny(tmp_path, "tiny").path
    monkeypatch.chdir(folder)
    assert studio.load(".", device="cpu").id == "tiny"
    monkeypatch.chdir(tmp_path)
    assert studio.load("tiny", device="cpu").id == "tiny"
    (folder / "config.json").unlink()
    for source in (folder, str(folder), "./tiny", "../" + tmp_path.name + "/tiny"):
        with pytest.raises(StudioError, match=r"has no config.json"):
            studio.load(source)
    for source in ("./nowhere", tmp_path / "nowhere", str(tmp_path / "nowhere.pkl")):
        with pytest.raises(StudioError, match="There is no model at"):
            studio.load(source)
    for name in ("nowhere", "x" * 5000, "a\0b", ""):
        with pytest.raises(StudioError):
            studio.load(name)


def test_a_file_that_is_no_checkpoint(tmp_path):
    (tmp_path / "page.pkl").write_text("<!DOCTYPE html><title>Not found</title>")
    with pytest.raises(StudioError, match="web page"):
        studio.load(tmp_path / "page.pkl")


def test_a_foreign_file_becomes_a_model_of_the_library(tmp_path, studio_home):
    """And gives the very same pictures from there: an imported model keeps full precision."""
    from studio.models.acquire.checkpoint_import import import_checkpoint
    from studio.models.library import default_library

    source = next((GOLDEN / "stylegan2-ada-cond5-32").glob("*.pkl"))
    direct = studio.load(source, device="cpu")
    assert not any((studio_home / "models").glob("*")), "loading writes nothing"
    first, second = (import_checkpoint(default_library(), source, "My-Import") for _ in range(2))
    assert (first.id, second.id) == ("My-Import", "My-Import-2")
    assert first.thumbnail
    kept = studio.load("My-Import", device="cpu")
    z, c = np.random.RandomState(3).randn(2, direct.z_dim), np.eye(direct.c_dim)[[0, 4]]
    assert torch.equal(direct.synthesis(direct.mapping(z, c, 0.7)), kept.synthesis(kept.mapping(z, c, 0.7)))
    assert len(kept.classes) == kept.c_dim == 5
    for name in ("../out", "a b", "", "con"):
        with pytest.raises(StudioError, match="cannot be the name"):
            import_checkpoint(default_library(), source, name)


@pytest.fixture
def classes(tmp_path):
    """A model of three classes, and an engine over it."""
    from studio.models.library import Library

    save_tiny(tmp_path / "models", "kinds", seed=3, c_dim=3)
    with studio.Engine(Library([tmp_path / "models"]), device="cpu") as engine:
        yield studio.load(tmp_path / "models" / "kinds", device="cpu"), engine


@pytest.mark.parametrize(
    ("given", "weights"),
    [
        (None, [(0, 1)]),
        (2, [(2, 1)]),
        ("kind 1", [(1, 1)]),
        ("KIND 1", [(1, 1)]),
        ("2", [(2, 1)]),
        ([[1, 0, 3]] * 3, [(0, 1), (2, 3)]),
        (np.full((3, 3), 0.5), [(0, 1), (1, 1), (2, 1)]),
    ],
)
def test_sample_gives_the_pictures_of_the_engine(classes, given, weights):
    from studio.engine.recipe import ClassWeight, Recipe, SeedWeight

    model, engine = classes
    shown = model.sample([5, 6, 7], given, truncation_psi=0.6)
    assert shown.shape == (3, 32, 32, 3)
    assert shown.dtype == np.uint8
    for seed, picture in zip((5, 6, 7), shown, strict=True):
        recipe = Recipe(model="kinds", seeds=(SeedWeight(seed),), psi=0.6, classes=tuple(ClassWeight(k, w) for k, w in weights))
        assert np.abs(picture.astype(int) - engine.render(recipe)).max() <= 1


def test_sample_takes_a_class_a_seed_in_any_batch(classes, monkeypatch):
    model, _ = classes
    whole = model.sample([1, 1, 1], [0, "kind 1", 2])
    assert all(np.abs(whole[k].astype(int) - model.sample(1, k)[0]).max() <= 1 for k in range(3))
    assert len({picture.tobytes() for picture in whole}) == 3
    monkeypatch.setattr("studio.inference.model._BATCH_PIXELS", 1)
    assert np.abs(model.sample(np.array([1, 1, 1]), np.arange(3)).astype(int) - whole).max() <= 1
    assert model.sample([]).shape == (0, 32, 32, 3)


def test_sample_without_classes(model):
    assert np.abs(model.sample(range(2))[1].astype(int) - model.sample(1)[0]).max() <= 1
    with pytest.raises(StudioError, match="has no classes"):
        model.sample([1], 0)


@pytest.mark.parametrize(
    ("seeds", "options"),
    [
        ([-1], {}),
        ([1.5], {}),
        (["a"], {}),
        ([[1], [2, 3]], {}),
        (None, {}),
        ([1], {"classes": 3}),
        ([1], {"classes": -1}),
        ([1], {"classes": "newt"}),
        ([1], {"classes": True}),
        ([1], {"classes": 1.5}),
        ([1], {"classes": [0, 1]}),
        ([1], {"classes": [[0, 0, 0]]}),
        ([1], {"classes": [[1, -1, 1]]}),
        ([1], {"classes": [[1, 1]]}),
        ([1], {"classes": [[float("nan"), 1, 1]]}),
        ([1], {"truncation_psi": float("nan")}),
        ([1], {"truncation_psi": "much"}),
    ],
)
def test_sample_tells_what_it_cannot_use(classes, seeds, options):
    with pytest.raises(StudioError):
        classes[0].sample(seeds, **options)
