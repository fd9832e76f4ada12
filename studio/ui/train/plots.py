"""Plots of the Watch page: metrics of the snapshots, and curves of the training itself (losses, augmentation, time, memory)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
import pandas as pd

from studio.metrics.registry import Metric
from studio.training.run_history import Snapshot

_MAX_POINTS = 300
_COLUMNS = ["kimg", "value", "curve"]


@dataclass(frozen=True)
class CurvePlot:
    """A plot of values that a training reports at each step.

    curves: (key in the events, label of the line).  better: 'lower', or '' when neither is.  scale: factor for all values.
    """

    title: str
    curves: tuple[tuple[str, str], ...]
    better: str = ""
    scale: float = 1.0


CURVE_PLOTS = (
    CurvePlot("Losses of the two networks", (("loss_g", "generator (draws)"), ("loss_d", "discriminator (judges)"))),
    CurvePlot(
        "What must be preserved",
        (
            ("cycle", "there and back again (cycle)"),
            ("identity", "left as it is (identity)"),
            ("nce", "same content in each place (NCE)"),
            ("l1", "distance to the target (L1)"),
            ("mse", "distance to the target (squared)"),
        ),
        "lower",
    ),
    CurvePlot("Difference as a network sees it (perceptual loss)", (("perceptual", "perceptual loss"),), "lower"),
    CurvePlot(
        "Overfitting (ADA p, sign of D)",
        (("ada_p", "strength (ADA p)"), ("real_sign", "sign on real"), ("fake_sign", "sign on fake")),
    ),
    CurvePlot("Distance by the critic (Wasserstein)", (("wasserstein", "the critic's estimate"),), "lower"),
)
RESOURCE_PLOTS = (
    CurvePlot("Hours of training", (("hours", "hours"),)),
    CurvePlot("Memory in MB", (("memory", "MB"),), scale=2.0**-20),
)


def curve_plot(plot: CurvePlot) -> gr.LinePlot:
    """A hidden component for a plot of curves."""
    return _line_plot(plot.title, plot.better, color="curve" if len(plot.curves) > 1 else None)


def metric_plot(metric: Metric) -> gr.LinePlot:
    """A hidden component for a metric of the snapshots."""
    return _line_plot(metric.plot_title, metric.better, elem_id=f"train-{metric.name}")


def _line_plot(title: str, better: str, **kwargs: Any) -> gr.LinePlot:
    y_title = f"{better} is better" if better else " "
    return gr.LinePlot(
        x="kimg",
        y="value",
        title=title,
        x_title="thousands (kimg)",
        y_title=y_title,
        color_title=" ",
        height=200,
        visible=False,
        **kwargs,
    )


def metric_update(metric: Metric, snapshots: Sequence[Snapshot]) -> dict[str, Any]:
    """The plot of a metric, once two snapshots were measured; one line per key, such as ours and bicubic's."""
    lines = [(key, label) for key, label in metric.curves() if any(key in s.values for s in snapshots)]
    rows = [(s.kimg, s.values[key], label) for s in snapshots for key, label in lines if key in s.values]
    frame = pd.DataFrame(rows, columns=_COLUMNS)
    limits = _limits(frame) if metric.better == "higher" else None
    return gr.update(value=frame, visible=len(frame) > len(lines), color="curve" if len(lines) > 1 else None, y_lim=limits)


def curve_update(plot: CurvePlot, curves: Mapping[str, Sequence[tuple[float, float]]]) -> dict[str, Any]:
    """The plot of curves, once there are some points; each is thinned to 300 points or so."""
    rows = []
    for key, label in plot.curves:
        points = curves.get(key, ())
        step = max(1, len(points) // _MAX_POINTS)
        rows += [(float(x), float(y) * plot.scale, label) for x, y in points[::step]]
    return gr.update(value=pd.DataFrame(rows, columns=_COLUMNS), visible=len(rows) > 2)


def _limits(frame: pd.DataFrame) -> list[float] | None:
    """Limits of the y axis slightly beyond the values: on an axis from zero, lines that are close would look like one."""
    values = [float(value) for value in frame["value"]]
    if not values:
        return None
    low, high = min(values), max(values)
    margin = 0.1 * (high - low) or 0.01 * abs(high) or 1.0
    return [low - margin, high + margin]
