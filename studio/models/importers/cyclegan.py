"""Generators of CycleGAN, pix2pix and CUT (latest_net_G.pth, latest_net_G_A.pth) -> our config and tensors.

What such a network is, is told by the order and the shapes of its layers, whatever they are called: a ResNet of three to twelve
blocks, which becomes a CycleGAN, or a U-Net for 64 to 512 px, which becomes a pix2pix. Numbers in the names tell the layers
without tensors apart: a border that is mirrored by a layer of its own, dropout.
"""

import dataclasses
import itertools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from studio.errors import StudioError
from studio.models.importers.imported import ImportedModel, UnsupportedCheckpoint, config_of
from studio.models.importers.layer_order import BATCHES_SEEN, Layer, LayerReader, layers_of, misfit
from studio.models.importers.torch_weights import load_tensors
from studio.models.importers.wrappers import generators_among
from studio.networks.layers import BatchNorm
from studio.networks.translation.cyclegan import CycleGANConfig
from studio.networks.translation.pix2pix import Pix2PixConfig
from studio.networks.translation.resnet_unet_patchgan import BLOCKS, HALVINGS, SmoothDoubling, SmoothHalving, make_generator, net_parts

Statistics = Literal["picture", "running"]
_MAX_PARTNER_BYTES = 1 << 30
_OUTERMOST = "model.model.0.weight"  # of the published U-Net
_BLOCK = re.compile(r"model\.\d{1,3}\.(conv_block|block)\.\d")
_BY_PICTURE = (
    "Its norm layers use the statistics of each picture, as the published test script does. Imported again with "
    "`studio import FILE --statistics running` it uses the running statistics of its training."
)
_BY_RUNNING = "Its norm layers use the running statistics of its training. The published test script uses those of each picture."
_PLAIN = "It has neither weights of a norm nor biases before one, and is taken for a network without norm layers."
_UNNUMBERED = (
    "The names in its file do not say how borders are padded: they are mirrored, as in the paper. Compare a picture with one of the "
    "original."
)

State = dict[str, torch.Tensor]
Facts = dict[str, Any]


def recognises(weights: Mapping[str, torch.Tensor]) -> bool:
    """Whether this is a generator or a discriminator; `read` refuses the latter."""
    return any(_is_generator(state) or _is_discriminator(state) for state in _by_side(weights).values())


def read(path: Path, weights: Mapping[str, torch.Tensor], statistics: Statistics = "picture") -> ImportedModel:
    """Weights, and where they were read -> config and tensors of the generator.

    statistics: by which norm layers that have running ones normalise: those of each picture, as the published test script
    does, or the running ones.  Of latest_net_G_A.pth and latest_net_G_B.pth in one folder, either brings both directions, as a
    file does that holds two generators.  Raises UnsupportedCheckpoint.
    """
    sides = _by_side(weights)
    found = {side: _Generator(state, statistics) for side, state in sides.items()}
    way, other = _ways(path)
    notes: list[str] = []
    if len(found) == 1 and other is not None:
        found = {way: next(iter(found.values()))}
        try:
            partner = next(iter(_by_side(load_tensors(other)).values()))
            found["B" if way == "A" else "A"] = _Generator(partner, statistics)
            _check_partners(found)
        except (UnsupportedCheckpoint, StudioError, OSError) as e:
            reason = f"it holds {e}" if isinstance(e, UnsupportedCheckpoint) else e
            notes.append(f"The other direction, {other.name}, was left out: {reason}.")
            found = {"A": found[way]}
    elif len(found) == 2:
        _check_partners(found)
    both = len(found) == 2
    first = found["A"] if both else next(iter(found.values()))
    unet = first.facts["net"].startswith("unet") and not both
    config = (
        config_of(Pix2PixConfig, **first.facts) if unet else config_of(CycleGANConfig, **first.facts, directions="both" if both else "AtoB")
    )
    if unet:
        notes.append("The published code keeps dropout on when drawing; here it is off, so the result is always the same.")
    names = {"A": "G" if unet else "G_A2B", "B": "G_B2A"}
    return ImportedModel(
        family="pix2pix" if unet else "cyclegan",
        config=dataclasses.asdict(config),
        state_dict={f"{names[s]}.{k}": v for s, g in (found if both else {"A": first}).items() for k, v in g.state.items()},
        title=path.stem.removesuffix(f"_{way}") if both else path.stem,
        source="state dict of CycleGAN, pix2pix or CUT",
        notes=(*notes, *first.notes),
    )


