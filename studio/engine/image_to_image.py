"""What the engine makes of pictures: translations and enlargements, a piece at a time, so that others get their turn."""

import contextlib
import functools
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import numpy as np
import torch
from PIL import Image

from studio.common.memory import out_of_memory
from studio.common.progress import Cancel, Progress, raise_if_cancelled, report
from studio.engine.image_recipe import ImageRecipe
from studio.errors import StudioError
from studio.imaging.blending import blend
from studio.imaging.decode import MAX_PIXELS
from studio.imaging.raster import Raster, check_image
from studio.imaging.rows import run_device_work
from studio.inference.model import Model
from studio.inference.translation import TranslationSteps, default_tile_size, translation_steps
from studio.inference.upscaling import Upscaling

PRECISIONS = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


class ImageToImage:
    """The part of `Engine` that makes pictures from pictures. What it uses of the rest:

    device, precision; `_ask` has something run on the device thread; there, `_loaded_model` gives a model, `_made_by` notes which
    one is at work and `_rescue` makes room; `_on_request` is told that somebody waits; `stamped` puts a model's hash into a recipe.
    """

    device: torch.device
    precision: str
    stamped: Callable[[ImageRecipe], ImageRecipe]
    _ask: Callable[[Callable[[], Any]], Future]
    _loaded_model: Callable[[str], Model]
    _on_request: Callable[[], None]
    _made_by: Callable[[str], None]
    _rescue: Callable[[], None]

    def translate(
        self,
        recipe: ImageRecipe,
        image: Image.Image,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
    ) -> Image.Image:
        """A picture made from `image` by a recipe: RGB of the same size, or RGBA with the transparency of `image`.

        It is computed piece by piece, and between two of them the thread does what others ask for. The pixels are read as they
        lie, without a turn by EXIF. When memory runs out, smaller pieces are tried.
        progress: called with (done, all) after each.  cancel: asked before each; when true CancelledError is raised.
        Raises StudioError when the model is missing or does not translate in that direction, and for a picture that cannot be
        used (without pixels, of more than 64 megapixels, or damaged).
        """
        if recipe.verb != "translate":
            raise StudioError(f"The recipe's verb is '{recipe.verb}'.", "To translate is another one.")
        source = result = check_image(image)

        def told(turn: int, share: float) -> None:
            report(progress, int(1000 * (turn + share)), 1000 * recipe.repeat)

        for turn in range(recipe.repeat):
            result = self._translated(recipe, result, functools.partial(told, turn), cancel)
        return blend(source, result, recipe.strength, recipe.keep_colour)

    def upscale(
        self,
        recipe: ImageRecipe,
        image: Image.Image | Raster,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
    ) -> Image.Image:
        """A picture made larger by a recipe: of the kind of `image` (grey or in colour, transparent or not), with its profile.

        image: a Raster may hold 16 bits of colour, which are used, and rounded in the end.
        It is drawn tile by tile, and between two of them the thread does what others ask for. When memory runs out, smaller
        tiles are tried.  progress: called with (done, all) between tiles.  cancel: asked between tiles; when true
        CancelledError is raised.
        Raises StudioError when the model is missing or does not upscale, for a picture that cannot be used (without pixels, of
        more than 64 megapixels, or damaged), and for a result that Pillow cannot hold: `upscale_rows` can.
        """
        source = image if isinstance(image, Raster) else Raster.from_image(image)
        job, bands = self._upscaling(recipe, source), []
        if job.width * job.height > MAX_PIXELS:
            raise StudioError(f"The result would be {job.width} x {job.height} pixels.", "Choose a smaller scale, or write it to a file.")
        self._upscaled(job, bands.append, progress, cancel)
        return Raster(np.concatenate(bands), source.profile).to_image()

    def upscale_rows(
        self,
        recipe: ImageRecipe,
        source: Raster,
        begin: Callable[[int, int], Callable[[np.ndarray], None]],
        progress: Progress | None = None,
        cancel: Cancel | None = None,
    ) -> None:
        """As `upscale`, with the rows handed on as they are made, so that the result may be larger than memory.

        begin: (height, width) of the result -> what is called with its rows from top to bottom, each time (n, width, C) of the
        channels and depth of `source`.
        """
        job = self._upscaling(recipe, source)
        self._upscaled(job, begin(job.height, job.width), progress, cancel)

    def _upscaling(self, recipe: ImageRecipe, source: Raster) -> Upscaling:
        if recipe.verb != "upscale":
            raise StudioError(f"The recipe's verb is '{recipe.verb}'.", "To upscale is another one.")

        def begin() -> Upscaling:
            model = self._loaded_model(recipe.model)
            model.need_scale()
            self._made_by(recipe.model)
            return Upscaling(model.network, source, recipe.scale or None, recipe.strength, recipe.tile or None, at_once=False)

        return self._ask(begin).result()

    def _upscaled(
        self,
        job: Upscaling,
        write: Callable[[np.ndarray], None],
        progress: Progress | None,
        cancel: Cancel | None,
    ) -> None:
        def told() -> None:
            self._on_request()
            if progress is not None and job.all:
                progress(job.done, job.all)

        def run(piece: Callable[[], Any]) -> Any:
            result, failed = self._ask(lambda: self._piece(piece)).result()
            if failed is not None:
                raise failed
            return result

        run_device_work(job.into(write), run, told, cancel)
        told()

    def _translated(self, recipe: ImageRecipe, picture: Image.Image, told: Callable[[float], None], cancel: Cancel | None) -> Image.Image:
        steps = self._ask(lambda: self._translation(recipe, picture)).result()
        while True:
            raise_if_cancelled(cancel)
            self._on_request()
            share, result = self._ask(lambda: self._step(steps)).result()
            told(share)
            if result is not None:
                return result

    # -- on the device thread ------------------------------------------------------------------------------------

    def _translation(self, recipe: ImageRecipe, picture: Image.Image) -> TranslationSteps:
        model = self._loaded_model(recipe.model)
        model.need_direction(recipe.direction)
        self._made_by(recipe.model)
        return translation_steps(model.network, picture, recipe.direction, recipe.tile or default_tile_size(self.device), self._rescue)

    def _piece(self, piece: Callable[[], Any]) -> tuple[Any, Exception | None]:
        """What a piece of work gives, and what it raised when memory ran out: then there is more room now."""
        try:
            with self._autocast():
                return piece(), None
        except Exception as e:
            if not out_of_memory(e):
                raise
            failed = e.with_traceback(None)  # which holds on to the tensors of the piece
        self._rescue()
        return None, failed

    def _autocast(self) -> contextlib.AbstractContextManager:
        """For networks that make pictures from pictures; reduced precision is worth it on CUDA alone."""
        dtype = PRECISIONS[self.precision] if self.device.type == "cuda" else None
        return torch.autocast(self.device.type, dtype=dtype, enabled=dtype is not None)

    def _step(self, steps: TranslationSteps) -> tuple[float, Image.Image | None]:
        """Share of the work that is done after one more piece; the picture, when it is done."""
        try:
            with self._autocast():
                done, total = next(steps)
        except StopIteration as end:
            return 1.0, end.value
        except Exception as e:
            if not out_of_memory(e):
                raise
            # Between the pieces; a second try would find the steps ended.
            raise StudioError("The device ran out of memory.", "Close other programs, or make the picture smaller.") from None
        return done / total, None
