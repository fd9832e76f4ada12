"""Kinds of models an artist can choose from: a family of networks with the game its two players play.

One network can be trained by several games (DCGAN by Wasserstein's, say), and one game can train several networks. A kind
is a sound pair of both, with figures from the papers where they fit a set of some thousand pictures. What it is good for is
its goal; each goal has kinds of its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from studio.errors import StudioError


@dataclass(frozen=True)
class Goal:
    """What an artist wants of a model.

    wants: 'one' set of pictures, 'two' sets that need not match, or two sets in 'pairs' of the same name.
    a, b: what the pictures of each set are, in words.
    """

    name: str
    title: str
    sentence: str
    wants: str = "one"
    a: str = "Your pictures"
    b: str = ""


GOALS = [
    Goal("draw", "New pictures", "It learns to draw pictures like yours, out of nothing."),
    Goal(
        "restyle",
        "Another style",
        "Pictures of one kind become another: photographs your paintings. From two heaps that need not match.",
        "two",
        "The pictures to start from",
        "What they should become",
    ),
    Goal(
        "pairs",
        "Before and after",
        "It learns from pairs what a picture should become: from your sketches your paintings, say.",
        "pairs",
        "Before: the pictures to start from",
        "After: what each should become",
    ),
    Goal("colour", "Colouring in", "Grey pictures get colours. It learns from your coloured ones, and makes them grey by itself."),
    Goal(
        "fill",
        "Filling line art",
        "Drawings of lines become pictures. It learns from your finished ones, and draws their outlines by itself.",
    ),
    Goal(
        "upscale",
        "Larger pictures (upscaler for my art)",
        "It learns to enlarge pictures like yours. It takes your finest ones, and makes them small by itself.",
        a="Your finest pictures, as large as they are",
    ),
]


@dataclass(frozen=True)
class Method:
    """A choice on the page "What to make".

    objective, optimizer: overrides of the plan's parts.  small, large: overrides of the network on a CPU and on a card.
    sides: pictures it can make, in pixels.  classes: 'may' learn them, or 'must'.  grows: from small pictures to large.
    goal: name of what it is for.  network: overrides on both; a model to begin from must be like that.
    Of those that turn pictures into others also: nets: (side from which on, name of the generator).  held: the objective's weight
    of what must stay; of an upscaler that of the judge.  length: pictures shown, as a part of what the presets say.  pace: pictures a
    second while it learns, see `presets.seconds`.
    factors: of upscalers, how many times as wide and high a picture becomes; their pictures have any size.
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
    goal: str = "draw"
    network: Mapping[str, Any] = field(default_factory=dict)
    nets: tuple[tuple[int, str], ...] = ()
    held: str = ""
    length: float = 1.0
    pace: float = 0.0
    factors: tuple[int, ...] = ()

    @property
    def sides_wanted(self) -> str:
        """'one' set of pictures, 'two', or two in 'pairs'."""
        return get_goal(self.goal).wants

    @property
    def translates(self) -> bool:
        """Whether it turns pictures into others of the same size."""
        return not self.draws and not self.upscales

    @property
    def draws(self) -> bool:
        """Whether it makes pictures out of nothing."""
        return self.goal == "draw"

    @property
    def upscales(self) -> bool:
        """Whether it makes pictures larger."""
        return self.goal == "upscale"


_STYLE = dict(z_dim=128, w_dim=128, channel_base=2048, channel_max=128, mapping_layers=4)
_DC = dict(ngf=32, ndf=32)
_DC_SIDES = (32, 64, 128, 256)
# Radford 2015, Sec. 4.
_DC_ADAM = dict(batch=32, lr_g=0.0002, lr_d=0.0002, beta1=0.5, beta2=0.999)
# Of LSGAN and WGAN-GP. Radford's rates and Gulrajani's (0.0001) are for ten thousands of steps; in the hundreds that a small set
# on a processor gets, they left greys and shadows where this one draws figures (characters, 64 px, 24 kimg).
# WGAN-GP still improves at 267; LSGAN swings at 72 and is better again at 96.
_QUICK = dict(lr_g=0.001, lr_d=0.001)
# Zhu 2017, App. 7.1; Isola 2017, Sec. 3.3; Park 2020, App. B.1. Pixels are repeated and smoothed instead of the papers' transposed
# convolutions, which leave checkerboards (Odena 2016).
_TRANSLATE = dict(
    optimizer=dict(batch=1, lr_g=0.0002, lr_d=0.0002, beta1=0.5, beta2=0.999),
    small=dict(ngf=32, ndf=32, upsampling="resize"),
    large=dict(ngf=64, ndf=64, upsampling="resize"),
)
_RESNET = dict(family="cyclegan", nets=((64, "resnet_6blocks"), (256, "resnet_9blocks")), sides=(64, 128, 256, 512), length=1 / 15)
_UNET = dict(
    family="pix2pix",
    nets=((128, "unet_128"), (256, "unet_256")),
    sides=(128, 256, 512),
    length=1 / 5,
    held="lambda_l1",
    pace=13.0,
)
# The compact network of Real-ESRGAN (Wang 2021): small enough to learn on a processor. What the kinds differ in is said by
# presets_upscale.py.
_ENLARGE = dict(family="srvgg", goal="upscale", factors=(2, 3, 4), sides=())

