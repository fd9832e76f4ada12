"""Controls that move a parameter of a recipe: range, step and texts are the parameter's."""

from typing import Any

import gradio as gr

from studio.engine.parameters import Parameter


def parameter_slider(parameter: Parameter, explain: bool = True, **options: Any) -> gr.Slider:
    """A slider over the parameter's range.  explain: with its sentence of explanation.  options: of gr.Slider."""
    words = {"label": parameter.label, "info": (parameter.explanation or None) if explain else None}
    return gr.Slider(parameter.low, parameter.high, float(parameter.default), step=parameter.step, **{**words, **options})


def parameter_number(parameter: Parameter, **options: Any) -> gr.Number:
    """A field for a whole number.  options: of gr.Number."""
    words = {"label": parameter.label, "precision": 0, "minimum": parameter.low, "maximum": parameter.high}
    return gr.Number(int(parameter.default), **{**words, **options})


def parameter_choice(parameter: Parameter, **options: Any) -> gr.Radio:
    """Radio buttons for the parameter's choices.  options: of gr.Radio."""
    return gr.Radio(list(parameter.choices), value=parameter.default, **{"label": parameter.label, **options})
