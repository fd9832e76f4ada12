"""Grid of thumbnails in the Gallery, page by page."""

import contextlib
import html
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import gradio as gr

from studio.errors import StudioError
from studio.gallery.items import Item, Query
from studio.ui.components.handlers import Outputs
from studio.ui.components.notes import empty_html, note
from studio.ui.gallery.state import GalleryState
from studio.ui.gallery.view import gallery_grid, grid_html

PAGE = 60  # files on a page
REDRAW_SECONDS = 0.8  # between two updates of a page that is filling
_PATIENCE = 0.25  # seconds that a page waits for thumbnails before it is shown without the missing ones
_THREADS = 3  # that make thumbnails
_EMPTY = "<b>Nothing is saved here yet.</b><br>Whatever you save in Explore, Classes, Translate or Upscale appears here, newest first."
_NO_MATCH = "<b>No picture matches.</b><br>Remove a word or a filter."


class GridPanel:
    """The grid and its pages, built inside the current Blocks.  info: the line above it.  choose: the button 'Choose several'."""

    def __init__(self, info: gr.HTML, choose: gr.Button):
        self.info, self.choose = info, choose
        self.grid = gallery_grid(value="", elem_id="gallery-grid")
        with gr.Row(visible=False, elem_classes="gs-tools", elem_id="gallery-pager") as self.pager:
            self.newer = gr.Button("← Newer", elem_id="gallery-newer-page")
            self.where = gr.HTML("", padding=False, elem_id="gallery-where")
            self.older = gr.Button("Older →", elem_id="gallery-older-page")

    @property
    def outputs(self) -> list[Any]:
        """Components that `draw` changes."""
        return [self.grid, self.info, self.pager, self.where, self.newer, self.older, self.choose]

    def draw(self, state: GalleryState, unread: int = 0) -> Outputs:
        """The page of the grid that the state is on.  unread: files that are still to be read."""
        gallery, query = state.gallery, state.query
        count = gallery.count(query)
        pages = max(1, -(-count // PAGE))
        state.page, state.drawing = max(0, min(state.page, pages - 1)), state.drawing + 1
        items = gallery.page(query, state.page * PAGE, PAGE)
        state.items = {i.key: i for i in items}
        before = time.monotonic() + _PATIENCE
        for item in items:
            if time.monotonic() > before:
                break
            with contextlib.suppress(StudioError):
                gallery.thumbnail(item)
        searched = query != Query()
        words = f"<b>{count:,} {'file' if count == 1 else 'files'}</b>" + (" found" if searched else "")
        words += f" · {unread:,} more are being read" if unread else ""
        if not state.guest:
            words += f" · in the folder <code>{html.escape(str(gallery.outputs))}</code>"
        empty = _NO_MATCH if searched else "Reading the saved files ..." if unread else _EMPTY
        return {
            self.grid: _html(state) if items else empty_html(empty),
            self.info: note(words),
            self.pager: gr.update(visible=pages > 1),
            self.where: note(f"Page {state.page + 1:,} of {pages:,}"),
            self.newer: gr.update(interactive=state.page > 0),
            self.older: gr.update(interactive=state.page < pages - 1),
            self.choose: gr.update(visible=bool(items) or state.choosing, value="Done choosing" if state.choosing else "Choose several"),
        }

    def fill(self, state: GalleryState) -> Iterator[Outputs]:
        """Make the thumbnails that the page lacks, and show them as they come."""
        drawing, gallery = state.drawing, state.gallery
        missing = [i for i in state.items.values() if gallery.thumbs.kept(i.key) is None]
        shown = time.monotonic()

        def make(item: Item) -> None:
            if state.drawing == drawing:
                with contextlib.suppress(StudioError):
                    gallery.thumbnail(item)

        with ThreadPoolExecutor(_THREADS) as threads:
            for _ in threads.map(make, missing):
                if state.drawing == drawing and time.monotonic() - shown > REDRAW_SECONDS:
                    shown = time.monotonic()
                    yield {self.grid: _html(state)}
        if missing and state.drawing == drawing:
            yield {self.grid: _html(state)}


def _html(state: GalleryState) -> str:
    cells = [(i, state.gallery.thumbs.kept(i.key), i.path in state.chosen) for i in state.items.values()]
    return grid_html(cells, state.choosing)
