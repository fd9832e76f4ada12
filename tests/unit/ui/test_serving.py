"""What of the studio is served: which tabs there are, which models can be used, and what strangers may do."""

import pytest

from studio.engine.recipe import Recipe
from studio.errors import StudioError
from studio.models.library import Library
from studio.ui.access.serving import ServingPolicy, comma_separated, is_loopback, is_open_to_strangers
from studio.ui.app import build
from studio.ui.tabs import TABS


def test_by_default_everything_is_served():
    policy = ServingPolicy()
    assert policy.shown == tuple(TABS)
    assert policy.training
    assert policy.editable
    assert policy.queue_size is None


def test_visitors_neither_train_nor_edit_and_their_work_has_limits():
    policy = ServingPolicy(visitors=True)
    assert policy.shown == tuple(t for t in TABS if t not in ("train", "share"))
    assert not policy.training
    assert not policy.editable
    assert policy.queue_size
    assert policy.concurrency
    assert ServingPolicy(visitors=True, queue_size=3, concurrency=1).queue_size == 3


def test_a_choice_of_models_is_fixed():
    assert not ServingPolicy(models=("a",)).training
    assert not ServingPolicy(models=("a",)).editable


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (dict(tabs=("explore", "paint")), "no tab 'paint'"),
        (dict(tabs=()), "No tab is left"),
        (dict(tabs=("train",), training=False), "training is off"),
        (dict(tabs=("explore", "train"), visitors=True), "training is off"),
        (dict(queue_size=0), "queue size is 0"),
        (dict(concurrency=True), "concurrency is True"),
    ],
)
def test_what_makes_no_sense_is_told(wrong, words):
    with pytest.raises(StudioError, match=words):
        ServingPolicy(**wrong)


def test_only_the_chosen_models_are_listed_and_can_be_used(engine, models):
    with pytest.raises(StudioError, match=r"'tinny' is not in this studio\. Available: tiny"):
        build(engine, None, ServingPolicy(models=("tinny",)))
    (models / "broken").mkdir()
    (models / "broken" / "config.json").write_text("{")
    build(engine, None, ServingPolicy(models=("tiny",)))
    assert [m.id for m in engine.library.scan()[0]] == ["tiny"]
    assert engine.library.scan()[1] == []
    engine.render(Recipe(model="tiny"))
    for use in (engine.render, engine.stamped, engine.check, lambda r: engine.model(r.model)):
        with pytest.raises(StudioError, match=r"'tiny-classes' is not in this studio\. Available: tiny\."):
            use(Recipe(model="tiny-classes"))
    with pytest.raises(StudioError, match="not in this studio"):
        engine.library.get("broken")


def test_a_model_that_is_in_memory_is_refused_too(engine):
    engine.render(Recipe(model="tiny-classes"))
    engine.library = ServingPolicy(models=("tiny",)).library(engine.library)
    with pytest.raises(StudioError, match="not in this studio"):
        engine.render(Recipe(model="tiny-classes"))


def test_an_offered_model_that_was_not_chosen_is_not_taken(tmp_path):
    class Offer:
        id = "offered"

        def info(self, root):
            from studio.models.folder import ModelInfo

            return ModelInfo("offered", root / "offered", "rrdb", {}, "Offered", (), "", {}, "")

        def take(self, root):
            raise AssertionError("it was taken")

    library = Library([tmp_path], [Offer()]).limited(())
    assert library.scan() == ([], [])
    with pytest.raises(StudioError, match="not in this studio"):
        library.get("offered")


@pytest.mark.parametrize(
    "tabs", [*((t,) for t in TABS if t != "train"), ("mix", "classes"), ("translate", "upscale"), ("explore", "upscale")]
)
def test_only_the_chosen_tabs_are_built(engine, studio_home, tabs):
    app = build(engine, None, ServingPolicy(tabs=tabs))
    labels = {b.id: b.label for b in app.blocks.values() if type(b).__name__ == "Tab" and b.id in TABS}
    assert labels == {t: TABS[t].title for t in tabs}
    ids = {getattr(b, "elem_id", None) or "" for b in app.blocks.values()}
    for other in set(TABS) - set(tabs):
        ours = [i for i in ids if not i.startswith("gallery-open-")]  # which the gallery shows where the tab is there
        assert not [i for i in ours if i.startswith(f"{other}-") or i.endswith(f"-{other}")], other


def test_without_training_no_handler_of_the_queue_is_there(engine, studio_home):
    app = build(engine, None, ServingPolicy(training=False))
    modules = {inner.__module__ for f in app.fns.values() if f.fn for inner in [getattr(f.fn, "__wrapped__", f.fn)]}
    assert "studio.ui.explore.tab" in modules
    assert not modules & {"studio.ui.train.tab", "studio.ui.components.upload_zone"}


def test_words_of_the_command_line(monkeypatch):
    for name in ("GRADIO_SERVER_NAME", "SPACE_ID"):
        monkeypatch.delenv(name, raising=False)
    assert comma_separated(None) is None
    assert comma_separated("") == ()
    assert comma_separated(" explore, mix ,") == ("explore", "mix")
    assert all(is_loopback(h) for h in (None, "localhost", "127.0.0.1", "127.1.2.3", "::1"))
    assert not any(is_loopback(h) for h in ("0.0.0.0", "::", "192.168.1.4", "studio.example"))
    assert is_open_to_strangers(None, True, ())
    assert is_open_to_strangers("0.0.0.0", False, ())
    assert not is_open_to_strangers(None, False, ())
    assert not is_open_to_strangers("0.0.0.0", True, ("ada:secret",))
    monkeypatch.setenv("GRADIO_SERVER_NAME", "0.0.0.0")
    assert is_open_to_strangers(None, False, ())
    assert not is_open_to_strangers("127.0.0.1", False, ())
    monkeypatch.delenv("GRADIO_SERVER_NAME")
    monkeypatch.setenv("SPACE_ID", "ada/studio")
    assert is_open_to_strangers(None, False, ())


def test_strangers_are_not_let_into_the_home(engine):
    with pytest.raises(ValueError, match="files of their own"):
        build(engine, None, ServingPolicy(visitors=True))
