"""Presets of upscalers: three lengths of training, and the plan that each stands for."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from studio.errors import StudioError
from studio.networks import get_family
from studio.training.methods import METHODS
from studio.training.plan import Budget, Data, Objective, Optimizer, Plan
from studio.training.presets import GPU_FACTOR, PRESETS

STYLES = tuple(method.name for method in METHODS if method.upscales)


@dataclass(frozen=True)
class _Length:
    """kimg: thousands of patches shown when training starts from a model; from scratch it is `kimg_from_scratch`."""

    kimg: float
    kimg_from_scratch: float


# By pixels alone and at a factor of 4 a small network learns from 80 patches a second on one core: minutes, most of an hour, overnight.
_LENGTHS = {"sketch": _Length(20, 40), "standard": _Length(80, 200), "patient": _Length(600, 2000)}
_SMALL = dict(width=48, convs=12, ndf=16)  # of the compact network, on a CPU
# Seconds that one core of a server of 2024 needs for a patch of 128 px, in float32: the small network at a factor of 4, the discriminator
# with the perceptual loss, degrading the patch.
_GENERATOR_SECONDS, _DISCRIMINATOR_SECONDS, _DEGRADATION_SECONDS = 1 / 80, 1 / 20, 1 / 70


def preset_upscaler_plan(
    name: str, base: str = "", *, pictures: int, device: str, scale: int = 4, style: str = "faithful", family: str = "srvgg"
) -> Plan:
    """The plan of a preset; the caller fills in data path and titles.

    name: one of presets.PRESETS.  base: id or folder of an upscaler to start from, empty = from scratch.  pictures: number in the set.
    scale: of the network; the base's own when there is one.  style: one of STYLES.  device: 'cpu' or 'cuda'.  family: 'srvgg',
    'rrdb' or 'srgan'.
    Learning rates and weights of the adversarial part are ESRGAN's (Wang 2018, Sec. 4.1); a compact network that begins as a linear
    map tolerates a rate of 0.001 in the part before it.
    Raises StudioError for another name or style.
    """
    if name not in _LENGTHS:
        raise StudioError(f"There is no preset '{name}'.", f"Choose {', '.join(p.name for p in PRESETS)}.")
    if style not in STYLES:
        raise StudioError(f"There is no style '{style}'.", f"Choose {', '.join(STYLES)}.")
    on_gpu = device != "cpu"
    length = _LENGTHS[name]
    kimg = (length.kimg if base else length.kimg_from_scratch) * (GPU_FACTOR if on_gpu else 1)
    compact, faithful = family == "srvgg", style == "faithful"
    multiple = math.lcm(
        16 if family == "srgan" else 8, scale
    )  # of a patch's side: the discriminator halves it, and it is shrunk by the scale
    patch = (192 if on_gpu else 128) // multiple * multiple
    network = {} if base else {"scale": scale, **(_SMALL if compact and not on_gpu else {})}
    batch = 16
    return Plan(
        family=family,
        base=base,
        data=Data(
            resolution=patch,
            mirror=True,
            degrade="real" if style == "mend" else "bicubic",
            # When pictures are few, each is needed; one is held back all the same.
            held_back=0.05 if pictures >= 40 else 0.02,
        ),
        network=network,
        objective=Objective(
            pretrain=1.0 if faithful else 0.5,
            lambda_pixel=0.01,
            lambda_perceptual=1.0,
            lambda_adversarial=0.005,
            lr_judged=0.0001,
            decay_from=0.2 if faithful else 0.5,
        ),
        optimizer=Optimizer(
            batch=batch,
            lr_g=(0.001 if compact else 0.0002) / (4 if base else 1),
            lr_d=0.0001,
            beta1=0.9,
            beta2=0.99,
            grad_clip=0.1 if faithful else 0.0,
            ema_kimg=2.0,
        ),
        budget=Budget(
            kimg=kimg,
            log_kimg=0.16,
            sample_kimg=max(0.5, kimg / 50),
            snapshot_kimg=max(1.0, kimg / 12),
            state_kimg=8.0 if on_gpu else 2.0,
        ),
    )


def estimate_upscaler_seconds(plan: Plan, threads: int, base: Mapping[str, Any] | None = None) -> float | None:
    """About how many seconds the plan takes on a CPU; None for families whose speed is not known.

    The network's work grows with the pixels of the small patches and with the channels to the power of 1.8, all else with the pixels of
    the large ones; each further core adds about four fifths.
    threads: of the processor.  base: hyper-parameters of the model it starts from.
    """
    if plan.family != "srvgg":
        return None
    config = get_family(plan.family).config(**{**(base or plan.network), "resolution": plan.data.resolution})
    width, convs = config.width / _SMALL["width"], config.convs / _SMALL["convs"]
    each = _GENERATOR_SECONDS * (4 / config.scale) ** 2 * width**1.8 * convs
    each += (1 - plan.objective.pretrain) * _DISCRIMINATOR_SECONDS + (_DEGRADATION_SECONDS if plan.data.degrade == "real" else 0)
    return plan.budget.kimg * 1000 * each * (plan.data.resolution / 128) ** 2 / max(1, threads) ** 0.8
