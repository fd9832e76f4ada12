"""Randomness of a training as a function of (seed, purpose, position).

No random state is carried from step to step: a resumed run needs no state of any generator, and a run on two processes draws what one
process would have drawn.
"""

import hashlib

import numpy as np
import torch


def derive(seed: int, *parts: int | str) -> int:
    """A 63-bit seed that depends on all parts; by SHA-256, so that seeds of similar parts are unrelated."""
    text = "/".join(str(p) for p in (seed, *parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def generator(seed: int, *parts: int | str, device: torch.device | str = "cpu") -> torch.Generator:
    """A new generator for one purpose at one position."""
    return torch.Generator(device=device).manual_seed(derive(seed, *parts))


class DataOrder:
    """Order in which pictures are shown: a new permutation each epoch, addressable at any position.

    size: number of pictures.
    """

    def __init__(self, size: int, seed: int):
        self.size, self.seed = size, seed
        self._epoch, self._order = -1, np.empty(0, dtype=np.int64)

    def indices(self, start: int, count: int) -> np.ndarray:
        """Indices (count,) of the pictures at positions start, start + 1, ... of the endless sequence."""
        out = np.empty(count, dtype=np.int64)
        for i in range(count):
            epoch, position = divmod(start + i, self.size)
            if epoch != self._epoch:
                rng = np.random.default_rng(derive(self.seed, "order", epoch))
                self._epoch, self._order = epoch, rng.permutation(self.size)
            out[i] = self._order[position]
        return out
