"""k-means: rows of numbers divided into clusters."""

import numpy as np


def k_means(rows: np.ndarray, count: int, seed: int = 0, rounds: int = 50) -> np.ndarray:
    """The cluster of each row, (R,) in [0, count), the largest cluster first. Lloyd 1982, begun as k-means++ (Arthur 2007).

    rows: (R, D). With fewer rows than `count` each is a cluster of its own.
    """
    if len(rows) <= count:
        return np.arange(len(rows))
    rng = np.random.RandomState(seed)
    centres = rows[[rng.randint(len(rows))]]
    while len(centres) < count:
        nearest = _distances(rows, centres).min(axis=1)
        total = nearest.sum()
        share = nearest / total if total > 0 else np.full(len(rows), 1 / len(rows))
        centres = np.concatenate([centres, rows[[rng.choice(len(rows), p=share)]]])
    labels = np.full(len(rows), -1)
    for _ in range(rounds):
        new = _distances(rows, centres).argmin(axis=1)
        if (new == labels).all():
            break
        labels = new
        for k in range(count):
            if (labels == k).any():  # a centre that lost all its rows stays where it was
                centres[k] = rows[labels == k].mean(axis=0)
    sizes = np.bincount(labels, minlength=count)
    rank = np.empty(count, int)
    rank[np.argsort(-sizes, kind="stable")] = np.arange(count)
    return rank[labels]


def _distances(rows: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Squared distances (R, K)."""
    squares = (rows**2).sum(axis=1)[:, None] - 2 * rows @ centres.T + (centres**2).sum(axis=1)
    return np.maximum(squares, 0)
