"""From a seed to a latent."""

import numpy as np

from studio.errors import StudioError

MAX_SEED = 2**32 - 1


def brief(value) -> str:
    """A value as it is shown in an error, however long it is."""
    try:
        text = repr(value)
    except ValueError:  # Python refuses to write out integers of thousands of digits
        return "a number of thousands of digits"
    text = text.encode("ascii", "backslashreplace").decode() if not text.isprintable() else text
    return text if len(text) <= 60 else text[:57] + "..."


def check_seed(seed) -> int:
    """`seed` as an int in 0..4294967295. Raises StudioError for anything else."""
    number = isinstance(seed, (int, float, np.integer, np.floating)) and not isinstance(seed, bool)
    # The range comes first: it turns NaN, infinity and integers of any length away.
    if not number or not 0 <= seed <= MAX_SEED or int(seed) != seed:
        raise StudioError(f"The seed is {brief(seed)}.", f"A seed is a whole number from 0 to {MAX_SEED}.")
    return int(seed)


def z_from_seed(seed: int, z_dim: int) -> np.ndarray:
    """The latent z (1, z_dim) float32, N(0, 1), of a seed.

    Drawn from NumPy's legacy RandomState, as NVIDIA's tools do: a seed published with a checkpoint gives the
    same picture here. Raises StudioError for a seed outside 0..4294967295.
    """
    return np.random.RandomState(check_seed(seed)).randn(1, z_dim).astype(np.float32)
