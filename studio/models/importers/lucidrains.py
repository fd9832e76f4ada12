"""Checkpoints of lucidrains' stylegan2-pytorch (model_N.pt: GAN, version) -> our family of the same layout.

The averaged generator (SE, GE) is taken. The multiplier of the mapping, which shapes do not show, is in the .config.json
beside it. Noise is not in the file: one picture of it is drawn here, of which each layer gets the upper left, as in that package.
"""

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path

import torch

from studio.models.importers.imported import ImportedModel, UnsupportedCheckpoint, config_of, excerpt
from studio.models.importers.torch_weights import Tensors
from studio.networks.generative.lucidrains import LucidrainsConfig
from studio.networks.generative.lucidrains import Mapping as MappingNetwork

State = dict[str, torch.Tensor]
_MEAN_OF = 10_000  # draws for the mean of w
_MAX_CONFIG = 1 << 20
_LR_MLP = 0.1  # the package's own


def recognises(weights: Mapping[str, torch.Tensor]) -> bool:
    """Whether these are weights of its networks."""
    return "S.net.0.weight" in weights and "G.blocks.0.to_style1.weight" in weights


def read(path: Path, weights: Mapping[str, torch.Tensor]) -> ImportedModel:
    """Weights of all its networks, and where they were read -> config and tensors of the generator.  Raises UnsupportedCheckpoint."""
    averaged = "GE.blocks.0.to_style1.weight" in weights
    mapping, synthesis = ("SE.", "GE.") if averaged else ("S.", "G.")
    t = Tensors({k: v for k, v in weights.items() if k.startswith((mapping, synthesis))})
    notes = [] if averaged else ["It has no averaged generator (GE); the last state (G) was taken."]
    multiplier = _multiplier(path, notes)
    state: State = {}
    layers = _mapping(t, state, mapping)
    widths, attention = _blocks(t, state, synthesis)
    t.check_all_used("StyleGAN2 (lucidrains)")
    config = _config(widths, attention, state, layers, multiplier)
    state["mapping.w_avg"] = _mean(config, state)
    notes.append(f"It has no mean of w; it was measured over {_MEAN_OF:,} draws. Its noise, which the file does not hold, was drawn here.")
    if config.transparent:
        notes.append("Its pictures are transparent; here they are shown and saved on white.")
    title = path.stem if not path.stem.startswith("model_") or not path.parent.name else f"{path.parent.name} {path.stem}"
    return ImportedModel(
        "lucidrains", dataclasses.asdict(config), state, title, "checkpoint of lucidrains' stylegan2-pytorch", tuple(notes)
    )


def _multiplier(path: Path, notes: list[str]) -> float:
    """The multiplier of the mapping's weights: from the config beside the file, else the package's default."""
    file = path.with_name(".config.json")
    try:
        if file.is_file() and file.stat().st_size <= _MAX_CONFIG:
            value = json.loads(file.read_bytes()).get("lr_mlp", _LR_MLP)
            if type(value) in (int, float) and 0 < value <= 100:
                return float(value)
            raise UnsupportedCheckpoint(f"a .config.json beside it with an odd lr_mlp ({excerpt(str(value), 20)})")
        why = "there is no .config.json beside it"
    except (OSError, ValueError, AttributeError, RecursionError):
        why = "the .config.json beside it could not be read"
    notes.append(
        f"The multiplier of its mapping (lr_mlp) is not known: {why}. The package's own, {_LR_MLP}, was taken; if its pictures look "
        "broken, put the .config.json of its training into the same folder and import it again."
    )
    return _LR_MLP


def _mapping(t: Tensors, state: State, prefix: str) -> int:
    places = t.numbers(prefix.replace(".", r"\.") + r"net\.(\d{1,3})\.")
    if not places or places != list(range(0, 2 * len(places), 2)):  # an activation after each
        raise UnsupportedCheckpoint("a mapping whose layers do not follow each other")
    for i, place in enumerate(places):
        for part, ndim in (("weight", 2), ("bias", 1)):
            state[f"mapping.fc{i}.{part}"] = t.take(f"{prefix}net.{place}.{part}", ndim)
    return len(places)


