"""Training methods an artist can choose from: a network family together with the objective that trains it.

One family can be trained with several objectives (DCGAN with the Wasserstein loss, say), and one objective can train several
families. A method is a sound combination of both, with hyper-parameters from the papers where they suit a set of a few thousand
pictures. Each method serves one goal.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from studio.errors import StudioError

ImageSets = Literal["one", "unpaired", "paired"]


@dataclass(frozen=True)
class Goal:
    """What an artist wants a model to do."""

    name: str
    title: str
    sentence: str
    image_sets: ImageSets = "one"
    """One set of pictures, two unpaired sets, or two sets paired by file name."""
    a: str = "Your pictures"
    """What the pictures of the first set are, in words."""
    b: str = ""
    """What the pictures of the second set are, in words."""


GOALS = [
    Goal("draw", "New pictures", "It learns to draw new pictures like yours, from nothing."),
    Goal(
        "restyle",
        "Another style",
        "It turns pictures of one sort into another: photographs into your paintings. It learns from two unpaired sets.",
        "unpaired",
        "The pictures to start from",
        "What they should become",
    ),
    Goal(
        "pairs",
        "Before and after",
        "It learns from pairs what a picture should become: your sketches become your paintings, say.",
        "paired",
        "Before: the pictures to start from",
        "After: what each should become",
    ),
    Goal("colour", "Colouring in", "It colours grey pictures. It learns from your coloured ones and makes the grey versions itself."),
    Goal(
        "fill",
        "Filling line art",
        "It turns line drawings into finished pictures. It learns from your finished pictures and draws their outlines itself.",
    ),
    Goal(
        "upscale",
        "Larger pictures (upscaler for my art)",
        "It learns to enlarge pictures like yours. Give it your finest ones; it makes the small versions itself.",
        a="Your finest pictures, at full size",
    ),
]


@dataclass(frozen=True)
class Method:
    """A choice on the page "What to make"."""

    name: str
    title: str
    sentence: str
    family: str
    objective: Mapping[str, Any] = field(default_factory=dict)
    """Overrides of the plan's objective."""
    optimizer: Mapping[str, Any] = field(default_factory=dict)
    """Overrides of the plan's optimizer."""
    cpu_network: Mapping[str, Any] = field(default_factory=dict)
    """Overrides of the network's hyper-parameters on a CPU."""
    gpu_network: Mapping[str, Any] = field(default_factory=dict)
    """Overrides of the network's hyper-parameters on a graphics card."""
    resolutions: tuple[int, ...] = (32, 64, 128, 256, 512, 1024)
    """Sides of the square pictures it can make, in pixels. Empty for upscalers, whose pictures have any size."""
    needs_classes: bool = False
    """Whether it trains on classes only; otherwise classes are a choice."""
    progressive_growing: bool = False
    """Whether it begins with small pictures and grows to large ones."""
    goal: str = "draw"
    """Name of the goal it serves."""
    network: Mapping[str, Any] = field(default_factory=dict)
    """Overrides of the network on every device; a model to start from must agree with them."""
    generators: tuple[tuple[int, str], ...] = ()
    """Translation: (smallest resolution, name of the generator), ascending."""
    tunable_weight: str = ""
    """Translation and upscaling: name of the objective's weight that an artist may set: of the content, or of the discriminator."""
    budget_scale: float = 1.0
    """Pictures shown, as a fraction of the presets' number."""
    images_per_second: float = 0.0
    """Translation: training speed, see `presets.estimate_seconds`; 0 = not known."""
    scale_factors: tuple[int, ...] = ()
    """Upscaling: how many times as wide and high a picture may become."""

    @property
    def image_sets(self) -> ImageSets:
        """The sets of pictures it learns from."""
        return get_goal(self.goal).image_sets

    @property
    def translates(self) -> bool:
        """Whether it turns pictures into others of the same size."""
        return not self.generates and not self.upscales

    @property
    def generates(self) -> bool:
        """Whether it makes pictures from noise."""
        return self.goal == "draw"

    @property
    def upscales(self) -> bool:
        """Whether it makes pictures larger."""
        return self.goal == "upscale"


