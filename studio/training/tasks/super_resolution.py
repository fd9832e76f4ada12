"""Task of learning to upscale pictures."""

from typing import Any, ClassVar

import numpy as np
from accelerate import Accelerator

from studio.imaging.pixels import to_uint8
from studio.imaging.xmp import DigitalSourceType
from studio.training.data.open_sets import open_full_size
from studio.training.data.patches import PatchBatch, PatchData
from studio.training.objectives.super_resolution import SuperResolution
from studio.training.plan import Plan
from studio.training.sample_sheet import COLUMNS, SampleSheet
from studio.training.tasks.base import OpenedSets


class SuperResolutionTask:
    """A `TrainingTask` of an upscaler on patches of full-size pictures, some of which are held back for measuring."""

    source: ClassVar = DigitalSourceType.COMPOSITE
    plain_convolutions: ClassVar = False
    open = staticmethod(open_full_size)

    def __init__(self, plan: Plan, config: Any, sets: OpenedSets, accelerator: Accelerator, precision: str):
        self.objective = SuperResolution(plan, config, [], accelerator, precision)
        self.data = PatchData(plan, config, sets.a, self.objective.G.multiple, accelerator.device)
        self.pictures = len(self.data)

    def start_facts(self) -> dict[str, Any]:
        return self.data.facts

    def batch(self, step: int, index: int, position: int, count: int) -> PatchBatch:
        return self.data.batch(step, index, position, count)

    def real_pictures(self, count: int) -> np.ndarray:
        return self.data.reals(count)

    def sample_sheet(self) -> SampleSheet:
        """Fixed patches: small, by bicubic, by the network, and the originals."""
        rows = self._rows()
        return SampleSheet(np.concatenate(list(rows.values())), tuple(rows))

    def thumbnail(self) -> np.ndarray:
        """Rows of what goes in above rows of what comes out."""
        rows = self._rows()
        given, made = rows["low"], rows["ours"]
        return np.concatenate([given[:4], made[:4], given[4:], made[4:]])

    def metrics(self) -> dict[str, Any]:
        """Upscaled pictures against their originals, on those held back; empty when there are none."""
        return self.data.measure(self.objective.upscaled)

    def card_facts(self) -> dict[str, Any]:
        return {"learned_by": self.objective.words}

    def _rows(self) -> dict[str, np.ndarray]:
        """What a row of the sheet shows -> its pictures, uint8 (8, H, W, 3)."""
        (batch,) = self.data.fixed(COLUMNS, "sheet", COLUMNS)
        return {name: to_uint8(x) for name, x in self.objective.rows(batch)}
