"""Bend: one entry of a recipe's network bending."""

from dataclasses import dataclass

from studio.common.text import short_repr
from studio.engine.recipe_checks import checked_name, number
from studio.errors import StudioError
from studio.latents.bending import OPERATIONS
from studio.latents.channels import ALL, check_channels


@dataclass(frozen=True)
class Bend:
    """Some channels of a layer, changed by an operation (studio.latents.bending) as soon as the layer is computed.

    layer: name of a step of the synthesis, such as b32.conv1.  operation: one of OPERATIONS, with its amount.
    channels: 'all', 'FIRST-LAST', 'random:PERCENT:SEED' or 'cluster:INDEX:COUNT'.  muted: kept, but not applied.
    Raises StudioError for what no synthesis could use.
    """

    layer: str
    operation: str
    amount: float
    channels: str = ALL
    muted: bool = False

    def __post_init__(self):
        checked_name(self.layer, "The layer of a bend", "It must be the name of a layer, such as b32.conv1.")
        if not isinstance(self.operation, str) or self.operation not in OPERATIONS:
            raise StudioError(f"There is no bend {short_repr(self.operation)}.", f"There are {', '.join(OPERATIONS)}.")
        what = f"The bend '{self.operation}'"
        object.__setattr__(self, "amount", number(self.amount, *OPERATIONS[self.operation].bounds, what))
        check_channels(self.channels)
        if not isinstance(self.muted, bool):
            raise StudioError(f"A bend is muted: {short_repr(self.muted)}.", "It must be true or false.")

    @property
    def key(self) -> tuple[str, str, str]:
        """What distinguishes it from the other bends of a recipe."""
        return self.layer, self.operation, self.channels

    @property
    def active(self) -> bool:
        """Whether it changes anything."""
        return not self.muted and self.amount != OPERATIONS[self.operation].neutral
