"""Feature maps of a translation network, any piece of which can be computed by itself (see layerwise)."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from studio.inference.tiling import Box
from studio.networks.translation.resnet_unet_patchgan import ResizeConv, SmoothDoubling, SmoothHalving

MapAllocator = Callable[[tuple[int, ...], torch.dtype], torch.Tensor]


class MapBuffer:
    """Memory for a feature map, allocated when its first piece is written."""

    def __init__(self, channels: int, height: int, width: int):
        self.shape = (1, channels, height, width)
        self.data: torch.Tensor | None = None

    @property
    def nbytes(self) -> int:
        """Bytes, in float32."""
        return 4 * math.prod(self.shape)

    def write(self, box: Box, x: torch.Tensor, allocate: MapAllocator) -> None:
        """Write a piece (1, C, h, w) at `box`."""
        if self.data is None:
            self.data = allocate(self.shape, x.dtype)
        self.data[:, :, box.top : box.bottom, box.left : box.right] = x


class FeatureMap:
    """Features (channels, height, width), any piece of which can be computed.

    buffer: where its values come from, when only pixel-wise operations lie in between; else None.
    work: approximate multiplications to read all of it.  values: numbers in the largest map computed or read for it.
    """

    def __init__(self, channels: int, height: int, width: int, sources: Sequence["FeatureMap"] = (), work: float = 0.0):
        self.channels, self.height, self.width, self.sources = channels, height, width, sources
        self.work = channels * height * width + work + sum(source.work for source in sources)
        self.values = max(channels * height * width, *(source.values for source in sources), 0)
        self.buffer: MapBuffer | None = None

    def read(self, box: Box) -> torch.Tensor:
        """A piece (1, C, h, w) on the network's device; the caller may overwrite it."""
        raise NotImplementedError

    def buffers(self) -> set[MapBuffer]:
        """Buffers that are read to compute it."""
        own = {self.buffer} if self.buffer is not None else set()
        return own | {buffer for source in self.sources for buffer in source.buffers()}


class PictureMap(FeatureMap):
    """The picture (H, W, C) uint8, scaled to [-1, 1] and prepared by the network.

    reach: pixels around each pixel that `prepare` looks at.
    """

    def __init__(self, pixels: np.ndarray, prepare: Callable[[torch.Tensor], torch.Tensor], reach: int, device: torch.device):
        super().__init__(pixels.shape[2], *pixels.shape[:2])
        self.pixels, self.prepare, self.reach, self.device = pixels, prepare, reach, device

    def read(self, box: Box) -> torch.Tensor:
        r = self.reach
        wide = Box(max(0, box.top - r), max(0, box.left - r), min(self.height, box.bottom + r), min(self.width, box.right + r))
        x = torch.from_numpy(self.pixels[wide.top : wide.bottom, wide.left : wide.right]).to(self.device)
        x = self.prepare(x.permute(2, 0, 1)[None].float() / 127.5 - 1)
        inner = box.within(wide)
        return x[:, :, inner.top : inner.bottom, inner.left : inner.right].clone()


class BufferedMap(FeatureMap):
    """A map that a pass has written into a buffer."""

    def __init__(self, buffer: MapBuffer, device: torch.device):
        super().__init__(*buffer.shape[1:])
        self.buffer, self.device = buffer, device

    def read(self, box: Box) -> torch.Tensor:
        assert self.buffer is not None
        assert self.buffer.data is not None, "written by an earlier pass"
        x = self.buffer.data[:, :, box.top : box.bottom, box.left : box.right]
        return x.to(self.device, copy=True, memory_format=torch.channels_last)


class PointwiseMap(FeatureMap):
    """An operation on each value by itself."""

    def __init__(self, source: FeatureMap, change: Callable[[torch.Tensor], torch.Tensor]):
        super().__init__(source.channels, source.height, source.width, (source,))
        self.change, self.buffer = change, source.buffer

    def read(self, box: Box) -> torch.Tensor:
        return self.change(self.sources[0].read(box))


class SumMap(FeatureMap):
    """The sum x + y."""

    def __init__(self, x: FeatureMap, y: FeatureMap):
        super().__init__(x.channels, x.height, x.width, (x, y))

    def read(self, box: Box) -> torch.Tensor:
        x, y = self.sources
        return x.read(box) + y.read(box)


class ConcatenatedMap(FeatureMap):
    """The channels of x followed by those of y."""

    def __init__(self, x: FeatureMap, y: FeatureMap):
        super().__init__(x.channels + y.channels, x.height, x.width, (x, y))

    def read(self, box: Box) -> torch.Tensor:
        return torch.cat([source.read(box) for source in self.sources], dim=1)


