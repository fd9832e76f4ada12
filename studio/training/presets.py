"""Presets: three lengths of training in plain words, and the plan that each stands for."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from studio.errors import StudioError
from studio.networks import get_family
from studio.training.growth import Growth
from studio.training.methods import Method, get_method
from studio.training.plan import Augment, Budget, Data, Objective, Optimizer, Plan

FEW = 5_000  # pictures below which the discriminator memorises them without augmentation (Karras 2020, "ADA", Fig. 1)


@dataclass(frozen=True)
class Preset:
    """A choice on the page. kimg: thousands of pictures shown when a model is the start; from scratch it is `scratch`."""

    name: str
    label: str
    sentence: str
    kimg: float
    kimg_from_scratch: float


PRESETS = [
    Preset("sketch", "Sketch", "a first impression, to see whether your pictures work.", 12, 60),
    Preset("standard", "Standard", "what most sets need.", 60, 300),
    Preset("patient", "Patient", "overnight or longer, for the finest results.", 250, 1200),
]
GPU_FACTOR = 4  # how many times as many pictures a graphics card shows within an artist's patience


def method_for(pictures: int) -> str:
    """Name of the method that suits a set of so many pictures.

    On 200 paintings at 64 px, starting from a model of other drawings, KID after ten minutes on one core was 0.42 with projected
    features (0.40 after the first 4,000 pictures) and 0.86 with ADA and FreezeD (1.17); from scratch 1.25 and 2.59. Both showed
    about as many pictures per second (tests/benchmarks/few_pictures.py).
    """
    return "projected" if pictures < FEW else "stylegan2"


def preset_plan(name: str, base: str = "", *, pictures: int, resolution: int, device: str, method: str = "stylegan2") -> Plan:
    """The plan of a preset; the caller fills in data path and titles.

    name: one of PRESETS.  base: id or folder of the model to start from, empty = from scratch.  pictures: number in the set.
    resolution: side in pixels.  device: 'cpu' or 'cuda'; from scratch on a CPU the network is a small one.  method: a name of methods.py.

    R1's weight, where the method leaves it open: 5 up to 128 px, 10 above. At 64 px on flat grounds 0.5 ended with all pictures alike
    after 60 kimg and 5 did not (measured with batch 16); 10 is StyleGAN2's for 1024 px (Karras 2019b, App. B).
    Few pictures: where the discriminator learns from scratch, ADA with its strength moving five times as fast as in long trainings,
    and with a base also FreezeD of the two finest blocks (Mo 2020); otherwise DiffAugment.
    Progressive growing takes three fifths of the time. A translator's pictures are cropped at random from slightly larger ones
    (Isola 2017, App. 6.2: 256 px from 286).
    Raises StudioError for another name, and for a resolution that the method does not make.
    """
    length = next((p for p in PRESETS if p.name == name), None)
    if length is None:
        raise StudioError(f"There is no preset '{name}'.", f"Choose {', '.join(p.name for p in PRESETS)}.")
    what = get_method(method)
    if what.upscales:
        raise StudioError(f"{what.title} makes pictures larger.", "Its plans are made by presets_super_resolution.preset_upscaler_plan.")
    if resolution not in what.resolutions:
        raise StudioError(f"{what.title} makes no pictures of {resolution} px.", f"Choose one of {', '.join(map(str, what.resolutions))}.")
    on_gpu = device != "cpu"
    kimg = (length.kimg if base else length.kimg_from_scratch) * what.budget_scale * (GPU_FACTOR if on_gpu else 1)
    if what.translates:
        return _translation_plan(what, base, resolution, on_gpu, kimg)
    few = pictures < FEW
    styled = what.family in ("stylegan", "stylegan2")
    projected = what.objective.get("discriminator") == "projected"
    objective = dict(
        r1_gamma=5.0 if resolution <= 128 else 10.0,
        freeze_d=max(0, min(2, int(math.log2(resolution)) - 4))
        if base and few and styled and not projected and not what.progressive_growing
        else 0,
    )
    batch = what.optimizer.get("batch", 16) * (2 if on_gpu else 1)
    optimizer = dict(lr_g=0.0025, lr_d=0.002, ema_kimg=batch * 10 / 32)
    growth = Growth()
    if what.progressive_growing and not base and resolution > 8:
        part = 0.6 * kimg / (2 * math.log2(resolution / 8))
        growth = Growth(start=8, fade_kimg=part, stable_kimg=part)
    augment = Augment()
    if few:
        augment = Augment(kind="ada", kimg=100.0) if styled and not projected else Augment(kind="diffaugment")
    plan = Plan(
        family=what.family,
        base=base,
        data=Data(resolution=resolution),
        network={} if base else dict(what.gpu_network if on_gpu else what.cpu_network),
        objective=Objective(**{**objective, **what.objective}),
        optimizer=Optimizer(**{**optimizer, **what.optimizer, "batch": batch}),
        augment=augment,
        growth=growth,
        budget=Budget(
            kimg=kimg,
            log_kimg=0.16,
            sample_kimg=max(0.5, kimg / 50),
            snapshot_kimg=max(1.0, kimg / 12),
            state_kimg=4.0 if on_gpu else 1.0,
            metric_images=1000 if on_gpu else 500,
        ),
    )
    return learning_classes(plan) if what.needs_classes else plan


def learning_classes(plan: Plan) -> Plan:
    """The plan with classes learned as well.

    Some real pictures are shown under a wrong class (Reed 2016). On five sorts of characters, starting from a model without
    classes, 74 % of the pictures showed their class after 68 kimg, rising slowly; with half of the false pictures made in this
    way 89 % did after 8 kimg more, but KID got worse; at a share of 0.15 it fell again while classes went on to 94 %.
    """
    share = 0.0 if plan.objective.loss == "wasserstein" else 0.2  # it would no longer estimate the distance to the data
    return dataclasses.replace(
        plan, data=dataclasses.replace(plan.data, conditional=True), objective=dataclasses.replace(plan.objective, mismatch=share)
    )


def _translation_plan(what: Method, base: str, resolution: int, on_gpu: bool, kimg: float) -> Plan:
    net = [name for side, name in what.generators if side <= resolution][-1]
    network = dict(net=net, **what.network, **(what.gpu_network if on_gpu else what.cpu_network))
    batch = what.optimizer["batch"]
    return Plan(
        family=what.family,
        base=base,
        data=Data(resolution=resolution, load_size=round(resolution * 286 / 256)),
        network={} if base else network,
        objective=Objective(**what.objective),
        optimizer=Optimizer(**what.optimizer, ema_kimg=batch * 10 / 32),
        budget=Budget(
            kimg=kimg,
            log_kimg=max(0.01, kimg / 400),
            sample_kimg=max(0.05, min(1.0, kimg / 40)),
            snapshot_kimg=max(0.2, kimg / 10),
            state_kimg=4.0 if on_gpu else 0.5,
            metric_images=500 if on_gpu else 200,
        ),
    )


def estimate_seconds(plan: Plan, method: str, threads: int, fast_bf16: bool, base: Mapping[str, Any] | None = None) -> float | None:
    """About how many seconds a translator's plan takes on a CPU; None for methods whose speed is not known.

    The speed of a method is that of one core of a server of 2024, with 32 channels at 128 px in bfloat16, sheets and metrics included.
    Work grows with the pixels, with the channels to the power of 1.8, and by a third from six blocks to nine; each further core adds
    about four fifths.
    threads: of the processor.  fast_bf16: whether it multiplies bfloat16 faster; without that a ResNet takes 40 % longer, a U-Net 10 %.
    base: hyper-parameters of the model it starts from.
    """
    speed = get_method(method).images_per_second
    if not speed:
        return None
    config = get_family(plan.family).config(**{**(base or plan.network), "resolution": plan.data.resolution})
    resnet = config.net.startswith("resnet")
    work = (plan.data.resolution / 128) ** 2 * (config.ngf / 32) ** 1.8
    work *= 4 / 3 if config.net == "resnet_9blocks" else 1
    work *= 1 if fast_bf16 else 1.4 if resnet else 1.1
    return plan.budget.kimg * 1000 / speed * work / max(1, threads) ** 0.8
