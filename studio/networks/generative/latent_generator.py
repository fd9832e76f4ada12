"""What every family that draws from noise has in common: rows of w+, and a synthesis in steps that can be gone on from.

The layers above know only this. A generator has z_dim, c_dim, w_dim, num_ws, resolution, config, and two parts:

- `mapping(z, c, truncation_psi, truncation_cutoff)` -> ws (N, num_ws, w_dim), with `mapping.truncate(ws, psi, cutoff)`;
- `synthesis`, a `SteppedSynthesis`: ws -> picture.

A family without a latent w of its own, such as DCGAN, has a `RowMapping`: its row is z beside the class.
"""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

FIRST_SIDE = 4  # pixels a side of the first map
_AROUND = 4  # pixels of a map that are put around it, from its opposite edges, where it wraps: more than any step reaches
State = tuple[torch.Tensor | None, torch.Tensor | None]  # (features x, picture so far)
NoiseOf = Callable[[nn.Module], torch.Tensor | None]  # the noise of a layer, its strength included


@dataclass(frozen=True)
class Step:
    """One piece of the synthesis that reads one row of ws. Going on from a step needs only the state before it."""

    name: str
    resolution: int
    w_index: int
    run: Callable[[torch.Tensor, State, NoiseOf], State]  # (w (N, w_dim), state, noise of a layer) -> state
    margin: int = 0  # pixels of its maps beyond each edge of the picture


@dataclass(frozen=True)
class Grid:
    """The size of the first map, and what lies beyond its edges.

    height, width: in pixels; 4 each gives the trained size.  stretch: a learned first map is stretched to it, else repeated.
    wrap: opposite edges continue each other, so that the picture can be tiled.
    """

    height: int = FIRST_SIDE
    width: int = FIRST_SIDE
    stretch: bool = False
    wrap: bool = False


@dataclass(frozen=True)
class StepBend:
    """What network bending does to one step (Broad 2021, "Network Bending").

    change: what the step has made, features (N, C, H, W) or a picture, in vectors (N, C) -> the same shape; None = nothing.
    noise_strength: multiplies the noise of its layers.  freeze_noise: its layers keep the constant noise where noise is random.
    """

    change: Callable[[torch.Tensor], torch.Tensor] | None = None
    noise_strength: float = 1.0
    freeze_noise: bool = False


@dataclass(frozen=True)
class OtherLatent:
    """Another latent in a part of the picture.

    ws: (N, num_ws, w_dim).  share: (u (W,), v (H,)), places in [0, 1] from left to right and top to bottom -> (H, W) in [0, 1].
    """

    ws: torch.Tensor
    share: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


_UNBENT = StepBend()


def made(before: State, after: State) -> int:
    """Which part of the state a step has made: 0 = features, 1 = the picture so far."""
    return 0 if after[0] is not None and after[0] is not before[0] else 1


def made_by(synthesis: "SteppedSynthesis", index: int, ws: torch.Tensor, **options: Any) -> torch.Tensor:
    """What a step makes of ws (N, num_ws, w_dim): features (N, C, H, W), vectors (N, C) or the picture so far.

    options: of `SteppedSynthesis.run`.
    """
    trace: list[State] = []
    after = synthesis.run(ws, **options, trace=trace, end=index + 1)
    found = after[made(trace[-1], after)]
    assert found is not None
    return found


