"""Parts of the Models page: the cards, what a model says of itself, and its card as HTML that strangers cannot misuse."""

import html
import math
import os
import re
import time
from collections.abc import Container, Sequence
from pathlib import Path
from urllib.parse import unquote

import gradio as gr
from markdown_it import MarkdownIt

from studio.common.text import printable
from studio.models.acquire.catalogue import CatalogueModel
from studio.models.folder import ModelInfo, count_classes
from studio.models.library import Broken, Library
from studio.models.manage import size_of
from studio.models.trash import TrashedModel
from studio.networks import Task, get_family
from studio.ui.components.notes import note
from studio.ui.components.pictures import file_url
from studio.ui.components.thumbnails import thumbnail_url

EVERYTHING, DRAWS, TRANSLATES, ENLARGES = "everything", "draws", "translates", "enlarges"
ABILITIES = [("Everything", EVERYTHING), ("Draws", DRAWS), ("Translates", TRANSLATES), ("Makes larger", ENLARGES)]
_MAX_CARD_CHARS = 1 << 16  # longer ones are no cards, and Markdown can be made slow to read
_MAX_PICTURE_BYTES = 2 << 20
_PICTURES = (".webp", ".png", ".jpg", ".jpeg", ".gif")
_MOST_CLASSES = 12
_TELL = 0.3  # seconds between two words of progress


def ability(info: ModelInfo) -> str:
    """What a model can do: DRAWS, TRANSLATES or ENLARGES."""
    family = get_family(info.family)
    return {Task.TRANSLATE: TRANSLATES, Task.UPSCALE: ENLARGES, Task.GENERATE: DRAWS}[family.task]


def in_words(info: ModelInfo) -> str:
    """What a model makes, in a few words."""
    kind = ability(info)
    if kind == ENLARGES:
        return f"makes pictures {info.scale} times larger" if info.scale > 1 else "mends pictures"
    if kind == TRANSLATES:
        return f"turns pictures into others, learned at {info.resolution} px"
    return f"draws pictures of {info.resolution} x {info.resolution} px"


def origin(library: Library, info: ModelInfo) -> str:
    """Where a model is from."""
    offered = info.extra.get("offered_by")
    if not info.hash:
        return f"offered by the package {_brief(offered)}, made ready when it is first used"
    if info.path.parent != Path(os.path.abspath(library.roots[0])):
        return "came with the studio"
    if offered:
        return f"from the package {_brief(offered)}"
    if isinstance(place := info.extra.get("downloaded_from"), str):
        hub = place.removeprefix("hub:")
        return (
            f"from the Hugging Face Hub, {_brief(hub)}"
            if hub != place
            else f"downloaded from {_brief(place.partition('://')[2].partition('/')[0])}"
        )
    if imported := info.extra.get("imported_from"):
        return f"imported from {_brief(imported)}"
    return "trained here" if "training" in info.extra else "added by hand"


def _brief(value: object) -> str:
    return printable(str(value), 120)


def size_in_words(size: int) -> str:
    """Bytes as people say them."""
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.0f} kB"


def matching(models: Sequence[ModelInfo], what: str, find: str) -> list[ModelInfo]:
    """Those that can do `what` and have each word of `find` in their title, id, family, classes or licence."""
    words, out = find.casefold().split(), []
    for info in models:
        family = get_family(info.family).title
        text = " ".join([info.title, info.id, family, info.family, in_words(info), info.licence, *info.classes]).casefold()
        if what in (EVERYTHING, ability(info)) and all(word in text for word in words):
            out.append(info)
    return out


def cards_html(library: Library, models: Sequence[ModelInfo], selected: str, loaded: Container[str]) -> str:
    """Models to press, each with its picture and a few facts.  selected: id.  loaded: ids of those in memory."""
    cells = []
    for i, info in enumerate(models):
        title, classes = html.escape(printable(info.title)), count_classes(info)
        facts = [get_family(info.family).title, in_words(info)]
        more = [
            size_in_words(size_of(info)) if info.hash else "",
            f"{classes} classes" if classes else "",
            _brief(info.licence),
            origin(library, info),
        ]
        lines = [", ".join(facts), " · ".join(filter(None, more))]
        told = "".join(f"<small>{html.escape(line)}</small>" for line in lines)
        mark = "<i>in memory</i>" if info.id in loaded else ""
        on = ' class="on"' if info.id == selected else ""
        image = f'<img alt="" src="{thumbnail_url(info)}" loading="lazy">'
        cells.append(f'<button type="button"{on} data-i="{i}" title="{title}">{image}{mark}<b>{title}</b>{told}</button>')
    return f'<div class="gs-models">{"".join(cells)}</div>' if cells else note("No model here is like that.")


