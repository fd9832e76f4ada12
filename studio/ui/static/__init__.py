"""Style sheets and scripts of the page, as files."""

import functools
from pathlib import Path

_FOLDER = Path(__file__).parent
# In this order: of two rules that weigh the same the later one wins.
_STYLES = ("base", "grid", "pad", "live_inputs", "play", "compare", "train", "models", "classes", "share", "gallery", "narrow")


@functools.cache
def static_text(name: str) -> str:
    """The text of a file here."""
    return (_FOLDER / name).read_text(encoding="utf-8")


def style_sheet() -> str:
    """CSS of the page, for Gradio's `css`."""
    return "\n".join(static_text(f"{name}.css") for name in _STYLES)


def page_head() -> str:
    """HTML for the head of the page: rules for what lies around Gradio's part of it, and the page's own scripts."""
    return f"<style>\n{static_text('head.css')}</style>\n<script>\n{static_text('page.js')}{static_text('live.js')}</script>\n"
