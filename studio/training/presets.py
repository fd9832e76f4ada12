"""Three lengths of training in plain words, and the plan that each stands for."""

import math
from dataclasses import dataclass

from studio.errors import StudioError
from studio.training.plan import Augment, Budget, Data, Objective, Optimizer, Plan

FEW = 5_000  # pictures below which the discriminator learns them by heart without augmentation (Karras 2020, "ADA", Fig. 1)


@dataclass(frozen=True)
class Preset:
    """A choice on the page. kimg: thousands of pictures shown when a model is the start; from nothing it is `scratch`."""

    name: str
    label: str
    sentence: str
    kimg: float
    scratch: float


PRESETS = [
    Preset("sketch", "Sketch", "a first impression, to see whether the pictures suit.", 12, 60),
    Preset("standard", "Standard", "what most sets need.", 60, 300),
    Preset("patient", "Patient", "overnight and longer, for the finest.", 250, 1200),
]
_CARD = 4  # a graphics card shows so many times more in the time of an artist's patience


def preset(name: str, base: str = "", *, pictures: int, resolution: int, device: str) -> Plan:
    """The plan of a preset; data path, titles and family are for the caller to fill in.

    base: id or folder of the model to begin from, empty = from nothing.  pictures: in the set.  resolution: side in
    pixels.  device: 'cpu' or 'cuda'; on a CPU the network from nothing is a small one.
    R1's weight: 5 up to 128 px, 10 above. At 64 px on flat grounds 0.5 ended with all pictures alike after 60 kimg and
    5 did not (measured with batch 16); 10 is StyleGAN2's for 1024 px (Karras 2019b, App. B).
    Few pictures: ADA, with its strength moving five times as fast as in long trainings; with a base also FreezeD of
    the two finest blocks (Mo 2020).
    Raises StudioError for another name.
    """
    chosen = next((p for p in PRESETS if p.name == name), None)
    if chosen is None:
        raise StudioError(f"There is no preset '{name}'.", f"Choose {', '.join(p.name for p in PRESETS)}.")
    on_card = device != "cpu"
    kimg = (chosen.kimg if base else chosen.scratch) * (_CARD if on_card else 1)
    few = pictures < FEW
    batch = 32 if on_card else 16
    small = dict(z_dim=128, w_dim=128, channel_base=2048, channel_max=128, mapping_layers=4)
    return Plan(
        base=base,
        data=Data(resolution=resolution),
        network={} if base or on_card else small,
        objective=Objective(
            r1_gamma=5.0 if resolution <= 128 else 10.0,
            freeze_d=max(0, min(2, int(math.log2(resolution)) - 4)) if base and few else 0,
        ),
        optimizer=Optimizer(batch=batch, lr_g=0.0025, lr_d=0.002, ema_kimg=batch * 10 / 32),
        augment=Augment(kind="ada", kimg=100.0) if few else Augment(),
        budget=Budget(
            kimg=kimg,
            log_kimg=0.16,
            sample_kimg=max(0.5, kimg / 50),
            snapshot_kimg=max(1.0, kimg / 12),
            state_kimg=4.0 if on_card else 1.0,
            metric_images=1000 if on_card else 500,
        ),
    )
