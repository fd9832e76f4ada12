"""The transfer function of sRGB (IEC 61966-2-1): stored values to linear light, and back."""

import numpy as np


def linear_from_srgb(values: np.ndarray) -> np.ndarray:
    """Linear light of sRGB values, both in [0, 1]."""
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def srgb_from_linear(light: np.ndarray) -> np.ndarray:
    """sRGB values of linear light, which is not below 0."""
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
