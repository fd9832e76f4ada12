"""Torch modules only, one file a family. Importing this package registers every family."""

from studio.networks.generative import (
    biggan,
    dcgan,
    gan,
    lucidrains,  # noqa: F401
    stylegan,
    stylegan2,
    stylegan3,
)
from studio.networks.registry import Family, families, get_family, register
from studio.networks.super_resolution import rrdb, spandrel_network, srgan, srvgg
from studio.networks.translation import cyclegan, pix2pix  # noqa: F401, I001  (each registers itself, in this order)

__all__ = ["Family", "families", "get_family", "register"]
