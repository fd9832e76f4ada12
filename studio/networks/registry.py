"""The registry of network families. Each family registers once; every layer above asks here what it can do."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

import torch
from torch import nn

from studio.errors import StudioError


class Task(str, Enum):
    """What a network is for."""

    GENERATE = "generate"
    """Noise, and perhaps a class, into a picture: `mapping`, `synthesis`, `num_ws` (see latent_generator)."""

    TRANSLATE = "translate"
    """A picture into one of the same size: a `Translator` (see resnet_unet_patchgan)."""

    UPSCALE = "upscale"
    """A picture into one `scale` times larger: an `Upscaler` (see super_resolution/upscaler)."""


@dataclass(frozen=True)
class Family:
    """Descriptor of a family of networks: all that the studio must know of it."""

    name: str
    """Key in config.json and plan.toml. It never changes."""

    title: str
    """Name on the screen."""

    sentence: str
    """One plain sentence for the page where an artist chooses."""

    task: Task
    """What its networks are for."""

    config: type
    """Frozen dataclass of the hyper-parameters of both players. Its ValueErrors are shown to people. Every one has `resolution`; a
    generator's has `c_dim` as well (0 = no classes), an upscaler's `scale`: lists of models read them without loading anything."""

    generator: Callable[..., nn.Module]
    """Makes the generator from a config."""

    discriminator: Callable[[Any], nn.Module] | None
    """Makes the discriminator from a config. None: this family cannot be trained here."""

    learns_w: bool = False
    """Its w is a learned latent (`mapping.w_avg` is the mean) and its rows are styles that can be mixed. Generators without
    one have a single row, z beside the class."""

    classes: bool = False
    """It can be conditioned on classes."""

    paired: bool = False
    """Translators: learns from pairs of pictures, not from two unpaired sets."""

    transformable: bool = False
    """Generators: the picture can be moved and turned (`synthesis.transformed`)."""

    resizable: bool = False
    """Generators: pictures can be wider and higher than those of the training (`synthesis.on_grid`)."""

    tileable: bool = False
    """Generators: the padding of every layer can wrap around, so that pictures can be tiled (`synthesis.on_grid`)."""

    progressive: bool = False
    """Progressive growing: both players can begin with small pictures and be grown to large ones (`set_grown`)."""

    from_tensors: bool = False
    """Config and tensors make the generator together, `generator(config, tensors)`: only they say what layers it has."""

    settle: Callable[[nn.Module, torch.Generator, torch.Tensor], None] | None = None
    """Brings what a running average cannot hold (batch statistics) up to date in the averaged generator, before it is shown
    or saved. Takes the generator, a random generator, and how often each class is drawn (c_dim,)."""


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
