"""HTML of the Models tab: cards to press, the facts of one model, the trash, and the catalogue."""

import html
import os
from collections.abc import Container, Sequence
from pathlib import Path

from studio.common.text import printable
from studio.models.acquire.catalogue import CatalogueModel
from studio.models.folder import ModelInfo, num_classes
from studio.models.library import Broken, Library
from studio.models.manage import size_of
from studio.models.trash import TrashedModel
from studio.networks import Task, get_family
from studio.ui.components.model_cells import thumbnail_url
from studio.ui.components.notes import note
from studio.ui.components.picture_html import file_url
from studio.ui.components.work_progress import bytes_in_words

EVERYTHING = "everything"
ABILITIES = [
    ("Everything", EVERYTHING),
    ("Generate", Task.GENERATE.value),
    ("Translate", Task.TRANSLATE.value),
    ("Upscale", Task.UPSCALE.value),
]
_MAX_CLASSES = 12


def in_words(info: ModelInfo) -> str:
    """What a model makes, in a few words."""
    task = get_family(info.family).task
    if task is Task.UPSCALE:
        return f"upscales pictures {info.scale} times" if (info.scale or 1) > 1 else "restores pictures"
    if task is Task.TRANSLATE:
        return f"translates pictures, trained at {info.resolution} px"
    return f"generates pictures of {info.resolution} x {info.resolution} px"


def source_in_words(library: Library, info: ModelInfo) -> str:
    """Where a model comes from."""
    package = info.extra.get("offered_by")
    if not info.hash:
        return f"bundled with the package {_brief(package)}, unpacked when it is first used"
    if info.path.parent != Path(os.path.abspath(library.roots[0])):
        return "came with the studio"
    if package:
        return f"from the package {_brief(package)}"
    if isinstance(address := info.extra.get("downloaded_from"), str):
        if address.startswith("hub:"):
            return f"from the Hugging Face Hub, {_brief(address.removeprefix('hub:'))}"
        return f"downloaded from {_brief(address.partition('://')[2].partition('/')[0])}"
    if imported := info.extra.get("imported_from"):
        return f"imported from {_brief(imported)}"
    return "trained here" if "training" in info.extra else "added by hand"


def _brief(value: object) -> str:
    return printable(str(value), 120)


def matching(models: Sequence[ModelInfo], ability: str, find: str) -> list[ModelInfo]:
    """Models with the ability (EVERYTHING, or a Task) that have each word of `find` in their title, id, family, classes or licence."""
    words, found = find.casefold().split(), []
    for info in models:
        family = get_family(info.family)
        text = " ".join([info.title, info.id, family.title, info.family, in_words(info), info.licence, *info.classes]).casefold()
        if ability in (EVERYTHING, family.task.value) and all(word in text for word in words):
            found.append(info)
    return found


def cards_html(library: Library, models: Sequence[ModelInfo], selected: str, loaded: Container[str]) -> str:
    """Models to press, each with its picture and a few facts.  selected: id.  loaded: ids of those in memory."""
    cells = []
    for i, info in enumerate(models):
        title, classes = html.escape(printable(info.title)), num_classes(info)
        facts = [
            bytes_in_words(size_of(info)) if info.hash else "",
            f"{classes} classes" if classes else "",
            _brief(info.licence),
            source_in_words(library, info),
        ]
        lines = [f"{get_family(info.family).title}, {in_words(info)}", " · ".join(filter(None, facts))]
        small = "".join(f"<small>{html.escape(line)}</small>" for line in lines)
        badge = "<i>in memory</i>" if info.id in loaded else ""
        on = ' class="on"' if info.id == selected else ""
        image = f'<img alt="" src="{thumbnail_url(info)}" loading="lazy">'
        cells.append(f'<button type="button"{on} data-i="{i}" title="{title}">{image}{badge}<b>{title}</b>{small}</button>')
    return f'<div class="gs-models">{"".join(cells)}</div>' if cells else note("No model matches.")


def about_html(library: Library, info: ModelInfo) -> str:
    """Picture and facts of one model."""
    family = get_family(info.family)
    names = [printable(c, 40) for c in info.classes[:_MAX_CLASSES]]
    names += [f"and {len(info.classes) - len(names):,} more"] if len(info.classes) > len(names) else []
    rows = [
        ("What it does", f"{in_words(info)[:1].upper()}{in_words(info)[1:]}."),
        ("Family", f"{family.title}: {family.sentence}"),
        ("Classes", ", ".join(names)),
        ("Licence", _brief(info.licence) or "not stated; ask the author"),
        ("Source", source_in_words(library, info)),
        ("Size on disk", bytes_in_words(size_of(info)) if info.hash else ""),
        ("Id in recipes", info.id),
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
    """Model folders that cannot be used, and why."""
    if not broken:
        return ""
    rows = "".join(
        f"<li>{html.escape(printable(b.reason, 400))}<br><code>{html.escape(printable(str(b.path)))}</code></li>" for b in broken
    )
    count = "One folder cannot be used" if len(broken) == 1 else f"{len(broken)} folders cannot be used"
    return f'<details class="gs-note"><summary><b>{count}</b></summary><ul>{rows}</ul></details>'


def trash_html(trashed: Sequence[TrashedModel]) -> str:
    """Entries of the trash; each row has a button, by its index, that restores the model."""
    rows = "".join(
        f"<div><span><b>{html.escape(printable(t.title))}</b><small>in the trash since {t.when:%d %B %Y}, {bytes_in_words(t.size)}</small>"
        f'</span><button type="button" data-i="{i}">Restore</button></div>'
        for i, t in enumerate(trashed)
    )
    return f'<div class="gs-list">{rows}</div>'


def catalogue_html(catalogue: Sequence[CatalogueModel], here: Container[str]) -> str:
    """Well-known models; each row has a button, by its index, that downloads it.  here: sources of those in the library already."""
    rows = []
    for i, entry in enumerate(catalogue):
        facts = [
            get_family(entry.family).title,
            entry.licence or "licence not stated",
            bytes_in_words(entry.nbytes) if entry.nbytes else "",
        ]
        link = (
            f' <a href="{html.escape(entry.page, quote=True)}" target="_blank" rel="noopener noreferrer">project page</a>'
            if entry.page
            else ""
        )
        button = "<i>in your library</i>" if entry.source in here else f'<button type="button" data-i="{i}">Download</button>'
        words = f"<small>{html.escape(entry.sentence)}</small><small>{html.escape(' · '.join(filter(None, facts)))}{link}</small>"
        rows.append(f"<div><span><b>{html.escape(entry.title)}</b>{words}</span>{button}</div>")
    return f'<div class="gs-list">{"".join(rows)}</div>'
