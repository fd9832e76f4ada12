"""Task of learning to generate pictures from noise."""

from typing import Any, ClassVar

import numpy as np
from accelerate import Accelerator

from studio.imaging.pixels import to_uint8
from studio.imaging.xmp import DigitalSourceType
from studio.metrics.evaluation import SetEvaluator
from studio.training.data.images import ImageBatch, ImageData
from studio.training.data.open_sets import open_squares
from studio.training.objectives.adversarial import FIXED_LATENTS, Adversarial
from studio.training.plan import Plan
from studio.training.plan_checks import check_measurable
from studio.training.sample_sheet import COLUMNS, SampleSheet
from studio.training.tasks.base import OpenedSets


class GenerationTask:
    """A `TrainingTask` of generator against discriminator on one image set, with or without classes."""

    source: ClassVar = DigitalSourceType.GENERATED
    plain_convolutions: ClassVar = False
    open = staticmethod(open_squares)

    def __init__(self, plan: Plan, config: Any, sets: OpenedSets, accelerator: Accelerator, precision: str):
        self.plan, self.device = plan, accelerator.device
        counts = []
        if sets.classes:
            counts = np.bincount(sets.a.labels[sets.a.labels >= 0], minlength=len(sets.classes)).tolist()
        self.data = ImageData(plan, config, sets.a, accelerator.device)
        self.pictures = len(self.data)
        check_measurable(plan, self.pictures)
        self.objective = Adversarial(plan, config, counts, accelerator, precision)
        self._evaluator: SetEvaluator | None = None

    def start_facts(self) -> dict[str, Any]:
        return {}

    def batch(self, step: int, index: int, position: int, count: int) -> ImageBatch:
        return self.data.batch(step, index, position, count)

    def real_pictures(self, count: int) -> np.ndarray:
        return self.data.reals(count)

    def sample_sheet(self) -> SampleSheet:
        """Pictures of fixed latents."""
        return SampleSheet(self._samples(COLUMNS**2))

    def thumbnail(self) -> np.ndarray:
        return self._samples(16)

    def metrics(self) -> dict[str, Any]:
        """Generated pictures against the real ones; empty when the plan's budget has no metric_images."""
        count = self.plan.budget.metric_images
        if not count:
            return {}
        if self._evaluator is None:
            self._evaluator = SetEvaluator(self.data.images.array, seed=self.plan.seed, device=self.device)
        return self._evaluator.measure(self._samples(count, "metric"))

    def card_facts(self) -> dict[str, Any]:
        return {}

    def _samples(self, count: int, stream: str = FIXED_LATENTS) -> np.ndarray:
        """uint8 (count, H, W, 3) of the latents of a stream, always the same."""
        return np.concatenate([to_uint8(x) for x in self.objective.fixed_samples(count, stream)])
