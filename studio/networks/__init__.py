"""Torch modules only, one file a family. Importing this package registers every family."""

from studio.networks import stylegan2  # noqa: F401, I001  (registers itself; the first is offered first)
from studio.networks import biggan  # noqa: F401
from studio.networks.registry import Family, families, get_family, register

__all__ = ["Family", "families", "get_family", "register"]
