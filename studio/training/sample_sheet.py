"""Sample sheets: what a network makes of fixed inputs while it trains, as one picture."""

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from studio.imaging.xmp import DigitalSourceType, xmp_packet

COLUMNS = 8  # pictures per row


@dataclass(frozen=True)
class SampleSheet:
    """Pictures of a sheet, row by row.

    pictures: uint8 (N, H, W, 3), N a multiple of COLUMNS.  rows: what each row shows ('A', 'A->B'); empty for fixed latents.
    """

    pictures: np.ndarray
    rows: tuple[str, ...] = ()


def grid(pictures: np.ndarray, columns: int) -> np.ndarray:
    """uint8 (N, H, W, 3) -> one picture (N / columns * H, columns * W, 3), row by row."""
    n, h, w, c = pictures.shape
    return pictures.reshape(n // columns, columns, h, w, c).swapaxes(1, 2).reshape(n // columns * h, columns * w, c)


def encode(picture: np.ndarray, source: DigitalSourceType | None = None) -> bytes:
    """A lossless WebP file.  picture: uint8 (H, W, 3).  source: digital source type in its XMP; None = no network made it."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "WEBP", lossless=True, xmp=xmp_packet(source).encode() if source else b"")
    return buffer.getvalue()
