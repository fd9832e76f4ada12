"""HTML of the Gallery: the grid of thumbnails, one picture large, and what is known about it in plain words."""

import base64
import datetime
import html

import gradio as gr

from studio.common.text import printable
from studio.engine.image_recipe import ImageRecipe
from studio.engine.recipe import Recipe, Transform
from studio.errors import StudioError
from studio.gallery.gallery import Gallery
from studio.gallery.items import CLIP, Item
from studio.gallery.thumbnails import CRISP, VIDEOS, small_view
from studio.ui.components.compare import VIEW, picture_url
from studio.ui.components.notes import empty_html, note
from studio.ui.components.picture_html import file_url
from studio.ui.components.work_progress import bytes_in_words
from studio.ui.tabs import TABS

FILE_TYPES = {"picture": "Pictures", CLIP: "Clips"}
_MAX_PICTURE_BYTES = 4 << 20  # larger files are shown as a smaller picture
_MAX_CLIP_BYTES = 24 << 20  # the limit for a clip that the page plays
PLAYED = (".mp4", ".webm")  # endings of the films that browsers play; of others a still is shown
_DIRECTIONS = {"AtoB": "A to B", "BtoA": "B to A"}

# A press opens a picture; while several are chosen it adds it to the selection or removes it, with shift everything since the press
# before. The page shows that at once, and reports it afterwards.
_PRESS = """
let last = null;
element.addEventListener('click', (e) => {
  const cell = e.target.closest('[data-k]');
  if (!cell || !element.contains(cell)) return;
  const grid = cell.closest('.gs-gallery');
  if (!grid.classList.contains('choose')) { trigger('select', { key: cell.dataset.k }); return; }
  const all = [...grid.querySelectorAll('[data-k]')], on = !cell.classList.contains('on');
  const from = e.shiftKey ? all.findIndex((c) => c.dataset.k === last) : -1, to = all.indexOf(cell);
  const some = from < 0 ? [cell] : all.slice(Math.min(from, to), Math.max(from, to) + 1);
  for (const c of some) { c.classList.toggle('on', on); c.setAttribute('aria-pressed', on); }
  last = cell.dataset.k;
  trigger('input', { keys: some.map((c) => c.dataset.k), on });
});
"""


# Up to the beginning of the tab, when that is out of sight.
TO_TOP_JS = """() => {
  const panel = document.getElementById('gallery-undo').closest('[role=tabpanel]');
  if (panel.getBoundingClientRect().top < 0) panel.scrollIntoView({ block: 'start' });
}"""
# Run when the page has the address of the file.
DOWNLOAD_JS = "() => setTimeout(() => document.querySelector('button#gallery-file, #gallery-file button').click(), 60)"


def gallery_grid(**kwargs) -> gr.HTML:
    """An HTML component for `grid_html`.

    `.select` gives the `key` of the pressed cell; while several are chosen `.input` gives the `keys` and whether they are chosen (`on`).
    """
    return gr.HTML(js_on_load=_PRESS, padding=False, **kwargs)


def grid_html(cells: list[tuple[Item, bytes | None, bool]], choosing: bool) -> str:
    """Thumbnails to press.  cells: (item, its WebP or None while there is none, whether it is chosen)."""
    parts = []
    for item, view, chosen in cells:
        words = html.escape(title_of(item), quote=True)
        crisp = ' class="small"' if 0 < max(item.width, item.height) <= CRISP else ""
        inside = f'<img{crisp} alt="{words}" src="{_webp_url(view)}">' if view else f"<em>{html.escape(printable(_name(item), 40))}</em>"
        marks = ("<i>★</i>" if item.favourite else "") + ("<b>▶</b>" if item.kind == CLIP else "")
        state = ' class="on" aria-pressed="true"' if chosen else ' aria-pressed="false"' if choosing else ""
        parts.append(f'<button type="button" data-k="{item.key}" title="{words}"{state}>{inside}{marks}</button>')
    return f'<div class="gs-grid gs-gallery{" choose" if choosing else ""}">{"".join(parts)}</div>'


def title_of(item: Item) -> str:
    """A picture in a few words."""
    if not item.model:
        return printable(_name(item))
    return printable(item.model) + (f", seed {item.seed}" if item.seed is not None else "")


