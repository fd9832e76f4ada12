"""The metrics: each registers once, and Watch, model cards, the Hub's card, the command line and tests ask here.

A metric is a file of its own in this folder that calls `register`; nothing else has to change. Two forms exist: a `FeatureMetric`
compares two sets of pictures by their features, a `PairMetric` compares each picture with its original.

The keys that a metric writes into events and config.json are its name and these endings, which never change:

    kid         the value                       kid_sd      its standard deviation
    kid_b2a     the value of direction B to A   kid_images  generated pictures that were measured
    psnr        the value                       psnr_bicubic  what bicubic interpolation reaches on the same pictures
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from studio.errors import StudioError

Need = Literal["features", "labels", "pairs"]
PairFunction = Callable[[np.ndarray, np.ndarray, int], float]

KEY_ENDINGS = {"": "A to B", "_b2a": "B to A"}  # endings of a feature metric's keys, for models that translate both ways


@dataclass(frozen=True)
class FeatureSet:
    """Features of N pictures of one set.

    features: (N, d) float32.  labels: (N,) class numbers, None = a set without classes.
    """

    features: np.ndarray
    labels: np.ndarray | None = None


@dataclass(frozen=True, kw_only=True)
class Metric:
    """What the studio knows of a metric, whatever it compares. Make a `FeatureMetric` or a `PairMetric`."""

    name: str
    """Key in events and config.json, and the Hub's metric type, e.g. 'kid'."""
    title: str
    """The field's abbreviation, e.g. 'KID'."""
    basis: str
    """What it is computed on, to follow the title: 'on EfficientNet-Lite0 features'."""
    sentence: str
    """Plain words for the screen: 'Distance from your pictures'."""
    better: Literal["lower", "higher"]
    unit: str = ""
    digits: int = 3
    """Decimal places on the screen."""
    exact_digits: int = 4
    """Decimal places on cards and in the terminal."""
    caution: str = ""
    """What to keep in mind when reading the value; shown on cards."""
    order: int = 100
    """Place in lists, smallest first. The best snapshot is chosen by the first metric that was measured."""

    @property
    def needs(self) -> frozenset[Need]:
        raise NotImplementedError

    @property
    def plot_title(self) -> str:
        """Heading of its curve: 'Distance from your pictures (KID)'."""
        return f"{self.sentence} ({self.title}{' in ' + self.unit if self.unit else ''})"

    def text(self, value: float, exact: bool = False) -> str:
        """A value with its unit: '27.31 dB'."""
        return f"{value:.{self.exact_digits if exact else self.digits}f}{' ' + self.unit if self.unit else ''}"

    def sort_key(self, value: float) -> float:
        """Key for sorting values from the best to the worst."""
        return value if self.better == "lower" else -value

    def event_keys(self) -> tuple[str, ...]:
        """Every key in which it may write a number into an event."""
        raise NotImplementedError

    def curves(self) -> tuple[tuple[str, str], ...]:
        """(key, label) of each line in its plot."""
        raise NotImplementedError

    def summary(self, values: Mapping[str, Any]) -> str:
        """A few words for the screen: 'KID 0.213'. The metric must be among `values`."""
        return f"{self.title} {self.text(values[self.name])}"

    def line(self, values: Mapping[str, Any]) -> str:
        """Words for a line in the terminal, with all decimal places."""
        return f"{self.title} {self.text(values[self.name], exact=True)}"

    def card_rows(self, training: Mapping[str, Any]) -> list[tuple[str, str]]:
        """Rows (what, value) of a model card's table, from the figures of a training; none when it was not measured."""
        raise NotImplementedError

    def results(self, training: Mapping[str, Any]) -> list["Result"]:
        """Results for the Hub's model index; none when it was not measured."""
        raise NotImplementedError


@dataclass(frozen=True)
class Result:
    """A measured value as the Hub's model index has it: the metric's type and name, the value, and the data it was measured on."""

    type: str
    name: str
    value: float
    dataset: str


@dataclass(frozen=True, kw_only=True)
class FeatureMetric(Metric):
    """Compares generated pictures with real ones by their features.

    compute: (real, generated, seed) -> (value, standard deviation or None).
    """

    compute: Callable[[FeatureSet, FeatureSet, int], tuple[float, float | None]]
    uses_labels: bool = False
    """Whether both sets must have classes; it is left out where they have none."""

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset({"features", "labels"} if self.uses_labels else {"features"})

    def event_keys(self) -> tuple[str, ...]:
        return tuple(f"{self.name}{ending}{end}" for ending in KEY_ENDINGS for end in ("", "_sd"))

    def curves(self) -> tuple[tuple[str, str], ...]:
        return tuple((self.name + ending, f"{self.title}, {way}" if ending else self.title) for ending, way in KEY_ENDINGS.items())

    def card_rows(self, training: Mapping[str, Any]) -> list[tuple[str, str]]:
        rows = []
        for ending, way in KEY_ENDINGS.items():
            if (key := self.name + ending) not in training:
                continue
            both = f", {way}" if f"{self.name}_b2a" in training else ""
            value = self.text(training[key], exact=True)
            if f"{key}_sd" in training:
                value += f" ± {training[f'{key}_sd']:.{self.exact_digits}f}"
            measured = f"{training[f'{self.name}_images']:,} generated pictures; " if f"{self.name}_images" in training else ""
            caution = f"; {self.caution}" if self.caution else ""
            rows.append((f"{self.title} {self.basis}{both}", f"{value} ({measured}{self.better} is better{caution})"))
        return rows

    def results(self, training: Mapping[str, Any]) -> list[Result]:
        found = []
        for ending, way in KEY_ENDINGS.items():
            if (value := _finite(training.get(self.name + ending))) is not None:
                name = f"{self.title} {self.basis}{', ' + way if ending else ''} ({self.better} is better)"
                found.append(Result(self.name, name, value, "the pictures it was trained on"))
        return found


