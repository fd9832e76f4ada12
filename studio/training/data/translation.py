"""Two sides of pictures to learn a translation from: in pairs or not, cropped and flipped at random."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from studio.datasets.image_set import ImageSet
from studio.datasets.pairs import Pairs, find_pairs
from studio.errors import StudioError
from studio.imaging.pixels import to_uint8
from studio.networks.translation.pix2pix import edges, grey
from studio.training.plan import Plan
from studio.training.randomness import DataOrder, derive, generator

_TOLD = 20  # strays that are named


@dataclass(frozen=True)
class TranslationBatch:
    """Pictures of one micro-batch: a (n, C, H, W) and b (n, C', H, W) in [-1, 1]; pairs, when the sides are paired.

    index: its place among the micro-batches of all processes; randomness hangs on it.
    """

    index: int
    a: torch.Tensor
    b: torch.Tensor


class TranslationData:
    """The pictures of both sides.

    images, images_b: as large as the plan's load_size, or as its resolution.  images_b: None = both pictures of a pair are
    made of the one that is there.  config: of the family; it says how many channels a side has.
    Raises StudioError when the plan's folders do not suit the objective, and when there is no pair.
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
                    raise StudioError(f"Two pictures of {side} have one name.", "Pairs are found by name: rename one of them.")
            self.pairs = find_pairs(images.names, images_b.names)
            self.rows_a, self.rows_b = np.array(self.pairs.rows).T
        # The sides of what is not paired go round each in an order of its own.
        seed_b = plan.seed if paired else derive(plan.seed, "side b")
        self.orders = [DataOrder(len(self.rows_a), plan.seed), DataOrder(len(self.rows_b), seed_b)]

    def __len__(self) -> int:
        return len(self.rows_a)

    @property
    def facts(self) -> dict[str, Any]:
        """For the start event: how many there are, and names of pictures without a partner."""
        if self.pairs is None:
            return {} if self.paired else {"pictures_b": len(self.b)}
        a, b = self.pairs.strays_a, self.pairs.strays_b
        return {"pairs": len(self), "strays": len(a) + len(b), "strays_a": list(a[:_TOLD]), "strays_b": list(b[:_TOLD])}

    def batch(self, step: int, index: int, position: int, count: int) -> TranslationBatch:
        """Micro-batch `index` of a step, from `position` of the endless sequence on. Where pictures are cut, and which are flipped,
        hangs on step and index alone; the pictures of a pair are cut and flipped alike."""
        rows_a, rows_b = (order.indices(position, count) for order in self.orders)
        cuts = [self._cuts(step, index, side, count) for side in ("a", "a" if self.paired else "b")]
        return TranslationBatch(
            index,
            self._tensor(self.a[self.rows_a[rows_a]], cuts[0], self.config.input_channels),
            self._tensor(self.b[self.rows_b[rows_b]], cuts[1], self.config.output_channels),
        )

    def fixed(self, count: int, stream: str, batch: int = 8) -> Iterator[TranslationBatch]:
        """Always the same pictures, cut in the centre; again from the first when there are fewer."""
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
        """uint8 (count, H, W, 3): half of it from each side."""
        rows = [DataOrder(len(r), self.plan.seed + 1).indices(0, count // 2) for r in (self.rows_a, self.rows_b)]
        return np.concatenate([self.a[self.rows_a[rows[0]]], self.b[self.rows_b[rows[1]]]])

    def size(self, side: str) -> int:
        """Pictures of side 'A' or 'B'."""
        return len(self.rows_a if side == "A" else self.rows_b)

    def centred(self, side: str) -> np.ndarray:
        """uint8 (N, H, W, 3) of side 'A' or 'B', cut in the centre."""
        margin, size = (self.a.shape[1] - self.plan.data.resolution) // 2, self.plan.data.resolution
        return (self.a if side == "A" else self.b)[:, margin : margin + size, margin : margin + size]

    def _cuts(self, step: int, index: int, side: str, count: int) -> list[tuple[int, int, bool]]:
        """(top, left, flipped) of each picture."""
        rng = generator(self.plan.seed, f"cut {side}", step, index)
        spare = self.a.shape[1] - self.plan.data.resolution
        places = torch.randint(spare + 1, (count, 2), generator=rng).tolist()
        flips = (torch.rand(count, generator=rng) < 0.5).tolist() if self.plan.data.mirror else [False] * count
        return [(top, left, flip) for (top, left), flip in zip(places, flips, strict=True)]

    def _tensor(self, pixels: np.ndarray, cuts: list[tuple[int, int, bool]], channels: int) -> torch.Tensor:
        """uint8 (n, H, W, 3) -> (n, channels, resolution, resolution) in [-1, 1]."""
        size = self.plan.data.resolution
        parts = [x[top : top + size, left : left + size] for x, (top, left, _) in zip(pixels, cuts, strict=True)]
        out = np.stack([p[:, ::-1] if flip else p for p, (_, _, flip) in zip(parts, cuts, strict=True)])
        # NHWC seen as NCHW is channels_last already.
        images = torch.from_numpy(out).to(self.device).permute(0, 3, 1, 2).float() / 127.5 - 1
        return grey(images) if channels == 1 else images


def made_input(picture: np.ndarray, transform: str) -> np.ndarray:
    """uint8 (H, W, 3) -> what is made of it before it goes in, uint8 (H, W, 3).  transform: 'grey' or 'edges'."""
    x = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
    return to_uint8((grey(x) if transform == "grey" else edges(x)).expand(-1, 3, -1, -1))[0]


def _check_pairs(plan: Plan, transform: str, two: bool) -> None:
    if two and transform != "none":
        raise StudioError(
            f"The plan has a second folder and makes '{transform}' of the first.",
            'Remove data.path_b, or set transform = "none" in [network].',
        )
    if not two and transform == "none":
        raise StudioError(
            "The plan has only one folder of pictures.",
            'Set data.path_b to their partners, or transform = "grey" or "edges" in [network] to make them from the pictures.',
        )
    if two and plan.data.crop == "smart":
        raise StudioError("A smart crop would cut the two pictures of a pair at different places.", 'Set data.crop to "centre" or "fit".')
