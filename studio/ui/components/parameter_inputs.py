"""Parameters as plain inputs of the browser, many in one component: a page opens sooner than with a component for each.

Their script sends (address, value) to the live channel, under the name of the control that stands around them.
"""

import html
from collections.abc import Sequence
from typing import Any

import gradio as gr

from studio.engine.parameters import Parameter
from studio.engine.recipe import Recipe
from studio.ui.static import static_text


def parameter_inputs(value: str, **options: Any) -> gr.HTML:
    """The component; its value is HTML of `inputs_html`. `.select` gives the act and row of a button that was pressed, `.release` comes
    after a move."""
    return gr.HTML(value, js_on_load=static_text("live_inputs.js"), padding=False, **options)


def inputs_html(control: str, number: int, rows: Sequence[str]) -> str:
    """Rows of inputs.  control: of the live channel.  number: of the drawing; without it equal inputs would not be drawn anew."""
    return f'<div class="gs-inputs" data-control="{control}" data-drawn="{number}">{"".join(rows)}</div>'


def input_row(parameter: Parameter, recipe: Recipe) -> str:
    """A parameter with its words and its value: a slider, a box for 0 and 1, or a list."""
    value = parameter.get(recipe)
    info = f"<small>{html.escape(parameter.explanation)}</small>" if parameter.explanation else ""
    name = f'<div class="name">{html.escape(parameter.label)}{info}</div>'
    words = f'aria-label="{html.escape(parameter.label, quote=True)}" data-address="{html.escape(parameter.address, quote=True)}"'
    if parameter.type == "choice":
        options = "".join(
            f'<option value="{html.escape(chosen, quote=True)}"{" selected" * (chosen == value)}>{html.escape(label)}</option>'
            for label, chosen in parameter.choices
        )
        return f'<div class="row">{name}<select {words}>{options}</select></div>'
    if parameter.type == "whole" and (parameter.low, parameter.high) == (0, 1):
        return f'<div class="row">{name}<input type="checkbox" {words}{" checked" * bool(value)}></div>'
    label = html.escape(f"Reset: {parameter.label}", quote=True)
    reset = f'<button type="button" data-reset="{parameter.default:g}" aria-label="{label}">↺</button>'
    return f'<div class="row">{name}<span></span>{reset}{range_input(parameter, words, value)}</div>'


def range_input(parameter: Parameter, words: str, value: Any) -> str:
    """A slider and the number that it shows.  words: its attributes."""
    numbers = f'min="{parameter.low:g}" max="{parameter.high:g}" step="{parameter.step:g}" value="{value:g}"'
    return f'<input type="range" {words} {numbers}><output>{value:g}</output>'
