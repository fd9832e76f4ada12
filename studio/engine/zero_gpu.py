"""The engine for ZeroGPU Spaces, where a GPU is lent for a single call at a time.

There CUDA exists only inside functions decorated with `spaces.GPU`; they run in a separate process, to which arguments and from
which results are sent.
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

# Maximum seconds requested of the GPU; shorter requests are granted sooner.
_SECONDS = {"render": 15, "layer_picture": 15, "render_many": 60}
_SECONDS_IMAGE_TO_IMAGE = 120


def make_engine(device: str | None = None, on_request: Callable[[], None] = lambda: None) -> Engine:
    """The engine that suits this machine."""
    if os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true") and importlib.util.find_spec("spaces"):
        return ZeroEngine(on_request=on_request)
    return Engine(device=device, on_request=on_request)


class ZeroEngine(Engine):
    """Engine on the CPU that has every picture made by another engine in the process that has the GPU.

    Progress is reported only at the end of a piece of work, which can be cancelled only before it begins.
    """

    def __init__(self, library: Library | None = None, on_request: Callable[[], None] = lambda: None):
        import spaces  # pyright: ignore[reportMissingImports] - exists on ZeroGPU Spaces alone

        super().__init__(library, "cpu", on_request=on_request)
        self._call_on_gpu = spaces.GPU(_call, duration=_seconds)

    def _on_gpu(self, verb: str, *args) -> Any:
        self._on_request()
        result, failure = self._call_on_gpu(self.library, verb, args)
        if failure is not None:
            raise failure
        return result

    def render(self, recipe: Recipe, preview: bool = False) -> np.ndarray:
        """As `Engine.render`."""
        return self._on_gpu("render", recipe, preview)

    def render_many(
        self, recipes: list[Recipe], preview: bool = False, progress: Progress | None = None, cancel: Cancel | None = None
    ) -> list[np.ndarray]:
        """As `Engine.render_many`."""
        raise_if_cancelled(cancel)
        pictures = self._on_gpu("render_many", recipes, preview)
        report(progress, len(recipes), len(recipes))
        return pictures

    def submit(self, session: Hashable, recipe: Recipe, preview: bool = False, live: bool = False) -> "Future[np.ndarray]":
        """As `Engine.submit`, without cached layers."""
        # The GPU is lent to the visitor of this request, whom the device thread knows only through the request's context.
        context = contextvars.copy_context()
        return self._ask(lambda: context.run(self._on_gpu, "render", recipe, preview), session)

    def draw(self, session: Hashable, recipe: Recipe, preview: bool = False) -> Drawn:
        """As `Engine.draw`, without cached layers."""
        picture = self.submit(session, recipe, preview).result()
        return Drawn(picture, self.library.get(recipe.model), self.check(recipe))

    def layer_picture(self, recipe: Recipe, layer: str, channel: int | None = None, session: Hashable | None = None) -> np.ndarray:
        """As `Engine.layer_picture`, without cached layers."""
        return self._on_gpu("layer_picture", recipe, layer, channel)

    def translate(
        self, recipe: ImageRecipe, image: Image.Image, progress: Progress | None = None, cancel: Cancel | None = None
    ) -> Image.Image:
        """As `Engine.translate`."""
        raise_if_cancelled(cancel)
        picture = self._on_gpu("translate", recipe, image)
        report(progress, 1, 1)
        return picture

    def upscale(
        self, recipe: ImageRecipe, image: Image.Image | Raster, progress: Progress | None = None, cancel: Cancel | None = None
    ) -> Image.Image:
        """As `Engine.upscale`."""
        raise_if_cancelled(cancel)
        picture = self._on_gpu("upscale", recipe, image)
        report(progress, 1, 1)
        return picture

    def upscale_rows(
        self, recipe: ImageRecipe, source: Raster, begin: Callable, progress: Progress | None = None, cancel: Cancel | None = None
    ) -> None:
        """As `Engine.upscale_rows`, but the whole result must fit into memory."""
        raise_if_cancelled(cancel)
        rows = self._on_gpu("rows", recipe, source)
        begin(*rows.shape[:2])(rows)
        report(progress, 1, 1)


def _seconds(library: Library, verb: str, args: tuple) -> int:
    return _SECONDS.get(verb, _SECONDS_IMAGE_TO_IMAGE)


# -- in the process that has the GPU ---------------------------------------------------------------------------------

_engine: Engine | None = None  # of this process, kept as long as it lives


def _call(library: Library, verb: str, args: tuple) -> tuple[Any, StudioError | None]:
    """Result of an engine on the GPU, or the error to show: exceptions are returned, since only values can be sent back."""
    global _engine
    try:
        if _engine is None:
            torch.set_num_threads(1)  # this process was forked, and torch's thread pool does not survive a fork
            _engine = Engine(library)
        _engine.library = library
        return (_rows(_engine, *args) if verb == "rows" else getattr(_engine, verb)(*args)), None
    except StudioError as e:
        return None, e


def _rows(engine: Engine, recipe: ImageRecipe, source: Raster) -> np.ndarray:
    """Upscaled picture (H, W, C)."""
    bands: list[np.ndarray] = []
    engine.upscale_rows(recipe, source, lambda height, width: bands.append)
    return np.concatenate(bands)
