"""Layer-wise execution of a translation network: pictures of any size in little memory, one layer at a time, in pieces.

Cutting the *picture* into tiles does not work. Instance norm takes its mean and deviation from the full map, so tiles come
out in different colours from their neighbours. And each output pixel depends on a wide area (85 px in a ResNet of nine
blocks, hundreds in a U-Net), so overlaps would cost more than the tiles. Instead the *feature maps* are cut into pieces:

- A pass computes one convolution for the full map, piece by piece. A piece reads the few border pixels it needs (one for a
  3x3) from the previous map, which is complete: nothing overlaps, and only the borders of the picture are mirrored.
- Along the way it gathers the mean and deviation of the map. The next pass, which knows them, normalises what it reads.
- A map at full size is the largest and the cheapest to compute (three channels on one side), so it is not buffered: it is
  computed once for its statistics, and again piece by piece where it is read.

The result equals that of the full picture up to rounding, and only two or three small maps are in memory at a time.
"""

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from studio.inference.tiling import Box, plan_tiles, quarters
from studio.networks.layers import BatchNorm
from studio.networks.translation.resnet_unet_patchgan import ResizeConv, ResnetBlock, ResnetGenerator, UnetBlock, UnetGenerator

_MIN_SIDE = 4  # of a piece
_POINTWISE = (BatchNorm, nn.ReLU, nn.LeakyReLU, nn.Tanh)


