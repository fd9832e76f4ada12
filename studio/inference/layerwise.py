"""A network that translates, run over a picture of any size in little memory: layer by layer, each in pieces.

Tiles of the *picture* would not do. Instance norm takes its mean and deviation from the whole map, so that a tile by itself
comes out in other colours than its neighbour. And each pixel hangs on a wide surrounding (85 px in a ResNet of nine blocks,
hundreds in a U-Net), so that overlaps would cost more than the tiles. So it is the *maps* that are cut into pieces:

- A pass computes one convolution for the whole map, piece by piece. A piece reads its few border pixels (one for a 3x3) from
  the map before, which is there as a whole: nothing overlaps, and borders are mirrored at the borders of the picture alone.
- While it goes it gathers mean and deviation of the map. Only the next pass, when they are known, normalises what it reads.
- A map at full size is the largest and the cheapest to compute (three channels at one of its ends): it is not kept, but
  computed for its statistics, and again piece by piece where it is read.

So the result is that of the whole picture, to the last rounding, and what is in memory is two or three small maps.
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

_LEAST_SIDE = 4  # of a piece
_POINTWISE = (BatchNorm, nn.ReLU, nn.LeakyReLU, nn.Tanh)


# -- maps --------------------------------------------------------------------------------------------------------------


NewMap = Callable[[tuple[int, ...], torch.dtype], torch.Tensor]


class StoredMap:
    """A map that is kept. It is made when its first piece is written."""

    def __init__(self, channels: int, height: int, width: int):
        self.shape = (1, channels, height, width)
        self.data: torch.Tensor | None = None

    @property
    def nbytes(self) -> int:
        """Of float32."""
        return 4 * math.prod(self.shape)

    def write(self, box: Box, x: torch.Tensor, new_map: NewMap) -> None:
        """Put a piece (1, C, h, w) in its place."""
        if self.data is None:
            self.data = new_map(self.shape, x.dtype)
        self.data[:, :, box.top : box.bottom, box.left : box.right] = x


class Map:
    """Features (channels, height, width) of which any piece can be read.

    store: where they are kept, when all that lies between is done pixel by pixel; else None.
    work: multiplications to read all of it, about.  values: of the largest map that is computed or read for it.
    """

    def __init__(self, channels: int, height: int, width: int, sources: Sequence["Map"] = (), work: float = 0.0):
        self.channels, self.height, self.width, self.sources = channels, height, width, sources
        self.work = channels * height * width + work + sum(source.work for source in sources)
        self.values = max(channels * height * width, *(source.values for source in sources), 0)
        self.store: StoredMap | None = None

    def read(self, box: Box) -> torch.Tensor:
        """A piece (1, C, h, w), on the network's device, that may be overwritten."""
        raise NotImplementedError

    def stores(self) -> set[StoredMap]:
        """All that reading it reads."""
        return {self.store} - {None} | {store for source in self.sources for store in source.stores()}


