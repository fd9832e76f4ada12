"""What every family that draws from noise has in common: rows of w+, and a synthesis in steps that can be gone on from.

The layers above know only this. A generator has z_dim, c_dim, w_dim, num_ws, resolution, config, and two parts:

- `mapping(z, c, truncation_psi, truncation_cutoff)` -> ws (N, num_ws, w_dim), with `mapping.truncate(ws, psi, cutoff)`;
- `synthesis`, a `SteppedSynthesis`: ws -> picture.

A family without a latent w of its own, such as DCGAN, has a `RowMapping`: its row is z beside the class.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

State = tuple[torch.Tensor | None, torch.Tensor | None]  # (features x, picture so far)
NoiseOf = Callable[[nn.Module], torch.Tensor | None]  # the noise of a layer, its strength included


@dataclass(frozen=True)
class Step:
    """One piece of the synthesis that reads one row of ws. Going on from a step needs only the state before it."""

    name: str
    resolution: int
    w_index: int
    run: Callable[[torch.Tensor, State, NoiseOf], State]  # (w (N, w_dim), state, noise of a layer) -> state


class SteppedSynthesis(nn.Module):
    """ws -> picture in `steps`, in order. Their `w_index` never falls, so that a change in row i of ws leaves every step
    with a smaller `w_index` as it was. The last state holds the picture.

    partial_pictures: the state holds a picture of the resolution reached so far after each block, so that a preview may stop early.
    A layer with noise has `use_noise`, `noise_const`, `noise_strength` and `resolution`.
    """

    w_dim: int
    num_ws: int
    resolution: int
    partial_pictures: bool = False

    @property
    def steps(self) -> list[Step]:
        """All steps."""
        raise NotImplementedError

    def forward(
        self,
        ws: torch.Tensor,
        noise_mode: str = "const",
        noise_strength: float = 1.0,
        generator: torch.Generator | None = None,
        start: tuple[int, State] | None = None,
        trace: list[State] | None = None,
        max_resolution: int | None = None,
    ) -> torch.Tensor:
        """ws: (N, num_ws, w_dim).  Returns (N, img_channels, H, W) float32, about [-1, 1], not clamped.

        noise_mode: 'const' (the buffers), 'random' (drawn from `generator`) or 'none'.
        noise_strength multiplies the learned strengths.
        trace: a list that is filled with the state before each step.
        start: (index of a step, state before it): go on from there.
        max_resolution: stop there and give the picture as it is so far (only with `partial_pictures`).
        """
        assert ws.ndim == 3, tuple(ws.shape)
        assert ws.shape[1:] == (self.num_ws, self.w_dim), tuple(ws.shape)
        assert noise_mode in ("const", "random", "none")
        if not self.partial_pictures:
            max_resolution = None

        def noise(layer: Any) -> torch.Tensor | None:
            if noise_mode == "none" or not layer.use_noise or noise_strength == 0:
                return None
            value = layer.noise_const
            if noise_mode == "random":
                # Drawn where the generator lives, so that a CPU generator gives the same noise on every device.
                where = value.device if generator is None else generator.device
                shape = (len(ws), 1, layer.resolution, layer.resolution)
                value = torch.randn(shape, generator=generator, device=where).to(value.device)
            return value * (layer.noise_strength * noise_strength)

        ws = ws.float()
        first, state = start if start is not None else (0, (None, None))
        for step in self.steps[first:]:
            if max_resolution is not None and step.resolution > max(max_resolution, 4):
                break
            if trace is not None:
                trace.append(state)
            state = step.run(ws[:, step.w_index], state, noise)
        picture = state[1]
        assert picture is not None, "the last step gives the picture"
        return picture


class RowMapping(nn.Module):
    """z and class -> rows, for families whose synthesis reads z itself.

    Row i is [chunk i of z, class]; with one row the chunk is all of z. The class stands as it is given (one-hot or weights),
    so that a blend of classes is a blend of rows.  Truncation draws z towards 0, its mean, and leaves the class alone.
    """

    def __init__(self, z_dim: int, c_dim: int, num_ws: int = 1):
        super().__init__()
        if z_dim % num_ws:
            raise ValueError(f"z_dim {z_dim} does not split into {num_ws} rows")
        self.z_dim, self.c_dim, self.num_ws, self.chunk = z_dim, c_dim, num_ws, z_dim // num_ws
        self.w_dim = self.chunk + c_dim

    def forward(
        self, z: torch.Tensor, c: torch.Tensor | None = None, truncation_psi: float = 1.0, truncation_cutoff: int | None = None
    ) -> torch.Tensor:
        """z: (N, z_dim), N(0, 1).  c: (N, c_dim).  Returns ws (N, num_ws, chunk + c_dim)."""
        rows = z.float().reshape(len(z), self.num_ws, self.chunk)
        if self.c_dim:
            assert c is not None
            assert c.shape[1] == self.c_dim
            rows = torch.cat([rows, c.float().unsqueeze(1).expand(-1, self.num_ws, -1)], dim=2)
        return self.truncate(rows, truncation_psi, truncation_cutoff)

    def truncate(self, ws: torch.Tensor, psi: float = 1.0, cutoff: int | None = None) -> torch.Tensor:
        """Draw z towards 0 in rows [0, cutoff) of ws (N, num_ws, w_dim)."""
        if psi == 1:
            return ws
        ws = ws.clone()
        ws[:, :cutoff, : self.chunk] *= psi
        return ws

    def split(self, w: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """A row (N, w_dim) -> (its part of z (N, chunk), class (N, c_dim))."""
        return w[:, : self.chunk], w[:, self.chunk :]


class LatentGenerator(nn.Module):
    """z, class -> picture through `mapping` and `synthesis`, which the studio also uses separately."""

    mapping: Any
    synthesis: SteppedSynthesis
    z_dim: int
    c_dim: int
    w_dim: int
    num_ws: int
    resolution: int

    def __init__(self, config: Any, mapping: Any, synthesis: SteppedSynthesis):
        super().__init__()
        self.config = config
        self.synthesis, self.mapping = synthesis, mapping
        self.z_dim, self.c_dim, self.w_dim = mapping.z_dim, mapping.c_dim, mapping.w_dim
        self.num_ws, self.resolution = synthesis.num_ws, synthesis.resolution

    def forward(
        self,
        z: torch.Tensor,
        c: torch.Tensor | None = None,
        truncation_psi: float = 1.0,
        truncation_cutoff: int | None = None,
        **synthesis_kwargs,
    ) -> torch.Tensor:
        """z: (N, z_dim), c: (N, c_dim) -> (N, img_channels, resolution, resolution)."""
        return self.synthesis(self.mapping(z, c, truncation_psi, truncation_cutoff), **synthesis_kwargs)
