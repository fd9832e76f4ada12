"""Whose the pictures behind a model are, and whether it may be given to everyone."""

import dataclasses
import json

import pytest

from studio.datasets.rights import Consent, most_restrictive
from studio.datasets.sources import Limits
from studio.datasets.store import DataSetStore
from studio.errors import StudioError
from studio.models.folder import open_folder
from studio.models.library import Library
from studio.models.rights import consent_of, consent_sentences, to_extra
from studio.settings import get_settings
from studio.sharing.publish_check import may_share_publicly
from studio.training.plan import Card, Data, Plan
from studio.training.trainer import train
from tests.conftest import save_tiny

SMALL = Limits(min_side=8)
OWN, LICENSED = Consent("own"), Consent("licensed", "a fair", "CC BY 4.0", "Anna")
NONE, UNKNOWN = Consent("none", "the web"), Consent()


def model(folder, name, licence="", plan="", **extra):
    """A model folder that says these things of itself."""
    path = save_tiny(folder, name).path
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps({**config, "licence": licence, "extra": extra}))
    if plan:
        (path / "plan.toml").write_text(plan)
    return open_folder(path)


def test_the_answer_that_allows_least_holds():
    assert [most_restrictive(pair).answer for pair in ((OWN, LICENSED), (LICENSED, UNKNOWN), (UNKNOWN, NONE), (OWN, OWN), ())] == [
        "licensed",
        "",
        "none",
        "own",
        "",
    ]
    both = most_restrictive([LICENSED, Consent("licensed", "a fair", "by letter", "Berta")])
    assert (both.source, both.licence, both.attribution) == ("a fair", "CC BY 4.0; by letter", "Anna; Berta")


def test_a_licence_must_be_named_and_odd_cards_count_as_not_answered():
    with pytest.raises(StudioError, match="Which permission or licence"):
        Consent("licensed", licence="  ")
    with pytest.raises(StudioError, match="must be one of"):
        Consent("sure")
    for raw in (None, [], {"consent": ["own"]}, {"consent": "sure"}, {"consent": "licensed"}, {"consent": "own", "source": 7}):
        assert Consent.from_dict(raw) == UNKNOWN
    assert Consent.from_dict(json.loads(json.dumps(LICENSED.to_dict()))) == LICENSED


def test_shipped_models_may_be_shared(studio_home):
    found = Library([get_settings().shipped]).scan()[0]
    assert {"lpc-characters", "lpc-kinds", "ink-colour"} <= {m.id for m in found}
    for info in found:
        allowed, why = may_share_publicly(info)
        assert allowed
        assert info.licence in why
        assert consent_of(info).attribution in why
        card = Plan.load(info.path / "plan.toml").card
        assert card.data().to_dict() == info.extra["data_consent"], "trained again it says the same"


@pytest.mark.parametrize(
    ("extra", "licence", "allowed", "word"),
    [
        ({"training": {}, **to_extra(OWN)}, "", True, "own work"),
        ({"training": {}, **to_extra(LICENSED)}, "", True, "CC BY 4.0. Credit: Anna"),
        ({"training": {}, **to_extra(NONE)}, "MIT", False, "train again"),
        ({"training": {}, **to_extra(UNKNOWN)}, "MIT", False, "Add the same pictures again"),
        ({"training": {}}, "MIT", False, "Add the same pictures again"),
        ({}, "MIT", False, "Add the same pictures again"),
        ({"imported_from": "a.pkl"}, "", False, "without a licence that allows"),
        ({"imported_from": "a.pkl"}, "All rights reserved", False, "without a licence that allows"),
        ({"imported_from": "a.pkl"}, "BSD-3-Clause", True, "BSD-3-Clause"),
        ({"downloaded_from": "hub", "training": {}, **to_extra(OWN)}, "", False, "without a licence that allows"),
        ({"downloaded_from": "hub", "training": {}, **to_extra(OWN)}, "CC BY 4.0", True, "CC BY 4.0"),
        ({"downloaded_from": "hub", "training": {}, **to_extra(NONE)}, "CC BY 4.0", False, "without a licence"),
        ({"data_consent": ["own"], "training": 3}, "MIT", False, "Nobody has said"),
    ],
)
def test_who_may_be_shared(studio_home, tmp_path, extra, licence, allowed, word):
    found, why = may_share_publicly(model(tmp_path, "m", licence, **extra))
    assert found is allowed
    assert word in why


