import math

import numpy as np
import pytest
import torch
from PIL import Image

from studio.training.data.degradation import MODES, bicubic, blur, degrade, draw_kernel, gaussian_kernel, jpeg, sinc_kernel
from studio.training.randomness import generator


def rngs(count: int, seed: int = 0) -> list[torch.Generator]:
    return [generator(seed, "degrade", i) for i in range(count)]


def picture(side: int = 48) -> torch.Tensor:
    """Smooth waves in three channels."""
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    return torch.stack([(torch.sin(x / 5 + k) * torch.cos(y / 7 - k) + 1) / 2 for k in range(3)])[None]


@pytest.mark.parametrize("size", [(16, 16), (12, 24), (96, 144), (31, 50)])
def test_bicubic_is_pillows_within_the_picture(size):
    x = torch.rand(1, 1, 48, 48)
    wanted = np.asarray(Image.fromarray(x[0, 0].numpy()).resize(size[::-1], Image.BICUBIC))
    found = bicubic(x, *size)[0, 0].numpy()
    edge = [2 + max(1, round(2 * s / 48)) for s in size]
    inner = np.s_[edge[0] : -edge[0], edge[1] : -edge[1]]
    np.testing.assert_allclose(found[inner], wanted[inner], atol=2e-6)


def test_bicubic_mirrors_the_picture_at_its_borders():
    x = torch.rand(1, 3, 24, 16)
    mirrored = torch.cat([x.flip(2), x, x.flip(2)], dim=2)
    mirrored = torch.cat([mirrored.flip(3), mirrored, mirrored.flip(3)], dim=3)
    torch.testing.assert_close(bicubic(x, 6, 4), bicubic(mirrored, 18, 12)[..., 6:12, 4:8])
    assert torch.allclose(bicubic(torch.full((1, 3, 9, 9), 0.3), 20, 4), torch.tensor(0.3), atol=1e-6)


def test_cubic_weights_by_hand():
    """Twice the size: the new pixels lie a quarter beside the old ones (Keys 1981, a = -0.5)."""
    x = torch.zeros(1, 1, 1, 9)
    x[..., 4] = 1
    found = bicubic(x, 1, 18)[0, 0, 0]
    weights = [-0.0234375, -0.0703125, 0.2265625, 0.8671875]
    np.testing.assert_allclose(found[5:13].numpy(), weights + weights[::-1], atol=1e-7)


@pytest.mark.parametrize("mode", MODES)
def test_small_pictures_are_files_of_8_bits_and_hang_on_their_generator_alone(mode):
    x = picture().expand(4, -1, -1, -1)
    small = degrade(x, 4, mode, rngs(4))
    assert small.shape == (4, 3, 12, 12)
    assert small.min() >= 0
    assert small.max() <= 1
    assert torch.allclose(small * 255, (small * 255).round(), atol=1e-3)
    assert torch.equal(small, degrade(x, 4, mode, rngs(4)))
    assert torch.equal(small[2:], degrade(x[2:], 4, mode, rngs(4)[2:])), "one picture hangs on no other"
    if mode == "real":
        assert len({t.numpy().tobytes() for t in small}) == 4
        assert not torch.equal(small, degrade(x, 4, mode, rngs(4, seed=1)))


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_the_real_pipeline_holds_for_every_draw(scale):
    """Worn, but the same picture: it stays nearer to its original than to the negative of it."""
    x = picture(48)
    clean = bicubic(x, 48 // scale, 48 // scale)
    errors = []
    for rng in rngs(25):
        small = degrade(x, scale, "real", [rng])
        assert small.shape == clean.shape
        assert small.isfinite().all()
        assert small.min() >= 0
        assert small.max() <= 1
        errors.append(float((small - clean).abs().mean()))
        assert errors[-1] < float((small - (1 - clean)).abs().mean())
    assert 0.01 < np.mean(errors) < 0.2


def test_kernels():
    for seed in range(60):
        kernel = draw_kernel(generator(seed, "kernel"), (0.2, 3.0), (0.5, 4.0), (1.0, 2.0))
        assert kernel.shape[0] == kernel.shape[1] in range(7, 22, 2)
        assert float(kernel.sum()) == pytest.approx(1, abs=1e-5)
        assert torch.allclose(kernel, kernel.flip(0, 1), atol=1e-6), "even about its middle"
    offsets = torch.arange(21.0) - 10
    for s1, s2, angle in ((2.0, 2.0, 0.0), (2.5, 1.0, 0.0), (2.5, 1.0, math.pi / 2)):
        kernel = gaussian_kernel(21, s1, s2, angle)
        along_x, along_y = ((kernel.sum(dim=d) * offsets**2).sum().sqrt() for d in (0, 1))
        wanted = (s1, s2) if angle == 0 else (s2, s1)
        assert (float(along_x), float(along_y)) == pytest.approx(wanted, rel=0.02)
    # Half of the height of a plateau of exponent b lies one sigma out, whatever b.
    flat = gaussian_kernel(21, 4.0, 4.0, beta=2.0, flat=True)
    assert float(flat[10, 14] / flat[10, 10]) == pytest.approx(0.5)


def test_a_sinc_lets_slow_waves_pass_and_stops_fast_ones():
    x = torch.arange(200.0)
    kernel = sinc_kernel(21, math.pi / 3)
    for frequency, low, high in ((math.pi / 8, 0.9, 1.1), (0.9 * math.pi, 0.0, 0.1)):
        wave = torch.sin(frequency * x).expand(1, 1, 60, -1)
        gain = blur(wave, kernel)[..., 20:40, 20:-20].std() / wave[..., 20:-20].std()
        assert low <= float(gain) <= high


def test_jpeg_of_low_quality_is_further_away():
    x = picture()
    errors = [float((jpeg(x, quality) - x).abs().mean()) for quality in (95, 60, 30)]
    assert errors[0] < errors[1] < errors[2] < 0.1
