"""Moving pictures of a walk."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from studio.errors import StudioError
from studio.settings import atomic_write


def save_clip(pictures: list[np.ndarray], path: str | Path, fps: float = 24) -> Path:
    """Equal pictures (H, W, 3) uint8 -> an animated WebP that loops; it appears whole or not at all.

    Raises StudioError when there are no pictures or the disk is full.
    """
    if not pictures:
        raise StudioError("There are no pictures to make a clip of.", "Pin two pictures or more.")
    # Small pictures are enlarged by whole pixels: players and sites blur what is smaller than 512 px.
    scale = max(1, 512 // len(pictures[0]))
    frames = [Image.fromarray(p.repeat(scale, axis=0).repeat(scale, axis=1)) for p in pictures]
    buffer = io.BytesIO()
    frames[0].save(
        buffer, "WEBP", save_all=True, append_images=frames[1:], duration=round(1000 / fps), loop=0, quality=85, method=2
    )
    try:
        atomic_write(Path(path), buffer.getvalue())
    except OSError as e:
        raise StudioError(f"The clip could not be saved: {e}.", "Free some space and make it again.") from None
    return Path(path)
