"""Pictures made from pictures, through the engine."""

import dataclasses
import io
import threading
from concurrent.futures import CancelledError

import numpy as np
import pytest
import torch
from PIL import Image

import studio
from studio.engine.engine import Engine
from studio.engine.image_recipe import ImageRecipe
from studio.engine.recipe import Recipe
from studio.errors import StudioError
from studio.imaging.blending import blend
from studio.imaging.raster import MAX_NETWORK_PIXELS
from studio.models.folder import save_folder
from studio.models.library import Library
from tests.conftest import with_latent
from tests.unit.inference.test_translation import apart, cyclegan, scene

PAINTED = ImageRecipe("painter", tile=96)


@pytest.fixture
def painter(models):
    """'painter' beside the two models that draw from noise."""
    network = cyclegan(directions="both").network
    save_folder(models / "painter", "cyclegan", dataclasses.asdict(network.config), network.state_dict(), title="Painter", dtype="float32")
    return models


@pytest.fixture
def engine(painter):
    with Engine(Library([painter]), device="cpu") as e:
        yield e


def test_it_is_what_the_model_makes(engine, painter):
    model, image = studio.load(painter / "painter", "cpu"), scene(200, 150)
    for direction in ("AtoB", "BtoA"):
        recipe = PAINTED.replace(direction=direction)
        out = engine.translate(recipe, image)
        assert apart(out, model.translate(image, direction)) <= 1
        assert apart(engine.translate(recipe, image), out) == 0, "the same again"
    assert apart(engine.translate(ImageRecipe("painter"), image), model.translate(image)) <= 1
    assert engine.status()["model"] == "painter"
    assert "painter" in engine.status()["loaded"]
    assert engine.stamped(PAINTED).model_hash == engine.library.get("painter").hash
    assert engine.check(engine.stamped(PAINTED)) is None
    assert "has changed" in engine.check(PAINTED.replace(model_hash="0" * 64))


def test_strength_colours_and_repeats(engine):
    image = scene(120, 100)
    once = engine.translate(PAINTED, image)
    assert apart(engine.translate(PAINTED.replace(strength=0.4, keep_colour=True), image), blend(image, once, 0.4, True)) == 0
    assert apart(engine.translate(PAINTED.replace(strength=0), image), image) == 0
    assert apart(engine.translate(PAINTED.replace(repeat=3), image), engine.translate(PAINTED, engine.translate(PAINTED, once))) == 0


def test_transparency_is_kept(engine):
    image = scene(70, 60).convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    for recipe in (PAINTED, PAINTED.replace(repeat=2, strength=0.5, keep_colour=True)):
        out = engine.translate(recipe, image)
        assert out.mode == "RGBA"
        assert out.getchannel("A").tobytes() == image.getchannel("A").tobytes()


def test_progress_goes_on_to_the_end(engine):
    told = []
    engine.translate(PAINTED.replace(repeat=2), scene(200, 150), progress=lambda done, total: told.append((done, total)))
    assert told == sorted(told)
    assert len(told) > 40
    assert told[-1] == (2000, 2000)


def test_others_get_their_turn_between_two_pieces(engine):
    """A slider's wish is asked for while a picture is translated, and answered before that is done."""
    order, wishes = [], []

    def progress(done, total):
        if not wishes:
            wishes.append(engine.submit("somebody", Recipe("tiny")))
            wishes[0].add_done_callback(lambda future: order.append("wish"))
        elif wishes[0].done() and "piece after" not in order:
            order.append("piece after")

    engine.translate(PAINTED, scene(328, 200), progress)
    assert order == ["wish", "piece after"]
    assert wishes[0].result().shape == (32, 32, 3)


