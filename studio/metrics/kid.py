"""Kernel inception distance (Binkowski 2018, "Demystifying MMD GANs", Sec. 4)."""

import numpy as np

from studio.errors import StudioError


def mmd2(x: np.ndarray, y: np.ndarray) -> float:
    """Unbiased squared maximum mean discrepancy with the kernel k(a, b) = (a . b / d + 1)^3.

    x: (m, d), y: (n, d), m and n at least 2.  Can be slightly negative, being unbiased.
    """
    x, y = x.astype(np.float64), y.astype(np.float64)
    d, m, n = x.shape[1], len(x), len(y)
    k_xx = (x @ x.T / d + 1) ** 3
    k_yy = (y @ y.T / d + 1) ** 3
    k_xy = (x @ y.T / d + 1) ** 3
    within = (k_xx.sum() - np.trace(k_xx)) / (m * (m - 1)) + (k_yy.sum() - np.trace(k_yy)) / (n * (n - 1))
    return float(within - 2 * k_xy.mean())


def kid(real: np.ndarray, fake: np.ndarray, subset_size: int = 1000, subsets: int = 20, seed: int = 0) -> tuple[float, float]:
    """Mean and standard deviation of `mmd2` over random subsets. Lower is better, 0 = alike.

    real: (N, d), fake: (M, d) features.  Raises StudioError with fewer than 2 pictures on a side.
    """
    size = min(subset_size, len(real), len(fake))
    if size < 2:
        raise StudioError("KID needs at least two pictures on each side.", "Add pictures.")
    rng = np.random.default_rng(seed)
    values = [
        mmd2(real[rng.choice(len(real), size, replace=False)], fake[rng.choice(len(fake), size, replace=False)]) for _ in range(subsets)
    ]
    return float(np.mean(values)), float(np.std(values))
