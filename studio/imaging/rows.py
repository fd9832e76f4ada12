"""Large pictures from top to bottom, a band of rows at a time: so none of them need be in memory as a whole.

Where a network is needed on the way, the work is handed to whoever asked: a generator yields what is to be run on the device
and is sent its result, or thrown what it raised. So one thread may own the device, and others get their turn in between.
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
    """Go through the work with `run` doing what is for the device -> what it returns.

    before: called ahead of each piece.  cancel: asked ahead of each; when true CancelledError is raised.
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
                failed = e.with_traceback(None)  # which holds on to the tensors of the piece
    finally:
        work.close()


class RowSource(Protocol):
    """A picture (height, width, channels) of which rows are made when they are asked for."""

    height: int
    width: int
    channels: int

    def rows(self, top: int, bottom: int) -> DeviceWork[np.ndarray]:
        """(bottom - top, width, channels) float32, about [0, 1]. No call may begin above the one before it."""
        ...


class StoredRows:
    """Pixels (H, W, C) uint8 or uint16 that are there."""

    def __init__(self, pixels: np.ndarray):
        self.pixels, (self.height, self.width, self.channels) = pixels, pixels.shape

    def rows(self, top: int, bottom: int) -> DeviceWork[np.ndarray]:
        return self.pixels[top:bottom].astype(np.float32) / np.iinfo(self.pixels.dtype).max
        yield  # a generator like the others, though nothing is left to others


class ResizedRows:
    """By Lanczos' kernel, to any size."""

    def __init__(self, source: RowSource, height: int, width: int):
        self.source, self.height, self.width, self.channels = source, height, width, source.channels

    def rows(self, top: int, bottom: int) -> DeviceWork[np.ndarray]:
        step = self.source.height / self.height
        reach = math.ceil(_SUPPORT * max(1.0, step)) + 1
        low, high = max(0, math.floor(top * step) - reach), min(self.source.height, math.ceil(bottom * step) + reach)
        rows = yield from self.source.rows(low, high)
        # Pillow looks beyond the box, as far as there are rows; so the bands are those of the whole picture.
        box = (0, top * step - low, self.source.width, min(high - low, bottom * step - low))
        size = (self.width, bottom - top)
        channels = [Image.fromarray(rows[:, :, c]).resize(size, Image.LANCZOS, box) for c in range(self.channels)]
        return np.stack([np.asarray(channel) for channel in channels], axis=2)


class BlendedRows:
    """`share` of one picture, the rest of another of its size."""

    def __init__(self, one: RowSource, other: RowSource, share: float):
        self.one, self.other, self.share = one, other, np.float32(share)
        self.height, self.width, self.channels = one.height, one.width, one.channels

    def rows(self, top: int, bottom: int) -> DeviceWork[np.ndarray]:
        one = yield from self.one.rows(top, bottom)
        other = yield from self.other.rows(top, bottom)
        return one * self.share + other * (1 - self.share)


def write_rows(picture: RowSource, dtype: np.dtype, write: Callable[[np.ndarray], None], band: int) -> DeviceWork[None]:
    """Hand all rows to `write`, `band` at a time, as uint8 or uint16."""
    most = np.iinfo(dtype).max
    for top in range(0, picture.height, band):
        rows = yield from picture.rows(top, min(picture.height, top + band))
        rows = rows.clip(0, 1)
        rows *= most  # in place: fresh memory costs more than the arithmetic
        rows += np.float32(0.5)
        write(rows.astype(dtype))
