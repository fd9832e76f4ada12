"""Gallery: everything that was saved, to find, view, continue and share."""

import dataclasses
import functools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.events import Dependency

from studio.engine.image_recipe import ImageRecipe
from studio.engine.recipe import Recipe
from studio.errors import StudioError
from studio.ui.components.handlers import LIVE, QUIET, Outputs, friendly, streaming
from studio.ui.components.tab import Tab
from studio.ui.components.targets import Target
from studio.ui.gallery.filters import Filters
from studio.ui.gallery.grid import PAGE, REDRAW_SECONDS, GridPanel
from studio.ui.gallery.picture import PicturePanel, file_of, neighbour, recipe_of
from studio.ui.gallery.selection import SelectionPanel
from studio.ui.gallery.state import GalleryState
from studio.ui.gallery.trash_bar import TrashBar
from studio.ui.gallery.view import DOWNLOAD_JS, TO_TOP_JS
from studio.ui.session import Session
from studio.ui.tabs import TABS

_MULTIPLE: dict[str, Any] = {**QUIET, "trigger_mode": "multiple"}  # no press is lost when one follows another quickly


class GalleryTab(Tab[GalleryState]):
    """The tab, built inside the current Blocks. `add_targets` adds where pictures can be opened and sent to."""

    id, state_type = "gallery", GalleryState

    def _new_state(self, session: Session) -> GalleryState:
        if self.page.gallery is None:
            raise StudioError("There is no gallery here.", "Open the studio with one.")
        return GalleryState(self.page.gallery(session), session.workspace.guest)

    def _build(self) -> None:
        self.trash = TrashBar()
        with gr.Column(elem_id="gallery-all") as all:
            self.filters = Filters()
            with gr.Row(elem_classes="gs-tools", elem_id="gallery-tools"):
                info = gr.HTML("", padding=False, elem_id="gallery-told")
                choose = gr.Button("Choose several", elem_id="gallery-choose", scale=0, min_width=150)
            self.selection = SelectionPanel()
            self.grid = GridPanel(info, choose)
        self.picture = PicturePanel(all, self.engine.library)

    # -- wiring --------------------------------------------------------------------------------------------------

    def _wire(self) -> None:
        s, grid, selection, picture, trash = self.session, self.grid, self.selection, self.picture, self.trash
        shown = [picture.all, picture.one]
        self._listed(functools.partial(gr.on, self.filters.triggers), self._filter, self.filters.inputs, wiring=LIVE)
        self._listed(grid.newer.click, lambda session: self._turn(session, -1)).success(None, js=TO_TOP_JS, **QUIET)
        self._listed(grid.older.click, lambda session: self._turn(session, 1)).success(None, js=TO_TOP_JS, **QUIET)

        self._listed(grid.choose.click, self._toggle_choosing, more=[selection.column, *selection.outputs])
        self._listed(selection.all.click, self._choose_page, more=selection.outputs)
        self._listed(selection.none.click, self._choose_none, more=selection.outputs)
        grid.grid.input(friendly(self._press), s, selection.outputs, **_MULTIPLE)
        selection.wire(self)
        self._listed(selection.delete.click, self._delete_chosen, more=[*selection.outputs, *trash.outputs])
        self._listed(trash.undo.click, self._undo, more=[*trash.outputs, *shown])

        grid.grid.select(friendly(self._open), s, picture.outputs, **_MULTIPLE).success(None, js=TO_TOP_JS, **QUIET)
        picture.newer.click(friendly(lambda session: self._step(session, -1)), s, picture.outputs, **_MULTIPLE)
        picture.older.click(friendly(lambda session: self._step(session, 1)), s, picture.outputs, **_MULTIPLE)
        self._listed(picture.back.click, self._back, more=[*shown, picture.clip])
        picture.star.click(friendly(self._star), s, picture.star, **_MULTIPLE)
        for event in (picture.tags.input, picture.tags.key_up):  # a new word is only reported by its Enter
            event(friendly(self._tag), [s, picture.tags], [picture.tags, self.filters.tag], **_MULTIPLE)
        picture.download.click(friendly(self._download), s, picture.file, **QUIET).success(None, js=DOWNLOAD_JS, **QUIET)
        picture.delete.click(friendly(self._delete_open), s, [*picture.outputs, *trash.outputs], **QUIET).then(
            friendly(self._redraw), s, grid.outputs, **QUIET
        )

    def _listed(
        self,
        trigger: Callable[..., Dependency],
        handler: Callable[..., Outputs],
        inputs: list[Any] | None = None,
        more: list[Any] | None = None,
        wiring: dict[str, Any] = _MULTIPLE,
    ) -> Dependency:
        """A handler that draws the grid again. Thumbnails that are not there yet follow.  more: outputs besides the grid's."""
        event = trigger(friendly(handler), [self.session, *(inputs or [])], [*self.grid.outputs, *(more or [])], **wiring)
        self._fill_after(event)
        return event

    def _fill_after(self, event: Dependency) -> None:
        event.success(streaming(self._fill), self.session, self.grid.grid, **_MULTIPLE)

    # -- from here to other tabs ---------------------------------------------------------------------------------

    def add_targets(self, targets: list[Target]) -> None:
        """Add buttons that send a picture on as a plain one, and those that open the tab it was saved in, with all its settings."""
        with self.picture.send:
            named = [dataclasses.replace(t, label=f"Send to {TABS[t.id].title}") if TABS[t.id].uses else t for t in targets]
            self.target_buttons(named, self._file)
        for target in self.page.targets("saved"):
            if button := self.picture.opens.get(target.id):
                self.picture.openable.add(target.id)
                button.click(friendly(self._opener(target)), self.session, target.outputs_with(self.page.tabs), **QUIET)

    def _opener(self, target: Target) -> Callable[[Session], Outputs]:
        opened = target.open_there(self.page.tabs)
        return lambda session: opened(session, self._recipe(session), self._file(session))

    def _file(self, session: Session) -> Path:
        return file_of(self.state_of(session))

    def _recipe(self, session: Session) -> Recipe | ImageRecipe:
        return recipe_of(self.state_of(session))

    # -- when the tab is opened ----------------------------------------------------------------------------------

    @property
    def enter_outputs(self) -> list[Any]:
        """Components that `enter` may change."""
        return [*self.grid.outputs, *self.filters.outputs]

    def enter(self, session: Session, *values: Any) -> Outputs:
        """What is known already, and new files too if they are few."""
        state = self.state_of(session)
        steps = state.gallery.refreshing()
        done, total = next(steps)
        if total - done <= PAGE:
            for _ in steps:
                pass
        return self._show(state, unread=total if total > PAGE else 0)

    def after_enter(self, entered: Dependency) -> Dependency:
        """Many new files are read while the visitor looks at the first of them."""
        caught_up = entered.success(streaming(self._catch_up), self.session, self.enter_outputs, **_MULTIPLE)
        self._fill_after(caught_up)
        return caught_up

    def _catch_up(self, session: Session) -> Iterator[Outputs]:
        state = self.state_of(session)
        shown, read = time.monotonic() - REDRAW_SECONDS, False
        for done, total in state.gallery.refreshing():
            read = read or done > 0
            if 0 < done < total and time.monotonic() - shown > REDRAW_SECONDS:
                shown = time.monotonic()
                yield self._show(state, unread=total - done)
        state.gallery.empty_trash()
        if read:
            yield self._show(state)

    def _show(self, state: GalleryState, unread: int = 0) -> Outputs:
        return {**self.grid.draw(state, unread), **self.filters.show_choices(state)}

    # -- the grid ------------------------------------------------------------------------------------------------

    def _redraw(self, session: Session) -> Outputs:
        return self.grid.draw(self.state_of(session))

    def _fill(self, session: Session) -> Iterator[Outputs]:
        return self.grid.fill(self.state_of(session))

    def _filter(self, session: Session, *values: Any) -> Outputs:
        state, query = self.state_of(session), self.filters.query(*values)
        if query == state.query:
            return {}
        state.query, state.page = query, 0
        return self.grid.draw(state)

    def _turn(self, session: Session, step: int) -> Outputs:
        state = self.state_of(session)
        state.page += step
        return self.grid.draw(state)

    # -- choosing several ----------------------------------------------------------------------------------------

    def _toggle_choosing(self, session: Session) -> Outputs:
        state = self.state_of(session)
        return {**self.selection.toggle(state), **self.grid.draw(state)}

    def _press(self, session: Session, event: gr.EventData) -> Outputs:
        return self.selection.press(self.state_of(session), event)

    def _choose_page(self, session: Session) -> Outputs:
        state = self.state_of(session)
        return {**self.selection.choose_page(state), **self.grid.draw(state)}

    def _choose_none(self, session: Session) -> Outputs:
        state = self.state_of(session)
        return {**self.selection.choose_none(state), **self.grid.draw(state)}

    # -- the trash -----------------------------------------------------------------------------------------------

    def _delete_chosen(self, session: Session) -> Outputs:
        state = self.state_of(session)
        shown = self.trash.delete(state, state.selection())
        return {**shown, **self.selection.choose_none(state), **self.grid.draw(state)}

    def _delete_open(self, session: Session) -> Outputs:
        state = self.state_of(session)
        item = state.opened()
        beside = neighbour(state, item)
        shown = self.trash.delete(state, [item])
        state.chosen.pop(item.path, None)
        state.item = beside
        return {**shown, **(self.picture.show(state) if beside else self.picture.close())}

    def _undo(self, session: Session) -> Outputs:
        state = self.state_of(session)
        shown = self.trash.restore(state)
        state.item = None
        return {**shown, **self.picture.close(), **self.grid.draw(state)}

    # -- one picture ---------------------------------------------------------------------------------------------

    def _open(self, session: Session, event: gr.EventData) -> Outputs:
        return self.picture.open(self.state_of(session), event)

    def _step(self, session: Session, step: int) -> Outputs:
        return self.picture.step(self.state_of(session), step)

    def _back(self, session: Session) -> Outputs:
        """The page where the picture is."""
        state = self.state_of(session)
        if state.item is not None:
            state.page = state.gallery.place(state.query, state.item) // PAGE
        state.last, state.item = state.item or state.last, None
        return {**self.grid.draw(state), **self.picture.close(), self.picture.clip: gr.update(value=None, visible=False)}

    def _star(self, session: Session) -> Outputs:
        return self.picture.toggle_star(self.state_of(session))

    def _tag(self, session: Session, tags: list[str] | None) -> Outputs:
        state = self.state_of(session)
        if not self.picture.set_tags(state, tags):
            return {}
        return {**self.picture.show_tags(state), self.filters.tag: self.filters.show_choices(state)[self.filters.tag]}

    def _download(self, session: Session) -> Outputs:
        return {self.picture.file: str(self._file(session))}
