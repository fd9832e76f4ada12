"""Seeds: from a seed to a latent z, and lists of seeds as people write them."""

import re

import numpy as np

from studio.common.text import short_repr
from studio.errors import StudioError

MAX_SEED = 2**32 - 1


def check_seed(seed) -> int:
    """`seed` as an int in 0..4294967295. Raises StudioError for anything else."""
    number = isinstance(seed, (int, float, np.integer, np.floating)) and not isinstance(seed, bool)
    # The range comes first: it turns NaN, infinity and integers of any length away.
    if not number or not 0 <= seed <= MAX_SEED or int(seed) != seed:
        raise StudioError(f"The seed is {short_repr(seed)}.", f"A seed is a whole number from 0 to {MAX_SEED}.")
    return int(seed)


def z_from_seed(seed: int, z_dim: int) -> np.ndarray:
    """The latent z (1, z_dim) float32, N(0, 1), of a seed.

    Drawn from NumPy's legacy RandomState, as NVIDIA's tools do: a seed published with a checkpoint gives the
    same picture here. Raises StudioError for a seed outside 0..4294967295.
    """
    return np.random.RandomState(check_seed(seed)).randn(1, z_dim).astype(np.float32)


def parse_seeds(text: str, most: int = 10_000) -> list[int]:
    """'7', '1,5,9' or '1-25, 40' -> seeds in that order. Raises StudioError for anything else, or more than `most`."""
    seeds: list[int] = []
    for part in str(text).replace(";", ",").split(","):
        found = re.fullmatch(r"\s*(\d{1,12})\s*(?:-\s*(\d{1,12})\s*)?", part)
        if not found:
            raise StudioError(f"'{str(text)[:60]}' is no list of seeds.", "Write numbers and ranges such as 1-9, 12, 40.")
        low, high = int(found[1]), int(found[2] or found[1])
        if low > high:
            raise StudioError(f"The range {low}-{high} runs backwards.", f"Write {high}-{low}.")
        if len(seeds) + high - low + 1 > most:
            raise StudioError(f"'{str(text)[:60]}' is more than {most} seeds.", f"Ask for at most {most}.")
        seeds += [check_seed(s) for s in range(low, high + 1)]
    return seeds
