"""Kernel inception distance (Binkowski 2018, "Demystifying MMD GANs", Sec. 4), by torchmetrics, on the studio's features."""

import warnings

import numpy as np
import torch

from studio.errors import StudioError
from studio.metrics.registry import FeatureMetric, FeatureSet, register


def kid(real: np.ndarray, fake: np.ndarray, subset_size: int = 1000, subsets: int = 20, seed: int = 0) -> tuple[float, float]:
    """Mean and standard deviation, over random subsets, of the unbiased squared maximum mean discrepancy with the kernel
    k(a, b) = (a . b / d + 1)^3. Lower is better, 0 = the same distribution; it can be slightly negative, being unbiased.

    real: (N, d), fake: (M, d) features, float32 or float64.  seed: of the subsets.
    Raises StudioError with fewer than 2 pictures on a side.
    """
    size = min(subset_size, len(real), len(fake))
    if size < 2:
        raise StudioError("KID needs at least two pictures on each side.", "Add pictures.")
    # torchmetrics takes seconds to import, and draws its subsets from torch's global generator: here it is handed each
    # subset by itself, drawn by numpy from the seed, so that one seed gives one figure and no one else's numbers move.
    from torchmetrics.image.kid import KernelInceptionDistance

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns that it keeps the features, which is what is wanted
        # The features are computed already, once for all metrics; its own feature module has nothing left to do.
        metric = KernelInceptionDistance(feature=torch.nn.Identity(), subsets=1, subset_size=size)
    rng, values = np.random.default_rng(seed), []
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # it shuffles each subset: the same way each time, to the last bit
        for _ in range(subsets):
            for features, is_real in ((real, True), (fake, False)):
                rows = rng.choice(len(features), size, replace=False)
                metric.update(torch.from_numpy(features[rows].astype(np.float64)), real=is_real)
            values.append(float(metric.compute()[0]))
            metric.reset()
    return float(np.mean(values)), float(np.std(values))


def _compute(real: FeatureSet, generated: FeatureSet, seed: int) -> tuple[float, float]:
    return kid(real.features, generated.features, seed=seed)


KID = register(
    FeatureMetric(
        name="kid",
        title="KID",
        basis="on EfficientNet-Lite0 features",
        sentence="Distance from your pictures",
        better="lower",
        exact_digits=5,
        caution="not comparable with published figures on Inception features",
        order=10,
        compute=_compute,
    )
)
