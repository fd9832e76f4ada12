"""Cycle consistency: two generators that undo each other (Zhu 2017, "Unpaired Image-to-Image Translation using
Cycle-Consistent Adversarial Networks")."""

import torch

from studio.errors import StudioError
from studio.training.data.translation import TranslationBatch
from studio.training.objectives.translation import Fakes, Rows, Translation, l1
from studio.training.randomness import generator


class ImagePool:
    """Generated pictures of earlier steps, so that the discriminator does not forget them (Shrivastava 2017, Sec. 2.3).

    size: pictures that it keeps, in half precision; 0 = none.
    """

    def __init__(self, size: int):
        self.size, self.images = size, []

    def query(self, images: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        """images: (N, C, H, W) float32, new ones.  Returns as many: once the pool is full, half of them are pictures of old whose
        places the new ones take."""
        out = []
        for image in images:
            kept = image.to("cpu", torch.float16, copy=True)
            if len(self.images) < self.size:
                self.images.append(kept)
            elif self.size and torch.rand([], generator=rng) < 0.5:
                place = int(torch.randint(self.size, [], generator=rng))
                self.images[place], image = kept, self.images[place].to(image)
            out.append(image)
        return torch.stack(out)


class Cycle(Translation):
    """Least squares, cycle and identity losses (Zhu 2017, Sec. 3 and 5.2).

    L = sum over both directions of GAN + lambda_cycle * |G'(G(x)) - x| + lambda_cycle * lambda_identity * |G(y) - y|

    Where side A cannot hold all of B the way B -> A -> B asks for what nobody can know, and is answered with the median:
    colours become a grey brown. There cycle_b weighs it less than the way A -> B -> A.
    """

    def __init__(self, plan, config, label_counts, accelerator, precision):
        super().__init__(plan, config, label_counts, accelerator, precision)
        if config.directions != "both":
            raise StudioError(
                "A cycle needs both directions.",
                'Set directions = "both" in [network], or objective.unpaired = "contrastive" to learn one direction alone.',
            )
        check_identity(plan, config)
        self.pools = {side: ImagePool(plan.objective.pool) for side in "AB"}

    def state_dict(self) -> dict:
        """The players, and the pools."""
        pools = {side: torch.stack(pool.images) if pool.images else torch.empty(0) for side, pool in self.pools.items()}
        return {**super().state_dict(), "pools": pools}

    def load_state_dict(self, state: dict) -> None:
        """Go back to a state that `state_dict` gave."""
        super().load_state_dict(state)
        for side, pool in self.pools.items():
            pool.images = [image.clone() for image in state["pools"][side]]

    def rows(self, batch: TranslationBatch) -> Rows:
        """There and back again, from both sides."""
        b, a = self.translated(batch.a, "AtoB"), self.translated(batch.b, "BtoA")
        return [
            ("A", batch.a),
            ("A->B", b),
            ("A->B->A", self.translated(b, "BtoA")),
            ("B", batch.b),
            ("B->A", a),
            ("B->A->B", self.translated(a, "AtoB")),
        ]

    def _generator_loss(self, batch: TranslationBatch, step: int, note) -> tuple[torch.Tensor, Fakes]:
        o = self.plan.objective
        fake_b, fake_a = self.G(batch.a, "AtoB"), self.G(batch.b, "BtoA")
        loss = note("loss_g", self._fools(self.D(fake_b, "B")) + self._fools(self.D(fake_a, "A")))
        if o.lambda_cycle > 0:
            cycle = l1(self.G(fake_b, "BtoA"), batch.a) + o.cycle_b * l1(self.G(fake_a, "AtoB"), batch.b)
            loss = loss + o.lambda_cycle * note("cycle", cycle)
            if o.lambda_identity > 0:
                identity = l1(self.G(batch.b, "AtoB"), batch.b) + l1(self.G(batch.a, "BtoA"), batch.a)
                loss = loss + o.lambda_cycle * o.lambda_identity * note("identity", identity)
        return loss, {"B": fake_b, "A": fake_a}

    def _discriminator_loss(self, batch: TranslationBatch, fakes: Fakes) -> torch.Tensor:
        reals = {"A": batch.a, "B": batch.b}
        return sum(self.loss.d(self.D(reals[side], side), self.D(fakes[side], side)).mean() for side in "BA")

    def _remembered(self, fakes: list[Fakes], step: int) -> list[Fakes]:
        """Out of the pools. Every process keeps the same ones, filled by all processes in the order of the micro-batches."""
        size, first = len(fakes[0]["A"]), self.accelerator.process_index * len(fakes)
        out: list[Fakes] = [{} for _ in fakes]
        for side, pool in self.pools.items():
            new = self.accelerator.gather(torch.cat([f[side] for f in fakes]))
            seen = pool.query(new, generator(self.plan.seed, f"pool {side}", step)).split(size)
            for i, mine in enumerate(out):
                mine[side] = seen[first + i]
        return out


def check_identity(plan, config) -> None:
    """Raises StudioError when the identity loss would compare grey with colour."""
    if plan.objective.lambda_identity > 0 and config.input_channels != config.output_channels:
        raise StudioError("The identity loss needs sides of equally many channels.", "Set objective.lambda_identity = 0.")
