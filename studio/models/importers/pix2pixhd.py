"""Weights of pix2pixHD's global generator (latest_net_G.pth) -> our config and tensors.

Its layers have the names of CycleGAN's ResNet, whose residual blocks begin after two halvings; these begin after three or more.
"""

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path

import torch

from studio.models.importers.imported import ImportedModel, UnsupportedCheckpoint, config_of
from studio.models.importers.torch_weights import Tensors
from studio.networks.translation.pix2pixhd import Pix2PixHDConfig

_BEFORE = 4  # a mirrored border, a convolution, a norm and ReLU come before the first halving; each halving is three layers
_BLOCK = re.compile(r"(?:module\.)?model\.(\d{1,3})\.conv_block\.")
_ENHANCER = "model1_1.1.weight"


def recognises(weights: Mapping[str, torch.Tensor]) -> bool:
    """Whether these are weights of its generator; `read` refuses that of the second stage."""
    return any(name.removeprefix("module.") == _ENHANCER for name in weights) or _halvings(weights) in (3, 4, 5, 6)


def _halvings(weights: Mapping[str, torch.Tensor]) -> float | None:
    """How many there are before the first residual block; None = no block, a fraction = other layers."""
    blocks = [int(found.group(1)) for found in map(_BLOCK.match, weights) if found]
    return (min(blocks) - _BEFORE) / 3 if blocks else None


def read(path: Path, weights: Mapping[str, torch.Tensor]) -> ImportedModel:
    """Weights of the generator, and where they were read -> config and tensors.  Raises UnsupportedCheckpoint."""
    t, state = Tensors({name.removeprefix("module."): tensor for name, tensor in weights.items()}), {}
    if _ENHANCER in t.all:
        raise UnsupportedCheckpoint(
            "pix2pixHD with a local enhancer, its second stage, which is not supported",
            "Import the generator of its first stage (--netG global).",
        )
    halvings = int(_halvings(weights) or 0)
    blocks = t.numbers(r"model\.(\d{1,3})\.conv_block\.")
    if blocks != list(range(blocks[0], blocks[0] + len(blocks))):
        raise UnsupportedCheckpoint("residual blocks that do not follow each other")

    def conv(name: str) -> torch.Tensor:
        state[f"G.{name}.weight"], state[f"G.{name}.bias"] = t.take(f"{name}.weight", 4), t.take(f"{name}.bias", 1)
        return state[f"G.{name}.weight"]

    first = conv("model.1")
    for i in range(halvings):
        conv(f"model.{_BEFORE + 3 * i}")
    for i in blocks:
        for k in (1, 5):
            conv(f"model.{i}.conv_block.{k}")
    after = blocks[-1] + 1
    for i in range(halvings):
        conv(f"model.{after + 3 * i}")
    last = conv(f"model.{after + 3 * halvings + 1}")
    # torch before 0.4 kept statistics of instance norm, which nothing ever read.
    norms = ("running_mean", "running_var", "num_batches_tracked")
    t.skip(*(name for name in t.all if name.endswith(norms) and f"{name.rpartition('.')[0]}.weight" not in t.all))
    t.check_all_used("pix2pixHD")
    config = config_of(
        Pix2PixHDConfig,
        "Of pix2pixHD, generators that take pictures are imported (--label_nc 0 --no_instance), not those that take label maps.",
        ngf=len(first),
        halvings=halvings,
        blocks=len(blocks),
        input_channels=first.shape[1],
        output_channels=len(last),
    )
    return ImportedModel("pix2pixhd", dataclasses.asdict(config), state, path.stem, "weights of pix2pixHD's global generator")
