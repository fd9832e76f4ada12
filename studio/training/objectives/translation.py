"""What all objectives that turn a picture into a picture have in common: players, optimisers, rates, running average, state."""

import contextlib
import copy
import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import nn

from studio.errors import StudioError
from studio.networks import get_family
from studio.training.data.translation import TranslationBatch
from studio.training.ema import follow
from studio.training.losses import get_loss
from studio.training.plan import Augment, Growth, Objective, Plan
from studio.training.randomness import derive, generator
from studio.training.transfer import Transfer, copy_what_fits

_LOSSES = ("least_squares", "non_saturating", "minimax", "hinge")
# Settings of the game with noise, which have no meaning in this one.
_OTHERS = (
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

Rows = list[tuple[str, torch.Tensor]]  # what a row of the sheet shows, and its pictures (n, C, H, W)
Fakes = dict[str, torch.Tensor]  # side -> generated pictures


class Translation:
    """Generators against discriminators of pictures. Subclasses say what the losses are.

    plan: what to do.  config: of the family.  label_counts: not read, there are no classes.  accelerator: device and processes.
    """

    paired = False  # whether it learns from pairs
    losses = _LOSSES  # of losses.py, those that suit
    judging = True  # whether there is a discriminator at this moment

    def __init__(self, plan: Plan, config, label_counts: list[int], accelerator: Accelerator, precision: str):
        family = get_family(plan.family)
        self.plan, self.config, self.accelerator, self.precision = plan, config, accelerator, precision
        self.device = accelerator.device
        _check(plan, family.title, self.losses)
        self.loss = get_loss(plan.objective.loss)
        # Zhu 2017 (Sec. 4) leaves out the factor 1/2 of Mao's least squares, and its other weights count on that.
        self.gan_weight = 2.0 if plan.objective.loss == "least_squares" else 1.0
        # Weights are drawn on the CPU from the plan's seed: the same on every device and every process.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(generator(plan.seed, "weights").initial_seed())
            self.G, self.D = family.generator(config), family.discriminator(config) if self.judging else None
            self._more_networks()
        self.ema = copy.deepcopy(self.G).eval().requires_grad_(False)
        for module in (self.G, self.D, self.ema):
            if module is not None:
                module.to(self.device, memory_format=torch.channels_last)
        self.opt_g = self._optimizer(self.G, plan.optimizer.lr_g)
        self.opt_d = self._optimizer(self.D, plan.optimizer.lr_d) if self.judging else None

    def _more_networks(self) -> None:
        """Networks that one objective alone needs."""

    def _optimizer(self, module: nn.Module, lr: float) -> torch.optim.Optimizer:
        o = self.plan.optimizer
        if o.kind == "rmsprop":
            return torch.optim.RMSprop(module.parameters(), lr=lr, alpha=o.beta2, eps=1e-8)
        return torch.optim.Adam(module.parameters(), lr=lr, betas=(o.beta1, o.beta2), eps=1e-8)

    # -- state ---------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict:
        """Everything that a later step depends on."""
        return {name: part.state_dict() for name, part in self._parts.items()}

    def load_state_dict(self, state: dict) -> None:
        """Go back to a state that `state_dict` gave."""
        for name, part in self._parts.items():
            part.load_state_dict(state[name])

    @property
    def _parts(self) -> dict[str, nn.Module | torch.optim.Optimizer]:
        """What is carried from step to step."""
        parts = {name: getattr(self, name) for name in ("G", "D", "ema", "opt_g", "opt_d")}
        return {name: part for name, part in parts.items() if part is not None}

    def start_from(self, g_state: dict, d_state: dict | None) -> dict[str, Transfer]:
        """Begin with the weights of another model, as far as they fit. Returns what became of each player."""
        g_state, told = copy_what_fits(self.G.state_dict(), g_state)
        self.G.load_state_dict(g_state)
        self.ema.load_state_dict(g_state)
        out = {"generator": told}
        if d_state is not None and self.D is not None:
            d_state, out["discriminator"] = copy_what_fits(self.D.state_dict(), d_state)
            self.D.load_state_dict(d_state)
        return out

    def networks(self) -> tuple[dict, dict | None]:
        """Tensors of the generators' average, and of the discriminators, as a model folder keeps them."""
        return self.ema.state_dict(), self.D.state_dict() if self.D is not None else None

    # -- pictures ------------------------------------------------------------------------------------------------

    @property
    def directions(self) -> tuple[str, ...]:
        """What it learns, of 'AtoB' and 'BtoA'."""
        return self.G.directions

    @torch.no_grad()
    def translated(self, x: torch.Tensor, direction: str = "AtoB") -> torch.Tensor:
        """(n, C, H, W) in [-1, 1] -> (n, C', H, W) float32 of the averaged generator."""
        with self._autocast():
            return self.ema(x, direction).float()

    def rows(self, batch: TranslationBatch) -> Rows:
        """The rows of a sheet. The first is what goes in, the second what comes out."""
        raise NotImplementedError

    # -- one step ------------------------------------------------------------------------------------------------

    def step(self, step: int, reals: list[list[TranslationBatch]], images_seen: int) -> dict[str, float]:
        """One step of both players.

        reals: in a list of one, the micro-batches of this process.  images_seen: real pictures of side A shown before this step.
        Returns numbers for the curves, means over all processes.  Raises StudioError when a loss is no longer finite.
        """
        (micro,) = reals
        share, stats = 1 / len(micro), {}

        def note(name: str, value: torch.Tensor) -> torch.Tensor:
            stats[name] = stats.get(name, 0) + value.detach().float() * share
            return value

        self._set_rates(images_seen)
        self.G.train().requires_grad_(True)
        if self.judging:
            self.D.train().requires_grad_(False)
        fakes = []
        for batch in micro:
            with self._autocast(), self._drawn_by("dropout", step, batch.index):
                loss, fake = self._generator_loss(batch, step, note)
            (loss * share).backward()
            fakes.append({side: x.detach().float() for side, x in fake.items()})
        self._update_generators()
        if self.judging:
            self.D.requires_grad_(True)
            for batch, fake in zip(micro, self._remembered(fakes, step), strict=True):
                with self._autocast():
                    loss = note("loss_d", self._discriminator_loss(batch, fake))
                (loss * share).backward()
            self._update(self.opt_d, self.D)
        follow(self.ema, self.G, self.plan, images_seen)
        values = self.accelerator.reduce(torch.stack([v.to(self.device) for v in stats.values()]), "mean")
        out = {name: float(value) for name, value in zip(stats, values, strict=True)}
        if not all(math.isfinite(value) for value in out.values()):
            raise StudioError(
                f"The training left the range of numbers after {images_seen} pictures.",
                "Lower the learning rates; the snapshots made so far are kept.",
            )
        return out

    def _generator_loss(self, batch: TranslationBatch, step: int, note) -> tuple[torch.Tensor, Fakes]:
        """What the generators minimise, and what they made.  note(name, value): keeps a number for the curves, and returns it."""
        raise NotImplementedError

    def _discriminator_loss(self, batch: TranslationBatch, fakes: Fakes) -> torch.Tensor:
        """What the discriminators minimise."""
        raise NotImplementedError

    def _remembered(self, fakes: list[Fakes], step: int) -> list[Fakes]:
        """The generated pictures of each micro-batch that the discriminators see: those just made."""
        return fakes

    def _fools(self, logits: torch.Tensor) -> torch.Tensor:
        """The generator's loss for the discriminator's logits of what it made."""
        return self.gan_weight * self.loss.g(logits, None).mean()

    def _set_rates(self, images_seen: int) -> None:
        """Learning rates: constant, then falling in a line to 0 at the end of the budget (Zhu 2017, Sec. 4)."""
        self._decay(images_seen / (self.plan.budget.kimg * 1000))

    def _decay(self, done: float) -> None:
        """done: fraction of the time in which the rates are to fall."""
        start = self.plan.objective.decay_from
        factor = 1.0 if done <= start else max(0.0, (1 - done) / (1 - start))
        for optimizer, lr in self._optimizers():
            for group in optimizer.param_groups:
                group["lr"] = lr * factor

    def _optimizers(self) -> list[tuple[torch.optim.Optimizer, float]]:
        """Each with the learning rate that it begins with."""
        return [(self.opt_g, self.plan.optimizer.lr_g), (self.opt_d, self.plan.optimizer.lr_d)]

    def _update_generators(self) -> None:
        self._update(self.opt_g, self.G)

    def _update(self, optimizer: torch.optim.Optimizer, module: nn.Module) -> None:
        """A step along the gradients' mean over all processes."""
        params = [p for p in module.parameters() if p.grad is not None]
        if self.accelerator.num_processes > 1:
            flat = self.accelerator.reduce(torch.cat([p.grad.flatten() for p in params]), "mean")
            for p, grad in zip(params, flat.split([p.numel() for p in params]), strict=True):
                p.grad.copy_(grad.reshape(p.shape))
        for p in params:  # half precision overflows now and then in single elements; one of them must not end the training
            torch.nan_to_num(p.grad, nan=0.0, posinf=1e5, neginf=-1e5, out=p.grad)
        if self.plan.optimizer.grad_clip > 0:
            nn.utils.clip_grad_norm_(params, self.plan.optimizer.grad_clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    def _autocast(self) -> torch.autocast:
        dtype = torch.float16 if self.precision == "fp16" else torch.bfloat16
        return torch.autocast(self.device.type, dtype=dtype, enabled=self.precision != "fp32")

    @contextlib.contextmanager
    def _drawn_by(self, what: str, step: int, index: int) -> Iterator[None]:
        """torch's own generators, which Dropout draws from, stand for the moment where seed, step and index put them."""
        if not getattr(self.config, "dropout", False):
            yield
            return
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(derive(self.plan.seed, what, step, index))
            yield


def l1(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Mean absolute difference."""
    return F.l1_loss(x.float(), y.float())


def _check(plan: Plan, title: str, losses: tuple[str, ...]) -> None:
    """Raises StudioError for settings of other games."""
    if plan.objective.loss not in losses:
        get_loss(plan.objective.loss)  # tells an unknown one
        raise StudioError(f"{title} is not trained with the loss '{plan.objective.loss}'.", f"Choose one of: {', '.join(losses)}.")
    for name in _OTHERS:
        if getattr(plan.objective, name) != getattr(Objective(), name):
            raise StudioError(f"The plan's objective.{name} has no meaning for {title}.", "Remove it from the plan.")
    if plan.augment != Augment() or plan.growth != Growth():
        raise StudioError(f"{title} is trained without [augment] and [growth].", "Remove them; where pictures are cut varies them.")
