import math

import numpy as np
import pytest

from studio.motion.easing import CURVES, EASINGS, eased

X = np.linspace(0, 1, 101)


@pytest.mark.parametrize("name", EASINGS)
def test_an_easing_begins_at_0_and_ends_at_1(name):
    assert eased(name, 0.0) == 0.0
    assert eased(name, 1.0) == 1.0
    assert (eased(name, -3.0), eased(name, 7.0)) == (0.0, 1.0)
    values = EASINGS[name](X)
    assert values.min() >= 0
    assert values.max() <= 1


@pytest.mark.parametrize("name", CURVES)
def test_a_curve_rises_from_0_to_1(name):
    values = CURVES[name](X)
    assert (values[0], values[-1]) == (0.0, 1.0)
    assert (np.diff(values) >= 0).all()


def bounce_of_penner(x: float) -> float:
    if x < 1 / 2.75:
        return 7.5625 * x * x
    if x < 2 / 2.75:
        return 7.5625 * (x - 1.5 / 2.75) ** 2 + 0.75
    if x < 2.5 / 2.75:
        return 7.5625 * (x - 2.25 / 2.75) ** 2 + 0.9375
    return 7.5625 * (x - 2.625 / 2.75) ** 2 + 0.984375


def circle(x: float) -> float:
    return (1 - math.sqrt(1 - (2 * x) ** 2)) / 2 if x < 0.5 else (1 + math.sqrt(1 - (2 - 2 * x) ** 2)) / 2


@pytest.mark.parametrize(
    ("values", "formula"),
    [
        (EASINGS["ease"], lambda x: 3 * x**2 - 2 * x**3),
        (EASINGS["bounce"], bounce_of_penner),
        (EASINGS["circular"], circle),
        (EASINGS["hold"], lambda x: float(x >= 1)),
        (CURVES["exponential"], lambda x: (math.exp(4 * x) - 1) / (math.exp(4) - 1)),
        (CURVES["steps"], lambda x: min(math.floor(4 * x), 3) / 3),
    ],
)
def test_formulas(values, formula):
    assert values(X[:-1]) == pytest.approx([formula(float(x)) for x in X[:-1]], abs=1e-12)