def _by_side(weights: Mapping[str, torch.Tensor]) -> dict[str, State]:
    """The generators in a file by the side they start from: 'A' (also of the only one) and 'B', without what stands before all names.

    That is 'module.' of training on several cards, and 'netG.' and the like where discriminators lie beside.
    """
    state, depth = dict(weights), 0
    while depth < 4 and state:
        depth += 1
        tops = {name.partition(".")[0] for name in state}
        if tops == {"module"}:
            state = _below("module", state)
            continue
        sides = generators_among(tops)
        if len(sides) == 2:
            return {side: next(iter(_by_side(_below(top, state)).values())) for side, top in sides.items()}
        if not sides:
            break
        state = _below(next(iter(sides.values())), state)
    return {"A": state}


def _below(top: str, state: Mapping[str, torch.Tensor]) -> State:
    return {name.partition(".")[2]: tensor for name, tensor in state.items() if name.startswith(f"{top}.")}


def _is_discriminator(weights: State) -> bool:
    """A PatchGAN begins with a 4x4 kernel, a pixel discriminator with one pixel."""
    patch = "model.2.weight" in weights and "model.0.weight" in weights and weights["model.0.weight"].shape[2:] == (4, 4)
    return patch or ("net.2.weight" in weights and "net.0.weight" in weights and weights["net.0.weight"].shape[2:] == (1, 1))


def _is_generator(weights: State) -> bool:
    if _OUTERMOST in weights or any(_BLOCK.match(name) for name in weights):
        return True
    try:
        _resnet_facts(layers_of(weights))
    except UnsupportedCheckpoint:
        return False
    return True


def _ways(path: Path) -> tuple[str, Path | None]:
    """The direction in the file's name, 'A' (from A to B) or 'B', and the file of the other direction, if it is there."""
    found = re.fullmatch(r"(.*net_G_)([AB])(\..+)", path.name)
    if not found:
        return "A", None
    way = found.group(2)
    other = path.with_name(f"{found.group(1)}{'B' if way == 'A' else 'A'}{found.group(3)}")
    return way, other if other.is_file() and other.stat().st_size <= _MAX_PARTNER_BYTES else None


# -- one generator -----------------------------------------------------------------------------------------------------


class _Generator:
    """One generator: facts (settings of the config), tensors under our names, notes for the card."""

    def __init__(self, weights: State, statistics: Statistics):
        if _is_discriminator(weights):
            raise UnsupportedCheckpoint("a discriminator, which scores pictures but makes none: choose the file with net_G in its name")
        layers, self.notes = layers_of(weights), ()
        is_unet = _OUTERMOST in weights
        self.facts, reader = _unet_facts(layers) if is_unet else _resnet_facts(layers), LayerReader(weights, layers)
        norm, biased = _norm_of(layers[2 if is_unet else 1], layers)
        kept = any("running_mean" in layer.shapes for layer in layers)
        self.facts["norm"] = "batch" if kept and statistics == "running" else norm
        if kept:
            self.notes = (_BY_PICTURE if statistics == "picture" else _BY_RUNNING,)
        elif norm == "none":
            self.notes = (_PLAIN,)
        if not is_unet and not _told_by_numbers(layers, self.facts):
            self.notes = (*self.notes, _UNNUMBERED)
        cfg = config_of(CycleGANConfig, **self.facts)
        with torch.device("meta"):  # the layers that ours has, without their memory
            ours = make_generator(cfg, cfg.input_channels, cfg.output_channels)
        _match(ours, reader, biased)
        self.state = reader.state


def _check_partners(found: dict[str, _Generator]) -> None:
    """Raises UnsupportedCheckpoint when two generators cannot be the two directions of one model."""
    a, b = found["A"].facts, found["B"].facts
    if b != {**a, "input_channels": a["output_channels"], "output_channels": a["input_channels"]}:
        raise UnsupportedCheckpoint("another architecture")


def _norm_of(following: Layer, layers: list[Layer]) -> tuple[str, bool]:
    """The norm by picture that a network has, and whether its convolutions have biases.  following: the layer after the first
    convolution that a norm follows.

    A norm without weights leaves no trace but the bias of the convolution before it, which the published code omits otherwise.
    """
    biased = any("bias" in layer.shapes for layer in layers if layer.is_conv and layer.name != _last_conv(layers).name)
    if following.is_norm:
        return ("instance_affine" if following.weight else "instance"), biased
    return ("instance" if biased else "none"), biased


