"""Torch modules only, one file a family. Importing this package registers every family."""

from studio.networks import biggan, stylegan2  # noqa: F401  (each registers itself)
from studio.networks.registry import Family, families, get_family, register

__all__ = ["Family", "families", "get_family", "register"]
