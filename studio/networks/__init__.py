"""Torch modules only, one file a family. Importing this package registers every family."""

from studio.networks import stylegan2, stylegan3  # noqa: F401  (they register themselves)
from studio.networks.registry import Family, families, get_family, register

__all__ = ["Family", "families", "get_family", "register"]
