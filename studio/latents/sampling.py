"""From a seed to a latent. It lives a floor below, so that the Python API of a model can draw from seeds as well."""

from studio.models.seeds import MAX_SEED, brief, check_seed, z_from_seed

__all__ = ["MAX_SEED", "brief", "check_seed", "z_from_seed"]
