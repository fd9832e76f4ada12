"""Frames on the live channel: a short JSON header and a picture, and how fine the picture may be on this connection."""

import io
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from studio.imaging.xmp import DigitalSourceType
from studio.provenance.metadata import encode

_BEST, _WORST = 90, 45  # quality of JPEG
_SMALLEST = 256  # px: a frame is never scaled below this side
_SLOW, _QUICK = 0.1, 0.04  # seconds from sending a frame to its acknowledgement
_CALM = 12  # quick frames after which they become finer again


def frame(header: dict[str, Any], picture: bytes) -> bytes:
    """A message: the length of the header (4 bytes, little-endian), the header as JSON, the picture."""
    head = json.dumps(header, separators=(",", ":")).encode()
    return len(head).to_bytes(4, "little") + head + picture


def still(picture: np.ndarray) -> bytes:
    """uint8 (H, W, 3) as a lossless WebP with the AI label: what stays on the page, from where it can be saved."""
    return encode(picture, DigitalSourceType.GENERATED, "webp")


@dataclass
class Fineness:
    """Quality and size of moving pictures, which follow what the connection carries.

    quality: of JPEG.  shrink: factor by which both sides are divided.
    """

    quality: int = _BEST
    shrink: int = 1
    _calm: int = 0

    def jpeg(self, picture: np.ndarray) -> bytes:
        """uint8 (H, W, 3) as a JPEG."""
        image = Image.fromarray(picture)
        shrink = min(self.shrink, max(1, min(image.size) // _SMALLEST))
        if shrink > 1:
            image = image.reduce(shrink)
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=self.quality, subsampling=0 if self.quality > 75 else 2)
        return buffer.getvalue()

    def took(self, seconds: float) -> None:
        """A frame was acknowledged so long after it was sent."""
        if seconds > _SLOW:
            self._calm = 0
            if self.quality > _WORST:
                self.quality = max(_WORST, self.quality - 15)
            else:
                self.shrink = min(4, self.shrink * 2)
        elif seconds < _QUICK:
            self._calm += 1
            if self._calm >= _CALM:
                self._calm = 0
                if self.shrink > 1:
                    self.shrink //= 2
                else:
                    self.quality = min(_BEST, self.quality + 15)
