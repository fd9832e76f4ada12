"""Foreign checkpoints -> our own config and tensors, one file a format. Nothing above this floor knows the formats."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from studio.errors import StudioError

_MAX_BYTES = 4 << 30


@dataclass(frozen=True)
class Imported:
    """A checkpoint in our terms.

    family, config, state_dict: of the generator, float32.  title: made from the file's name.
    source: what the file was.  notes: sentences for the model card.
    discriminator_state: tensors of the discriminator when the file has one that fits the config.
    """

    family: str
    config: dict[str, Any]
    state_dict: dict[str, torch.Tensor]
    title: str
    source: str
    notes: tuple[str, ...] = ()
    discriminator_state: dict[str, torch.Tensor] | None = field(default=None, repr=False)


def import_file(path: str | Path) -> Imported:
    """Read a foreign checkpoint; its format is told from the content, not from the name.

    Raises StudioError, which says what the file seems to be, when it cannot be read.
    """
    from studio.models.importers import nvidia

    path = Path(path)
    try:
        size = path.stat().st_size
        with open(path, "rb") as f:
            head = f.read(512)
    except OSError as e:
        raise StudioError(f"The file {path.name} cannot be read: {e.strerror or e}.", "Check the path.") from None
    if size == 0:
        raise StudioError(f"The file {path.name} is empty.", "Download it again.")
    if size > _MAX_BYTES:
        raise StudioError(f"The file {path.name} is larger than 4 GB.", "No checkpoint of the known kinds is.")
    if nvidia.looks_like_pickle(head):
        return nvidia.read(path)
    raise StudioError(f"The file {path.name} {_seems(head)}.", "NVIDIA network .pkl files (StyleGAN2) can be imported.")


def _seems(head: bytes) -> str:
    start = head.lstrip().lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "is a web page, not a checkpoint: the download went wrong"
    if head.startswith(b"PK\x03\x04"):
        return "is a zip archive or a newer PyTorch file, of no kind known here"
    if head.startswith((b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF")):
        return "is a picture or a sound, not a checkpoint"
    if head.startswith(b"\x89HDF"):
        return "is an HDF5 file, as Keras writes it; it cannot be imported"
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 27:
        return "is a safetensors file without the config.json of a model folder"
    if head.startswith(b"version https://git-lfs"):
        return "is a placeholder of Git LFS, not the checkpoint itself"
    return "is of no kind known here"
