"""Task of learning to translate pictures of one set into those of another, paired or not."""

from typing import Any, ClassVar

import numpy as np
from accelerate import Accelerator

from studio.imaging.pixels import to_uint8
from studio.imaging.xmp import DigitalSourceType
from studio.metrics.evaluation import SetEvaluator
from studio.networks import get_family
from studio.training.data.open_sets import open_squares
from studio.training.data.translation import TranslationBatch, TranslationData
from studio.training.objectives.contrastive import Contrastive
from studio.training.objectives.cycle import Cycle
from studio.training.objectives.paired import Paired
from studio.training.objectives.translation import Translation
from studio.training.plan import Plan
from studio.training.sample_sheet import COLUMNS, SampleSheet
from studio.training.tasks.base import OpenedSets

_ENDINGS = {"AtoB": "", "BtoA": "_b2a"}  # direction -> ending of its metrics' keys


def translation_objective(plan: Plan) -> type[Translation]:
    """The objective that trains a translator by `plan`."""
    if get_family(plan.family).paired:
        return Paired
    return Contrastive if plan.objective.unpaired == "contrastive" else Cycle


class TranslationTask:
    """A `TrainingTask` of one generator, or of two that undo each other, on two image sets, or on pairs made from one."""

    source: ClassVar = DigitalSourceType.COMPOSITE
    plain_convolutions: ClassVar = True
    open = staticmethod(open_squares)

    def __init__(self, plan: Plan, config: Any, sets: OpenedSets, accelerator: Accelerator, precision: str):
        self.plan, self.device, self.pictures = plan, accelerator.device, len(sets.a)
        self.objective = translation_objective(plan)(plan, config, [], accelerator, precision)
        self.data = TranslationData(plan, config, sets.a, sets.b, self.objective.paired, accelerator.device)
        self._evaluators: dict[str, SetEvaluator] = {}

    def start_facts(self) -> dict[str, Any]:
        return self.data.facts

    def batch(self, step: int, index: int, position: int, count: int) -> TranslationBatch:
        return self.data.batch(step, index, position, count)

    def real_pictures(self, count: int) -> np.ndarray:
        return self.data.reals(count)

    def sample_sheet(self) -> SampleSheet:
        """Fixed pictures, and what becomes of them."""
        rows = self._rows()
        return SampleSheet(np.concatenate(list(rows.values())), tuple(rows))

    def thumbnail(self) -> np.ndarray:
        """Rows of what goes in above rows of what comes out."""
        given, made = list(self._rows().values())[:2]
        return np.concatenate([given[:4], made[:4], given[4:], made[4:]])

    def metrics(self) -> dict[str, Any]:
        """Translated pictures against real ones of the other side, for each direction that is learned; empty when the plan's budget
        has no metric_images."""
        count = self.plan.budget.metric_images
        if not count or min(self.data.size("A"), self.data.size("B")) < 2:
            return {}
        out: dict[str, Any] = {}
        for direction in self.objective.directions:
            source, target = direction[0], direction[-1]
            batches = self.data.fixed(min(count, self.data.size(source)), "metric", 16)
            made = [self.objective.translated(b.a if source == "A" else b.b, direction) for b in batches]
            if direction not in self._evaluators:
                self._evaluators[direction] = SetEvaluator(self.data.centred(target), seed=self.plan.seed, device=self.device)
            pictures = np.concatenate([to_uint8(x) for x in made])
            out |= self._evaluators[direction].measure(pictures, ending=_ENDINGS[direction])
        return out

    def card_facts(self) -> dict[str, Any]:
        return {}

    def _rows(self) -> dict[str, np.ndarray]:
        """What a row of the sheet shows -> its pictures, uint8 (8, H, W, 3)."""
        (batch,) = self.data.fixed(COLUMNS, "sheet", COLUMNS)
        return {name: to_uint8(x) for name, x in self.objective.rows(batch)}
