"""Starting from a model whose size or classes differ: what fits is copied, the rest begins anew and is told."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Transfer:
    """What became of each tensor of the new network, by name."""

    copied: tuple[str, ...]
    partly: tuple[str, ...]  # the part that both have was copied
    new: tuple[str, ...]

    @property
    def share(self) -> float:
        """Fraction of the tensors that were copied, whole or in part, in [0, 1]."""
        return (len(self.copied) + len(self.partly)) / max(1, len(self.copied) + len(self.partly) + len(self.new))


def copy_what_fits(target: Mapping[str, torch.Tensor], source: Mapping[str, torch.Tensor]) -> tuple[dict[str, torch.Tensor], Transfer]:
    """The tensors of `target` with those of `source` put in where name and shape agree.

    Layers of StyleGAN2 are named by their resolution, so a network of another size finds its common layers by name. Where
    only the first axes of a matrix agree (the mapping's first layer reads z, then the class) the common columns are copied,
    and the scale that an equalised layer takes from its width (1 / sqrt(inputs)) is made up for; the other columns stay as
    they were drawn. At zero they would need tens of thousands of steps to matter, for the mapping learns a hundred times
    slower than the rest: after 20,000 pictures one in four showed its class, by chance one in five.
    Neither mapping is changed. Returns (tensors, what was done).
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
