"""Models of others added from files, folders, zips, a web server and a Hub, all of them real."""

import hashlib
import io
import json
import re
import zipfile
from concurrent.futures import CancelledError
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from studio.common.download import downloads_folder
from studio.errors import StudioError
from studio.inference.model import load, load_info
from studio.models.acquire.add import CATALOGUE, add, source_type
from studio.models.folder import open_folder
from studio.models.library import Library, default_library
from studio.networks import get_family
from tests.conftest import save_tiny
from tests.hub_files import Repo, hub_server
from tests.unit.importers.nvidia_pickler import network_pickle
from tests.web_server import Page, web_server

PICKLE = network_pickle(resolution=8, channel_base=32)[2]
SUM = hashlib.sha256(PICKLE).hexdigest()


@pytest.fixture
def library(studio_home) -> Library:
    return default_library()


@pytest.fixture
def web(studio_home):
    with web_server() as server:
        yield server


@pytest.fixture
def hub(studio_home, monkeypatch):
    with hub_server() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(studio_home / "no-login"))
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield server


@pytest.fixture
def tiny(tmp_path) -> Path:
    """A model folder with a picture to try it on and a file that belongs to no model."""
    path = save_tiny(tmp_path / "elsewhere").path
    (path / "examples").mkdir()
    Image.new("RGB", (8, 8), "red").save(path / "examples" / "a-1.webp")
    (path / "notes.txt").write_text("mine")
    return path


def left_over() -> list[str]:
    """What lies in the folder of downloads, but for the locks."""
    return [p.name for p in downloads_folder().iterdir()]


