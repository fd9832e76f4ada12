"""Threads of PyTorch's arithmetic: how many there are, and what they do while they wait for one another."""

import contextlib
import os
from collections.abc import Iterator

# Measured on two cores with another busy program: pictures come at twice to ten times the rate of the default, which spins for
# milliseconds on the core that the other thread waits for. On a quiet machine they come as fast as before.
_SPINS = "1000"


def yield_idle_threads() -> None:
    """Let threads that wait for one another give their core up soon. To be called before torch is imported."""
    os.environ.setdefault("GOMP_SPINCOUNT", _SPINS)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Arithmetic of the calling thread in one thread: starting more takes tiny networks longer than they save."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
