"""Adversarial losses by name, and regularisers of the discriminator and the generator. Both are independent of the network.

A loss compares the discriminator's logits for real and for generated pictures. Each function returns one number per logit.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import spectral_norm

from studio.errors import StudioError

Logits = torch.Tensor  # (N, L), L = 1 or more per picture


@dataclass(frozen=True)
class Loss:
    """An adversarial loss: what the discriminator and the generator minimise."""

    d: Callable[[Logits, Logits], Logits]
    """Of the discriminator: (real, fake), (N, L) each -> (N, L)."""
    g: Callable[[Logits, Any], Logits]
    """Of the generator: (fake, real), (N, L) each -> (N, L). Real logits may be None where the loss does not compare."""
    compares: bool = False
    """Whether `g` needs the real logits too."""


def _relativistic_average_d(real: Logits, fake: Logits) -> Logits:
    return F.softplus(-(real - fake.mean(dim=0))) + F.softplus(fake - real.mean(dim=0))


LOSSES: dict[str, Loss] = {
    # -log D(x) - log(1 - D(G(z))) and log(1 - D(G(z))), D = sigmoid of the logit: Goodfellow 2014, Eq. 1.
    "minimax": Loss(lambda r, f: F.softplus(-r) + F.softplus(f), lambda f, r: -F.softplus(f)),
    # The generator maximises log D(G(z)) instead: Goodfellow 2014, Sec. 3.
    "non_saturating": Loss(lambda r, f: F.softplus(-r) + F.softplus(f), lambda f, r: F.softplus(-f)),
    # D(G(z)) - D(x): Arjovsky 2017, Eq. 3 and Alg. 1. The critic must be kept near 1-Lipschitz: clip or gradient penalty.
    "wasserstein": Loss(lambda r, f: f - r, lambda f, r: -f),
    # Targets 1 for real, 0 for generated, 1 for the generator: Mao 2017, Eq. 9.
    "least_squares": Loss(lambda r, f: ((r - 1).square() + f.square()) / 2, lambda f, r: (f - 1).square() / 2),
    # max(0, 1 - D(x)) + max(0, 1 + D(G(z))), -D(G(z)): Lim 2017, Eqs. 13 and 14.
    "hinge": Loss(lambda r, f: F.relu(1 - r) + F.relu(1 + f), lambda f, r: -f),
    # Is a real picture more real than a generated one? In pairs: Jolicoeur-Martineau 2018, Eqs. 5 and 6.
    "relativistic": Loss(lambda r, f: F.softplus(f - r), lambda f, r: F.softplus(r - f), compares=True),
    # ... than the generated ones on average, and vice versa: Jolicoeur-Martineau 2018, Sec. 4.2.
    "relativistic_average": Loss(_relativistic_average_d, lambda f, r: _relativistic_average_d(f, r), compares=True),
}


def get_loss(name: str) -> Loss:
    """The loss called `name`. Raises StudioError when there is none."""
    if name not in LOSSES:
        raise StudioError(f"There is no loss called '{name}'.", f"Choose one of: {', '.join(LOSSES)}.")
    return LOSSES[name]


def gradient_power(logits: Logits, images: torch.Tensor) -> torch.Tensor:
    """Squared gradient norm || d logits / d images ||^2 for each picture, (N,): R1 on real pictures, R2 on generated ones.

    Mescheder 2018, Eqs. 9 and 10, without the factor gamma / 2.  logits: (N, L), computed from `images` (N, C, H, W),
    which require grad.
    """
    (grad,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return grad.square().sum(dim=[1, 2, 3])


def gradient_penalty(
    critic: Callable[[torch.Tensor], Logits], real: torch.Tensor, fake: torch.Tensor, rng: torch.Generator | None = None
) -> torch.Tensor:
    """Gradient penalty (|| d critic(x) / d x || - 1)^2 for each pair, (N,), at a random point x between real and fake.

    Gulrajani 2017, Eq. 3, without the factor lambda.

    real, fake: (N, C, H, W).
    """
    where = torch.rand(len(real), 1, 1, 1, generator=rng, device=rng.device if rng else real.device).to(real.device)
    x = fake.detach().lerp(real.detach(), where).requires_grad_(True)
    # The tiny constant keeps the gradient of the square root finite where its argument is zero.
    return ((gradient_power(critic(x), x) + 1e-12).sqrt() - 1).square()


@torch.no_grad()
def clip_weights(critic: nn.Module, bound: float) -> None:
    """Clamp every parameter to [-bound, bound], in place (Arjovsky 2017, Alg. 1)."""
    for p in critic.parameters():
        p.clamp_(-bound, bound)


def add_spectral_norm(critic: nn.Module) -> nn.Module:
    """Divide every weight matrix of the critic by its largest singular value (Miyato 2018, Sec. 2.1), estimated by one power iteration
    per forward pass. Layers that are already parametrised are left alone. Returns the critic."""
    for module in list(critic.modules()):
        weight = getattr(module, "weight", None)
        if isinstance(weight, nn.Parameter) and weight.ndim >= 2 and not parametrize.is_parametrized(module):
            spectral_norm(module)
    return critic


def orthogonal_penalty(network: nn.Module, skip: tuple[str, ...] = ("mapping.embed",)) -> torch.Tensor:
    """Orthogonal regularisation: sum over all weights W of || W W^T * (1 - I) ||_F^2, a scalar. Rows should be orthogonal, of any
    length (Brock 2018, Eq. 3, without the factor beta).

    skip: prefixes of the names of parameters that are left out; the paper leaves out the shared class embedding.
    """
    total = torch.zeros([], device=next(network.parameters()).device)
    for name, weight in network.named_parameters():
        if weight.ndim >= 2 and not name.startswith(skip):
            matrix = weight.flatten(1)
            gram = matrix @ matrix.t()
            total = total + (gram - torch.diag(gram.diagonal())).square().sum()
    return total


def path_lengths(images: torch.Tensor, ws: torch.Tensor, generator: torch.Generator | None = None) -> torch.Tensor:
    """Path lengths || J_w^T y || for each picture, (N,), with y ~ N(0, 1) scaled by the picture's size (StyleGAN2, Eq. 4).

    images: (N, C, H, W), computed from `ws` (N, num_ws, w_dim), which require grad.
    """
    noise = torch.randn(images.shape, generator=generator, device=generator.device if generator else images.device)
    noise = noise.to(images.device) / (images.shape[2] * images.shape[3]) ** 0.5
    (grad,) = torch.autograd.grad((images * noise).sum(), ws, create_graph=True)
    return grad.square().sum(dim=2).mean(dim=1).sqrt()
