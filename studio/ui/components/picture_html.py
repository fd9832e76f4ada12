"""Pictures inside a page."""

import base64
import html
from pathlib import Path

import numpy as np

from studio.imaging.xmp import DigitalSourceType
from studio.provenance.metadata import encode


def data_url(picture: np.ndarray, origin: DigitalSourceType | None = DigitalSourceType.GENERATED) -> str:
    """uint8 (H, W, 3) as a lossless WebP inside a URL; small pictures travel fastest that way.

    origin: the AI label to embed, as pictures are also saved straight from the page; None for one that no network made.
    """
    return "data:image/webp;base64," + base64.b64encode(encode(picture, origin, "webp", None if len(picture) <= 256 else 90)).decode()


def file_url(path: Path | None) -> str:
    """A picture file inside a URL, empty when there is none."""
    if path is None:
        return ""
    return f"data:image/{path.suffix[1:]};base64," + base64.b64encode(path.read_bytes()).decode()


def stage_html(picture: np.ndarray, alt: str, number: int = 0) -> str:
    """The big picture. Pixels of small ones stay crisp squares.  number: of the drawing, where a live channel draws there too."""
    small = "small" if len(picture) <= 128 else ""
    image = f'<img class="{small}" alt="{html.escape(alt, quote=True)}" src="{data_url(picture)}">'
    return f'<div class="gs-stage" data-drawn="{number}">{image}</div>'
