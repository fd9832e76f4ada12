"""The layers of a picture, kept so that the next picture starts at the first layer that changed."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from studio.engine.bend import Bend
from studio.networks.generative.latent_generator import State, SteppedSynthesis

Settings = tuple  # the parts of a recipe besides ws and bends that change layers: noise, transform, canvas, areas
Bends = Mapping[str, tuple[Bend, ...]]  # name of a step -> what changes it


def steps_within(synthesis: SteppedSynthesis, limit: int | None) -> int:
    """Number of steps of a synthesis that stops at `limit` pixels (None = does not stop)."""
    if limit is None or not synthesis.partial_pictures:  # without partial pictures there is one only at the very end
        return len(synthesis.steps)
    return sum(step.resolution <= max(limit, 4) for step in synthesis.steps)


@dataclass
class SynthesisCache:
    """States and pictures kept from the last synthesis of a session.

    states[i]: the state before step i, None where it was discarded.  ends: number of steps -> picture after them.
    A preview is the beginning of the full run, so each reuses the other's states. Pictures with random noise have no
    trace: the noise is drawn layer by layer from one generator, always from the beginning.
    """

    model_hash: str
    settings: Settings
    ws: torch.Tensor  # (1 + areas, num_ws, w_dim)
    bends: Bends = field(default_factory=dict)
    states: list[State | None] = field(default_factory=list)
    ends: dict[int, torch.Tensor] = field(default_factory=dict)

    def fits(self, model_hash: str, settings: Settings) -> bool:
        """Whether any layers can be reused."""
        return self.model_hash == model_hash and self.settings == settings

    def unchanged(self, ws: torch.Tensor, bends: Bends, synthesis: SteppedSynthesis) -> int:
        """Number of leading steps whose result is the same for `ws` and `bends`."""
        if self.ws.shape != ws.shape:
            return 0
        changed = (self.ws != ws).any(dim=2).any(dim=0).nonzero()
        first = int(changed[0]) if len(changed) else synthesis.num_ws
        for i, step in enumerate(synthesis.steps):
            if step.w_index >= first or self.bends.get(step.name) != bends.get(step.name):
                return i
        return len(synthesis.steps)

    def start(self, same: int, end: int) -> tuple[int, State] | None:
        """The last step <= `end` to resume from when `same` steps are unchanged, and the state before it; None = from the beginning.

        For `end` itself the state is (None, picture): nothing is left to compute.
        """
        if same >= end:
            if end in self.ends:
                return end, (None, self.ends[end])
            last = self.states[end] if end < len(self.states) else None
            if last is not None:
                return end, (None, last[1])
        for i in range(min(same, end - 1, len(self.states) - 1), 0, -1):
            state = self.states[i]
            if state is not None:
                return i, state
        return None

    def updated(
        self, ws: torch.Tensor, bends: Bends, same: int, begin: int, states: list[State], end: int, img: torch.Tensor
    ) -> "SynthesisCache":
        """The trace after running steps `begin` to `end` for `ws` and `bends` through `states`; whatever is still valid is kept."""
        kept = [*self.states[:begin], *states]
        if same >= end:
            kept += self.states[end : same + 1]
        ends = {n: picture for n, picture in self.ends.items() if n <= same}
        return SynthesisCache(self.model_hash, self.settings, ws, bends, kept, {**ends, end: img})

    @property
    def nbytes(self) -> int:
        """Bytes of its tensors; neighbouring states share some."""
        tensors = {id(t): t for state in self.states if state is not None for t in state if t is not None}
        tensors.update({id(t): t for t in self.ends.values()})
        return sum(t.nbytes for t in tensors.values())

    def shrink(self, budget: int) -> None:
        """Discard the largest states and pictures until the rest fits in `budget` bytes; later ones first among equals."""
        while self.nbytes > budget:
            sizes = [(sum(t.nbytes for t in s if t is not None), i) for i, s in enumerate(self.states) if s is not None]
            state = max(sizes, default=(0, 0))
            end = max(((t.nbytes, n) for n, t in self.ends.items()), default=(0, 0))
            if end > state:
                del self.ends[end[1]]
            else:
                self.states[state[1]] = None
