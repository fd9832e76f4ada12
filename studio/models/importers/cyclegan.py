"""Generators of the published CycleGAN and pix2pix code (latest_net_G.pth, latest_net_G_A.pth) -> our config and tensors.

The architecture is read off names and shapes. Our sequences are numbered like theirs, so tensors are taken over by name.
A ResNet becomes a CycleGAN; a U-Net alone becomes a pix2pix, which draws the same pictures whatever it was trained by.
"""

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from studio.errors import StudioError
from studio.models.importers.imported import ImportedModel, UnsupportedCheckpoint
from studio.models.importers.torch_weights import Tensors, load_tensors
from studio.networks.translation.cyclegan import CycleGANConfig
from studio.networks.translation.pix2pix import Pix2PixConfig

_FIRST_BLOCK = 10  # the residual blocks are model.10, model.11, ...
_BATCHES_SEEN = 10.0  # by a BatchNorm whose statistics are settled
_MAX_PARTNER_BYTES = 1 << 30

State = dict[str, torch.Tensor]


def recognises(weights: Mapping[str, torch.Tensor]) -> bool:
    """Whether the names are those of a generator or a discriminator; `read` refuses the latter."""
    weights = _bare(weights)
    return "model.10.conv_block.1.weight" in weights or "model.model.0.weight" in weights or _is_discriminator(weights)


def read(path: Path, weights: Mapping[str, torch.Tensor]) -> ImportedModel:
    """Weights, and where they were read -> config and tensors of the generator.

    With latest_net_G_A.pth and latest_net_G_B.pth in one folder, either one gives both directions.  Raises UnsupportedCheckpoint.
    """
    weights = _bare(weights)
    if _is_discriminator(weights):
        raise UnsupportedCheckpoint("a discriminator, which scores pictures but makes none: choose the file with net_G in its name")
    facts, state = _generator(weights)
    way, other = _ways(path)
    both, notes = {"A": state}, ()
    if other is not None:
        try:
            other_facts, other_state = _generator(_bare(load_tensors(other)))
            if other_facts != {**facts, "input_channels": facts["output_channels"], "output_channels": facts["input_channels"]}:
                raise UnsupportedCheckpoint("another architecture")
            both = {way: state, "B" if way == "A" else "A": other_state}
            facts = facts if way == "A" else other_facts
        except (UnsupportedCheckpoint, StudioError, OSError) as e:
            reason = f"it holds {e}" if isinstance(e, UnsupportedCheckpoint) else e
            notes = (f"The other direction, {other.name}, was left out: {reason}.",)
    if facts["net"].startswith("unet") and len(both) == 1:
        config, names = _config(Pix2PixConfig, **facts, dropout=True), {"A": "G"}
        notes = (*notes, "The published code keeps dropout on when drawing; here it is off, so the result is always the same.")
    else:
        config = _config(CycleGANConfig, **facts, directions="both" if len(both) == 2 else "AtoB")
        names = {"A": "G_A2B", "B": "G_B2A"}
    return ImportedModel(
        family="pix2pix" if isinstance(config, Pix2PixConfig) else "cyclegan",
        config=dataclasses.asdict(config),
        state_dict={f"{names[side]}.{name}": tensor for side, tensors in both.items() for name, tensor in tensors.items()},
        title=path.stem if len(both) == 1 else path.stem.removesuffix(f"_{way}"),
        source="state dict of pytorch-CycleGAN-and-pix2pix",
        notes=notes,
    )


def _bare(weights: Mapping[str, torch.Tensor]) -> State:
    """The weights without the 'module.' that training on several cards puts before each name."""
    if all(name.startswith("module.") for name in weights):
        return {name.removeprefix("module."): tensor for name, tensor in weights.items()}
    return dict(weights)


def _is_discriminator(weights: State) -> bool:
    """A PatchGAN begins with a 4x4 kernel, a pixel discriminator with one pixel."""
    patch = "model.2.weight" in weights and "model.0.weight" in weights and weights["model.0.weight"].shape[2:] == (4, 4)
    return patch or ("net.2.weight" in weights and "net.0.weight" in weights and weights["net.0.weight"].shape[2:] == (1, 1))


def _ways(path: Path) -> tuple[str, Path | None]:
    """The direction in the file's name, 'A' (from A to B) or 'B', and the file of the other direction, if it is there."""
    found = re.fullmatch(r"(.*net_G_)([AB])(\..+)", path.name)
    if not found:
        return "A", None
    way = found.group(2)
    other = path.with_name(f"{found.group(1)}{'B' if way == 'A' else 'A'}{found.group(3)}")
    return way, other if other.is_file() and other.stat().st_size <= _MAX_PARTNER_BYTES else None


