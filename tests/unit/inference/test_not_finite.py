"""Values that are no numbers: a sentence instead of a black picture, after full precision was tried."""

import contextlib

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import studio
from studio.engine.engine import Engine
from studio.engine.image_recipe import ImageRecipe
from studio.engine.recipe import Recipe
from studio.errors import NotFinite, StudioError
from studio.imaging.pixels import to_uint8
from studio.models.acquire.folder_import import add_model_folder
from studio.models.folder import build_network
from studio.models.library import Library
from tests.conftest import save_tiny
from tests.unit.inference.test_translation import cyclegan, scene
from tests.unit.inference.test_upscaling import plain


def spoil(folder, value: float) -> None:
    state = load_file(folder / "model.safetensors")
    name = next(name for name, tensor in state.items() if tensor.is_floating_point() and tensor.ndim)
    state[name].view(-1)[0] = value
    save_file(state, folder / "model.safetensors")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_pixels_must_be_numbers(value):
    pixels = torch.zeros(1, 3, 8, 8)
    assert (to_uint8(pixels * 1e30) == 128).all()
    pixels[0, 1, 4, 4] = value
    with pytest.raises(NotFinite, match="no numbers"):
        to_uint8(pixels)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_model_folder_with_such_weights_is_refused_where_it_is_opened_or_added(tmp_path, value):
    info = save_tiny(tmp_path, "tiny")
    spoil(info.path, value)
    library = Library([tmp_path / "library"])
    for attempt in (lambda: build_network(info), lambda: studio.load(info.path), lambda: add_model_folder(info.path, library, "added", {})):
        with pytest.raises(StudioError, match="no numbers"):
            attempt()
    assert not (tmp_path / "library" / "added").exists()


@contextlib.contextmanager
def overflowing(network, value: float = float("nan")):
    """As if half precision overflowed: such values come out wherever autocast is on."""

    def hook(module, args, out):
        half = torch.is_autocast_enabled("cpu")
        return torch.full_like(out, value) if half else out

    handle = network.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def always(network):
    return network.register_forward_hook(lambda module, args, out: torch.full_like(out, float("nan")))


@pytest.mark.parametrize("tile", [None, 32])
def test_upscaling_and_translating_say_so(tile):
    for model, work in ((plain(2), "upscale"), (cyclegan(), "translate")):
        network = model.network if work == "upscale" else model.network.generator("AtoB")
        always(network if work == "upscale" else list(network.modules())[-1])
        with pytest.raises(NotFinite, match="no numbers"):
            getattr(model, work)(scene(64, 48), tile=tile)


@pytest.fixture
def engine(tmp_path):
    save_tiny(tmp_path, "tiny")
    with Engine(Library([tmp_path]), device="cpu", precision="bf16") as engine:
        yield engine


def test_a_drawing_that_overflows_is_drawn_in_full_precision(engine):
    recipe = Recipe("tiny")
    network = engine._ask(lambda: engine._loaded_model("tiny")).result().network.synthesis
    with Engine(engine.library, device="cpu", precision="fp32") as other:
        due = other.render(recipe)
    with overflowing(network):
        assert np.array_equal(engine.render(recipe), due)
        assert np.array_equal(next(iter(engine.render_many([recipe]))), due)
    handle = always(network)
    with pytest.raises(NotFinite):
        engine.render(recipe.replace(psi=0.5))
    handle.remove()


@pytest.mark.parametrize("verb", ["upscale", "translate"])
def test_half_precision_is_left_where_it_overflows(engine, verb, monkeypatch):
    model = plain(2) if verb == "upscale" else cyclegan()
    part = model.network if verb == "upscale" else list(model.network.generator("AtoB").modules())[-1]
    image = scene(64, 48)
    due = getattr(model, verb)(image)
    monkeypatch.setattr(Engine, "_reduced", torch.bfloat16)
    monkeypatch.setattr(engine, "_loaded_model", lambda id: model)
    recipe = ImageRecipe("tiny", verb=verb)
    with overflowing(part):
        made = getattr(engine, verb)(recipe, image)
    assert np.abs(np.asarray(made, int) - np.asarray(due, int)).max() <= 1
    always(part)
    with pytest.raises(NotFinite, match="no numbers"):
        getattr(engine, verb)(recipe, image)
