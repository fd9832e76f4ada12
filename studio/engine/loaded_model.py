"""A model in the engine's memory."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from studio.common.threads import one_thread
from studio.engine.latent_space import LatentSpace
from studio.engine.layer_bends import LayerBends
from studio.inference.model import Model
from studio.models.folder import ModelInfo
from studio.networks import Task

# Networks up to this size draw in one thread on a CPU. Measured on two cores with the model that comes along (64 px, 1.1 million
# weights): 9 ms a picture, against 15 in two threads, and steadier beside a browser on the same cores; from 6 million on two are faster.
_TINY_WEIGHTS, _TINY_RESOLUTION = 2_000_000, 64


@dataclass
class LoadedModel:
    """A model, and what its folder says of it."""

    info: ModelInfo
    model: Model

    @classmethod
    def of(cls, info: ModelInfo, model: Model, clusters: Callable[[], Path]) -> "LoadedModel":
        """The model of a folder, on its device.  clusters: says the folder for the clusters of channels, once some are needed."""
        return LatentModel(info, model, clusters) if model.family.task is Task.GENERATE else cls(info, model)


class LatentModel(LoadedModel):
    """A model that draws from latents.

    space: its latent space.  bends: what bends its layers.  facts: read on loading, so that any thread may use them.
    tiny: whether one thread of a CPU draws its pictures faster than several.
    """

    def __init__(self, info: ModelInfo, model: Model, clusters: Callable[[], Path]):
        super().__init__(info, model)
        weights = sum(p.numel() for p in model.network.synthesis.parameters())
        self.space, self.bends = LatentSpace(model), LayerBends(model, clusters)
        self.facts = self.space.facts()
        self.tiny = model.device.type == "cpu" and model.resolution <= _TINY_RESOLUTION and weights <= _TINY_WEIGHTS

    def threads(self) -> contextlib.AbstractContextManager:
        """Context in which it draws, with always as many threads: other numbers of them may round sums otherwise."""
        return one_thread() if self.tiny else contextlib.nullcontext()
