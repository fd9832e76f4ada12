"""Chips of Classes: the classes of a model as example pictures to press, and a search when there are many."""

from typing import TYPE_CHECKING, Any

import gradio as gr
from gradio.events import Dependency

from studio.engine.recipe import ClassWeight
from studio.errors import StudioError
from studio.ui.classes.recipes import class_recipe
from studio.ui.classes.state import MAX_CHOSEN, ClassesState, ClassSettings
from studio.ui.components.handlers import LIVE, QUIET, Outputs, friendly
from studio.ui.components.picture_html import data_url
from studio.ui.components.press_grid import cells_html, press_grid, pressed
from studio.ui.session import Session

if TYPE_CHECKING:
    from studio.ui.classes.tab import ClassesTab

_LISTED = 24  # chips on the page at once; a search finds the others
_EXAMPLES = 2000  # pictures kept in memory, a few KB each
_EXAMPLE_PSI = 0.7


class Chips:
    """The classes of the visitor's model. Their example pictures, seed 0 of each class, are rendered once and shared by all."""

    def __init__(self, tab: "ClassesTab"):
        self.tab = tab
        self._examples: dict[tuple[str, int], str] = {}  # (hash of the model, class) -> URL

    def build(self) -> None:
        """The search, hidden for models with few classes, and the chips."""
        self.find = gr.Textbox("", label="Find a class", placeholder="Part of its name", visible=False, elem_id="classes-find")
        self.grid = press_grid(elem_id="classes-chips")

    def wire(self) -> None:
        """Search and presses."""
        tab = self.tab
        self.find.change(friendly(self.draw), [tab.session, self.find], [self.grid], **LIVE)
        chosen = [tab.session, *tab.pictures.controls]
        self.grid.select(friendly(self._press), chosen, tab.chosen_outputs, **QUIET, trigger_mode="multiple")

    def draw_after(self, event: Dependency) -> Dependency:
        """Wire the drawing of the chips after an event."""
        return event.then(friendly(self.draw), [self.tab.session, self.find], [self.grid], **QUIET)

    def for_model(self, classes: int) -> Outputs:
        """The search, shown when the model has more classes than fit on the page."""
        return {self.find: gr.update(value="", visible=classes > _LISTED)}

    def draw(self, session: Session, find: str | None = "") -> Outputs:
        """The chips with their example pictures; those that are missing are rendered."""
        tab, state = self.tab, self.tab.state_of(session)
        if not state.model:
            return {}
        info, classes = tab.engine.library.get(state.model), tab.classes_of(state)
        word = (find or "").casefold().strip()
        found = [i for i, name in enumerate(classes) if word in name.casefold()]
        if len(classes) > _LISTED:
            found = [*state.chosen, *(i for i in found if i not in state.chosen)]
        state.listed = found[: max(_LISTED, len(state.chosen))]
        if len(self._examples) > _EXAMPLES:
            self._examples.clear()
        missing = [i for i in state.listed if (info.hash, i) not in self._examples]
        recipes = [class_recipe(info.id, 0, _EXAMPLE_PSI, [ClassWeight(i)]) for i in missing]
        for i, picture in zip(missing, tab.engine.render_many(recipes, preview=True), strict=True):
            self._examples[info.hash, i] = data_url(picture)
        return self.shown(state)

    def shown(self, state: ClassesState) -> Outputs:
        """The chips as they are known now, the chosen ones marked."""
        info, classes = self.tab.engine.library.get(state.model), self.tab.classes_of(state)
        state.listed = state.listed or list(range(min(len(classes), _LISTED)))
        small = info.resolution <= 128
        cells = [
            {"src": self._examples.get((info.hash, i), ""), "label": classes[i], "alt": classes[i], "small": small} for i in state.listed
        ]
        return {self.grid: cells_html(cells, selected={state.listed.index(k) for k in state.chosen if k in state.listed})}

    def _press(self, session: Session, event: gr.EventData, *values: Any) -> Outputs:
        """A chip chooses its class, or drops it; one always stays. Each class keeps its weight."""
        state, settings = self.tab.state_of(session), ClassSettings.of(values)
        chip = pressed(event, state.listed, "That class is no longer here.", "Press another.")
        if chip not in state.chosen and len(state.chosen) >= MAX_CHOSEN:
            raise StudioError(f"{MAX_CHOSEN} classes are chosen already.", "Press one of them to drop it.")
        weights = dict(zip(state.chosen, settings.weights, strict=False))
        if chip not in state.chosen:
            state.chosen = [*state.chosen, chip]
            weights[chip] = 1.0
        elif len(state.chosen) > 1:
            state.chosen = [k for k in state.chosen if k != chip]
        return self.tab.show_chosen(session, settings, [weights[k] for k in state.chosen])