def _blocks(t: Tensors, state: State, prefix: str) -> tuple[list[int], list[int]]:
    """(channels of what the first block gets and of each block, blocks with attention)."""
    if f"{prefix}to_initial_block.weight" in t.all:
        state["synthesis.first_map.weight"] = t.take(f"{prefix}to_initial_block.weight", 4)
        widths = [state["synthesis.first_map.weight"].shape[1]]
    else:
        state["synthesis.const"] = t.take(f"{prefix}initial_block", 4)[0]
        widths = [len(state["synthesis.const"])]
    for part, ndim in (("weight", 4), ("bias", 1)):
        state[f"synthesis.first.{part}"] = t.take(f"{prefix}initial_conv.{part}", ndim)
    pattern = prefix.replace(".", r"\.")
    numbers = t.numbers(pattern + r"blocks\.(\d{1,2})\.")
    if numbers != list(range(len(numbers))) or not 2 <= len(numbers) <= 10:
        raise UnsupportedCheckpoint(f"{len(numbers)} blocks instead of 2 to 10")
    side = 4 << numbers[-1]
    noise = torch.randn(side, side, generator=torch.Generator().manual_seed(0))
    for i in numbers:
        theirs, ours = f"{prefix}blocks.{i}", f"synthesis.b{4 << i}"
        for k in (1, 2):
            conv = f"{ours}.conv{k - 1}"
            state[f"{conv}.conv.weight"] = t.take(f"{theirs}.conv{k}.weight", 4)
            for part, ndim in (("weight", 2), ("bias", 1)):
                state[f"{conv}.conv.style.{part}"] = t.take(f"{theirs}.to_style{k}.{part}", ndim)
            state[f"{conv}.noise_weight"] = t.take(f"{theirs}.to_noise{k}.weight", 2)[:, 0].clone()
            state[f"{conv}.bias"] = t.take(f"{theirs}.to_noise{k}.bias", 1)
            state[f"{conv}.noise_const"] = noise[: 4 << i, : 4 << i].clone()
        widths.append(len(state[f"{ours}.conv1.bias"]))
        state[f"{ours}.torgb.weight"] = t.take(f"{theirs}.to_rgb.conv.weight", 4)
        if (channels := len(state[f"{ours}.torgb.weight"])) not in (3, 4) or channels != len(state["synthesis.b4.torgb.weight"]):
            raise UnsupportedCheckpoint("a generator of pictures that are not in colour")
        for part, ndim in (("weight", 2), ("bias", 1)):
            state[f"{ours}.torgb.style.{part}"] = t.take(f"{theirs}.to_rgb.to_style.{part}", ndim)
        if i < numbers[-1] and t.take(f"{theirs}.to_rgb.upsample.1.f", 1).tolist() != [1, 2, 1]:
            raise UnsupportedCheckpoint(f"a blur in block {i} that is not (1, 2, 1)")
    attention = t.numbers(pattern + r"attns\.(\d{1,2})\.")
    for i in attention:
        _attention(t, state, f"synthesis.b{4 << i}.attention", f"{prefix}attns.{i}")
    return widths, attention


def _attention(t: Tensors, state: State, ours: str, theirs: str) -> None:
    for norm, place in (("norm", 0), ("norm2", 1)):
        state[f"{ours}.{norm}.weight"] = t.take(f"{theirs}.{place}.fn.norm.g", 4).flatten()
        state[f"{ours}.{norm}.bias"] = t.take(f"{theirs}.{place}.fn.norm.b", 4).flatten()
    for name, place, bias in (
        ("query", "0.fn.fn.to_q", False),
        ("near", "0.fn.fn.to_kv.net.0", False),
        ("key_value", "0.fn.fn.to_kv.net.1", False),
        ("out", "0.fn.fn.to_out", True),
        ("widen", "1.fn.fn.0", True),
        ("narrow", "1.fn.fn.2", True),
    ):
        state[f"{ours}.{name}.weight"] = t.take(f"{theirs}.{place}.weight", 4)
        if bias:
            state[f"{ours}.{name}.bias"] = t.take(f"{theirs}.{place}.bias", 1)


def _config(widths: list[int], attention: list[int], state: State, layers: int, multiplier: float) -> LucidrainsConfig:
    blocks, most = len(widths) - 1, max(widths)
    # capacity * 2^(blocks - i) == width, for all that the maximum does not limit.
    capacity = next((w >> (blocks - i) for i, w in enumerate(widths[1:]) if w < most), math.ceil(most / 2))
    config = config_of(
        LucidrainsConfig,
        resolution=4 << (blocks - 1),
        w_dim=state["mapping.fc0.weight"].shape[1],
        mapping_layers=layers,
        mapping_lr_multiplier=multiplier,
        capacity=capacity,
        channel_max=most,
        attention=tuple(attention),
        transparent=len(state["synthesis.b4.torgb.weight"]) == 4,
        no_const="synthesis.first_map.weight" in state,
    )
    if widths != [config.channels(i) for i in range(-1, blocks)]:
        raise UnsupportedCheckpoint("channels that do not follow this package's rule")
    return config


def _mean(config: LucidrainsConfig, state: State) -> torch.Tensor:
    """The mean of w, (w_dim,), over many draws."""
    mapping = MappingNetwork(config)
    named = {k.removeprefix("mapping."): v for k, v in state.items() if k.startswith("mapping.fc")}
    if any(named[k].shape != v.shape for k, v in mapping.state_dict().items() if k != "w_avg"):
        raise UnsupportedCheckpoint("a mapping whose layers do not fit together")
    mapping.load_state_dict({**named, "w_avg": torch.zeros(config.w_dim)})
    with torch.no_grad():
        return mapping(torch.randn(_MEAN_OF, config.w_dim, generator=torch.Generator().manual_seed(0)))[:, 0].mean(dim=0)
