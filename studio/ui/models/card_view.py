"""Model card as HTML, safe even if a stranger wrote it."""

import html
import os
import re
from pathlib import Path
from urllib.parse import unquote

from markdown_it import MarkdownIt

from studio.models.folder import ModelInfo
from studio.ui.components.picture_html import file_url

_MAX_CARD_CHARS = 1 << 16  # a card is never longer, and Markdown can be crafted to parse slowly
_MAX_PICTURE_BYTES = 2 << 20
_PICTURE_SUFFIXES = (".webp", ".png", ".jpg", ".jpeg", ".gif")


def card_html(info: ModelInfo) -> str:
    """The model card, README.md, as HTML; '' when there is none.

    Its text may come from a stranger: HTML in it is shown as text, links lead to the web or nowhere, and pictures must be files of
    the model folder, so that nothing in it runs and no server learns who reads it.
    """
    try:
        with open(info.path / "README.md", encoding="utf-8", errors="replace") as f:
            text = f.read(_MAX_CARD_CHARS)
    except OSError:
        return ""
    text = re.sub(r"\A---\n.*?\n---(?:\n|\Z)", "", text, flags=re.DOTALL)
    text = re.sub(rf"\A\s*# {re.escape(' '.join(info.title.split()))}[ \t]*(?:\n|\Z)", "", text)  # the title is shown above
    return f'<div class="gs-card-text">{_MARKDOWN.render(text, {"folder": info.path})}</div>' if text.strip() else ""


def _link(renderer, tokens, i, options, env) -> str:
    token = tokens[i]
    if not re.match(r"(https?://|mailto:)", str(token.attrs.get("href", "")), re.IGNORECASE):
        token.attrs.clear()
    else:
        token.attrs.update(target="_blank", rel="noopener noreferrer nofollow")
    return renderer.renderToken(tokens, i, options, env)


def _image(renderer, tokens, i, options, env) -> str:
    token = tokens[i]
    path = _picture(env["folder"], unquote(str(token.attrs.get("src", ""))))
    alt = html.escape(token.content, quote=True)
    return f'<img alt="{alt}" src="{file_url(path)}">' if path else alt


def _picture(folder: Path, name: str) -> Path | None:
    """The file of a picture that a card names, when it lies in the model's folder."""
    path = os.path.realpath(folder / name) if name.isprintable() else ""
    inside = path.startswith(os.path.realpath(folder) + os.sep) and path.lower().endswith(_PICTURE_SUFFIXES)
    return Path(path) if inside and os.path.isfile(path) and os.path.getsize(path) <= _MAX_PICTURE_BYTES else None


_MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
_MARKDOWN.add_render_rule("link_open", _link)
_MARKDOWN.add_render_rule("image", _image)
