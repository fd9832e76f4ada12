"""Weights of upscalers and restorers -> our config and tensors: ESRGAN's and Real-ESRGAN's networks, and those spandrel knows.

ESRGAN's layers have had three kinds of names: those of the first code (model.1.sub.0.RDB1.conv1.0), of BSRGAN and RealSR
(RRDB_trunk.0.RDB1.conv1), and of Real-ESRGAN (body.0.rdb1.conv1), which are ours.
"""

import dataclasses
import math
import re
from collections.abc import Mapping
from pathlib import Path

import torch

from studio.models.importers.imported import ImportedModel, UnsupportedCheckpoint, config_of, excerpt
from studio.models.importers.torch_weights import Tensors
from studio.networks.super_resolution.rrdb import RRDBConfig
from studio.networks.super_resolution.spandrel_network import SpandrelNetwork
from studio.networks.super_resolution.srvgg import SRVGGConfig

State = dict[str, torch.Tensor]
_MAX_BLOCKS = 256
_RENAMED = (  # (theirs, ours)
    (r"RRDB_trunk\.(\d+)\.RDB(\d)\.conv(\d)\.", r"body.\1.rdb\2.conv\3."),
    (r"model\.1\.sub\.(\d+)\.RDB(\d)\.conv(\d)\.0\.", r"body.\1.rdb\2.conv\3."),
    (r"model\.0\.", "conv_first."),
    (r"model\.1\.sub\.\d+\.(?=weight|bias)", "conv_body."),
    (r"trunk_conv\.", "conv_body."),
    (r"upconv(\d)\.", r"conv_up\1."),
    (r"HRconv\.", "conv_hr."),
)


def read(path: Path, weights: Mapping[str, torch.Tensor]) -> ImportedModel | None:
    """Weights -> config and tensors; None when they are of no known upscaler or restorer.  Raises UnsupportedCheckpoint."""
    weights = _bare(weights)
    for family, recognise, take in (("rrdb", _esrgan_names, rrdb), ("srvgg", _compact_names, srvgg)):
        if named := recognise(weights):
            config, state = take(named)
            source = "ESRGAN weights" if family == "rrdb" else "weights of Real-ESRGAN's compact network"
            return ImportedModel(family, dataclasses.asdict(config), state, path.stem, source)
    return _read_by_spandrel(path, weights)


def _bare(weights: Mapping[str, torch.Tensor]) -> State:
    """The weights without the prefixes that some training codes put before each name."""
    for prefix in ("module.", "netG.", "generator."):
        if all(name.startswith(prefix) for name in weights):
            weights = {name.removeprefix(prefix): tensor for name, tensor in weights.items()}
    return dict(weights)


# -- ESRGAN --------------------------------------------------------------------------------------------------------------


def _esrgan_names(weights: State) -> State | None:
    """The weights under our names, when they are of an ESRGAN."""
    if any(".conv1x1." in name for name in weights):  # ESRGAN+, which has more layers
        return None
    named = {}
    for name, tensor in weights.items():
        for theirs, ours in _RENAMED:
            name, found = re.subn(f"^{theirs}", ours, name)
            if found:
                break
        named[name] = tensor
    if "conv_first.weight" not in named or "body.0.rdb1.conv1.weight" not in named:
        return None
    return _end_named(named)


def _end_named(named: State) -> State:
    """The end of the first code's sequence: model.3, model.6, ... double the size, then come model.N and model.N+2."""
    places = sorted({int(m.group(1)) for m in (re.match(r"model\.(\d{1,2})\.(?:weight|bias)$", name) for name in named) if m})
    if len(places) < 2:
        return named
    ends = {place: f"conv_up{i + 1}" for i, place in enumerate(places[:-2])} | {places[-2]: "conv_hr", places[-1]: "conv_last"}
    out = {}
    for name, tensor in named.items():
        found = re.fullmatch(r"model\.(\d{1,2})\.(weight|bias)", name)
        out[f"{ends[int(found.group(1))]}.{found.group(2)}" if found else name] = tensor
    return out


