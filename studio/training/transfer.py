"""Transfer of weights from a model whose size or classes may differ: what fits is copied, the rest is initialised anew and reported."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Transfer:
    """What became of each tensor of a network, by name."""

    copied: tuple[str, ...]
    partly: tuple[str, ...]  # columns that both have were copied
    new: tuple[str, ...]

    @property
    def share(self) -> float:
        """Fraction of the tensors that were copied, completely or partly, in [0, 1]."""
        return (len(self.copied) + len(self.partly)) / max(1, len(self.copied) + len(self.partly) + len(self.new))


def copy_what_fits(target: Mapping[str, torch.Tensor], source: Mapping[str, torch.Tensor]) -> tuple[dict[str, torch.Tensor], Transfer]:
    """The tensors of `target`, replaced by those of `source` where name and shape agree.

    Layers of StyleGAN2 are named by their resolution, so networks of different sizes share their common layers by name. Where only
    the first axes of two matrices agree (the mapping's first layer reads z, then the class), the common columns are copied, with a
    correction for the scale that an equalised layer takes from its width (1 / sqrt(inputs)); the other columns keep their random
    values. From zero they would need tens of thousands of steps to matter, because the mapping learns a hundred times slower than the
    rest: after 20,000 pictures one in four showed its class, where chance is one in five.
    Neither argument is changed. Returns (tensors, what was done).
    """
    out, copied, partly, new = {}, [], [], []
    for name, old in target.items():
        found = source.get(name)
        if found is not None and found.shape == old.shape:
            out[name] = found.to(old.dtype).clone()
            copied.append(name)
        elif found is not None and found.ndim == old.ndim == 2 and found.shape[0] == old.shape[0]:
            width = min(found.shape[1], old.shape[1])
            out[name] = old.clone()
            out[name][:, :width] = found[:, :width].to(old.dtype) * (old.shape[1] / found.shape[1]) ** 0.5
            partly.append(name)
        else:
            out[name] = old.clone()
            new.append(name)
    return out, Transfer(tuple(copied), tuple(partly), tuple(new))