def files_of(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


def zipped(folder: Path, top: str = "tiny/") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(files_of(folder)):
            archive.write(folder / file, top + file)
    return buffer.getvalue()


def same_pictures(a, b) -> bool:
    return np.array_equal(a.sample([1, 2]), b.sample([1, 2]))


# -- what a source is ------------------------------------------------------------------------------------------------------


SOURCES = {
    "user/name": "hub",
    "osanseviero/BigGAN-deep-128": "hub",
    " user/name ": "hub",
    "https://huggingface.co/user/name": "hub",
    "https://huggingface.co/user/name/tree/v2": "hub",
    "https://huggingface.co/user/name/blob/main/net.pkl": "url",
    "https://example.org/a.pkl": "url",
    "ftp://example.org/a.pkl": "url",
    "net.pkl": "file",
    "runs/net.pkl": "file",
    "/a/b": "file",
    "./a/b": "file",
    "../b": "file",
    "a/b/c": "file",
    "~/b": "file",
    "name": "file",
    "C:/nets/a.pkl": "file",
    "a\\b.pkl": "file",
}


@pytest.mark.parametrize("source", SOURCES)
def test_what_a_source_looks_like(source):
    assert source_type(source) == SOURCES[source]
    assert source_type(Path("user/name")) == "file"


# -- files, folders, zips ----------------------------------------------------------------------------------------------------


def test_a_checkpoint(library, tmp_path):
    path = tmp_path / "Cats 1.pkl"
    path.write_bytes(PICKLE)
    steps = []
    info = add(path, library, sha256=SUM, progress=lambda *step: steps.append(step))
    assert info.id == "cats-1"
    assert info.path.parent == library.roots[0]
    assert info.extra == {"imported_from": "Cats 1.pkl"}
    assert {s[0] for s in steps} == {"Checking", "Reading"}
    assert add(str(path), library, name="dogs").id == "dogs"
    assert add(path, library).id == "cats-1-2"
    assert same_pictures(load(path), load_info(info))
    with pytest.raises(StudioError, match="has the SHA-256"):
        add(path, library, sha256="0" * 64)
    with pytest.raises(StudioError, match="cannot be the name"):
        add(path, library, name="../x")
    with pytest.raises(StudioError, match="There is nothing at"):
        add(tmp_path / "absent.pkl", library)
    with pytest.raises(CancelledError):
        add(path, library, cancel=lambda: True)
    assert len(library.scan()[0]) == 3 + len(library_shipped(library))


def library_shipped(library) -> list:
    return Library(library.roots[1:], library.bundled).scan()[0]


def test_a_folder(library, tiny):
    info = add(tiny, library)
    assert info.id == "tiny"
    assert info.hash == open_folder(tiny).hash
    assert info.title == "Tiny tiny"
    assert files_of(info.path) == files_of(tiny) - {"notes.txt"}
    assert len(info.examples("A")) == 1
    assert same_pictures(load(tiny), load_info(info))
    assert add(tiny, library, name="mine").id == "mine"
    with pytest.raises(StudioError, match="is not a model"):
        add(tiny / "examples", library)


@pytest.mark.parametrize("top", ["tiny/", "", "a/b/tiny/"])
def test_a_zip(library, tiny, tmp_path, top):
    path = tmp_path / "Tiny.zip"
    path.write_bytes(zipped(tiny, top))
    info = add(path, library)
    assert info.id == "tiny"
    assert info.hash == open_folder(tiny).hash
    assert files_of(info.path) == files_of(tiny) - {"notes.txt"}
    assert left_over() == []


def test_a_folder_without_a_card_and_with_odd_pictures(library, tiny):
    (tiny / "README.md").unlink()
    (tiny / "thumbnail.webp").write_bytes(b"<svg onload=alert(1)>")
    Image.new("RGB", (4, 4)).save(tiny / "examples" / "b-1.webp", "PNG")
    info = add(tiny, library)
    assert "Made by AI" in (info.path / "README.md").read_text()
    assert info.thumbnail is None
    assert [p.name for p in info.examples("A")] == ["a-1.webp"]
    assert not info.examples("B")


# -- the web -------------------------------------------------------------------------------------------------------------------


def test_an_address(library, web):
    web.pages["/nets/Cats.pkl"] = Page(PICKLE)
    steps = []
    info = add(f"{web.url}/nets/Cats.pkl?key=secret", library, progress=lambda *step: steps.append(step))
    assert info.id == "cats"
    assert [s[0] for s in steps][-1] == "Reading"
    assert steps[0][0] == "Downloading"
    assert info.extra == {
        "imported_from": "Cats.pkl",
        "downloaded_from": f"{web.url}/nets/Cats.pkl",
        "sha256": SUM,
        "checksum_known": False,
    }
    card = (info.path / "README.md").read_text()
    assert SUM in card
    assert "that of the first download" in card
    assert left_over() == []
    assert not any(b"secret" in p.read_bytes() for p in library.roots[0].parent.rglob("*") if p.is_file())
    info = add(f"{web.url}/nets/Cats.pkl", library, sha256=SUM, name="checked")
    assert info.extra["checksum_known"]
    assert "first download" not in (info.path / "README.md").read_text()


def test_what_does_not_fit_from_the_web_leaves_nothing(library, web):
    web.pages |= {"/a.pkl": Page(b"<!doctype html><title>404</title>"), "/b.pkl": Page(PICKLE[:-100])}
    for path, named in (("/a.pkl", "web page"), ("/b.pkl", "damaged")):
        with pytest.raises(StudioError, match=named):
            add(web.url + path, library)
    with pytest.raises(StudioError, match="deleted"):
        add(f"{web.url}/b.pkl", library, sha256=SUM)
    assert left_over() == []
    assert not list(library.roots[0].iterdir())


def test_a_zip_from_the_web(library, web, tiny):
    web.pages["/tiny.zip"] = Page(zipped(tiny))
    info = add(f"{web.url}/tiny.zip", library)
    assert info.id == "tiny"
    assert info.extra["downloaded_from"] == f"{web.url}/tiny.zip"


def test_visitors_of_a_shared_studio_cannot_look_around(library, web, monkeypatch):
    monkeypatch.setenv("STUDIO_PRIVATE_URLS", "0")
    web.pages["/a.pkl"] = Page(PICKLE)
    with pytest.raises(StudioError, match="private network"):
        add(f"{web.url}/a.pkl", library)
    assert web.asked == []


def test_the_known_ones(library, web, monkeypatch):
    assert 6 <= len(CATALOGUE) <= 12
    assert len({k.name for k in CATALOGUE}) == len({k.source for k in CATALOGUE}) == len(CATALOGUE)
    for k in CATALOGUE:
        assert source_type(k.source) in ("url", "hub")
        assert k.page.startswith("https://")
        assert not k.source.startswith("http:")
        assert k.sha256 is None or re.fullmatch("[0-9a-f]{64}", k.sha256)
        assert k.nbytes is None or k.nbytes > 1 << 20
        assert get_family(k.family).title
        assert k.sentence.endswith(".")
        assert k.title


def test_a_known_one_without_a_checksum_is_held_to_its_first_download(library, web, monkeypatch):
    import dataclasses

    from studio.models.acquire import add as module

    known = dataclasses.replace(CATALOGUE[1], source=f"{web.url}/metfaces.pkl", sha256=None)
    monkeypatch.setattr(module, "CATALOGUE", (known,))
    web.pages["/metfaces.pkl"] = Page(PICKLE)
    first = add(known.source, library)
    assert first.id == "metfaces"
    assert first.licence == known.licence
    assert first.extra["checksum_known"] is False
    assert add(known.source, library).extra["checksum_known"] is True
    web.pages["/metfaces.pkl"] = Page(network_pickle(resolution=8, channel_base=32, c_dim=2)[2], etag='"two"')
    with pytest.raises(StudioError, match="has the SHA-256"):
        add(known.source, library)
    monkeypatch.setattr(module, "CATALOGUE", (dataclasses.replace(known, sha256="0" * 64),))
    with pytest.raises(StudioError, match=r"000000000000\.\.\."):
        add(known.source, library)


# -- the Hub -----------------------------------------------------------------------------------------------------------------


def folder_files(folder: Path) -> dict[str, bytes]:
    return {file: (folder / file).read_bytes() for file in files_of(folder)}


def test_a_model_of_ours_on_the_hub(library, hub, tiny):
    hub.repos["anna/tiny"] = Repo(folder_files(tiny) | {".gitattributes": b"", "large.bin": b"x" * 1000})
    steps = []
    info = add("anna/tiny", library, progress=lambda *step: steps.append(step))
    assert info.id == "tiny"
    assert info.hash == open_folder(tiny).hash
    assert files_of(info.path) == files_of(tiny) - {"notes.txt"}
    assert info.extra["downloaded_from"] == "hub:anna/tiny"
    assert info.extra["revision"] == hub.repos["anna/tiny"].commit
    assert not any("large.bin" in path or "notes.txt" in path for path, _ in hub.asked)
    assert steps[0][0] == "Downloading"
    assert steps[-1][0] == "Reading"
    assert steps[-2][1] > 1000
    assert left_over() == []
    assert not any("Authorization" in headers for _, headers in hub.asked)


def test_foreign_weights_on_the_hub(library, hub):
    hub.repos["anna/cats"] = Repo({"README.md": b"# Cats", "network.pkl": PICKLE}, licence="mit")
    info = add(f"{'https://huggingface.co'}/anna/cats", library)
    assert info.id == "cats"
    assert info.licence == "mit"
    assert info.family == "stylegan2"
    hub.repos["anna/two"] = Repo({"a.pkl": PICKLE, "sub/b.pkl": PICKLE})
    with pytest.raises(StudioError, match=r"2 files of weights: a\.pkl, sub/b\.pkl"):
        add("anna/two", library)
    hub.repos["anna/none"] = Repo({"README.md": b"", "../evil.pkl": PICKLE, "/etc/evil.pkl": PICKLE})
    with pytest.raises(StudioError, match="no weights"):
        add("anna/none", library)
    hub.repos["anna/bad"] = Repo({"a.pkl": PICKLE[:1000]})
    with pytest.raises(StudioError, match="damaged"):
        add("anna/bad", library)
    assert left_over() == []


def test_revisions_and_checksums(library, hub):
    hub.repos["anna/cats"] = Repo({"network.pkl": PICKLE}, revisions=("main", "v1"))
    assert add("anna/cats", library, revision="v1", sha256=SUM).id == "cats"
    with pytest.raises(StudioError, match="no revision 'v9'"):
        add("anna/cats", library, revision="v9")
    with pytest.raises(StudioError, match="has the SHA-256"):
        add("anna/cats", library, sha256="1" * 64)


def test_a_token_is_used_and_kept_nowhere(library, hub, caplog, monkeypatch):
    secret = "hf_thisIsASecretOfAnna"
    hub.repos["anna/private"] = Repo({"network.pkl": PICKLE}, private=secret)
    with pytest.raises(StudioError, match="no model anna/private on the Hub, or it is private"):
        add("anna/private", library)
    info = add("anna/private", library, token=secret)
    assert info.id == "private"
    assert any(headers.get("Authorization") == f"Bearer {secret}" for _, headers in hub.asked)
    assert secret not in caplog.text
    assert not any(secret.encode() in p.read_bytes() for p in library.roots[0].parent.rglob("*") if p.is_file())
    # A studio for many does not lend its own login to visitors.
    asked = len(hub.asked)
    monkeypatch.setenv("HF_TOKEN", secret)
    monkeypatch.setenv("STUDIO_PRIVATE_URLS", "0")
    with pytest.raises(StudioError, match="or it is private"):
        add("anna/private", library)
    assert not any("Authorization" in headers for _, headers in hub.asked[asked:])
    monkeypatch.setenv("STUDIO_PRIVATE_URLS", "1")
    assert add("anna/private", library).id == "private-2"


def test_hubs_that_say_no(library, hub, monkeypatch):
    hub.repos["anna/gated"] = Repo({"network.pkl": PICKLE}, gated=True)
    with pytest.raises(StudioError, match=r"accepted its terms.*log in"):
        add("anna/gated", library)
    with pytest.raises(StudioError, match="There is no model anna/absent"):
        add("anna/absent", library)
    hub.repos["anna/huge"] = Repo({"network.pkl": PICKLE}, sizes={"network.pkl": 5 << 30})
    with pytest.raises(StudioError, match="larger than 4 GB"):
        add("anna/huge", library)
    assert left_over() == []


def test_a_cancelled_download_from_the_hub(library, hub):
    hub.repos["anna/cats"] = Repo({"network.pkl": PICKLE})
    steps = []
    with pytest.raises(CancelledError):
        add("anna/cats", library, progress=lambda *step: steps.append(step), cancel=lambda: len(hub.asked) > 2)
    assert not list(library.roots[0].iterdir())
    assert add("anna/cats", library).id == "cats"
    assert left_over() == []


def test_without_a_connection(library, monkeypatch, studio_home):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(StudioError, match="The Hub cannot be reached"):
        add("anna/cats", library)


def test_a_name_of_the_disk_comes_before_the_hub(library, hub, tiny, monkeypatch):
    monkeypatch.chdir(tiny.parent.parent)
    assert add("elsewhere/tiny", library).id == "tiny"
    assert hub.asked == []


def test_what_is_kept_with_a_model_is_plain(library, tiny):
    """The extra of a folder from elsewhere stays; where it came from is written beside it."""
    config = json.loads((tiny / "config.json").read_text())
    config["extra"] = {"kid": 0.1}
    (tiny / "config.json").write_text(json.dumps(config))
    assert add(tiny, library).extra == {"kid": 0.1}
