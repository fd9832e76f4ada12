"""Several pictures of the Gallery at once: chosen, then made a zip or a contact sheet, or deleted."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from studio.common.progress import Cancel
from studio.gallery.export import save_contact_sheet, to_zip
from studio.ui.components.handlers import Outputs, event_value
from studio.ui.components.notes import note
from studio.ui.components.tab import Tab
from studio.ui.components.work_progress import WorkProgress
from studio.ui.gallery.state import GalleryState
from studio.ui.session import Session

_WORK = "export"  # name of the work on the selection


class SelectionPanel:
    """The selection and what can be done with it, built inside the current Blocks and hidden at first."""

    def __init__(self) -> None:
        with gr.Column(visible=False, elem_id="gallery-several") as self.column:
            self.count = gr.HTML("", padding=False, elem_id="gallery-count")
            with gr.Row(elem_classes="gs-tools"):
                self.all = gr.Button("All on this page", elem_id="gallery-page-all")
                self.none = gr.Button("None", elem_id="gallery-none")
                self.zip = gr.Button("Make a zip", elem_id="gallery-zip")
                self.delete = gr.Button("Delete", elem_id="gallery-delete-many")
            with gr.Accordion("Contact sheet", open=False, elem_id="gallery-sheet-box"):
                with gr.Row(equal_height=True):
                    self.format = gr.Radio(
                        [("PDF (A4 pages)", "pdf"), ("PNG (one picture)", "png")], value="pdf", label="Format", elem_id="gallery-sheet-kind"
                    )
                    self.columns = gr.Slider(1, 10, 5, step=1, label="Pictures per row", elem_id="gallery-columns", min_width=180)
                    self.labels = gr.Checkbox(True, label="Model and seed below each", elem_id="gallery-labels", min_width=180)
                self.sheet = gr.Button("Make the sheet", elem_id="gallery-sheet")
            self.stop = gr.Button("Stop", visible=False, elem_id="gallery-stop")
            self.view = gr.HTML("", visible=False, padding=False, elem_id="gallery-making")
            self.download = gr.DownloadButton("Download it", variant="primary", visible=False, elem_id="gallery-ready")

    @property
    def outputs(self) -> list[Any]:
        """Components that `show` changes."""
        return [self.count, self.download, self.view]

    def wire(self, tab: Tab[GalleryState]) -> None:
        """Connect the zip and the contact sheet, which are long work."""

        def make_zip(session: Session, progress: gr.Progress = gr.Progress()) -> Outputs:
            shown, cancel = WorkProgress(progress, "Packing"), tab.stopping(session, _WORK)
            return self._make_zip(session, tab.state_of(session), shown, cancel)

        def make_sheet(session: Session, format: str, columns: float, labels: bool, progress: gr.Progress = gr.Progress()) -> Outputs:
            shown, cancel = WorkProgress(progress, "Drawing"), tab.stopping(session, _WORK)
            return self._make_sheet(session, tab.state_of(session), format, int(columns), bool(labels), shown, cancel)

        options: dict[str, Any] = {
            "view": self.view,
            "prepare": lambda session: tab.state_of(session).selection(),
            "hide": [self.download],
            "stopped": "Stopped; nothing was made.",
        }
        outputs = [self.view, self.download]
        tab.long_work(_WORK, self.zip, self.stop, make_zip, [tab.session], outputs, **options)
        tab.long_work(_WORK, self.sheet, self.stop, make_sheet, [tab.session, self.format, self.columns, self.labels], outputs, **options)

    # -- choosing ------------------------------------------------------------------------------------------------

    def toggle(self, state: GalleryState) -> Outputs:
        """Begin to choose, or end it."""
        state.choosing, state.chosen = not state.choosing, {}
        return {self.column: gr.update(visible=state.choosing), **self.show(state)}

    def show(self, state: GalleryState) -> Outputs:
        """How many are chosen. An older zip or sheet disappears."""
        size = sum(i.size for i in state.chosen.values())
        words = f"<b>{len(state.chosen):,} chosen</b>, {size / 1e6:,.1f} MB." if state.chosen else "<b>None chosen yet.</b>"
        words += " Press pictures to choose or drop them; hold Shift for all in between."
        return {self.count: note(words), **{part: gr.update(visible=False) for part in (self.download, self.view)}}

    def press(self, state: GalleryState, event: gr.EventData) -> Outputs:
        """Pictures were pressed: `keys` of them, and whether they are chosen (`on`) now."""
        keys, on = event_value(event, "keys"), event_value(event, "on")
        for key in keys if isinstance(keys, list) else ():
            item = state.items.get(key) if isinstance(key, str) else None
            if item is not None and on is True:
                state.chosen[item.path] = item
            elif item is not None:
                state.chosen.pop(item.path, None)
        return self.show(state)

    def choose_page(self, state: GalleryState) -> Outputs:
        """All pictures of the page as well."""
        state.chosen = {**state.chosen, **{i.path: i for i in state.items.values()}}
        return self.show(state)

    def choose_none(self, state: GalleryState) -> Outputs:
        """No picture at all."""
        state.chosen = {}
        return self.show(state)

    # -- making --------------------------------------------------------------------------------------------------

    def _make_zip(self, session: Session, state: GalleryState, progress: WorkProgress, cancel: Cancel) -> Outputs:
        items = state.selection()

        def make(path: Path) -> str:
            return f"<b>{to_zip(state.gallery, items, path, progress, cancel):,} files are in the zip</b>."

        return self._made(session, state, f"gallery-{len(items)}-files.zip", make)

    def _make_sheet(
        self, session: Session, state: GalleryState, format: str, columns: int, labels: bool, progress: WorkProgress, cancel: Cancel
    ) -> Outputs:
        items = state.selection()

        def make(path: Path) -> str:
            pages = save_contact_sheet(state.gallery, items, path, columns, labels, progress, cancel)
            return f"<b>{len(items):,} files on the sheet</b>" + (f", {pages} pages." if pages > 1 else ".")

        return self._made(session, state, f"contact-sheet-{len(items)}.{'png' if format == 'png' else 'pdf'}", make)

    def _made(self, session: Session, state: GalleryState, name: str, make: Callable[[Path], str]) -> Outputs:
        """make: new file -> HTML about its content."""
        state.clear_export()
        state.export = session.workspace.transfer_folder()
        path = state.export / name
        words = make(path)
        return {
            self.view: gr.update(value=note(words), visible=True),
            self.download: gr.update(value=str(path), label=f"Download {name}", visible=True),
        }
