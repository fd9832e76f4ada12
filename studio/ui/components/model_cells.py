"""Thumbnails of models, for every tab that lists models."""

import base64
import contextlib
from collections.abc import Sequence
from typing import Any

from studio.models.folder import ModelInfo
from studio.networks import Task, get_family
from studio.ui.components.picture_html import file_url

_MAX_BYTES = 2 << 20  # a page shows many of them
# Greys that are calm on a light ground and on a dark one.
_SYMBOL = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 96 96"><rect width="96" height="96" fill="#8a857f" fill-opacity=".2"/>'
    '<g fill="none" stroke="#8f8a84" stroke-width="3" stroke-linecap="round" stroke-linejoin="round">{}</g></svg>'
)
_SYMBOLS = {
    "draw": '<path d="M48 26c2 14 8 20 22 22-14 2-20 8-22 22-2-14-8-20-22-22 14-2 20-8 22-22z"/>',
    "translate": '<path d="M26 40h40l-9-9M70 56H30l9 9"/>',
    "upscale": '<path d="M46 28h22v22M68 28 50 46M28 52h16v16H28z"/>',
}


def thumbnail_url(info: ModelInfo) -> str:
    """The thumbnail of a model inside a URL, or a symbol of what it does."""
    with contextlib.suppress(OSError):  # the folder may go away meanwhile
        if info.thumbnail is not None and info.thumbnail.stat().st_size <= _MAX_BYTES:
            return file_url(info.thumbnail)
    family = get_family(info.family)
    lines = _SYMBOLS["draw" if family.task is Task.GENERATE else family.task.value]
    return "data:image/svg+xml;base64," + base64.b64encode(_SYMBOL.format(lines).encode()).decode()


def model_cells(models: Sequence[ModelInfo]) -> list[dict[str, Any]]:
    """Models to press, for `cells_html`."""
    return [{"src": thumbnail_url(m), "label": m.title, "alt": f"Model {m.title}"} for m in models]
