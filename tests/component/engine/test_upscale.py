"""Pictures made larger, through the engine and into files."""

import dataclasses
import threading
from concurrent.futures import CancelledError

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

import studio
from studio.engine.engine import Engine
from studio.engine.image_recipe import ImageRecipe
from studio.engine.recipe import Recipe
from studio.errors import NoRoom, StudioError
from studio.imaging.raster import Raster
from studio.models.folder import save_folder
from studio.models.library import Library
from studio.outputs.upscaled_file import upscale_file
from studio.provenance.metadata import read_recipe
from tests.unit.imaging.test_png_stream import encoded
from tests.unit.inference.test_translation import apart, scene
from tests.unit.inference.test_upscaling import upscaler

SHARP = ImageRecipe("sharp", verb="upscale", tile=32)


@pytest.fixture
def sharp(models):
    """'sharp', four times, beside the two models that draw from noise."""
    network = upscaler().network
    save_folder(models / "sharp", "srvgg", dataclasses.asdict(network.config), network.state_dict(), title="Sharp", dtype="float32")
    return models


@pytest.fixture
def engine(sharp):
    with Engine(Library([sharp]), device="cpu") as e:
        yield e


def test_it_is_what_the_model_makes(engine, sharp):
    model, image = studio.load(sharp / "sharp", "cpu"), scene(70, 50)
    whole = model.upscale(image)
    assert whole.size == (280, 200)
    assert apart(engine.upscale(SHARP, image), whole) <= 1
    assert apart(engine.upscale(SHARP.replace(scale=2.5), image), model.upscale(image, 2.5)) <= 1
    assert apart(engine.upscale(SHARP.replace(strength=0), image), image.resize((280, 200), Image.LANCZOS)) <= 1
    assert engine.upscale(SHARP, image.convert("L")).mode == "L"
    assert engine.upscale(SHARP, image.convert("RGBA")).mode == "RGBA"
    assert engine.status()["model"] == "sharp"


def test_others_get_their_turn_between_two_tiles(engine):
    order, wishes = [], []

    def progress(done, total):
        if not wishes:
            wishes.append(engine.submit("somebody", Recipe("tiny")))
            wishes[0].add_done_callback(lambda future: order.append("wish"))
        elif wishes[0].done() and "tile after" not in order:
            order.append("tile after")

    engine.upscale(SHARP, scene(131, 97), progress)
    assert order == ["wish", "tile after"]


def test_two_at_once_do_not_disturb_each_other(engine):
    images = [scene(70, 50), scene(131, 97)]
    alone = [engine.upscale(SHARP, image) for image in images]
    found: dict[int, Image.Image] = {}
    threads = [threading.Thread(target=lambda i=i: found.__setitem__(i, engine.upscale(SHARP, images[i]))) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [apart(found[i], alone[i]) for i in range(2)] == [0, 0]


def test_when_memory_runs_out_tiles_get_smaller(engine, monkeypatch):
    image = scene(131, 97)
    expected, network = engine.upscale(SHARP, image), engine.model("sharp").network
    forward, failed = network.forward, []
    engine.render(Recipe("tiny"))

    def small_machine(x):
        if x[0, 0].numel() > 50 * 50:
            failed.append(x.shape)
            raise torch.OutOfMemoryError("out of memory")
        return forward(x)

    network.forward = small_machine
    assert apart(engine.upscale(SHARP.replace(tile=64), image), expected) <= 1
    assert failed, "others made room"
    assert engine._models.keys() == [], "others made room"


def test_stopping(engine, tmp_path):
    tiles = []
    with pytest.raises(CancelledError):
        engine.upscale(SHARP, scene(131, 97), progress=lambda *x: tiles.append(x), cancel=lambda: len(tiles) == 3)
    scene(131, 97).save(tmp_path / "a.png")
    tiles.clear()
    with pytest.raises(CancelledError):
        upscale_file(engine, SHARP, tmp_path / "a.png", tmp_path / "b.png", lambda *x: tiles.append(x), lambda: len(tiles) == 3)
    assert len(tiles) == 3, "nothing half-written is left"
    assert [p.name for p in tmp_path.glob("*.png")] == ["a.png"], "nothing half-written is left"


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_into_a_file_with_every_bit(engine, channels, dtype, tmp_path):
    colour = np.asarray(scene(70, 50)).astype(np.float64) / 255
    pixels = np.dstack([colour, np.linspace(0, 1, 70)[None, :].repeat(50, 0)])[:, :, : channels if channels != 1 else 1]
    pixels = (pixels * np.iinfo(dtype).max).astype(dtype)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    (tmp_path / "a.png").write_bytes(encoded(pixels, [], profile=profile))
    out = upscale_file(engine, SHARP, tmp_path / "a.png", tmp_path / "deep" / "b.png")
    found = Raster.from_file(out)
    assert found.profile == profile
    assert found.pixels.dtype == dtype
    assert found.pixels.shape == (200, 280, channels)
    assert read_recipe(out) == engine.stamped(SHARP)
    levels = found.pixels.astype(int) // (257 if dtype == np.uint16 else 1)
    in_memory = engine.upscale(SHARP, Raster((pixels / np.iinfo(dtype).max * 255).round().astype(np.uint8)))
    assert np.abs(levels - np.asarray(in_memory).reshape(levels.shape)).max() <= 3
    if dtype == np.uint16:
        assert len(np.unique(found.pixels)) > 2000, "more than eight bits' worth"


def test_what_cannot_be_done_is_told(engine, tmp_path, monkeypatch):
    good = scene(24, 20)
    good.save(tmp_path / "a.png")
    (tmp_path / "text.png").write_text("hello")
    for changes, words in ((dict(verb="translate"), "verb"), (dict(model="tiny"), "does not upscale"), (dict(model="nobody"), "nobody")):
        recipe = SHARP.replace(**changes)
        with pytest.raises(StudioError, match=words):
            engine.upscale(recipe, good)
        with pytest.raises(StudioError, match=words):
            upscale_file(engine, recipe, tmp_path / "a.png", tmp_path / "b.png")
    with pytest.raises(StudioError, match="write it to a file"):
        engine.upscale(SHARP.replace(scale=16), Image.new("1", (1000, 1000)))
    for source, out, words in (
        ("a.png", "b.jpg", "Choose png"),
        ("text.png", "b.png", "cannot be read"),
        ("none.png", "b.png", "cannot be read"),
        ("a.png", "text.png/b.png", "could not be saved"),
    ):
        with pytest.raises(StudioError, match=words):
            upscale_file(engine, SHARP, tmp_path / source, tmp_path / out)
    with pytest.raises(StudioError, match="no latent w"):
        engine.render(Recipe("sharp"))
    monkeypatch.setenv("STUDIO_KEEP_FREE_MB", "1e12")
    with pytest.raises(NoRoom):
        upscale_file(engine, SHARP, tmp_path / "a.png", tmp_path / "b.png")
    assert not (tmp_path / "b.png").exists()
