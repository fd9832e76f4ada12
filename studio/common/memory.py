"""How much memory there is, how much a network takes, and where what is large is kept."""

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
    """Bytes that can be had on a device: of a GPU, with what torch holds in reserve; else of the machine."""
    if device.type == "cuda":
        reserve = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + reserve
    return psutil.virtual_memory().available


def out_of_memory(e: BaseException) -> bool:
    """Whether this error says that memory ran out."""
    # On the CPU it is a RuntimeError, known by its text alone.
    return isinstance(e, (torch.OutOfMemoryError, MemoryError)) or (isinstance(e, RuntimeError) and "DefaultCPUAllocator" in str(e))


def layer_bytes(network: nn.Module, run: Callable[[], object]) -> int:
    """About the most bytes that a network takes within `run`: twice what goes into its largest layer and comes out of it.

    Measured for the networks here: convolutions copy what they get into an order of their own, and activations, norms and
    skips hold one or two such maps more.
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
    """A function that makes empty tensors (shape, dtype), channels last, for about `nbytes` in all: on the device if they fit
    into half of its memory, else into the machine's, else in files below `folder`, of which the system keeps in memory what
    there is room for. Files go when the context ends. Raises NoRoom when the disk has no room either.
    """
    for place in dict.fromkeys((device, torch.device("cpu"))):
        if nbytes < free_bytes(place) / 2:
            yield lambda shape, dtype: torch.empty(shape, dtype=dtype, device=place, memory_format=torch.channels_last)
            return
    ensure_room(folder, nbytes)
    # Windows does not delete a file that is mapped still; then it goes with the cache.
    with tempfile.TemporaryDirectory(dir=folder, prefix="maps-", ignore_cleanup_errors=True) as files:
        names = (Path(files) / str(i) for i in itertools.count())

        def on_disk(shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
            n, c, h, w = shape
            path = next(names)
            flat = torch.from_file(str(path), shared=True, size=math.prod(shape), dtype=dtype)
            with contextlib.suppress(PermissionError):
                path.unlink()  # so that the space is free again as soon as the tensor is
            return flat.reshape(n, h, w, c).permute(0, 3, 1, 2)

        yield on_disk
