"""Adversarial losses by name, and the two regularisers of StyleGAN2.

A loss has three functions of logits: the discriminator's for real and for generated pictures, and the generator's for
its own. Each gives one number a logit.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from studio.errors import StudioError


@dataclass(frozen=True)
class Loss:
    """discriminator(real logits) + discriminator(fake logits), generator(fake logits); all (N, L) -> (N, L)."""

    d_real: Callable[[torch.Tensor], torch.Tensor]
    d_fake: Callable[[torch.Tensor], torch.Tensor]
    g: Callable[[torch.Tensor], torch.Tensor]


LOSSES: dict[str, Loss] = {
    # -log sigmoid(D(x)), -log(1 - sigmoid(D(G(z)))), -log sigmoid(D(G(z))): Goodfellow 2014, Sec. 3.
    "non_saturating": Loss(lambda x: F.softplus(-x), F.softplus, lambda x: F.softplus(-x)),
    # max(0, 1 - D(x)), max(0, 1 + D(G(z))), -D(G(z)): Lim 2017, Eqs. 13 and 14.
    "hinge": Loss(lambda x: F.relu(1 - x), lambda x: F.relu(1 + x), lambda x: -x),
}


def get_loss(name: str) -> Loss:
    """The loss called `name`. Raises StudioError when there is none."""
    if name not in LOSSES:
        raise StudioError(f"There is no loss called '{name}'.", f"Choose one of: {', '.join(LOSSES)}.")
    return LOSSES[name]


def r1_penalty(logits: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
    """|| d logits / d real ||^2 for each picture, (N,). Mescheder 2018, Eq. 9, without the factor gamma / 2.

    logits: (N, 1), computed from `real` (N, C, H, W), which requires grad.
    """
    (grad,) = torch.autograd.grad(logits.sum(), real, create_graph=True)
    return grad.square().sum(dim=[1, 2, 3])


def path_lengths(images: torch.Tensor, ws: torch.Tensor, generator: torch.Generator | None = None) -> torch.Tensor:
    """|| J_w^T y || for each picture, (N,), with y ~ N(0, 1) scaled by the picture's size. StyleGAN2, Eq. 4.

    images: (N, C, H, W), computed from `ws` (N, num_ws, w_dim), which requires grad.
    """
    noise = torch.randn(images.shape, generator=generator, device=generator.device if generator else images.device)
    noise = noise.to(images.device) / (images.shape[2] * images.shape[3]) ** 0.5
    (grad,) = torch.autograd.grad((images * noise).sum(), ws, create_graph=True)
    return grad.square().sum(dim=2).mean(dim=1).sqrt()
