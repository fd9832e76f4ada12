"""Rows of large pictures, computed from top to bottom a few at a time, so that no picture has to be in memory completely.

Where a network is needed on the way, the caller runs it: a generator yields the work for the device and is sent the result, or
has the exception thrown into it. So one thread can own the device, and other requests get their turn in between.
"""

import math
from collections.abc import Callable, Generator
from typing import Any, Protocol, TypeVar

import numpy as np
from PIL import Image

from studio.common.progress import Cancel, raise_if_cancelled

T = TypeVar("T")
DeviceWork = Generator[Callable[[], Any], Any, T]
_SUPPORT = 3  # of Lanczos' kernel, in pixels of the smaller picture


def run_device_work(
    work: DeviceWork[T],
    run: Callable[[Callable[[], Any]], Any],
    before: Callable[[], None] = lambda: None,
    cancel: Cancel | None = None,
) -> T:
    """Drive the work to its end, with `run` executing each piece on the device; returns what the work returns.

    before: called ahead of each piece.  cancel: asked ahead of each; if true, CancelledError is raised.
    """
    result, failed = None, None
    try:
        while True:
            raise_if_cancelled(cancel)
            try:
                piece = work.throw(failed) if failed is not None else work.send(result)
            except StopIteration as end:
                return end.value
            before()
            result, failed = None, None
            try:
                result = run(piece)
            except Exception as e:
                failed = e.with_traceback(None)  # the traceback would keep the tensors of the piece alive
    finally:
        work.close()


class RowSource(Protocol):
    """A picture (height, width, channels) whose rows are computed on demand."""

    height: int
    width: int
    channels: int

    def rows(self, top: int, bottom: int) -> DeviceWork[np.ndarray]:
        """Rows (bottom - top, width, channels) float32, about [0, 1]. `top` must not decrease from call to call."""
        ...


class StoredRows:
    """Rows of pixels in memory or mapped from a file: (H, W, C) uint8 or uint16."""

    def __init__(self, pixels: np.ndarray):
        self.pixels, (self.height, self.width, self.channels) = pixels, pixels.shape

    def rows(self, top: int, bottom: int) -> DeviceWork[np.ndarray]:
        return self.pixels[top:bottom].astype(np.float32) / np.iinfo(self.pixels.dtype).max
        yield  # makes it a generator like the others, though it has no work for the device


class ResizedRows:
    """Rows of another picture, or of a part of it, resized with Lanczos to any size.

    margin: pixels on each side of the source that are not part of the result, but are seen by the kernel at its borders.
    """

    def __init__(self, source: RowSource, height: int, width: int, margin: int = 0):
        self.source, self.height, self.width, self.channels, self.margin = source, height, width, source.channels, margin

    def rows(self, top: int, bottom: int) -> DeviceWork[np.ndarray]:
        margin = self.margin
        step = (self.source.height - 2 * margin) / self.height
        reach = math.ceil(_SUPPORT * max(1.0, step)) + 1
        begin, end = margin + top * step, margin + bottom * step
        low, high = max(0, math.floor(begin) - reach), min(self.source.height, math.ceil(end) + reach)
        rows = yield from self.source.rows(low, high)
        # Pillow looks beyond the box as far as there are rows, so the result is that of the complete picture.
        box = (margin, begin - low, self.source.width - margin, min(high - low, end - low))
        size = (self.width, bottom - top)
        channels = [Image.fromarray(rows[:, :, c]).resize(size, Image.Resampling.LANCZOS, box) for c in range(self.channels)]
        return np.stack([np.asarray(channel) for channel in channels], axis=2)


class InnerRows:
    """Rows of another picture without a margin on each side."""

    def __init__(self, source: RowSource, margin: int):
        self.source, self.margin, self.channels = source, margin, source.channels
        self.height, self.width = source.height - 2 * margin, source.width - 2 * margin

    def rows(self, top: int, bottom: int) -> DeviceWork[np.ndarray]:
        rows = yield from self.source.rows(top + self.margin, bottom + self.margin)
        return rows[:, self.margin : self.margin + self.width]


def tiled_margin(pixels: np.ndarray, margin: int) -> np.ndarray:
    """Pixels (H, W, C) with a margin on each side that continues them as if copies of the picture lay all around it."""
    return np.pad(pixels, ((margin, margin), (margin, margin), (0, 0)), mode="wrap")


class BlendedRows:
    """Rows of a blend: `share` (0 to 1) of one picture, the rest of another of the same size."""

    def __init__(self, one: RowSource, other: RowSource, share: float):
        self.one, self.other, self.share = one, other, np.float32(share)
        self.height, self.width, self.channels = one.height, one.width, one.channels

    def rows(self, top: int, bottom: int) -> DeviceWork[np.ndarray]:
        one = yield from self.one.rows(top, bottom)
        other = yield from self.other.rows(top, bottom)
        return one * self.share + other * (1 - self.share)


def write_rows(picture: RowSource, dtype: np.dtype, write: Callable[[np.ndarray], None], rows_at_once: int) -> DeviceWork[None]:
    """Pass all rows to `write`, `rows_at_once` at a time, as uint8 or uint16 (`dtype`)."""
    most = np.iinfo(dtype).max
    for top in range(0, picture.height, rows_at_once):
        rows = yield from picture.rows(top, min(picture.height, top + rows_at_once))
        rows = rows.clip(0, 1)
        rows *= most  # in place: fresh memory costs more than the arithmetic
        rows += np.float32(0.5)
        write(rows.astype(dtype))
