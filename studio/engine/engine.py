"""The engine: models in memory, one thread that owns the device, the newest wish of a session first."""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import psutil
import torch

from studio.engine.cache import ByteLRU
from studio.engine.latent import DirectionSet, LatentSpace
from studio.engine.recipe import Recipe, pack_latent
from studio.errors import StudioError
from studio.models.library import Library, default_library
from studio.models.loaded import Model, choose_device, load_info

log = logging.getLogger(__name__)

PREVIEW_RESOLUTION = 256
_TRACE_BUDGET = 512 << 20
_BATCH_PIXELS = 1 << 20  # pictures rendered together in a sheet hold about this many pixels


class Superseded(CancelledError):
    """A newer wish of the same session took this one's place."""


@dataclass
class _Loaded:
    model: Model
    space: LatentSpace


@dataclass
class _Trace:
    """The last synthesis of a session: enough to go on from the first layer that changed."""

    model_hash: str
    ws: torch.Tensor
    noise: tuple
    max_resolution: int | None
    states: list = field(default_factory=list)

    @property
    def nbytes(self) -> int:
        tensors = {id(t): t for state in self.states for t in state if t is not None}
        return sum(t.nbytes for t in tensors.values())


@dataclass
class _Job:
    """Work for the device thread. session: None = never superseded."""

    run: Callable[[], Any]
    future: Future
    session: Hashable | None = None