class Pixels(Map):
    """The picture, (H, W, C) uint8, in [-1, 1], prepared by the network.

    reach: how far `prepare` looks around a pixel.
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


class Kept(Map):
    """What a pass has stored."""

    def __init__(self, store: StoredMap, device: torch.device):
        super().__init__(*store.shape[1:])
        self.store, self.device = store, device

    def read(self, box: Box) -> torch.Tensor:
        x = self.store.data[:, :, box.top : box.bottom, box.left : box.right]
        return x.to(self.device, copy=True, memory_format=torch.channels_last)


class Pointwise(Map):
    """Each value by itself."""

    def __init__(self, source: Map, change: Callable[[torch.Tensor], torch.Tensor]):
        super().__init__(source.channels, source.height, source.width, (source,))
        self.change, self.store = change, source.store

    def read(self, box: Box) -> torch.Tensor:
        return self.change(self.sources[0].read(box))


class Sum(Map):
    """x + y."""

    def __init__(self, x: Map, y: Map):
        super().__init__(x.channels, x.height, x.width, (x, y))

    def read(self, box: Box) -> torch.Tensor:
        x, y = self.sources
        return x.read(box) + y.read(box)


class Beside(Map):
    """The channels of x, then those of y."""

    def __init__(self, x: Map, y: Map):
        super().__init__(x.channels + y.channels, x.height, x.width, (x, y))

    def read(self, box: Box) -> torch.Tensor:
        return torch.cat([source.read(box) for source in self.sources], dim=1)


class Convolved(Map):
    """By a convolution. mirrored: how many pixels the layer before it mirrors at the borders."""

    def __init__(self, source: Map, conv: nn.Conv2d, mirrored: int):
        (self.k, _), (self.s, _), (zeros, _) = conv.kernel_size, conv.stride, conv.padding
        self.pad, self.mirror, self.conv = mirrored + zeros, mirrored > 0, conv
        height, width = ((size + 2 * self.pad - self.k) // self.s + 1 for size in (source.height, source.width))
        super().__init__(conv.out_channels, height, width, (source,), conv.weight.numel() * height * width)

    def read(self, box: Box) -> torch.Tensor:
        rows, columns = self._needs(box.top, box.bottom), self._needs(box.left, box.right)
        x = _mirrored(self.sources[0], rows, columns) if self.mirror else _in_zeros(self.sources[0], rows, columns)
        return F.conv2d(x, self.conv.weight, self.conv.bias, stride=self.s)

    def _needs(self, begin: int, end: int) -> range:
        return range(begin * self.s - self.pad, (end - 1) * self.s - self.pad + self.k)


class Enlarged(Map):
    """Twice the size by repeating pixels, then a 3x3 convolution that mirrors the borders."""

    def __init__(self, source: Map, conv: ResizeConv):
        height, width = 2 * source.height, 2 * source.width
        super().__init__(conv.out_channels, height, width, (source,), conv.weight.numel() * height * width)
        self.conv = conv

    def read(self, box: Box) -> torch.Tensor:
        rows, columns = range(box.top - 1, box.bottom + 1), range(box.left - 1, box.right + 1)
        return F.conv2d(_mirrored(self.sources[0], rows, columns, repeat=2), self.conv.weight, self.conv.bias)


class Transposed(Map):
    """Twice the size by a transposed convolution: pixel i adds to the pixels from 2i - padding on, as many as the kernel has."""

    def __init__(self, source: Map, conv: nn.ConvTranspose2d):
        assert conv.stride == (2, 2)
        height, width = source.height, source.width
        super().__init__(conv.out_channels, 2 * height, 2 * width, (source,), conv.weight.numel() * height * width)
        self.conv, self.k, self.pad = conv, conv.kernel_size[0], conv.padding[0]

    def read(self, box: Box) -> torch.Tensor:
        source = self.sources[0]
        rows, columns = self._needs(box.top, box.bottom, source.height), self._needs(box.left, box.right, source.width)
        x = F.conv_transpose2d(source.read(Box(rows[0], columns[0], rows[1], columns[1])), self.conv.weight, self.conv.bias, stride=2)
        top, left = box.top - (2 * rows[0] - self.pad), box.left - (2 * columns[0] - self.pad)
        return x[:, :, top : top + box.height, left : left + box.width]

    def _needs(self, begin: int, end: int, size: int) -> tuple[int, int]:
        return max(0, -(-(begin + self.pad - self.k + 1) // 2)), min(size, (end - 1 + self.pad) // 2 + 1)


def _mirrored(source: Map, rows: range, columns: range, repeat: int = 1) -> torch.Tensor:
    """Those rows and columns of a map of which each pixel is repeated; outside of it they are mirrored."""
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
    """[begin, end) within the map that holds what is wanted, and what lies mirrored outside."""
    begin, end = max(0, wanted.start), min(size, wanted.stop)
    return min(begin, 2 * size - 1 - wanted.stop), max(end, 1 - wanted.start)


def _in_zeros(source: Map, rows: range, columns: range) -> torch.Tensor:
    """Those rows and columns; outside of the map there are zeros."""
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
        """A piece (1, C, h, w)."""
        # Of a piece float32 is enough; not every device knows float64. torch.var_mean takes twenty times as long on a CPU.
        values = x.float().permute(0, 2, 3, 1).reshape(-1, x.shape[1])
        n, mean = len(values), values.mean(dim=0)
        squares = (values - mean).square_().sum(dim=0).cpu().double()
        mean = mean.cpu().double()
        total, away = self.count + n, mean - self.mean
        self.mean = self.mean + away * (n / total)
        self.squares = self.squares + squares + away.square() * (self.count * n / total)
        self.count = total

    def normalise(self, x: torch.Tensor) -> torch.Tensor:
        """(x - mean) / sqrt(var + eps) (Ulyanov 2016, Eq. 2)."""
        mean, var = (t.float().to(x.device) for t in (self.mean, self.squares / self.count))
        return F.batch_norm(x, mean, var, eps=self.eps)


# -- passes ------------------------------------------------------------------------------------------------------------


class Pass:
    """Computes a map once, piece by piece: for its statistics, to be kept, or both; or hands the pieces to `take`."""

    def __init__(
        self,
        source: Map,
        store: StoredMap | None,
        statistics: Statistics | None,
        take: Callable[[Box, torch.Tensor], None] | None = None,
    ):
        self.source, self.store, self.statistics, self.take = source, store, statistics, take

    def boxes(self, values: int) -> list[Box]:
        """Pieces for which at most about so many values of any map are computed."""
        side = max(_LEAST_SIDE, int(math.sqrt(values * self.source.height * self.source.width / self.source.values)))
        return [tile.core for row in plan_tiles(self.source.height, self.source.width, side) for tile in row]

    def run(self, box: Box, new_map: NewMap) -> None:
        """One piece."""
        x = self.source.read(box)
        # The statistics last: if memory runs out, the piece has not been counted and can be tried again.
        if self.store is not None:
            self.store.write(box, x, new_map)
        if self.statistics is not None:
            self.statistics.add(x)
        if self.take is not None:
            self.take(box, x)


def can_pass(net: nn.Module) -> bool:
    """Whether all of its layers are known here."""
    return isinstance(net, (ResnetGenerator, UnetGenerator))


def plan_passes(net: nn.Module, picture: Map, device: torch.device, take: Callable[[Box, torch.Tensor], None]) -> list[Pass]:
    """The passes that take a picture through a generator in eval mode.

    picture: its sides are multiples of the generator's.  device: the network's.  take: gets the pieces (1, C, h, w) of the
    result, in [-1, 1].  Maps are freed when nobody holds the passes that read them: let go of each when it has run.
    """
    assert not net.training
    plan = _Plan(picture, device)
    plan.passes.append(Pass(plan.through(net, picture), None, None, take))
    return plan.passes


def largest_values(passes: list[Pass]) -> int:
    """How many values the largest of all maps has."""
    return max(p.source.values for p in passes)


def kept_bytes(passes: list[Pass]) -> int:
    """The most bytes of maps that are kept at once."""
    last = {store: i for i, p in enumerate(passes) for store in p.source.stores()}
    first: dict[StoredMap, int] = {}
    for i, p in enumerate(passes):
        if p.store is not None:
            first.setdefault(p.store, i)
    return max(sum(s.nbytes for s in first if first[s] <= i <= last[s]) for i in range(len(passes)))


class _Plan:
    def __init__(self, picture: Map, device: torch.device):
        self.picture, self.device = picture, device
        self.passes: list[Pass] = []

    def through(self, layer: nn.Module, x: Map) -> Map:
        """What one of the two generators, their blocks or a sequence makes of a map."""
        if isinstance(layer, ResnetBlock):
            y = self.through(layer.conv_block, x)
            # In its own place: y no longer needs the neighbours of a pixel of x.
            store = x.store if x.store and y.store else StoredMap(x.channels, x.height, x.width)
            self.passes.append(Pass(Sum(x, y), store, None))
            return Kept(store, self.device)
        if isinstance(layer, UnetBlock):
            y = self.through(layer.model, x)
            return y if layer.outermost else Beside(x, y)
        if isinstance(layer, nn.Sequential):
            return self._sequence(list(layer), x)
        return self.through(layer.model, x)

    def _sequence(self, layers: list[nn.Module], x: Map) -> Map:
        mirrored, statistics = 0, None
        for layer, following in zip(layers, [*layers[1:], None], strict=True):
            if isinstance(layer, nn.ReflectionPad2d):
                mirrored = layer.padding[0]
            elif isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
                statistics = Statistics(following.eps) if isinstance(following, nn.InstanceNorm2d) else None
                x, mirrored = self._computed(_convolved(layer, x, mirrored), statistics), 0
            elif isinstance(layer, nn.InstanceNorm2d):
                x = Pointwise(x, statistics.normalise)
            elif isinstance(layer, _POINTWISE):
                x = Pointwise(x, layer)
            elif not isinstance(layer, nn.Dropout):  # which does nothing in eval mode
                x = self.through(layer, x)
        return x

    def _computed(self, x: Map, statistics: Statistics | None) -> Map:
        full = x.height == self.picture.height
        store = None if full else StoredMap(x.channels, x.height, x.width)
        if store or statistics:
            self.passes.append(Pass(x, store, statistics))
        return Kept(store, self.device) if store else x


def _convolved(layer: nn.Module, x: Map, mirrored: int) -> Map:
    if isinstance(layer, ResizeConv):
        return Enlarged(x, layer)
    return Transposed(x, layer) if isinstance(layer, nn.ConvTranspose2d) else Convolved(x, layer, mirrored)


def run_passes(
    passes: list[Pass], values: int, new_map: NewMap, out_of_memory: Callable[[Exception, int], int]
) -> Iterator[tuple[float, float]]:
    """Run them in turn, a piece for each step; yields (work done, all work) after each. The list is emptied.

    values: of a piece, at most about.  new_map: gives an empty tensor of a shape (1, C, H, W), channels last, on any device.
    out_of_memory: called with what a piece raised and with `values`; raises, or gives the smaller number to go on with.
    """
    total, done = sum(p.source.work for p in passes), 0.0
    while passes:
        p = passes.pop(0)
        area = p.source.height * p.source.width
        left = p.boxes(values)[::-1]
        while left:
            try:
                p.run(left[-1], new_map)
                failed = None
            except Exception as e:
                failed = e.with_traceback(None)  # which holds on to the tensors of the piece
            if failed is None:
                done += p.source.work * left.pop().area / area
                yield done, total
            else:
                values = out_of_memory(failed, values)
                left = [part for box in left for part in quarters(box)[::-1]]
