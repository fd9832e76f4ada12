"""Augmentation of what the discriminator sees."""

import torch
from torch import nn


class NoAugment(nn.Module):
    """Gives the pictures back as they are."""

    def forward(self, images: torch.Tensor, generator: torch.Generator | None = None) -> torch.Tensor:
        return images


class AdaController:
    pass


def make_augment(kind: str, policy: str = "") -> nn.Module:
    if kind == "none":
        return NoAugment()
    raise NotImplementedError(kind)
