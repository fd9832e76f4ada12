"""The engine: models in memory, one thread that owns the device, the newest request of a session first."""

from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import psutil
import torch

from studio.common.progress import Cancel, Progress, raise_if_cancelled, report
from studio.engine.byte_cache import ByteCache
from studio.engine.device_thread import DeviceThread, Superseded
from studio.engine.image_recipe import ImageRecipe
from studio.engine.image_to_image import PRECISIONS, ImageToImage
from studio.engine.loaded_model import LatentModel, LoadedModel
from studio.engine.model_facts import ModelFacts
from studio.engine.recipe import Recipe
from studio.engine.rendering import PREVIEW_RESOLUTION, Rendering, batch_key
from studio.engine.synthesis_cache import SynthesisCache
from studio.errors import StudioError
from studio.imaging.pixels import to_uint8
from studio.inference.model import Model, choose_device, float32_bytes, load_info
from studio.models.folder import ModelInfo
from studio.models.library import Library, default_library
from studio.settings import get_settings

__all__ = ["Engine", "Superseded", "to_uint8"]

_FP16_CLAMP = 256.0
# Pictures of a sheet are rendered together up to about this many pixels. Measured on two cores: up to 128 px a batch
# takes 20 to 50 % less time per picture; from 256 px on it no longer fits the CPU's cache and may take more.
_BATCH_PIXELS_CPU = 1 << 17
_BATCH_PIXELS = 1 << 22
_MAX_BATCH = 32
R = TypeVar("R", Recipe, ImageRecipe)


@dataclass(frozen=True)
class Drawn:
    """A picture as a control shows it.

    picture: uint8 (H, W, 3).  info: of its model.  warning: a sentence when the model's hash differs from the recipe's.
    """

    picture: np.ndarray
    info: ModelInfo
    warning: str | None


