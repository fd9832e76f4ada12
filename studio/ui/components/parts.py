"""Small parts that tabs share: the stage, grids of pictures to press, the pad, and how errors reach people."""

import base64
import functools
import html
import inspect
import logging
from collections.abc import Callable, Container, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from studio.errors import StudioError
from studio.imaging.xmp import DigitalSourceType
from studio.models.folder import ModelInfo
from studio.networks import get_family
from studio.provenance.metadata import encode

log = logging.getLogger(__name__)

# A handler of ours is no part of the public API, and shows no spinner over the picture.
QUIET = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": None}
# Only the newest wish waits. What several controls change alike is one `gr.on` of them all, for answers to two handlers may come
# in any order, and the older one would stay.
LIVE = {**QUIET, "trigger_mode": "always_last"}
# Long work tells its progress. How much of it goes on at once is for the queue to say; what waits can still be stopped.
WORK = {"show_progress": "full", "api_visibility": "private", "concurrency_id": "work", "concurrency_limit": "default"}

_MAX_FACE_BYTES = 2 << 20  # a page shows many of them
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

_PRESS = """
element.addEventListener('click', (e) => {
  const b = e.target.closest('[data-i]');
  if (b && element.contains(b)) trigger('select', { index: Number(b.dataset.i) });
});
"""

_PAD_JS = """
let held = false, waiting = false;
const place = (e) => {
  const r = element.querySelector('.gs-pad').getBoundingClientRect();
  const at = (v) => Math.max(-1, Math.min(1, v));
  const x = at((e.clientX - r.left) / r.width * 2 - 1), y = at(1 - (e.clientY - r.top) / r.height * 2);
  const dot = element.querySelector('.gs-pad i');
  dot.style.left = (x + 1) * 50 + '%'; dot.style.top = (1 - y) * 50 + '%';
  return { x, y };
};
let last = null;
const tell = (kind) => { if (last) trigger(kind, last); };
element.addEventListener('pointerdown', (e) => {
  if (!e.target.closest('.gs-pad')) return;
  held = true; e.preventDefault(); last = place(e); tell('input');
});
window.addEventListener('pointermove', (e) => {
  if (!held) return;
  last = place(e);
  if (!waiting) { waiting = true; requestAnimationFrame(() => { waiting = false; if (held) tell('input'); }); }
});
window.addEventListener('pointerup', () => { if (held) { held = false; tell('release'); } });
element.addEventListener('keydown', (e) => {
  const by = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[e.key];
  if (!by) return;
  e.preventDefault(); e.stopPropagation();
  const r = element.querySelector('.gs-pad').getBoundingClientRect(), dot = element.querySelector('.gs-pad i').style;
  const x = parseFloat(dot.left) / 100 + by[0] / 20, y = parseFloat(dot.top) / 100 - by[1] / 20;
  last = place({ clientX: r.left + x * r.width, clientY: r.top + y * r.height }); tell('input'); tell('release');
});
"""


@dataclass(frozen=True)
class Target:
    """Where a tab can send a picture to: a button there.

    id: end of the button's elem_id.  label: what it says.
    send: (session, picture, *values of `inputs`) -> values for `outputs`. The picture is a Recipe where it is drawn from noise, and
    the path of a PNG where it was made from another one.
    """

    id: str
    label: str
    send: Callable[..., list]
    inputs: list
    outputs: list


@dataclass(frozen=True)
class Opening:
    """A tab where a model that was made here can be opened.

    id, label: of the tab.  suits: whether it can do something with the model.
    open: (session, model) -> values for `outputs`.
    """

    id: str
    label: str
    suits: Callable[[ModelInfo], bool]
    open: Callable[..., list]
    outputs: list


def target_buttons(targets: list[Target], tab: str, session: gr.State, chosen: Callable[..., Any], given: Sequence = ()) -> None:
    """Buttons that send a picture elsewhere.

    tab: begins their ids.  chosen: (session, *values of `given`) -> the picture, as the targets want it.
    """

    def sender(target: Target) -> Callable:
        return lambda session, *values: target.send(session, chosen(session, *values[: len(given)]), *values[len(given) :])

    for target in targets:
        button = gr.Button(target.label, elem_id=f"{tab}-{target.id}")
        button.click(friendly(sender(target)), [session, *given, *target.inputs], target.outputs, **QUIET)


