"""Translation and upscaling in the engine, a piece at a time, so that other requests get their turn."""

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
from studio.errors import NotFinite, StudioError
from studio.imaging.blending import blend
from studio.imaging.decode import MAX_PIXELS
from studio.imaging.raster import Raster, check_image
from studio.imaging.rows import run_device_work
from studio.inference.model import Model
from studio.inference.translation import TranslationSteps, default_tile_size, translation_steps
from studio.inference.upscaling import Upscaling

PRECISIONS = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


class ImageToImage:
    """The part of `Engine` that makes pictures from pictures. It uses from the rest of `Engine`:

    device, precision; `_ask` runs a function on the device thread; there, `_loaded_model` gives a model, `_note_model` records
    which one is in use and `_rescue` frees memory; `_on_request` notes that somebody waits; `stamped` puts a model's hash into a recipe.
    """

    device: torch.device
    precision: str
    stamped: Callable[[ImageRecipe], ImageRecipe]
    _ask: Callable[[Callable[[], Any]], Future]
    _loaded_model: Callable[[str], Model]
    _on_request: Callable[[], None]
    _note_model: Callable[[str], None]
    _rescue: Callable[[], None]

    def translate(
        self,
        recipe: ImageRecipe,
        image: Image.Image,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
    ) -> Image.Image:
        """Translate `image` by a recipe: RGB of the same size, or RGBA with the transparency of `image`.

        It is computed piece by piece, and other requests run in between. The pixels are taken as stored, without applying the EXIF
        orientation. When memory runs out, smaller pieces are tried.
        progress: called with (done, all) after each piece.  cancel: asked before each piece; when true CancelledError is raised.
        Raises StudioError when the model is missing or does not translate in that direction, and for a picture that cannot be
        used (without pixels, of more than 64 megapixels, or damaged).
        """
        if recipe.verb != "translate":
            raise StudioError(f"The recipe's verb is '{recipe.verb}'.", "This needs a recipe whose verb is 'translate'.")
        source = result = check_image(image)

        def report_share(turn: int, share: float) -> None:
            report(progress, int(1000 * (turn + share)), 1000 * recipe.repeat)

        for turn in range(recipe.repeat):
            result = self._translated(recipe, result, functools.partial(report_share, turn), cancel)
        return blend(source, result, recipe.strength, recipe.keep_colour)

    def upscale(
        self,
        recipe: ImageRecipe,
        image: Image.Image | Raster,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
    ) -> Image.Image:
        """Upscale `image` by a recipe. The channels (grey or colour, transparent or not) and the profile stay those of `image`.

        image: a Raster may hold 16 bits a channel, which are used, and rounded to 8 at the end.
        It is computed tile by tile, and other requests run in between. When memory runs out, smaller tiles are tried.
        progress: called with (done, all) between tiles.  cancel: asked between tiles; when true CancelledError is raised.
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
        """As `upscale`, but rows are handed on as they are made, so that the result may be larger than memory.

        begin: (height, width) of the result -> function called with its rows from top to bottom, (n, width, C) at a time, with
        the channels and depth of `source`.
        """
        job = self._upscaling(recipe, source)
        self._upscaled(job, begin(job.height, job.width), progress, cancel)

    def _upscaling(self, recipe: ImageRecipe, source: Raster) -> Upscaling:
        if recipe.verb != "upscale":
            raise StudioError(f"The recipe's verb is '{recipe.verb}'.", "This needs a recipe whose verb is 'upscale'.")

        def begin() -> Upscaling:
            model = self._loaded_model(recipe.model)
            model.need_scale()
            self._note_model(recipe.model)
            return Upscaling(model.network, source, recipe.scale or None, recipe.strength, recipe.tile or None, False, recipe.seamless)

        return self._ask(begin).result()

    def _upscaled(
        self,
        job: Upscaling,
        write: Callable[[np.ndarray], None],
        progress: Progress | None,
        cancel: Cancel | None,
    ) -> None:
        def report_tiles() -> None:
            self._on_request()
            if progress is not None and job.all:
                progress(job.done, job.all)

        def run(piece: Callable[[], Any]) -> Any:
            result, failed = self._ask(lambda: self._piece(piece)).result()
            if failed is not None:
                raise failed
            return result

        run_device_work(job.into(write), run, report_tiles, cancel)
        report_tiles()

    def _translated(
        self, recipe: ImageRecipe, picture: Image.Image, report_share: Callable[[float], None], cancel: Cancel | None
    ) -> Image.Image:
        steps, full = self._ask(lambda: self._translation(recipe, picture)).result(), False
        while True:
            raise_if_cancelled(cancel)
            self._on_request()
            try:
                share, result = self._ask(functools.partial(self._step, steps, full)).result()
            except NotFinite:
                if full or not self._reduced:
                    raise
                # Half precision overflowed: from the beginning, in full precision.
                steps, full = self._ask(lambda: self._translation(recipe, picture)).result(), True
                continue
            report_share(share)
            if result is not None:
                return result

    # -- on the device thread ------------------------------------------------------------------------------------

    def _translation(self, recipe: ImageRecipe, picture: Image.Image) -> TranslationSteps:
        model = self._loaded_model(recipe.model)
        model.need_direction(recipe.direction)
        self._note_model(recipe.model)
        return translation_steps(model.network, picture, recipe.direction, recipe.tile or default_tile_size(self.device), self._rescue)

    def _piece(self, piece: Callable[[], Any]) -> tuple[Any, Exception | None]:
        """Result of a piece of work, and the exception if memory ran out: it has then been freed for another try. Where half precision
        overflows, the piece is done again in full precision."""
        try:
            try:
                with self._autocast():
                    return piece(), None
            except NotFinite:
                if not self._reduced:
                    raise
            return piece(), None
        except Exception as e:
            if not out_of_memory(e):
                raise
            failed = e.with_traceback(None)  # the traceback would keep the tensors of the piece alive
        self._rescue()
        return None, failed

    def _autocast(self) -> contextlib.AbstractContextManager:
        """Autocast for image-to-image networks; reduced precision pays off on CUDA alone."""
        return torch.autocast(self.device.type, dtype=self._reduced, enabled=self._reduced is not None)

    @property
    def _reduced(self) -> torch.dtype | None:
        return PRECISIONS[self.precision] if self.device.type == "cuda" else None

    def _step(self, steps: TranslationSteps, full: bool = False) -> tuple[float, Image.Image | None]:
        """Run one more piece. Returns the share of work done, and the picture when it is finished.  full: in full precision."""
        try:
            with contextlib.nullcontext() if full else self._autocast():
                done, total = next(steps)
        except StopIteration as end:
            return 1.0, end.value
        except Exception as e:
            if not out_of_memory(e):
                raise
            # Raised between pieces: the generator has ended, so a second try is impossible.
            raise StudioError("The device ran out of memory.", "Close other programs, or make the picture smaller.") from None
        return done / total, None
