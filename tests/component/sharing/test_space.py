"""Spaces: the folder, and what arrives at a Hub on this machine. That it runs is tested in a browser."""

import ast
import json
import os
import re
import socket
import subprocess
import sys
import urllib.request
import zipfile

import pytest

from studio.cli.main import main
from studio.common import toml
from studio.errors import StudioError
from studio.models.folder import open_folder
from studio.settings import get_settings
from studio.sharing import hub
from studio.sharing.preview import preview
from studio.sharing.space import make_space, push_space, requirements, zip_space
from studio.space_app import _fetch
from studio.ui.tabs import tabs_for
from tests.conftest import ROOT, save_tiny
from tests.hub_server import TOKEN, complaints, head


@pytest.fixture
def infos(studio_home):
    return [save_tiny(studio_home / "models", "anna"), save_tiny(studio_home / "models", "clara", c_dim=3)]


def _make(infos, out, **changes):
    return make_space(infos, out, **{**dict(tabs=tabs_for(infos), title='My "studio" {1}', licence="CC-BY-4.0"), **changes})


def test_the_folder_is_complete(infos, tmp_path):
    folder = _make(infos, tmp_path / "space")
    card = head((folder / "README.md").read_text())
    assert complaints(card, "space") == []
    assert card["title"] == 'My "studio" {1}'
    assert card["license"] == "cc-by-4.0"
    import gradio

    assert card["sdk_version"] == gradio.__version__
    assert (folder / card["app_file"]).is_file()
    app = (folder / "app.py").read_text()
    call = next(n for n in ast.walk(ast.parse(app)) if isinstance(n, ast.Call))
    assert {k.arg: ast.literal_eval(k.value) for k in call.keywords} == {
        "models": ["anna", "clara"],
        "tabs": ["explore", "mix", "classes"],
        "from_hub": {},
    }
    for info in infos:
        copy = open_folder(folder / "checkpoints" / info.id)
        assert copy.hash == info.hash
        assert not (copy.path / "discriminator.safetensors").exists()
    mine = {p.relative_to(ROOT / "studio") for p in (ROOT / "studio").rglob("*") if p.suffix in (".py", ".css", ".js")}
    assert {p.relative_to(folder / "studio") for p in (folder / "studio").rglob("*") if p.is_file()} == mine
    assert "*.safetensors filter=lfs" in (folder / ".gitattributes").read_text()
    assert "Apache" in (folder / "LICENSE").read_text()


def test_its_requirements_are_those_of_the_package(infos, tmp_path):
    folder = _make(infos, tmp_path / "space")
    wanted = toml.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    lines = (folder / "requirements.txt").read_text().splitlines()
    assert sorted(lines) == sorted(wanted)
    assert not any(re.match("pytest|playwright|ray", line) for line in lines)
    assert (ROOT / "requirements.txt").read_text().splitlines() == requirements(), "the repository itself is a Space, too"


def test_models_of_the_hub_are_named_and_not_copied(infos, tmp_path):
    folder = _make(infos, tmp_path / "space", by_id={"clara": "anna/clara"}, training=True, tabs=["explore"])
    assert [p.name for p in (folder / "checkpoints").iterdir()] == ["anna"]
    assert (folder / "checkpoints" / "anna" / "discriminator.safetensors").is_file(), "to train it further"
    assert head((folder / "README.md").read_text())["models"] == ["anna/clara"]
    assert '"clara": "anna/clara"' in (folder / "app.py").read_text()
    assert '"train"' in (folder / "app.py").read_text()


def test_only_a_space_is_replaced(infos, tmp_path):
    folder = _make(infos, tmp_path / "space")
    _make(infos[:1], folder)
    assert [p.name for p in (folder / "checkpoints").iterdir()] == ["anna"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "app.py").write_text("print('mine')")
    with pytest.raises(StudioError, match="is not a Space of this studio"):
        _make(infos, tmp_path / "mine")
    assert (tmp_path / "mine" / "app.py").read_text() == "print('mine')"


@pytest.mark.parametrize(
    ("changes", "words"),
    [(dict(title=" "), "no title"), (dict(licence=""), "licence is missing"), (dict(by_id={"bob": "a/b"}), "not among the chosen")],
)
def test_what_cannot_be_made_leaves_nothing(infos, tmp_path, changes, words):
    with pytest.raises(StudioError, match=words):
        _make(infos, tmp_path / "space", **changes)
    assert not (tmp_path / "space").exists()
    with pytest.raises(StudioError, match="No model"):
        _make([], tmp_path / "space")


