"""From a seed to a latent."""

import numpy as np

from studio.errors import StudioError

MAX_SEED = 2**32 - 1


def check_seed(seed) -> int:
    """`seed` as an int in 0..4294967295. Raises StudioError for anything else."""
    whole = not isinstance(seed, bool) and isinstance(seed, (int, float, np.integer, np.floating))
    if not whole or not np.isfinite(seed) or int(seed) != seed or not 0 <= seed <= MAX_SEED:
        raise StudioError(f"The seed is {seed!r}.", f"A seed is a whole number from 0 to {MAX_SEED}.")
    return int(seed)


def z_from_seed(seed: int, z_dim: int) -> np.ndarray:
    """The latent z (1, z_dim) float32, N(0, 1), of a seed.

    Drawn from NumPy's legacy RandomState, as NVIDIA's tools do: a seed published with a checkpoint gives the
    same picture here. Raises StudioError for a seed outside 0..4294967295.
    """
    return np.random.RandomState(check_seed(seed)).randn(1, z_dim).astype(np.float32)
