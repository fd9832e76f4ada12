"""Images to learn to generate from: micro-batches of real pictures, mirrored at random, with their classes."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from studio.datasets.image_set import ImageSet
from studio.training.plan import Plan
from studio.training.randomness import DataOrder, generator

_LUMA = (0.299, 0.587, 0.114)  # brightness of red, green and blue (ITU-R BT.601)


@dataclass(frozen=True)
class ImageBatch:
    """Real pictures of one micro-batch."""

    index: int
    """Position among the micro-batches of all processes; randomness depends on it."""
    images: torch.Tensor
    """(n, C, H, W) in [-1, 1]."""
    c: torch.Tensor
    """(n, c_dim), one-hot."""


class ImageData:
    """Batches of one image set; where classes are learned, of its pictures that have one.

    config: of the family (img_channels, c_dim).  images: as large as the plan's resolution.  device: where batches are put.
    """

    def __init__(self, plan: Plan, config: Any, images: ImageSet, device: torch.device):
        self.plan, self.config, self.images, self.device = plan, config, images, device
        self.rows = np.arange(len(images))
        if config.c_dim and images.labels is not None:  # a picture without a class teaches nothing about classes
            self.rows = np.flatnonzero(images.labels >= 0)
        self.order = DataOrder(len(self.rows), plan.seed)

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, step: int, index: int, position: int, count: int) -> ImageBatch:
        """Micro-batch `index` of a step: `count` pictures from `position` of the endless sequence on.

        Which pictures are mirrored depends on step and index alone.
        """
        rows = self.rows[self.order.indices(position, count)]
        pixels = torch.from_numpy(np.ascontiguousarray(self.images.array[rows]))
        if self.plan.data.mirror:
            flips = torch.rand(self.plan.pictures_a_step, generator=generator(self.plan.seed, "mirror", step)) < 0.5
            flip = flips[index * count : (index + 1) * count]
            pixels = torch.where(flip[:, None, None, None], pixels.flip(2), pixels)
        # NHWC seen as NCHW is channels_last already.
        images = pixels.to(self.device).permute(0, 3, 1, 2).float() / 127.5 - 1
        if self.config.img_channels == 1:
            images = (images * images.new_tensor(_LUMA)[:, None, None]).sum(dim=1, keepdim=True)
        c = torch.zeros(count, self.config.c_dim)
        if self.config.c_dim and self.images.labels is not None:
            c[torch.arange(count), torch.from_numpy(self.images.labels[rows])] = 1
        return ImageBatch(index, images, c.to(self.device))

    def reals(self, count: int) -> np.ndarray:
        """uint8 (count, H, W, 3), always the same pictures."""
        return self.images.array[self.rows[DataOrder(len(self.rows), self.plan.seed + 1).indices(0, count)]]
