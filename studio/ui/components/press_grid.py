"""A grid of pictures, or a strip of them, that can be pressed."""

import html
from collections.abc import Container, Sequence
from typing import Any, TypeVar

import gradio as gr

from studio.errors import StudioError
from studio.ui.components.handlers import event_value
from studio.ui.static import static_text

T = TypeVar("T")


def cells_html(cells: list[dict[str, Any]], columns: int | None = None, selected: int | Container[int] | None = None) -> str:
    """Pictures to press, in a grid of `columns` or, without it, in a strip.

    cells: {"src": URL, "label": text, "small": crisp pixels, "head": not to be pressed,
    "marked": to be left out}.  selected: index of the one that is chosen, or the indices of several.
    """
    chosen = () if selected is None else (selected,) if isinstance(selected, int) else selected
    parts = []
    for i, cell in enumerate(cells):
        label = html.escape(cell.get("label", ""))
        small = "small" if cell.get("small") else ""
        alt = html.escape(cell.get("alt") or cell.get("label") or f"picture {i + 1}", quote=True)
        image = f'<img class="{small}" src="{cell["src"]}" alt="{alt}" loading="lazy">' if cell.get("src") else ""
        inside = image + (f"<span>{label}</span>" if label else "")
        if cell.get("head"):
            parts.append(f'<div class="head">{inside}</div>')
        else:
            on = ' class="on"' if i in chosen else ' class="out"' if cell.get("marked") else ""
            parts.append(f'<button type="button"{on} data-i="{i}" title="{alt}">{inside}</button>')
    if columns is None:
        return f'<div class="gs-grid gs-strip">{"".join(parts)}</div>'
    return f'<div class="gs-grid" style="grid-template-columns:repeat({columns},minmax(0,1fr))">{"".join(parts)}</div>'


def press_grid(**kwargs) -> gr.HTML:
    """An HTML component whose cells (`cells_html`) can be pressed: `.select` gives the index."""
    return gr.HTML(js_on_load=static_text("press_grid.js"), padding=False, **kwargs)


def pressed_index(event: gr.EventData, count: int) -> int | None:
    """Index of the cell that was pressed, in [0, count); None when there is no such cell (the page may be an old one)."""
    index = event_value(event, "index")
    return index if type(index) is int and 0 <= index < count else None


def pressed(event: gr.EventData, items: Sequence[T], gone: str = "That is no longer here.", hint: str = "Reload the page.") -> T:
    """The item whose cell was pressed. Raises StudioError(gone, hint) when there is no such cell."""
    index = pressed_index(event, len(items))
    if index is None:
        raise StudioError(gone, hint)
    return items[index]
