"""What one visitor has open in the Gallery."""

import shutil
from dataclasses import dataclass, field
from pathlib import Path

from studio.errors import StudioError
from studio.gallery.gallery import Gallery
from studio.gallery.items import Item, Query
from studio.ui.components.tab import TabState


@dataclass
class GalleryState(TabState):
    """What one visitor does in the Gallery.

    guest: a stranger, who is not shown paths of this machine.  page: of the grid, counted from 0.
    drawing: counts what was drawn, so that late thumbnails of an older page are not shown.  items: on the page, by key.
    choosing: whether a press selects.  chosen: the selection, by path.  item: the picture that is open, large.
    last: the one that was open before, for a star or tag that was set at the last moment.
    deleted: batches that 'Undo' brings back, newest last.  export: folder of the last zip or contact sheet.
    """

    gallery: Gallery
    guest: bool = False
    query: Query = Query()
    page: int = 0
    drawing: int = 0
    items: dict[str, Item] = field(default_factory=dict)
    choosing: bool = False
    chosen: dict[str, Item] = field(default_factory=dict)
    item: Item | None = None
    last: Item | None = None
    deleted: list[str] = field(default_factory=list)
    export: Path | None = None

    def opened(self) -> Item:
        """The picture that is open. Raises StudioError when there is none."""
        if self.item is None:
            raise StudioError("No picture is open.", "Press one first.")
        return self.item

    def annotated(self) -> Item:
        """The picture that a star or a tag is meant for. Raises StudioError when there is none."""
        return self.last if self.item is None and self.last is not None else self.opened()

    def refresh(self, item: Item) -> Item:
        """An item with the star and tags it has now, also where it is open."""
        item = self.gallery.item(item.path) or item
        if self.item is not None and self.item.path == item.path:
            self.item = item
        return item

    def selection(self) -> list[Item]:
        """The chosen items, the newest first. Raises StudioError when there are none."""
        if not self.chosen:
            raise StudioError("No picture is chosen.", "Press some first.")
        return sorted(self.chosen.values(), key=lambda i: (i.made, i.path), reverse=True)

    def clear_export(self) -> None:
        """Delete the last zip or contact sheet."""
        if self.export is not None:
            shutil.rmtree(self.export, ignore_errors=True)
        self.export = None

    def close(self) -> None:
        """The visitor has left."""
        self.gallery.close()
        self.clear_export()
