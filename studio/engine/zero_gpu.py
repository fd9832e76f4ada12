"""The engine where a graphics card is lent for moments only, as on ZeroGPU Spaces.

There CUDA exists only inside of functions that `spaces.GPU` decorates; they run in a process of their own, to which what they
take and give is sent.
"""

import contextvars
import importlib.util
import os
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Any

import numpy as np
import torch
from PIL import Image

from studio.common.progress import Cancel, Progress, raise_if_cancelled, report
from studio.engine.engine import Drawn, Engine
from studio.engine.image_recipe import ImageRecipe
from studio.engine.recipe import Recipe
from studio.errors import StudioError
from studio.imaging.raster import Raster
from studio.models.library import Library

# Seconds that the card is asked for at most; less is granted sooner.
_SECONDS = {"render": 15, "render_many": 60}
_SECONDS_FROM_PICTURES = 120


def make_engine(device: str | None = None, on_request: Callable[[], None] = lambda: None) -> Engine:
    """The engine that suits this machine."""
    if os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true") and importlib.util.find_spec("spaces"):
        return ZeroEngine(on_request=on_request)
    return Engine(device=device, on_request=on_request)


class ZeroEngine(Engine):
    """Keeps house on the CPU; every picture is made by an engine in the process that has the card.

    How far a piece of work is, is told only when it is done, and it can be given up only before it begins.
    """

    def __init__(self, library: Library | None = None, on_request: Callable[[], None] = lambda: None):
        import spaces  # pyright: ignore[reportMissingImports] - there on ZeroGPU Spaces alone

        super().__init__(library, "cpu", on_request=on_request)
        self._on_card = spaces.GPU(_on_card, duration=_seconds)

    def _lend(self, verb: str, *args) -> Any:
        self._on_request()
        result, failure = self._on_card(self.library, verb, args)
        if failure is not None:
            raise failure
        return result

    def render(self, recipe: Recipe, preview: bool = False) -> np.ndarray:
        """As `Engine.render`."""
        return self._lend("render", recipe, preview)

    def render_many(
        self, recipes: list[Recipe], preview: bool = False, progress: Progress | None = None, cancel: Cancel | None = None
    ) -> list[np.ndarray]:
        """As `Engine.render_many`."""
        raise_if_cancelled(cancel)
        pictures = self._lend("render_many", recipes, preview)
        report(progress, len(recipes), len(recipes))
        return pictures

    def submit(self, session: Hashable, recipe: Recipe, preview: bool = False) -> "Future[np.ndarray]":
        """As `Engine.submit`, without cached layers."""
        # The card is lent to the visitor whose request this is, and the thread that asks for it knows none by itself.
        visit = contextvars.copy_context()
        return self._ask(lambda: visit.run(self._lend, "render", recipe, preview), session)

    def draw(self, session: Hashable, recipe: Recipe, preview: bool = False) -> Drawn:
        """As `Engine.draw`, without cached layers."""
        picture = self.submit(session, recipe, preview).result()
        return Drawn(picture, self.library.get(recipe.model), self.check(recipe))

    def translate(
        self, recipe: ImageRecipe, image: Image.Image, progress: Progress | None = None, cancel: Cancel | None = None
    ) -> Image.Image:
        """As `Engine.translate`."""
        raise_if_cancelled(cancel)
        picture = self._lend("translate", recipe, image)
        report(progress, 1, 1)
        return picture

    def upscale(
        self, recipe: ImageRecipe, image: Image.Image | Raster, progress: Progress | None = None, cancel: Cancel | None = None
    ) -> Image.Image:
        """As `Engine.upscale`."""
        raise_if_cancelled(cancel)
        picture = self._lend("upscale", recipe, image)
        report(progress, 1, 1)
        return picture

    def upscale_rows(
        self, recipe: ImageRecipe, source: Raster, begin: Callable, progress: Progress | None = None, cancel: Cancel | None = None
    ) -> None:
        """As `Engine.upscale_rows`; the result has room in memory here."""
        raise_if_cancelled(cancel)
        rows = self._lend("rows", recipe, source)
        begin(*rows.shape[:2])(rows)
        report(progress, 1, 1)


def _seconds(library: Library, verb: str, args: tuple) -> int:
    return _SECONDS.get(verb, _SECONDS_FROM_PICTURES)


# -- in the process that has the card ---------------------------------------------------------------------------------

_engine: Engine | None = None  # of this process; it is kept as long as the process is


def _on_card(library: Library, verb: str, args: tuple) -> tuple[Any, StudioError | None]:
    """What an engine on the card makes, and the failure that people should read: only such values can be sent back."""
    global _engine
    try:
        if _engine is None:
            torch.set_num_threads(1)  # this process is a copy of one with threads, whose pool of them did not come along
            _engine = Engine(library)
        _engine.library = library
        return (_rows(_engine, *args) if verb == "rows" else getattr(_engine, verb)(*args)), None
    except StudioError as e:
        return None, e


def _rows(engine: Engine, recipe: ImageRecipe, source: Raster) -> np.ndarray:
    """(H, W, C) of an enlargement."""
    bands: list[np.ndarray] = []
    engine.upscale_rows(recipe, source, lambda height, width: bands.append)
    return np.concatenate(bands)