class ConvolvedMap(FeatureMap):
    """A convolution of a map.  mirrored: border pixels that the layer before it mirrors; 0 = as the convolution has it."""

    def __init__(self, source: FeatureMap, conv: nn.Conv2d, mirrored: int):
        (self.k, _), (self.s, _) = conv.kernel_size, conv.stride
        own = int(conv.padding[0])  # never given as text here
        self.pad, self.mirror, self.conv = mirrored + own, mirrored > 0 or conv.padding_mode == "reflect", conv
        height, width = ((size + 2 * self.pad - self.k) // self.s + 1 for size in (source.height, source.width))
        super().__init__(conv.out_channels, height, width, (source,), conv.weight.numel() * height * width)

    def read(self, box: Box) -> torch.Tensor:
        rows, columns = self._needs(box.top, box.bottom), self._needs(box.left, box.right)
        x = _extended(self.sources[0], rows, columns) if self.mirror else _in_zeros(self.sources[0], rows, columns)
        return F.conv2d(x, self.conv.weight, self.conv.bias, stride=self.s)

    def _needs(self, begin: int, end: int) -> range:
        return range(begin * self.s - self.pad, (end - 1) * self.s - self.pad + self.k)


class ResizedMap(FeatureMap):
    """Nearest-neighbour doubling, then a 3x3 convolution, with mirrored borders or zeros around."""

    def __init__(self, source: FeatureMap, conv: ResizeConv):
        height, width = 2 * source.height, 2 * source.width
        super().__init__(conv.out_channels, height, width, (source,), conv.weight.numel() * height * width)
        self.conv = conv

    def read(self, box: Box) -> torch.Tensor:
        rows, columns = range(box.top - 1, box.bottom + 1), range(box.left - 1, box.right + 1)
        mode = "reflect" if self.conv.padding_mode == "reflect" else "constant"
        return F.conv2d(_extended(self.sources[0], rows, columns, repeat=2, mode=mode), self.conv.weight, self.conv.bias)


class SmoothHalvedMap(FeatureMap):
    """Half the size: a filter over mirrored borders, and each second pixel of it."""

    def __init__(self, source: FeatureMap, layer: SmoothHalving):
        height, width = -(-source.height // 2), -(-source.width // 2)
        super().__init__(source.channels, height, width, (source,), 9 * source.channels * height * width)
        self.layer = layer

    def read(self, box: Box) -> torch.Tensor:
        rows, columns = range(2 * box.top - 1, 2 * box.bottom), range(2 * box.left - 1, 2 * box.right)
        return self.layer.halved(_extended(self.sources[0], rows, columns))


class SmoothDoubledMap(FeatureMap):
    """Twice the size: between the pixels of a map, whose borders are repeated."""

    def __init__(self, source: FeatureMap, layer: SmoothDoubling):
        super().__init__(
            source.channels, 2 * source.height, 2 * source.width, (source,), 4 * source.channels * source.height * source.width
        )
        self.layer = layer

    def read(self, box: Box) -> torch.Tensor:
        rows, columns = (range(begin // 2 - 1, -(-end // 2) + 1) for begin, end in ((box.top, box.bottom), (box.left, box.right)))
        x = self.layer(_extended(self.sources[0], rows, columns, mode="replicate"))
        top, left = box.top - 2 * rows.start, box.left - 2 * columns.start
        return x[:, :, top : top + box.height, left : left + box.width]


class TransposedMap(FeatureMap):
    """A transposed convolution that doubles the size: pixel i adds to the k pixels from 2i - padding on."""

    def __init__(self, source: FeatureMap, conv: nn.ConvTranspose2d):
        assert conv.stride == (2, 2)
        height, width = source.height, source.width
        super().__init__(conv.out_channels, 2 * height, 2 * width, (source,), conv.weight.numel() * height * width)
        self.conv, self.k, self.pad = conv, conv.kernel_size[0], int(conv.padding[0])

    def read(self, box: Box) -> torch.Tensor:
        source = self.sources[0]
        rows, columns = self._needs(box.top, box.bottom, source.height), self._needs(box.left, box.right, source.width)
        x = F.conv_transpose2d(source.read(Box(rows[0], columns[0], rows[1], columns[1])), self.conv.weight, self.conv.bias, stride=2)
        top, left = box.top - (2 * rows[0] - self.pad), box.left - (2 * columns[0] - self.pad)
        return x[:, :, top : top + box.height, left : left + box.width]

    def _needs(self, begin: int, end: int, size: int) -> tuple[int, int]:
        return max(0, -(-(begin + self.pad - self.k + 1) // 2)), min(size, (end - 1 + self.pad) // 2 + 1)


def _extended(source: FeatureMap, rows: range, columns: range, repeat: int = 1, mode: str = "reflect") -> torch.Tensor:
    """Rows and columns of a map whose pixels are each repeated `repeat` times.  mode: of `F.pad`, for what lies beyond its borders."""
    height, width = source.height * repeat, source.width * repeat
    (top, bottom), (left, right) = _mirrored_from(rows, height), _mirrored_from(columns, width)
    x = source.read(Box(top // repeat, left // repeat, -(-bottom // repeat), -(-right // repeat)))
    if repeat > 1:
        x = F.interpolate(x, scale_factor=repeat, mode="nearest")
        x = x[:, :, top % repeat :, left % repeat :][:, :, : bottom - top, : right - left]
    around = [max(0, n) for n in (-columns.start, columns.stop - width, -rows.start, rows.stop - height)]
    if any(around):
        x = F.pad(x, around, mode=mode)
    y, x0 = max(0, rows.start) - top, max(0, columns.start) - left
    return x[:, :, y : y + len(rows), x0 : x0 + len(columns)]


def _mirrored_from(wanted: range, size: int) -> tuple[int, int]:
    """[begin, end) of the map needed for a range, including what its mirrored part is taken from."""
    begin, end = max(0, wanted.start), min(size, wanted.stop)
    return min(begin, 2 * size - 1 - wanted.stop), max(end, 1 - wanted.start)


def _in_zeros(source: FeatureMap, rows: range, columns: range) -> torch.Tensor:
    """Rows and columns of a map, zeros beyond its borders."""
    box = Box(max(0, rows.start), max(0, columns.start), min(source.height, rows.stop), min(source.width, columns.stop))
    around = (box.left - columns.start, columns.stop - box.right, box.top - rows.start, rows.stop - box.bottom)
    x = source.read(box)
    return F.pad(x, around) if any(around) else x
