"""Input of an image tab: one picture or animation, several, or a video."""

from typing import Any

import gradio as gr

from studio.ui.components.handlers import Outputs
from studio.ui.components.picture_input import PictureInput
from studio.ui.components.uploads import FilesInput, FolderButton

ONE, SEVERAL, VIDEO = "one", "many", "clip"
_CHOICES = [("One picture", ONE), ("Several pictures", SEVERAL), ("A video", VIDEO)]


class SourceInput:
    """Upload areas of an image tab, built inside the current Blocks; one of them is visible at a time.

    tab_id: begins the element ids.  verb: what happens to a picture.
    panels: ONE, SEVERAL and VIDEO -> the column that is visible with each.
    """

    def __init__(self, tab_id: str, verb: str, panels: dict[str, gr.Column]):
        with gr.Column(elem_id=f"{tab_id}-input"):
            self.what = gr.Radio(_CHOICES, value=ONE, label=f"What to {verb.lower()}", elem_id=f"{tab_id}-what")
            self.picture = PictureInput(
                type="filepath",
                image_mode=None,
                sources=["upload", "clipboard", "webcam"],
                height=220,
                label="Your picture",
                elem_id=f"{tab_id}-picture",
                elem_classes="gs-drop",
                buttons=[],
            )
            drop: dict[str, Any] = dict(height=200, visible=False, elem_classes="gs-drop")
            self.files = FilesInput(label="Drop pictures or a zip here", file_count="multiple", elem_id=f"{tab_id}-files", **drop)
            self.folder = FolderButton("Add a folder", file_count="directory", size="sm", visible=False, elem_id=f"{tab_id}-folder")
            self.video = gr.File(label="Drop a video here", elem_id=f"{tab_id}-video", **drop)
        areas = {ONE: [self.picture], SEVERAL: [self.files, self.folder], VIDEO: [self.video]}
        self._parts = {what: (panels[what], *area) for what, area in areas.items()}

    @property
    def outputs(self) -> list[Any]:
        """Components that `show` changes."""
        return [part for parts in self._parts.values() for part in parts]

    def show(self, what: str) -> Outputs:
        """The upload area and the panel for ONE, SEVERAL or VIDEO."""
        return {part: gr.update(visible=name == what) for name, parts in self._parts.items() for part in parts}
