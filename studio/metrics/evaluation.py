"""Evaluators: every registered metric at once, of a generator against its data or of an upscaler against originals."""

import numpy as np
import torch

from studio.metrics.features import FeatureNet
from studio.metrics.registry import FeatureSet, feature_metrics, pair_metrics


class SetEvaluator:
    """The feature metrics of generated pictures against one set of real pictures, whose features are computed once.

    real: uint8 (N, H, W, 3); at most `most` of them are used, chosen by `seed`.  labels: (N,) class numbers, None = no classes.
    size: side to which pictures are resized for the feature network.  device: where the features are computed.
    """

    def __init__(
        self,
        real: np.ndarray,
        labels: np.ndarray | None = None,
        seed: int = 0,
        most: int = 5000,
        size: int = 128,
        device: str | torch.device = "cpu",
    ):
        self.net, self.seed = FeatureNet(size, device), seed
        rows = np.sort(np.random.default_rng(seed).permutation(len(real))[:most])
        self.real = FeatureSet(self.net.features(np.asarray(real[rows])), None if labels is None else np.asarray(labels)[rows])

    def measure(self, generated: np.ndarray, labels: np.ndarray | None = None, ending: str = "") -> dict[str, float]:
        """Key -> number, as events and config.json have them ('kid', 'kid_sd', 'kid_images').

        generated: uint8 (M, H, W, 3).  labels: (M,) class numbers, None = no classes; metrics that need them are left out then.
        ending: of a direction (`registry.KEY_ENDINGS`), '_b2a' gives 'kid_b2a', 'kid_b2a_sd', 'kid_images'.
        """
        made = FeatureSet(self.net.features(generated), labels)
        out: dict[str, float] = {}
        for metric in feature_metrics():
            if metric.uses_labels and (made.labels is None or self.real.labels is None):
                continue
            value, deviation = metric.compute(self.real, made, self.seed)
            out[f"{metric.name}{ending}"] = value
            if deviation is not None:
                out[f"{metric.name}{ending}_sd"] = deviation
            out[f"{metric.name}_images"] = len(generated)
        return out


class PairEvaluator:
    """The pair metrics of pictures against their originals.

    border: pixels to leave out on each side; the field takes the scale.
    least_side: pixels of the smallest side that any picture has; metrics that need more are left out, as are those whose weights
    are not on this machine, so that every picture is measured by the same.
    """

    def __init__(self, border: int = 0, least_side: int = 1, device: str | torch.device = "cpu"):
        self.border = border
        fit = [m for m in pair_metrics() if m.least_side <= least_side and m.is_available()]
        self.functions = {m.name: m.load(torch.device(device)) for m in fit}

    def measure(self, made: np.ndarray, original: np.ndarray) -> dict[str, float]:
        """Name of the metric -> value. made, original: (H, W, 3) uint8."""
        return {name: function(made, original, self.border) for name, function in self.functions.items()}
