"""Upscaling of one picture: any mode and depth, any factor, tile by tile, into memory or row by row into a file."""

import functools
import math
import weakref
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from studio.common.memory import free_bytes, layer_bytes, out_of_memory
from studio.common.progress import Cancel, Progress
from studio.errors import StudioError
from studio.imaging.pixels import check_finite
from studio.imaging.raster import Raster
from studio.imaging.rows import (
    BlendedRows,
    DeviceWork,
    InnerRows,
    ResizedRows,
    RowSource,
    StoredRows,
    run_device_work,
    tiled_margin,
    write_rows,
)
from studio.inference.tiling import Box, Canvas, plan_tiles, quarters
from studio.networks.super_resolution.upscaler import Upscaler

MAX_SCALE = 16
MAX_OUTPUT_PIXELS = 1 << 30  # pixels
MIN_TILE = 32
_CHUNK = 1 << 22  # numbers of the result that are written at a time
_LEAST_MARGIN = 16  # pixels around a seamless picture, for the resizing
_EXACT = 32  # pixels; networks with a halo of at most this get exactly their halo as overlap
_CANDIDATES = (8, 16, 24, 32, 48)  # overlaps that are tried for networks with a larger halo
_MAX_OVERLAP = 64  # pixels; anything beyond hardly matters
_FEATHER = 8  # pixels of the source, where the overlap is not exact
_PROBE, _MIDDLE = 128, 16  # sides of the test picture, and of the part of it that is compared
_A_LEVEL = 2 / 255  # of a picture in [-1, 1]
_MAX_TILE_CPU, _MAX_TILE = 256, 512
_MULTIPLICATIONS = 2e11  # in one tile on a CPU: a few seconds, the longest that other requests may have to wait
_SHARE = 0.6  # of the free memory, as in translation


