import math

import pytest
import torch

from studio.errors import StudioError
from studio.training.augment import (
    AdaController,
    AugmentPipe,
    DiffAugment,
    _reflect,
    _rotation,
    _rotation_about_grey,
    _scale,
    _translation,
    make_augment,
    warp,
)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def smooth(n=2, size=16):
    """Pictures without high frequencies, so that resampling them loses next to nothing."""
    y, x = torch.meshgrid(torch.arange(size) / size, torch.arange(size) / size, indexing="ij")
    base = torch.stack([torch.sin(3 * x + y), torch.cos(2 * y), x * y])
    return torch.stack([base * (i + 1) / n for i in range(n)]).float()


def test_nothing_happens_at_p_zero():
    x = torch.randn(4, 3, 16, 16)
    assert AugmentPipe("bgc")(x, rng()) is x


@pytest.mark.parametrize("kind", ["diffaugment", "ada"])
def test_the_generator_decides(kind):
    pipe = make_augment(kind)
    if kind == "ada":
        pipe.p.fill_(0.9)
    x = torch.randn(8, 3, 16, 16)
    assert torch.equal(pipe(x, rng(3)), pipe(x, rng(3)))
    assert not torch.equal(pipe(x, rng(3)), pipe(x, rng(4)))
    assert pipe(x, rng()).shape == x.shape


def test_blits_only_move_pixels():
    x = torch.arange(64.0).reshape(1, 1, 8, 8).expand(64, 3, 8, 8).contiguous()
    pipe = AugmentPipe("b")
    pipe.p.fill_(1.0)
    out = pipe(x, rng())
    assert set(out.unique().tolist()) <= set(range(64))
    turned = {tuple(map(tuple, torch.rot90(f, k, [0, 1]).tolist())) for k in range(4) for f in (x[0, 0], x[0, 0].flip(1))}
    assert any(tuple(map(tuple, o[0].tolist())) in turned for o in out), "some draws shift by nothing"


def test_reflect_indices():
    assert _reflect(torch.arange(-3, 7), 4).tolist() == [3, 2, 1, 0, 1, 2, 3, 2, 1, 0]


def test_warp_by_the_identity_and_by_a_quarter_turn():
    x, taps = smooth(), AugmentPipe("g").taps
    eye = torch.eye(3).repeat(2, 1, 1)
    torch.testing.assert_close(warp(x, eye, taps), x, atol=5e-3, rtol=0)
    quarter = _rotation(torch.full((2,), math.pi / 2))
    turned = warp(x, quarter, taps)
    inner = (slice(None), slice(None), slice(2, -2), slice(2, -2))
    best = min(float((turned - x.rot90(k, [2, 3]))[inner].abs().max()) for k in (1, 3))
    assert best < 8e-2  # the filter is not quite symmetric: after a turn a quarter of a pixel remains


def test_warp_shifts_by_whole_pixels():
    x, taps = smooth(1), AugmentPipe("g").taps
    shifted = warp(x, _translation(torch.tensor([-2.0]), torch.tensor([0.0])), taps)
    torch.testing.assert_close(shifted[..., 4:-2], x[..., 2:-4], atol=1e-2, rtol=0)


def test_matrices_by_hand():
    p = torch.tensor([[1.0], [2.0], [1.0]])
    angle = torch.tensor([math.pi / 2])
    torch.testing.assert_close(_rotation(angle)[0] @ p, torch.tensor([[2.0], [-1.0], [1.0]]))
    torch.testing.assert_close(_scale(torch.tensor([2.0]), torch.tensor([3.0]))[0] @ p, torch.tensor([[2.0], [6.0], [1.0]]))
    third = _rotation_about_grey(torch.tensor([2 * math.pi / 3]))[0]
    torch.testing.assert_close(third @ torch.tensor([1.0, 0, 0, 1]), torch.tensor([0.0, 1, 0, 1]), atol=1e-6, rtol=0)


def test_hue_and_saturation_keep_grey_grey():
    pipe = AugmentPipe("c")
    pipe.p.fill_(1.0)
    grey = torch.full((16, 3, 4, 4), 0.3)
    out = pipe(grey, rng())
    torch.testing.assert_close(out, out.mean(dim=1, keepdim=True).expand_as(out), atol=1e-5, rtol=0)


def test_share_of_changed_pictures_follows_p():
    pipe = AugmentPipe("c")
    pipe.p.fill_(0.1)
    x = torch.rand(2000, 3, 2, 2)
    changed = ((pipe(x, rng()) - x).abs().amax(dim=[1, 2, 3]) > 1e-6).float().mean()
    expected = 1 - 0.9**4 * 0.95  # brightness, contrast, hue, saturation at p, the flip of luma at p / 2
    assert abs(float(changed) - expected) < 0.04


def test_second_derivatives_are_right():
    x = torch.randn(1, 1, 5, 5, dtype=torch.double, requires_grad=True)
    inverse = _rotation(torch.tensor([0.4])).double()
    taps = AugmentPipe("g").taps.double()

    def f(x):
        return warp(x, inverse, taps).pow(3)

    assert torch.autograd.gradcheck(lambda x: warp(x, inverse, taps), x)
    assert torch.autograd.gradgradcheck(f, x)


def test_diffaugment_cutout_and_translation():
    x = torch.ones(64, 3, 16, 16)
    holes = (DiffAugment("cutout")(x, rng()) == 0).float().mean(dim=[1, 2, 3])
    assert float(holes.min()) > 0
    assert float(holes.max()) == pytest.approx(64 / 256)
    moved = DiffAugment("translation")(x, rng())
    assert set(moved.unique().tolist()) == {0.0, 1.0}
    assert float(moved.mean()) > 0.7


def test_diffaugment_color_keeps_the_mean_up_to_brightness():
    x = torch.rand(8, 3, 8, 8)
    out = DiffAugment("color")(x, rng())
    assert float((out.mean(dim=[1, 2, 3]) - x.mean(dim=[1, 2, 3])).abs().max()) <= 0.5


@pytest.mark.parametrize(("kind", "policy"), [("what", ""), ("ada", "bgx"), ("diffaugment", "colour")])
def test_unknown_names_are_told(kind, policy):
    with pytest.raises(StudioError):
        make_augment(kind, policy)


def test_controller_by_hand():
    ada = AdaController(p=0.0, target=0.6, kimg=100, interval=2)
    assert ada.update(10, 10, 500) == 0.0
    assert ada.update(10, 10, 500) == pytest.approx(0.01)  # 1000 pictures of 100,000
    ada.update(0, 10, 500)
    state = ada.state_dict()
    assert ada.update(0, 10, 500) == 0.0
    again = AdaController(target=0.6, kimg=100, interval=2)
    again.load_state_dict(state)
    assert again.update(0, 10, 500) == 0.0
    assert AdaController(p=0.999, kimg=0.1, interval=1).update(10, 10, 500) == 1.0