def _changed(state: State, part: int, change: Callable[[torch.Tensor], torch.Tensor]) -> State:
    x, img = state
    if part == 0:
        assert x is not None
        return change(x), img
    assert img is not None
    return x, change(img)


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
    grid: Grid = Grid()

    @contextmanager
    def on_grid(self, grid: Grid) -> Iterator[None]:
        """Inside of it pictures are made from a first map of another size, or one that wraps.

        A layer at resolution r then has r / 4 * (height, width) pixels, and a picture likewise.
        """
        own, self.grid = self.grid, grid
        try:
            yield
        finally:
            self.grid = own

    def sized(self, x: torch.Tensor) -> torch.Tensor:
        """A first map (..., 4, 4) in the size of the grid, with what lies around it where it wraps."""
        grid, shape = self.grid, x.shape[:-2]
        if grid.stretch and (grid.height, grid.width) != x.shape[-2:]:
            maps = x.reshape(1, -1, *x.shape[-2:])
            maps = F.interpolate(maps, size=(grid.height, grid.width), mode="bilinear", align_corners=False)
            x = maps.reshape(*shape, grid.height, grid.width)
        else:
            x = _repeated(_repeated(x, grid.height, -2), grid.width, -1)
        return _wrapped(x, _AROUND) if grid.wrap else x

    @property
    def steps(self) -> list[Step]:
        """All steps."""
        raise NotImplementedError

    def forward(self, ws: torch.Tensor, noise_mode: str = "const", **options: Any) -> torch.Tensor:
        """ws: (N, num_ws, w_dim).  Returns (N, img_channels, H, W) float32, about [-1, 1], not clamped.

        noise_mode and options: of `run`.
        """
        picture = self.run(ws, noise_mode, **options)[1]
        assert picture is not None, "the last step gives the picture"
        return picture

    def run(
        self,
        ws: torch.Tensor,
        noise_mode: str = "const",
        noise_strength: float = 1.0,
        generator: torch.Generator | None = None,
        start: tuple[int, State] | None = None,
        trace: list[State] | None = None,
        max_resolution: int | None = None,
        bends: Mapping[str, StepBend] | None = None,
        others: Sequence[OtherLatent] = (),
        end: int | None = None,
    ) -> State:
        """The state after the last step, which holds the picture.  ws: (N, num_ws, w_dim).

        noise_mode: 'const' (the buffers), 'random' (drawn from `generator`) or 'none'.
        noise_strength multiplies the learned strengths.
        trace: a list that is filled with the state before each step.
        start: (index of a step, state before it): go on from there.
        max_resolution: stop there, with the picture as it is so far (only with `partial_pictures`).
        bends: name of a step -> what is done to it.
        others: latents of parts of the picture, each laid over those before it. What a step makes of each is blended, so that parts
        grow together; a step without maps cannot have them.
        end: index of a step before which to stop, None = run them all.
        """
        assert ws.ndim == 3, tuple(ws.shape)
        assert ws.shape[1:] == (self.num_ws, self.w_dim), tuple(ws.shape)
        assert noise_mode in ("const", "random", "none")
        if not self.partial_pictures:
            max_resolution = None

        def noise(layer: Any, bend: StepBend, around: float) -> torch.Tensor | None:
            strength = noise_strength * bend.noise_strength
            if noise_mode == "none" or not layer.use_noise or noise_strength == 0:
                return None
            value = layer.noise_const
            if noise_mode == "random":
                # Drawn where the generator lives, so that a CPU generator gives the same noise on every device.
                # Also where it is not used, so that a bend of one layer leaves the noise of the others as it was.
                where = value.device if generator is None else generator.device
                height, width = (layer.resolution * n // FIRST_SIDE for n in (self.grid.height, self.grid.width))
                drawn = torch.randn((len(ws), 1, height, width), generator=generator, device=where).to(value.device)
                value = value if bend.freeze_noise else drawn
            return self._noise_on_grid(value, layer.resolution, around) * (layer.noise_strength * strength) if strength else None

        ws = ws.float()
        first, state = start if start is not None else (0, (None, None))
        for step in self.steps[first:end]:
            if max_resolution is not None and step.resolution > max(max_resolution, 4):
                break
            if trace is not None:
                trace.append(state)
            bend = (bends or {}).get(step.name, _UNBENT)
            before = state
            noise_here = functools.partial(noise, bend=bend)
            if others:
                noise_here = functools.cache(noise_here)  # the same for all latents, also when it is random
            state = self._step(step, ws[:, step.w_index], before, noise_here)
            for other in others:
                theirs = self._step(step, other.ws[:, step.w_index].float(), before, noise_here)
                state = self._blended(step, made(before, state), state, theirs, other)
            if bend.change is not None:
                state = _changed(state, made(before, state), bend.change)
        return state

    def _step(self, step: Step, w: torch.Tensor, state: State, noise: Callable[..., torch.Tensor | None]) -> State:
        """One step on the grid. Where it wraps, it sees around each map what is at the opposite edges."""
        grid, begins = self.grid, state[0] is None and state[1] is None
        if not grid.wrap:
            x, img = step.run(w, state, functools.partial(noise, around=0.0))
            if begins and x is not None and x.shape[-2:] == (FIRST_SIDE, FIRST_SIDE):
                x = self.sized(x)  # a first map made of z is not yet in the size of the grid
            return x, img
        size = state[0].shape[-1] if state[0] is not None else grid.width
        share = _AROUND / size
        around = tuple(None if part is None else _wrapped(part, round(part.shape[-1] * share)) for part in state)
        after = step.run(w, (around[0], around[1]), functools.partial(noise, around=_AROUND * grid.width / size / FIRST_SIDE))
        out = []
        for part, given, was in zip(after, around, state, strict=True):
            if part is None or part is given:
                out.append(was if part is given else None)
            elif begins and part.shape[-2:] == (FIRST_SIDE, FIRST_SIDE):
                out.append(_repeated(_repeated(part, grid.height, -2), grid.width, -1))
            else:
                edge = round(part.shape[-1] * share / (1 + 2 * share))
                out.append(part[..., edge:-edge, edge:-edge])
        return out[0], out[1]

    def _blended(self, step: Step, part: int, state: State, theirs: State, other: OtherLatent) -> State:
        """What a step has made, with that of another latent laid over it."""

        def blend(x: torch.Tensor) -> torch.Tensor:
            y = theirs[part]
            assert y is not None
            v, u = ((torch.arange(n, device=x.device) + 0.5 - step.margin) / (n - 2 * step.margin) for n in x.shape[2:])
            return x.lerp(y, other.share(u, v).to(x.dtype))

        return _changed(state, part, blend)

    def _noise_on_grid(self, value: torch.Tensor, resolution: int, around: float) -> torch.Tensor:
        """Noise (..., H, W) of a layer in the size of the grid.  around: share of the trained side that is put around it."""
        height, width = (resolution * n // FIRST_SIDE for n in (self.grid.height, self.grid.width))
        value = _repeated(_repeated(value, height, -2), width, -1)
        return _wrapped(value, round(resolution * around)) if around else value


def _repeated(x: torch.Tensor, size: int, axis: int) -> torch.Tensor:
    """An axis repeated or cut to a size, its middle in the middle."""
    own = x.shape[axis]
    return x if own == size else x.index_select(axis, (torch.arange(size, device=x.device) - (size - own) // 2) % own)


def _wrapped(x: torch.Tensor, around: int) -> torch.Tensor:
    """(..., H, W) with pixels from the opposite edges around it."""
    return _repeated(_repeated(x, x.shape[-2] + 2 * around, -2), x.shape[-1] + 2 * around, -1)


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
