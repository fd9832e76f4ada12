"""Input for one picture that hands on the file unchanged."""

from typing import Any

import gradio as gr


class PictureInput(gr.Image):
    """Image component whose value is the path of the file as it was sent; damaged files too, so that the tab can say what is wrong."""

    is_template = True

    def preprocess(self, payload: Any) -> Any:
        """The path of the uploaded file; Gradio's own value for pictures without one."""
        return payload.path if payload is not None and payload.path else super().preprocess(payload)
