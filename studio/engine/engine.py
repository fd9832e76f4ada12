"""The engine: models in memory, one thread that owns the device, the newest request of a session first."""

import contextlib
import math
import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import psutil
import torch
from safetensors import safe_open

from studio.common.progress import Cancel, Progress, raise_if_cancelled, report
from studio.engine.byte_cache import ByteCache
from studio.engine.device_thread import DeviceThread, Superseded
from studio.engine.image_recipe import ImageRecipe
from studio.engine.image_to_image import PRECISIONS, ImageToImage
from studio.engine.latent_space import LatentSpace
from studio.engine.model_facts import DirectionSet, ModelFacts
from studio.engine.recipe import Recipe, Transform
from studio.engine.synthesis_cache import SynthesisCache, steps_within
from studio.errors import StudioError
from studio.imaging.pixels import to_uint8
from studio.inference.model import Model, choose_device, load_info
from studio.models.folder import ModelInfo
from studio.models.library import Library, default_library
from studio.networks import Task

__all__ = ["Engine", "Superseded", "to_uint8"]

PREVIEW_RESOLUTION = 256
_FP16_CLAMP = 256.0
# Pictures of a sheet are rendered together up to about so many pixels. Measured on two cores: up to 128 px a batch
# takes 20 to 50 % less time a picture, from 256 px on it falls out of the cache and may take more.
_BATCH_PIXELS_CPU = 1 << 17
_BATCH_PIXELS = 1 << 22
_BATCH_MOST = 32


R = TypeVar("R", Recipe, ImageRecipe)


@dataclass(frozen=True)
class Drawn:
    """A picture as a control shows it.

    picture: uint8 (H, W, 3).  info: of its model.  warning: a sentence when the model here is not the very one of the recipe.
    """

    picture: np.ndarray
    info: ModelInfo
    warning: str | None


@dataclass
class _Loaded:
    info: ModelInfo
    model: Model
    space: LatentSpace | None  # None: it makes a picture from a picture
    facts: ModelFacts | None  # as `space`; read with the model, so that any thread may have them


