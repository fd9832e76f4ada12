"""Torch modules only, one file a family. Importing this package registers every family, in the order in which they are offered."""

# isort: off
from studio.networks.generative import stylegan2, stylegan, stylegan3, biggan, dcgan, gan  # noqa: F401
from studio.networks.translation import cyclegan, pix2pix  # noqa: F401
from studio.networks.super_resolution import srgan, rrdb, srvgg, spandrel_network  # noqa: F401
from studio.networks.generative import lucidrains, fastgan, r3gan  # noqa: F401
from studio.networks.translation import animegan2, pix2pixhd  # noqa: F401

# isort: on
from studio.networks.registry import Family, Task, families, get_family, register

__all__ = ["Family", "Task", "families", "get_family", "register"]
