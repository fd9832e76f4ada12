"""Pictures from latents in the engine: synthesis, its cached layers, and pictures of the layers."""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import Future
from typing import Any

import numpy as np
import torch

from studio.engine.area import Area
from studio.engine.byte_cache import ByteCache
from studio.engine.image_to_image import PRECISIONS
from studio.engine.layer_pictures import layer_picture
from studio.engine.live_precision import live_precision
from studio.engine.loaded_model import LatentModel
from studio.engine.recipe import Recipe, Transform
from studio.engine.synthesis_cache import Bends, SynthesisCache, steps_within
from studio.errors import StudioError
from studio.imaging.kaleidoscope import kaleidoscope
from studio.imaging.pixels import to_uint8
from studio.inference.model import Model
from studio.networks.generative.latent_generator import FIRST_SIDE, Grid, OtherLatent, made_by

PREVIEW_RESOLUTION = 256


class Rendering:
    """The part of `Engine` that makes pictures from latents, on the device thread. It uses from the rest of `Engine`:

    device, precision; `_ask` runs a function on the device thread; there, `_latent_model` gives a model that draws from latents;
    `_caches` are the layers of each session; `_note` adds to the status. `model` gives a model to any thread.
    """

    device: torch.device
    precision: str
    _ask: Callable[..., Future]
    _caches: ByteCache[SynthesisCache]
    _latent_model: Callable[[str], LatentModel]
    _note: Callable[..., None]
    model: Callable[[str], Model]

    def layer_picture(self, recipe: Recipe, layer: str, channel: int | None = None, session: Hashable | None = None) -> np.ndarray:
        """Feature maps of a layer, bends included, side by side (the first 64) as uint8 (h, w, 3).  channel: this one alone.

        session: whose cached layers may be used; of its waiting requests for a layer only the newest stays.
        Raises StudioError when the model is missing, the recipe does not fit it, or it has no such layer or channel.
        """
        newest = None if session is None else (session, "layer")
        return self._ask(lambda: self._layer_picture(recipe, layer, channel, session), newest).result()

    def _layer_picture(self, recipe: Recipe, layer: str, channel: int | None, session: Hashable | None) -> np.ndarray:
        loaded = self._latent_model(recipe.model)
        space, layer_bends, synthesis = loaded.space, loaded.bends, loaded.model.network.synthesis
        index = layer_bends.index(layer)
        bends, ws = layer_bends.active(recipe), space.all_ws(recipe)
        step_bends = layer_bends.step_bends(bends)
        cache, same = self._cache(session, recipe, ws, bends, loaded, self.precision)
        start = cache.start(min(same, index), len(synthesis.steps)) if cache else None
        with self._placed(loaded.model, recipe), loaded.threads():
            options = dict(**_noise_of(recipe), bends=step_bends, others=_others(ws[:, None], recipe), start=start)
            return layer_picture(made_by(synthesis, index, ws[:1], **options), channel)

    def _cache(
        self, session: Hashable | None, recipe: Recipe, ws: torch.Tensor, bends: Bends, loaded: LatentModel, precision: str
    ) -> tuple[SynthesisCache | None, int]:
        """The layers kept for a session, and how many leading steps are as in the recipe; None where none can be kept."""
        if session is None or recipe.noise.mode == "random":
            return None, 0
        here = (loaded.info.hash, (recipe.noise, recipe.transform, recipe.canvas.grid, _where(recipe), precision))
        cache = self._caches.get(session)
        if cache is None or not cache.fits(*here):
            return SynthesisCache(*here, ws, bends), 0
        return cache, cache.unchanged(ws, bends, loaded.model.network.synthesis)

    def live_is_exact(self, id: str) -> bool:
        """Whether live pictures of a model are those of `render` to the byte. Raises StudioError when the model is missing."""
        return live_precision(self.device, self.precision, self.model(id).resolution) == self.precision

    def _render(self, recipe: Recipe, preview: bool, session: Hashable | None, live: bool = False) -> np.ndarray:
        loaded = self._latent_model(recipe.model)
        with loaded.threads():
            return self._render_one(loaded, recipe, preview, session, live)

    def _render_one(self, loaded: LatentModel, recipe: Recipe, preview: bool, session: Hashable | None, live: bool) -> np.ndarray:
        began = time.perf_counter()
        space, model, layer_bends = loaded.space, loaded.model, loaded.bends
        synthesis = model.network.synthesis
        placed = self._placed(model, recipe)
        ws, bends = space.all_ws(recipe), layer_bends.active(recipe)
        limit = PREVIEW_RESOLUTION if preview and model.resolution > PREVIEW_RESOLUTION else None
        end = steps_within(synthesis, limit)
        precision = live_precision(self.device, self.precision, model.resolution) if live else self.precision
        cache, same = self._cache(session, recipe, ws, bends, loaded, precision)
        start = cache.start(same, end) if cache else None
        states: list = []
        begin = start[0] if start else 0
        if start is not None and begin == end:
            img = start[1][1]
        else:
            step_bends = layer_bends.step_bends(bends)
            with placed:
                img = self._synthesise(synthesis, ws[:, None], recipe, limit, step_bends, start, states if cache else None, precision)
        assert img is not None, "the last state holds the picture"
        if cache is not None:
            cache = cache.updated(ws, bends, same, begin, states, end, img)
            cache.shrink(self._caches.budget // 2)
            self._caches.put(session, cache, cache.nbytes)
        picture = finished(img, recipe, limit)[0]
        ms = (time.perf_counter() - began) * 1000
        self._note(model=recipe.model, last_ms=ms, steps_run=end - begin, steps_all=end)
        return picture

    def _render_batch(self, recipes: list[Recipe], preview: bool) -> list[np.ndarray]:
        """Pictures of recipes that differ in nothing but what `batch_key` leaves out."""
        first = recipes[0]
        loaded = self._latent_model(first.model)
        space, model, layer_bends = loaded.space, loaded.model, loaded.bends
        synthesis = model.network.synthesis
        ws = torch.stack([space.all_ws(recipe) for recipe in recipes], dim=1)
        step_bends = layer_bends.step_bends(layer_bends.active(first))
        limit = PREVIEW_RESOLUTION if preview and model.resolution > PREVIEW_RESOLUTION else None
        # With random noise one at a time, each with its own, so that a picture is the same in a sheet and alone.
        parts = ws.split(1, dim=1) if first.noise.mode == "random" else [ws]
        with self._placed(model, first), loaded.threads():
            imgs = [self._synthesise(synthesis, part, first, limit, step_bends) for part in parts]
        return [picture for img in imgs for picture in finished(img, first, limit)]

    @staticmethod
    @contextlib.contextmanager
    def _placed(model: Model, recipe: Recipe) -> Iterator[None]:
        """Context in which the model draws with a recipe's transform and canvas. Raises StudioError when it cannot."""
        check_abilities(model, recipe)
        synthesis, transform, grid = model.network.synthesis, recipe.transform, recipe.canvas.grid
        with contextlib.ExitStack() as stack:
            if transform != Transform():
                stack.enter_context(synthesis.transformed(transform.x, transform.y, transform.rotate))
            if grid != Grid():
                stack.enter_context(synthesis.on_grid(grid))
            yield

    def _synthesise(
        self, synthesis, ws, recipe: Recipe, limit, bends=None, start=None, trace=None, precision: str | None = None
    ) -> torch.Tensor:
        """Pictures of ws (1 + areas, N, num_ws, w_dim), in the engine's precision or another one; where half precision overflows, once
        more in full precision."""
        reduced = PRECISIONS[precision or self.precision]
        for dtype in (reduced, None):
            if trace is not None:
                trace.clear()
            with torch.autocast(self.device.type, dtype=dtype, enabled=dtype is not None):
                options = dict(start=start, trace=trace, max_resolution=limit, bends=bends, others=_others(ws, recipe))
                img = synthesis(ws[0], **_noise_of(recipe), **options)
            if dtype is None or torch.isfinite(img).all():
                break
        return img


def batch_key(recipe: Recipe) -> tuple:
    """What recipes must have in common to be rendered together."""
    return recipe.model, recipe.noise, recipe.transform, recipe.bends, recipe.canvas, recipe.colour, _where(recipe)


def _where(recipe: Recipe) -> tuple[Area, ...]:
    """The areas, whatever their seeds: those are in ws."""
    return tuple(dataclasses.replace(area, seed=0) for area in recipe.areas)


def _others(ws: torch.Tensor, recipe: Recipe) -> list[OtherLatent]:
    """The latents of the areas.  ws: (1 + areas, N, num_ws, w_dim)."""
    return [OtherLatent(w, area.share) for w, area in zip(ws[1:], recipe.areas, strict=True)]


def _noise_of(recipe: Recipe) -> dict[str, Any]:
    """Noise as `SteppedSynthesis.run` takes it. A new generator each time: it is drawn from the beginning."""
    generator = torch.Generator().manual_seed(recipe.noise.seed) if recipe.noise.mode == "random" else None
    return {"noise_mode": recipe.noise.mode, "noise_strength": recipe.noise.strength, "generator": generator}


def check_abilities(model: Model, recipe: Recipe) -> None:
    """Raises StudioError when a recipe asks for a transform or a canvas that the model's family cannot draw."""
    grid, cannot = recipe.canvas.grid, f"The pictures of '{model.id}' cannot be"
    if recipe.transform != Transform() and not model.family.transformable:
        raise StudioError(f"{cannot} moved or turned.", "Take the transform out of the recipe, or choose another model.")
    if (grid.height, grid.width) != (FIRST_SIDE, FIRST_SIDE) and not model.family.resizable:
        raise StudioError(f"{cannot} wider or higher.", "Set width and height of the canvas to 1, or choose another model.")
    if recipe.areas and not model.family.resizable:
        raise StudioError(f"{cannot} drawn from several seeds by area.", "Remove the areas, or choose another model.")
    if grid.wrap and not model.family.tileable:
        raise StudioError(f"{cannot} tiled.", "Turn tileable off, or choose another model.")


def finished(img: torch.Tensor, recipe: Recipe, limit: int | None) -> np.ndarray:
    """Pictures as a synthesis gives them -> as they are seen, uint8 (N, H, W, 3): small enough, mirrored, graded."""
    img = fit(img, limit, recipe.canvas.grid)
    if recipe.canvas.kaleidoscope:
        img = kaleidoscope(img, recipe.canvas.kaleidoscope, recipe.canvas.turn)
    return to_uint8(recipe.colour.applied(img))


def fit(img: torch.Tensor, limit: int | None, grid: Grid) -> torch.Tensor:
    """Images (N, C, H, W) averaged down, for networks that have no image before their last layer.

    limit: in pixels of a picture of the trained shape.
    """
    h, w = img.shape[-2:]
    side = h * FIRST_SIDE // grid.height
    if limit is None or side <= limit:
        return img
    return torch.nn.functional.adaptive_avg_pool2d(img, (h * limit // side, w * limit // side))
