"""Parts of the Share page: what a visitor does there, models to press, who may see, and links."""

import html
import threading
from dataclasses import dataclass, field

import gradio as gr

from studio.errors import StudioError
from studio.models.card import KNOWN_LICENCES
from studio.models.folder import ModelInfo
from studio.sharing import hub
from studio.sharing.preview import Preview
from studio.ui.components.notes import note
from studio.ui.components.press_grid import cells_html
from studio.ui.components.thumbnails import model_cells

PRIVATE, PUBLIC = "private", "public"
WHO = [("Only me (private)", PRIVATE), ("Everybody (public)", PUBLIC)]
LICENCES = sorted(KNOWN_LICENCES)
CANCELLED = "Cancelled: none of it was put on the Hub."


@dataclass
class ShareVisit:
    """What one visitor does here.

    model: id of the one for the Hub.  chosen: ids of those for the Space.  token: that was typed, in memory alone.
    stop: ends what is being sent.  preview: the Space that runs here.
    """

    model: str | None = None
    chosen: list[str] = field(default_factory=list)
    token: str | None = field(default=None, repr=False)
    stop: threading.Event = field(default_factory=threading.Event)
    preview: Preview | None = None


def grid_html(found: list[ModelInfo], selected: int | set[int] | None) -> str:
    """Models to press."""
    return cells_html(model_cells(found), 3, selected)


def told_consent(infos: list[ModelInfo], who: str) -> dict:
    """Why models may not be seen by everybody, when they may not."""
    try:
        for info in infos if who == PUBLIC else []:
            hub.ensure_public(info)
    except StudioError as e:
        return gr.update(value=note(f"<b>{html.escape(e.message)}</b> {html.escape(e.hint)}"), visible=True)
    return gr.update(value="", visible=False)


def sending(progress: gr.Progress) -> hub.Progress:
    """Progress of an upload, in megabytes."""
    return lambda done, all_: progress(done / max(all_, 1), desc=f"Sending {done / 1e6:.1f} of {all_ / 1e6:.1f} MB")


def link_html(words: str, url: str) -> str:
    """A sentence with an address to press."""
    address = html.escape(url, quote=True)
    return note(f'<b>{html.escape(words)}:</b> <a href="{address}" target="_blank" rel="noopener">{address}</a>')
