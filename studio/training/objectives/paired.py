"""From pairs: the answer should be near the wanted one, and look like an answer (Isola 2017, "Image-to-Image Translation with
Conditional Adversarial Networks")."""

import torch

from studio.training.data.translation import TranslationBatch
from studio.training.objectives.translation import Fakes, Rows, Translation, l1


class Paired(Translation):
    """L = GAN, judged beside what went in, + lambda_l1 * |G(x) - y| (Isola 2017, Eqs. 1 to 4)."""

    paired = True

    def rows(self, batch: TranslationBatch) -> Rows:
        """What goes in, what comes out, what was wanted."""
        return [("A", self.ema.prepare(batch.a)), ("A->B", self.translated(batch.a)), ("B", batch.b)]

    def _generator_loss(self, batch: TranslationBatch, step: int, note) -> tuple[torch.Tensor, Fakes]:
        fake = self.G(batch.a)
        loss = note("loss_g", self._fools(self.D(self.G.prepare(batch.a), fake)))
        return loss + self.plan.objective.lambda_l1 * note("l1", l1(fake, batch.b)), {"B": fake}

    def _discriminator_loss(self, batch: TranslationBatch, fakes: Fakes) -> torch.Tensor:
        given = self.G.prepare(batch.a)
        return self.loss.d(self.D(given, batch.b), self.D(given, fakes["B"])).mean()
