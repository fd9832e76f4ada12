"""Choices of a layer's channels: all, a range, a random share, or a cluster of channels that light up alike."""

import re
from collections.abc import Callable

import numpy as np

from studio.common.text import short_repr
from studio.errors import StudioError

ALL = "all"
_RANGE = re.compile(r"([0-9]{1,5})-([0-9]{1,5})")
_SHARE = re.compile(r"random:([0-9]{1,3}):([0-9]{1,10})")
_CLUSTER = re.compile(r"cluster:([0-9]{1,2}):([0-9]{1,2})")
CLUSTER_COUNTS = (4, 8, 16)  # into which a layer can be divided
Clusters = Callable[[int], np.ndarray]  # number of clusters -> the cluster of each channel, (C,)


def check_channels(text: object) -> str:
    """A choice of channels, checked: 'all', 'FIRST-LAST', 'random:PERCENT:SEED' or 'cluster:INDEX:COUNT'. Raises StudioError."""
    if isinstance(text, str):
        if text == ALL:
            return text
        if (found := _RANGE.fullmatch(text)) and int(found[1]) <= int(found[2]):
            return text
        if (found := _SHARE.fullmatch(text)) and 1 <= int(found[1]) <= 100 and int(found[2]) < 2**32:
            return text
        if (found := _CLUSTER.fullmatch(text)) and int(found[1]) < int(found[2]) in CLUSTER_COUNTS:
            return text
    hint = "They are all, 0-7 (first and last), random:30:5 (per cent and seed) or cluster:0:8 (index, of 4, 8 or 16 clusters)."
    raise StudioError(f"The channels of a bend are {short_repr(text)}.", hint)


def chosen_channels(text: str, count: int, clusters: Clusters) -> np.ndarray | None:
    """Indices of the chosen ones of `count` channels, ascending; None = all.  clusters: asked only for a cluster.

    A larger random share of the same seed holds the smaller one. Of a range that which is there counts. Raises StudioError.
    """
    check_channels(text)
    if text == ALL:
        return None
    numbers = [int(n) for n in re.findall(r"\d+", text)]
    if text.startswith("random:"):
        percent, seed = numbers
        share = max(1, round(count * percent / 100))
        return np.sort(np.random.RandomState(seed).permutation(count)[:share])
    if text.startswith("cluster:"):
        index, number = numbers
        return np.flatnonzero(clusters(number) == index)
    first, last = numbers
    if first >= count:
        raise StudioError(f"The layer has {count} channels, counted from 0.", f"Choose others than {text}.")
    return np.arange(first, min(last + 1, count))


def clusters_of(text: str) -> int | None:
    """Into how many clusters the layer of a choice of channels is divided; None when it names no cluster."""
    found = _CLUSTER.fullmatch(text)
    return int(found[2]) if found else None


def channel_features(maps: np.ndarray) -> np.ndarray:
    """What k-means compares: where each channel is strong, over many pictures.

    maps: (N, C, H, W) -> (C, N*H*W) float64, each channel with mean 0 and length 1 (one that is constant stays 0).
    """
    rows = np.moveaxis(np.asarray(maps, np.float64), 1, 0).reshape(maps.shape[1], -1)
    rows = rows - rows.mean(axis=1, keepdims=True)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(length > 0, length, 1)
