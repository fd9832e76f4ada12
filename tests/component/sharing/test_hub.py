"""Pushing models with the real client to a Hub on this machine."""

import dataclasses
import json
import logging
import os
from concurrent.futures import CancelledError
from pathlib import Path

import pytest
import yaml

from studio.common.log import start_log
from studio.errors import StudioError
from studio.models.folder import open_folder
from studio.sharing import hub
from studio.sharing.hub_card import hub_card, licence_fields
from studio.training.plan import Card, Plan
from tests.conftest import ROOT, save_tiny
from tests.hub_server import TOKEN, complaints, head


@pytest.fixture
def info(studio_home):
    """A model with everything a folder may hold, and with strays."""
    info = save_tiny(studio_home / "models", "anna", c_dim=2)
    (info.path / "plan.toml").write_text(Plan(base="lpc-characters", card=Card(title="Anna")).to_toml())
    config = json.loads((info.path / "config.json").read_text())
    config["extra"] = {"training": {"kid": 0.21300798, "kid_sd": 0.0057, "kid_images": 5000, "base": "lpc-characters"}}
    (info.path / "config.json").write_text(json.dumps(config))
    (info.path / ".notes").write_text("mine")
    (info.path / "diary.txt").write_text("mine")
    return open_folder(info.path)


def _push(info, name="anna/faces", **changes):
    return hub.push_model(info, name, **{**dict(token=TOKEN, licence="CC-BY-4.0"), **changes})


def test_the_bytes_that_arrive_are_those_of_the_folder(hub_server, info):
    told = []
    url = _push(info, "faces", progress=lambda done, all: told.append((done, all)))
    repo = hub_server.repos["anna/faces"]
    assert url == f"{hub_server.url}/anna/faces"
    assert repo.private
    assert len(repo.commits) == 1
    there = {name: data for name, data in repo.files.items() if name not in (".gitattributes", "README.md")}
    mine = {f.name: f.read_bytes() for f in info.path.iterdir() if f.name not in ("README.md", ".notes", "diary.txt")}
    assert there == mine
    assert {"model.safetensors", "discriminator.safetensors", "plan.toml", "thumbnail.webp"} <= there.keys()
    assert told[-1][0] == told[-1][1] == sum(map(len, mine.values())) + len(repo.files["README.md"])
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert len({done for done, _ in told}) > 5


def test_the_card_is_complete(hub_server, info):
    _push(info)
    text = hub_server.repos["anna/faces"].files["README.md"].decode()
    card = head(text)
    assert (card["license"], card["library_name"], card["pipeline_tag"]) == ("cc-by-4.0", "gan-studio", "unconditional-image-generation")
    assert card["base_model"] == "lpc-characters"
    assert {"gan", "stylegan2"} <= set(card["tags"])
    assert card["model-index"][0]["results"][0]["metrics"][0]["value"] == 0.21301
    assert "studio import anna/faces" in text
    assert "studio.load(snapshot_download(" in text
    assert text.count("---\n") == 2
    assert text.index("How to load it") < text.index("## Made by AI")


@pytest.mark.parametrize("model", sorted(p.name for p in (ROOT / "checkpoints").iterdir()))
def test_cards_of_the_models_that_come_along_are_accepted(model):
    info = open_folder(ROOT / "checkpoints" / model)
    card = head(hub_card(info, f"anna/{model}", info.licence))
    name = card["model-index"][0]["name"] if "model-index" in card else card["model_name"]
    assert complaints(card, "model") == []
    assert name == info.title


def test_a_title_cannot_write_into_the_head(info):
    info = dataclasses.replace(info, title='x"\nlicense: mit\n---\n# owned')
    assert head(hub_card(info, "anna/faces", "My own: rules & more"))["license_name"] == "my-own-rules-more"
    assert yaml.safe_load(hub_card(info, "a/b", "mit").split("---\n")[1])["license"] == "mit"
    with pytest.raises(StudioError, match="licence is missing"):
        licence_fields(" - ")


def test_a_new_version_takes_away_what_is_gone_and_leaves_what_others_added(hub_server, info):
    _push(info)
    hub_server.repos["anna/faces"].files["samples/mine.png"] = b"added on the Hub"
    (info.path / "discriminator.safetensors").unlink()
    sent = len(hub_server.stored)
    _push(info)
    files = hub_server.repos["anna/faces"].files
    assert "discriminator.safetensors" not in files
    assert files["samples/mine.png"] == b"added on the Hub"
    assert len(hub_server.stored) == sent
    assert len(hub_server.repos["anna/faces"].commits) == 2


def test_something_else_of_the_name_is_left_alone(hub_server, info):
    _push(info, "anna/bert")
    hub_server.repos["anna/bert"].files["README.md"] = b"---\nlibrary_name: transformers\n---\n"
    before = dict(hub_server.repos["anna/bert"].files)
    with pytest.raises(StudioError, match="something else named anna/bert"):
        _push(info, "anna/bert")
    assert hub_server.repos["anna/bert"].files == before


def test_what_was_public_is_private_before_anything_new_comes(hub_server, info):
    _push(info)
    hub_server.repos["anna/faces"].private = False
    hub_server.faults["/commit/main"] = (500, {}, {})
    with pytest.raises(StudioError):
        _push(info)
    assert hub_server.repos["anna/faces"].private


