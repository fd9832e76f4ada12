"""One picture of the Gallery, large: its neighbours, what is known about it, star and tags."""

from pathlib import Path
from typing import Any

import gradio as gr

from studio.engine.image_recipe import ImageRecipe
from studio.engine.recipe import Recipe
from studio.errors import StudioError
from studio.gallery.items import CLIP, Item
from studio.models.library import Library
from studio.ui.components.handlers import Outputs, event_value
from studio.ui.components.notes import note
from studio.ui.gallery.state import GalleryState
from studio.ui.gallery.view import PLAYED, facts_html, stage_html
from studio.ui.tabs import TABS

_KEYS = '<div class="gs-note keys">Keys: ← → newer and older · Esc all pictures</div>'
# verb of a recipe -> the tab where it is opened again
_TAB_OF = {entry.verb: id for id, entry in TABS.items() if entry.verb and "saved" in entry.opens}


class PicturePanel:
    """The panel, built inside the current Blocks and hidden at first.

    all: the column of all pictures, which is hidden instead while this one is visible.  library: for the titles of models.
    """

    def __init__(self, all: gr.Column, library: Library):
        self.all, self.library = all, library
        self.openable: set[str] = set()  # ids of the tabs where recipes can be opened again
        with gr.Row(visible=False, equal_height=False, elem_id="gallery-one") as self.one:
            self._build_left()
            self._build_right()
        self.file = gr.DownloadButton(visible="hidden", elem_id="gallery-file")

    def _build_left(self) -> None:
        with gr.Column(scale=6, min_width=320, elem_id="gallery-left"):
            self.stage = gr.HTML("", padding=False, elem_id="gallery-stage")
            self.clip = gr.Video(show_label=False, visible=False, interactive=False, elem_id="gallery-clip", buttons=[])
            with gr.Row(elem_classes="gs-tools", elem_id="gallery-steps"):
                self.newer = gr.Button("← Newer", elem_id="gallery-newer")
                self.back = gr.Button("All pictures", elem_id="gallery-back")
                self.older = gr.Button("Older →", elem_id="gallery-older")
            self.position = gr.HTML("", padding=False, elem_id="gallery-place")
            gr.HTML(_KEYS, padding=False)

    def _build_right(self) -> None:
        with gr.Column(scale=4, min_width=320, elem_id="gallery-right"):
            with gr.Row(elem_classes="gs-tools"):
                self.opens = {
                    id: gr.Button(f"Open in {TABS[id].title}", variant="primary", visible=False, elem_id=f"gallery-open-{id}")
                    for id in _TAB_OF.values()
                }
                self.star = gr.Button("☆ Favourite", elem_id="gallery-star")
                self.download = gr.Button("Download", elem_id="gallery-download")
                self.delete = gr.Button("Delete", elem_id="gallery-delete")
            self.facts = gr.HTML("", padding=False, elem_id="gallery-facts")
            self.tags = gr.Dropdown(
                [], multiselect=True, allow_custom_value=True, label="Tags", elem_id="gallery-tags", info="Type a word and press Enter."
            )
            self.path = gr.Textbox(label="File", interactive=False, buttons=["copy"], elem_id="gallery-path")
            self.send = gr.Row(elem_classes="gs-tools", elem_id="gallery-send", visible=False)

    @property
    def outputs(self) -> list[Any]:
        """Components that `show` changes."""
        parts = [self.all, self.one, self.stage, self.clip, self.facts, self.path, self.star, self.tags, self.position]
        return [*parts, self.newer, self.older, *self.opens.values(), self.send]

    # -- opening -------------------------------------------------------------------------------------------------

    def open(self, state: GalleryState, event: gr.EventData) -> Outputs:
        """The picture that was pressed in the grid, by its `key`."""
        key = event_value(event, "key")
        item = state.items.get(key) if isinstance(key, str) else None
        if item is None:
            raise StudioError("That picture is no longer on the page.", "Press another.")
        state.item = item
        return self.show(state)

    def step(self, state: GalleryState, step: int) -> Outputs:
        """The neighbouring picture.  step: 1 = older, -1 = newer."""
        beside = state.gallery.beside(state.query, state.opened(), step)
        if beside is None:
            return {}
        state.item = beside
        return self.show(state)

    def show(self, state: GalleryState) -> Outputs:
        """The open picture."""
        gallery, opened = state.gallery, state.opened()
        item = state.item = gallery.item(opened.path) or opened
        playing = item.path.lower().endswith(PLAYED) and gallery.file(item).is_file()
        recipe = gallery.recipe(item)
        position, count = gallery.place(state.query, item), gallery.count(state.query)
        tab = _TAB_OF.get(item.verb) if recipe is not None else None
        return {
            self.all: gr.update(visible=False),
            self.one: gr.update(visible=True),
            self.stage: gr.update(value="" if playing else stage_html(gallery, item), visible=not playing),
            self.clip: gr.update(value=str(gallery.file(item)) if playing else None, visible=playing),
            self.facts: facts_html(item, recipe, self._model_title(item.model)),
            self.path: item.path if state.guest else str(gallery.file(item)),
            self.star: _star_button(item.favourite),
            self.tags: gr.update(choices=list(gallery.choices().tags), value=list(item.tags)),
            self.position: note(f"{position + 1:,} of {count:,}"),
            self.newer: gr.update(interactive=position > 0),
            self.older: gr.update(interactive=position + 1 < count),
            **{button: gr.update(visible=id == tab and id in self.openable) for id, button in self.opens.items()},
            self.send: gr.update(visible=item.kind != CLIP),
        }

    def close(self) -> Outputs:
        """All pictures again."""
        return {self.all: gr.update(visible=True), self.one: gr.update(visible=False)}

    def _model_title(self, model: str) -> str:
        if not model:
            return ""
        info = next((m for m in self.library.scan()[0] if m.id == model), None)
        return f"{model} (no longer here)" if info is None else info.title if info.title == model else f"{info.title} ({model})"

    # -- the open picture ----------------------------------------------------------------------------------------

    def toggle_star(self, state: GalleryState) -> Outputs:
        """Make the picture a favourite, or undo that."""
        item = state.annotated()
        state.gallery.set_favourite(item, not item.favourite)
        return {self.star: _star_button(state.refresh(item).favourite)}

    def set_tags(self, state: GalleryState, tags: list[str] | None) -> bool:
        """Give the picture these tags. Returns whether that changed anything."""
        item = state.annotated()
        if list(item.tags) == (tags or []):
            return False
        state.gallery.set_tags(item, tags or [])
        return True

    def show_tags(self, state: GalleryState) -> Outputs:
        """The tags that the picture has now."""
        item = state.refresh(state.annotated())
        return {self.tags: gr.update(choices=list(state.gallery.choices().tags), value=list(item.tags))}


def file_of(state: GalleryState) -> Path:
    """File of the open picture. Raises StudioError when it is gone."""
    path = state.gallery.file(state.opened())
    if not path.is_file():
        raise StudioError("This file is no longer here.", "Go back to all pictures.")
    return path


def recipe_of(state: GalleryState) -> Recipe | ImageRecipe:
    """Recipe of the open picture. Raises StudioError when there is none."""
    recipe = state.gallery.recipe(state.opened())
    if recipe is None:
        raise StudioError("This picture has no recipe inside.", "Send it to a tab as a plain picture instead.")
    return recipe


def neighbour(state: GalleryState, item: Item) -> Item | None:
    """The neighbour of a picture that is deleted: the next older one, else the next newer."""
    return state.gallery.beside(state.query, item, 1) or state.gallery.beside(state.query, item, -1)


def _star_button(favourite: bool) -> dict[str, Any]:
    return gr.update(value="★ A favourite" if favourite else "☆ Favourite")
