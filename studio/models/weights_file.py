"""Safetensors files of a model folder: checking, reading and packing them. Reading one never runs code."""

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as safetensors_bytes

from studio.errors import StudioError

_MAX_HEADER_BYTES = 64 << 20
_MAX_TENSORS = 20_000


def check_tensors(file: Path, where: str) -> None:
    """Raises StudioError when a safetensors file is missing, cut short or damaged; the tensors are not read."""
    if not file.is_file():
        raise StudioError(f"{where} has no {file.name}.", "Finish copying it, or delete it.")
    size, expected = file.stat().st_size, _expected_bytes(file)
    if expected > size:
        raise StudioError(f"{where} has a {file.name} that is cut short: {size:,} bytes of {expected:,}.", "Copy or download it again.")
    try:
        with safe_open(file, framework="pt") as f:
            count = len(f.keys())
    except (SafetensorError, OSError, ValueError) as e:
        raise StudioError(f"{where} has a damaged {file.name}: {e}.", "Copy or download it again.") from None
    if count > _MAX_TENSORS:
        raise StudioError(f"{where} has a {file.name} of {count:,} tensors, more than any network.", "It is not a model of this studio.")


def _expected_bytes(file: Path) -> int:
    """Length of a safetensors file according to its own header, as far as that can be read (8 bytes: length of the header)."""
    with open(file, "rb") as f:
        head = f.read(8)
        length = int.from_bytes(head, "little")
        if len(head) < 8:
            return 8
        header = f.read(length) if length <= _MAX_HEADER_BYTES else b""
    if len(header) < length:
        return 8 + length if length <= _MAX_HEADER_BYTES else 0  # an absurd length is damage, not an incomplete copy
    try:
        ends = [v["data_offsets"][1] for k, v in json.loads(header).items() if k != "__metadata__"]
        return 8 + length + max(ends, default=0)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        return 0  # the safetensors library reports what is wrong


def read_tensors(file: str | Path) -> dict[str, torch.Tensor]:
    """All tensors of a safetensors file as float32 (half precision is for storage only). Raises StudioError."""
    try:
        with safe_open(file, framework="pt") as f:
            tensors = {name: f.get_tensor(name) for name in f.keys()}  # noqa: SIM118 - safe_open is no mapping
            # These are views of the mapped file: without a copy, a later write to the file would change the model
            # in memory, and truncating it would crash the program.
            return {k: v.to(torch.float32 if v.is_floating_point() else v.dtype, copy=True) for k, v in tensors.items()}
    except (SafetensorError, OSError, ValueError) as e:
        raise StudioError(f"The file {file} is damaged: {e}.", "Copy or download it again.") from None


def pack_tensors(tensors: Mapping[str, torch.Tensor], dtype: str) -> bytes:
    def prepare(t: torch.Tensor) -> torch.Tensor:
        t = t.detach().cpu()
        if dtype == "float16" and t.dtype == torch.float32 and t.ndim >= 2 and t.numel():
            # An overflow becomes infinite; values that were not finite before are kept, so that they can be noticed.
            t = t.half() if t.half().isfinite().all() else t
        return t.contiguous()

    return safetensors_bytes({k: prepare(v) for k, v in tensors.items()})
