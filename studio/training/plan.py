"""Plan: everything needed to train one model again. It round-trips through TOML and travels with the model."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from studio.common import toml
from studio.common.schema import SchemaError, from_plain, known_fields
from studio.datasets.pairs import BY_NAME, PAIRINGS
from studio.datasets.rights import Consent
from studio.errors import StudioError
from studio.imaging.colour import parse_colour
from studio.imaging.crop import MODES
from studio.training.growth import Growth

OPTIMIZERS = ("adam", "rmsprop")  # how each is built is in optimizers.py


@dataclass(frozen=True)
class Data:
    """The pictures to learn from."""

    path: str = ""  # a folder or a zip; relative paths count from the plan's own folder
    hash: str = ""  # content hash; checked when given, filled in by the trainer
    path_b: str = ""  # translation: pictures of the other side, or the partners of those in `path`
    hash_b: str = ""  # its content hash, likewise
    resolution: int = 64  # side in pixels; upscaling: of the large patches
    degrade: str = "bicubic"  # upscaling: how pictures are made small, 'bicubic' (clean) or 'real' (blurred, noisy, compressed)
    held_back: float = 0.05  # upscaling: fraction of the pictures that is only measured on, never learned from
    pairs: str = BY_NAME  # paired translation: which pictures belong together, those of the same 'name', or 'order': the first of each
    load_size: int = 0  # translation: side from which squares of `resolution` are cropped at random, 0 = no random crops
    conditional: bool = False  # also learn the classes (sub-folders)
    mirror: bool = False  # also show each picture flipped left-right; upscaling: also turned by quarters
    crop: str = "centre"  # how a picture becomes a square: 'centre', 'smart' (where there is most to see) or 'fit' (padded with the ground)
    ground: str = "#ffffff"  # colour behind transparent parts, and in the margins of padded pictures


@dataclass(frozen=True)
class Objective:
    """Loss, discriminator and regularisation: what both networks are trained to do."""

    loss: str = "non_saturating"  # a name of losses.py: minimax, wasserstein, least_squares, hinge, relativistic, ...
    discriminator: str = "own"  # 'own': the family's; 'projected': on frozen ImageNet features, for few pictures or little time
    r1_gamma: float = 1.0  # weight of R1 (Mescheder 2018), 0 = off
    r1_interval: int = 16  # steps between R1 (StyleGAN2, App. B, "lazy")
    r2_gamma: float = 0.0  # weight of R2, the same on generated pictures, as often as R1, 0 = off
    gp_weight: float = 0.0  # weight of the gradient penalty (WGAN-GP, Gulrajani 2017), 0 = off
    clip: float = 0.0  # bound of the discriminator's weights (WGAN, Arjovsky 2017), 0 = off
    spectral_norm: bool = False  # on every layer of the discriminator (Miyato 2018)
    ortho_weight: float = 0.0  # weight of orthogonal regularisation of the generator (BigGAN, Sec. 3.1), 0 = off
    mismatch: float = 0.0  # share of real pictures with a wrong class among those that D must call false (Reed 2016), 0 = off
    n_critic: int = 1  # steps of the discriminator for each of the generator
    pl_weight: float = 0.0  # weight of the path length penalty (StyleGAN2, Sec. 3.2), 0 = off
    pl_interval: int = 4
    pl_decay: float = 0.01
    freeze_d: int = 0  # blocks of the own discriminator, from the pixels on, that keep the weights of the base (FreezeD, Mo 2020)
    style_mixing: float = 0.9  # probability that two latents share a picture (StyleGAN, Sec. 3.1)
    # Translation. Of the above only `loss` is used.
    unpaired: str = "cycle"  # what preserves the content without pairs: 'cycle' (Zhu 2017), or 'contrastive' (Park 2020) for A -> B alone
    lambda_cycle: float = 10.0  # weight of the cycle loss
    cycle_b: float = 1.0  # fraction of lambda_cycle on the way B -> A -> B; less where A cannot hold all of B, as lines hold no colours
    lambda_identity: float = 0.5  # weight, times lambda_cycle, of leaving a picture of the target side unchanged
    lambda_nce: float = 1.0  # weight of the contrastive loss between patches
    lambda_l1: float = 100.0  # weight of the distance to the partner (Isola 2017)
    pool: int = 50  # earlier generated pictures shown to the discriminators again (Shrivastava 2017), 0 = none
    decay_from: float = 0.5  # fraction of the budget after which the learning rates fall linearly to 0, 1 = never
    # Upscaling, with decay_from within each of two parts: pixels alone, then the discriminator too. Of the others only `loss` is used.
    pretrain: float = 1.0  # fraction of the budget in which pixels alone count; 1 = it stays faithful and invents nothing
    pixel_loss: str = "l1"  # or 'mse'
    lambda_pixel: float = 0.01  # weights of the second part (Wang 2018, Sec. 4.1): of the pixels,
    lambda_perceptual: float = 1.0  # of the perceptual loss,
    lambda_adversarial: float = 0.005  # and of the discriminator; 0.001 in SRGAN (Ledig 2017, Eq. 3)
    perceptual: str = "auto"  # 'vgg19', 'vgg19_after', 'efficientnet', or 'auto': VGG19 when its weights are on this machine
    lr_judged: float = 0.0  # learning rate of the generator in the second part, 0 = lr_g


@dataclass(frozen=True)
class Optimizer:
    """Optimiser of both networks, and the running average of the generator."""

    kind: str = "adam"  # or 'rmsprop', whose decay is beta2
    batch: int = 32  # pictures per step, over all processes
    micro_batch: int = 0  # pictures at once, 0 = batch / processes; smaller needs less memory, and only batch norm then sees fewer
    lr_g: float = 0.0025
    lr_d: float = 0.0025
    beta1: float = 0.0
    beta2: float = 0.99
    grad_clip: float = 0.0  # largest norm of a gradient, 0 = off
    ema_kimg: float = 10.0  # half-life of the generator's average, in thousands of pictures
    ema_rampup: float = 0.05  # shorter at the beginning: at most this fraction of the pictures seen, 0 = off


@dataclass(frozen=True)
class Augment:
    """Augmentation of what the discriminator sees, so that it does not memorise few pictures."""

    kind: str = "none"  # 'none', 'diffaugment' or 'ada'
    policy: str = ""  # empty = the default ('color,translation,cutout' or 'bgc')
    p: float = 0.0  # ADA: initial strength
    target: float = 0.6  # ADA: target sign of D(real); 0 = keep p constant
    kimg: float = 500.0  # ADA: thousands of pictures for p to go from 0 to 1


@dataclass(frozen=True)
class Budget:
    """Length of the training, and intervals between its outputs."""

    kimg: float = 1000.0  # thousands of real pictures to show
    log_kimg: float = 0.25  # between two points of the curves
    sample_kimg: float = 4.0  # between two sheets of samples
    snapshot_kimg: float = 20.0  # between two models to choose from
    state_kimg: float = 4.0  # between two points to resume from
    metric_images: int = 0  # generated pictures for metrics such as KID at each snapshot, 0 = do not measure


@dataclass(frozen=True)
class Card:
    """Texts for the model card."""

    title: str = ""
    licence: str = ""  # of the model
    attribution: str = ""
    description: str = ""
    consent: str = ""  # whose pictures they are: 'own', 'licensed', 'none', or '' = not stated
    source: str = ""  # where the pictures came from
    data_licence: str = ""  # of the pictures, or the permission

    def data(self) -> Consent:
        """The statements about the pictures. Raises StudioError when they make no sense."""
        return Consent(self.consent, self.source, self.data_licence, self.attribution)


@dataclass(frozen=True)
class Plan:
    """Family, base model, data, network, objective, budget, seed and precision of one training."""

    family: str = "stylegan2"
    base: str = ""  # id or folder of a model to start from, empty = from scratch
    seed: int = 0
    precision: str = "auto"  # 'fp32', 'bf16', 'fp16' or 'auto': the fastest that the device supports
    data: Data = field(default_factory=Data)
    network: dict[str, Any] = field(default_factory=dict)  # overrides of the family's config
    objective: Objective = field(default_factory=Objective)
    optimizer: Optimizer = field(default_factory=Optimizer)
    augment: Augment = field(default_factory=Augment)
    growth: Growth = field(default_factory=Growth)
    budget: Budget = field(default_factory=Budget)
    card: Card = field(default_factory=Card)

    def __post_init__(self):
        # TOML has lists only: a plan must equal the one that was written and read again.
        network = {name: list(value) if isinstance(value, tuple) else value for name, value in self.network.items()}
        object.__setattr__(self, "network", network)
        o, b = self.optimizer, self.budget
        _need(self.precision in ("auto", "fp32", "bf16", "fp16"), "precision", self.precision, "auto, fp32, bf16 or fp16")
        _need(self.data.crop in MODES, "data.crop", self.data.crop, "centre, smart or fit")
        _need(self.data.pairs in PAIRINGS, "data.pairs", self.data.pairs, " or ".join(PAIRINGS))
        parse_colour(self.data.ground)
        _need(self.augment.kind in ("none", "diffaugment", "ada"), "augment.kind", self.augment.kind, "none, diffaugment or ada")
        _need(0 <= self.augment.p <= 1, "augment.p", self.augment.p, "0 to 1")
        _need(
            self.objective.discriminator in ("own", "projected"),
            "objective.discriminator",
            self.objective.discriminator,
            "own or projected",
        )
        _need(
            self.objective.freeze_d == 0 or (self.objective.freeze_d > 0 and bool(self.base) and self.objective.discriminator == "own"),
            "objective.freeze_d",
            self.objective.freeze_d,
            "0, or a number of blocks when there is a base and its own discriminator",
        )
        _need(self.objective.unpaired in ("cycle", "contrastive"), "objective.unpaired", self.objective.unpaired, "cycle or contrastive")
        _need(self.data.degrade in ("bicubic", "real"), "data.degrade", self.data.degrade, "bicubic or real")
        _need(0 <= self.data.held_back <= 0.5, "data.held_back", self.data.held_back, "0 to 0.5")
        _need(0 <= self.objective.pretrain <= 1, "objective.pretrain", self.objective.pretrain, "0 to 1")
        _need(self.objective.pixel_loss in ("l1", "mse"), "objective.pixel_loss", self.objective.pixel_loss, "l1 or mse")
        seen_by = ("auto", "vgg19", "vgg19_after", "efficientnet")
        _need(self.objective.perceptual in seen_by, "objective.perceptual", self.objective.perceptual, f"one of {', '.join(seen_by)}")
        weights = ("cycle", "identity", "nce", "l1", "pixel", "perceptual", "adversarial")
        for name in (*(f"lambda_{weight}" for weight in weights), "cycle_b", "lr_judged"):
            _need(getattr(self.objective, name) >= 0, f"objective.{name}", getattr(self.objective, name), "0 (off) or more")
        _need(0 <= self.objective.pool <= 1000, "objective.pool", self.objective.pool, "0 (none) to 1000")
        _need(0 <= self.objective.decay_from <= 1, "objective.decay_from", self.objective.decay_from, "0 to 1")
        _need(
            self.data.load_size == 0 or self.data.resolution <= self.data.load_size <= 4096,
            "data.load_size",
            self.data.load_size,
            f"0, or {self.data.resolution} (the resolution) to 4096",
        )
        _need(
            self.objective.mismatch == 0 or (0 < self.objective.mismatch < 1 and self.data.conditional),
            "objective.mismatch",
            self.objective.mismatch,
            "0, or below 1 with data.conditional",
        )
        _need(self.objective.n_critic >= 1, "objective.n_critic", self.objective.n_critic, "1 or more")
        for name in ("r1_gamma", "r2_gamma", "gp_weight", "clip", "ortho_weight", "pl_weight"):
            _need(getattr(self.objective, name) >= 0, f"objective.{name}", getattr(self.objective, name), "0 (off) or more")
        _need(o.kind in OPTIMIZERS, "optimizer.kind", o.kind, " or ".join(OPTIMIZERS))
        _need(o.batch >= 1, "optimizer.batch", o.batch, "1 or more")
        _need(
            o.micro_batch >= 0 and (o.micro_batch == 0 or o.batch % o.micro_batch == 0),
            "optimizer.micro_batch",
            o.micro_batch,
            f"0, or a number that divides the batch of {o.batch}",
        )
        _need(o.lr_g > 0 and o.lr_d > 0, "optimizer.lr_g and lr_d", (o.lr_g, o.lr_d), "above 0")
        _need(b.kimg > 0, "budget.kimg", b.kimg, "above 0")
        for name in ("log_kimg", "sample_kimg", "snapshot_kimg", "state_kimg"):
            _need(getattr(b, name) > 0, f"budget.{name}", getattr(b, name), "above 0")
        _need(self.objective.r1_interval >= 1 and self.objective.pl_interval >= 1, "intervals", "", "1 or more")
        self.card.data()  # checks the statements about the pictures
        _need(0 <= self.seed < 2**32, "seed", self.seed, "0 to 4294967295")

    @property
    def pictures_a_step(self) -> int:
        """Real pictures that one step shows to the discriminator."""
        return self.optimizer.batch * self.objective.n_critic

    def to_toml(self) -> str:
        """The plan as TOML. `Plan.from_toml(plan.to_toml()) == plan`."""
        raw = dataclasses.asdict(self)
        if self.data.pairs == BY_NAME:  # younger than the other settings: earlier plans stay what they were, to the letter
            del raw["data"]["pairs"]
        return toml.dumps(raw)

    @classmethod
    def from_toml(cls, text: str, folder: Path | None = None) -> "Plan":
        """Read a plan. A relative data path is taken from `folder`.

        Raises StudioError for bad TOML, unknown keys and wrong types.
        """
        try:
            raw = toml.loads(text)
        except toml.TOMLDecodeError as e:
            raise StudioError(f"The plan is not valid TOML: {e}.", "Compare it with the example in README.md.") from None
        plan = _from_plain(raw)
        if folder is not None:
            data = dataclasses.replace(plan.data, path=_from(folder, plan.data.path), path_b=_from(folder, plan.data.path_b))
            plan = dataclasses.replace(plan, data=data)
        return plan

    @classmethod
    def load(cls, path: str | Path) -> "Plan":
        """Read plan.toml. Raises StudioError when it cannot be read."""
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as e:
            raise StudioError(f"The plan {path} cannot be read: {e}.", "Check the path of the file.") from None
        return cls.from_toml(text, Path(path).resolve().parent)


def _from(folder: Path, path: str) -> str:
    """A relative path, taken from `folder`; absolute and empty paths unchanged."""
    return str((Path(folder) / path).resolve()) if path and not Path(path).expanduser().is_absolute() else path


def _need(ok: bool, name: str, value, allowed: str) -> None:
    if not ok:
        raise StudioError(f"The plan's {name} is {value}.", f"It must be {allowed}.")


def _from_plain(raw: Any) -> Plan:
    try:
        return from_plain(Plan, raw)
    except SchemaError as e:
        if e.problem == "unknown":
            known = ", ".join(known_fields(Plan, e.where))
            raise StudioError(f"The plan has '{e.name}', which is not a setting.", f"Known settings: {known}.") from None
        if e.problem == "table":
            raise StudioError(f"[{e.name}] of the plan must be a table.", "Compare it with the example in README.md.") from None
        if e.problem == "finite":
            raise StudioError(f"The plan's {e.name} is infinite or not a number.", "It must be a finite number.") from None
        raise StudioError(f"The plan's {e.name} is {e.value!r:.100}.", f"It must be of the type '{e.expected}'.") from None