def stage_html(gallery: Gallery, item: Item) -> str:
    """One picture large: the file itself, so that it can be dragged away with its recipe; of a heavy file, and of a film, a still one."""
    alt, path = html.escape(title_of(item), quote=True), gallery.file(item)
    try:
        film = path.suffix.lower() in VIDEOS
        if not film and item.size <= (_MAX_CLIP_BYTES if item.kind == CLIP else _MAX_PICTURE_BYTES):
            gallery.thumbnail(item)  # says whether it can be shown at all
            url = file_url(path)
        else:
            path.stat()  # OSError if it is gone
            url = picture_url(small_view(path, VIEW))
    except StudioError as e:
        return empty_html(f"<b>{html.escape(e.message)}</b><br>{html.escape(e.hint)}")
    except OSError:
        return empty_html("<b>This file is no longer here.</b><br>Go back to all pictures.")
    small = "small" if max(item.width, item.height) <= CRISP else ""
    words = note("The first picture of the film: browsers do not play its file type. <b>Download</b> it to see it.") if film else ""
    return f'<div class="gs-stage"><img class="{small}" alt="{alt}" src="{url}"></div>{words}'


def facts_html(item: Item, recipe: Recipe | ImageRecipe | None, model: str) -> str:
    """What is known about a picture.  model: its title, or whatever is shown instead."""
    facts: list[tuple[str, str]] = []
    if isinstance(recipe, Recipe):
        facts += [("Model", model), *_drawing_facts(recipe)]
    elif recipe is not None:
        facts += [("Model", model), *_conversion_facts(recipe)]
    else:
        facts.append(("Recipe", "None inside: it can be viewed, and sent to other tabs as a plain picture."))
    size = f"{item.width:,} × {item.height:,} px, " if item.width else ""
    facts.append(("Size", f"{size}{bytes_in_words(item.size)}"))
    facts.append(("Saved", when(item.made)))
    if item.tab:
        facts.append(("Saved in", tab_title(item.tab)))
    rows = "".join(f"<dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd>" for name, value in facts)
    return f'<dl class="gs-facts">{rows}</dl>'


def _drawing_facts(recipe: Recipe) -> list[tuple[str, str]]:
    facts = []
    if recipe.latent is not None:
        facts.append(("Seed", "none: a point of its own between seeds (latent)"))
    else:
        facts.append(("Seed", ", ".join(f"{s.seed} × {s.weight:g}" if len(recipe.seeds) > 1 else str(s.seed) for s in recipe.seeds)))
    facts.append(("Boldness (psi)", f"{recipe.psi:g}"))
    if recipe.classes:
        facts.append(("Class", ", ".join(f"{c.index} × {c.weight:g}" if len(recipe.classes) > 1 else str(c.index) for c in recipe.classes)))
    if recipe.mixes:
        facts.append(("Mixed with", ", ".join(dict.fromkeys(f"seed {m.seed}" for m in recipe.mixes))))
    if recipe.edits:
        named = [
            f"{e.direction.split(':', 1)[-1]} {e.strength:+g}" for e in recipe.edits[:8] if not e.direction.startswith(("pad:", "random:"))
        ]
        facts.append(("Directions", ", ".join(named) or "wandered nearby"))
    if recipe.noise.mode != "const" or recipe.noise.strength != 1:
        facts.append(("Grain (noise)", f"{recipe.noise.mode}, strength {recipe.noise.strength:g}"))
    if recipe.transform != Transform():
        facts.append(("Transform", f"moved {recipe.transform.x:g}, {recipe.transform.y:g}, turned {recipe.transform.rotate:g}°"))
    return facts


def _conversion_facts(recipe: ImageRecipe) -> list[tuple[str, str]]:
    upscaled = f"upscaled {recipe.scale:g} times" if recipe.scale else "upscaled"
    parts = [f"translated {_DIRECTIONS[recipe.direction]}" if recipe.verb == "translate" else upscaled]
    parts += [f"strength {recipe.strength * 100:g} %"] * (recipe.strength != 1)
    parts += ["with its own colours"] * recipe.keep_colour + [f"{recipe.repeat} times in a row"] * (recipe.repeat > 1)
    return [("Made", "from another picture: " + ", ".join(parts))]


def tab_title(folder: str) -> str:
    """Title of the tab that saves into this folder; the name of any other folder."""
    return TABS[folder].title if folder in TABS else printable(folder, 40)


def when(seconds: float) -> str:
    """Seconds since 1970 as local date and time in words."""
    date = datetime.datetime.fromtimestamp(seconds)
    return f"{date.day} {date:%B %Y, %H:%M}"


def parse_day(text: str | None, what: str) -> datetime.date | None:
    """A date typed as text; None for an empty text.  what: the label of its box. Raises StudioError when it is not a date."""
    if not text:
        return None
    try:
        date = datetime.date.fromisoformat(text.strip()[:10])
        if not 1971 <= date.year <= 2200:
            raise ValueError
    except ValueError:
        raise StudioError(f"'{printable(text, 20)}' is not a date for '{what}'.", "Write it as 2026-11-25.") from None
    return date


def _name(item: Item) -> str:
    return item.path.rsplit("/", 1)[-1]


def _webp_url(data: bytes) -> str:
    return "data:image/webp;base64," + base64.b64encode(data).decode()
