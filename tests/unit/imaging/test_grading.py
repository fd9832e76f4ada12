import numpy as np
import torch

from studio.imaging.grading import palette_of, with_palette
from studio.imaging.kaleidoscope import kaleidoscope


def test_a_picture_of_few_colours_keeps_exactly_these():
    colours = np.array([[10, 20, 30], [200, 100, 0], [255, 255, 255]], np.uint8)
    picture = colours[np.random.default_rng(0).choice(3, size=(40, 30), p=[0.2, 0.5, 0.3])]
    assert palette_of(picture).tolist() == colours[[1, 2, 0]].tolist()


def test_a_palette_is_what_a_noisy_picture_was_painted_with():
    rng = np.random.default_rng(1)
    colours = np.array([[220, 30, 30], [30, 160, 60], [40, 60, 200], [240, 220, 80]])
    picture = np.clip(colours[rng.choice(4, size=(80, 80), p=[0.4, 0.3, 0.2, 0.1])] + rng.normal(0, 6, (80, 80, 3)), 0, 255)
    found = palette_of(picture.astype(np.uint8), 4)
    assert np.abs(found.astype(int) - colours).max() <= 4, "the most frequent first"


def test_nearest_is_nearest_to_the_eye():
    """Distances are those of Oklab, written out here."""

    def oklab(rgb):
        c = np.array(rgb) / 255
        c = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
        long, medium, short = (
            0.4122214708 * c[0] + 0.5363325363 * c[1] + 0.0514459929 * c[2],
            0.2119034982 * c[0] + 0.6806995451 * c[1] + 0.1073969566 * c[2],
            0.0883024619 * c[0] + 0.2817188376 * c[1] + 0.6299787005 * c[2],
        )
        long, medium, short = np.cbrt([long, medium, short])
        return np.array(
            [
                0.2104542553 * long + 0.7936177850 * medium - 0.0040720468 * short,
                1.9779984951 * long - 2.4285922050 * medium + 0.4505937099 * short,
                0.0259040371 * long + 0.7827717662 * medium - 0.8086757660 * short,
            ]
        )

    rng = np.random.default_rng(2)
    pixels, palette = rng.integers(0, 256, (60, 3)), rng.integers(0, 256, (7, 3)).astype(np.uint8)
    x = torch.from_numpy(pixels.T[None, :, :, None] / 255).float()
    got = (with_palette(x, palette, 1)[0, :, :, 0].T * 255).round().numpy()
    for pixel, colour in zip(pixels, got, strict=True):
        distances = [np.linalg.norm(oklab(pixel) - oklab(c)) for c in palette]
        assert colour.tolist() == palette[int(np.argmin(distances))].tolist()


def test_a_kaleidoscope_is_mirrored_and_turned_into_itself():
    x = torch.randn(1, 2, 64, 64)
    x = torch.nn.functional.avg_pool2d(x, 9, 1, 4)
    y = kaleidoscope(x, 2, 20)
    torch.testing.assert_close(y, y.flip(2), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(y, y.flip(3), atol=1e-4, rtol=1e-4)
    assert not torch.allclose(y, y.transpose(2, 3), atol=1e-2)
    four = kaleidoscope(x, 4, 20)
    torch.testing.assert_close(four, torch.rot90(four, 1, (2, 3)), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(four, four.transpose(2, 3), atol=1e-4, rtol=1e-4)


def test_it_shows_one_wedge_of_the_picture():
    """Pixel by pixel: the angle is folded into the wedge, where the nearest pixel of the source lies."""
    h, w, mirrors, turn = 21, 31, 3, 40
    x = torch.arange(h * w, dtype=torch.float32).reshape(1, 1, h, w)
    smooth = torch.nn.functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
    y = kaleidoscope(smooth, mirrors, turn)[0, 0]
    for i in range(h):
        for j in range(w):
            u, v = j - (w - 1) / 2, (h - 1) / 2 - i
            radius, angle = np.hypot(u, v), np.degrees(np.arctan2(v, u)) % (360 / mirrors)
            angle = np.radians(min(angle, 360 / mirrors - angle) + turn)
            a, b = (h - 1) / 2 - radius * np.sin(angle), radius * np.cos(angle) + (w - 1) / 2
            if 1 < a < h - 2 and 1 < b < w - 2:
                # The source is a plane, w * row + column, that bilinear looks up exactly.
                assert abs(float(y[i, j]) - (w * a + b)) < 0.01
