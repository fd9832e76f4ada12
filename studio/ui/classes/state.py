"""State of Classes: what one visitor does there, and the settings above the pictures."""

import threading
from dataclasses import dataclass, field
from typing import Any

from studio.engine.recipe import Recipe
from studio.ui.components.tab import TabState

MAX_CHOSEN = 8  # classes chosen at once, each with a weight
BLEND, ROW = "blend", "row"  # the chosen classes together in each picture; or a row of them for each seed


@dataclass
class ClassesState(TabState):
    """What one visitor does in Classes.

    model: id of the model, '' = none yet.  followed: the model of Explore when the tab was last opened.
    chosen: classes in the order in which they were pressed.  listed: classes whose chips are on the page.
    cells: recipes of the grid; `thumbnails`: the same as cells of a press grid, in `columns`; selected: index of the large one.
    large: the recipe of the large one, which follows the controls while one is held; None = not drawn yet.
    drawing: guards what follows a drawing of the grid.  drawn: number of the newest drawing.
    """

    model: str = ""
    followed: str = ""
    chosen: list[int] = field(default_factory=list)
    listed: list[int] = field(default_factory=list)
    cells: list[Recipe] = field(default_factory=list)
    thumbnails: list[dict[str, Any]] = field(default_factory=list)
    columns: int = 4
    selected: int = 0
    large: Recipe | None = None
    drawing: threading.Lock = field(default_factory=threading.Lock)
    drawn: int = 0


@dataclass(frozen=True)
class ClassSettings:
    """Values of the controls beside the pictures, as the page sends them: numbers may be missing (None) or out of range.

    mode: BLEND or ROW.  seed: of the first picture.  psi: truncation.  count: pictures, or rows.
    weights: of the chosen classes in their order, each in [0, 1]; there may be more.
    """

    mode: str
    seed: Any
    psi: Any
    count: Any
    weights: tuple[float, ...] = ()

    @classmethod
    def of(cls, values: tuple[Any, ...]) -> "ClassSettings":
        """From the values of the controls in their order."""
        mode, seed, psi, count, *weights = values
        return cls(mode, seed, psi, count, tuple(weights))
