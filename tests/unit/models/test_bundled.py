"""Models of installed packages: faces and photographs made vintage, found by file, converted when they are first used."""

import dataclasses
import importlib

import numpy as np
import pytest
import torch

import studio
from studio.models.acquire import bundled
from studio.models.importers import import_file
from studio.models.library import Library
from tests.conftest import GOLDEN
from tests.unit.importers.dcgan_layout import example
from tests.unit.importers.official_translators import Resnet, with_statistics

FACES, VINTAGE = (next(p for p in bundled.PACKAGES if p.module == module) for module in ("gan_face_generate", "vintagify"))
CONTENT = {
    "gan_face_generate": lambda: {"netG_state_dict": example(z=100).state_dict()},
    "vintagify": lambda: {k.replace("conv_block", "block"): v for k, v in with_statistics(Resnet(9, "affine")).state_dict().items()},
}


def small(package: bundled.Package) -> bundled.Package:
    """The package with a network of few channels, which takes no second to write."""
    narrow = dict(ngf=4, channel_max=32) if package is FACES else dict(ngf=4)
    models = tuple((id, title, family, {**changes, **narrow}, file) for id, title, family, changes, file in package.models)
    return dataclasses.replace(package, models=models)


@pytest.mark.parametrize("package", [FACES, VINTAGE], ids=lambda p: p.module)
def test_a_package_becomes_a_model(tmp_path, monkeypatch, package):
    folder = tmp_path / "site" / package.module / package.folder
    folder.mkdir(parents=True)
    (tmp_path / "site" / package.module / "__init__.py").write_text("raise RuntimeError('this must not run')")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    importlib.invalidate_caches()
    monkeypatch.setattr(bundled, "PACKAGES", (small(package),))
    assert bundled.installed_bundled_models() == [], "its files are not there"
    file = folder / package.models[0][4]
    torch.save(CONTENT[package.module](), file)
    (offered,) = bundled.installed_bundled_models()
    library = Library([tmp_path / "home"], [offered])
    (listed,), _ = library.scan()
    assert (listed.hash, listed.licence, listed.extra) == ("", "MIT", {"offered_by": package.module})
    assert not (tmp_path / "home").exists(), "listing writes nothing"
    model = library.get(offered.id)
    assert model.hash
    assert model.config == offered.config == {**import_file(file).config, "resolution": offered.config["resolution"]}
    assert bool(model.thumbnail) == (package is FACES)
    card = (model.path / "README.md").read_text()
    assert package.name in card
    assert file.name in card
    assert studio.load(model.path, device="cpu").network.resolution == offered.config["resolution"]


def test_every_model_is_listed_once_and_every_config_holds():
    models = [(model, package) for package in bundled.PACKAGES for model in package.models]
    assert len({model[0] for model, _ in models}) == len(models)
    for (_, title, family, changes, file), package in models:
        assert bundled._config(family, changes)
        assert title
        assert package.card.format(file=file, package=package.name)


def test_a_broken_module_of_such_a_name_stops_nothing(tmp_path, monkeypatch):
    (tmp_path / "vintagify.py").write_text("raise RuntimeError('this must not run')")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    assert bundled._models_of(VINTAGE) == []


def installed(package: bundled.Package, tmp_path):
    """The real one, as a model."""
    models = bundled._models_of(package)
    if not models:
        pytest.skip(f"{package.name} is not installed")
    return studio.load(Library([tmp_path], models).get(models[0].id).path, device="cpu")


@torch.inference_mode()
def test_the_faces_are_those_of_the_package(tmp_path):
    model, io = installed(FACES, tmp_path), np.load(GOLDEN / "dcgan-faces" / "io.npz")
    assert np.abs(model.network(torch.from_numpy(io["z"])).numpy() - io["img"]).max() <= 2e-3


@torch.inference_mode()
def test_photographs_become_those_of_the_package(tmp_path):
    model, io = installed(VINTAGE, tmp_path), np.load(GOLDEN / "vintagify" / "io.npz")
    x = torch.from_numpy(io["x"]).permute(2, 0, 1)[None].float() / 127.5 - 1
    assert np.abs(model.network(x).numpy() - io["y"]).max() <= 2e-3