def _last_conv(layers: list[Layer]) -> Layer:
    """The convolution that makes the picture: it comes last in a ResNet and in a U-Net as well, whose sequences hold those below."""
    return [layer for layer in layers if layer.is_conv][-1]


def _resnet_facts(layers: list[Layer]) -> Facts:
    convs = [layer for layer in layers if layer.is_conv]
    if len(convs) < 8:
        raise UnsupportedCheckpoint("a generator of too few layers" if convs else "no tensor of a convolution")
    first, inner, blocks, ups, last = convs[0], convs[1:3], convs[3:-3], convs[-3:-1], convs[-1]
    width = first.weight[0]
    kernels = [(first, (width, first.weight[1], 7, 7)), (last, (last.weight[0], width, 7, 7))]
    kernels += [(layer, (2 * c, c, 3, 3)) for layer, c in zip(inner, (width, 2 * width), strict=True)]
    kernels += [(layer, (4 * width, 4 * width, 3, 3)) for layer in blocks]
    for layer, shape in kernels:
        if layer.weight != shape:
            raise misfit(layer)
    if len(blocks) % 2 or len(blocks) // 2 not in BLOCKS:
        count = f"{len(blocks) / 2:g}"
        raise UnsupportedCheckpoint(f"a generator of {count} residual blocks; {BLOCKS[0]} to {BLOCKS[-1]} are supported")
    transposed = ups[0].weight[:2] == (4 * width, 2 * width)
    for layer, c in zip(ups, (4 * width, 2 * width), strict=True):
        if layer.weight != ((c, c // 2, 3, 3) if transposed else (c // 2, c, 3, 3)):
            raise misfit(layer)
    filters = [i for i, layer in enumerate(layers) if layer.is_filter]
    downsampling = "antialias" if any(i < layers.index(blocks[0]) for i in filters) else "strided"
    upsampling = "antialias" if any(i > layers.index(blocks[-1]) for i in filters) else "transposed" if transposed else "resize"
    return dict(
        net=f"resnet_{len(blocks) // 2}blocks",
        ngf=width,
        input_channels=first.weight[1],
        output_channels=last.weight[0],
        resolution=256,
        upsampling=upsampling,
        downsampling=downsampling,
    )


def _told_by_numbers(layers: list[Layer], facts: Facts) -> bool:
    """Whether the numbers in the names of the convolutions say which layers without tensors lie between; they enter the facts."""
    found = [layer.numbers for layer in layers if layer.is_conv]
    names = {re.sub(r"\d+", "", layer.name) for layer in layers}
    if {"down_blocks..conv.", "res_blocks..block..conv."} <= names:  # that code mirrors the border of every convolution
        facts["downsampling"] = "strided_reflect"
        return True
    blocks, ways = net_parts(facts["net"])[1], ("resize", "resize_zero") if facts["upsampling"] == "resize" else (facts["upsampling"],)
    for upsampling, padding, dropout in itertools.product(ways, ("reflect", "zero"), (False, True)):
        if found == _numbers(blocks, upsampling, facts["downsampling"], padding, dropout):
            facts.update(upsampling=upsampling, padding=padding, dropout=dropout)
            return True
    return False


def _numbers(blocks: int, upsampling: str, downsampling: str, padding: str, dropout: bool) -> list[tuple[int, ...]]:
    """The numbers of the convolutions in the sequences of a ResNet. A border, a norm, ReLU and a filter take one each."""
    at, found = 4, [(1,)]
    for _ in range(2):
        found.append((at,))
        at += 4 if downsampling == "antialias" else 3
    border = 1 if padding == "reflect" else 0
    for _ in range(blocks):
        found += [(at, border), (at, 2 * border + 3 + dropout)]
        at += 1
    before = {"transposed": 0, "antialias": 1, "resize": 2, "resize_zero": 1}[upsampling]
    for _ in range(2):
        found.append((at + before,))
        at += before + 3
    return [*found, (at + 1,)]


def _unet_facts(layers: list[Layer]) -> Facts:
    convs = [layer for layer in layers if layer.is_conv]
    if any(layer.weight[2:] != (4, 4) for layer in convs):
        raise misfit(next(layer for layer in convs if layer.weight[2:] != (4, 4)))
    first, last, downs = convs[0], convs[-1], len(convs) // 2
    if downs not in HALVINGS:
        raise UnsupportedCheckpoint(
            f"a U-Net of {downs} halvings; supported are {HALVINGS[0]} to {HALVINGS[-1]}, for {2 ** HALVINGS[0]} to {2 ** HALVINGS[-1]} px"
        )
    return dict(
        net=f"unet_{2**downs}",
        ngf=first.weight[0],
        input_channels=first.weight[1],
        output_channels=last.weight[1],
        resolution=2**downs,
        upsampling="transposed",
        dropout=True,
    )


# -- tensors -----------------------------------------------------------------------------------------------------------


def _match(ours: nn.Module, reader: LayerReader, biased: bool) -> None:
    """Take the tensors of each layer of ours from the next layer of theirs.  biased: whether their convolutions have biases.

    Raises UnsupportedCheckpoint for a layer too many, too few, or of another shape.
    """
    bias, last = None, [m for m in ours.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)][-1]
    for name, module in ours.named_modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            if bias is not None and bias.any():
                raise UnsupportedCheckpoint("biases where a network with running statistics has none here", "Use those of each picture.")
            bias = _take_conv(name, module, reader, biased or module is last)
        elif isinstance(module, BatchNorm):
            _take_batch_norm(name, module, reader, bias)
            bias = None
        elif isinstance(module, nn.InstanceNorm2d):
            _take_instance_norm(name, module, reader)
        elif isinstance(module, SmoothHalving | SmoothDoubling):
            _check_filter(name, module, reader)
    reader.tensors.check_all_used("pix2pix" if "unet" in type(ours).__name__.lower() else "CycleGAN")


def _take_conv(name: str, module: nn.Conv2d | nn.ConvTranspose2d, reader: LayerReader, biased: bool) -> torch.Tensor | None:
    """Weight and bias; returns a bias that ours has no room for, as a BatchNorm follows."""
    layer = reader.next_layer(name)
    if not layer.is_conv or layer.weight != tuple(module.weight.shape):
        raise misfit(layer)
    reader.state[f"{name}.weight"] = reader.take(layer, "weight", 4)
    bias = reader.take(layer, "bias") if biased else torch.zeros(module.out_channels)
    if len(bias) != module.out_channels:
        raise misfit(layer)
    if module.bias is None:
        return bias
    reader.state[f"{name}.bias"] = bias
    return None


def _take_batch_norm(name: str, module: BatchNorm, reader: LayerReader, bias: torch.Tensor | None) -> None:
    """bias: of the convolution before, by which the mean is lower without it."""
    layer = reader.next_layer(name)
    if not layer.is_norm:
        raise misfit(layer)
    parts = {part: reader.take(layer, part) for part in ("running_mean", "running_var")}
    for part, plain in (("weight", torch.ones), ("bias", torch.zeros)):  # of an instance norm with statistics alone
        parts[part] = reader.take(layer, part) if layer.weight else plain(len(module.weight))
    if bias is not None:
        parts["running_mean"] = parts["running_mean"] - bias
    for part, tensor in parts.items():
        if tensor.shape != module.weight.shape:
            raise misfit(layer)
        reader.state[f"{name}.{part}"] = tensor
    reader.state[f"{name}.batches_seen"] = torch.tensor(BATCHES_SEEN)
    reader.skip_statistics(layer)


def _take_instance_norm(name: str, module: nn.InstanceNorm2d, reader: LayerReader) -> None:
    if not module.affine and not (reader.left and reader.left[0].is_norm):
        return
    layer = reader.next_layer(name)
    if not layer.is_norm:
        raise misfit(layer)
    for part in ("weight", "bias") if module.affine else ():
        tensor = reader.take(layer, part)
        if len(tensor) != module.num_features:
            raise misfit(layer)
        reader.state[f"{name}.{part}"] = tensor
    reader.skip_statistics(layer)


def _check_filter(name: str, module: SmoothHalving | SmoothDoubling, reader: LayerReader) -> None:
    """Raises UnsupportedCheckpoint when their filter is another than ours."""
    layer = reader.next_layer(name)
    taps = torch.tensor(module.taps, dtype=torch.float32)
    wanted = taps[:, None] * taps * ((4 if isinstance(module, SmoothDoubling) else 1) / float(taps.sum()) ** 2)
    if not layer.is_filter or layer.shapes["filt"][1:] != (1, *wanted.shape):
        raise misfit(layer)
    if not torch.allclose(reader.take(layer, "filt", 4), wanted.expand(layer.shapes["filt"]), atol=1e-3):
        raise UnsupportedCheckpoint(f"'{layer.name}.filt', a filter that is not known here")
