"""How much memory there is, how much a network takes, and where what is large is kept."""

import contextlib
import itertools
import math
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from studio.settings import ensure_room


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


def peak_bytes(run: Callable[[], object]) -> int:
    """The most bytes of tensors made by `run` that are alive at once."""
    with _Watch() as watch:
        run()
    return watch.peak


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


class _Watch(TorchDispatchMode):
    """Sees each operation, and which of the tensors they gave are still held by anybody."""

    def __init__(self):
        super().__init__()
        self.alive: dict[int, tuple[StorageWeakRef, int]] = {}
        self.peak = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                ref = StorageWeakRef(storage)
                self.alive[ref.cdata] = (ref, storage.nbytes())
        self.alive = {key: (ref, size) for key, (ref, size) in self.alive.items() if not ref.expired()}
        self.peak = max(self.peak, sum(size for _, size in self.alive.values()))
        return out
