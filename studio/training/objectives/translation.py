"""Base of all objectives that turn pictures into pictures: networks, optimisers, learning rates, running average, state."""

import contextlib
import copy
import math
from collections.abc import Callable, Iterator
from typing import Any, cast

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import nn

from studio.errors import StudioError
from studio.networks import get_family
from studio.training.ema import update_average
from studio.training.losses import get_loss
from studio.training.optimizers import make_optimizer
from studio.training.plan import Augment, Growth, Objective, Plan
from studio.training.randomness import derive, generator
from studio.training.transfer import Transfer, copy_what_fits

_LOSSES = ("least_squares", "non_saturating", "minimax", "hinge")
# Settings of the adversarial objective, which have no meaning here.
_ADVERSARIAL_ONLY = (
    "discriminator",
    "r2_gamma",
    "gp_weight",
    "clip",
    "spectral_norm",
    "ortho_weight",
    "mismatch",
    "n_critic",
    "pl_weight",
    "freeze_d",
)

SheetRows = list[tuple[str, torch.Tensor]]  # what a row of the sheet shows, and its pictures (n, C, H, W)
Generated = dict[str, torch.Tensor]  # side -> generated pictures (n, C, H, W)
Record = Callable[[str, torch.Tensor], torch.Tensor]  # records a number for the curves, and returns it


