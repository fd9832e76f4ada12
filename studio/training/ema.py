"""Running average of a generator: the version that people see."""

import torch
from torch import nn

from studio.training.plan import Plan


@torch.no_grad()
def update_average(average: nn.Module, now: nn.Module, plan: Plan, images_seen: int) -> None:
    """Move the parameters of `average` towards those of `now`, and copy its buffers (ProGAN, Sec. 4.1; ADA's schedule).

    The half-life is the plan's ema_kimg, and shorter at the beginning: at most ema_rampup of the pictures seen.
    """
    optimizer = plan.optimizer
    half_life = optimizer.ema_kimg * 1000
    if optimizer.ema_rampup > 0:
        half_life = min(half_life, images_seen * optimizer.ema_rampup)
    beta = 0.5 ** (plan.pictures_a_step / max(half_life, 1e-8))
    for averaged, live in zip(average.parameters(), now.parameters(), strict=True):
        averaged.copy_(live.lerp(averaged, beta))
    for averaged, live in zip(average.buffers(), now.buffers(), strict=True):
        averaged.copy_(live)