class Upscaling:
    """The upscaling of one picture.

    scale: 1 to 16; None = the network's own.  strength: 0 = plain resizing (Lanczos) to 1 = the network's result.
    tile: side of the tiles in pixels of the source, 32 or more; None = chosen for the machine. A network whose results depend on the
    full picture gets it whole where memory allows.
    at_once: without a tile, process the full picture in one piece where memory allows.
    seamless: the picture is a tile of a pattern: its opposite borders continue each other, and so do those of the result.
    width, height: of the result in pixels.  done, all: pixels of tiles processed so far, and in total (0 = not known yet).
    Raises StudioError for a scale, strength or tile that cannot be used, and for a result of more than 2**30 pixels.
    """

    def __init__(
        self,
        network: Upscaler,
        source: Raster,
        scale: float | None,
        strength: float,
        tile: int | None,
        at_once: bool,
        seamless: bool = False,
    ):
        if scale is not None and not (isinstance(scale, (int, float)) and not isinstance(scale, bool) and 1 <= scale <= MAX_SCALE):
            raise StudioError(f"The scale is {scale!r:.40}.", f"It must be a number from 1 to {MAX_SCALE}, or None for the model's own.")
        if not (isinstance(strength, (int, float)) and 0 <= strength <= 1):
            raise StudioError(f"The strength is {strength!r:.40}.", "It must be a number from 0 to 1.")
        if tile is not None and (type(tile) is not int or tile < MIN_TILE):
            raise StudioError(f"The tile is {tile!r:.40} pixels.", f"It must be a whole number from {MIN_TILE} on, or None.")
        self.network, self.source, self.strength, self.tile, self.at_once = network, source, strength, tile, at_once
        self.seamless, self.margin = seamless, 0
        height, width, _ = source.pixels.shape
        factor = scale or network.scale
        self.height, self.width = (max(1, round(side * factor)) for side in (height, width))
        if self.height * self.width > MAX_OUTPUT_PIXELS:
            raise StudioError(f"The result would be {self.width} x {self.height} pixels.", "Choose a smaller scale.")
        self.times = 1 if network.scale == 1 else max(1, math.ceil(math.log(factor, network.scale) - 1e-9))
        self.done = self.all = 0

    def into(self, write: Callable[[np.ndarray], None]) -> DeviceWork[None]:
        """Compute the result; `write` receives its rows from top to bottom, (n, width, C) in the source's channels and depth.

        Yields the work to be run on the device. Raises StudioError when memory runs out for the smallest tile.
        """
        pixels = self.source.pixels
        if _is_grey(pixels):  # a network for colours would tint it
            pixels, write = pixels[:, :, ::3], functools.partial(_write_coloured, write)  # grey, and alpha where it has one
        measured = (yield lambda: _measure(self.network)) if self.strength > 0 else None
        if self.seamless:
            self.margin = max(measured.overlap if measured is not None else 0, _LEAST_MARGIN)
            pixels = tiled_margin(pixels, self.margin)
        plain: RowSource = StoredRows(pixels)
        picture = plain
        if measured is not None:
            picture = StoredRows(_fill_transparent(pixels))
            stages = []
            for _ in range(self.times):
                tile = self._choose_tile(measured, picture) if measured.whole else self.tile or self._choose_tile(measured, picture)
                picture = _UpscaledRows(self, picture, measured, tile)
                stages.append(picture)
            self.all = sum(stage.pixels for stage in stages)
        picture, plain = self._sized(picture), self._sized(plain)
        if 0 < self.strength < 1:
            picture = BlendedRows(picture, plain, self.strength)
        yield from write_rows(picture, pixels.dtype, write, max(1, _CHUNK // (self.width * self.source.pixels.shape[2])))

    def _sized(self, picture: RowSource) -> RowSource:
        margin = self.margin * picture.height // (self.source.pixels.shape[0] + 2 * self.margin)
        if (picture.height - 2 * margin, picture.width - 2 * margin) == (self.height, self.width):
            return InnerRows(picture, margin) if margin else picture
        return ResizedRows(picture, self.height, self.width, margin)

    def _choose_tile(self, measured: "_Measured", picture: RowSource) -> int:
        device = next(self.network.parameters()).device
        memory = _SHARE * free_bytes(device) / measured.bytes_a_pixel
        longest = max(picture.height, picture.width)
        fits = picture.height * picture.width < memory
        if self.network.untileable or ((self.at_once or measured.whole) and fits):
            return longest
        around = 2 * measured.overlap
        if measured.whole:
            return max(2 * MIN_TILE, int(math.sqrt(memory)) - around)
        if device.type == "cpu":
            weights = sum(p.numel() for p in self.network.parameters())
            tile = min(_MAX_TILE_CPU, int(math.sqrt(_MULTIPLICATIONS / max(1, weights))) - around)
        else:
            tile = _MAX_TILE
        return max(2 * MIN_TILE, min(tile, int(math.sqrt(memory)) - around))


@dataclass(frozen=True)
class _Measured:
    """Requirements of a network's tiles.

    bytes_a_pixel: memory for each pixel of the source.  overlap: pixels read around a tile.  feather: the part of it that is blended.
    whole: no overlap suffices, as it uses means or norms of the full picture; tiles are only for pictures that do not fit into memory.
    """

    bytes_a_pixel: float
    overlap: int
    feather: int
    whole: bool = False


_measurements: "weakref.WeakKeyDictionary[Upscaler, _Measured]" = weakref.WeakKeyDictionary()


def _measure(network: Upscaler) -> _Measured:
    """Requirements of a network's tiles, measured on a small picture."""
    if network not in _measurements:
        device, side = next(network.parameters()).device, -(-64 // network.multiple) * network.multiple
        small = torch.zeros(1, network.in_channels, side, side, device=device)
        size = layer_bytes(network, lambda: network(small)) / side**2
        if network.untileable:
            _measurements[network] = _Measured(size, 0, 0, whole=True)
        elif network.halo <= _EXACT:
            _measurements[network] = _Measured(size, network.halo, 0)
        else:
            reach = _reach(network, device)
            _measurements[network] = _Measured(size, (reach or _MAX_OVERLAP) + _FEATHER, _FEATHER, whole=reach is None)
    return _measurements[network]


def _reach(network: Upscaler, device: torch.device) -> int | None:
    """Overlap in pixels with which a tile matches the full picture to half a level. It is far less than the halo of a deep network,
    because distant pixels hardly matter. None where they do, as in networks with means or norms of the full picture."""
    k, m = network.scale, network.multiple
    side, middle = -(-_PROBE // (2 * m)) * 2 * m, -(-_MIDDLE // (2 * m)) * 2 * m
    # Sharp edges and noise at all sizes, always the same.
    rng, picture = np.random.RandomState(0), np.zeros((side, side, network.in_channels))
    for cell in (32, 8, 2, 1):
        count = -(-side // cell)
        picture += rng.rand(count, count, network.in_channels).repeat(cell, 0).repeat(cell, 1)[:side, :side] / 4
    x = torch.from_numpy(picture.astype(np.float32)).to(device).permute(2, 0, 1)[None] * 2 - 1
    left, right = (side - middle) // 2, (side + middle) // 2

    def drawn(border: int) -> torch.Tensor:
        low, high = left - border, right + border
        return network(x[:, :, low:high, low:high])[:, :, border * k : (border + middle) * k, border * k : (border + middle) * k]

    def beside(value: float) -> torch.Tensor:
        """The middle, where the half of a picture twice as wide is all of one value."""
        return network(torch.cat([x, torch.full_like(x, value)], dim=3))[:, :, left * k : right * k, left * k : right * k]

    if not network.local and float((beside(1) - beside(-1)).abs().max()) > _A_LEVEL / 4:
        return None
    full = drawn(left)
    for candidate in _CANDIDATES:
        border = -(-candidate // m) * m
        if border < left and float((drawn(border) - full).abs().max()) <= _A_LEVEL / 2:
            return border
    return min(network.halo, _MAX_OVERLAP)


class _UpscaledRows:
    """Rows of a picture that goes through the network once, one row of tiles at a time."""

    def __init__(self, job: Upscaling, source: RowSource, measured: _Measured, tile: int):
        self.job, self.network, self.source, self.channels = job, job.network, source, source.channels
        k, m = self.network.scale, self.network.multiple
        self.height, self.width = source.height * k, source.width * k
        # Mirrored on the right and below to a multiple that the network takes.
        sides = self.network.mirrored_to or m
        self.full = Box(0, 0, -(-source.height // sides) * sides, -(-source.width // sides) * sides)
        alone = tile >= max(source.height, source.width)
        self.overlap, self.feather = (0, 0) if alone else (measured.overlap, measured.feather)
        side = max(self.full) if alone else max(tile, 2 * self.feather)
        self.plan = plan_tiles(self.full.bottom, self.full.right, side, self.overlap, m)
        self.canvas = Canvas(self.full.bottom * k, self.full.right * k, self.channels, self.feather * k)
        self.pixels = self.full.area
        self._ready, self._top = np.zeros((0, self.width, self.channels), np.float32), 0  # rows from `top` on

    def rows(self, top: int, bottom: int) -> DeviceWork[np.ndarray]:
        self._drop_above(top)
        while self._top + len(self._ready) < bottom:
            finished = (yield from self._row_of_tiles())[:, : self.width]
            self._ready = np.concatenate([self._ready, finished]) if len(self._ready) else finished
            self._drop_above(top)
        return self._ready[: bottom - top]

    def _drop_above(self, top: int) -> None:
        """Forget the rows above `top` that are ready; those that are not ready yet are dropped when they are."""
        count = min(top - self._top, len(self._ready))
        self._ready, self._top = self._ready[count:], self._top + count

    def _row_of_tiles(self) -> DeviceWork[np.ndarray]:
        tiles = self.plan.pop(0)
        top, bottom = tiles[0].read.top, tiles[0].read.bottom
        below, right = max(0, bottom - self.source.height), self.full.right - self.source.width
        begin = max(0, min(top, self.source.height - 1 - below))
        rows = yield from self.source.rows(begin, min(bottom, self.source.height))
        if below or right:
            rows = _mirrored(rows, below, right)
        k = self.network.scale
        for tile in tiles:
            core = tile.core.times(k)
            want = Box(*(edge // k for edge in self.canvas.drawn(core)))
            self.canvas.add(core, (yield from self._draw(rows, begin, tile.read, want)))
            self.job.done += tile.core.area
        return self.canvas.finished()

    def _draw(self, rows: np.ndarray, begin: int, read: Box, want: Box) -> DeviceWork[np.ndarray]:
        """Compute the area `want` from the area `read`.  rows: those of the picture from row `begin` on."""
        x = rows[read.top - begin : read.bottom - begin, read.left : read.right]
        k = self.network.scale
        try:
            y = yield lambda: _run_any_mode(self.network, x)
        except Exception as e:
            if not out_of_memory(e):
                raise
            y = None
        if y is not None:
            inner = want.within(read).times(k)
            return y[inner.top : inner.bottom, inner.left : inner.right]
        if self.network.untileable or max(want.height, want.width) < MIN_TILE:
            raise StudioError("The device ran out of memory.", "Close other programs, or make the picture smaller.")
        out = np.empty((want.height * k, want.width * k, self.channels), np.float32)
        for part in quarters(want):
            at = part.within(want).times(k)
            out[at.top : at.bottom, at.left : at.right] = yield from self._draw(rows, begin, self._around(part), part)
        return out

    def _around(self, want: Box) -> Box:
        """The area to read for a part of a tile. A tile that is the full picture has no overlap, but its parts do."""
        m, measured = self.network.multiple, _measurements[self.network]
        reach, full = measured.overlap - measured.feather, self.full
        return Box(
            max(0, (want.top - reach) // m * m),
            max(0, (want.left - reach) // m * m),
            min(full.bottom, -(-(want.bottom + reach) // m) * m),
            min(full.right, -(-(want.right + reach) // m) * m),
        )


def _mirrored(rows: np.ndarray, below: int, right: int) -> np.ndarray:
    """Rows (H, W, C), mirrored on the right and below as far as there are pixels; beyond, the last ones are repeated."""
    for axis, missing in ((0, below), (1, right)):
        mirror = min(missing, rows.shape[axis] - 1)
        rows = np.pad(rows, [(0, mirror if i == axis else 0) for i in range(3)], mode="reflect")
        rows = np.pad(rows, [(0, missing - mirror if i == axis else 0) for i in range(3)], mode="edge")
    return rows


def _is_grey(pixels: np.ndarray) -> bool:
    """Whether a picture in RGB or RGBA shows grey alone; colours that are transparent altogether don't count."""
    if pixels.shape[2] < 3:
        return False
    rows = max(1, _CHUNK // pixels[0].size)
    visible = False
    for top in range(0, len(pixels), rows):
        chunk = pixels[top : top + rows]
        shown = chunk[:, :, 3] > 0 if chunk.shape[2] == 4 else np.ones(chunk.shape[:2], bool)
        coloured = (chunk[:, :, 0] != chunk[:, :, 1]) | (chunk[:, :, 0] != chunk[:, :, 2])
        if (coloured & shown).any():
            return False
        visible = visible or bool(shown.any())
    return visible


def _write_coloured(write: Callable[[np.ndarray], None], rows: np.ndarray) -> None:
    """Write grey rows (n, width, 1 or 2) as RGB or RGBA."""
    write(np.concatenate([rows[:, :, :1].repeat(3, axis=2), rows[:, :, 1:]], axis=2))


def _run_any_mode(network: Upscaler, x: np.ndarray) -> np.ndarray:
    """Run the network on (H, W, C) in [0, 1] -> (H * scale, W * scale, C) float32.

    A network for colours gets grey as three equal channels. Transparency is upscaled like a grey picture, unless it is uniform.
    """
    k, channels = network.scale, x.shape[2]
    colours = 1 if channels < 3 else 3
    if channels == network.in_channels == 3:
        return _run(network, x)
    out = np.empty((x.shape[0] * k, x.shape[1] * k, channels), np.float32)
    if network.in_channels == 3 and colours == 3:
        out[:, :, :3] = _run(network, x[:, :, :3])
    else:
        for c in range(colours):
            out[:, :, c] = _run_grey(network, x[:, :, c])
    if channels > colours:
        alpha = x[:, :, colours]
        flat = np.ptp(alpha) == 0
        out[:, :, colours] = alpha[0, 0] if flat else _run_grey(network, alpha)
    return out


def _run_grey(network: Upscaler, x: np.ndarray) -> np.ndarray:
    return _run(network, x[:, :, None].repeat(network.in_channels, axis=2)).mean(axis=2)


def _run(network: Upscaler, x: np.ndarray) -> np.ndarray:
    """Run the network on (H, W, in_channels) in [0, 1] -> (H * scale, W * scale, in_channels) float32."""
    tensor = torch.from_numpy(np.ascontiguousarray(x)).to(next(network.parameters()).device).permute(2, 0, 1)[None]
    return check_finite(network(tensor * 2 - 1)).float().mul_(0.5).add_(0.5)[0].permute(1, 2, 0).cpu().numpy()


def _fill_transparent(pixels: np.ndarray) -> np.ndarray:
    """The same pixels with fully transparent ones filled with the colours of the nearest others, so that no hidden colour bleeds
    into the edges."""
    colours = pixels.shape[2] - 1
    if pixels.shape[2] in (1, 3) or pixels[:, :, colours].all() or not pixels[:, :, colours].any():
        return pixels
    out = pixels.copy()
    hidden = pixels[:, :, colours] == 0
    out[hidden, :colours] = _spread(pixels[:, :, :colours].astype(np.float32), ~hidden)[hidden].round()
    return out


def _spread(colours: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Colours (H, W, C) in which unknown pixels (H, W) get the mean of the known ones among 2x2, then 4x4 pixels, and so on."""
    if known.all():
        return colours
    height, width = known.shape
    even = ((0, height % 2), (0, width % 2))
    weights = np.pad(known.astype(np.float32), even)[:, :, None]
    sums = np.pad(colours, (*even, (0, 0))) * weights
    sums, weights = (a[0::2, 0::2] + a[1::2, 0::2] + a[0::2, 1::2] + a[1::2, 1::2] for a in (sums, weights))
    small = _spread(sums / np.maximum(weights, 1), weights[:, :, 0] > 0)
    large = small.repeat(2, axis=0).repeat(2, axis=1)[:height, :width]
    return np.where(known[:, :, None], colours, large)


def upscale_raster(
    network: Upscaler,
    source: Raster,
    scale: float | None = None,
    tile: int | None = None,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> Raster:
    """Upscale a picture in memory, in one piece where memory allows."""
    job = Upscaling(network, source, scale, 1.0, tile, at_once=True)
    rows: list[np.ndarray] = []

    def report_pixels() -> None:
        if progress is not None and job.all:
            progress(job.done, job.all)

    run_device_work(job.into(rows.append), lambda piece: piece(), report_pixels, cancel)
    report_pixels()
    return Raster(np.concatenate(rows), source.profile)
