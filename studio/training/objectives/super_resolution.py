"""Learning to enlarge: first by pixels, then also by what a network sees in them and by a judge (Ledig 2017, SRGAN; Wang 2018,
ESRGAN)."""

import torch
import torch.nn.functional as F

from studio.training.data.degradation import bicubic
from studio.training.data.patches import PatchBatch
from studio.training.objectives.translation import Fakes, Rows, Translation, l1
from studio.training.perceptual_loss import FEATURE_NETWORKS, choose, load_perceptual


class SuperResolution(Translation):
    """Part one: |G(x) - y|, or its square. Part two, from the fraction objective.pretrain of the budget on:

    L = lambda_pixel * |G(x) - y| + lambda_perceptual * |phi(G(x)) - phi(y)| + lambda_adversarial * GAN (Wang 2018, Eq. 3).

    Pixels count in [0, 1], as the papers' weights expect. The learning rates fall to 0 in each part by itself.
    """

    losses = ("relativistic_average", "non_saturating", "minimax", "least_squares", "hinge")

    def __init__(self, plan, config, label_counts, accelerator, precision):
        self.second = plan.objective.pretrain < 1  # whether it is in the second part; here, whether there is one
        self.judging = self.second and plan.objective.lambda_adversarial > 0
        super().__init__(plan, config, label_counts, accelerator, precision)
        self.perceptual, self._perceptual = "", None
        if self.second and plan.objective.lambda_perceptual > 0:
            self._use(choose(plan.objective.perceptual))

    def _use(self, perceptual: str) -> None:
        self.perceptual, self._perceptual = perceptual, load_perceptual(perceptual).to(self.device)

    def state_dict(self) -> dict:
        """The players, and which network it is that sees."""
        return {**super().state_dict(), "perceptual": self.perceptual}

    def load_state_dict(self, state: dict) -> None:
        """Go back to a state that `state_dict` gave, with the network that saw then."""
        super().load_state_dict(state)
        if state["perceptual"] != self.perceptual:
            self._use(state["perceptual"])

    @property
    def words(self) -> str:
        """For the model card: what it learned by."""
        o = self.plan.objective
        pixels = "pixels (mean absolute difference)" if o.pixel_loss == "l1" else "pixels (mean squared difference)"
        if o.pretrain >= 1:
            return pixels
        parts = [pixels] if o.lambda_pixel > 0 else []
        parts += [f"features ({FEATURE_NETWORKS[self.perceptual]})"] if self.perceptual else []
        parts += [f"a judge ({o.loss.replace('_', ' ')})"] if o.lambda_adversarial > 0 else []
        return (f"{pixels} for the first {o.pretrain:.0%}, then " if o.pretrain > 0 else "") + ", ".join(parts)

    # -- pictures ------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def upscaled(self, x: torch.Tensor) -> torch.Tensor:
        """(n, C, H, W) in [-1, 1] -> (n, C, H * scale, W * scale) float32 of the averaged generator."""
        with self._autocast():
            return self.ema(x).float()

    def rows(self, batch: PatchBatch) -> Rows:
        """What goes in with its pixels shown large, what bicubic makes of it, what the model makes of it, and what it was."""
        size = batch.high.shape[2:]
        low = F.interpolate(batch.low, size, mode="nearest")
        return [("low", low), ("bicubic", bicubic(batch.low, *size)), ("ours", self.upscaled(batch.low)), ("original", batch.high)]

    # -- one step ------------------------------------------------------------------------------------------------

    def _set_rates(self, images_seen: int) -> None:
        """Constant, then falling in a line to 0 at the end of each part."""
        end = self.plan.budget.kimg * 1000
        border = self.plan.objective.pretrain * end
        self.second = images_seen >= border
        self.judging = self.second and self.D is not None
        if self.second and images_seen - self.plan.pictures_a_step < border:
            # Adam's memory of the gradients' size is of another loss.
            self.opt_g = self._optimizer(self.G, self.plan.optimizer.lr_g)
        self._decay((images_seen - border) / (end - border) if self.second else images_seen / max(border, 1))

    def _optimizers(self) -> list[tuple[torch.optim.Optimizer, float]]:
        o, judged = self.plan.optimizer, self.plan.objective.lr_judged
        rates = [(self.opt_g, judged if self.second and judged else o.lr_g)]
        return rates + ([(self.opt_d, o.lr_d)] if self.judging else [])

    def _generator_loss(self, batch: PatchBatch, step: int, note) -> tuple[torch.Tensor, Fakes]:
        o, made, wanted = self.plan.objective, self.G(batch.low), batch.high
        # From [-1, 1] to [0, 1] is a half.
        squared = F.mse_loss(made.float(), wanted) / 4
        pixels = note(o.pixel_loss, l1(made, wanted) / 2 if o.pixel_loss == "l1" else squared)
        note("psnr", -10 * squared.detach().clamp(min=1e-10).log10())
        if not self.second:
            return pixels, {"high": made}
        loss = o.lambda_pixel * pixels
        if self.perceptual:
            loss = loss + o.lambda_perceptual * note("perceptual", self._perceptual(made, wanted))
        if self.judging:
            real = self.D(wanted) if self.loss.compares else None
            fools = self.gan_weight * self.loss.g(self.D(made), real).mean()
            loss = loss + o.lambda_adversarial * note("loss_g", fools)
        return loss, {"high": made}

    def _discriminator_loss(self, batch: PatchBatch, fakes: Fakes) -> torch.Tensor:
        return self.loss.d(self.D(batch.high), self.D(fakes["high"])).mean()
