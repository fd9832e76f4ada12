"""Recipe -> w+ of one model: seeds, classes, mixes, truncation, edits."""

import re

import numpy as np
import torch
from safetensors import SafetensorError

from studio.engine.model_facts import DirectionSet, Layer, ModelFacts
from studio.engine.recipe import Recipe, SeedWeight, unpack_latent
from studio.errors import StudioError
from studio.inference.model import Model
from studio.latents.directions import Whitening
from studio.latents.mixing import mix_rows
from studio.latents.seeds import z_from_seed
from studio.models.weights_file import read_tensors

_SAMPLES = 4096  # of w, to learn the shape of its distribution
_MAPPING_CACHE = 4096  # rows of w kept, a few KB each
_BASES = 4  # seeds whose random directions are kept, about 1 MB each
_NAME = re.compile(r"(random|pad):(\d{1,10}):(\d{1,3}|x|y)")


class LatentSpace:
    """Latent space of one model in memory: its cached w, directions and spread."""

    def __init__(self, model: Model):
        self.model = model
        self.z_dim, self.w_dim, self.num_ws = model.latent_sizes
        self._w: dict[tuple[int, int], torch.Tensor] = {}
        self._whitening: Whitening | None = None
        self._directions: dict[str, torch.Tensor] = {}
        self._bases: dict[int, np.ndarray] = {}
        self._found: dict[str, torch.Tensor] | None = None

    def ws(self, recipe: Recipe) -> torch.Tensor:
        """w+ (num_ws, w_dim) of a recipe. Raises StudioError when the recipe does not fit the model."""
        model = self.model
        classes = self._class_weights(recipe)
        if recipe.latent is not None:
            ws = torch.from_numpy(unpack_latent(recipe.latent, self.num_ws, self.w_dim)).to(model.device)
        else:
            total = sum(s.weight for s in recipe.seeds)
            parts = [(self.w(s.seed, classes), s.weight / total) for s in recipe.seeds if s.weight > 0]
            ws = _weighted_sum(parts)
        if recipe.mixes:
            sources = []
            for mix in recipe.mixes:
                low, high = self._rows(mix.layers)
                sources.append((self.w(mix.seed, classes), (low, high), mix.weight))
            ws = mix_rows(ws, sources)
        ws = model.network.mapping.truncate(ws.unsqueeze(0), recipe.psi, recipe.cutoff)[0]
        if recipe.edits:
            ws = ws.clone()
            for edit in recipe.edits:
                low, high = self._rows(edit.layers) if edit.layers else (0, self.num_ws)
                if edit.strength:
                    ws[low:high] += edit.strength * self.direction(edit.direction)[low:high]
        return ws

    def all_ws(self, recipe: Recipe) -> torch.Tensor:
        """w+ of a recipe and of each of its areas, (1 + areas, num_ws, w_dim). Raises as `ws`."""
        others = [recipe.replace(seeds=(SeedWeight(area.seed),), latent=None, mixes=()) for area in recipe.areas]
        return torch.stack([self.ws(r) for r in (recipe, *others)])

    def w(self, seed: int, classes: list[tuple[int, float]]) -> torch.Tensor:
        """w+ (num_ws, w_dim) of a seed, blended over classes, without truncation."""
        parts = [(self._mapped(seed, index), weight) for index, weight in classes]
        return _weighted_sum(parts)

    def w_of_z(self, z: np.ndarray, recipe: Recipe) -> torch.Tensor:
        """w+ (num_ws, w_dim) of a latent z (z_dim,), blended over the classes of a recipe, without truncation."""
        z = np.asarray(z, np.float32).reshape(1, self.z_dim)
        return _weighted_sum([(self._map(z, index), weight) for index, weight in self._class_weights(recipe)])

    def _map(self, z: np.ndarray, index: int) -> torch.Tensor:
        """w+ (num_ws, w_dim) of z (1, z_dim) in a class."""
        c = np.eye(self.model.c_dim, dtype=np.float32)[index : index + 1] if self.model.c_dim else None
        return self.model.mapping(z, c)[0]

    def _mapped(self, seed: int, index: int) -> torch.Tensor:
        key = (seed, index)
        if key not in self._w:
            if len(self._w) >= _MAPPING_CACHE:
                self._w.pop(next(iter(self._w)))
            # Always one at a time, so that a seed gives the same w to the bit, whatever else is drawn.
            ws = self._map(z_from_seed(seed, self.z_dim), index)
            # Most networks repeat one w for all rows; then only one is kept.
            self._w[key] = ws[:1].clone() if bool((ws == ws[:1]).all()) else ws
        return self._w[key].expand(self.num_ws, -1)

    def _class_weights(self, recipe: Recipe) -> list[tuple[int, float]]:
        """(index, share) of each class; the first class when the recipe names none."""
        if not self.model.c_dim:
            return [(0, 1.0)]
        chosen = [(c.index, c.weight) for c in recipe.classes if c.weight > 0] or [(0, 1.0)]
        for index, _ in chosen:
            if index >= self.model.c_dim:
                raise StudioError(f"The model '{self.model.id}' has no class {index}.", f"Its classes are 0 to {self.model.c_dim - 1}.")
        total = sum(weight for _, weight in chosen)
        return [(index, weight / total) for index, weight in chosen]

    def _rows(self, layers: tuple[int, int]) -> tuple[int, int]:
        low, high = layers
        if low >= self.num_ws:
            raise StudioError(f"The model '{self.model.id}' has {self.num_ws} layers, not {high}.", "Choose lower layers.")
        return low, min(high, self.num_ws)

    def facts(self) -> ModelFacts:
        """Facts that controls need about the model."""
        model = self.model
        return ModelFacts(
            id=model.id,
            title=model.info.title if model.info else model.id,
            classes=model.classes,
            num_ws=self.num_ws,
            has_noise=model.has_noise,
            transformable=model.family.transformable,
            direction_sets=tuple(self.direction_sets()),
            resizable=model.family.resizable,
            tileable=model.family.tileable,
            layers=tuple(Layer(step.name, step.resolution) for step in model.network.synthesis.steps),
        )

    # -- directions ----------------------------------------------------------------------------------------------

    def direction_sets(self) -> list[DirectionSet]:
        """Directions for sliders: those that came with the model first, then random ones."""
        sets = []
        found = self._found_directions()
        if found:
            names = tuple(f"model:{name}" for name in found)
            sets.append(DirectionSet("model", "Found in this model", names, tuple(found)))
        count = min(8, self.w_dim)
        names = tuple(f"random:0:{i}" for i in range(count))
        sets.append(DirectionSet("random", "Random directions", names, tuple(f"Direction {i + 1}" for i in range(count))))
        return sets

    def direction(self, name: str) -> torch.Tensor:
        """A direction by name as (num_ws, w_dim); strength 1 is one standard deviation of w.

        name: 'random:SEED:INDEX', 'pad:SEED:x', 'pad:SEED:y', or 'model:NAME' from directions.safetensors.
        Raises StudioError when the model has no direction of that name.
        """
        if name not in self._directions:
            if len(self._directions) > 512:
                self._directions.clear()
            found = _NAME.fullmatch(name)
            if name.startswith("model:") and name[6:] in self._found_directions():
                vector = self._found_directions()[name[6:]]
            elif found and found[1] == "random" and found[3].isdigit() and int(found[3]) < self.w_dim:
                vector = self._random(int(found[2]))[int(found[3])]
            elif found and found[1] == "pad" and not found[3].isdigit():
                vector = self._random(int(found[2]) + 2**34)["xy".index(found[3])]  # distinct from 'random:SEED'
            else:
                hint = "Reset the sliders, or open the model it was made with."
                raise StudioError(f"The model '{self.model.id}' has no direction '{name}'.", hint)
            vector = torch.as_tensor(vector, dtype=torch.float32).to(self.model.device)
            self._directions[name] = vector.expand(self.num_ws, -1) if vector.ndim == 1 else vector
        return self._directions[name]

    def _random(self, seed: int) -> np.ndarray:
        """All random directions of a seed, (w_dim, w_dim); those of the last few seeds are kept."""
        if seed not in self._bases:
            if len(self._bases) >= _BASES:
                self._bases.pop(next(iter(self._bases)))
            self._bases[seed] = self._shape().orthonormal(seed, self.w_dim)
        return self._bases[seed]

    def _shape(self) -> Whitening:
        """Spread of w within a class, so that moving along a direction does not leave the class."""
        if self._whitening is None:
            rng = np.random.RandomState(0)
            z = rng.randn(_SAMPLES, self.z_dim).astype(np.float32)
            c, labels = None, np.zeros(_SAMPLES, np.int64)
            if self.model.c_dim:
                labels = rng.randint(self.model.c_dim, size=_SAMPLES)
                c = np.eye(self.model.c_dim, dtype=np.float32)[labels]
            w = self.model.mapping(z, c)[:, 0].cpu().numpy()
            for label in np.unique(labels):
                w[labels == label] -= w[labels == label].mean(axis=0)
            self._whitening = Whitening(w)
        return self._whitening

    def _found_directions(self) -> dict[str, torch.Tensor]:
        if self._found is None:
            self._found = {}
            info = self.model.info
            file = info.path / "directions.safetensors" if info else None
            if file is not None and file.is_file():
                try:
                    tensors = read_tensors(file)
                except (StudioError, SafetensorError):
                    tensors = {}  # sliders are an extra: the model works without them
                shapes = ((self.w_dim,), (self.num_ws, self.w_dim))
                self._found = {k: v for k, v in tensors.items() if tuple(v.shape) in shapes and torch.isfinite(v).all()}
        return self._found


def _weighted_sum(parts: list[tuple[torch.Tensor, float]]) -> torch.Tensor:
    """Weighted sum of tensors; a single one is returned as it is, to the bit."""
    if len(parts) == 1:
        return parts[0][0]
    total = torch.zeros_like(parts[0][0])
    for w, weight in parts:
        total = total + w * weight
    return total
