"""The families of networks. Each registers once; every layer above asks here what it can do."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from studio.errors import StudioError


@dataclass(frozen=True)
class Family:
    """What the studio must know of a family of networks.

    name: the key kept in config.json.     title: the name people read.
    sentence: one plain sentence for the page where an artist chooses.
    config: a frozen dataclass of hyper-parameters.
    generator, discriminator: make the module from a config. No discriminator (None) = can not be trained here.
    has_w: draws from noise through rows of w+ (mapping, synthesis, num_ws), so that it can be explored. A family without
        a latent w of its own has z beside the class as its one row.
    learns_w: its w is a latent of its own (mapping.w_avg is the mean of it), and its rows are styles that can be mixed.
    classes: can be conditioned on classes.  translate, upscale: turns a picture into a picture.
    placeable: its picture can be moved and turned (synthesis.placed).
    from_tensors: config and tensors make its generator together, generator(config, tensors): only they tell its layers.
    grows: both players can begin with small pictures and be grown to large ones (set_grown).
    objective: what it is trained by; a name of studio/training/objectives.
    settle: brings what a running average cannot hold (batch statistics) up to date in the averaged generator, before
    it is shown or saved; takes the generator, randomness, and how often each class is drawn.
    """

    name: str
    title: str
    sentence: str
    config: type
    generator: Callable[[Any], nn.Module]
    discriminator: Callable[[Any], nn.Module] | None
    has_w: bool = False
    learns_w: bool = False
    classes: bool = False
    translate: bool = False
    upscale: bool = False
    placeable: bool = False
    grows: bool = False
    from_tensors: bool = False
    objective: str = "adversarial"
    settle: Callable[[nn.Module, torch.Generator, torch.Tensor], None] | None = None


_families: dict[str, Family] = {}


def register(family: Family) -> Family:
    """Add a family. Raises ValueError when the name is taken."""
    if family.name in _families:
        raise ValueError(f"family {family.name!r} is registered already")
    _families[family.name] = family
    return family


def get_family(name: str) -> Family:
    """The family called `name`. Raises StudioError when there is none."""
    if name not in _families:
        raise StudioError(
            f"This studio has no family of models called '{name}'.",
            f"It knows: {', '.join(sorted(_families))}. A newer studio may open it.",
        )
    return _families[name]


def families() -> list[Family]:
    """All families in the order in which they were registered."""
    return list(_families.values())