def friendly(fn: Callable) -> Callable:
    """Tell an expected failure as a toast; anything else goes to the log, with a short sentence on the screen.

    A picture that was overtaken by a newer wish changes nothing.
    """

    @functools.wraps(fn)
    def wrapper(*args, **kwargs):
        try:
            return fn(*args, **kwargs)
        except CancelledError:
            return gr.skip()
        except StudioError as e:
            raise gr.Error(str(e), print_exception=False) from None
        except gr.Error:
            raise
        except Exception:
            log.exception("%s failed", fn.__name__)
            raise gr.Error(
                "Something went wrong that should not. The studio's log has the details; your work is kept.", print_exception=False
            ) from None

    wrapper.__signature__ = inspect.signature(fn)  # Gradio looks for parameters such as gr.Request
    return wrapper


def stepwise(fn: Callable) -> Callable:
    """`friendly` for a handler that gives one result after another, or none."""

    @functools.wraps(fn)
    def wrapper(*args, **kwargs):
        steps, over = fn(*args, **kwargs), object()
        yield gr.skip()  # where nothing is given at all Gradio empties the outputs

        def following():
            return next(steps, over)

        while (result := friendly(following)()) is not over:
            yield result

    return wrapper


def data_url(picture: np.ndarray, origin: DigitalSourceType | None = DigitalSourceType.GENERATED) -> str:
    """uint8 (H, W, 3) as a lossless WebP inside a URL; small pictures travel fastest that way.

    origin: the mark it carries, for pictures on a page are saved from there too; None for one that no network made.
    """
    return "data:image/webp;base64," + base64.b64encode(encode(picture, origin, "webp", None if len(picture) <= 256 else 90)).decode()


def file_url(path: Path | None) -> str:
    """A picture file inside a URL, empty when there is none."""
    if path is None:
        return ""
    return f"data:image/{path.suffix[1:]};base64," + base64.b64encode(path.read_bytes()).decode()


def face_url(info: ModelInfo) -> str:
    """The thumbnail of a model inside a URL, or a symbol of what it does."""
    path = info.thumbnail
    if path is not None and path.stat().st_size <= _MAX_FACE_BYTES:
        return file_url(path)
    family = get_family(info.family)
    lines = _SYMBOLS["translate" if family.translate else "upscale" if family.upscale else "draw"]
    return "data:image/svg+xml;base64," + base64.b64encode(_SYMBOL.format(lines).encode()).decode()


def face_cells(models: Sequence[ModelInfo]) -> list[dict[str, Any]]:
    """Models to press, for `cells_html`."""
    return [{"src": face_url(m), "label": m.title, "alt": f"Model {m.title}"} for m in models]


def stage_html(picture: np.ndarray, alt: str) -> str:
    """The big picture. Pixels of small ones stay crisp squares."""
    small = "small" if len(picture) <= 128 else ""
    return f'<div class="gs-stage"><img class="{small}" alt="{html.escape(alt, quote=True)}" src="{data_url(picture)}"></div>'


def empty_html(text: str) -> str:
    """A calm sentence where a picture will be."""
    return f'<div class="gs-stage"><div class="gs-empty">{text}</div></div>'


def note(text: str) -> str:
    """A line of explanation; `text` is HTML of our own."""
    return f'<div class="gs-note">{text}</div>'


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
    return gr.HTML(js_on_load=_PRESS, padding=False, **kwargs)


def pad(**kwargs) -> gr.HTML:
    """A square to wander in. Value: HTML of `pad_html`; `.input` while dragging and `.release` give x and y in [-1, 1]."""
    return gr.HTML(pad_html(0, 0), js_on_load=_PAD_JS, padding=False, **kwargs)


def pad_html(x: float, y: float) -> str:
    """The pad with its dot at (x, y), each in [-1, 1]."""
    return f'<div class="gs-pad" role="application" tabindex="0" aria-label="Wander nearby: arrow keys move the dot"><i style="left:{(x + 1) * 50}%;top:{(1 - y) * 50}%"></i></div>'
