"""Weights of FastGAN's generator -> our config and tensors: the authors' code (FastGAN-pytorch) and that of Projected GANs.

The sizes are read off the tensors. Spectral norms are folded into the weights, as they are used when pictures are drawn. Its noise
comes with no file: it is drawn here once.
"""

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path

import torch

from studio.models.importers.imported import ImportedModel, UnsupportedCheckpoint, config_of
from studio.models.importers.torch_weights import Tensors
from studio.networks.generative.fastgan import FastGANConfig

State = dict[str, torch.Tensor]
_SIDES = (8, 16, 32, 64, 128, 256, 512, 1024)
_SMALLEST = 128  # pictures of that code; it has layers of 256 px even then


def recognises(weights: Mapping[str, object]) -> bool:
    """Whether tensors of these names are those of its generator."""
    return any({f"{prefix}init.init.0.weight_orig", f"{prefix}feat_8.1.weight_orig"} <= weights.keys() for prefix in _prefixes())


def _prefixes() -> list[str]:
    return [wrapper + part for wrapper in ("", "module.", "g.") for part in ("", "synthesis.")]


def read(path: Path, weights: Mapping[str, torch.Tensor]) -> ImportedModel:
    """Weights of the generator, and where they were read -> config and tensors.  Raises UnsupportedCheckpoint."""
    prefix = next(p for p in _prefixes() if f"{p}init.init.0.weight_orig" in weights)
    names = {name: name.removeprefix(prefix) for name in weights if name.startswith(prefix) and not name.startswith("d.")}
    t, state = Tensors({ours: weights[name] for name, ours in names.items()}), {}
    projected = "to_big.bias" in t.all
    noise = torch.Generator().manual_seed(0)

    state["synthesis.first.weight"] = _folded(t, "init.init.0", transposed=True)
    _norm(t, state, "synthesis.first_norm", "init.init.1")
    widths, twice = {4: state["synthesis.first.weight"].shape[1] // 2}, {}
    last = _folded(t, "to_big")
    present = [side for side in _SIDES if f"feat_{side}.1.weight_orig" in t.all]
    if present != list(_SIDES[: len(present)]) or len(present) < 5:
        raise UnsupportedCheckpoint("blocks of FastGAN that do not follow each other")
    resolution = next((side for side in present if side >= _SMALLEST and _width(t, side) == last.shape[1]), None)
    if resolution is None or (resolution != present[-1] and present[-1] != 256):
        raise UnsupportedCheckpoint("a last layer that fits no block of FastGAN")
    for side in present:
        if side > resolution:
            t.skip(*(name for name in t.all if re.match(rf"(feat|se)_{side}\.", name)))
            continue
        twice[side] = f"feat_{side}.5.weight_orig" in t.all
        # up, convolution, (noise,) norm, gate, convolution, noise, norm, gate
        for k, (conv, noisy, norm) in enumerate(((1, 2, 3), (5, 6, 7)) if twice[side] else ((1, None, 2),)):
            ours, theirs = f"synthesis.b{side}.conv{k}", f"feat_{side}"
            state[f"{ours}.conv.weight"] = _folded(t, f"{theirs}.{conv}")
            _norm(t, state, f"{ours}.norm", f"{theirs}.{norm}")
            if noisy:
                state[f"{ours}.noise_strength"] = t.take(f"{theirs}.{noisy}.weight", 1)[0]
                state[f"{ours}.noise_const"] = torch.randn(side, side, generator=noise)
        widths[side] = _width(t, side)
        if f"se_{side}.main.1.weight_orig" in t.all:
            state[f"synthesis.excite{side}.look.weight"] = _folded(t, f"se_{side}.main.1")
            state[f"synthesis.excite{side}.weigh.weight"] = _folded(t, f"se_{side}.main.3")
    state["synthesis.torgb.weight"] = last
    if projected:
        state["synthesis.torgb.bias"] = t.take("to_big.bias", 1)
    if len(last) != 3:
        raise UnsupportedCheckpoint(f"a generator of {len(last)} channels; only 3, pictures in colour, can be shown")
    # A small picture that its training looks at beside the large one.
    t.skip(*(name for name in t.all if name.startswith("to_128.")))
    t.check_all_used("FastGAN")
    config = config_of(
        FastGANConfig,
        resolution=resolution,
        z_dim=state["synthesis.first.weight"].shape[0],
        widths=tuple(widths.values()),
        twice=tuple(int(v) for v in twice.values()),
        normalized=projected,
        bias=projected,
        tanh=not projected and resolution == 1024,  # the authors' code has it at this size only
    )
    source = "FastGAN weights of Projected GANs' code" if projected else "weights of FastGAN's own code"
    notes = ("Its noise, which no file holds, was drawn here.",) if any(twice.values()) else ()
    return ImportedModel("fastgan", dataclasses.asdict(config), state, path.stem, source, notes)


def _width(t: Tensors, side: int) -> int:
    """Channels that a block puts out; its convolutions give twice as many to the gate."""
    return t.all[f"feat_{side}.1.weight_orig"].shape[0] // 2


def _folded(t: Tensors, name: str, transposed: bool = False) -> torch.Tensor:
    """A weight divided by its spectral norm, as torch takes it from the vectors of its last training step.

    transposed: of a transposed convolution, whose outputs are its second axis.
    """
    weight, u, v = t.take(f"{name}.weight_orig", 4), t.take(f"{name}.weight_u", 1), t.take(f"{name}.weight_v", 1)
    t.skip(f"{name}.weight")
    matrix = (weight.transpose(0, 1) if transposed else weight).flatten(1)
    if matrix.shape != (len(u), len(v)):
        raise UnsupportedCheckpoint(f"'{name}.weight_u' and '{name}.weight_v' that do not fit the weight")
    weight = weight / (u @ (matrix @ v))
    if not torch.isfinite(weight).all():
        raise UnsupportedCheckpoint("a weight whose spectral norm is 0")
    return weight


def _norm(t: Tensors, state: State, ours: str, theirs: str) -> None:
    for part in ("weight", "bias", "running_mean", "running_var"):
        state[f"{ours}.{part}"] = t.take(f"{theirs}.{part}", 1)
    t.skip(f"{theirs}.num_batches_tracked")
