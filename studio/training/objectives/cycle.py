"""Cycle-consistent objective: two generators that undo each other (Zhu 2017, "Unpaired Image-to-Image Translation using
Cycle-Consistent Adversarial Networks")."""

from typing import Any, cast

import torch
from accelerate import Accelerator

from studio.errors import StudioError
from studio.training.data.translation import TranslationBatch
from studio.training.objectives.translation import Generated, Record, SheetRows, Translation, mean_absolute_difference
from studio.training.plan import Plan
from studio.training.randomness import generator


class ImagePool:
    """Pool of generated pictures of earlier steps, so that the discriminator does not forget them (Shrivastava 2017, Sec. 2.3).

    size: number of pictures kept, in half precision; 0 = none.
    """

    def __init__(self, size: int):
        self.size = size
        self.images: list[torch.Tensor] = []

    def query(self, images: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        """Exchange new pictures for some of the pool.

        images: (N, C, H, W) float32.  Returns as many: once the pool is full, about half of them are earlier pictures, which the new
        ones replace in the pool.
        """
        out = []
        for image in images:
            kept = image.to("cpu", torch.float16, copy=True)
            if len(self.images) < self.size:
                self.images.append(kept)
            elif self.size and torch.rand([], generator=rng) < 0.5:
                index = int(torch.randint(self.size, [], generator=rng))
                self.images[index], image = kept, self.images[index].to(image)
            out.append(image)
        return torch.stack(out)


class Cycle(Translation):
    """Least squares, cycle and identity losses (Zhu 2017, Sec. 3 and 5.2).

    L = sum over both directions of GAN + lambda_cycle * |G'(G(x)) - x| + lambda_cycle * lambda_identity * |G(y) - y|

    Where side A cannot hold all of B, as lines hold no colours, the way B -> A -> B asks for what cannot be known, and the answer is the
    median: colours become a greyish brown. cycle_b then gives it less weight than the way A -> B -> A.
    """

    def __init__(self, plan: Plan, config: Any, label_counts: list[int], accelerator: Accelerator, precision: str):
        super().__init__(plan, config, label_counts, accelerator, precision)
        if config.directions != "both":
            raise StudioError(
                "A cycle needs both directions.",
                'Set directions = "both" in [network], or objective.unpaired = "contrastive" to learn one direction alone.',
            )
        check_identity(plan, config)
        self.pools = {side: ImagePool(plan.objective.pool) for side in "AB"}

    def state_dict(self) -> dict:
        """The networks with their optimisers, and the pools."""
        pools = {side: torch.stack(pool.images) if pool.images else torch.empty(0) for side, pool in self.pools.items()}
        return {**super().state_dict(), "pools": pools}

    def load_state_dict(self, state: dict) -> None:
        """Return to a state that `state_dict` gave."""
        super().load_state_dict(state)
        for side, pool in self.pools.items():
            pool.images = [image.clone() for image in state["pools"][side]]

    def rows(self, batch: TranslationBatch) -> SheetRows:
        """Each side, its translation, and the translation back."""
        b, a = self.translated(batch.a, "AtoB"), self.translated(batch.b, "BtoA")
        return [
            ("A", batch.a),
            ("A->B", b),
            ("A->B->A", self.translated(b, "BtoA")),
            ("B", batch.b),
            ("B->A", a),
            ("B->A->B", self.translated(a, "AtoB")),
        ]

    def _generator_loss(self, batch: TranslationBatch, step: int, record: Record) -> tuple[torch.Tensor, Generated]:
        o = self.plan.objective
        fake_b, fake_a = self.G(batch.a, "AtoB"), self.G(batch.b, "BtoA")
        loss = record("loss_g", self._adversarial_loss(self.D(fake_b, "B")) + self._adversarial_loss(self.D(fake_a, "A")))
        if o.lambda_cycle > 0:
            cycle = mean_absolute_difference(self.G(fake_b, "BtoA"), batch.a) + o.cycle_b * mean_absolute_difference(
                self.G(fake_a, "AtoB"), batch.b
            )
            loss = loss + o.lambda_cycle * record("cycle", cycle)
            if o.lambda_identity > 0:
                identity = mean_absolute_difference(self.G(batch.b, "AtoB"), batch.b) + mean_absolute_difference(
                    self.G(batch.a, "BtoA"), batch.a
                )
                loss = loss + o.lambda_cycle * o.lambda_identity * record("identity", identity)
        return loss, {"B": fake_b, "A": fake_a}

    def _discriminator_loss(self, batch: TranslationBatch, fakes: Generated) -> torch.Tensor:
        reals = {"A": batch.a, "B": batch.b}
        b, a = (self.loss.d(self.D(reals[side], side), self.D(fakes[side], side)).mean() for side in "BA")
        return b + a

    def _pooled(self, fakes: list[Generated], step: int) -> list[Generated]:
        """Pictures from the pools. Every process keeps the same pools, filled by all processes in the order of the micro-batches."""
        size, first = len(fakes[0]["A"]), self.accelerator.process_index * len(fakes)
        out: list[Generated] = [{} for _ in fakes]
        for side, pool in self.pools.items():
            new = cast(torch.Tensor, self.accelerator.gather(torch.cat([f[side] for f in fakes])))
            seen = pool.query(new, generator(self.plan.seed, f"pool {side}", step)).split(size)
            for i, mine in enumerate(out):
                mine[side] = seen[first + i]
        return out


def check_identity(plan: Plan, config: Any) -> None:
    """Raises StudioError when the identity loss would compare grey with colour."""
    if plan.objective.lambda_identity > 0 and config.input_channels != config.output_channels:
        raise StudioError("The identity loss needs the same number of channels on both sides.", "Set objective.lambda_identity = 0.")
