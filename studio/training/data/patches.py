"""Data for super-resolution: patches of full-size pictures with their degraded versions, and pictures held back for measuring."""

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from studio.datasets.full_size import FullSizeImages, picture_sizes
from studio.datasets.store import DataSet
from studio.errors import StudioError
from studio.imaging.pixels import to_uint8
from studio.metrics.evaluation import PairEvaluator
from studio.networks.translation.pix2pix import grey
from studio.training.data.degradation import bicubic, degrade, margin
from studio.training.plan import Plan
from studio.training.randomness import DataOrder, derive, generator

_TRIES = 2  # locations drawn for a patch, of which the one with most detail is taken: flat areas teach little
_EXAMPLE_TRIES = 16
_MEASURED = 32  # held-back pictures that are measured, at most
_MEASURED_SIDE = 1024  # pixels; of larger pictures the centre is measured


@functools.lru_cache(maxsize=8)
def stored_sizes(path: Path, names: tuple[str, ...]) -> np.ndarray:
    """(N, 2) heights and widths of the pictures of a stored set, which never changes.  path: of the set's folder."""
    return picture_sizes(path / "pictures" / name for name in names)


def names_large_enough(stored: DataSet, side: int) -> list[str]:
    """Names of the pictures from which a square patch of `side` pixels can be cut."""
    names = tuple(stored.names())
    return [name for name, shorter in zip(names, stored_sizes(stored.path, names).min(axis=1), strict=True) if shorter >= side]


@dataclass(frozen=True)
class PatchBatch:
    """Patches of one micro-batch, and their degraded versions."""

    index: int
    """Position among the micro-batches of all processes; randomness depends on it."""
    low: torch.Tensor
    """(n, C, H / scale, W / scale) in [-1, 1], made from `high`."""
    high: torch.Tensor
    """(n, C, H, W) in [-1, 1]."""


@dataclass(frozen=True)
class _HeldBack:
    """A picture held back: low and high resolution, uint8 (H, W, 3), and the metrics of bicubic interpolation."""

    name: str
    low: np.ndarray
    high: np.ndarray
    bicubic: dict[str, float]