# -- maps --------------------------------------------------------------------------------------------------------------


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
    """A convolution of a map.  mirrored: border pixels that the layer before it mirrors; 0 = zeros."""

    def __init__(self, source: FeatureMap, conv: nn.Conv2d, mirrored: int):
        (self.k, _), (self.s, _) = conv.kernel_size, conv.stride
        zeros = int(conv.padding[0])  # never given as text here
        self.pad, self.mirror, self.conv = mirrored + zeros, mirrored > 0, conv
        height, width = ((size + 2 * self.pad - self.k) // self.s + 1 for size in (source.height, source.width))
        super().__init__(conv.out_channels, height, width, (source,), conv.weight.numel() * height * width)

    def read(self, box: Box) -> torch.Tensor:
        rows, columns = self._needs(box.top, box.bottom), self._needs(box.left, box.right)
        x = _mirrored(self.sources[0], rows, columns) if self.mirror else _in_zeros(self.sources[0], rows, columns)
        return F.conv2d(x, self.conv.weight, self.conv.bias, stride=self.s)

    def _needs(self, begin: int, end: int) -> range:
        return range(begin * self.s - self.pad, (end - 1) * self.s - self.pad + self.k)


class ResizedMap(FeatureMap):
    """Nearest-neighbour doubling, then a 3x3 convolution with mirrored borders."""

    def __init__(self, source: FeatureMap, conv: ResizeConv):
        height, width = 2 * source.height, 2 * source.width
        super().__init__(conv.out_channels, height, width, (source,), conv.weight.numel() * height * width)
        self.conv = conv

    def read(self, box: Box) -> torch.Tensor:
        rows, columns = range(box.top - 1, box.bottom + 1), range(box.left - 1, box.right + 1)
        return F.conv2d(_mirrored(self.sources[0], rows, columns, repeat=2), self.conv.weight, self.conv.bias)


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


def _mirrored(source: FeatureMap, rows: range, columns: range, repeat: int = 1) -> torch.Tensor:
    """Rows and columns of a map whose pixels are each repeated `repeat` times; beyond its borders they are mirrored."""
    height, width = source.height * repeat, source.width * repeat
    (top, bottom), (left, right) = _mirrored_from(rows, height), _mirrored_from(columns, width)
    x = source.read(Box(top // repeat, left // repeat, -(-bottom // repeat), -(-right // repeat)))
    if repeat > 1:
        x = F.interpolate(x, scale_factor=repeat, mode="nearest")
        x = x[:, :, top % repeat :, left % repeat :][:, :, : bottom - top, : right - left]
    around = [max(0, n) for n in (-columns.start, columns.stop - width, -rows.start, rows.stop - height)]
    if any(around):
        x = F.pad(x, around, mode="reflect")
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


# -- instance norm -----------------------------------------------------------------------------------------------------


class Statistics:
    """Mean and variance of each channel of a map, gathered piece by piece in float64 (Chan 1983, Eq. 2.1)."""

    def __init__(self, eps: float):
        self.eps, self.count = eps, 0
        self.mean = self.squares = torch.zeros(1, dtype=torch.float64)

    def add(self, x: torch.Tensor) -> None:
        """Add a piece (1, C, h, w)."""
        # Within a piece float32 is enough, and not every device has float64. torch.var_mean takes twenty times as long on a CPU.
        values = x.float().permute(0, 2, 3, 1).reshape(-1, x.shape[1])
        n, mean = len(values), values.mean(dim=0)
        squares = (values - mean).square_().sum(dim=0).cpu().double()
        mean = mean.cpu().double()
        total, away = self.count + n, mean - self.mean
        self.mean = self.mean + away * (n / total)
        self.squares = self.squares + squares + away.square() * (self.count * n / total)
        self.count = total

    def normalise(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise a piece: (x - mean) / sqrt(var + eps) (Ulyanov 2016, Eq. 2)."""
        mean, var = (t.float().to(x.device) for t in (self.mean, self.squares / self.count))
        return F.batch_norm(x, mean, var, eps=self.eps)


# -- passes ------------------------------------------------------------------------------------------------------------


class LayerPass:
    """One pass over a map, piece by piece: into a buffer, for its statistics, or both, or to the function `on_piece`."""

    def __init__(
        self,
        source: FeatureMap,
        buffer: MapBuffer | None,
        statistics: Statistics | None,
        on_piece: Callable[[Box, torch.Tensor], None] | None = None,
    ):
        self.source, self.buffer, self.statistics, self.on_piece = source, buffer, statistics, on_piece

    def boxes(self, values: int) -> list[Box]:
        """Pieces that compute at most about `values` numbers of any map."""
        side = max(_MIN_SIDE, int(math.sqrt(values * self.source.height * self.source.width / self.source.values)))
        return [tile.core for row in plan_tiles(self.source.height, self.source.width, side) for tile in row]

    def run(self, box: Box, allocate: MapAllocator) -> None:
        """Compute one piece."""
        x = self.source.read(box)
        # Statistics come last: if memory runs out before, the piece has not been counted and can be tried again.
        if self.buffer is not None:
            self.buffer.write(box, x, allocate)
        if self.statistics is not None:
            self.statistics.add(x)
        if self.on_piece is not None:
            self.on_piece(box, x)


def supports_layerwise(net: nn.Module) -> bool:
    """Whether this generator can be run layer by layer: all its layers are known here."""
    return isinstance(net, (ResnetGenerator, UnetGenerator))


def plan_layer_passes(
    net: nn.Module, picture: FeatureMap, device: torch.device, on_piece: Callable[[Box, torch.Tensor], None]
) -> list[LayerPass]:
    """Plan the passes that run a picture through a generator in eval mode.

    picture: its sides are multiples of the generator's `multiple`.  device: the network's.  on_piece: receives the pieces
    (1, C, h, w) of the result, in [-1, 1].  A map is freed once no pass that reads it is referenced, so drop each pass after
    it has run.
    """
    assert not net.training
    plan = _LayerPlanner(picture, device)
    plan.passes.append(LayerPass(plan.through(net, picture), None, None, on_piece))
    return plan.passes


def largest_values(passes: list[LayerPass]) -> int:
    """Numbers in the largest of all maps."""
    return max(p.source.values for p in passes)


def buffer_bytes(passes: list[LayerPass]) -> int:
    """Peak bytes of all buffers in use at the same time."""
    last = {buffer: i for i, p in enumerate(passes) for buffer in p.source.buffers()}
    first: dict[MapBuffer, int] = {}
    for i, p in enumerate(passes):
        if p.buffer is not None:
            first.setdefault(p.buffer, i)
    return max(sum(s.nbytes for s in first if first[s] <= i <= last[s]) for i in range(len(passes)))


class _LayerPlanner:
    """Walks through a network and collects its passes."""

    def __init__(self, picture: FeatureMap, device: torch.device):
        self.picture, self.device = picture, device
        self.passes: list[LayerPass] = []

    def through(self, layer: nn.Module, x: FeatureMap) -> FeatureMap:
        """The output map of a generator, a block or a sequence for the input `x`."""
        if isinstance(layer, ResnetBlock):
            y = self.through(layer.conv_block, x)
            # Written over x: y no longer needs the neighbours of a pixel of x.
            buffer = x.buffer if x.buffer and y.buffer else MapBuffer(x.channels, x.height, x.width)
            self.passes.append(LayerPass(SumMap(x, y), buffer, None))
            return BufferedMap(buffer, self.device)
        if isinstance(layer, UnetBlock):
            y = self.through(layer.model, x)
            return y if layer.outermost else ConcatenatedMap(x, y)
        if isinstance(layer, nn.Sequential):
            return self._sequence(list(layer), x)
        assert isinstance(layer, ResnetGenerator | UnetGenerator)
        return self.through(layer.model, x)

    def _sequence(self, layers: list[nn.Module], x: FeatureMap) -> FeatureMap:
        mirrored, statistics = 0, None
        for layer, following in zip(layers, [*layers[1:], None], strict=True):
            if isinstance(layer, nn.ReflectionPad2d):
                mirrored = int(layer.padding[0])
            elif isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
                statistics = Statistics(following.eps) if isinstance(following, nn.InstanceNorm2d) else None
                x, mirrored = self._computed(_convolved(layer, x, mirrored), statistics), 0
            elif isinstance(layer, nn.InstanceNorm2d) and statistics is not None:
                x = PointwiseMap(x, statistics.normalise)
            elif isinstance(layer, _POINTWISE):
                x = PointwiseMap(x, layer)
            elif not isinstance(layer, nn.Dropout):  # which does nothing in eval mode
                x = self.through(layer, x)
        return x

    def _computed(self, x: FeatureMap, statistics: Statistics | None) -> FeatureMap:
        full = x.height == self.picture.height
        buffer = None if full else MapBuffer(x.channels, x.height, x.width)
        if buffer or statistics:
            self.passes.append(LayerPass(x, buffer, statistics))
        return BufferedMap(buffer, self.device) if buffer else x


def _convolved(layer: nn.Conv2d | nn.ConvTranspose2d, x: FeatureMap, mirrored: int) -> FeatureMap:
    if isinstance(layer, ResizeConv):
        return ResizedMap(x, layer)
    return TransposedMap(x, layer) if isinstance(layer, nn.ConvTranspose2d) else ConvolvedMap(x, layer, mirrored)


def run_layer_passes(
    passes: list[LayerPass], values: int, allocate: MapAllocator, out_of_memory: Callable[[Exception, int], int]
) -> Iterator[tuple[float, float]]:
    """Run passes in order, one piece a step; yields (work done, all work) after each. The list is emptied on the way.

    values: numbers to compute in one piece, at most about.  allocate: returns an empty tensor (1, C, H, W), channels last, on any
    device.  out_of_memory: called with the exception of a piece and with `values`; raises, or returns the smaller number to
    continue with.
    """
    total, done = sum(p.source.work for p in passes), 0.0
    while passes:
        p = passes.pop(0)
        area = p.source.height * p.source.width
        left = p.boxes(values)[::-1]
        while left:
            try:
                p.run(left[-1], allocate)
                failed = None
            except Exception as e:
                failed = e.with_traceback(None)  # the traceback would keep the tensors of the piece alive
            if failed is None:
                done += p.source.work * left.pop().area / area
                yield done, total
            else:
                values = out_of_memory(failed, values)
                left = [part for box in left for part in quarters(box)[::-1]]