_STYLE: dict[str, Any] = dict(z_dim=128, w_dim=128, channel_base=2048, channel_max=128, mapping_layers=4)
_DC: dict[str, Any] = dict(ngf=32, ndf=32)
_DC_SIDES = (32, 64, 128, 256)
# Radford 2015, Sec. 4.
_DC_ADAM: dict[str, Any] = dict(batch=32, lr_g=0.0002, lr_d=0.0002, beta1=0.5, beta2=0.999)
# Of LSGAN and WGAN-GP. Radford's rates and Gulrajani's (0.0001) are meant for tens of thousands of steps; in the hundreds that a
# small set gets on a CPU they left grey shadows where this rate draws figures (characters, 64 px, 24 kimg).
# WGAN-GP still improves at 267 kimg; LSGAN oscillates at 72 and is better again at 96.
_QUICK: dict[str, Any] = dict(lr_g=0.001, lr_d=0.001)
# Zhu 2017, App. 7.1; Isola 2017, Sec. 3.3; Park 2020, App. B.1. Pixels are repeated and smoothed instead of the papers' transposed
# convolutions, which leave checkerboards (Odena 2016).
_TRANSLATE: dict[str, Any] = dict(
    optimizer=dict(batch=1, lr_g=0.0002, lr_d=0.0002, beta1=0.5, beta2=0.999),
    cpu_network=dict(ngf=32, ndf=32, upsampling="resize"),
    gpu_network=dict(ngf=64, ndf=64, upsampling="resize"),
)
_RESNET: dict[str, Any] = dict(
    family="cyclegan", generators=((64, "resnet_6blocks"), (256, "resnet_9blocks")), resolutions=(64, 128, 256, 512), budget_scale=1 / 15
)
_UNET: dict[str, Any] = dict(
    family="pix2pix",
    generators=((128, "unet_128"), (256, "unet_256")),
    resolutions=(128, 256, 512),
    budget_scale=1 / 5,
    tunable_weight="lambda_l1",
    images_per_second=13.0,
)
# The compact network of Real-ESRGAN (Wang 2021): small enough to train on a CPU. Its methods differ as
# described in presets_super_resolution.py.
_SRVGG: dict[str, Any] = dict(family="srvgg", goal="upscale", scale_factors=(2, 3, 4), resolutions=())

METHODS = [
    Method(
        "stylegan2",
        "StyleGAN2",
        "the all-rounder: sharp pictures, smooth walks and style mixing; pick it when in doubt and you have thousands of pictures.",
        "stylegan2",
        cpu_network=_STYLE,
    ),
    Method(
        "projected",
        "StyleGAN2 for few pictures",
        "its discriminator already knows what things look like (projected GAN); pick it for a few dozen to a few thousand.",
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
        cpu_network=_STYLE,
        progressive_growing=True,
    ),
    Method(
        "biggan",
        "BigGAN",
        "made for many sorts of things at once; pick it when your pictures are in classes that differ a lot.",
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
        "a steadier DCGAN whose discriminator is kept in check (spectral norm); pick it when a plain DCGAN swings back and forth.",
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
        "its discriminator measures a distance that shows how training goes; pick it for steady learning and variety in small pictures.",
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
        # The gain of a norm is clipped too and silences its layer: with batch norm nothing was learned on squares of one colour.
        dict(_DC, d_norm="none"),
        dict(d_norm="none"),
        _DC_SIDES,
    ),
    Method(
        "cgan",
        "cGAN",
        "a DCGAN that learns the class of each picture; pick it for small pictures in clear classes.",
        "dcgan",
        dict(r1_gamma=0.0),
        _DC_ADAM,
        _DC,
        {},
        _DC_SIDES,
        needs_classes=True,
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
        tunable_weight="lambda_cycle",
        images_per_second=2.7,
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
        tunable_weight="lambda_nce",
        images_per_second=4.4,
        **_RESNET,
        **_TRANSLATE,
    ),
    Method(
        "pix2pix",
        "pix2pix",
        "compares each picture with its partner, so little time and a few hundred pairs are enough.",
        objective=dict(loss="non_saturating", lambda_l1=100.0),
        network=dict(transform="none"),
        goal="pairs",
        **_UNET,
        **_TRANSLATE,
    ),
    Method(
        "colourise",
        "pix2pix, to colour in",
        "compares the colours it chose for a grey version of a picture with the real ones.",
        objective=dict(loss="non_saturating", lambda_l1=100.0),
        network=dict(transform="grey"),
        goal="colour",
        **_UNET,
        **_TRANSLATE,
    ),
    Method(
        "lineart",
        "pix2pix, to fill line art",
        "compares what it painted into the outlines of a picture with the picture itself.",
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
        **_SRVGG,
    ),
    Method(
        "sharp",
        "Sharp",
        "draws lines and textures anew, sharp and sometimes wrong (perceptual loss and a discriminator); pick it for prints, and for fun.",
        tunable_weight="lambda_adversarial",
        **_SRVGG,
    ),
    Method(
        "mend",
        "Sharp and restored",
        "as sharp, and made for damaged pictures: blur, noise, JPEG (Real-ESRGAN); pick it for scans and pictures from the web.",
        tunable_weight="lambda_adversarial",
        **_SRVGG,
    ),
]


def get_goal(name: str) -> Goal:
    """The goal called `name`. Raises StudioError when there is none."""
    for goal in GOALS:
        if goal.name == name:
            return goal
    raise StudioError(f"There is no goal called '{name}'.", f"Choose one of: {', '.join(g.name for g in GOALS)}.")


def get_method(name: str) -> Method:
    """The method called `name`. Raises StudioError when there is none."""
    for method in METHODS:
        if method.name == name:
            return method
    raise StudioError(f"There is no training method called '{name}'.", f"Choose one of: {', '.join(m.name for m in METHODS)}.")


def method_fits(method: Method, config: Any) -> bool:
    """Whether training by `method` can start from a model of its family with the hyper-parameters `config`."""
    if any(getattr(config, name) != value for name, value in method.network.items()):
        return False
    if method.upscales:
        return config.scale in method.scale_factors
    return method.objective.get("unpaired") != "contrastive" or config.net.startswith("resnet")