class PatchData:
    """Batches of patches of full-size pictures.

    pictures: of any size; those smaller than the plan's resolution are left out.  config: of the family (scale, img_channels).
    multiple: sides of a low-resolution picture must be multiples of it.
    The fraction data.held_back of the pictures, chosen by the first bits of their content hash, is never learned from: a picture keeps
    its role when others are added or removed.
    Raises StudioError when no picture is large enough, and when there is nothing to learn.
    """

    def __init__(self, plan: Plan, config: Any, pictures: FullSizeImages, multiple: int, device: torch.device):
        self.plan, self.config, self.pictures, self.multiple, self.device = plan, config, pictures, multiple, device
        self.scale, self.side, self.mode = config.scale, plan.data.resolution, plan.data.degrade
        if self.scale == 1 and self.mode == "bicubic":
            raise StudioError(
                "At scale 1 an upscaler can only restore degraded pictures, and the plan has clean ones.", 'Set data.degrade = "real".'
            )
        fit = np.flatnonzero(pictures.sizes.min(axis=1) >= self.side)
        self.small = len(pictures) - len(fit)
        if not len(fit):
            raise StudioError(
                f"No picture is {self.side} pixels wide and high.", "Use larger pictures, or set data.resolution to a smaller patch."
            )
        self.held, self.rows = _split(fit, pictures.keys, plan.data.held_back)
        self.order = DataOrder(len(self.rows), plan.seed)
        self.margin = margin(self.mode, self.scale)
        self._measured: list[_HeldBack] = []
        self._evaluator: PairEvaluator | None = None

    def __len__(self) -> int:
        """Number of pictures learned from."""
        return len(self.rows)

    @property
    def facts(self) -> dict[str, Any]:
        """For the start event: the names of the pictures held back, and how many are too small."""
        return {"held_back": [self.pictures.names[row] for row in self.held], "too_small": self.small}

    # -- patches -------------------------------------------------------------------------------------------------

    def batch(self, step: int, index: int, position: int, count: int) -> PatchBatch:
        """Micro-batch `index` of a step: `count` patches, of pictures from `position` of the endless sequence on.

        Location, orientation and degradation of the patches depend on step and index alone.
        """
        rows = self.rows[self.order.indices(position, count)]
        return self._patches(rows, ("patch", step, index), index, self.plan.data.mirror)

    def fixed(self, count: int, stream: str, batch: int = 8) -> Iterator[PatchBatch]:
        """Batches of always the same `count` patches, of pictures held back if any; from the first again when there are fewer."""
        rows = self.held if len(self.held) else self.rows
        order = DataOrder(len(rows), derive(self.plan.seed, stream))
        for start in range(0, count, batch):
            n = min(batch, count - start)
            yield self._patches(rows[order.indices(start, n)], (stream, start), 0, False)

    def reals(self, count: int) -> np.ndarray:
        """uint8 (count, H, W, 3): always the same patches."""
        return np.concatenate([to_uint8(batch.high) for batch in self.fixed(count, "reals")])

    def _patches(self, rows: np.ndarray, stream: tuple, index: int, turned: bool) -> PatchBatch:
        rng, edge, scale = generator(self.plan.seed, *stream), self.margin, self.scale
        cuts = np.stack([self._cut(self.pictures[row], rng, turned) for row in rows])
        x = torch.from_numpy(cuts).permute(0, 3, 1, 2).float() / 255
        small = degrade(x, scale, self.mode, [generator(self.plan.seed, "degrade", *stream, i) for i in range(len(rows))])
        inner, small_inner = slice(edge, edge + self.side), slice(edge // scale, (edge + self.side) // scale)
        return PatchBatch(index, self._tensor(small[..., small_inner, small_inner]), self._tensor(x[..., inner, inner]))

    def _cut(self, picture: np.ndarray, rng: torch.Generator, turned: bool) -> np.ndarray:
        """A patch with its margin, (side + 2 * margin, same, 3); beyond the edges the picture is mirrored.  turned: also by quarters."""
        patch = _cut(picture, self.side, self.margin, _TRIES, rng)
        if turned:
            turns, flip = torch.randint(4, [2], generator=rng).tolist()
            patch = np.rot90(patch[:, ::-1] if flip % 2 else patch, turns)
        return patch

    def _tensor(self, x: torch.Tensor) -> torch.Tensor:
        """(n, 3, H, W) in [0, 1] -> (n, C, H, W) in [-1, 1] on the device."""
        x = (x * 2 - 1).to(self.device, memory_format=torch.channels_last)
        return grey(x) if self.config.img_channels == 1 else x

    # -- pictures held back --------------------------------------------------------------------------------------

    def measure(self, upscaled: Callable[[torch.Tensor], torch.Tensor]) -> dict[str, Any]:
        """The pair metrics on the held-back pictures, of `upscaled` and of bicubic ('psnr', 'psnr_bicubic', ...); nothing when none
        is held back.

        upscaled: (1, C, h, w) in [-1, 1] -> (1, C, h * scale, w * scale).
        'held_back' holds [name, PSNR, PSNR of bicubic] of each.
        """
        if not self._measured:
            self._measured = [self._prepare(i) for i in self.held[:_MEASURED]]
        if not self._measured:
            return {}
        found = []
        for one in self._measured:
            low = self._tensor(torch.from_numpy(one.low).permute(2, 0, 1)[None].float() / 255)
            found.append(self._compare(to_uint8(upscaled(low))[0], one.high))
        out: dict[str, Any] = {name: float(np.mean([f[name] for f in found])) for name in found[0]}
        out |= {f"{name}_bicubic": float(np.mean([one.bicubic[name] for one in self._measured])) for name in found[0]}
        pairs = zip(self._measured, found, strict=True)
        return {**out, "held_back": [[one.name, round(f["psnr"], 2), round(one.bicubic["psnr"], 2)] for one, f in pairs]}

    def _prepare(self, row: int) -> _HeldBack:
        picture, unit = self.pictures[row], self.scale * self.multiple
        height, width = (min(length, _MEASURED_SIDE) // unit * unit for length in picture.shape[:2])
        top, left = (picture.shape[0] - height) // 2, (picture.shape[1] - width) // 2
        x = torch.from_numpy(picture[top : top + height, left : left + width].copy()).permute(2, 0, 1)[None].float() / 255
        if self.config.img_channels == 1:
            x = grey(x).expand(-1, 3, -1, -1)
        low = degrade(x, self.scale, self.mode, [generator(self.plan.seed, "held back", self.pictures.keys[row].hex())])
        high, enlarged = (to_uint8(y * 2 - 1)[0] for y in (x, bicubic(low, height, width)))
        return _HeldBack(self.pictures.names[row], to_uint8(low * 2 - 1)[0], high, self._compare(enlarged, high))

    def _compare(self, made: np.ndarray, high: np.ndarray) -> dict[str, float]:
        if self._evaluator is None:
            self._evaluator = PairEvaluator(self.scale, self.side, self.device)
        return self._evaluator.measure(made, high)


def example(picture: np.ndarray, side: int, scale: int, mode: str) -> tuple[np.ndarray, np.ndarray]:
    """A patch as an example: (degraded and enlarged again by bicubic, original), uint8 (side, side, 3), always of the same location.

    picture: (H, W, 3) uint8, H and W at least `side`, a multiple of scale.  mode: of the plan's data.degrade.
    """
    edge, rng = margin(mode, scale), generator(0, "example", *picture.shape)
    x = torch.from_numpy(_cut(picture, side, edge, _EXAMPLE_TRIES, rng)).permute(2, 0, 1)[None].float() / 255
    back = bicubic(degrade(x, scale, mode, [rng]), *x.shape[2:])
    shrunk, original = (to_uint8(y[..., edge : edge + side, edge : edge + side] * 2 - 1)[0] for y in (back, x))
    return shrunk, original


def _cut(picture: np.ndarray, side: int, edge: int, tries: int, rng: torch.Generator) -> np.ndarray:
    """Of `tries` random squares the one with most detail, with `edge` pixels around it, mirrored beyond the picture's border."""
    spare = [length - side + 1 for length in picture.shape[:2]]
    best, most = (0, 0), -1.0
    for y, x in (torch.rand(tries, 2, generator=rng, dtype=torch.float64) * torch.tensor(spare)).long().tolist():
        detail = float(picture[y : y + side : 2, x : x + side : 2, 1].std())
        best, most = ((y, x), detail) if detail > most else (best, most)
    ranges = [range(start - edge, start + side + edge) for start in best]
    return picture[np.ix_(*[_mirrored(r, length) for r, length in zip(ranges, picture.shape[:2], strict=True)])]


def _mirrored(indices: range, length: int) -> np.ndarray:
    """Indices along an axis, those outside mirrored at the border pixel's edge."""
    at = np.array(indices) % (2 * length)
    return np.where(at < length, at, 2 * length - 1 - at)


def _split(rows: np.ndarray, keys: tuple[bytes, ...], share: float) -> tuple[np.ndarray, np.ndarray]:
    """(rows held back, rows to learn from). At least one is learned from; at least one is held back if there are two and share > 0."""
    at = np.array([int.from_bytes(keys[row][:8], "big") / 2**64 for row in rows])
    held = at < share
    if share > 0 and not held.any() and len(set(at)) > 1:
        held = at == at.min()
    if held.all():
        held = at < at.max() if len(set(at)) > 1 else np.zeros(len(at), bool)
    return rows[held], rows[~held]
