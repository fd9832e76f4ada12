"""Canvas: the shape of the picture, and how it repeats, as a recipe holds it."""

from dataclasses import dataclass

from studio.common.text import short_repr
from studio.engine.recipe_checks import number
from studio.errors import StudioError
from studio.networks.generative.latent_generator import Grid

MAX_SIDE = 4.0  # times the trained side
MAX_AREA = 4.0  # times the trained area
MAX_MIRRORS = 32
FILLS = ("repeat", "stretch")
_QUARTERS = 4  # the first map of a network has 4 pixels a side


@dataclass(frozen=True)
class Canvas:
    """The shape of the picture and how it repeats.

    width, height: in sides of the pictures that the network was trained for, 0.5 to 4, in quarters; both together at most 4 times
    their area.  fill: 'repeat' or 'stretch' what the network begins with.  tileable: opposite edges continue each other.
    kaleidoscope: pairs of mirrored wedges around the middle, 0 = off.  turn: which wedge they show, degrees against the clock.
    """

    width: float = 1.0
    height: float = 1.0
    fill: str = "repeat"
    tileable: bool = False
    kaleidoscope: int = 0
    turn: float = 0.0

    def __post_init__(self):
        for name, what in (("width", "The width"), ("height", "The height")):
            value = number(getattr(self, name), 0.5, MAX_SIDE, f"{what} of the canvas")
            object.__setattr__(self, name, round(value * _QUARTERS) / _QUARTERS)
        if self.width * self.height > MAX_AREA:
            raise StudioError(f"The canvas is {self.width:g} by {self.height:g} pictures.", f"Together at most {MAX_AREA:g} times one.")
        if self.fill not in FILLS:
            raise StudioError(f"The canvas is filled by {short_repr(self.fill)}.", f"It must be {' or '.join(FILLS)}.")
        if not isinstance(self.tileable, bool):
            raise StudioError(f"The canvas is tileable: {short_repr(self.tileable)}.", "It must be true or false.")
        if type(self.kaleidoscope) is not int or not 0 <= self.kaleidoscope <= MAX_MIRRORS:
            raise StudioError(
                f"The kaleidoscope is {short_repr(self.kaleidoscope)}.", f"It must be a number from 0 (off) to {MAX_MIRRORS}."
            )
        object.__setattr__(self, "turn", number(self.turn, -360, 360, "The turn of the kaleidoscope"))

    @property
    def grid(self) -> Grid:
        """What the synthesis is given; all that changes its layers."""
        return Grid(round(self.height * _QUARTERS), round(self.width * _QUARTERS), self.fill == "stretch", self.tileable)
