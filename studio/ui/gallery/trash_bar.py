"""Bar above the Gallery that says what was deleted and brings it back."""

from collections.abc import Sequence
from typing import Any

import gradio as gr

from studio.errors import StudioError
from studio.gallery.items import Item
from studio.gallery.trash import TRASH_DAYS
from studio.ui.components.handlers import Outputs
from studio.ui.components.notes import note
from studio.ui.gallery.state import GalleryState


class TrashBar:
    """The bar, built inside the current Blocks and hidden at first."""

    def __init__(self) -> None:
        with gr.Row(visible=False, elem_id="gallery-undo-bar", elem_classes="gs-undo") as self.bar:
            self.words = gr.HTML("", padding=False)
            self.undo = gr.Button("Undo", elem_id="gallery-undo", min_width=90, scale=0)

    @property
    def outputs(self) -> list[Any]:
        """Components that the methods change."""
        return [self.bar, self.words]

    def delete(self, state: GalleryState, items: Sequence[Item]) -> Outputs:
        """Move files to the trash."""
        state.deleted.append(state.gallery.delete(items))
        what = "One file is" if len(items) == 1 else f"{len(items):,} files are"
        return {self.bar: gr.update(visible=True), self.words: note(f"<b>{what} in the trash</b> for {TRASH_DAYS} days.")}

    def restore(self, state: GalleryState) -> Outputs:
        """Bring back what was deleted last. Raises StudioError when there is nothing."""
        if not state.deleted:
            raise StudioError("Nothing was deleted.", "")
        count = state.gallery.undo_delete(state.deleted.pop())
        words = f"<b>{count:,} {'file is' if count == 1 else 'files are'} back.</b> More was deleted before."
        return {self.bar: gr.update(visible=bool(state.deleted)), self.words: note(words)}
