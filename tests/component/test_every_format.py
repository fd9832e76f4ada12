"""One model of every foreign format in one home: each is described on every tab and by every verb, and none stops the others."""

import dataclasses
import json
import shutil
from pathlib import Path

import gradio as gr
import pytest

from studio.cli.main import main
from studio.datasets.store import DataSetStore
from studio.engine.engine import Engine
from studio.engine.recipe import Recipe, SeedWeight
from studio.errors import StudioError
from studio.gallery.gallery import Gallery
from studio.jobs.supervisor import Supervisor
from studio.models import importers
from studio.models.acquire.checkpoint_import import import_checkpoint
from studio.models.folder import num_classes, open_folder
from studio.models.library import Library, default_library
from studio.networks import Task, families, registry
from studio.sharing.hub_card import hub_card
from studio.training.methods import METHODS
from studio.ui.access.new_visitor import open_session
from studio.ui.components.tab import Page
from studio.ui.connections import connect
from studio.ui.models.view import about_html, cards_html, in_words
from studio.ui.tabs import TABS, tabs_for
from tests.conftest import save_tiny
from tests.unit.importers.every_format import FORMATS

# Modules beside the importers that read no format of their own.
HELPERS = {"imported", "layer_order", "strangers", "torch_weights", "weights_scan", "wrappers"}


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A home with a model of each format, named after it."""
    home = tmp_path_factory.mktemp("home")
    (home / "models").mkdir()
    library = Library([home / "models"])
    for importer, formats in FORMATS.items():
        for what, write in formats.items():
            folder = home / "files" / importer / what
            folder.mkdir(parents=True)
            import_checkpoint(library, write(folder), f"{importer}-{what.replace(' ', '-')}")
    return home


@pytest.fixture
def engine(home, monkeypatch):
    monkeypatch.setenv("STUDIO_HOME", str(home))
    with Engine(Library([home / "models"]), device="cpu") as engine:
        yield engine


def test_no_format_is_missing_from_this_test():
    package = Path(importers.__file__).parent
    modules = {f.stem for f in package.glob("*.py") if not f.stem.startswith(("_", "nvidia_", "pickle_"))}
    assert set(FORMATS) == modules - HELPERS


def test_every_family_says_what_lists_show():
    for family in families():
        config = family.config()
        wanted = {Task.GENERATE: ("resolution", "c_dim"), Task.TRANSLATE: ("resolution",), Task.UPSCALE: ("resolution", "scale")}
        for name in wanted[family.task]:
            assert type(getattr(config, name)) is int, f"{family.name}.{name}"


def test_each_is_described(engine):
    models, broken = engine.library.scan()
    assert broken == []
    assert len(models) == sum(len(formats) for formats in FORMATS.values())
    assert cards_html(engine.library, models, "", ()).count("<button") == len(models)
    assert set(tabs_for(models)) == {"explore", "mix", "classes", "translate", "upscale"}
    for info in models:
        assert in_words(info)
        assert info.title in about_html(engine.library, info)
        assert info.family in hub_card(info, "somebody/something", "MIT")
        model = engine.model(info.id)
        assert (model.resolution, model.c_dim, model.scale) == (info.resolution, num_classes(info), info.scale)
        if info.task is Task.GENERATE:
            assert engine.facts(info.id).num_ws == model.num_ws


def test_each_draws_what_it_drew_when_it_was_imported(engine):
    for info in engine.library.scan()[0]:
        if info.task is Task.GENERATE:
            recipes = [Recipe(model=info.id, seeds=(SeedWeight(seed),), psi=0.7) for seed in (1, 2)]
            one, two = (engine.render(recipe) for recipe in recipes)
            assert one.shape == (info.resolution, info.resolution, 3)
            assert one.std() > 1, info.id
            assert (one != two).any(), info.id


def test_every_tab_opens(engine, home):
    with Supervisor(home) as supervisor, gr.Blocks():
        page = Page(engine, gr.State(), supervisor=supervisor, datasets=DataSetStore())
        page.gallery = lambda session: Gallery.at(home)
        for id, entry in TABS.items():
            page.built[id] = entry.load()(page)
        connect(page)
        session = open_session(engine, None, None)
        for tab in page.built.values():
            tab.enter(session, *(component.value for component in tab.enter_inputs))
        train = page.built["train"]
        for method in METHODS:
            assert train.plan.bases(method.name)
        models = page.built["models"]
        for info in engine.library.scan()[0]:
            models.state_of(session).model = info.id
            models.enter(session, "everything", "")


def test_every_verb_that_looks_at_models_works(home, monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("STUDIO_HOME", str(home))
    monkeypatch.chdir(tmp_path)
    assert main(["models"]) == 0
    said = capsys.readouterr()
    assert "broken" not in said.err
    assert all(f"{importer}-" in said.out for importer in FORMATS)
    assert main(["classes", "--per-class", "1", "--device", "cpu"]) == 0
    assert main(["seeds", "1", "--model", "lucidrains-StyleGAN2", "--sheet", str(tmp_path / "sheet.png"), "--device", "cpu"]) == 0


def test_one_that_cannot_be_described_is_broken_and_the_rest_works(studio_home, monkeypatch, capsys, tmp_path):
    """A family whose config lacks what lists show, or fails at it, as that of a future importer might."""
    save_tiny(studio_home / "models", "anna", c_dim=2)
    odd = import_checkpoint(default_library(), FORMATS["lucidrains"]["StyleGAN2"](tmp_path), "odd")
    family = registry.get_family("lucidrains")

    class Odd(family.config):
        @property
        def c_dim(self):
            raise ZeroDivisionError("no such thing")

    monkeypatch.setitem(registry._families, "odd", dataclasses.replace(family, name="odd", config=Odd))
    raw = json.loads((odd.path / "config.json").read_text())
    (odd.path / "config.json").write_text(json.dumps({**raw, "family": "odd"}))
    with pytest.raises(StudioError, match=r"'odd' cannot be described \(ZeroDivisionError"):
        open_folder(odd.path)
    models, broken = default_library().scan()
    assert [m.id for m in models if m.id in ("anna", "odd")] == ["anna"]
    assert [b.path.name for b in broken] == ["odd"]
    assert main(["models"]) == 0
    assert "broken" in capsys.readouterr().err
    monkeypatch.chdir(tmp_path)
    assert main(["classes", "--model", "anna", "--per-class", "1", "--device", "cpu"]) == 0


def test_a_folder_that_goes_away_while_it_is_listed_takes_nothing_down(studio_home):
    gone, here = save_tiny(studio_home / "models", "gone"), save_tiny(studio_home / "models", "here", seed=1)
    shutil.rmtree(gone.path)
    assert cards_html(default_library(), [gone, here], "", ()).count("<button") == 2
    assert "Tiny gone" in about_html(default_library(), gone)
