"""Three lengths of training for upscalers, and the plan that each stands for."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from studio.errors import StudioError
from studio.networks import get_family
from studio.training.methods import METHODS
from studio.training.plan import Budget, Data, Objective, Optimizer, Plan
from studio.training.presets import PRESETS

STYLES = tuple(kind.name for kind in METHODS if kind.upscales)


@dataclass(frozen=True)
class _Length:
    """kimg: thousands of patches shown when a model is the start; from nothing it is `scratch`."""

    kimg: float
    scratch: float


# By pixels alone and at a factor of 4 a small network learns from 80 patches a second on one core: minutes, most of an hour, overnight.
_LENGTHS = {"sketch": _Length(20, 40), "standard": _Length(80, 200), "patient": _Length(600, 2000)}
_SMALL = dict(width=48, convs=12, ndf=16)  # of the compact network, on a CPU
# Seconds of one core of a server of 2024 for a patch of 128 px, in float32: the small network at a factor of 4, a judge and a network that
# sees, wearing the patch down.
_NETWORK, _JUDGE, _WEAR = 1 / 80, 1 / 20, 1 / 70
_CARD = 4  # a graphics card shows so many times more in the time of an artist's patience


def preset_upscale(
    name: str, base: str = "", *, pictures: int, device: str, scale: int = 4, style: str = "faithful", family: str = "srvgg"
) -> Plan:
    """The plan of a preset; data path and titles are for the caller to fill in.

    name: one of presets.PRESETS.  base: id or folder of an upscaler to begin from, empty = from nothing.  pictures: in the set.
    scale: of the network; the base's own when there is one.  style: one of STYLES.  device: 'cpu' or 'cuda'.  family: 'srvgg',
    'rrdb' or 'srgan'.
    Rates and weights of the part that is judged are ESRGAN's (Wang 2018, Sec. 4.1); a compact network that begins as a linear map
    bears a rate of 0.001 in the part before it.
    Raises StudioError for another name or style.
    """
    if name not in _LENGTHS:
        raise StudioError(f"There is no preset '{name}'.", f"Choose {', '.join(p.name for p in PRESETS)}.")
    if style not in STYLES:
        raise StudioError(f"There is no style '{style}'.", f"Choose {', '.join(STYLES)}.")
    on_card = device != "cpu"
    length = _LENGTHS[name]
    kimg = (length.kimg if base else length.scratch) * (_CARD if on_card else 1)
    compact, faithful = family == "srvgg", style == "faithful"
    multiple = math.lcm(16 if family == "srgan" else 8, scale)  # of a patch's side: the judge halves it, and it is shrunk by the scale
    patch = (192 if on_card else 128) // multiple * multiple
    network = {} if base else {"scale": scale, **(_SMALL if compact and not on_card else {})}
    batch = 16
    return Plan(
        family=family,
        base=base,
        data=Data(
            resolution=patch,
            mirror=True,
            degrade="real" if style == "mend" else "bicubic",
            # Of few pictures each is needed; one is held back all the same.
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
            state_kimg=8.0 if on_card else 2.0,
        ),
    )


def estimate_seconds_upscale(plan: Plan, threads: int, base: Mapping[str, Any] | None = None) -> float | None:
    """About how long the plan takes on a CPU; None for families whose pace is not known.

    The network's work goes with the pixels of the small patches and nearly with the square of the channels, all else with the pixels of
    the large ones; of a second core four fifths are left.
    threads: of the processor.  base: hyper-parameters of the model it begins from.
    """
    if plan.family != "srvgg":
        return None
    config = get_family(plan.family).config(**{**(base or plan.network), "resolution": plan.data.resolution})
    width, convs = config.width / _SMALL["width"], config.convs / _SMALL["convs"]
    each = _NETWORK * (4 / config.scale) ** 2 * width**1.8 * convs
    each += (1 - plan.objective.pretrain) * _JUDGE + (_WEAR if plan.data.degrade == "real" else 0)
    return plan.budget.kimg * 1000 * each * (plan.data.resolution / 128) ** 2 / max(1, threads) ** 0.8