METHODS = [
    Method(
        "stylegan2",
        "StyleGAN2",
        "the all-rounder: sharp pictures, smooth walks and style mixing; pick it when in doubt and you have thousands of pictures.",
        "stylegan2",
        small=_STYLE,
    ),
    Method(
        "projected",
        "StyleGAN2 for few pictures",
        "judged by a network that already knows what things look like (projected GAN); pick it for a few dozen to a few thousand pictures.",
        "stylegan2",
        dict(loss="hinge", discriminator="projected", r1_gamma=0.0),
        dict(lr_g=0.002, lr_d=0.002),
        _STYLE,
    ),
    Method(
        "stylegan",
        "StyleGAN",
        "the forerunner, which grows from small pictures to large ones; pick it for its softer, painterly look.",
        "stylegan",
        small=_STYLE,
        grows=True,
    ),
    Method(
        "biggan",
        "BigGAN",
        "made for many kinds of things at once; pick it when your pictures are in classes that differ a lot.",
        "biggan",
        dict(loss="hinge", r1_gamma=0.0, ortho_weight=0.0001),
        dict(batch=32, lr_g=0.0002, lr_d=0.0004, beta1=0.0, beta2=0.999),
        dict(ch=16, shared_dim=32, n_stats=6),
        dict(ch=64, n_stats=11),
        (32, 64, 128, 256, 512),
    ),
    Method(
        "dcgan",
        "DCGAN",
        "small, quick and simple; pick it for a first try, or for little pictures on a slow machine.",
        "dcgan",
        dict(r1_gamma=0.0),
        _DC_ADAM,
        _DC,
        {},
        _DC_SIDES,
    ),
    Method(
        "hinge",
        "DCGAN with hinge loss",
        "a steadier DCGAN whose judge is kept calm (spectral norm); pick it when a plain DCGAN swings back and forth.",
        "dcgan",
        dict(loss="hinge", r1_gamma=0.0),
        dict(batch=32, lr_g=0.0002, lr_d=0.0002, beta1=0.0, beta2=0.9),
        dict(_DC, d_norm="spectral"),
        dict(d_norm="spectral"),
        _DC_SIDES,
    ),
    Method(
        "lsgan",
        "LSGAN",
        "a DCGAN that aims at targets instead of yes or no (least squares); pick it when a DCGAN stops learning early.",
        "dcgan",
        dict(loss="least_squares", r1_gamma=0.0),
        dict(_DC_ADAM, **_QUICK),
        _DC,
        {},
        _DC_SIDES,
    ),
    Method(
        "wgan-gp",
        "WGAN-GP",
        "its judge measures a distance that tells how training goes; pick it for steady learning without surprises, and for variety in small pictures.",
        "dcgan",
        dict(loss="wasserstein", r1_gamma=0.0, gp_weight=10.0, n_critic=5),
        dict(batch=32, beta1=0.0, beta2=0.9, **_QUICK),
        dict(_DC, d_norm="layer"),
        dict(d_norm="layer"),
        _DC_SIDES,
    ),
    Method(
        "wgan",
        "WGAN",
        "the older form of WGAN-GP, slower to learn; pick it to compare.",
        "dcgan",
        dict(loss="wasserstein", r1_gamma=0.0, clip=0.01, n_critic=5),
        dict(kind="rmsprop", batch=32, lr_g=0.00005, lr_d=0.00005, beta2=0.99),
        # Clipped as well, the gain of a norm drowns its layer: with batch norm nothing was learned on squares of one colour.
        dict(_DC, d_norm="none"),
        dict(d_norm="none"),
        _DC_SIDES,
    ),
    Method(
        "cgan",
        "cGAN",
        "a DCGAN that is told the class of each picture; pick it for small pictures in clear classes.",
        "dcgan",
        dict(r1_gamma=0.0),
        _DC_ADAM,
        _DC,
        {},
        _DC_SIDES,
        classes="must",
    ),
    Method(
        "gan",
        "GAN",
        "where it all began, without any sense of neighbourhood; pick it to see how far the others have come.",
        "gan",
        dict(r1_gamma=0.0),
        dict(batch=32, lr_g=0.0002, lr_d=0.0002, beta1=0.5, beta2=0.999),
        {},
        {},
        (32, 64),
    ),
    Method(
        "cyclegan",
        "CycleGAN",
        "learns both ways at once, there and back; pick it for colours, textures and styles, and when you want the way back too.",
        objective=dict(loss="least_squares", lambda_cycle=10.0, lambda_identity=0.5),
        network=dict(directions="both"),
        goal="restyle",
        held="lambda_cycle",
        pace=2.7,
        **_RESNET,
        **_TRANSLATE,
    ),
    Method(
        "cut",
        "CUT",
        "learns one way only, in half the time, and dares to change shapes a little more; pick it for a first try.",
        objective=dict(loss="least_squares", unpaired="contrastive", lambda_nce=1.0, lambda_identity=0.5),
        network=dict(directions="AtoB"),
        goal="restyle",
        held="lambda_nce",
        pace=4.4,
        **_RESNET,
        **_TRANSLATE,
    ),
    Method(
        "pix2pix",
        "pix2pix",
        "holds each picture against its partner, so that little time and some hundred pairs are enough.",
        objective=dict(loss="non_saturating", lambda_l1=100.0),
        network=dict(transform="none"),
        goal="pairs",
        **_UNET,
        **_TRANSLATE,
    ),
    Method(
        "colourise",
        "pix2pix, to colour in",
        "holds the colours it chose for a picture made grey against the real ones.",
        objective=dict(loss="non_saturating", lambda_l1=100.0),
        network=dict(transform="grey"),
        goal="colour",
        **_UNET,
        **_TRANSLATE,
    ),
    Method(
        "lineart",
        "pix2pix, to fill line art",
        "holds what it painted into the outlines of a picture against the picture itself.",
        objective=dict(loss="non_saturating", lambda_l1=100.0),
        network=dict(transform="edges"),
        goal="fill",
        **_UNET,
        **_TRANSLATE,
    ),
    Method(
        "faithful",
        "Faithful",
        "stays true to the picture and makes nothing up; soft where it cannot know (by pixels alone). Pick it when in doubt.",
        **_ENLARGE,
    ),
    Method(
        "sharp",
        "Sharp",
        "draws lines and textures anew, sharp and sometimes wrong (perceptual loss and a judge); pick it for prints, and for fun.",
        held="lambda_adversarial",
        **_ENLARGE,
    ),
    Method(
        "mend",
        "Sharp, and mends",
        "as sharp, and made for worn pictures: blur, noise, JPEG (Real-ESRGAN); pick it for scans and what lay in the web for long.",
        held="lambda_adversarial",
        **_ENLARGE,
    ),
]


def get_goal(name: str) -> Goal:
    """The goal called `name`. Raises StudioError when there is none."""
    for goal in GOALS:
        if goal.name == name:
            return goal
    raise StudioError(f"There is no goal called '{name}'.", f"Choose one of: {', '.join(g.name for g in GOALS)}.")


def get_method(name: str) -> Method:
    """The kind called `name`. Raises StudioError when there is none."""
    for kind in METHODS:
        if kind.name == name:
            return kind
    raise StudioError(f"There is no kind of model called '{name}'.", f"Choose one of: {', '.join(k.name for k in METHODS)}.")


def method_fits(kind: Method, config: Any) -> bool:
    """Whether a model with these hyper-parameters of the kind's family can be begun from."""
    if any(getattr(config, name) != value for name, value in kind.network.items()):
        return False
    if kind.upscales:
        return config.scale in kind.factors
    return kind.objective.get("unpaired") != "contrastive" or config.net.startswith("resnet")
