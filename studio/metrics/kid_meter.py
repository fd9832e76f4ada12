"""Measure a generator against its data while it trains."""

import numpy as np
import torch

from studio.metrics.features import FeatureNet
from studio.metrics.kid import kid


class KidMeter:
    """KID against one set of real pictures, whose features are computed once.

    real: uint8 (N, H, W, 3); at most `most` of them are used, chosen by `seed`.  device: where the features are computed.
    """

    def __init__(self, real: np.ndarray, seed: int = 0, most: int = 5000, size: int = 128, device: str | torch.device = "cpu"):
        self.net, self.seed = FeatureNet(size, device), seed
        rows = np.sort(np.random.default_rng(seed).permutation(len(real))[:most])
        self.real = self.net.features(np.asarray(real[rows]))

    def measure(self, fake: np.ndarray) -> tuple[float, float]:
        """fake: uint8 (M, H, W, 3) -> (mean, standard deviation) of KID."""
        return kid(self.real, self.net.features(fake), seed=self.seed)