class Engine(Rendering, ImageToImage):
    """Renders recipes, see `Rendering`; translation and upscaling are in `ImageToImage`.

    library: where models come from.  device: 'cuda', 'mps', 'cpu', or None = the best available.
    precision: 'fp32', 'bf16', 'fp16', or None: bf16 (fp16 on older cards) for the synthesis on CUDA, else fp32.
    memory_budget: bytes for models in memory; None = half of the GPU's memory, or a quarter of the machine's. A larger model is
    still loaded, alone.
    on_request: called whenever a visitor asks for a picture.
    Raises StudioError for a device or precision that is not available.

    One thread touches all tensors. On one device the same recipe always gives the same bytes: `render` and `submit` make one
    picture at a time (sums within a batch are rounded differently, on CPUs too), and cached layers hold exactly the numbers that
    a full run would compute.
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
        self._models: ByteCache[LoadedModel] = ByteCache(memory_budget or memory // share)
        self._caches: ByteCache[SynthesisCache] = ByteCache(max(512 << 20, memory // 8))
        # Replaced as a whole by the device thread, so that other threads may read it at any time.
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
        """Picture of a recipe, uint8 (H, W, 3). preview: at most 256 px, from the lower layers alone where possible.

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
        """Pictures for a sheet. Small ones are rendered in batches: faster, but levels may differ by one from `render`'s.

        progress: called with (done, all).  cancel: asked between batches; when true CancelledError is raised.
        """
        out: dict[int, np.ndarray] = {}
        groups: dict[tuple, list[int]] = {}
        for i, recipe in enumerate(recipes):
            groups.setdefault(batch_key(recipe), []).append(i)
        done = 0
        for rows in groups.values():
            side = self.library.get(recipes[rows[0]].model).resolution
            pixels = _BATCH_PIXELS_CPU if self.device.type == "cpu" else _BATCH_PIXELS
            size = max(1, min(_MAX_BATCH, pixels // min(side, PREVIEW_RESOLUTION if preview else side) ** 2))
            for start in range(0, len(rows), size):
                raise_if_cancelled(cancel)
                part = rows[start : start + size]
                pictures = self._ask(lambda part=part: self._render_batch([recipes[i] for i in part], preview)).result()
                out.update(zip(part, pictures, strict=True))
                done += len(part)
                report(progress, done, len(recipes))
        return [out[i] for i in range(len(recipes))]

    def draw(self, session: Hashable, recipe: Recipe, preview: bool = False) -> Drawn:
        """Picture of a slider move with everything shown beside it, in one turn of the device thread. Otherwise as `submit`.

        Raises StudioError when the model is missing or the recipe does not fit it, Superseded when a newer request took its place.
        """
        self._on_request()

        def run() -> Drawn:
            picture = self._render(recipe, preview, session)
            info = self._load(recipe.model).info
            return Drawn(picture, info, _changed(info, recipe))

        return self._ask(run, session).result()

    def submit(self, session: Hashable, recipe: Recipe, preview: bool = False, live: bool = False) -> "Future[np.ndarray]":
        """Queue a picture for a session. A waiting request of the same session is dropped (its future raises Superseded).
        Layers that did not change since the session's last picture are not computed again; the bytes are those of `render`.

        live: the picture is seen for a moment, so that it may be made in bf16 where that is faster (see `live_is_exact`).
        """
        self._on_request()
        return self._ask(lambda: self._render(recipe, preview, session, live), session)

    def cancel(self, session: Hashable) -> None:
        """Drop the session's waiting request and its cached layers."""
        self._worker.drop(session)
        if not self._worker.closed:
            self._ask(lambda: self._caches.drop(session))

    def ws(self, recipe: Recipe) -> torch.Tensor:
        """w+ (num_ws, w_dim) of a recipe, on the CPU."""
        return self._ask(lambda: self._latent_model(recipe.model).space.ws(recipe).cpu()).result()

    def w_of_z(self, z: np.ndarray, recipe: Recipe) -> torch.Tensor:
        """w+ (num_ws, w_dim) of a latent z (z_dim,) in the classes of a recipe, without truncation, on the CPU: a `Recipe.latent`."""
        return self._ask(lambda: self._latent_model(recipe.model).space.w_of_z(z, recipe).cpu()).result()

    def model(self, id: str) -> Model:
        """A model, loaded if it is not in memory. One in memory needs no turn of the device thread."""
        return self._in_memory(id).model

    def facts(self, id: str) -> ModelFacts:
        """Facts that controls need about a model that draws from noise. One in memory needs no turn of the device thread.

        Raises StudioError when the model is missing, or is an image-to-image model.
        """
        loaded = self._in_memory(id)
        if not isinstance(loaded, LatentModel):
            raise _no_latents(id)
        return loaded.facts

    def forget(self, id: str) -> None:
        """Free a model's memory; it is loaded again when it is next needed."""
        self._ask(lambda: self._forget(id)).result()

    def check(self, recipe: Recipe | ImageRecipe) -> str | None:
        """Warning when the installed model's hash differs from the recipe's, None when it does not.

        Raises StudioError when the model is missing.
        """
        return _changed(self.library.get(recipe.model), recipe)

    def stamped(self, recipe: R) -> R:
        """The recipe with the hash of the installed model, as it is saved."""
        return recipe.replace(model_hash=self.library.get(recipe.model).hash)

    def status(self) -> dict[str, Any]:
        """State of the engine: model, device, precision, last_ms (of the last picture), loaded (ids in memory), bytes (of them)."""
        return {**self._status, "device": self._device_name(), "precision": self.precision}

    def _device_name(self) -> str:
        return torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else self.device.type.upper()

    def close(self) -> None:
        """Stop the thread, cancel waiting requests, release models and caches. May be called again."""
        self._worker.close()
        self._models.clear()
        self._caches.clear()
        self._free_unused()

    def __enter__(self) -> "Engine":
        return self

    def __exit__(self, *exc) -> None:
        self.close()

    # -- the queue -----------------------------------------------------------------------------------------------

    def _ask(self, run: Callable[[], Any], session: Hashable | None = None) -> Future:
        return self._worker.ask(run, session)

    def _note(self, **changes: Any) -> None:
        self._status = {**self._status, **changes}

    def _note_model(self, model: str) -> None:
        self._note(model=model, last_ms=0.0, steps_run=0, steps_all=0)

    def _rescue(self) -> None:
        """Free all memory, on the device thread, after it ran out: the next try loads only what it needs."""
        self._caches.clear()
        self._models.clear()
        self._free_unused()

    def _free_unused(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    # -- on the device thread ------------------------------------------------------------------------------------

    def _in_memory(self, id: str) -> LoadedModel:
        """A model, for any thread: only one that must be loaded waits for the device thread."""
        found = self._cached(self.library.get(id)) if not self._worker.closed else None
        return found or self._ask(lambda: self._load(id)).result()

    def _cached(self, info: ModelInfo) -> LoadedModel | None:
        found = self._models.get(info.id)
        return found if found is not None and found.info.hash == info.hash else None

    def _load(self, id: str) -> LoadedModel:
        info = self.library.get(id)
        found = self._cached(info)
        if found is not None:
            return found
        self._models.drop(id)
        # Others are evicted before it is loaded, so that both are never in memory at once.
        self._models.make_room(float32_bytes(info))
        model = load_info(info, self.device)
        # Measured: the faster layout for convolutions on CPUs, except for wide networks at 64 px and below.
        if self.device.type == "cpu" or self.precision != "fp32":
            model.network.to(memory_format=torch.channels_last)
        if self.precision == "fp16":
            # A model trained without clamping might overflow half precision.
            for layer in model.network.modules():
                if getattr(layer, "clamp", 0) is None:
                    layer.clamp = _FP16_CLAMP
        loaded = LoadedModel.of(info, model, lambda: get_settings().cache / "channel-clusters")
        self._models.put(id, loaded, model.nbytes)
        self._status = {**self._status, "loaded": self._models.keys(), "bytes": self._models.nbytes}
        return loaded

    def _forget(self, id: str) -> None:
        self._models.drop(id)
        self._caches.clear()  # some may hold its layers; those of other models are computed again
        self._free_unused()
        self._status = {**self._status, "loaded": self._models.keys(), "bytes": self._models.nbytes}

    def _loaded_model(self, id: str) -> Model:
        """A model, for `ImageToImage`."""
        model = self._load(id).model
        self._status = {**self._status, "model": id}
        return model

    def _latent_model(self, id: str) -> LatentModel:
        loaded = self._load(id)
        if not isinstance(loaded, LatentModel):
            raise _no_latents(id)
        return loaded


def _no_latents(id: str) -> StudioError:
    return StudioError(f"The model '{id}' has no latent w to explore.", "It is an image-to-image model; choose another one.")


def _changed(info: ModelInfo, recipe: Recipe | ImageRecipe) -> str | None:
    if recipe.model_hash and recipe.model_hash != info.hash:
        return f"The model '{info.id}' has changed since this was saved: the picture may differ."
    return None
