"""Card of a stored set: set.json beside its pictures."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio.datasets.labels import Labels, is_packing
from studio.datasets.origins import Origins
from studio.errors import StudioError

SET_FORMAT = 1


@dataclass(frozen=True)
class SetCard:
    """What set.json says."""

    raw: dict[str, Any]
    """All of it but the pictures."""
    pictures: list[tuple[str, str]]
    """(name, SHA-256 in hexadecimal), sorted."""
    labels: Labels
    """Of a label file; empty where the sub-folders are the classes."""
    origins: Origins
    """Under which names the pictures came."""

    @property
    def classes(self) -> dict[str, int]:
        """Pictures a class; empty if there is one class. Earlier studios took folders that only pack pictures for classes."""
        classes = {str(name): int(count) for name, count in self.raw["classes"].items()}
        meant = {name: n for name, n in classes.items() if self.labels or not all(is_packing(part) for part in name.split("/"))}
        return meant if len(meant) > 1 else {}


def is_stored_set(path: Path) -> bool:
    """Whether a folder is that of a stored set."""
    return (path / "set.json").is_file() and (path / "pictures").is_dir()


def read_card(path: Path) -> SetCard:
    """The card of the set in the folder `path`. Raises StudioError if it cannot be read."""
    try:
        raw = json.loads((path / "set.json").read_text(encoding="utf-8"))
        if raw["format"] != SET_FORMAT:
            raise StudioError(f"The image set in {path} was written by another version of the studio.", "Open it with that version.")
        pictures = [(str(name), str(sha)) for name, sha in raw.pop("pictures")]
        return SetCard(raw, pictures, Labels.from_dict(raw.get("labels")), Origins.from_card(raw))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as e:
        raise StudioError(f"The image set in {path} cannot be read: {e}.", "Add its pictures again.") from None
