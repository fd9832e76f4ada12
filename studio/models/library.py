"""Library of models: every model folder the studio can see."""

import copy
import difflib
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from studio.common.text import some_of
from studio.errors import StudioError
from studio.models.acquire.bundled import BundledModel, installed_bundled_models
from studio.models.folder import MAX_NAME, ModelInfo, check_described, is_safe_name, open_folder
from studio.settings import get_settings, scratch


@dataclass(frozen=True)
class Broken:
    """A folder that looks like a model but cannot be used, and why."""

    path: Path
    reason: str


class Library:
    """Model folders below several roots; the first root wins when two models have the same name.

    A folder that cannot be used is reported and skipped; it never hides the others.
    bundled: models of installed packages that are not folders yet; they are listed last, and `get` makes them into folders.
    bundled_root: where those folders go, a last root; None = the first root.
    """

    def __init__(self, roots: list[Path], bundled: Sequence[BundledModel] = (), bundled_root: Path | None = None):
        self.roots, self.bundled = [Path(r) for r in roots], tuple(bundled)
        self._bundled_root = bundled_root or (self.roots[0] if self.roots else None)
        self._all_roots = [*self.roots, *([bundled_root] if bundled_root is not None else [])]
        self.only: frozenset[str] | None = None

    def limited(self, only: Collection[str]) -> "Library":
        """A view of the library in which only the models with these ids exist."""
        library = copy.copy(self)
        library.only = frozenset(only)
        return library

    def _hidden(self, id: str) -> bool:
        return self.only is not None and id not in self.only

    def scan(self) -> tuple[list[ModelInfo], list[Broken]]:
        """All usable models, and the broken ones. Unchanged folders are not read again, so this is cheap."""
        models: dict[str, ModelInfo] = {}
        broken: list[Broken] = []
        for root in self._all_roots:
            try:
                folders = sorted(p for p in root.iterdir() if not p.name.startswith(".") and p.is_dir())
            except FileNotFoundError:
                continue
            except OSError as e:
                broken.append(Broken(root, f"The folder {root} cannot be listed: {e.strerror or e}."))
                continue
            for path in folders:
                try:
                    info = open_folder(path)
                except StudioError as e:
                    broken.append(Broken(path, str(e)))
                    continue
                except OSError as e:  # the folder or its disk has gone away
                    broken.append(Broken(path, f"The model folder '{path.name}' cannot be read: {e.strerror or e}."))
                    continue
                if info.id in models:
                    broken.append(Broken(path, f"Another model named '{info.id}' comes first: {models[info.id].path}."))
                    continue
                models[info.id] = info
        for bundled in self.bundled:
            if bundled.id not in models and not any((root / bundled.id).exists() for root in self._all_roots):
                info = bundled.info(self._root_of_bundled())
                try:
                    check_described(info)
                except StudioError as e:
                    broken.append(Broken(info.path, str(e)))
                    continue
                models[bundled.id] = info
        return [m for m in models.values() if not self._hidden(m.id)], [b for b in broken if not self._hidden(b.path.name)]

    def get(self, id: str) -> ModelInfo:
        """The model called `id`, the same one that `scan` lists under this name.

        A bundled model becomes a folder first, which takes a second or two.
        Raises StudioError: with what is broken when there is only a broken folder, otherwise with similar names.
        """
        reason = None
        # Only a plain name reaches the disk: ids also come from strangers' links and pictures.
        allowed = is_safe_name(id) and not self._hidden(id)
        for root in self._all_roots if allowed else []:
            try:
                if (root / id).is_dir():
                    return open_folder(root / id)
            except StudioError as e:
                reason = reason or e
            except OSError as e:
                reason = reason or StudioError(f"The model folder '{id}' cannot be read: {e.strerror or e}.", "Check its permissions.")
        if reason:
            raise reason
        for bundled in self.bundled:
            if allowed and bundled.id == id:
                return bundled.install(self._root_of_bundled())
        hint = models_there(id, [m.id for m in self.scan()[0]]) or "The library is empty: import or train a model first."
        raise StudioError(f"The model '{id:.100}' is not in this studio.", hint)

    def _root_of_bundled(self) -> Path:
        assert self._bundled_root is not None, "a library with bundled models has a root"
        return self._bundled_root

    def free_name(self, wanted: str) -> str:
        """`wanted`, or wanted-2, wanted-3, ... when it is taken."""
        name, n = wanted, 1
        while any((root / name).exists() for root in self.roots):
            n += 1
            name = f"{wanted[: MAX_NAME - 8]}-{n}"
        return name


def models_there(wanted: str, there: Sequence[str]) -> str:
    """A sentence on the models there are, beginning with those of a name like the wanted one; '' when there are none."""
    by_lower = {id.lower(): id for id in there}
    near = [by_lower[n] for n in difflib.get_close_matches(wanted.lower()[:MAX_NAME], by_lower, n=3)]
    return f"Available: {some_of([*near, *(id for id in there if id not in near)])}." if there else ""


def default_library() -> Library:
    """The studio's library: the artist's own models first, then the shipped ones, then those bundled with installed packages."""
    settings = get_settings()
    own = settings.models
    return Library([own, settings.shipped], installed_bundled_models(), None if os.access(own, os.W_OK) else scratch() / "models")