def _config(config: type, **settings: Any) -> Any:
    try:
        return config(**settings)
    except (TypeError, ValueError) as e:
        raise UnsupportedCheckpoint(f"an unsupported architecture: {e}") from None


# -- one generator -----------------------------------------------------------------------------------------------------


def _generator(weights: State) -> tuple[dict[str, Any], State]:
    """Tensors -> (settings of the config, tensors under our names)."""
    layers = _Layers(Tensors(weights))
    facts = layers.unet() if "model.model.0.weight" in weights else layers.resnet()
    layers.t.check_all_used("CycleGAN" if facts["net"].startswith("resnet") else "pix2pix")
    return {**facts, "upsampling": "transposed"}, layers.state


class _Layers:
    """Takes the layers one by one, in the order of the published code's sequences."""

    def __init__(self, t: Tensors):
        self.t, self.state = t, {}
        # Instance norm has no weights there; what follows the first halving tells it from batch norm.
        first = "model.model.1.model.2" if "model.model.0.weight" in t.all else "model.2"
        self.batch = f"{first}.weight" in t.all

    def conv(self, name: str, bias: bool | None = None) -> torch.Tensor:
        """bias: None = where the norm has none of its own."""
        weight = self.state[f"{name}.weight"] = self.t.take(f"{name}.weight", 4)
        if not self.batch if bias is None else bias:
            self.state[f"{name}.bias"] = self.t.take(f"{name}.bias", 1)
        return weight

    def norm(self, name: str) -> None:
        if self.batch:
            for part in ("weight", "bias", "running_mean", "running_var"):
                self.state[f"{name}.{part}"] = self.t.take(f"{name}.{part}", 1)
            self.state[f"{name}.batches_seen"] = torch.tensor(_BATCHES_SEEN)
        else:
            # torch before 0.4 stored statistics of instance norm that were never read.
            self.t.skip(f"{name}.running_mean", f"{name}.running_var")
        self.t.skip(f"{name}.num_batches_tracked")

    def resnet(self) -> dict[str, Any]:
        first = self.conv("model.1")
        self.norm("model.2")
        for i in (4, 7):
            self.conv(f"model.{i}")
            self.norm(f"model.{i + 1}")
        blocks = self.t.numbers(r"model\.(\d{1,3})\.conv_block\.")
        if blocks not in (list(range(_FIRST_BLOCK, _FIRST_BLOCK + n)) for n in (6, 9)):
            raise UnsupportedCheckpoint(f"a generator of {len(blocks)} residual blocks; only 6 and 9 are supported")
        dropout = "model.10.conv_block.5.weight" not in self.t.all  # it stands before the second convolution
        for i in blocks:
            for conv in (1, 6 if dropout else 5):
                self.conv(f"model.{i}.conv_block.{conv}")
                self.norm(f"model.{i}.conv_block.{conv + 1}")
        after = blocks[-1] + 1
        for i in (after, after + 3):
            self.conv(f"model.{i}")
            self.norm(f"model.{i + 1}")
        last = self.conv(f"model.{after + 7}", bias=True)
        return dict(
            net=f"resnet_{len(blocks)}blocks",
            ngf=first.shape[0],
            input_channels=first.shape[1],
            output_channels=last.shape[0],
            norm=self._norm_name(),
            dropout=dropout,
            resolution=256,
        )

    def unet(self) -> dict[str, Any]:
        first, last = self.conv("model.model.0"), self.conv("model.model.3", bias=True)
        level, downs = "model.model.1.model", 2
        while f"{level}.3.model.1.weight" in self.t.all and downs < 9:
            self.conv(f"{level}.1")
            self.norm(f"{level}.2")
            self.conv(f"{level}.5")
            self.norm(f"{level}.6")
            level, downs = f"{level}.3.model", downs + 1
        if downs not in (7, 8):
            raise UnsupportedCheckpoint(f"a U-Net of {downs} or more halvings; only 7 and 8 (for 128 and 256 px) are supported")
        self.conv(f"{level}.1")
        self.conv(f"{level}.3")
        self.norm(f"{level}.4")
        return dict(
            net=f"unet_{2**downs}",
            ngf=first.shape[0],
            input_channels=first.shape[1],
            output_channels=last.shape[1],
            norm=self._norm_name(),
            resolution=2**downs,
        )

    def _norm_name(self) -> str:
        return "batch" if self.batch else "instance"
