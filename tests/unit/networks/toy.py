"""Tiny worlds on which a family shows within seconds whether it learns."""

import copy
import math

import torch

from studio.training.losses import gradient_power

RADIUS, DEVIATION, MODES = 0.75, 0.03, 8
_BACKGROUND = (-0.6, -0.6, -0.2)
COLOURS = ((0.9, 0.2, -0.7), (-0.5, 0.6, 0.5))  # mean colour of the squares of each class


def _centres() -> torch.Tensor:
    angles = torch.arange(MODES) * (2 * math.pi / MODES)
    return torch.stack([angles.cos(), angles.sin()], dim=1) * RADIUS


def ring(n: int, generator: torch.Generator) -> torch.Tensor:
    """Points of eight small Gaussians on a ring, as pictures (n, 2, 1, 1) within [-1, 1]."""
    which = torch.randint(MODES, (n,), generator=generator)
    points = _centres()[which] + torch.randn(n, 2, generator=generator) * DEVIATION
    return points.reshape(n, 2, 1, 1)


def covered_modes(points: torch.Tensor) -> int:
    """How many of the eight have at least a quarter of their share of `points` (n, 2, 1, 1) within 4 deviations."""
    near = torch.cdist(points.reshape(-1, 2).float(), _centres()) < 4 * DEVIATION
    return int((near.float().mean(dim=0) >= 0.25 / MODES).sum())


def coloured_squares(n: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Pictures (n, 3, 32, 32) in [-1, 1] of a solid square on a dark ground, and their classes (n,): 0 orange, 1 teal."""
    labels = torch.randint(2, (n,), generator=generator)
    colours = torch.tensor(COLOURS)[labels] + torch.randn(n, 3, generator=generator) * 0.05
    half = torch.randint(8, 12, (n, 1, 1), generator=generator)
    away = (torch.arange(32) - 15.5).abs()
    inside = torch.maximum(away[:, None], away[None, :]) < half  # (n, 32, 32)
    ground = torch.tensor(_BACKGROUND)[None, :, None, None]
    pictures = torch.where(inside.unsqueeze(1), colours[:, :, None, None], ground)
    return pictures.clamp(-1, 1), labels


def square_colours(pictures: torch.Tensor) -> torch.Tensor:
    """The mean colour (n, 3) of the middle 12 by 12 pixels of pictures (n, 3, 32, 32)."""
    return pictures[:, :, 10:22, 10:22].mean(dim=[2, 3])


def play(generator, discriminator, loss, data, steps, batch, seed, lr, decay=0.98, r1_gamma=0.0):
    """Train both players with Adam by hand and return the generator's running average, in eval mode.

    data(n, rng) -> (pictures, c or None).  loss: of studio.training.losses.  lr: (generator's, discriminator's).
    decay: of the running average a step; buffers are copied, as the trainer does it.  r1_gamma: Mescheder 2018, Eq. 9.
    """
    rng = torch.Generator().manual_seed(seed)
    average = copy.deepcopy(generator).eval().requires_grad_(False)
    opt_g = torch.optim.Adam(generator.parameters(), lr=lr[0], betas=(0.5, 0.99))
    opt_d = torch.optim.Adam(discriminator.parameters(), lr=lr[1], betas=(0.5, 0.99))
    for step in range(steps):
        real, c = data(batch, rng)
        fake = generator(torch.randn(batch, generator.z_dim, generator=rng), c)
        real.requires_grad_(r1_gamma > 0)
        logits = discriminator(real, c)
        loss_d = loss.d(logits, discriminator(fake.detach(), c)).mean()
        if r1_gamma > 0:
            loss_d = loss_d + r1_gamma / 2 * gradient_power(logits, real).mean()
        opt_d.zero_grad()
        loss_d.backward()
        opt_d.step()
        opt_g.zero_grad()
        loss.g(discriminator(fake, c), None).mean().backward()
        opt_g.step()
        with torch.no_grad():
            for a, now in zip(average.parameters(), generator.parameters(), strict=True):
                a.lerp_(now, 1 - min(decay, step / (step + 10)))
            for a, now in zip(average.buffers(), generator.buffers(), strict=True):
                a.copy_(now)
    return average
