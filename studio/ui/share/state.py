"""What one visitor has open in the Share tab."""

import atexit
from dataclasses import dataclass, field

from studio.sharing.preview import Preview
from studio.ui.components.tab import TabState


@dataclass
class ShareState(TabState):
    """What one visitor does in the Share tab.

    model: id of the one for the Hub.  chosen: ids of those for the Space.  token: as typed, in memory only.
    preview: the Space that is running here.
    """

    model: str | None = None
    chosen: list[str] = field(default_factory=list)
    token: str | None = field(default=None, repr=False)
    preview: Preview | None = None

    def close(self) -> None:
        """The visitor has left: stop their Space."""
        self.close_preview()

    def open_preview(self, preview: Preview) -> None:
        """A Space runs here from now on, until it is closed or the studio ends."""
        self.preview = preview
        atexit.register(preview.close)

    def close_preview(self) -> None:
        """Stop the Space that runs here, if there is one."""
        if self.preview is not None:
            self.preview.close()
            atexit.unregister(self.preview.close)
            self.preview = None
