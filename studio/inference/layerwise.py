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
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import nn

from studio.inference.feature_maps import (
    BufferedMap,
    ConcatenatedMap,
    ConvolvedMap,
    FeatureMap,
    MapAllocator,
    MapBuffer,
    PointwiseMap,
    ResizedMap,
    SmoothDoubledMap,
    SmoothHalvedMap,
    SumMap,
    TransposedMap,
)
from studio.inference.tiling import Box, plan_tiles, quarters
from studio.networks.layers import BatchNorm
from studio.networks.translation.resnet_unet_patchgan import (
    ResizeConv,
    ResnetBlock,
    ResnetGenerator,
    SmoothDoubling,
    SmoothHalving,
    UnetBlock,
    UnetGenerator,
)

_MIN_SIDE = 4  # of a piece
_POINTWISE = (BatchNorm, nn.ReLU, nn.LeakyReLU, nn.Tanh, nn.Identity)


# -- instance norm -----------------------------------------------------------------------------------------------------


class Statistics:
    """Mean and variance of each channel of a map, gathered piece by piece in float64 (Chan 1983, Eq. 2.1)."""

    def __init__(self, norm: nn.InstanceNorm2d):
        self.norm, self.count = norm, 0
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
        """Normalise a piece: (x - mean) / sqrt(var + eps) (Ulyanov 2016, Eq. 2), then by the weights of an affine norm."""
        mean, var = (t.float().to(x.device) for t in (self.mean, self.squares / self.count))
        return F.batch_norm(x, mean, var, self.norm.weight, self.norm.bias, eps=self.norm.eps)


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
                statistics = Statistics(following) if isinstance(following, nn.InstanceNorm2d) else None
                x, mirrored = self._computed(_convolved(layer, x, mirrored), statistics), 0
            elif isinstance(layer, nn.InstanceNorm2d) and statistics is not None:
                x = PointwiseMap(x, statistics.normalise)
            elif isinstance(layer, _POINTWISE):
                x = PointwiseMap(x, layer)
            elif isinstance(layer, SmoothHalving):
                x = self._computed(SmoothHalvedMap(x, layer), None)
            elif isinstance(layer, SmoothDoubling):
                x = SmoothDoubledMap(x, layer)
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
