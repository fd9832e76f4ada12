"""Lines of text between the controls."""

import html

from studio.errors import StudioError


def empty_html(text: str) -> str:
    """A calm sentence where a picture will be."""
    return f'<div class="gs-stage"><div class="gs-empty">{text}</div></div>'


def refusal_html(e: StudioError) -> str:
    """Why a file cannot be used, where its picture would be."""
    return empty_html(f"<b>{html.escape(e.message)}</b><br>{html.escape(e.hint)}")


def note(text: str) -> str:
    """A line of explanation; `text` is HTML of our own."""
    return f'<div class="gs-note">{text}</div>'
