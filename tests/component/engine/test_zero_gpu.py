"""The engine with a card that is lent, against a `spaces` that does what ZeroGPU does: a forked process, pickled values."""

import multiprocessing
import sys
import types
from concurrent.futures import CancelledError

import numpy as np
import pytest
from PIL import Image

from studio.engine.engine import Engine
from studio.engine.image_recipe import ImageRecipe
from studio.engine.recipe import Recipe, SeedWeight
from studio.engine.zero_gpu import ZeroEngine, make_engine
from studio.errors import StudioError
from studio.models.folder import open_folder
from studio.models.library import Library
from tests.conftest import ROOT


@pytest.fixture
def lent(monkeypatch):
    """A `spaces` package whose decorated functions run in a process of their own; gives what the card was asked for."""
    asked = []

    def GPU(task, duration):
        def call(*args):
            asked.append((args[1], duration(*args)))
            context = multiprocessing.get_context("fork")
            given, made = context.SimpleQueue(), context.SimpleQueue()
            process = context.Process(target=lambda: made.put(task(*given.get())), daemon=True)
            process.start()
            given.put(args)
            result = made.get()
            process.join()
            return result

        return call

    monkeypatch.setitem(sys.modules, "spaces", types.SimpleNamespace(GPU=GPU, __spec__=types.SimpleNamespace()))
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    return asked


def _recipes(n):
    return [Recipe(model="tiny", seeds=(SeedWeight(seed),)) for seed in range(n)]


def test_pictures_are_those_of_the_plain_engine(models, engine, lent):
    with ZeroEngine(Library([models])) as zero:
        one, two = _recipes(2)
        assert np.array_equal(zero.render(one), engine.render(one))
        assert np.array_equal(zero.submit("visitor", two).result(), engine.render(two))
        told = []
        sheet = zero.render_many([one, two], progress=lambda *at: told.append(at))
        assert all(map(np.array_equal, sheet, engine.render_many([one, two])))
        assert told == [(2, 2)]
        assert zero.status()["device"] == "CPU"
        assert zero.facts("tiny").direction_sets
    assert lent == [("render", 15), ("render", 15), ("render_many", 60)]


def test_pictures_from_pictures(lent):
    info = open_folder(ROOT / "checkpoints" / "ink-colour")
    library = Library([info.path.parent])
    picture = Image.new("RGB", (32, 32), (200, 90, 40))
    recipe = ImageRecipe(info.id, direction="AtoB")
    with ZeroEngine(library) as zero, Engine(library, device="cpu") as plain:
        assert zero.translate(recipe, picture).tobytes() == plain.translate(recipe, picture).tobytes()
        with pytest.raises(CancelledError):
            zero.translate(recipe, picture, cancel=lambda: True)


def test_failures_come_back_as_they_are(models, lent):
    with ZeroEngine(Library([models])) as zero:
        with pytest.raises(StudioError, match="'nobody' is not in this studio") as failure:
            zero.render(Recipe(model="nobody"))
        assert "tiny" in failure.value.hint


def test_the_engine_of_this_machine(lent, monkeypatch, studio_home):
    with make_engine() as engine:
        assert isinstance(engine, ZeroEngine)
    monkeypatch.delenv("SPACES_ZERO_GPU")
    with make_engine("cpu") as engine:
        assert type(engine) is Engine
