"""Parts of the Share tab that its sections have in common: models to press, licences, who may see, and links."""

import html
from collections.abc import Container, Sequence
from typing import Any

import gradio as gr

from studio.common.progress import Progress
from studio.errors import StudioError
from studio.models.card import KNOWN_LICENCES
from studio.models.folder import ModelInfo
from studio.models.library import Library
from studio.sharing import hub
from studio.ui.components.model_cells import model_cells
from studio.ui.components.notes import note
from studio.ui.components.press_grid import cells_html
from studio.ui.components.work_progress import WorkProgress

PRIVATE, PUBLIC = "private", "public"
WHO = [("Only me (private)", PRIVATE), ("Everybody (public)", PUBLIC)]
LICENCES = sorted(KNOWN_LICENCES)
CANCELLED = "Cancelled: nothing was uploaded to the Hub."
# Uploads and previews wait for the network, not for the device: they do not queue for it.
UPLOAD: dict[str, Any] = {"show_progress": "full", "api_visibility": "private", "concurrency_limit": None}


def shareable(library: Library) -> list[ModelInfo]:
    """The models that can be shared: those that are folders already."""
    return [m for m in library.scan()[0] if m.hash]


def model_of(library: Library, id: str | None) -> ModelInfo:
    """A chosen model in its current state. Raises StudioError when none is chosen or it is gone."""
    if not id:
        raise StudioError("No model is chosen.", "Choose one first.")
    return library.get(id)


def grid_html(found: Sequence[ModelInfo], selected: int | Container[int] | None) -> str:
    """Models to press."""
    return cells_html(model_cells(found), 3, selected)


def consent_update(infos: Sequence[ModelInfo], who: str, licence: str | None) -> dict[str, Any]:
    """An update that says why models may not be public, or not under this licence, or hides that when they may."""
    try:
        for info in infos if who == PUBLIC else []:
            hub.ensure_public(info, licence or "")
    except StudioError as e:
        return gr.update(value=note(f"<b>{html.escape(e.message)}</b> {html.escape(e.hint)}"), visible=True)
    return gr.update(value="", visible=False)


def upload_progress(progress: gr.Progress) -> Progress:
    """Progress of an upload, in bytes."""
    shown = WorkProgress(progress)
    return lambda done, total: shown.transfer("Uploading", done, total)


def link_html(words: str, url: str) -> str:
    """A sentence with an address to press."""
    address = html.escape(url, quote=True)
    return note(f'<b>{html.escape(words)}:</b> <a href="{address}" target="_blank" rel="noopener">{address}</a>')