class Engine(ImageToImage):
    """Renders recipes; what it makes of pictures is in `ImageToImage`.

    library: where models come from.  device: 'cuda', 'mps', 'cpu', or None = the best there is.
    precision: 'fp32', 'bf16', 'fp16', or None: bf16 (fp16 on older cards) for the synthesis on CUDA, else fp32.
    memory_budget: bytes for models in memory; None = half of the GPU's memory, or a quarter of the machine's.
    on_request: called whenever a visitor asks for a picture.
    A model larger than that is still loaded, alone. Raises StudioError for a device or precision that is not there.

    All tensors are touched by one thread. The same recipe gives the same bytes again on one device: `render` and
    `submit` make one picture at a time (the sums inside a batch are rounded otherwise than those of one picture, on
    CPUs too), and cached layers hold the very numbers that a full run would compute.
    """

    def __init__(
        self,
        library: Library | None = None,
        device: str | None = None,
        precision: str | None = None,
        memory_budget: int | None = None,
        on_request: Callable[[], None] = lambda: None,
    ):
        self.library = library or default_library()
        self._on_request = on_request
        self.device = choose_device(device)
        self.precision = precision or self._best_precision()
        if self.precision not in PRECISIONS:
            raise StudioError(f"There is no precision '{self.precision}'.", f"Choose one of {', '.join(PRECISIONS)}.")
        memory = self._memory()
        share = 2 if self.device.type == "cuda" else 4
        self._models: ByteCache[_Loaded] = ByteCache(memory_budget or memory // share)
        self._traces: ByteCache[SynthesisCache] = ByteCache(max(512 << 20, memory // 8))
        # Replaced as a whole by the device thread, so that others may read it at any time.
        self._status: dict[str, Any] = {"model": "", "last_ms": 0.0, "steps_run": 0, "steps_all": 0, "loaded": [], "bytes": 0}
        self._worker = DeviceThread(self._rescue)

    # -- choosing ------------------------------------------------------------------------------------------------

    def _best_precision(self) -> str:
        if self.device.type == "cuda":
            return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
        return "fp32"

    def _memory(self) -> int:
        if self.device.type == "cuda":
            return torch.cuda.get_device_properties(self.device).total_memory
        return psutil.virtual_memory().total

    # -- asking --------------------------------------------------------------------------------------------------

    def render(self, recipe: Recipe, preview: bool = False) -> np.ndarray:
        """uint8 (H, W, 3) of a recipe. preview: at most 256 px, from the lower layers alone where that is possible.

        Raises StudioError when the model is missing or the recipe does not fit it.
        """
        return self._ask(lambda: self._render(recipe, preview, None)).result()

    def render_many(
        self,
        recipes: list[Recipe],
        preview: bool = False,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
    ) -> list[np.ndarray]:
        """Pictures for a sheet, small ones several at a time: quicker, but a level may differ by one from `render`'s.

        progress: called with (done, all).  cancel: asked between batches; when true CancelledError is raised.
        """
        out: dict[int, np.ndarray] = {}
        groups: dict[tuple, list[int]] = {}
        for i, recipe in enumerate(recipes):
            groups.setdefault((recipe.model, recipe.noise, recipe.transform), []).append(i)
        done = 0
        for rows in groups.values():
            side = self.library.get(recipes[rows[0]].model).resolution
            pixels = _BATCH_PIXELS_CPU if self.device.type == "cpu" else _BATCH_PIXELS
            size = max(1, min(_BATCH_MOST, pixels // min(side, PREVIEW_RESOLUTION if preview else side) ** 2))
            for start in range(0, len(rows), size):
                raise_if_cancelled(cancel)
                part = rows[start : start + size]
                pictures = self._ask(lambda part=part: self._render_batch([recipes[i] for i in part], preview)).result()
                out.update(zip(part, pictures, strict=True))
                done += len(part)
                report(progress, done, len(recipes))
        return [out[i] for i in range(len(recipes))]

    def draw(self, session: Hashable, recipe: Recipe, preview: bool = False) -> Drawn:
        """The picture of a slider move with all that is shown beside it, for one turn on the device thread. Otherwise as `submit`.

        Raises StudioError when the model is missing or the recipe does not fit it, Superseded when a newer one took its place.
        """
        self._on_request()

        def run() -> Drawn:
            picture = self._render(recipe, preview, session)
            info = self._load(recipe.model).info
            return Drawn(picture, info, _changed(info, recipe))

        return self._ask(run, session).result()

    def submit(self, session: Hashable, recipe: Recipe, preview: bool = False) -> "Future[np.ndarray]":
        """Ask for a picture on behalf of a session. A request of the same session that still waits is dropped
        (its future raises Superseded). Layers that did not change since the session's last picture are not computed
        again; the bytes are those of `render`."""
        self._on_request()
        return self._ask(lambda: self._render(recipe, preview, session), session)

    def cancel(self, session: Hashable) -> None:
        """Drop what the session still waits for, and forget its cached layers."""
        self._worker.drop(session)
        if not self._worker.closed:
            self._ask(lambda: self._traces.drop(session))

    def ws(self, recipe: Recipe) -> torch.Tensor:
        """w+ (num_ws, w_dim) of a recipe, on the CPU."""
        return self._ask(lambda: self._space(recipe.model).ws(recipe).cpu()).result()

    def model(self, id: str) -> Model:
        """A model, loaded when it is not in memory. One that is there needs no turn on the device thread."""
        return self._in_memory(id).model

    def facts(self, id: str) -> ModelFacts:
        """What controls need to know of a model that draws from noise. One in memory needs no turn on the device thread.

        Raises StudioError when the model is missing, or makes a picture from a picture.
        """
        loaded = self._in_memory(id)
        if loaded.facts is None:
            raise _no_latents(id)
        return loaded.facts

    def forget(self, id: str) -> None:
        """Free the memory that a model takes; it is loaded again when it is next wanted."""
        self._ask(lambda: self._forget(id)).result()

    def direction_sets(self, id: str) -> list[DirectionSet]:
        """Directions that sliders can be made of. Raises as `facts`."""
        return list(self.facts(id).direction_sets)

    def check(self, recipe: Recipe | ImageRecipe) -> str | None:
        """A sentence when the model here is not the very one of the recipe; None when it is.

        Raises StudioError when it is not here at all.
        """
        return _changed(self.library.get(recipe.model), recipe)

    def stamped(self, recipe: R) -> R:
        """The recipe with the hash of the model that is here, as it is saved."""
        return recipe.replace(model_hash=self.library.get(recipe.model).hash)

    def status(self) -> dict[str, Any]:
        """model, device, precision, last_ms (of the last picture), loaded (ids in memory), bytes (of them)."""
        return {**self._status, "device": self._device_name(), "precision": self.precision}

    def _device_name(self) -> str:
        return torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else self.device.type.upper()

    def close(self) -> None:
        """Stop the thread, cancel what still waits, let models and caches go. May be called again."""
        self._worker.close()
        self._models.clear()
        self._traces.clear()
        self._free_unused()

    def __enter__(self) -> "Engine":
        return self

    def __exit__(self, *exc) -> None:
        self.close()

    # -- the queue -----------------------------------------------------------------------------------------------

    def _ask(self, run: Callable[[], Any], session: Hashable | None = None) -> Future:
        return self._worker.ask(run, session)

    def _made_by(self, model: str) -> None:
        self._status = {**self._status, "model": model, "last_ms": 0.0, "steps_run": 0, "steps_all": 0}

    def _rescue(self) -> None:
        """On the device thread, when memory ran out: the next try loads what it needs, and nothing else is there."""
        self._traces.clear()
        self._models.clear()
        self._free_unused()

    def _free_unused(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    # -- on the device thread ------------------------------------------------------------------------------------

    def _in_memory(self, id: str) -> _Loaded:
        """A model, of any thread: only what is not in memory waits for the device thread."""
        found = self._cached(self.library.get(id)) if not self._worker.closed else None
        return found or self._ask(lambda: self._load(id)).result()

    def _cached(self, info: ModelInfo) -> _Loaded | None:
        found = self._models.get(info.id)
        return found if found is not None and found.info.hash == info.hash else None

    def _load(self, id: str) -> _Loaded:
        info = self.library.get(id)
        found = self._cached(info)
        if found is not None:
            return found
        self._models.drop(id)
        # Others leave before it comes, so that both are never in memory at once.
        self._models.make_room(_float32_bytes(info))
        model = load_info(info, self.device)
        # Measured: the faster layout of convolutions on CPUs, but for wide networks at 64 px and below.
        if self.device.type == "cpu" or self.precision != "fp32":
            model.network.to(memory_format=torch.channels_last)
        if self.precision == "fp16":
            # A model that was trained without a bound might leave the range of half precision.
            for layer in model.network.modules():
                if getattr(layer, "clamp", 0) is None:
                    layer.clamp = _FP16_CLAMP
        space = LatentSpace(model) if model.family.task is Task.GENERATE else None
        loaded = _Loaded(info, model, space, space.facts() if space else None)
        self._models.put(id, loaded, model.nbytes)
        self._status = {**self._status, "loaded": self._models.keys(), "bytes": self._models.nbytes}
        return loaded

    def _forget(self, id: str) -> None:
        self._models.drop(id)
        self._traces.clear()  # some may be its layers; those of other models are computed again
        self._free_unused()
        self._status = {**self._status, "loaded": self._models.keys(), "bytes": self._models.nbytes}

    def _loaded_model(self, id: str) -> Model:
        """For what makes pictures from pictures."""
        model = self._load(id).model
        self._status = {**self._status, "model": id}
        return model

    def _space(self, id: str) -> LatentSpace:
        space = self._load(id).space
        if space is None:
            raise _no_latents(id)
        return space

    def _render(self, recipe: Recipe, preview: bool, session: Hashable | None) -> np.ndarray:
        began = time.perf_counter()
        space = self._space(recipe.model)
        model = space.model
        synthesis = model.network.synthesis
        placed = self._placed(model, recipe.transform)
        ws = space.ws(recipe).unsqueeze(0)
        limit = PREVIEW_RESOLUTION if preview and model.resolution > PREVIEW_RESOLUTION else None
        end = steps_within(synthesis, limit)
        trace, start, same = None, None, 0
        if session is not None and recipe.noise.mode != "random":
            here = (self._load(recipe.model).info.hash, (recipe.noise, recipe.transform))
            trace = self._traces.get(session)
            if trace is None or not trace.fits(*here):
                trace = SynthesisCache(*here, ws)
            else:
                same = trace.unchanged(ws, synthesis)
                start = trace.start(same, end)
        states: list = []
        begin = start[0] if start else 0
        if start is not None and begin == end:
            img = start[1][1]
        else:
            with placed:
                img = self._synthesise(synthesis, ws, recipe, limit, start, states if trace else None)
        assert img is not None, "the last state holds the picture"
        if trace is not None:
            trace = trace.followed(ws, same, begin, states, end, img)
            trace.shrink(self._traces.budget // 2)
            self._traces.put(session, trace, trace.nbytes)
        picture = to_uint8(fit(img, limit))[0]
        ms = (time.perf_counter() - began) * 1000
        self._status = {**self._status, "model": recipe.model, "last_ms": ms, "steps_run": end - begin, "steps_all": end}
        return picture

    def _render_batch(self, recipes: list[Recipe], preview: bool) -> list[np.ndarray]:
        space = self._space(recipes[0].model)
        model = space.model
        synthesis = model.network.synthesis
        ws = torch.stack([space.ws(recipe) for recipe in recipes])
        limit = PREVIEW_RESOLUTION if preview and model.resolution > PREVIEW_RESOLUTION else None
        with self._placed(model, recipes[0].transform):
            if recipes[0].noise.mode == "random":
                # Each picture draws its own noise, so that it is the same in a sheet and alone.
                imgs = [self._synthesise(synthesis, w[None], recipes[0], limit) for w in ws]
                return [to_uint8(fit(img, limit))[0] for img in imgs]
            return list(to_uint8(fit(self._synthesise(synthesis, ws, recipes[0], limit), limit)))

    @staticmethod
    def _placed(model: Model, transform: Transform) -> contextlib.AbstractContextManager:
        """Inside of it the model draws at this place. Raises StudioError when it cannot."""
        if transform == Transform():
            return contextlib.nullcontext()
        if not model.family.transformable:
            raise StudioError(
                f"The pictures of '{model.id}' cannot be moved or turned.", "Take the transform out of the recipe, or choose another model."
            )
        return model.network.synthesis.transformed(transform.x, transform.y, transform.rotate)

    def _synthesise(self, synthesis, ws, recipe: Recipe, limit, start=None, trace=None) -> torch.Tensor:
        generator = None
        if recipe.noise.mode == "random":
            generator = torch.Generator().manual_seed(recipe.noise.seed)
        dtype = PRECISIONS[self.precision]
        with torch.autocast(self.device.type, dtype=dtype, enabled=dtype is not None):
            return synthesis(
                ws,
                noise_mode=recipe.noise.mode,
                noise_strength=recipe.noise.strength,
                generator=generator,
                start=start,
                trace=trace,
                max_resolution=limit,
            )


def _no_latents(id: str) -> StudioError:
    return StudioError(f"The model '{id}' has no latent w to explore.", "It makes a picture from a picture; choose another model.")


def _changed(info: ModelInfo, recipe: Recipe | ImageRecipe) -> str | None:
    if recipe.model_hash and recipe.model_hash != info.hash:
        return f"The model '{info.id}' has changed since this was saved: the picture may differ."
    return None


def _float32_bytes(info: ModelInfo) -> int:
    """Bytes of a model in memory, from the header of its file."""
    with safe_open(info.path / "model.safetensors", framework="pt") as f:
        return sum(4 * math.prod(f.get_slice(name).get_shape()) for name in f.keys())  # noqa: SIM118 - safe_open is no mapping


def fit(img: torch.Tensor, limit: int | None) -> torch.Tensor:
    """(N, C, H, W) averaged down to `limit` px, for networks that have no picture before their last layer."""
    if limit is None or img.shape[-1] <= limit:
        return img
    return torch.nn.functional.adaptive_avg_pool2d(img, limit)
