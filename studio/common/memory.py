"""Free memory, the memory a network needs, and storage for large feature maps."""

import contextlib
import itertools
import math
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import torch
from torch import nn

from studio.common.files import ensure_room


def free_bytes(device: torch.device) -> int:
    """Free bytes on a device: of a GPU, including what torch holds in reserve; otherwise of the machine."""
    if device.type == "cuda":
        reserve = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + reserve
    return psutil.virtual_memory().available


def out_of_memory(e: BaseException) -> bool:
    """Whether an error means that memory ran out."""
    # On the CPU it is a RuntimeError, recognisable by its text alone.
    return isinstance(e, (torch.OutOfMemoryError, MemoryError)) or (isinstance(e, RuntimeError) and "DefaultCPUAllocator" in str(e))


def layer_bytes(network: nn.Module, run: Callable[[], object]) -> int:
    """Estimate of the peak bytes of a network during `run`: twice the inputs and outputs of its largest layer.

    Measured on the networks here: convolutions copy their input into a layout of their own, and activations, norms and
    skips hold one or two more such maps.
    """
    most = 0

    def seen(layer: nn.Module, args: tuple, out: object) -> None:
        nonlocal most
        most = max(most, sum(t.nbytes for t in (*args, out) if isinstance(t, torch.Tensor)))

    hooks = [m.register_forward_hook(seen) for m in network.modules() if not any(True for _ in m.children())]
    try:
        run()
    finally:
        for hook in hooks:
            hook.remove()
    return 2 * most


@contextlib.contextmanager
def room_for_maps(nbytes: int, device: torch.device, folder: Path) -> Iterator[Callable[[tuple[int, ...], torch.dtype], torch.Tensor]]:
    """Yield a function (shape, dtype) -> empty tensor, channels last, for about `nbytes` in total.

    The tensors are on the device if they fit into half of its free memory, else in the machine's memory, else in memory-mapped
    files below `folder`, which are deleted when the context ends. Raises NoRoom if the disk has no room either.
    """
    enough = next((d for d in (device, torch.device("cpu")) if nbytes < free_bytes(d) / 2), None)
    if enough is not None:
        yield lambda shape, dtype: torch.empty(shape, dtype=dtype, device=enough, memory_format=torch.channels_last)
        return
    ensure_room(folder, nbytes)
    # Windows does not delete a file that is still mapped; it then goes with the cache.
    with tempfile.TemporaryDirectory(dir=folder, prefix="maps-", ignore_cleanup_errors=True) as files:
        names = (Path(files) / str(i) for i in itertools.count())

        def on_disk(shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
            n, c, h, w = shape
            path = next(names)
            flat = torch.from_file(str(path), shared=True, size=math.prod(shape), dtype=dtype)
            with contextlib.suppress(PermissionError):
                path.unlink()  # the disk space is free again as soon as the tensor is
            return flat.reshape(n, h, w, c).permute(0, 3, 1, 2)

        yield on_disk