def test_two_at_once_do_not_disturb_each_other(engine):
    images = [scene(200, 150), scene(328, 200)]
    alone = [engine.translate(PAINTED, image) for image in images]
    found: dict[int, Image.Image] = {}
    threads = [threading.Thread(target=lambda i=i: found.__setitem__(i, engine.translate(PAINTED, images[i]))) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [apart(found[i], alone[i]) for i in range(2)] == [0, 0]


def test_it_stops_when_asked_and_when_the_engine_closes(engine):
    pieces = []
    with pytest.raises(CancelledError):
        engine.translate(PAINTED, scene(200, 150), progress=lambda *x: pieces.append(x), cancel=lambda: len(pieces) == 3)
    assert len(pieces) == 3

    def close(done, total):
        engine.close()

    with pytest.raises((StudioError, CancelledError)):
        engine.translate(PAINTED, scene(200, 150), progress=close)


def test_when_memory_runs_out_pieces_get_smaller(engine, monkeypatch):
    image = scene(200, 150)
    expected, conv2d, failed = engine.translate(PAINTED, image), torch.nn.functional.conv2d, []
    engine.render(Recipe("tiny"))
    assert "tiny" in engine.status()["loaded"]

    def small_machine(x, *args, **kwargs):
        if x[0, 0].numel() > 60 * 60:
            failed.append(x.shape)
            raise torch.OutOfMemoryError("out of memory")
        return conv2d(x, *args, **kwargs)

    monkeypatch.setattr(torch.nn.functional, "conv2d", small_machine)
    assert apart(engine.translate(PAINTED, image), expected) <= 1
    assert failed, "others made room"
    assert engine._models.keys() == [], "others made room"
    monkeypatch.setattr(torch.nn.functional, "conv2d", lambda x, *a, **k: small_machine(torch.empty(1, 1, 99, 99)))
    with pytest.raises(StudioError, match="out of memory"):
        engine.translate(PAINTED, image)
    monkeypatch.undo()
    assert apart(engine.translate(PAINTED, image), expected) == 0, "and afterwards all is well"


def test_a_translator_has_no_latents(engine):
    assert engine.model("painter").directions == ("AtoB", "BtoA")
    recipe = Recipe("painter")
    for ask in (
        lambda: engine.render(recipe),
        lambda: engine.render_many([recipe]),
        lambda: engine.submit("s", recipe).result(),
        lambda: engine.ws(recipe),
        lambda: with_latent(engine, recipe),
        lambda: engine.facts("painter"),
    ):
        with pytest.raises(StudioError, match="no latent w to explore"):
            ask()


def opened(image: Image.Image, kind: str, **options) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return Image.open(buffer)


def test_any_picture(engine):
    small = scene(40, 30)
    sixteen = Image.fromarray(np.asarray(small.convert("L")).astype(np.uint16) * 257)
    for image, same in (
        (small.convert("L"), small.convert("L").convert("RGB")),
        (opened(small.convert("CMYK"), "TIFF"), small.convert("CMYK").convert("RGB")),
        (opened(small, "GIF", save_all=True, append_images=[Image.new("RGB", small.size)]), opened(small, "GIF").convert("RGB")),
        (opened(sixteen, "PNG"), small.convert("L").convert("RGB")),
        (scene(1, 1), scene(1, 1)),
    ):
        out = engine.translate(PAINTED, image)
        assert out.size == image.size
        assert out.mode == "RGB"
        assert apart(out, engine.translate(PAINTED, same)) == 0


def test_what_cannot_be_done_is_told(engine):
    good, whole = scene(40, 30), io.BytesIO()
    scene(200, 200).save(whole, "PNG")
    for recipe, image, words in (
        (PAINTED, Image.new("RGB", (0, 5)), "0 x 5 pixels"),
        (PAINTED, Image.new("1", (MAX_NETWORK_PIXELS // 1024 + 1, 1024)), "more than 64 megapixels"),
        (PAINTED, Image.open(io.BytesIO(whole.getvalue()[:9000])), "cannot be read"),
        (PAINTED, np.zeros((4, 4, 3), np.uint8), "not a picture but"),
        (PAINTED.replace(model="nobody"), good, "nobody"),
        (PAINTED.replace(model="tiny"), good, "does not translate pictures"),
        (PAINTED.replace(verb="upscale"), good, "verb"),
    ):
        with pytest.raises(StudioError, match=words):
            engine.translate(recipe, image)