def test_cancelling_midway_leaves_no_half_model(hub_server, info):
    sent = []
    with pytest.raises(CancelledError):
        _push(info, progress=lambda done, all: sent.append(done), cancel=lambda: bool(sent) and sent[-1] > 0)
    assert 0 < sent[-1] < sum(f.stat().st_size for f in hub.published_files(info))
    assert set(hub_server.repos["anna/faces"].files) == {".gitattributes"}
    _push(info)
    assert "model.safetensors" in hub_server.repos["anna/faces"].files


FAILURES = {
    "wrong token": (dict(token="hf_notTheRightOne"), {}, "does not accept this token"),
    "no token": (dict(token=None), {}, "no token is known"),
    "odd token": (dict(token="hf_with a\nbreak"), {}, "cannot be a token"),
    "not one's own": (dict(name="bob/faces"), {}, "may not write"),
    "odd name": (dict(name="../etc/passwd"), {}, "cannot be a name"),
    "gated": ({}, {"/preupload/": (403, {"X-Error-Code": "GatedRepo"}, {"error": "no"})}, "gated"),
    "quota": ({}, {"/commit/": (403, {}, {"error": "Private repository storage limit reached"})}, "no room left"),
    "paid": ({}, {"/create": (402, {}, {"error": "PRO needed"})}, "paid plan.*PRO needed"),
    "trouble": ({}, {"/whoami": (503, {}, {})}, "in trouble"),
    "too many": ({}, {"/whoami": (429, {}, {})}, "asks you to wait"),
    "bad card": ({}, {"/validate-yaml": (400, {}, {"errors": [{"message": "emoji"}], "error": "emoji"})}, "emoji"),
    "lost": ({}, {"/preupload/": (404, {"X-Error-Code": "RepoNotFound"}, {})}, "has nothing of this name"),
}


@pytest.mark.parametrize("case", FAILURES)
def test_failures_are_told_in_a_sentence(hub_server, info, case):
    changes, hub_server.faults, words = FAILURES[case]
    with pytest.raises(StudioError, match=words) as failure:
        _push(info, **changes)
    assert failure.value.hint
    assert TOKEN not in str(failure.value)
    assert failure.value.__cause__ is None


def test_without_a_network_it_says_so(hub_server, info):
    hub_server.close()
    with pytest.raises(StudioError, match="cannot be reached"):
        _push(info)


def test_a_token_that_may_only_read_is_refused_at_once(hub_server, info):
    assert hub.whoami(TOKEN) == hub.Account("anna", ("atelier",))
    hub_server.role = "read"
    with pytest.raises(StudioError, match="may only read"):
        _push(info)
    assert not hub_server.repos


def test_the_token_is_nowhere_on_disk_nor_in_the_log(hub_server, info, studio_home, monkeypatch, capfd, caplog):
    monkeypatch.setenv("HOME", str(studio_home))
    start_log()
    logging.getLogger("studio").setLevel(logging.DEBUG)
    _push(info)
    hub_server.faults["/commit/"] = (400, {}, {"error": f"the token {TOKEN} is bad"})
    (info.path / "plan.toml").unlink()
    with pytest.raises(StudioError, match=r"\*\*\*"):
        _push(info)
    for folder, _, files in os.walk(studio_home):
        assert not any(TOKEN.encode() in Path(folder, name).read_bytes() for name in files)
    assert TOKEN not in "".join(capfd.readouterr()) + caplog.text


def test_the_token_of_the_environment_is_used(hub_server, info, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert _push(info, token=None).endswith("/anna/faces")


def test_public_only_with_consent(hub_server, info):
    with pytest.raises(StudioError, match="cannot be made public") as refused:
        _push(info, private=False)
    assert refused.value.hint
    assert not hub_server.repos, "nothing was even made"
    shipped = open_folder(ROOT / "checkpoints" / "lpc-characters")
    _push(shipped, private=False, licence=shipped.licence)
    assert not hub_server.repos["anna/faces"].private
    _push(shipped, private=True, licence=shipped.licence)
    assert hub_server.repos["anna/faces"].private


def test_public_only_under_a_licence_that_the_pictures_allow(hub_server, studio_home, monkeypatch, capsys):
    from studio.cli.main import main

    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert main(["share", "lpc-characters", "anna/faces", "--public", "--licence", "CC-BY-NC-4.0"]) == 2
    said = capsys.readouterr().err
    assert "cannot be published under CC-BY-NC-4.0" in said
    assert "CC-BY-SA-3.0 or GPL 3.0" in said
    assert not hub_server.repos, "nothing was even made"
    for licence in ("GPL-3.0", "CC-BY-SA-4.0"):
        assert main(["share", "lpc-characters", "anna/faces", "--public", "--licence", licence]) == 0
    assert main(["share", "lpc-characters", "anna/faces", "--public"]) == 0, "its own licence"
    assert main(["space", "lpc-characters", "ink-colour", "-o", str(studio_home / "space"), "--licence", "MIT"]) == 2
    assert "'LPC characters' cannot be published under MIT" in capsys.readouterr().err
    assert not (studio_home / "space").exists()
    assert main(["space", "lpc-characters", "ink-colour", "-o", str(studio_home / "space")]) == 0, "each has its own licence there"
