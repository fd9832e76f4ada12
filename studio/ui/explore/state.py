"""State of Explore: what one visitor does there, apart from the recipe and its history, which are in the Session."""

from dataclasses import dataclass, field

from studio.engine.recipe import Recipe
from studio.ui.components.tab import TabState
from studio.ui.explore.recording import Recording


@dataclass
class ExploreState(TabState):
    """What one visitor does in Explore.

    listed: ids of the models that are shown, in their order.  pins: recipes in the filmstrip.
    sheet: recipes of the variations that are shown, made from `sheet_seed`.
    recording: of what is played; None = nothing was recorded.
    bend_open: whether the panel of bends is open.  bend_layer, bend_channel: what is looked at there; None = all channels.
    """

    listed: list[str] = field(default_factory=list)
    pins: list[Recipe] = field(default_factory=list)
    sheet: list[Recipe] = field(default_factory=list)
    sheet_seed: int = 0
    recording: Recording | None = None
    bend_open: bool = False
    bend_layer: str = ""
    bend_channel: int | None = None

    def pins_of(self, model: str) -> list[Recipe]:
        """The pins of one model."""
        return [pin for pin in self.pins if pin.model == model]