def rrdb(named: State) -> tuple[RRDBConfig, State]:
    """Weights under our names -> config and the tensors of our network.  Raises UnsupportedCheckpoint."""
    t, state = Tensors(named), {}

    def conv(name: str) -> torch.Tensor:
        state[f"{name}.weight"], state[f"{name}.bias"] = t.take(f"{name}.weight", 4), t.take(f"{name}.bias", 1)
        return state[f"{name}.weight"]

    first = conv("conv_first")
    blocks = _sequence(t.numbers(r"body\.(\d{1,4})\."), "blocks")
    growth = 0
    for block in range(blocks):
        for rdb in (1, 2, 3):
            for k in (1, 2, 3, 4, 5):
                weight = conv(f"body.{block}.rdb{rdb}.conv{k}")
                growth = growth or weight.shape[0]
    conv("conv_body")
    doublings = _sequence([n - 1 for n in t.numbers(r"conv_up(\d)\.")], "doublings of the size", least=0)
    for i in range(doublings):
        conv(f"conv_up{i + 1}")
    conv("conv_hr")
    channels = conv("conv_last").shape[0]
    t.check_all_used("ESRGAN")
    fold = math.isqrt(first.shape[1] // channels)
    if fold**2 * channels != first.shape[1] or 2**doublings % fold:
        raise UnsupportedCheckpoint(f"an ESRGAN that turns {first.shape[1]} channels into {channels}, which is not a picture")
    facts = dict(img_channels=channels, width=first.shape[0], growth=growth, blocks=blocks)
    return config_of(RRDBConfig, scale=2**doublings // fold, doublings=doublings, **facts), state


# -- the compact network of Real-ESRGAN -----------------------------------------------------------------------------------


def _compact_names(weights: State) -> State | None:
    """The weights, when they are of the compact network."""
    only = all(re.fullmatch(r"body\.\d{1,4}\.(weight|bias)", name) for name in weights)
    return weights if only and "body.0.weight" in weights else None


def srvgg(named: State, act: str | None = None) -> tuple[SRVGGConfig, State]:
    """Weights -> config and the tensors of our network.  Raises UnsupportedCheckpoint.

    act: 'prelu', 'relu' or 'leakyrelu', if known; the last two have no weights that distinguish them.
    """
    t, state = Tensors(named), {}
    places = t.numbers(r"body\.(\d{1,4})\.weight")
    act = act or ("prelu" if "body.1.weight" in named else None)
    if act is None:
        raise UnsupportedCheckpoint("a compact network whose activations it does not name (ReLU or LeakyReLU)")
    step = 1 if act == "prelu" else 2
    if places != list(range(0, places[-1] + 1, step)) or places[-1] % 2 or not 2 <= places[-1] <= 2 * _MAX_BLOCKS + 2:
        raise UnsupportedCheckpoint("layers of a compact network that do not follow each other")
    for place in places:
        if place % 2:
            state[f"body.{place}.weight"] = t.take(f"body.{place}.weight", 1)
        else:
            state[f"body.{place}.weight"] = t.take(f"body.{place}.weight", 4)
            state[f"body.{place}.bias"] = t.take(f"body.{place}.bias", 1)
    t.check_all_used("compact network")
    first, last = state["body.0.weight"], state[f"body.{places[-1]}.weight"]
    scale = math.isqrt(last.shape[0] // first.shape[1])
    if scale**2 * first.shape[1] != last.shape[0]:
        raise UnsupportedCheckpoint(f"a compact network that turns {first.shape[1]} channels into {last.shape[0]}, which is not a picture")
    facts = dict(img_channels=first.shape[1], width=first.shape[0], convs=places[-1] // 2 - 1, act=act)
    return config_of(SRVGGConfig, scale=scale, **facts), state


# -- what spandrel knows --------------------------------------------------------------------------------------------------


def _read_by_spandrel(path: Path, weights: State) -> ImportedModel | None:
    if any(w.is_meta or w.is_sparse or w.is_quantized for w in weights.values()):
        raise UnsupportedCheckpoint("tensors without plain values")
    # Half precision is for storage only.
    weights = {k: v.float() if v.is_floating_point() else v for k, v in weights.items()}
    for name, value in weights.items():
        if not torch.isfinite(value).all():
            raise UnsupportedCheckpoint(f"'{excerpt(name, 60)}' with numbers that are not finite, as after a failed training")
    try:
        network = SpandrelNetwork.discover(weights)
    except ValueError as e:
        raise UnsupportedCheckpoint(excerpt(str(e), 200)) from None
    if network is None:
        return None
    config = network.config
    notes = [f"Architecture: {config.architecture}, read by spandrel."]
    if config.whole:
        notes.append("It looks at a picture as a whole: large pictures, drawn in pieces, may show seams.")
    return ImportedModel(
        "spandrel",
        dataclasses.asdict(config),
        # Tensors may share data there, which a model folder does not.
        {name: tensor.clone().contiguous() for name, tensor in network.state_dict().items()},
        path.stem,
        f"{config.architecture} weights",
        tuple(notes),
    )


def _sequence(numbers: list[int], what: str, least: int = 1) -> int:
    """How many there are, when they count 0, 1, 2, ... without a gap."""
    if numbers != list(range(len(numbers))) or not least <= len(numbers) <= _MAX_BLOCKS:
        raise UnsupportedCheckpoint(f"{what} that do not follow each other")
    return len(numbers)