def test_a_model_is_held_to_what_it_began_from(studio_home):
    models = get_settings().models
    taken = model(models, "taken", **to_extra(NONE), training={})
    imported = model(models, "imported", imported_from="a.pkl")
    fair = model(models, "fair", **to_extra(LICENSED), training={})
    for base, answer in ((taken, "none"), (imported, ""), (fair, "licensed")):
        extra = to_extra(OWN, base)
        child = model(models, f"of-{base.id}", training={}, **extra)
        assert consent_of(child).answer == answer
        assert may_share_publicly(child)[0] is (base is fair)
        assert consent_of(model(models, f"of-of-{base.id}", training={}, **to_extra(OWN, child))).answer == answer
        assert f"started from the model `{base.id}`" in " ".join(consent_sentences(extra))
    # One of before the question was asked: only its plan names the base.
    old = model(models, "old", plan='base = "imported"\n', training={})
    assert consent_of(old).answer == ""


def test_old_sets_and_models_know_it_once_somebody_is_asked(studio_home, pictures):
    store = DataSetStore()
    stored = store.add(store.ingest([pictures], limits=SMALL, owned=True, title="Shapes"))
    card = json.loads((stored.path / "set.json").read_text())
    del card["consent"]  # as an earlier studio wrote it
    (stored.path / "set.json").write_text(json.dumps(card))
    old = store.get(stored.id)
    assert old.consent == UNKNOWN
    assert old.answered
    assert old.owned
    plan = Plan(data=Data(hash=stored.id)).to_toml()
    info = model(get_settings().models, "old", plan=plan, training={})
    child = model(
        get_settings().models, "child", plan=Plan(base="old", data=Data(hash="0" * 64)).to_toml(), training={}, **to_extra(OWN, info)
    )
    assert not may_share_publicly(info)[0]
    assert not may_share_publicly(child)[0]
    again = store.add(store.ingest([pictures], limits=SMALL, owned=True, consent=LICENSED))
    assert again.id == stored.id, "the words changed, not the pictures"
    assert again.title == "Shapes", "the words changed, not the pictures"
    assert again.consent == LICENSED, "the words changed, not the pictures"
    assert may_share_publicly(info) == (True, "It was trained on pictures used under: CC BY 4.0. Credit: Anna")
    assert may_share_publicly(child)[0]
    assert store.add(store.ingest([pictures], limits=SMALL, owned=False)).consent == LICENSED, "no answer takes none back"
    assert not store.add(store.ingest([pictures], limits=SMALL, owned=False, consent=NONE)).owned
    assert not may_share_publicly(info)[0]
    less = store.without(stored.id, stored.names()[:1])
    assert less.consent == NONE
    assert less.answered


def test_training_carries_it_into_config_and_card(studio_home, pictures, tmp_path):
    base = save_tiny(get_settings().models, "base")
    card = Card(title="Mine", consent="licensed", source="a fair", data_licence="CC BY 4.0", attribution="Anna")
    plan = Plan(
        base="base",
        data=Data(path=str(pictures), resolution=32),
        card=card,
        optimizer=dataclasses.replace(Plan().optimizer, batch=4),
        budget=dataclasses.replace(Plan().budget, kimg=0.008, metric_images=0),
    )
    assert Plan.from_toml(plan.to_toml()) == plan
    info = open_folder(train(plan, tmp_path / "run", device="cpu"))
    assert info.extra["data_consent"] == {**LICENSED.to_dict(), "began_from": {"model": base.id, **UNKNOWN.to_dict()}}
    text = (info.path / "README.md").read_text()
    assert "Licence or permission: CC BY 4.0." in text
    assert "a fair" in text
    assert "Anna" in text
    assert "started from the model `base`" in text
    assert not may_share_publicly(info)[0], "what it began from is not known"
    with pytest.raises(StudioError, match="Which permission or licence"):
        dataclasses.replace(plan, card=dataclasses.replace(card, data_licence=""))
