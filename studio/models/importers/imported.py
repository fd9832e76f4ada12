"""What every importer returns, and how it refuses a checkpoint."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch

Config = TypeVar("Config")


@dataclass(frozen=True)
class ImportedModel:
    """A foreign checkpoint, converted to a family of the studio.

    family, config, state_dict: of the generator; float32 tensors, exactly those of the family's network.
    title: made from the file's name.  source: what the file was, in words.  notes: sentences for the model card.
    discriminator_state: tensors of the discriminator for further training, when the file has one that fits;
    `config` describes it too. None otherwise, and a note says why.
    classes: names of the classes, where they are known.
    dtype: 'float16' when the file's weights have no more precision than that.
    """

    family: str
    config: dict[str, Any]
    state_dict: dict[str, torch.Tensor] = field(repr=False)
    title: str
    source: str
    notes: tuple[str, ...] = ()
    discriminator_state: dict[str, torch.Tensor] | None = field(default=None, repr=False)
    classes: tuple[str, ...] = field(default=(), repr=False)
    dtype: str = "float32"


class UnsupportedCheckpoint(Exception):
    """Why a checkpoint cannot be imported, as the end of a sentence "it holds ...".

    hint: what to do instead, where that is known.
    """

    def __init__(self, what: str, hint: str = ""):
        super().__init__(what)
        self.hint = hint


def config_of(config: Callable[..., Config], hint: str = "", /, **settings: Any) -> Config:
    """The config of a family with these settings. Raises UnsupportedCheckpoint for settings of which no network can be made."""
    try:
        return config(**settings)
    except (TypeError, ValueError) as e:
        raise UnsupportedCheckpoint(f"an unsupported architecture: {e}", hint) from None


def excerpt(text: Any, limit: int = 80) -> str:
    """Text from an untrusted file, safe to show: one short line without markup or control characters."""
    if not isinstance(text, str):
        return f"a {type(text).__name__}"
    shown = "".join(c if c.isalnum() or c in " ._-+:/,()" else "?" for c in text[:limit])
    return shown + ("..." if len(text) > limit else "")