class Engine:
    """Renders recipes.

    library: where models come from.  device: 'cuda', 'mps', 'cpu', or None = the best there is.
    precision: 'fp32', 'bf16', 'fp16', or None: bf16 (fp16 on older cards) for the synthesis on CUDA, else fp32.
    memory_budget: bytes for models in memory; None = half of the GPU's memory, or a quarter of the machine's.

    All tensors are touched by one thread. The same recipe gives the same bytes again on one device: `render` always
    makes one picture at a time, and cached layers hold the very numbers that a full run would compute.
    """

    def __init__(
        self,
        library: Library | None = None,
        device: str | None = None,
        precision: str | None = None,
        memory_budget: int | None = None,
    ):
        self.library = library or default_library()
        self.device = choose_device(device)
        self.precision = precision or self._best_precision()
        self._models: ByteLRU[_Loaded] = ByteLRU(memory_budget or self._default_budget())
        self._traces: ByteLRU[_Trace] = ByteLRU(_TRACE_BUDGET)
        self._jobs: OrderedDict[int, _Job] = OrderedDict()
        self._waiting: dict[Hashable, int] = {}  # session -> key of its waiting job
        self._count = 0
        self._wake = threading.Condition()
        self._closed = False
        self._last = {"model": "", "last_ms": 0.0, "steps_run": 0, "steps_all": 0}
        self._thread = threading.Thread(target=self._work, name="engine", daemon=True)
        self._thread.start()

    # -- choosing ------------------------------------------------------------------------------------------------

    def _best_precision(self) -> str:
        if self.device.type == "cuda":
            return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
        return "fp32"

    def _default_budget(self) -> int:
        if self.device.type == "cuda":
            return torch.cuda.get_device_properties(self.device).total_memory // 2
        return psutil.virtual_memory().total // 4

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
        progress: Callable[[int, int], None] | None = None,
        cancel: Callable[[], bool] | None = None,
    ) -> list[np.ndarray]:
        """Pictures for a sheet, several at a time: quick, but a level may differ by one from `render`'s.

        progress: called with (done, all).  cancel: asked between batches; when true CancelledError is raised.
        """
        out: list[np.ndarray | None] = [None] * len(recipes)
        groups: dict[tuple, list[int]] = {}
        for i, recipe in enumerate(recipes):
            groups.setdefault((recipe.model, recipe.noise), []).append(i)
        done = 0
        for rows in groups.values():
            side = self.library.get(recipes[rows[0]].model).resolution
            size = max(1, min(32, _BATCH_PIXELS // min(side, PREVIEW_RESOLUTION if preview else side) ** 2))
            for start in range(0, len(rows), size):
                if cancel is not None and cancel():
                    raise CancelledError()
                part = rows[start : start + size]
                pictures = self._ask(lambda part=part: self._render_batch([recipes[i] for i in part], preview)).result()
                for i, picture in zip(part, pictures, strict=True):
                    out[i] = picture
                done += len(part)
                if progress:
                    progress(done, len(recipes))
        return out

    def submit(self, session: Hashable, recipe: Recipe, preview: bool = False) -> "Future[np.ndarray]":
        """Ask for a picture on behalf of a session. A wish of the same session that is still waiting is dropped
        (its future raises Superseded). Layers that did not change since the session's last picture are not computed
        again; the bytes are those of `render`."""
        return self._ask(lambda: self._render(recipe, preview, session), session)

    def cancel(self, session: Hashable) -> None:
        """Drop what the session still waits for, and forget its cached layers."""
        with self._wake:
            self._drop_waiting(session)
        self._ask(lambda: self._traces.drop(session))

    def ws(self, recipe: Recipe) -> torch.Tensor:
        """w+ (num_ws, w_dim) of a recipe, on the CPU."""
        return self._ask(lambda: self._load(recipe.model).space.ws(recipe).cpu()).result()

    def frozen(self, recipe: Recipe) -> Recipe:
        """The same picture with its w+ written out: seeds, mixes, truncation and edits all become `latent`."""
        latent = pack_latent(self.ws(recipe).numpy())
        return Recipe(model=recipe.model, model_hash=recipe.model_hash, latent=latent, seeds=recipe.seeds, noise=recipe.noise)

    def model(self, id: str) -> Model:
        """A model, loaded when it is not in memory."""
        return self._ask(lambda: self._load(id).model).result()

    def direction_sets(self, id: str) -> list[DirectionSet]:
        """Directions that sliders can be made of."""
        return self._ask(lambda: self._load(id).space.direction_sets()).result()

    def check(self, recipe: Recipe) -> str | None:
        """A sentence when the model here is not the very one of the recipe; None when it is.

        Raises StudioError when it is not here at all.
        """
        info = self.library.get(recipe.model)
        if recipe.model_hash and recipe.model_hash != info.hash:
            return f"The model '{info.id}' has changed since this was saved: the picture may differ."
        return None

    def stamped(self, recipe: Recipe) -> Recipe:
        """The recipe with the hash of the model that is here, as it is saved."""
        return recipe.replace(model_hash=self.library.get(recipe.model).hash)

    def status(self) -> dict[str, Any]:
        """model, device, precision, last_ms (of the last picture), loaded (ids in memory), bytes (of them)."""
        with self._wake:
            return {
                **self._last,
                "device": self._device_name(),
                "precision": self.precision,
                "loaded": [key for key in self._models.keys()],
                "bytes": self._models.nbytes,
            }

    def _device_name(self) -> str:
        return torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else self.device.type.upper()

    def close(self) -> None:
        """Stop the thread; what still waits is cancelled."""
        with self._wake:
            self._closed = True
            for job in self._jobs.values():
                job.future.cancel()
            self._jobs.clear()
            self._wake.notify_all()
        self._thread.join()

    def __enter__(self) -> "Engine":
        return self

    def __exit__(self, *exc) -> None:
        self.close()

    # -- the queue -----------------------------------------------------------------------------------------------

    def _ask(self, run: Callable[[], Any], session: Hashable | None = None) -> Future:
        future: Future = Future()
        with self._wake:
            if self._closed:
                raise StudioError("The engine is closed.", "Start the studio again.")
            if session is not None:
                self._drop_waiting(session)
                self._waiting[session] = self._count
            self._jobs[self._count] = _Job(run, future, session)
            self._count += 1
            self._wake.notify()
        return future

    def _drop_waiting(self, session: Hashable) -> None:
        job = self._jobs.pop(self._waiting.pop(session, -1), None)
        if job is not None:
            job.future.set_exception(Superseded("a newer picture was asked for"))

    def _work(self) -> None:
        while True:
            with self._wake:
                while not self._jobs and not self._closed:
                    self._wake.wait()
                if self._closed:
                    return
                _, job = self._jobs.popitem(last=False)
                self._waiting.pop(job.session, None)
            if not job.future.set_running_or_notify_cancel():
                continue
            try:
                with torch.inference_mode():
                    job.future.set_result(job.run())
            except StudioError as e:
                job.future.set_exception(e)
            except torch.OutOfMemoryError:
                job.future.set_exception(StudioError("The device ran out of memory.", "Close other programs, or start with --device cpu."))
            except Exception as e:  # the thread must outlive any single picture
                log.exception("rendering failed")
                job.future.set_exception(e)

    # -- on the device thread ------------------------------------------------------------------------------------

    def _load(self, id: str) -> _Loaded:
        info = self.library.get(id)
        found = self._models.get(id)
        if found is not None and found.model.info.hash == info.hash:
            return found
        self._models.drop(id)
        model = load_info(info, self.device)
        if not model.family.has_w:
            raise StudioError(f"The model '{id}' has no latent w to explore.", "Choose another model.")
        # Measured: the faster layout of convolutions on CPUs and on tensor cores alike.
        model.network.to(memory_format=torch.channels_last)
        loaded = _Loaded(model, LatentSpace(model))
        self._models.put(id, loaded, model.nbytes)
        return loaded

    def _render(self, recipe: Recipe, preview: bool, session: Hashable | None) -> np.ndarray:
        began = time.perf_counter()
        loaded = self._load(recipe.model)
        synthesis = loaded.model.network.synthesis
        ws = loaded.space.ws(recipe).unsqueeze(0)
        limit = PREVIEW_RESOLUTION if preview and loaded.model.resolution > PREVIEW_RESOLUTION else None
        noise = (recipe.noise.mode, recipe.noise.strength, recipe.noise.seed)
        steps = synthesis.steps
        start, states = None, []
        if session is not None:
            old = self._traces.get(session)
            here = (loaded.model.info.hash, noise, limit)
            # Random noise is drawn layer after layer from one generator, so it must be drawn from the beginning.
            if old and (old.model_hash, old.noise, old.max_resolution) == here and noise[0] != "random":
                changed = (old.ws != ws).any(dim=2)[0].nonzero()
                first = int(changed[0]) if len(changed) else synthesis.num_ws
                same = sum(step.w_index < first for step in steps)
                same = min(same, len(old.states) - 1)
                if same > 0:
                    start, states = (same, old.states[same]), old.states[:same]
        new_states: list = []
        img = self._synthesise(synthesis, ws, recipe, limit, start, new_states if session is not None else None)
        if session is not None:
            # The state after the last step is kept too: a recipe that changed nothing costs nothing.
            kept = [*states, *new_states, (None, img)]
            trace = _Trace(loaded.model.info.hash, ws.clone(), noise, limit, kept)
            size = trace.nbytes
            if size <= _TRACE_BUDGET:
                self._traces.put(session, trace, size)
        picture = to_uint8(img)[0]
        run = len(steps) - (start[0] if start else 0)
        with self._wake:
            self._last = {
                "model": recipe.model,
                "last_ms": (time.perf_counter() - began) * 1000,
                "steps_run": run,
                "steps_all": len(steps),
            }
        return picture

    def _render_batch(self, recipes: list[Recipe], preview: bool) -> list[np.ndarray]:
        loaded = self._load(recipes[0].model)
        ws = torch.stack([loaded.space.ws(recipe) for recipe in recipes])
        limit = PREVIEW_RESOLUTION if preview and loaded.model.resolution > PREVIEW_RESOLUTION else None
        if recipes[0].noise.mode == "random":
            # Each picture draws its own noise, so that it is the same in a sheet and alone.
            imgs = [self._synthesise(loaded.model.network.synthesis, w[None], recipes[0], limit, None, None) for w in ws]
            return [to_uint8(img)[0] for img in imgs]
        return list(to_uint8(self._synthesise(loaded.model.network.synthesis, ws, recipes[0], limit, None, None)))

    def _synthesise(self, synthesis, ws, recipe: Recipe, limit, start, trace) -> torch.Tensor:
        if start is not None and start[0] == len(synthesis.steps):
            return start[1][1]
        generator = None
        if recipe.noise.mode == "random":
            generator = torch.Generator().manual_seed(recipe.noise.seed)
        dtype = torch.float16 if self.precision == "fp16" else torch.bfloat16
        with torch.autocast(self.device.type, dtype=dtype, enabled=self.precision != "fp32"):
            return synthesis(
                ws,
                noise_mode=recipe.noise.mode,
                noise_strength=recipe.noise.strength,
                generator=generator,
                start=start,
                trace=trace,
                max_resolution=limit,
            )


def to_uint8(img: torch.Tensor) -> np.ndarray:
    """(N, C, H, W) in [-1, 1] -> (N, H, W, 3) uint8; a grey picture gets three equal channels."""
    img = (img.float() * 127.5 + 128).clamp(0, 255).to(torch.uint8)
    if img.shape[1] == 1:
        img = img.expand(-1, 3, -1, -1)
    return img.permute(0, 2, 3, 1).contiguous().cpu().numpy()
