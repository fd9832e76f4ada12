import math

import numpy as np
import pytest
import torch

from studio.errors import StudioError
from studio.latents.directions import Whitening
from studio.latents.interpolation import lerp, slerp, spline, walk
from studio.latents.layer_ranges import layer_ranges, parse_layers
from studio.latents.mixing import mix_rows
from studio.latents.seeds import check_seed, parse_seeds, z_from_seed


def test_seed_is_the_fields_convention():
    np.testing.assert_array_equal(z_from_seed(85, 512)[0], np.random.RandomState(85).randn(512).astype(np.float32))


@pytest.mark.parametrize("bad", [-1, 2**32, 2**70, 1.5, float("nan"), float("inf"), None, "7", True, [1]])
def test_bad_seeds_are_told(bad):
    with pytest.raises(StudioError, match="A seed is a whole number"):
        check_seed(bad)


def test_seed_lists():
    assert parse_seeds("1-3, 40;7") == [1, 2, 3, 40, 7]
    for bad in ("", "a", "3-1", "1-99999999", "1,,2", "-4", "99999999999"):
        with pytest.raises(StudioError):
            parse_seeds(bad, 100)


@pytest.mark.parametrize("num_ws", [3, 4, 5, 6, 8, 10, 14, 18])
def test_bands_cover_all_layers_once(num_ws):
    ranges = list(layer_ranges(num_ws).values())
    assert [i for low, high in ranges for i in range(low, high)] == list(range(num_ws))
    assert all(low < high for low, high in ranges)


@pytest.mark.parametrize("num_ws", [1, 2])
def test_in_one_or_two_layers_each_band_is_all_of_them(num_ws):
    assert layer_ranges(num_ws) == dict.fromkeys(("coarse", "middle", "fine"), (0, num_ws))
    assert parse_layers("fine", num_ws) == (0, num_ws)


def test_layers_as_people_write_them():
    assert parse_layers("coarse", 10) == (0, 4)
    assert parse_layers("2-5", 10) == (2, 6)
    assert parse_layers("all", 10) == (0, 10)
    for bad in ("what", "5-2", "3-10", ""):
        with pytest.raises(StudioError):
            parse_layers(bad, 10)


def test_mix_rows_by_hand():
    base, a, b = torch.zeros(4, 1), torch.full((4, 1), 1.0), torch.full((4, 1), 10.0)
    got = mix_rows(base, [(a, (0, 2), 0.25), (b, (1, 3), 0.5)])
    torch.testing.assert_close(got[:, 0], torch.tensor([0.25, 5.25, 5.0, 0.0]))
    got = mix_rows(base + 7, [(a, (0, 4), 1.0), (b, (0, 4), 1.0)])
    torch.testing.assert_close(got[:, 0], torch.full((4,), 5.5))
    assert torch.equal(mix_rows(base + 7, [(b, (2, 3), 1.0)])[:, 0], torch.tensor([7.0, 7.0, 10.0, 7.0]))


def test_lerp_by_hand():
    a, b = torch.tensor([[1.0, 0]]), torch.tensor([[0.0, 1]])
    torch.testing.assert_close(lerp(a, b, 0.25), torch.tensor([[0.75, 0.25]]))


def test_walk_meets_its_keyframes():
    keys = [torch.tensor([float(v)]) for v in (0, 1, 4)]
    assert [float(v) for v in walk(keys, 5)] == [0, 0.5, 1, 2.5, 4]
    closed = [float(v) for v in walk(keys, 6, closed=True)]
    assert closed == [0, 0.5, 1, 2.5, 4, 2]
    assert [float(v) for v in walk(keys, 3, smooth=True)] == [0, 1, 4]
    assert [float(v) for v in walk(keys, 6, closed=True, smooth=True)][::2] == [0, 1, 4]
    assert [float(v) for v in walk(keys[:1], 2, closed=True, smooth=True)] == [0, 0]
    assert [float(v) for v in walk(keys[:2], 5, smooth=True)] == [0, 0.25, 0.5, 0.75, 1], "two keyframes: a straight line"


@pytest.mark.parametrize("count", [2, 3, 5])
def test_a_closed_smooth_walk_has_no_corners(count):
    keys = list(torch.randn(count, 7, generator=torch.Generator().manual_seed(count), dtype=torch.float64))
    step = 1e-5
    for place in range(count):  # the last place is where it closes
        here = spline(keys, float(place), closed=True)
        before = spline(keys, (place - step) % count, closed=True)
        after = spline(keys, place + step, closed=True)
        torch.testing.assert_close((here - before) / step, (after - here) / step, atol=1e-3, rtol=0)
        tangent = (keys[(place + 1) % count] - keys[place - 1]) / 2
        torch.testing.assert_close((after - before) / (2 * step), tangent, atol=1e-3, rtol=0)


def test_a_smooth_walk_follows_a_parabola_inside():
    # Central differences are exact on a parabola, so the cubic is the parabola itself.
    keys = [torch.tensor([float(i * i)], dtype=torch.float64) for i in range(5)]
    for place in (1.0, 1.3, 2.5, 2.99):
        assert float(spline(keys, place)) == pytest.approx(place**2)


def test_directions_are_orthonormal_in_the_metric_of_w():
    rng = np.random.default_rng(0)
    mixing = rng.standard_normal((8, 8))
    ws = rng.standard_normal((5000, 8)) @ mixing.T
    directions = Whitening(ws).orthonormal(seed=3, count=5)
    precision = np.linalg.inv(np.cov(ws, rowvar=False))
    np.testing.assert_allclose(directions @ precision @ directions.T, np.eye(5), atol=1e-3)
    assert not np.allclose(directions, Whitening(ws).orthonormal(seed=4, count=5))
    np.testing.assert_allclose(Whitening(ws).orthonormal(seed=3, count=2), directions[:2], atol=1e-6)


def test_directions_of_a_flat_distribution_are_finite():
    ws = np.zeros((100, 4))
    ws[:, 0] = np.random.default_rng(0).standard_normal(100)  # w never leaves one line
    directions = Whitening(ws).orthonormal(seed=0, count=4)
    assert np.isfinite(directions).all()
    assert abs(directions[:, 1:]).max() < 0.01


def test_a_seed_of_thousands_of_digits_is_told_briefly():
    with pytest.raises(StudioError) as e:
        check_seed(10**5000)  # Python itself refuses to write this number out
    assert len(str(e.value)) < 200


def test_slerp_keeps_angles_and_length():
    rng = np.random.default_rng(5)
    a, b = rng.standard_normal((2, 64))
    angle = math.acos(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
    for t in (0.1, 0.5, 0.9):
        found = slerp(torch.from_numpy(a), torch.from_numpy(b), t).numpy()
        length = (1 - t) * np.linalg.norm(a) + t * np.linalg.norm(b)
        assert np.linalg.norm(found) == pytest.approx(length)
        assert math.acos(found @ a / np.linalg.norm(found) / np.linalg.norm(a)) == pytest.approx(t * angle)
        assert math.acos(found @ b / np.linalg.norm(found) / np.linalg.norm(b)) == pytest.approx((1 - t) * angle)


def test_slerp_ends_and_where_there_is_no_circle():
    a = torch.randn(2, 8, generator=torch.Generator().manual_seed(0))
    b = a.flip(0)
    assert slerp(a, b, 0.0) is a
    assert slerp(a, b, 1.0) is b
    assert torch.allclose(slerp(a, 3 * a, 0.5), 2 * a)
    assert torch.isfinite(slerp(a, -a, 0.5)).all()
    assert torch.isfinite(slerp(a, 0 * a, 0.5)).all()
