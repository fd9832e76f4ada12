"""Lines of text between the controls."""


def empty_html(text: str) -> str:
    """A calm sentence where a picture will be."""
    return f'<div class="gs-stage"><div class="gs-empty">{text}</div></div>'


def note(text: str) -> str:
    """A line of explanation; `text` is HTML of our own."""
    return f'<div class="gs-note">{text}</div>'
