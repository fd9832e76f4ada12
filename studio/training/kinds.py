"""Kinds of models an artist can choose from: a family of networks with the game its two players play.

One network can be trained by several games (DCGAN by Wasserstein's, say), and one game can train several networks. A kind
is a sound pair of both, with figures from the papers where they fit a set of some thousand pictures.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from studio.errors import StudioError


@dataclass(frozen=True)
class Kind:
    """A choice on the page "What to make".

    objective, optimizer: overrides of the plan's parts.  small, large: overrides of the network on a CPU and on a card.
    sides: pictures it can make, in pixels.  classes: 'may' learn them, or 'must'.  grows: from small pictures to large.
    """

    name: str
    title: str
    sentence: str
    family: str
    objective: Mapping[str, Any] = field(default_factory=dict)
    optimizer: Mapping[str, Any] = field(default_factory=dict)
    small: Mapping[str, Any] = field(default_factory=dict)
    large: Mapping[str, Any] = field(default_factory=dict)
    sides: tuple[int, ...] = (32, 64, 128, 256, 512, 1024)
    classes: str = "may"
    grows: bool = False


_STYLE = dict(z_dim=128, w_dim=128, channel_base=2048, channel_max=128, mapping_layers=4)
_DC = dict(ngf=32, ndf=32)
_DC_SIDES = (32, 64, 128, 256)
# Radford 2015, Sec. 4.
_DC_ADAM = dict(batch=32, lr_g=0.0002, lr_d=0.0002, beta1=0.5, beta2=0.999)

KINDS = [
    Kind(
        "stylegan2", "StyleGAN2", "the all-rounder: sharp pictures, smooth walks and style mixing; pick it when in doubt and you have thousands of pictures.",
        "stylegan2", small=_STYLE,
    ),
    Kind(
        "projected", "StyleGAN2 for few pictures", "judged by a network that already knows what things look like (projected GAN); pick it for a few dozen to a few thousand pictures.",
        "stylegan2", dict(loss="hinge", discriminator="projected", r1_gamma=0.0), dict(lr_g=0.002, lr_d=0.002), _STYLE,
    ),
    Kind(
        "stylegan", "StyleGAN", "the forerunner, which grows from small pictures to large ones; pick it for its softer, painterly look.",
        "stylegan", small=_STYLE, grows=True,
    ),
    Kind(
        "biggan", "BigGAN", "made for many kinds of things at once; pick it when your pictures are in classes that differ a lot.",
        "biggan", dict(loss="hinge", r1_gamma=0.0, ortho_weight=0.0001), dict(batch=32, lr_g=0.0002, lr_d=0.0004, beta1=0.0, beta2=0.999),
        dict(ch=16, shared_dim=32, n_stats=6), dict(ch=64, n_stats=11), (32, 64, 128, 256, 512),
    ),
    Kind(
        "dcgan", "DCGAN", "small, quick and simple; pick it for a first try, or for little pictures on a slow machine.",
        "dcgan", dict(r1_gamma=0.0), _DC_ADAM, _DC, {}, _DC_SIDES,
    ),
    Kind(
        "hinge", "DCGAN with hinge loss", "a steadier DCGAN whose judge is kept calm (spectral norm); pick it when a plain DCGAN swings back and forth.",
        "dcgan", dict(loss="hinge", r1_gamma=0.0), dict(batch=32, lr_g=0.0002, lr_d=0.0002, beta1=0.0, beta2=0.9),
        dict(_DC, d_norm="spectral"), dict(d_norm="spectral"), _DC_SIDES,
    ),
    Kind(
        "lsgan", "LSGAN", "a DCGAN that aims at targets instead of yes or no (least squares); pick it when a DCGAN stops learning early.",
        "dcgan", dict(loss="least_squares", r1_gamma=0.0), _DC_ADAM, _DC, {}, _DC_SIDES,
    ),
    Kind(
        "wgan-gp", "WGAN-GP", "its judge measures a distance that tells how training goes; pick it for steady learning without surprises, at three times the work.",
        "dcgan", dict(loss="wasserstein", r1_gamma=0.0, gp_weight=10.0, n_critic=5),
        dict(batch=32, lr_g=0.0001, lr_d=0.0001, beta1=0.0, beta2=0.9), dict(_DC, d_norm="layer"), dict(d_norm="layer"), _DC_SIDES,
    ),
    Kind(
        "wgan", "WGAN", "the older form of WGAN-GP, slower to learn; pick it to compare.",
        "dcgan", dict(loss="wasserstein", r1_gamma=0.0, clip=0.01, n_critic=5),
        dict(kind="rmsprop", batch=32, lr_g=0.00005, lr_d=0.00005, beta2=0.99),
        # Clipped as well, the gain of a norm drowns its layer: with batch norm nothing was learned on squares of one colour.
        dict(_DC, d_norm="none"), dict(d_norm="none"), _DC_SIDES,
    ),
    Kind(
        "cgan", "cGAN", "a DCGAN that is told the class of each picture; pick it for small pictures in clear classes.",
        "dcgan", dict(r1_gamma=0.0), _DC_ADAM, _DC, {}, _DC_SIDES, classes="must",
    ),
    Kind(
        "gan", "GAN", "where it all began, without any sense of neighbourhood; pick it to see how far the others have come.",
        "gan", dict(r1_gamma=0.0), dict(batch=32, lr_g=0.0002, lr_d=0.0002, beta1=0.5, beta2=0.999), {}, {}, (32, 64),
    ),
]  # fmt: skip


def get_kind(name: str) -> Kind:
    """The kind called `name`. Raises StudioError when there is none."""
    for kind in KINDS:
        if kind.name == name:
            return kind
    raise StudioError(f"There is no kind of model called '{name}'.", f"Choose one of: {', '.join(k.name for k in KINDS)}.")
