"""Super-resolution objective: pixels first, then also a perceptual loss and a discriminator (Ledig 2017, SRGAN; Wang 2018, ESRGAN)."""

from typing import Any

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import nn

from studio.training.data.degradation import bicubic
from studio.training.data.patches import PatchBatch
from studio.training.objectives.translation import Generated, Record, SheetRows, Translation, mean_absolute_difference
from studio.training.optimizers import make_optimizer
from studio.training.perceptual_loss import FEATURE_NETWORKS, choose_network, load_perceptual
from studio.training.plan import Plan


class SuperResolution(Translation):
    """Part one: |G(x) - y|, or its square. Part two, from the fraction objective.pretrain of the budget on:

    L = lambda_pixel * |G(x) - y| + lambda_perceptual * |phi(G(x)) - phi(y)| + lambda_adversarial * GAN (Wang 2018, Eq. 3).

    Pixels are in [0, 1] here, as the papers' weights expect. The learning rates fall to 0 in each part separately.
    """

    losses = ("relativistic_average", "non_saturating", "minimax", "least_squares", "hinge")

    def __init__(self, plan: Plan, config: Any, label_counts: list[int], accelerator: Accelerator, precision: str):
        self.second = plan.objective.pretrain < 1  # whether this step is in the second part; here, whether there is one
        self.adversarial = self.second and plan.objective.lambda_adversarial > 0
        super().__init__(plan, config, label_counts, accelerator, precision)
        self.perceptual = ""  # name of the network of the perceptual loss, empty = none
        self._perceptual_loss: nn.Module | None = None
        if self.second and plan.objective.lambda_perceptual > 0:
            self._load_perceptual(choose_network(plan.objective.perceptual))

    def _load_perceptual(self, name: str) -> None:
        self.perceptual, self._perceptual_loss = name, load_perceptual(name).to(self.device)

    def state_dict(self) -> dict:
        """The networks with their optimisers, and the name of the perceptual loss's network."""
        return {**super().state_dict(), "perceptual": self.perceptual}

    def load_state_dict(self, state: dict) -> None:
        """Return to a state that `state_dict` gave, with the perceptual loss in use at that time."""
        super().load_state_dict(state)
        if state["perceptual"] != self.perceptual:
            self._load_perceptual(state["perceptual"])

    @property
    def words(self) -> str:
        """What it is trained on, for the model card."""
        o = self.plan.objective
        pixels = "pixels (mean absolute difference)" if o.pixel_loss == "l1" else "pixels (mean squared difference)"
        if o.pretrain >= 1:
            return pixels
        parts = [pixels] if o.lambda_pixel > 0 else []
        parts += [f"features ({FEATURE_NETWORKS[self.perceptual]})"] if self.perceptual else []
        parts += [f"a discriminator ({o.loss.replace('_', ' ')})"] if o.lambda_adversarial > 0 else []
        return (f"{pixels} for the first {o.pretrain:.0%}, then " if o.pretrain > 0 else "") + ", ".join(parts)

    # -- pictures ------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def upscaled(self, x: torch.Tensor) -> torch.Tensor:
        """(n, C, H, W) in [-1, 1] -> (n, C, H * scale, W * scale) float32 of the averaged generator."""
        with self._autocast():
            return self.ema(x).float()

    def rows(self, batch: PatchBatch) -> SheetRows:
        """The input with its pixels enlarged, bicubic interpolation, the model's picture, and the original."""
        size = batch.high.shape[2:]
        low = F.interpolate(batch.low, size, mode="nearest")
        return [("low", low), ("bicubic", bicubic(batch.low, *size)), ("ours", self.upscaled(batch.low)), ("original", batch.high)]

    # -- one step ------------------------------------------------------------------------------------------------

    def _set_rates(self, images_seen: int) -> None:
        """Set the learning rates: constant, then falling linearly to 0 at the end of each part."""
        end = self.plan.budget.kimg * 1000
        border = self.plan.objective.pretrain * end
        self.second = images_seen >= border
        self.adversarial = self.second and self.D is not None
        if self.second and images_seen - self.plan.pictures_a_step < border:
            # Adam's averages of the gradients belong to another loss.
            self.opt_g = make_optimizer(self.G, self.plan.optimizer.lr_g, self.plan.optimizer)
        self._decay((images_seen - border) / (end - border) if self.second else images_seen / max(border, 1))

    def _optimizers(self) -> list[tuple[torch.optim.Optimizer, float]]:
        o, lr_judged = self.plan.optimizer, self.plan.objective.lr_judged
        rates = [(self.opt_g, lr_judged if self.second and lr_judged else o.lr_g)]
        return rates + ([(self.opt_d, o.lr_d)] if self.adversarial and self.opt_d is not None else [])

    def _generator_loss(self, batch: PatchBatch, step: int, record: Record) -> tuple[torch.Tensor, Generated]:
        o, made, wanted = self.plan.objective, self.G(batch.low), batch.high
        # Differences in [-1, 1] are twice those in [0, 1].
        squared = F.mse_loss(made.float(), wanted) / 4
        pixels = record(o.pixel_loss, mean_absolute_difference(made, wanted) / 2 if o.pixel_loss == "l1" else squared)
        record("psnr", -10 * squared.detach().clamp(min=1e-10).log10())
        if not self.second:
            return pixels, {"high": made}
        loss = o.lambda_pixel * pixels
        if self._perceptual_loss is not None:
            loss = loss + o.lambda_perceptual * record("perceptual", self._perceptual_loss(made, wanted))
        if self.adversarial:
            real = self.D(wanted) if self.loss.compares else None
            loss_g = self.gan_weight * self.loss.g(self.D(made), real).mean()
            loss = loss + o.lambda_adversarial * record("loss_g", loss_g)
        return loss, {"high": made}

    def _discriminator_loss(self, batch: PatchBatch, fakes: Generated) -> torch.Tensor:
        return self.loss.d(self.D(batch.high), self.D(fakes["high"])).mean()
