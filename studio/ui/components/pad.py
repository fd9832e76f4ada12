"""The pad: a square in which a dot is dragged."""

import gradio as gr

from studio.ui.static import static_text


def pad(**kwargs) -> gr.HTML:
    """The component. Its value is HTML of `pad_html`. Dragged and let go, it sends 'pad' with x and y in [-1, 1] to the live channel."""
    return gr.HTML(pad_html(0, 0), js_on_load=static_text("pad.js"), padding=False, **kwargs)


def pad_html(x: float, y: float) -> str:
    """The pad with its dot at (x, y), each in [-1, 1]."""
    attributes = 'class="gs-pad" role="application" tabindex="0" aria-label="Wander nearby: arrow keys move the dot"'
    return f'<div {attributes}><i style="left:{(x + 1) * 50}%;top:{(1 - y) * 50}%"></i></div>'
