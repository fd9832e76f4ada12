"""Choice of the tile size: pictures go through a model piece by piece."""

import gradio as gr

_SIZES = [("Automatic, to suit this machine", 0), ("256 px", 256), ("512 px", 512), ("1024 px", 1024)]


def tile_dropdown(elem_id: str, words: str) -> gr.Dropdown:
    """The choice, in pixels; 0 = automatic.  words: a sentence about the result."""
    info = f"Pictures go through the model piece by piece. {words} Smaller pieces need less memory."
    return gr.Dropdown(_SIZES, value=0, label="Size of the pieces (tile size)", elem_id=elem_id, info=info)


def known_tile(tile: int) -> int:
    """A size that can be chosen; 0 for any other, as the result is the same."""
    return tile if tile in [size for _, size in _SIZES] else 0