def about_html(library: Library, info: ModelInfo) -> str:
    """Picture and facts of one model."""
    family = get_family(info.family)
    names = [printable(c, 40) for c in info.classes[:_MOST_CLASSES]]
    names += [f"and {len(info.classes) - len(names):,} more"] if len(info.classes) > len(names) else []
    rows = [
        ("What it does", f"{in_words(info)[:1].upper()}{in_words(info)[1:]}."),
        ("Family", f"{family.title}: {family.sentence}"),
        ("Classes", ", ".join(names)),
        ("Licence", _brief(info.licence) or "not said; ask whoever made it"),
        ("From", origin(library, info)),
        ("On the disk", size_in_words(size_of(info)) if info.hash else ""),
        ("Its name in recipes", info.id),
    ]
    table = "".join(f"<tr><th>{name}</th><td>{html.escape(value)}</td></tr>" for name, value in rows if value)
    strip = [path for side in "AB" for path in info.examples(side)]
    examples = "".join(f'<img alt="Example" src="{file_url(path)}">' for path in strip)
    title, blank = html.escape(printable(info.title)), "" if info.thumbnail else "blank"
    return (
        f'<div class="gs-about"><img class="{blank}" alt="{title}" src="{thumbnail_url(info)}"><h3>{title}</h3><table>{table}</table>'
        + (f'<div class="gs-examples">{examples}</div>' if examples else "")
        + "</div>"
    )


def broken_html(broken: Sequence[Broken]) -> str:
    """Folders that cannot be used, and why."""
    if not broken:
        return ""
    rows = "".join(
        f"<li>{html.escape(printable(b.reason, 400))}<br><code>{html.escape(printable(str(b.path)))}</code></li>" for b in broken
    )
    count = "One folder cannot be used" if len(broken) == 1 else f"{len(broken)} folders cannot be used"
    return f'<details class="gs-note"><summary><b>{count}</b></summary><ul>{rows}</ul></details>'


def bin_html(thrown: Sequence[TrashedModel]) -> str:
    """What is in the bin; each row has a button, by its index, that restores it."""
    rows = "".join(
        f"<div><span><b>{html.escape(printable(t.title))}</b><small>thrown away {t.when:%d %B %Y}, {size_in_words(t.size)}</small></span>"
        f'<button type="button" data-i="{i}">Restore</button></div>'
        for i, t in enumerate(thrown)
    )
    return f'<div class="gs-list">{rows}</div>'


def known_html(known: Sequence[CatalogueModel], here: Container[str]) -> str:
    """Well-known models; each row has a button, by its index, that gets it.  here: sources of those that are here already."""
    rows = []
    for i, k in enumerate(known):
        facts = " · ".join(
            filter(None, [get_family(k.family).title, k.licence or "licence not said", size_in_words(k.nbytes) if k.nbytes else ""])
        )
        page = f' <a href="{html.escape(k.page, quote=True)}" target="_blank" rel="noopener noreferrer">its page</a>' if k.page else ""
        button = "<i>is here</i>" if k.source in here else f'<button type="button" data-i="{i}">Get it</button>'
        words = f"<small>{html.escape(k.sentence)}</small><small>{html.escape(facts)}{page}</small>"
        rows.append(f"<div><span><b>{html.escape(k.title)}</b>{words}</span>{button}</div>")
    return f'<div class="gs-list">{"".join(rows)}</div>'


class DownloadProgress:
    """Tells progress in bytes, now and then."""

    def __init__(self, progress: gr.Progress):
        self.progress, self._what, self._told = progress, "", -math.inf

    def __call__(self, what: str, done: int, all_: int | None) -> None:
        """what: is being done.  done, all_: bytes; None = nobody knows."""
        now = time.perf_counter()
        if what == self._what and now - self._told < _TELL:  # thousands of blocks would keep the browser busy with nothing else
            return
        self._what, self._told = what, now
        if all_:
            self.progress(done / all_, desc=f"{what}: {size_in_words(done)} of {size_in_words(all_)}")
        else:
            self.progress(None, desc=f"{what}: {size_in_words(done)}" if done else what)


# -- the card -------------------------------------------------------------------------------------------------------------


def card_html(info: ModelInfo) -> str:
    """The model card, README.md, as HTML; '' when there is none.

    Its words may be a stranger's: HTML in it is shown as text, links lead to the web or nowhere, and pictures are files
    of the model folder, so that nothing of it runs and nobody learns who reads it.
    """
    try:
        with open(info.path / "README.md", encoding="utf-8", errors="replace") as f:
            text = f.read(_MAX_CARD_CHARS)
    except OSError:
        return ""
    text = re.sub(r"\A---\n.*?\n---(?:\n|\Z)", "", text, flags=re.DOTALL)
    text = re.sub(rf"\A\s*# {re.escape(' '.join(info.title.split()))}[ \t]*(?:\n|\Z)", "", text)  # it stands above
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
    inside = path.startswith(os.path.realpath(folder) + os.sep) and path.lower().endswith(_PICTURES)
    return Path(path) if inside and os.path.isfile(path) and os.path.getsize(path) <= _MAX_PICTURE_BYTES else None


_MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
_MARKDOWN.add_render_rule("link_open", _link)
_MARKDOWN.add_render_rule("image", _image)
