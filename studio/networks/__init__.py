"""Torch modules only, one file a family. Importing this package registers every family."""

from studio.networks import stylegan2, stylegan, stylegan3, biggan, dcgan, gan, cyclegan, pix2pix  # noqa: F401, I001  (each registers itself, in this order)
from studio.networks import srgan, rrdb, srvgg, community, lucidrains  # noqa: F401
from studio.networks.registry import Family, families, get_family, register

__all__ = ["Family", "families", "get_family", "register"]
