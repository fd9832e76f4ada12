"""HTML of the bends in Explore: the list with a slider for each, and the picture of a layer."""

import html

import numpy as np

from studio.engine.bend import Bend
from studio.engine.bend_parameters import bend_address, bend_parameter
from studio.latents.bending import OPERATIONS
from studio.latents.channels import ALL
from studio.ui.components.notes import note
from studio.ui.components.parameter_inputs import inputs_html, range_input
from studio.ui.components.picture_html import data_url

_NONE = "No bends yet: choose a layer and an operation, then press <b>Add bend</b>."
# (label, value) of the choices of channels that are offered; a range is typed.
CHANNEL_CHOICES = [
    ("All channels", ALL),
    *((f"A random {percent} %", f"random:{percent}:0") for percent in (10, 25, 50)),
    *((f"Cluster {k + 1} of 8 (channels alike)", f"cluster:{k}:8") for k in range(8)),
]
_WORDS = {value: label for label, value in CHANNEL_CHOICES}


def bends_html(bends: tuple[Bend, ...], number: int) -> str:
    """Every bend with its slider and its buttons.  number: of the drawing."""
    return inputs_html("bend", number, [_row(i, bend) for i, bend in enumerate(bends)] or [note(_NONE)])


def _row(i: int, bend: Bend) -> str:
    moved = bend_parameter(bend_address(bend), None)
    name = OPERATIONS[bend.operation].label
    where = f"{bend.layer} · {_WORDS.get(bend.channels, f'channels {bend.channels}')}"
    full = html.escape(f"{name}, {where}", quote=True)
    word, muted = ("Unmute", " muted") if bend.muted else ("Mute", "")
    words = f'aria-label="{full}" data-address="{html.escape(moved.address, quote=True)}"'
    title = html.escape(moved.explanation, quote=True)
    return (
        f'<div class="row card{muted}" data-i="{i}">'
        f'<div class="name" title="{title}">{html.escape(name)}<small>{html.escape(where)}</small></div>'
        f'<button type="button" data-act="mute" aria-label="{word}: {full}">{word}</button>'
        f'<button type="button" data-act="remove" aria-label="Remove: {full}">Remove</button>'
        f"{range_input(moved, words, bend.amount)}</div>"
    )


def layer_html(picture: np.ndarray, layer: str, channel: int | None) -> str:
    """The picture of a layer."""
    what = f"Layer {layer}, " + ("its first channels" if channel is None else f"channel {channel}")
    return f'<img class="gs-layer small" alt="{html.escape(what, quote=True)}" src="{data_url(picture)}">'