class Translation:
    """Generators against discriminators that see pictures. Subclasses define the losses.

    config: of the family.  label_counts: not used, there are no classes.  accelerator: device and processes.  precision: 'fp32',
    'bf16' or 'fp16'.
    """

    paired = False
    """Whether it learns from pairs."""
    losses: tuple[str, ...] = _LOSSES
    """Names in losses.py that it can be trained with."""
    adversarial = True
    """Whether there is a discriminator, and it takes part in this step."""

    # Networks of any family: generators as resnet_unet_patchgan.py and upscaler.py describe them.
    G: Any
    D: Any
    ema: Any

    def __init__(self, plan: Plan, config: Any, label_counts: list[int], accelerator: Accelerator, precision: str):
        family = get_family(plan.family)
        self.plan, self.config, self.accelerator, self.precision = plan, config, accelerator, precision
        self.device = accelerator.device
        _check(plan, family.title, self.losses)
        self.loss = get_loss(plan.objective.loss)
        # Zhu 2017 (Sec. 4) leaves out the factor 1/2 of Mao's least squares, and its other weights rely on that.
        self.gan_weight = 2.0 if plan.objective.loss == "least_squares" else 1.0
        # Weights are drawn on the CPU from the plan's seed: the same on every device and every process.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(generator(plan.seed, "weights").initial_seed())
            self.G, self.D = family.generator(config), None
            if self.adversarial:
                assert family.discriminator is not None, "checked by family_config"
                self.D = family.discriminator(config)
            self._more_networks()
        self.ema = copy.deepcopy(self.G).eval().requires_grad_(False)
        for module in (self.G, self.D, self.ema):
            if module is not None:
                module.to(self.device, memory_format=torch.channels_last)
        self.opt_g = make_optimizer(self.G, plan.optimizer.lr_g, plan.optimizer)
        self.opt_d = make_optimizer(self.D, plan.optimizer.lr_d, plan.optimizer) if self.adversarial else None

    def _more_networks(self) -> None:
        """Create the networks that only one objective needs; called while weights are drawn from the plan's seed."""

    # -- state ---------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict:
        """Everything that a later step depends on."""
        return {name: part.state_dict() for name, part in self._parts.items()}

    def load_state_dict(self, state: dict) -> None:
        """Return to a state that `state_dict` gave."""
        for name, part in self._parts.items():
            part.load_state_dict(state[name])

    @property
    def _parts(self) -> dict[str, nn.Module | torch.optim.Optimizer]:
        """Name in the state -> what is carried from step to step."""
        parts = {name: getattr(self, name) for name in ("G", "D", "ema", "opt_g", "opt_d")}
        return {name: part for name, part in parts.items() if part is not None}

    def start_from(self, g_state: dict, d_state: dict | None) -> dict[str, Transfer]:
        """Take over the weights of another model as far as they fit. Returns what became of each network, by name."""
        g_state, transfer = copy_what_fits(self.G.state_dict(), g_state)
        self.G.load_state_dict(g_state)
        self.ema.load_state_dict(g_state)
        out = {"generator": transfer}
        if d_state is not None and self.D is not None:
            d_state, out["discriminator"] = copy_what_fits(self.D.state_dict(), d_state)
            self.D.load_state_dict(d_state)
        return out

    def networks(self) -> tuple[dict, dict | None]:
        """Tensors of the averaged generators, and of the discriminators if any, as a model folder stores them."""
        return self.ema.state_dict(), self.D.state_dict() if self.D is not None else None

    # -- pictures ------------------------------------------------------------------------------------------------

    @property
    def directions(self) -> tuple[str, ...]:
        """The directions it learns, of 'AtoB' and 'BtoA'."""
        return self.G.directions

    @torch.no_grad()
    def translated(self, x: torch.Tensor, direction: str = "AtoB") -> torch.Tensor:
        """(n, C, H, W) in [-1, 1] -> (n, C', H, W) float32 of the averaged generator."""
        with self._autocast():
            return self.ema(x, direction).float()

    def rows(self, batch: Any) -> SheetRows:
        """The rows of a sample sheet. The first shows what goes in, the second what comes out."""
        raise NotImplementedError

    # -- one step ------------------------------------------------------------------------------------------------

    def step(self, step: int, reals: list[list[Any]], images_seen: int) -> dict[str, float]:
        """One step of both networks; see TrainingObjective.

        reals: a list of one, the micro-batches of this process.  images_seen: real pictures of side A shown before this step.
        """
        (micro,) = reals
        share = 1 / len(micro)
        stats: dict[str, torch.Tensor] = {}

        def record(name: str, value: torch.Tensor) -> torch.Tensor:
            part = value.detach().float() * share
            stats[name] = stats[name] + part if name in stats else part
            return value

        self._set_rates(images_seen)
        self.G.train().requires_grad_(True)
        if self.adversarial:
            self.D.train().requires_grad_(False)
        fakes = []
        for batch in micro:
            with self._autocast(), self._random_state("dropout", step, batch.index):
                loss, fake = self._generator_loss(batch, step, record)
            (loss * share).backward()
            fakes.append({side: x.detach().float() for side, x in fake.items()})
        self._update_generators()
        if self.adversarial:
            self.D.requires_grad_(True)
            for batch, fake in zip(micro, self._pooled(fakes, step), strict=True):
                with self._autocast():
                    loss = record("loss_d", self._discriminator_loss(batch, fake))
                (loss * share).backward()
            self._update(self.opt_d, self.D)
        update_average(self.ema, self.G, self.plan, images_seen)
        values = self._reduced(torch.stack([v.to(self.device) for v in stats.values()]))
        out = {name: float(value) for name, value in zip(stats, values, strict=True)}
        if not all(math.isfinite(value) for value in out.values()):
            raise StudioError(
                f"The training diverged after {images_seen} pictures: a loss is no longer a finite number.",
                "Lower the learning rates; the snapshots made so far are kept.",
            )
        return out

    def _generator_loss(self, batch: Any, step: int, record: Record) -> tuple[torch.Tensor, Generated]:
        """The generators' loss, and the pictures they generated."""
        raise NotImplementedError

    def _discriminator_loss(self, batch: Any, fakes: Generated) -> torch.Tensor:
        """The discriminators' loss."""
        raise NotImplementedError

    def _pooled(self, fakes: list[Generated], step: int) -> list[Generated]:
        """The generated pictures that the discriminators see, for each micro-batch: those just made."""
        return fakes

    def _adversarial_loss(self, logits: torch.Tensor) -> torch.Tensor:
        """The generator's loss for the discriminator's logits of its pictures."""
        return self.gan_weight * self.loss.g(logits, None).mean()

    def _set_rates(self, images_seen: int) -> None:
        """Set the learning rates: constant, then falling linearly to 0 at the end of the budget (Zhu 2017, Sec. 4)."""
        self._decay(images_seen / (self.plan.budget.kimg * 1000))

    def _decay(self, done: float) -> None:
        """Set the learning rates at the fraction `done` of the time over which they change."""
        start = self.plan.objective.decay_from
        factor = 1.0 if done <= start else max(0.0, (1 - done) / (1 - start))
        for optimizer, lr in self._optimizers():
            for group in optimizer.param_groups:
                group["lr"] = lr * factor

    def _optimizers(self) -> list[tuple[torch.optim.Optimizer, float]]:
        """The active optimisers, each with its initial learning rate."""
        pairs = [(self.opt_g, self.plan.optimizer.lr_g), (self.opt_d, self.plan.optimizer.lr_d)]
        return [(optimizer, lr) for optimizer, lr in pairs if optimizer is not None]

    def _update_generators(self) -> None:
        self._update(self.opt_g, self.G)

    def _update(self, optimizer: torch.optim.Optimizer | None, module: nn.Module) -> None:
        """Step along the mean of the gradients of all processes."""
        assert optimizer is not None
        params = [p for p in module.parameters() if p.grad is not None]
        grads = [p.grad for p in params if p.grad is not None]
        if self.accelerator.num_processes > 1:
            flat = self._reduced(torch.cat([grad.flatten() for grad in grads]))
            for grad, mean in zip(grads, flat.split([grad.numel() for grad in grads]), strict=True):
                grad.copy_(mean.reshape(grad.shape))
        for grad in grads:  # half precision now and then overflows in single elements, which must not end the training
            torch.nan_to_num(grad, nan=0.0, posinf=1e5, neginf=-1e5, out=grad)
        if self.plan.optimizer.grad_clip > 0:
            nn.utils.clip_grad_norm_(params, self.plan.optimizer.grad_clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    def _reduced(self, values: torch.Tensor) -> torch.Tensor:
        """Mean over all processes."""
        return cast(torch.Tensor, self.accelerator.reduce(values, "mean"))

    def _autocast(self) -> torch.autocast:
        dtype = torch.float16 if self.precision == "fp16" else torch.bfloat16
        return torch.autocast(self.device.type, dtype=dtype, enabled=self.precision != "fp32")

    @contextlib.contextmanager
    def _random_state(self, what: str, step: int, index: int) -> Iterator[None]:
        """Context in which torch's global generators, which Dropout draws from, are seeded by the plan's seed, step and index."""
        if not getattr(self.config, "dropout", False):
            yield
            return
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(derive(self.plan.seed, what, step, index))
            yield


def mean_absolute_difference(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Mean absolute difference, a scalar."""
    return F.l1_loss(x.float(), y.float())


def _check(plan: Plan, title: str, losses: tuple[str, ...]) -> None:
    """Raises StudioError for settings of other objectives."""
    if plan.objective.loss not in losses:
        get_loss(plan.objective.loss)  # raises for an unknown one
        raise StudioError(f"{title} is not trained with the loss '{plan.objective.loss}'.", f"Choose one of: {', '.join(losses)}.")
    for name in _ADVERSARIAL_ONLY:
        if getattr(plan.objective, name) != getattr(Objective(), name):
            raise StudioError(f"The plan's objective.{name} has no meaning for {title}.", "Remove it from the plan.")
    if plan.augment != Augment() or plan.growth != Growth():
        raise StudioError(f"{title} is trained without [augment] and [growth].", "Remove them; random crops vary the pictures enough.")
