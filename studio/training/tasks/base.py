"""Training task protocol: all that differs between training a generator, a translator and an upscaler."""

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from accelerate import Accelerator

from studio.datasets.full_size import FullSizeImages
from studio.datasets.image_set import ImageSet
from studio.imaging.xmp import DigitalSourceType
from studio.training.objectives.base import TrainingObjective
from studio.training.plan import Plan
from studio.training.sample_sheet import SampleSheet

OpenedSet = ImageSet | FullSizeImages


@dataclass(frozen=True)
class OpenedSets:
    """The plan's image sets, opened.

    b: the second set of a translator, None = there is none.  classes: names of those that are learned, empty = none.
    """

    a: Any
    b: Any = None
    classes: tuple[str, ...] = ()


class TrainingTask(Protocol):
    """Data, objective, sheets and metrics of one sort of training. The trainer is the loop around it and knows no family.

    Everything random depends on the plan's seed, the step and the micro-batch alone, so that a resumed run repeats the same numbers.
    """

    source: ClassVar[DigitalSourceType]
    """Digital source type of its sample sheets."""
    plain_convolutions: ClassVar[bool]
    """Whether its networks gain from bfloat16 on CPUs without matrix units."""

    @property
    def objective(self) -> TrainingObjective:
        """The networks, their optimisers and the step."""
        ...

    @property
    def pictures(self) -> int:
        """Number of pictures learned from, for the model card."""
        ...

    @classmethod
    def open(cls, plan: Plan, path: str) -> OpenedSet:
        """Open one of the plan's image sets as this task needs it. Raises StudioError when that is not possible."""
        ...

    def __init__(self, plan: Plan, config: Any, sets: OpenedSets, accelerator: Accelerator, precision: str): ...

    def start_facts(self) -> dict[str, Any]:
        """What the start event says about the data, besides the number of pictures."""
        ...

    def batch(self, step: int, index: int, position: int, count: int) -> Any:
        """Micro-batch `index` of a step: `count` pictures from `position` of the endless sequence on."""
        ...

    def real_pictures(self, count: int) -> np.ndarray:
        """uint8 (count, H, W, 3), always the same real pictures."""
        ...

    def sample_sheet(self) -> SampleSheet:
        """What the network makes of fixed inputs now."""
        ...

    def thumbnail(self) -> np.ndarray:
        """uint8 (16, H, W, 3): pictures for the model's thumbnail, four a row."""
        ...

    def metrics(self) -> dict[str, Any]:
        """Key -> value of each metric (see metrics/registry.py); empty when nothing is to be measured."""
        ...

    def card_facts(self) -> dict[str, Any]:
        """Further facts for the model's card and config."""
        ...
