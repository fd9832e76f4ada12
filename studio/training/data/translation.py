"""Data for translation: two sides of pictures, paired or not, cropped and flipped at random."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from studio.datasets.image_set import ImageSet
from studio.datasets.pairs import PairNames, Pairs, pair_sets
from studio.errors import StudioError
from studio.imaging.pixels import to_uint8
from studio.networks.translation.pix2pix import edges, grey
from studio.training.plan import Plan
from studio.training.randomness import DataOrder, derive, generator

_NAMED = 20  # unpaired pictures that are listed by name


@dataclass(frozen=True)
class TranslationBatch:
    """Pictures of both sides of one micro-batch; the same index is a pair when the sides are paired."""

    index: int
    """Position among the micro-batches of all processes; randomness depends on it."""
    a: torch.Tensor
    """(n, C, H, W) in [-1, 1]."""
    b: torch.Tensor
    """(n, C', H, W) in [-1, 1]."""


class TranslationData:
    """Batches of both sides.

    images, images_b: as large as the plan's load_size, or as its resolution; without images_b both pictures of a pair are made from
    the same one.  paired: whether pictures of the sides belong together.  config: of the family (channels of each side, transform).
    Raises StudioError when the plan's folders do not suit the objective, and when there are no pairs.
    """

    def __init__(self, plan: Plan, config: Any, images: ImageSet, images_b: ImageSet | None, paired: bool, device: torch.device):
        self.plan, self.config, self.device, self.paired = plan, config, device, paired
        transform = getattr(config, "transform", "none")
        if paired:
            _check_pairs(plan, transform, images_b is not None)
        elif images_b is None:
            raise StudioError("The plan has only one folder of pictures.", "Set data.path_b to the pictures of the other side.")
        self.pairs: Pairs | None = None
        self.a, self.b = images.array, (images_b or images).array
        self.rows_a, self.rows_b = np.arange(len(self.a)), np.arange(len(self.b))
        if paired and images_b is not None:
            for side, found in (("data.path", images), ("data.path_b", images_b)):
                if len(set(found.names)) != len(found):
                    raise StudioError(f"Two pictures of {side} have the same name.", "Pairs are found by name: rename one of them.")
            sides = [PairNames.of(side.names, side.origins) for side in (images, images_b)]
            self.pairs = pair_sets(sides[0], sides[1], plan.data.pairs)
            self.rows_a, self.rows_b = np.array(self.pairs.rows).T
        # Unpaired sides are each shown in their own order.
        seed_b = plan.seed if paired else derive(plan.seed, "side b")
        self.orders = [DataOrder(len(self.rows_a), plan.seed), DataOrder(len(self.rows_b), seed_b)]

    def __len__(self) -> int:
        return len(self.rows_a)

    @property
    def facts(self) -> dict[str, Any]:
        """For the start event: the number of pictures or pairs, and the names of pictures without a partner."""
        if self.pairs is None:
            return {} if self.paired else {"pictures_b": len(self.b)}
        a, b = self.pairs.strays_a, self.pairs.strays_b
        return {"pairs": len(self), "strays": len(a) + len(b), "strays_a": list(a[:_NAMED]), "strays_b": list(b[:_NAMED])}

    def batch(self, step: int, index: int, position: int, count: int) -> TranslationBatch:
        """Micro-batch `index` of a step: `count` pictures from `position` of the endless sequence on.

        Crops and flips depend on step and index alone; the pictures of a pair are cropped and flipped alike.
        """
        rows_a, rows_b = (order.indices(position, count) for order in self.orders)
        cuts = [self._cuts(step, index, side, count) for side in ("a", "a" if self.paired else "b")]
        return TranslationBatch(
            index,
            self._tensor(self.a[self.rows_a[rows_a]], cuts[0], self.config.input_channels),
            self._tensor(self.b[self.rows_b[rows_b]], cuts[1], self.config.output_channels),
        )

    def fixed(self, count: int, stream: str, batch: int = 8) -> Iterator[TranslationBatch]:
        """Batches of always the same `count` pictures, cropped in the centre; from the first again when there are fewer."""
        margin = (self.a.shape[1] - self.plan.data.resolution) // 2
        orders = [DataOrder(len(rows), derive(self.plan.seed, stream)) for rows in (self.rows_a, self.rows_b)]
        for start in range(0, count, batch):
            n = min(batch, count - start)
            cuts = [(margin, margin, False)] * n
            rows_a, rows_b = (order.indices(start, n) for order in orders)
            yield TranslationBatch(
                0,
                self._tensor(self.a[self.rows_a[rows_a]], cuts, self.config.input_channels),
                self._tensor(self.b[self.rows_b[rows_b]], cuts, self.config.output_channels),
            )

    def reals(self, count: int) -> np.ndarray:
        """uint8 (count, H, W, 3), always the same pictures, half of them from each side."""
        rows = [DataOrder(len(r), self.plan.seed + 1).indices(0, count // 2) for r in (self.rows_a, self.rows_b)]
        return np.concatenate([self.a[self.rows_a[rows[0]]], self.b[self.rows_b[rows[1]]]])

    def size(self, side: str) -> int:
        """Number of pictures of side 'A' or 'B'."""
        return len(self.rows_a if side == "A" else self.rows_b)

    def centred(self, side: str) -> np.ndarray:
        """uint8 (N, H, W, 3): all pictures of side 'A' or 'B', cropped in the centre."""
        margin, size = (self.a.shape[1] - self.plan.data.resolution) // 2, self.plan.data.resolution
        return (self.a if side == "A" else self.b)[:, margin : margin + size, margin : margin + size]

    def _cuts(self, step: int, index: int, side: str, count: int) -> list[tuple[int, int, bool]]:
        """Random crops: (top, left, flipped) of each picture."""
        rng = generator(self.plan.seed, f"cut {side}", step, index)
        spare = self.a.shape[1] - self.plan.data.resolution
        corners = torch.randint(spare + 1, (count, 2), generator=rng).tolist()
        flips = (torch.rand(count, generator=rng) < 0.5).tolist() if self.plan.data.mirror else [False] * count
        return [(top, left, flip) for (top, left), flip in zip(corners, flips, strict=True)]

    def _tensor(self, pixels: np.ndarray, cuts: list[tuple[int, int, bool]], channels: int) -> torch.Tensor:
        """uint8 (n, H, W, 3) -> (n, channels, resolution, resolution) in [-1, 1]."""
        size = self.plan.data.resolution
        parts = [x[top : top + size, left : left + size] for x, (top, left, _) in zip(pixels, cuts, strict=True)]
        out = np.stack([p[:, ::-1] if flip else p for p, (_, _, flip) in zip(parts, cuts, strict=True)])
        # NHWC seen as NCHW is channels_last already.
        images = torch.from_numpy(out).to(self.device).permute(0, 3, 1, 2).float() / 127.5 - 1
        return grey(images) if channels == 1 else images


def made_input(picture: np.ndarray, transform: str) -> np.ndarray:
    """The input made from a picture, uint8 (H, W, 3) -> uint8 (H, W, 3).  transform: 'grey' or 'edges'."""
    x = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
    return to_uint8((grey(x) if transform == "grey" else edges(x)).expand(-1, 3, -1, -1))[0]


def _check_pairs(plan: Plan, transform: str, two: bool) -> None:
    if two and transform != "none":
        raise StudioError(
            f"The plan has a second folder, but makes '{transform}' from the first.",
            'Remove data.path_b, or set transform = "none" in [network].',
        )
    if not two and transform == "none":
        raise StudioError(
            "The plan has only one folder of pictures.",
            'Set data.path_b to their partners, or transform = "grey" or "edges" in [network] to make them from the pictures.',
        )
    if two and plan.data.crop == "smart":
        raise StudioError("A smart crop would crop the two pictures of a pair in different places.", 'Set data.crop to "centre" or "fit".')
