"""Paired objective: a translation should be near its partner and look real beside its input (Isola 2017, "Image-to-Image Translation with
Conditional Adversarial Networks")."""

import torch

from studio.training.data.translation import TranslationBatch
from studio.training.objectives.translation import Generated, Record, SheetRows, Translation, mean_absolute_difference


class Paired(Translation):
    """L = conditional GAN, whose discriminator also sees the input, + lambda_l1 * |G(x) - y| (Isola 2017, Eqs. 1 to 4)."""

    paired = True

    def rows(self, batch: TranslationBatch) -> SheetRows:
        """The input, its translation, and the partner."""
        return [("A", self.ema.prepare(batch.a)), ("A->B", self.translated(batch.a)), ("B", batch.b)]

    def _generator_loss(self, batch: TranslationBatch, step: int, record: Record) -> tuple[torch.Tensor, Generated]:
        fake = self.G(batch.a)
        loss = record("loss_g", self._adversarial_loss(self.D(self.G.prepare(batch.a), fake)))
        return loss + self.plan.objective.lambda_l1 * record("l1", mean_absolute_difference(fake, batch.b)), {"B": fake}

    def _discriminator_loss(self, batch: TranslationBatch, fakes: Generated) -> torch.Tensor:
        given = self.G.prepare(batch.a)
        return self.loss.d(self.D(given, batch.b), self.D(given, fakes["B"])).mean()
