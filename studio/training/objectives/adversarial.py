"""Adversarial objective: generator against discriminator, the step of every family that generates pictures from noise."""

import copy
import math
from collections.abc import Iterator
from typing import Any, cast

import torch
from accelerate import Accelerator
from torch import nn

from studio.errors import StudioError
from studio.networks import get_family
from studio.training.augment import AdaController, make_augment
from studio.training.data.images import ImageBatch
from studio.training.ema import update_average
from studio.training.growth import grown_at
from studio.training.losses import (
    add_spectral_norm,
    clip_weights,
    get_loss,
    gradient_penalty,
    gradient_power,
    orthogonal_penalty,
    path_lengths,
)
from studio.training.objectives.projected import ProjectedDiscriminator
from studio.training.optimizers import make_optimizer
from studio.training.plan import Plan
from studio.training.randomness import generator
from studio.training.transfer import Transfer, copy_what_fits

FIXED_LATENTS = "fixed latents"  # stream of the sample sheets


class Adversarial:
    """Generator and discriminator, their optimisers, the generator's running average, and the augmentation.

    config: of the family.  label_counts: pictures of each class, so that latents are paired with classes as often as in the data.
    accelerator: device and processes.  precision: 'fp32', 'bf16' or 'fp16'.
    """

    # Networks of any family: generators as latent_generator.py describes them, discriminators called with (images, c).
    G: Any
    D: Any
    ema: Any
    augment: Any

    def __init__(self, plan: Plan, config: Any, label_counts: list[int], accelerator: Accelerator, precision: str):
        family = get_family(plan.family)
        self.plan, self.config, self.accelerator, self.precision = plan, config, accelerator, precision
        self.device = accelerator.device
        self.loss, self.settle = get_loss(plan.objective.loss), family.settle
        self.label_weights = torch.tensor(label_counts or [1], dtype=torch.float32)

        # Weights are drawn on the CPU from the plan's seed: the same on every device and every process.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(generator(plan.seed, "weights").initial_seed())
            self.G = family.generator(config)
            if plan.objective.discriminator == "projected":
                self.D = ProjectedDiscriminator(config)
            else:
                assert family.discriminator is not None, "checked by family_config"
                self.D = family.discriminator(config)
            if plan.objective.spectral_norm:
                add_spectral_norm(self.D)
        self.learns_w, self.progressive = family.learns_w, family.progressive
        self.ema = copy.deepcopy(self.G).eval().requires_grad_(False)
        self.augment = make_augment(plan.augment.kind, plan.augment.policy)
        for module in (self.G, self.D, self.ema, self.augment):
            # channels_last is the faster layout for convolutions, on CPUs and on tensor cores alike.
            module.to(self.device, memory_format=torch.channels_last)
        # FreezeD (Mo 2020, Sec. 3): the layers nearest to the pixels keep the weights of the base.
        names = [f"b{r}." for r in getattr(self.D, "block_resolutions", [])[: plan.objective.freeze_d]]
        self.frozen_d = [p for n, p in self.D.named_parameters() if n.startswith(tuple(names))] if names else []
        self.ada = None
        if plan.augment.kind == "ada":
            self.augment.p.fill_(plan.augment.p)
            if plan.augment.target > 0:
                self.ada = AdaController(p=plan.augment.p, target=plan.augment.target, kimg=plan.augment.kimg)
        objective = plan.objective
        lazy_g = objective.pl_interval if objective.pl_weight > 0 else 0
        lazy_d = objective.r1_interval if objective.r1_gamma + objective.r2_gamma > 0 else 0
        self.opt_g = make_optimizer(self.G, plan.optimizer.lr_g, plan.optimizer, lazy_g)
        self.opt_d = make_optimizer(self.D, plan.optimizer.lr_d, plan.optimizer, lazy_d)
        self.pl_mean = torch.zeros([], device=self.device)
        self.settled = False  # whether the batch statistics of the average are up to date
        self._grow(0)

    # -- state ---------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict:
        """Everything that a later step depends on."""
        return {
            "G": self.G.state_dict(),
            "D": self.D.state_dict(),
            "ema": self.ema.state_dict(),
            "augment": self.augment.state_dict(),
            "opt_g": self.opt_g.state_dict(),
            "opt_d": self.opt_d.state_dict(),
            "pl_mean": self.pl_mean,
            "ada": self.ada.state_dict() if self.ada else {},
        }

    def load_state_dict(self, state: dict) -> None:
        """Return to a state that `state_dict` gave."""
        for name in ("G", "D", "ema", "augment", "opt_g", "opt_d"):
            getattr(self, name).load_state_dict(state[name])
        self.pl_mean, self.settled = state["pl_mean"].to(self.device), False
        if self.ada:
            self.ada.load_state_dict(state["ada"])

    def start_from(self, g_state: dict, d_state: dict | None) -> dict[str, Transfer]:
        """Take over the weights of another model as far as they fit. Returns what became of each network, by name."""
        g_state, transfer = copy_what_fits(self.G.state_dict(), g_state)
        self.G.load_state_dict(g_state)
        self.ema.load_state_dict(g_state)
        self.settled = False
        out = {"generator": transfer}
        # A discriminator of another architecture cannot be taken over; it then starts from new weights.
        if d_state is not None and self.plan.objective.discriminator == "own":
            d_state, out["discriminator"] = copy_what_fits(self.D.state_dict(), d_state)
            self.D.load_state_dict(d_state)
        self._grow(0)
        return out

    def networks(self) -> tuple[dict, dict]:
        """Tensors of the averaged generator, and of the discriminator, as a model folder stores them."""
        self._settle()
        return self.ema.state_dict(), self.D.state_dict()

    # -- pictures ------------------------------------------------------------------------------------------------

    def _settle(self) -> None:
        """Bring the batch statistics of the average up to date, once after each step. They depend on its weights alone."""
        if self.settle is not None and not self.settled:
            with torch.no_grad(), self._autocast():
                self.settle(self.ema, generator(self.plan.seed, "settle"), self.label_weights)
            self.settled = True

    def classes_like_data(self, count: int, rng: torch.Generator) -> torch.Tensor:
        """One-hot classes (count, c_dim) as frequent as in the data."""
        if not self.config.c_dim:
            return torch.zeros(count, 0)
        labels = torch.multinomial(self.label_weights, count, replacement=True, generator=rng)
        return nn.functional.one_hot(labels, self.config.c_dim).float()

    @torch.no_grad()
    def fixed_samples(self, count: int, stream: str = FIXED_LATENTS, batch: int = 32) -> Iterator[torch.Tensor]:
        """Pictures of the averaged generator, (n, C, H, W) float32 in about [-1, 1], always of the same `count` latents of a stream."""
        self._settle()
        rng = generator(self.plan.seed, stream)
        z = torch.randn(count, self.config.z_dim, generator=rng)
        c = self.classes_like_data(count, rng)
        for i in range(0, count, batch):
            zb, cb = z[i : i + batch].to(self.device), c[i : i + batch].to(self.device)
            with self._autocast():
                yield self.ema(zb, cb, noise_mode="const").float()

    # -- one step ------------------------------------------------------------------------------------------------

    def step(self, step: int, reals: list[list[ImageBatch]], images_seen: int) -> dict[str, float]:
        """One step of the generator and `n_critic` steps of the discriminator; see TrainingObjective."""
        self._grow(images_seen)
        stats = _Means(1 / len(reals[0]))
        self._step_g(step, reals[0], images_seen, stats)
        self.G.requires_grad_(False)
        self.D.requires_grad_(True)
        for p in self.frozen_d:
            p.requires_grad_(False)
        for k, micro in enumerate(reals):
            self._step_d(step * len(reals) + k, micro, stats)
        values = self._mean_over_processes([value / stats.counts[name] for name, value in stats.items()])
        out = {name: float(value) for name, value in zip(stats, values, strict=True)}
        if self.plan.objective.loss == "wasserstein":
            # E D(x) - E D(G(z)): what the critic estimates the distance to be, up to its Lipschitz constant.
            out["wasserstein"] = -out["loss_d"]
        if self.ada is not None:
            seen = self.plan.pictures_a_step
            self.augment.p.fill_(self.ada.update(out["real_sign"] * seen, seen, seen))
        if self.plan.augment.kind == "ada":
            out["ada_p"] = float(self.augment.p)
        if not all(math.isfinite(value) for value in out.values()):
            raise StudioError(
                f"The training diverged after {images_seen} pictures: a loss is no longer a finite number.",
                "Raise r1_gamma or lower the learning rates; the snapshots made so far are kept.",
            )
        return out

    def _step_g(self, step: int, micro: list[ImageBatch], images_seen: int, stats: "_Means") -> None:
        objective = self.plan.objective
        share = 1 / len(micro)
        self.G.requires_grad_(True)
        self.D.requires_grad_(False)
        w_mean = torch.zeros(self.G.w_dim, device=self.device)
        for batch in micro:
            rng = self._generators(step, "g", batch.index)
            with self._autocast():
                fake, c, w = self._fake(step, "g", batch, rng)
                logits = self.D(self.augment(fake, generator=rng), c).float()
                real_logits = None
                if self.loss.compares:
                    real_logits = self.D(self.augment(batch.images, generator=rng), batch.c).float()
                loss = self.loss.g(logits, real_logits).mean()
            (loss * share).backward()
            w_mean += w.detach().mean(dim=0) * share
            stats.add("loss_g", loss)
            stats.add("fake_sign", logits.sign().mean())
        if objective.ortho_weight > 0:
            (orthogonal_penalty(self.G) * objective.ortho_weight).backward()
        self._optimise(self.opt_g, self.G)
        if objective.pl_weight > 0 and step % objective.pl_interval == 0:
            for batch in micro:
                stats.add("path_length", self._path_length_backward(step, batch, share))
            self.pl_mean.lerp_(self._mean_over_processes([stats["path_length"]])[0], objective.pl_decay)
            self._optimise(self.opt_g, self.G)
        self._average(w_mean, images_seen)

    def _step_d(self, turn: int, micro: list[ImageBatch], stats: "_Means") -> None:
        """One step of the discriminator.  turn: number of its steps before this one."""
        objective = self.plan.objective
        share = 1 / len(micro)
        for batch in micro:
            rng = self._generators(turn, "d", batch.index)
            with self._autocast():
                with torch.no_grad():
                    fake, c, _ = self._fake(turn, "d", batch, rng)
                    fake, real = self.augment(fake, generator=rng), self.augment(batch.images, generator=rng)
                real_logits, fake_logits = self.D(real, batch.c).float(), self.D(fake, c).float()
                loss = self.loss.d(real_logits, fake_logits).mean()
                if objective.mismatch > 0:
                    # GAN-CLS (Reed 2016, Sec. 4.1): a real picture labelled with another class is false as well.
                    wrong_logits = self.D(real, self._wrong_classes(turn, batch)).float()
                    loss = loss.lerp(self.loss.d(real_logits, wrong_logits).mean(), objective.mismatch)
                    stats.add("wrong_sign", wrong_logits.sign().mean())
            (loss * share).backward()
            stats.add("loss_d", loss)
            stats.add("real_sign", real_logits.sign().mean())
            if objective.gp_weight > 0:
                rng = self._generators(turn, "gp", batch.index)
                # Between the pictures the discriminator sees, which are augmented.
                penalty = gradient_penalty(lambda x, c=batch.c: self.D(x, c), real, fake.float(), rng).mean()
                (penalty * (objective.gp_weight * share)).backward()
                stats.add("gradient_penalty", penalty)
        self._optimise(self.opt_d, self.D)
        if turn % objective.r1_interval == 0:
            self._lazy_penalties(turn, micro, stats)
        if objective.clip > 0:
            clip_weights(self.D, objective.clip)

    def _lazy_penalties(self, turn: int, micro: list[ImageBatch], stats: "_Means") -> None:
        """R1 and R2, in an optimiser step of their own."""
        objective, share = self.plan.objective, 1 / len(micro)
        factor = 0.5 * objective.r1_interval * share
        for batch in micro:
            if objective.r1_gamma > 0:
                rng = self._generators(turn, "r1", batch.index)
                real = batch.images.detach().requires_grad_(True)
                penalty = gradient_power(self.D(self.augment(real, generator=rng), batch.c), real).mean()
                (penalty * (objective.r1_gamma * factor)).backward()
                stats.add("r1", penalty)
            if objective.r2_gamma > 0:
                rng = self._generators(turn, "r2", batch.index)
                with torch.no_grad():
                    fake, c, _ = self._fake(turn, "r2", batch, rng)
                fake = fake.float().requires_grad_(True)
                penalty = gradient_power(self.D(self.augment(fake, generator=rng), c), fake).mean()
                (penalty * (objective.r2_gamma * factor)).backward()
                stats.add("r2", penalty)
        if objective.r1_gamma > 0 or objective.r2_gamma > 0:
            self._optimise(self.opt_d, self.D)

    def _grow(self, images_seen: int) -> None:
        """Progressive growing: set how many doublings of the picture are active now."""
        if self.progressive:
            growth = self.plan.growth
            grown = grown_at(images_seen, self.config.resolution, growth.start, growth.fade_kimg, growth.stable_kimg)
            for network in (self.G, self.ema, self.D):
                if hasattr(network, "set_grown"):  # the projected discriminator does not grow
                    network.set_grown(grown)

    def _generators(self, step: int, phase: str, index: int) -> torch.Generator:
        # On the CPU even when training on a GPU, so that the draws do not depend on the device.
        return generator(self.plan.seed, phase, step, index)

    def _autocast(self) -> torch.autocast:
        dtype = torch.float16 if self.precision == "fp16" else torch.bfloat16
        return torch.autocast(self.device.type, dtype=dtype, enabled=self.precision != "fp32")

    def _fake(self, step: int, phase: str, batch: ImageBatch, rng: torch.Generator) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Generated pictures for a micro-batch, their classes, and the w (n, w_dim) they come from.

        Latents, classes and the row where styles are mixed are drawn for the batch of all processes, of which the micro-batch takes
        its rows: they are the same however the batch is split.  rng: for the noise.
        """
        total, draw = self.plan.optimizer.batch, generator(self.plan.seed, phase, step)
        first = batch.index * len(batch.images) % total
        mine = slice(first, first + len(batch.images))
        z = torch.randn(total, self.config.z_dim, generator=draw)[mine].to(self.device)
        c = self.classes_like_data(total, draw)[mine].to(self.device)
        ws = self.G.mapping(z, c)
        w = ws[:, 0]
        if self.learns_w and torch.rand([], generator=draw) < self.plan.objective.style_mixing:
            rows = ws.shape[1]
            if self.progressive:  # rows above the newest resolution are not read yet
                rows = 2 * (math.ceil(float(self.G.synthesis.grown)) + 1)
            cutoff = int(torch.randint(1, rows, [], generator=draw))
            other = torch.randn(total, self.config.z_dim, generator=draw)[mine].to(self.device)
            ws = torch.cat([ws[:, :cutoff], self.G.mapping(other, c)[:, cutoff:]], dim=1)
        return self.G.synthesis(ws, noise_mode="random", generator=rng), c, w

    def _wrong_classes(self, turn: int, batch: ImageBatch) -> torch.Tensor:
        """For each picture of a micro-batch a class other than its own, all equally likely: (n, c_dim), one-hot."""
        total, draw = self.plan.optimizer.batch, generator(self.plan.seed, "wrong", turn)
        first = batch.index * len(batch.c) % total
        steps = torch.randint(1, self.config.c_dim, (total,), generator=draw)[first : first + len(batch.c)].to(self.device)
        wrong = (batch.c.argmax(dim=1) + steps) % self.config.c_dim
        return nn.functional.one_hot(wrong, self.config.c_dim).to(batch.c)

    def _path_length_backward(self, step: int, batch: ImageBatch, share: float) -> torch.Tensor:
        """Backpropagate the path length penalty on half of the micro-batch (it is costly). Returns the mean length."""
        objective = self.plan.objective
        rng = self._generators(step, "pl", batch.index)
        n = max(1, len(batch.images) // 2)
        z = torch.randn(n, self.config.z_dim, generator=rng).to(self.device)
        ws = self.G.mapping(z, self.classes_like_data(n, rng).to(self.device))
        lengths = path_lengths(self.G.synthesis(ws, noise_mode="random", generator=rng), ws, rng)
        penalty = (lengths - self.pl_mean.lerp(lengths.detach().mean(), objective.pl_decay)).square().mean()
        (penalty * (objective.pl_weight * objective.pl_interval * share)).backward()
        return lengths.mean()

    def _optimise(self, optimizer: torch.optim.Optimizer, module: nn.Module) -> None:
        params = [p for p in module.parameters() if p.grad is not None]
        flat = self._reduced(torch.cat([p.grad.flatten() for p in params if p.grad is not None]))
        # Half precision now and then overflows in single elements, which must not end the training.
        flat = torch.nan_to_num(flat, nan=0.0, posinf=1e5, neginf=-1e5)
        for p, grad in zip(params, flat.split([p.numel() for p in params]), strict=True):
            p.grad = grad.reshape(p.shape).to(memory_format=_layout(p))
        if self.plan.optimizer.grad_clip > 0:
            nn.utils.clip_grad_norm_(params, self.plan.optimizer.grad_clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    @torch.no_grad()
    def _average(self, w_mean: torch.Tensor, images_seen: int) -> None:
        """Update the generator's mean of w and its running average."""
        if self.learns_w:
            w_avg = self.G.mapping.w_avg
            w_avg.copy_(self._reduced(w_mean).lerp(w_avg, self.G.mapping.w_avg_beta))
        update_average(self.ema, self.G, self.plan, images_seen)
        self.settled = False

    def _mean_over_processes(self, values: list[torch.Tensor]) -> torch.Tensor:
        return self._reduced(torch.stack([v.to(self.device) for v in values]))

    def _reduced(self, values: torch.Tensor) -> torch.Tensor:
        """Mean over all processes."""
        return cast(torch.Tensor, self.accelerator.reduce(values, "mean"))


def _layout(p: torch.Tensor) -> torch.memory_format:
    if p.ndim == 4 and p.is_contiguous(memory_format=torch.channels_last):
        return torch.channels_last
    return torch.contiguous_format


class _Means(dict[str, torch.Tensor]):
    """Name -> sum of the values added, each weighted by `share` of a micro-batch; `counts`: name -> number of steps summed up."""

    counts: dict[str, float]

    def __init__(self, share: float):
        super().__init__()
        self.share, self.counts = share, {}

    def add(self, name: str, value: torch.Tensor) -> None:
        value = value.detach().float() * self.share
        self[name] = self[name] + value if name in self else value
        self.counts[name] = self.counts.get(name, 0) + self.share
