"""Directions in w to move along."""

import numpy as np


class Whitening:
    """The shape of a model's own w: directions of unit length in it move every picture by about as much.

    ws: (M, w_dim) samples of w, M > 1.
    """

    def __init__(self, ws: np.ndarray):
        ws = np.asarray(ws, dtype=np.float64)
        covariance = np.cov(ws, rowvar=False).reshape(ws.shape[1], ws.shape[1])
        jitter = 1e-6 * max(np.trace(covariance) / len(covariance), 1e-12)
        self.factor = np.linalg.cholesky(covariance + jitter * np.eye(len(covariance)))

    def orthonormal(self, seed: int, count: int) -> np.ndarray:
        """`count` random directions (count, w_dim) float32, orthonormal in the metric of the distribution of w
        (the Mahalanobis metric): a step of strength 1 is one standard deviation. count <= w_dim.
        """
        d = len(self.factor)
        # All d are drawn whatever is asked for, so that the i-th direction of a seed is always the same one.
        q, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((d, d)))
        return (self.factor @ q[:, :count]).T.astype(np.float32)