def test_tabs_are_those_in_which_the_models_can_do_something(infos):
    assert tabs_for(infos[:1]) == ("explore", "mix")
    assert tabs_for([open_folder(ROOT / "checkpoints" / "ink-colour")]) == ("translate",)


def test_it_arrives_whole_and_a_new_version_drops_what_is_gone(infos, tmp_path, hub_server):
    folder = _make(infos, tmp_path / "space")
    assert push_space(folder, "play", token=TOKEN) == f"{hub_server.url}/spaces/anna/play"
    repo = hub_server.repos["anna/play"]
    assert repo.private
    assert repo.asked["sdk"] == "gradio"
    assert len(repo.commits) == 1
    assert repo.files == {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    _make(infos[:1], folder)
    push_space(folder, "play", token=TOKEN)
    assert "checkpoints/anna/config.json" in repo.files
    assert not any("clara" in name for name in repo.files)


def test_a_zip_holds_the_same(infos, tmp_path):
    folder = _make(infos, tmp_path / "space")
    with zipfile.ZipFile(zip_space(folder, tmp_path / "space.zip")) as pack:
        assert {n.partition("/")[2]: pack.read(n) for n in pack.namelist()} == {
            p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
        }


def test_a_model_of_the_hub_is_fetched_at_the_start(infos, hub_server, monkeypatch):
    hub.push_model(infos[0], "anna/faces", token=TOKEN, licence="CC-BY-4.0")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    _fetch("faces", "anna/faces")
    assert open_folder(get_settings().models / "faces").hash == infos[0].hash
    with pytest.raises(StudioError, match="anna/none could not be fetched"):
        _fetch("none", "anna/none")
    assert not (get_settings().models / "none").exists()


def test_a_space_that_does_not_start_says_why(infos, tmp_path):
    folder = _make(infos, tmp_path / "space")
    (folder / "app.py").write_text("from studio.space_app import serve\nserve(tabs=['nonsense'])\n")
    with pytest.raises(StudioError, match="There is no tab 'nonsense'"):
        preview(folder)


def test_a_public_space_needs_the_consent_of_each_model(infos, tmp_path, hub_server):
    shipped = open_folder(ROOT / "checkpoints" / "lpc-characters")
    folder = _make([shipped, infos[0]], tmp_path / "space", licence=shipped.licence)
    with pytest.raises(StudioError, match="'Tiny anna' cannot be made public"):
        push_space(folder, "play", token=TOKEN, private=False)
    assert not hub_server.repos
    _make([shipped], folder, licence=shipped.licence)
    push_space(folder, "play", token=TOKEN, private=False, hardware="zero-a10g")
    assert not hub_server.repos["anna/play"].private
    assert hub_server.repos["anna/play"].asked["hardware"] == "zero-a10g"


def test_the_repository_itself_runs_as_a_space(tmp_path):
    """As Spaces do it: the file is run by its path, with nothing installed but what is required."""
    environment = {k: v for k, v in os.environ.items() if k not in ("STUDIO_HOME", "PYTHONPATH")}
    environment["TMPDIR"] = str(tmp_path)
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        environment["GRADIO_SERVER_PORT"] = str(s.getsockname()[1])
    process = subprocess.Popen([sys.executable, "studio/space_app.py"], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        url = next(line.split()[5] for line in process.stdout if line.startswith("GAN Studio is open at "))
        with urllib.request.urlopen(f"{url}config") as answer:
            labels = [c["props"].get("label") for c in json.load(answer)["components"] if c["type"] == "tabitem"]
        assert labels == ["Explore", "Mix", "Classes", "Translate", "Upscale", "Gallery", "Models"], (
            "no training and no sharing for strangers"
        )
    finally:
        process.terminate()
        process.wait()


def test_on_the_command_line(infos, tmp_path, hub_server, monkeypatch, capsys):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert main(["share", "anna", "faces", "--licence", "CC-BY-4.0"]) == 0
    assert capsys.readouterr().out.strip() == f"{hub_server.url}/anna/faces"
    out = tmp_path / "space"
    assert main(["space", "anna", "clara", "-o", str(out), "--tabs", "explore", "--licence", "MIT", "--push", "play"]) == 0
    assert capsys.readouterr().out.split() == [str(out), f"{hub_server.url}/spaces/anna/play"]
    assert main(["space", "anna", "-o", str(out), "--tabs", "nonsense", "--licence", "MIT"]) == 2
    assert "no tab 'nonsense'" in capsys.readouterr().err
