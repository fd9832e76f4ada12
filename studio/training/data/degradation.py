"""Degradation: how pictures are made small for an upscaler to learn from, by clean bicubic or like pictures in the wild.

'bicubic' is the choice of the papers up to ESRGAN: faithful enlargement of clean pictures. 'real' is the second-order pipeline of
Real-ESRGAN (Wang 2021, Sec. 3) with its numbers (Sec. 4.1): for pictures that were blurred, resized and compressed before.
All draws come from the generators that are passed in.
"""

import functools
import io
import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

MODES = {
    "bicubic": "Made small by clean bicubic: the upscaler stays faithful to clean pictures.",
    "real": "Blurred, resized, noisy and compressed, twice: the upscaler also restores degraded pictures.",
}
_REACH = 32  # pixels around a patch that the kernels of 'real' may reach

# -- bicubic -----------------------------------------------------------------------------------------------------------


def bicubic(x: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Bicubic resize (N, C, H, W) -> (N, C, height, width) like MATLAB's imresize, without rounding or clamping.

    Cubic convolution with a = -0.5 (Keys 1981, Eq. 15), stretched when the picture gets smaller, so that nothing aliases; the picture
    is mirrored at its borders. Away from them it equals Pillow's BICUBIC.
    """
    rows, columns = _weights(x.shape[2], height).to(x), _weights(x.shape[3], width).to(x)
    return rows @ (x @ columns.T)


@functools.lru_cache(maxsize=64)
def _weights(size: int, out: int) -> torch.Tensor:
    """(out, size): the weight of each old pixel in each new one."""
    scale = out / size
    stretch = max(1.0, 1 / scale)
    centres = (np.arange(out) + 0.5) / scale - 0.5
    reach = 2 * stretch
    taps = np.floor(centres - reach)[:, None] + np.arange(math.ceil(2 * reach) + 2)
    weights = _cubic((taps - centres[:, None]) / stretch)
    weights /= weights.sum(axis=1, keepdims=True)
    mirrored = taps.astype(np.int64) % (2 * size)
    mirrored = np.where(mirrored < size, mirrored, 2 * size - 1 - mirrored)
    matrix = np.zeros((out, size))
    np.add.at(matrix, (np.arange(out)[:, None], mirrored), weights)
    return torch.from_numpy(matrix).float()


def _cubic(x: np.ndarray) -> np.ndarray:
    x = abs(x)
    return np.where(x <= 1, 1.5 * x**3 - 2.5 * x**2 + 1, np.where(x < 2, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2, 0.0))


def rounded(x: torch.Tensor) -> torch.Tensor:
    """Rounded to 8 bits, in [0, 1], because low-resolution pictures come from files."""
    return (x * 255).round().clamp(0, 255) / 255


# -- both modes --------------------------------------------------------------------------------------------------------


def margin(mode: str, scale: int) -> int:
    """Number of pixels around a patch, a multiple of `scale`, that influence what becomes of its border."""
    return 2 * scale if mode == "bicubic" else scale * math.ceil(_REACH / scale)


def degrade(x: torch.Tensor, scale: int, mode: str, rngs: Sequence[torch.Generator]) -> torch.Tensor:
    """Degraded pictures: (N, 3, H, W) in [0, 1] -> (N, 3, H / scale, W / scale), multiples of 1 / 255 in [0, 1].

    H, W: multiples of scale.  mode: one of MODES.  rngs: a generator on the CPU for each picture; not used by 'bicubic'.
    """
    height, width = x.shape[2] // scale, x.shape[3] // scale
    if mode == "bicubic":
        return rounded(bicubic(x, height, width))
    return torch.cat([_real(one[None], height, width, rng) for one, rng in zip(x, rngs, strict=True)])


def _real(x: torch.Tensor, height: int, width: int, rng: torch.Generator) -> torch.Tensor:
    """Two rounds of blur, resize, noise and JPEG; finally the target size, and ringing (Wang 2021, Fig. 2)."""
    full_height, full_width = x.shape[2:]
    x = blur(x, draw_kernel(rng, sigma=(0.2, 3.0), beta=(0.5, 4.0), plateau=(1.0, 2.0)))
    x = _resize(x, *_resized(full_height, full_width, (0.2, 0.7, 0.1), (0.15, 1.5), rng), rng)
    x = jpeg(_noise(x, sigma=(1, 30), poisson=(0.05, 3.0), rng=rng), _quality(rng))
    if _chance(0.8, rng):
        x = blur(x, draw_kernel(rng, sigma=(0.2, 1.5), beta=(0.5, 4.0), plateau=(1.0, 2.0)))
    x = _resize(x, *_resized(height, width, (0.3, 0.4, 0.3), (0.3, 1.2), rng), rng)
    x = _noise(x, sigma=(1, 25), poisson=(0.05, 2.5), rng=rng)
    last = draw_sinc(rng, low=math.pi / 3) if _chance(0.8, rng) else None
    if _chance(0.5, rng):
        x = _sized(x, height, width, last, rng)
        return jpeg(x, _quality(rng))
    x = jpeg(x, _quality(rng))
    return rounded(_sized(x, height, width, last, rng))


def _sized(x: torch.Tensor, height: int, width: int, kernel: torch.Tensor | None, rng: torch.Generator) -> torch.Tensor:
    x = _resize(x, height, width, rng)
    return x if kernel is None else blur(x, kernel)


# -- blur --------------------------------------------------------------------------------------------------------------


def draw_kernel(
    rng: torch.Generator, sigma: tuple[float, float], beta: tuple[float, float], plateau: tuple[float, float], sinc: float = 0.1
) -> torch.Tensor:
    """A random blur kernel (k, k) of sum 1, k odd from 7 to 21: Gaussian, generalised Gaussian or plateau, isotropic or not, or a sinc.

    sigma: range of widths in pixels.  beta, plateau: ranges of the exponents of both shapes.  sinc: probability of a sinc.
    """
    if _chance(sinc, rng):
        return draw_sinc(rng, low=math.pi / 4)
    k = _odd(rng)
    shape = int(torch.multinomial(torch.tensor([0.7, 0.15, 0.15]), 1, generator=rng))
    isotropic = _chance(0.65, rng)
    s1 = _uniform(*sigma, rng)
    s2, angle = (s1, 0.0) if isotropic else (_uniform(*sigma, rng), _uniform(-math.pi, math.pi, rng))
    # Half of the exponents are below 1, half above (peaked or flat).
    exponent = 1.0
    if shape:
        low, high = beta if shape == 1 else plateau
        exponent = _uniform(low, 1, rng) if _chance(0.5, rng) and low < 1 else _uniform(1, high, rng)
    return gaussian_kernel(k, s1, s2, angle, exponent, flat=shape == 2)


def gaussian_kernel(k: int, s1: float, s2: float, angle: float = 0.0, beta: float = 1.0, flat: bool = False) -> torch.Tensor:
    """Kernel (k, k) of sum 1: exp(-1/2 (c^T S^-1 c)^beta) of the offset c from the centre; flat: 1 / (1 + (c^T S^-1 c)^beta) (Wang 2021,
    Eqs. 2 and following).

    s1, s2: standard deviations in pixels along axes rotated by `angle` (radians).
    """
    y, x = torch.meshgrid(*[torch.arange(k, dtype=torch.float32) - k // 2] * 2, indexing="ij")
    u, v = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
    distance = ((u / s1) ** 2 + (v / s2) ** 2) ** beta
    kernel = 1 / (1 + distance) if flat else torch.exp(-0.5 * distance)
    return kernel / kernel.sum()


def draw_sinc(rng: torch.Generator, low: float) -> torch.Tensor:
    """A random sinc kernel with a cutoff from `low` to pi radians per pixel."""
    return sinc_kernel(_odd(rng), _uniform(low, math.pi, rng))


def sinc_kernel(k: int, cutoff: float) -> torch.Tensor:
    """Isotropic kernel (k, k) of sum 1: cutoff * J1(cutoff * r) / (2 pi r), which rings and overshoots (Wang 2021, Eq. 6).

    cutoff: radians per pixel.
    """
    y, x = torch.meshgrid(*[torch.arange(k, dtype=torch.float64) - k // 2] * 2, indexing="ij")
    r = (x**2 + y**2).sqrt()
    kernel = cutoff * torch.special.bessel_j1(cutoff * r) / (2 * math.pi * r)
    kernel[k // 2, k // 2] = cutoff**2 / (4 * math.pi)
    return (kernel / kernel.sum()).float()


def blur(x: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    """Convolution of (N, C, H, W) with a kernel (k, k); the picture is mirrored at its borders."""
    reach, (n, c, h, w) = kernel.shape[0] // 2, x.shape
    # A kernel wider than a small picture is cropped: its outer rows would have nothing to be mirrored from.
    reach = min(reach, h - 1, w - 1)
    cut = kernel.shape[0] // 2 - reach
    kernel = kernel[cut : kernel.shape[0] - cut, cut : kernel.shape[1] - cut]
    x = F.pad(x.reshape(n * c, 1, h, w), (reach,) * 4, mode="reflect")
    return F.conv2d(x, (kernel / kernel.sum()).to(x)[None, None]).reshape(n, c, h, w)


# -- resize, noise, JPEG -----------------------------------------------------------------------------------------------


def _resized(height: int, width: int, shares: tuple[float, float, float], bounds: tuple[float, float], rng) -> tuple[int, int]:
    """Random height and width: enlarged, reduced or neither, with the probabilities `shares`.  bounds: smallest and largest factor."""
    choice = int(torch.multinomial(torch.tensor(shares), 1, generator=rng))
    factor = (_uniform(1, bounds[1], rng), _uniform(bounds[0], 1, rng), 1.0)[choice]
    return max(4, round(height * factor)), max(4, round(width * factor))


def _resize(x: torch.Tensor, height: int, width: int, rng: torch.Generator) -> torch.Tensor:
    """Resize by area, bilinear or bicubic interpolation, all equally likely."""
    mode = ("area", "bilinear", "bicubic")[int(torch.randint(3, [], generator=rng))]
    if mode == "area":
        return F.interpolate(x, (height, width), mode="area")
    return F.interpolate(x, (height, width), mode=mode, align_corners=False)


def _noise(x: torch.Tensor, sigma: tuple[float, float], poisson: tuple[float, float], rng: torch.Generator) -> torch.Tensor:
    """Add Gaussian noise of `sigma` levels of 255, or Poisson noise; in two of five cases the same in all three channels."""
    gaussian, grey = _chance(0.5, rng), _chance(0.4, rng)
    channels = 1 if grey else x.shape[1]
    if gaussian:
        noise = torch.randn(x.shape[0], channels, *x.shape[2:], generator=rng) * (_uniform(*sigma, rng) / 255)
    else:
        x = rounded(x)
        light = x.mean(dim=1, keepdim=True) if grey else x
        counts = 2.0 ** math.ceil(math.log2(max(2, len(light.unique()))))  # as many photons as there are grey levels
        noise = (torch.poisson(light * counts, generator=rng) / counts - light) * _uniform(*poisson, rng)
    return (x + noise).clamp(0, 1)


def _quality(rng: torch.Generator) -> int:
    return int(torch.randint(30, 96, [], generator=rng))


def jpeg(x: torch.Tensor, quality: int) -> torch.Tensor:
    """The picture (1, 3, H, W) in [0, 1] after a round trip through a JPEG file.  quality: 1 to 95."""
    pixels = (x[0] * 255).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy()
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "JPEG", quality=quality)
    with Image.open(buffer) as image:
        return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255


def _odd(rng: torch.Generator) -> int:
    return 7 + 2 * int(torch.randint(8, [], generator=rng))


def _uniform(low: float, high: float, rng: torch.Generator) -> float:
    return low + (high - low) * float(torch.rand([], generator=rng))


def _chance(p: float, rng: torch.Generator) -> bool:
    return float(torch.rand([], generator=rng)) < p
