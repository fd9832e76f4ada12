"""Precision of pictures that are seen for a moment: bf16 where this processor is faster in it."""

import functools
import time

import torch

LEAST_RESOLUTION = 128  # px; below, converting takes as long as it saves
_GAIN = 0.8  # of the time in fp32 that bf16 must stay below


@functools.cache
def bf16_is_faster() -> bool:
    """Whether a convolution of this processor takes less time in bf16 (AMX, AVX512-BF16) than in fp32: measured once, in milliseconds."""
    x = torch.randn(1, 64, 128, 128).contiguous(memory_format=torch.channels_last)
    weight = torch.randn(64, 64, 3, 3).contiguous(memory_format=torch.channels_last)

    def best(dtype: torch.dtype) -> float:
        a, b, times = x.to(dtype), weight.to(dtype), []
        for _ in range(5):
            began = time.perf_counter()
            torch.nn.functional.conv2d(a, b, padding=1)
            times.append(time.perf_counter() - began)
        return min(times)

    return best(torch.bfloat16) < _GAIN * best(torch.float32)


def live_precision(device: torch.device, precision: str, resolution: int) -> str:
    """Precision of live pictures.  precision: of those that are kept.  resolution: of the model, in pixels."""
    if device.type == "cpu" and precision == "fp32" and resolution >= LEAST_RESOLUTION and bf16_is_faster():
        return "bf16"
    return precision
