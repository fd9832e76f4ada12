"""Importers of foreign checkpoints, one file per format: each gives the config and tensors of one of our families.

Nothing above this floor knows the formats.
"""

import stat
import typing
from collections.abc import Callable
from pathlib import Path

import torch

from studio.common.text import some_of
from studio.errors import StudioError
from studio.models.importers import (
    animegan2,
    biggan,
    cyclegan,
    dcgan,
    fastgan,
    lucidrains,
    ncnn,
    nvidia,
    pix2pixhd,
    r3gan,
    rosinality,
    strangers,
    torch_weights,
    upscalers,
)
from studio.models.importers.cyclegan import Statistics
from studio.models.importers.imported import ImportedModel, UnsupportedCheckpoint, excerpt

_MAX_BYTES = 4 << 30
_HINT = (
    "NVIDIA network pickles (.pkl) of StyleGAN2 and StyleGAN3, PyTorch weights (.pth, .pt, .bin) of StyleGAN2 (rosinality's, lucidrains'), "
    "DCGAN, BigGAN, FastGAN, R3GAN, CycleGAN, CUT, pix2pix, pix2pixHD and AnimeGANv2, and upscalers and restorers (.pth, .safetensors, "
    "ncnn's .param and .bin) can be imported."
)
_WEIGHTS_HINT = (
    "Of weights, StyleGAN2's of rosinality and lucidrains (.pt), BigGAN's (G_ema.pth), pytorch-pretrained-biggan's (pytorch_model.bin), "
    "DCGAN's, FastGAN's, R3GAN's, CycleGAN's, CUT's, pix2pix's and AnimeGANv2's generators (latest_net_G.pth), and upscalers and "
    "restorers such as ESRGAN, Real-ESRGAN and SwinIR can be imported."
)
# Each has recognises(weights) and read(path, weights). pix2pixHD's layers have the names of CycleGAN's, so it comes first.
_WEIGHTS_IMPORTERS = (pix2pixhd, cyclegan, biggan, dcgan, rosinality, lucidrains, fastgan, r3gan, animegan2)


def import_file(path: str | Path, statistics: Statistics = "picture") -> ImportedModel:
    """Read a foreign checkpoint; its format is recognised by its content, not by its name. Nothing in it is run.

    statistics: of a translator whose norm layers have running statistics, whether it uses those of each picture, as its published
    test script does, or the running ones.
    Raises StudioError, which says what the file seems to be or what prevents its import.
    """
    path = Path(path)
    if statistics not in typing.get_args(Statistics):
        raise StudioError(f"There are no statistics '{statistics!s:.40}'.", "Say 'picture' or 'running'.")
    try:
        facts = path.stat()
        if not stat.S_ISREG(facts.st_mode):  # opening a pipe would wait forever
            raise StudioError(f"{path.name} is not a file.", "Choose a checkpoint file.")
        with open(path, "rb") as f:
            head = f.read(1024)
    except (OSError, ValueError) as e:
        reason = getattr(e, "strerror", None) or e
        raise StudioError(f"{path.name} cannot be read: {reason}.", "Check the path.") from None
    if not head:
        raise StudioError(f"{path.name} is empty (0 bytes).", "Download it again.")
    safetensors = torch_weights.looks_like_safetensors(head)
    if safetensors:  # named before anything is read into memory: of these, many are far too large
        _refuse(path, strangers.of_tensors(torch_weights.safetensors_names(path)))
    if facts.st_size > _MAX_BYTES:
        raise StudioError(f"{path.name} is larger than 4 GB.", "No supported checkpoint is.")
    if torch_weights.looks_like_weights(head):
        return _import_weights(path, torch_weights.load_tensors, "PyTorch weights", statistics)
    if safetensors:
        return _import_weights(path, torch_weights.load_safetensors, "weights (safetensors)", statistics)
    if nvidia.looks_like_pickle(head):
        return nvidia.read(path)
    if head.startswith(ncnn.MAGIC) or ncnn.weights_beside(path, head):
        return ncnn.read(path)
    if stranger := (strangers.of_zip(path) if head.startswith(b"PK\x03\x04") else None) or strangers.of_head(head, path.name):
        raise StudioError(f"{path.name} {stranger.what}.", stranger.advice)
    raise StudioError(f"{path.name} {strangers.in_words(head)}.", _HINT)


def _import_weights(path: Path, load: Callable[[Path], dict[str, torch.Tensor]], what: str, statistics: Statistics) -> ImportedModel:
    """Import tensors by name; the names reveal the family.  load: reads them.  what: what the file holds, in words."""

    with torch_weights.studio_errors(path, _WEIGHTS_HINT):
        _refuse(path, strangers.of_zip(path))
        weights = load(path)
        for importer in _WEIGHTS_IMPORTERS:
            if importer.recognises(weights):
                return importer.read(path, weights, **({"statistics": statistics} if importer is cyclegan else {}))
        _refuse(path, strangers.of_tensors(weights))
        try:
            if found := upscalers.read(path, weights):
                return found
        except UnsupportedCheckpoint:
            _refuse(path, strangers.of_tensors(weights, unread=True))
            raise
        _refuse(path, strangers.of_tensors(weights, unread=True))
        names = some_of([f"'{excerpt(name, 40)}'" for name in weights], 4)
        raise UnsupportedCheckpoint(f"{what} of an unknown kind: {names}")


def _refuse(path: Path, stranger: strangers.Stranger | None) -> None:
    """Raises StudioError for a kind of file that is known, and known not to be importable."""
    if stranger:
        raise StudioError(f"{path.name} was not imported: it {stranger.what}.", stranger.advice)