@dataclass(frozen=True, kw_only=True)
class PairMetric(Metric):
    """Compares a picture with its original.

    load: device -> function of (made, original, border): (H, W, 3) uint8 each -> value; border: pixels to leave out on each side.
    """

    load: Callable[[torch.device], PairFunction]
    is_available: Callable[[], bool] = lambda: True
    """Whether what it needs, such as downloaded weights, is on this machine."""
    least_side: int = 1
    """Pixels a side that a picture must have."""

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset({"pairs"})

    def event_keys(self) -> tuple[str, ...]:
        return self.name, f"{self.name}_bicubic"

    def curves(self) -> tuple[tuple[str, str], ...]:
        return (self.name, "ours"), (f"{self.name}_bicubic", "bicubic")

    def summary(self, values: Mapping[str, Any]) -> str:
        """'PSNR 27.31 dB, 1.20 above bicubic'."""
        words, bicubic = super().summary(values), values.get(f"{self.name}_bicubic")
        if bicubic is None:
            return words
        gain = values[self.name] - bicubic
        return f"{words}, {abs(gain):.{self.digits}f} {'above' if gain >= 0 else 'below'} bicubic"

    def line(self, values: Mapping[str, Any]) -> str:
        words, bicubic = super().line(values), values.get(f"{self.name}_bicubic")
        return words if bicubic is None else f"{words} (bicubic {bicubic:.{self.exact_digits}f})"

    def card_rows(self, training: Mapping[str, Any]) -> list[tuple[str, str]]:
        if self.name not in training:
            return []
        value = self.text(training[self.name], exact=True)
        if f"{self.name}_bicubic" in training:
            value += f"; bicubic {self.text(training[f'{self.name}_bicubic'], exact=True)}"
        held = f"{len(training['held_back'])} pictures held back" if "held_back" in training else "pictures held back"
        return [(f"{self.title} {self.basis} on {held}", f"{value} ({self.better} is nearer to the original)")]

    def results(self, training: Mapping[str, Any]) -> list[Result]:
        value = _finite(training.get(self.name))
        if value is None:
            return []
        unit = f", {self.unit}" if self.unit else ""
        name = f"{self.title} {self.basis} on pictures held back{unit} ({self.better} is better)"
        return [Result(self.name, name, value, "pictures held back from training")]


_metrics: dict[str, Metric] = {}


def register(metric: Metric) -> Metric:
    """Add a metric. Raises ValueError when its name is taken."""
    if metric.name in _metrics:
        raise ValueError(f"metric {metric.name!r} is registered already")
    _metrics[metric.name] = metric
    return metric


def metrics() -> list[Metric]:
    """All metrics in the order of lists."""
    return sorted(_metrics.values(), key=lambda m: (m.order, m.name))


def get_metric(name: str) -> Metric:
    """The metric called `name`. Raises StudioError when there is none."""
    if name not in _metrics:
        raise StudioError(f"There is no metric '{name}'.", f"Choose one of: {', '.join(m.name for m in metrics())}.")
    return _metrics[name]


def feature_metrics() -> list[FeatureMetric]:
    """Metrics that compare two sets of pictures."""
    return [m for m in metrics() if isinstance(m, FeatureMetric)]


def pair_metrics() -> list[PairMetric]:
    """Metrics that compare a picture with its original."""
    return [m for m in metrics() if isinstance(m, PairMetric)]


def read_values(event: Mapping[str, Any]) -> dict[str, float]:
    """Every number of a known metric in an event of a run, or in the training figures of a config.json."""
    return {key: event[key] for m in metrics() for key in m.event_keys() if isinstance(event.get(key), int | float)}


def measured(values: Mapping[str, Any]) -> list[Metric]:
    """The metrics whose value is among `values`, in the order of lists."""
    return [m for m in metrics() if values.get(m.name) is not None]


def deciding(values: Iterable[Mapping[str, Any]]) -> Metric | None:
    """The metric by which the best of several snapshots is chosen; None when none has been measured."""
    found = {m.name for each in values for m in measured(each)}
    return next((m for m in metrics() if m.name in found), None)


def summary(values: Mapping[str, Any]) -> str:
    """What a snapshot reaches, in a few words for the screen; empty when nothing was measured."""
    found = measured(values)
    return found[0].summary(values) if found else ""


def card_rows(training: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Rows (what, value) of a model card's table for all that was measured."""
    return [row for m in metrics() for row in m.card_rows(training)]


def _finite(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
