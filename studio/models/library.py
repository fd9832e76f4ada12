"""The library: every model folder the studio can see."""

import difflib
from dataclasses import dataclass
from pathlib import Path

from studio.errors import StudioError
from studio.models.folder import ModelInfo, open_folder
from studio.settings import get_settings


@dataclass(frozen=True)
class Broken:
    """A folder that looks like a model and cannot be used, and why."""

    path: Path
    reason: str


class Library:
    """Model folders below some roots; the first root wins when two models have the same name.

    A folder that cannot be used is reported and skipped; it never stops the rest.
    """

    def __init__(self, roots: list[Path]):
        self.roots = [Path(r) for r in roots]

    def scan(self) -> tuple[list[ModelInfo], list[Broken]]:
        """All usable models, and the broken ones. Cheap enough to call whenever a list is shown."""
        models: dict[str, ModelInfo] = {}
        broken: list[Broken] = []
        for root in self.roots:
            if not root.is_dir():
                continue
            for path in sorted(root.iterdir()):
                if path.name.startswith(".") or not path.is_dir():
                    continue
                try:
                    info = open_folder(path)
                except StudioError as e:
                    broken.append(Broken(path, str(e)))
                    continue
                if info.id in models:
                    broken.append(Broken(path, f"Another model named '{info.id}' comes first: {models[info.id].path}."))
                    continue
                models[info.id] = info
        return list(models.values()), broken

    def get(self, id: str) -> ModelInfo:
        """The model called `id`. Raises StudioError, with the nearest names, when it is not here."""
        for root in self.roots:
            path = root / id
            # Only a plain name reaches the disk: an id comes from links and pictures of strangers.
            if id and Path(id).name == id and not id.startswith(".") and path.is_dir():
                return open_folder(path)
        names = [m.id for m in self.scan()[0]]
        near = difflib.get_close_matches(id, names, n=3) or names[:5]
        hint = f"Here are: {', '.join(near)}." if near else "The library is empty: import or train a model first."
        raise StudioError(f"The model '{id}' is not in this studio.", hint)

    def free_name(self, wanted: str) -> str:
        """`wanted`, or wanted-2, wanted-3, ... when it is taken."""
        name, n = wanted, 1
        while any((root / name).exists() for root in self.roots):
            n += 1
            name = f"{wanted}-{n}"
        return name


def default_library() -> Library:
    """The artist's own models first, then the shipped ones."""
    settings = get_settings()
    return Library([settings.models, settings.shipped])
