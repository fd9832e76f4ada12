"""Each operation against a plain, slow one written out pixel by pixel."""

import math

import numpy as np
import pytest
import torch

from studio.latents.bending import OPERATIONS, bend, gaussian

H, W = 7, 9
RNG = np.random.default_rng(0)
MAPS = torch.from_numpy(RNG.normal(size=(2, 3, H, W)).astype(np.float32))


def looked_up(x, where):
    """(H, W) -> (H, W): the value at where(x, y) for each pixel, in pixels from the middle (right, down); bilinear, 0 outside."""
    out = np.zeros_like(x)
    h, w = x.shape
    for i in range(h):
        for j in range(w):
            u, v = where(j - (w - 1) / 2, i - (h - 1) / 2)
            u, v = u + (w - 1) / 2, v + (h - 1) / 2
            for a in (math.floor(v), math.floor(v) + 1):
                for b in (math.floor(u), math.floor(u) + 1):
                    if 0 <= a < h and 0 <= b < w:
                        out[i, j] += x[a, b] * (1 - abs(v - a)) * (1 - abs(u - b))
    return out


def turned(x, degrees):
    """Content at (u, v) goes to (u cos + v sin, -u sin + v cos): against the clock, as y points down."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return looked_up(x, lambda u, v: (u * c - v * s, u * s + v * c))


def largest(x, radius):
    return np.array(
        [[x[max(0, i - radius) : i + radius + 1, max(0, j - radius) : j + radius + 1].max() for j in range(W)] for i in range(H)]
    )


def weighed(x, taps):
    """(H, W) with taps (k, k) laid over each pixel; beyond an edge its last pixel goes on."""
    r = len(taps) // 2
    clamped = lambda i, j: x[min(max(i, 0), H - 1), min(max(j, 0), W - 1)]  # noqa: E731
    return np.array(
        [
            [sum(taps[a][b] * clamped(i + a - r, j + b - r) for a in range(len(taps)) for b in range(len(taps))) for j in range(W)]
            for i in range(H)
        ]
    )


def blurred(x, sigma):
    r = math.ceil(3 * sigma)
    line = np.array([math.exp(-(i**2) / (2 * sigma**2)) for i in range(-r, r + 1)])
    return weighed(x, np.outer(line, line) / line.sum() ** 2)


def edges(x):
    across = weighed(x, np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 8)
    down = weighed(x, np.array([[-1, -2, -1], [0, 0, 0], [1, 2, 1]]) / 8)
    return np.sqrt(across**2 + down**2)


def two_values(x, level):
    above = x > x.mean() + level * x.std()
    out = np.where(above, x[above].mean() if above.any() else 0, 0)
    return np.where(~above, x[~above].mean() if (~above).any() else 0, out)


REFERENCES = [
    ("rotate", 30, lambda x: turned(x, 30)),
    ("rotate", -100, lambda x: turned(x, -100)),
    ("scale", 1.5, lambda x: looked_up(x, lambda u, v: (u / 1.5, v / 1.5))),
    ("scale", 0.4, lambda x: looked_up(x, lambda u, v: (u / 0.4, v / 0.4))),
    ("translate_x", 0.25, lambda x: looked_up(x, lambda u, v: (u - 0.25 * W, v))),
    ("translate_y", -0.3, lambda x: looked_up(x, lambda u, v: (u, v + 0.3 * H))),
    ("flip_x", 1, lambda x: x[:, ::-1]),
    ("flip_x", 0.25, lambda x: 0.75 * x + 0.25 * x[:, ::-1]),
    ("flip_y", 1, lambda x: x[::-1]),
    ("dilate", 1, lambda x: largest(x, 1)),
    ("dilate", 2.25, lambda x: 0.75 * largest(x, 2) + 0.25 * largest(x, 3)),
    ("dilate", 30, lambda x: np.full_like(x, x.max())),
    ("erode", 2, lambda x: -largest(-x, 2)),
    ("blur", 0.8, lambda x: blurred(x, 0.8)),
    ("blur", 6, lambda x: blurred(x, 6)),
    ("sharpen", 2, lambda x: 3 * x - 2 * blurred(x, 1)),
    ("sobel", 1, edges),
    ("sobel", 0.5, lambda x: (x + edges(x)) / 2),
    ("threshold", 0.5, lambda x: two_values(x, 0.5)),
    ("threshold", 50, lambda x: np.full_like(x, x.mean())),
    ("invert", 1, lambda x: 1 - x),
    ("invert", 0.25, lambda x: 0.5 * x + 0.25),
    ("multiply", -2, lambda x: -2 * x),
    ("add", 0.5, lambda x: x + 0.5),
    ("ablate", 1, np.zeros_like),
    ("ablate", 0.25, lambda x: 0.75 * x),
]


@pytest.mark.parametrize(("name", "amount", "reference"), REFERENCES)
def test_an_operation_is_what_it_is_written_out(name, amount, reference):
    expected = np.stack([[reference(x.astype(np.float64)) for x in maps] for maps in MAPS.numpy()])
    got = bend(MAPS, OPERATIONS[name], amount)
    np.testing.assert_allclose(got.numpy(), expected, atol=2e-5, rtol=1e-5)


def test_every_operation_on_maps_has_a_reference():
    assert {name for name, _, _ in REFERENCES} == {o.name for o in OPERATIONS.values() if o.apply is not None}


def test_a_quarter_turn_of_a_square_is_exact():
    x = MAPS[:, :, :, :H]
    torch.testing.assert_close(bend(x, OPERATIONS["rotate"], 90), torch.rot90(x, 1, (2, 3)), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "operation", [o for o in OPERATIONS.values() if o.apply is not None and o.neutral is not None], ids=lambda o: o.name
)
def test_the_neutral_amount_changes_nothing(operation):
    torch.testing.assert_close(bend(MAPS, operation, operation.neutral), MAPS, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(bend(MAPS, operation, operation.start), MAPS, atol=1e-3)


@pytest.mark.parametrize("operation", [o for o in OPERATIONS.values() if o.apply is not None], ids=lambda o: o.name)
def test_extremes_stay_finite_and_shapes_stay(operation):
    for amount in operation.bounds:
        for x in (MAPS, MAPS[:, :, :1, :1], MAPS.to(torch.bfloat16), torch.zeros(1, 2, 4, 4)):
            y = bend(x, operation, amount)
            assert (y.shape, y.dtype) == (x.shape, x.dtype)
            assert torch.isfinite(y).all()


def test_only_the_chosen_channels_change():
    before = MAPS.clone()
    got = bend(MAPS, OPERATIONS["invert"], 1, torch.tensor([0, 2]))
    assert torch.equal(got[:, 1], MAPS[:, 1])
    torch.testing.assert_close(got[:, [0, 2]], 1 - MAPS[:, [0, 2]])
    assert torch.equal(MAPS, before)
    assert torch.equal(bend(MAPS, OPERATIONS["invert"], 1, torch.tensor([], dtype=torch.long)), MAPS)


def test_vectors_are_changed_by_value():
    x = torch.randn(2, 5)
    torch.testing.assert_close(bend(x, OPERATIONS["multiply"], 3, torch.tensor([4])), torch.cat([x[:, :4], 3 * x[:, 4:]], dim=1))


def test_controls_stay_within_what_recipes_may_hold():
    for o in OPERATIONS.values():
        assert o.bounds[0] <= o.low <= o.start <= o.high <= o.bounds[1], o.name
        assert o.neutral is None or o.low <= o.neutral <= o.high, o.name
        assert o.neutral != o.start, o.name
    assert len(gaussian(OPERATIONS["blur"].bounds[1])) < 200
