"""Network bending of one model in memory: which layers a recipe bends, and what its synthesis is given for it."""

import functools
import json
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from studio.common.files import atomic_write
from studio.common.k_means import k_means
from studio.common.text import short_repr
from studio.engine.bend import Bend
from studio.engine.recipe import Recipe
from studio.engine.synthesis_cache import Bends
from studio.errors import StudioError
from studio.inference.model import Model
from studio.latents.bending import OPERATIONS, bend
from studio.latents.channels import CLUSTER_COUNTS, channel_features, chosen_channels, clusters_of
from studio.latents.seeds import z_from_seed
from studio.networks.generative.latent_generator import StepBend

_log = logging.getLogger(__name__)
_SEEDS = 8  # pictures whose maps are compared for clusters
_SIDE = 8  # maps are averaged down to this many pixels before they are compared
_MAX_FILE = 16 << 20


class LayerBends:
    """Bends of one model in memory, and clusters of its channels.

    folder: says where clusters are kept between sessions, in a file named by the model's hash; it is asked once there is need.
    """

    def __init__(self, model: Model, folder: Callable[[], Path]):
        self.model, self._folder = model, folder
        self._clusters: dict[tuple[str, int], np.ndarray] | None = None  # (layer, number of clusters) -> (C,)

    def index(self, layer: str) -> int:
        """The number of a layer's step. Raises StudioError when the model has no such layer."""
        names = [step.name for step in self.model.network.synthesis.steps]
        if layer not in names:
            raise StudioError(f"The model '{self.model.id}' has no layer {short_repr(layer)}.", f"Its layers are {', '.join(names[:40])}.")
        return names.index(layer)

    def active(self, recipe: Recipe) -> Bends:
        """The bends that change something, by layer. Raises StudioError when the model has no such layer."""
        found: dict[str, tuple[Bend, ...]] = {}
        for entry in recipe.bends:
            self.index(entry.layer)
            if entry.active:
                found[entry.layer] = (*found.get(entry.layer, ()), entry)
        return found

    def step_bends(self, bends: Bends) -> dict[str, StepBend]:
        """What `SteppedSynthesis.run` is given for `active` bends. Finds the clusters that they name."""
        return {layer: self._step_bend(layer, entries) for layer, entries in bends.items()}

    def _step_bend(self, layer: str, entries: tuple[Bend, ...]) -> StepBend:
        on_maps = tuple(entry for entry in entries if OPERATIONS[entry.operation].apply is not None)
        for entry in on_maps:
            # Now, because in the midst of a synthesis the network may be set to another place or size.
            if number := clusters_of(entry.channels):
                self.clusters(layer, number)
        strength = 1.0
        for entry in entries:
            strength *= entry.amount if entry.operation == "noise" else 1.0
        frozen = any(entry.operation == "freeze" and entry.amount >= 0.5 for entry in entries)
        return StepBend(functools.partial(self._change, layer, on_maps) if on_maps else None, strength, frozen)

    def _change(self, layer: str, entries: tuple[Bend, ...], x: torch.Tensor) -> torch.Tensor:
        for entry in entries:
            operation = OPERATIONS[entry.operation]
            if operation.needs_map and x.ndim != 4:
                raise StudioError(
                    f"The layer '{layer}' has no places that '{entry.operation}' could change.", "Multiply, add, invert or ablate it."
                )
            chosen = chosen_channels(entry.channels, x.shape[1], functools.partial(self.clusters, layer, channels=x.shape[1]))
            x = bend(x, operation, entry.amount, None if chosen is None else torch.from_numpy(chosen).to(x.device))
        return x

    # -- clusters ------------------------------------------------------------------------------------------------

    def clusters(self, layer: str, count: int, channels: int | None = None) -> np.ndarray:
        """The cluster of each channel of a layer, (C,) in [0, count): channels that are strong in the same places.

        Found once for all layers, which takes as long as 8 pictures, and kept in the file.  channels: C, if it is known.
        """
        if self._clusters is None:
            self._clusters = self._read()
        labels = self._clusters.get((layer, count))
        if labels is None or channels not in (None, len(labels)):  # a file that somebody changed
            self._clusters = self._find()
            self._write()
            labels = self._clusters[layer, count]
        return labels

    @torch.inference_mode()
    def _find(self) -> dict[tuple[str, int], np.ndarray]:
        """Clusters of all layers, from their maps for the first seeds, averaged down; in full precision and without bends."""
        model, synthesis = self.model, self.model.network.synthesis
        maps: dict[str, list[torch.Tensor]] = {step.name: [] for step in synthesis.steps}

        def keep(layer: str, x: torch.Tensor) -> torch.Tensor:
            y = (x[:, :, None, None] if x.ndim == 2 else x).float()
            maps[layer].append(F.adaptive_avg_pool2d(y, (min(_SIDE, y.shape[2]), min(_SIDE, y.shape[3]))).cpu())
            return x

        looks = {layer: StepBend(functools.partial(keep, layer)) for layer in maps}
        for seed in range(_SEEDS):
            c = np.eye(model.c_dim, dtype=np.float32)[[seed % model.c_dim]] if model.c_dim else None
            synthesis.run(model.mapping(z_from_seed(seed, model.latent_sizes[0]), c), bends=looks)
        found = {}
        for layer, parts in maps.items():
            rows = channel_features(torch.cat(parts).numpy())
            found.update({(layer, count): k_means(rows, count) for count in CLUSTER_COUNTS})
        return found

    @property
    def _file(self) -> Path | None:
        """The file of clusters; None for a model that is in no folder, and so has no hash."""
        info = self.model.info
        return self._folder() / f"{info.hash}.json" if info is not None and info.hash else None

    def _read(self) -> dict[tuple[str, int], np.ndarray]:
        """Clusters in the file; none where it is missing or damaged."""
        found: dict[tuple[str, int], np.ndarray] = {}
        file = self._file
        try:
            if file is None or file.stat().st_size > _MAX_FILE:
                return found
            for layer, counts in json.loads(file.read_bytes())["layers"].items():
                for count, labels in counts.items():
                    array = np.asarray(labels)
                    if array.ndim == 1 and array.dtype.kind == "i" and array.size and 0 <= array.min() <= array.max() < int(count):
                        found[layer, int(count)] = array
        except FileNotFoundError:
            pass
        except (OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
            _log.warning("the file of clusters %s is damaged: they are found anew", file)
            return {}
        return found

    def _write(self) -> None:
        file = self._file
        if file is None or self._clusters is None:
            return
        layers: dict[str, dict[str, list[int]]] = {}
        for (layer, count), labels in self._clusters.items():
            layers.setdefault(layer, {})[str(count)] = labels.tolist()
        try:
            atomic_write(file, json.dumps({"layers": layers}, separators=(",", ":")).encode())
        except OSError as e:
            _log.info("clusters of %s stay in memory: %s", self.model.id, e)
