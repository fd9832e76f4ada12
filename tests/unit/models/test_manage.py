"""Keeping models: nothing of the artist's is lost, whatever is done to it and whenever the studio ends."""

import datetime
import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from concurrent.futures import CancelledError

import pytest

from studio.errors import NoRoom, StudioError
from studio.inference.model import load_info
from studio.models import manage, trash
from studio.models.acquire.add import add
from studio.models.acquire.bundled import PACKAGES, BundledModel
from studio.models.folder import open_folder
from studio.models.library import Library
from tests.conftest import ROOT, save_tiny

DAY = datetime.timedelta(days=1)


def day(n: int):
    """A clock that stands still, n days after a beginning."""
    return lambda: datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc) + n * DAY


def content(folder) -> dict[str, str]:
    return {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture
def library(tmp_path):
    """Two models of one's own, 'anna' and 'berta', and a shipped one, 'clara'."""
    save_tiny(tmp_path / "mine", "anna")
    save_tiny(tmp_path / "mine", "berta", seed=1)
    save_tiny(tmp_path / "shipped", "clara", seed=2)
    return Library([tmp_path / "mine", tmp_path / "shipped"])


def ids(library) -> list[str]:
    return [m.id for m in library.scan()[0]]


# -- titles ---------------------------------------------------------------------------------------------------------------


def test_a_new_title_changes_nothing_else(library):
    old = library.get("anna")
    config = json.loads((old.path / "config.json").read_text())
    config |= {"of_a_newer_studio": {"kept": [1, 2]}, "extra": {"imported_from": "x.pkl"}}
    (old.path / "config.json").write_text(json.dumps(config))
    before = content(old.path)
    new = manage.rename(library, "anna", "  Tiny   \U0001f409 »Ännchen« ")
    assert (new.id, new.title, new.hash) == ("anna", "Tiny \U0001f409 »Ännchen«", old.hash)
    assert json.loads((new.path / "config.json").read_text(encoding="utf-8")) == {**config, "title": new.title}
    card = (new.path / "README.md").read_text(encoding="utf-8")
    assert f'model_name: "{new.title}"' in card
    assert f"\n# {new.title}\n" in card
    assert "Tiny anna" not in card
    after = content(new.path)
    assert {n for n in before if before[n] != after[n]} == {"config.json", "README.md"}
    assert after.keys() == before.keys()


def test_a_card_of_ones_own_words_is_left_alone(library):
    card = library.get("anna").path / "README.md"
    written = "---\r\nmodel_name: >-\r\n  Tiny\r\n  anna\r\n---\r\n# My dragons\r\n\r\n# Tiny anna\r\n"
    card.write_bytes(written.encode())
    assert manage.rename(library, "anna", "New").title == "New"
    assert card.read_bytes() == written.encode()
    card.write_bytes(b"\xff\xfe no text")
    assert manage.rename(library, "anna", "Newer").title == "Newer"
    assert card.read_bytes() == b"\xff\xfe no text"
    card.unlink()
    assert manage.rename(library, "anna", "Newest").title == "Newest"
    assert not card.exists()


@pytest.mark.parametrize("title", ["", "  \n ", "x" * 121, "a\0b", "right\u202eleft"])
def test_what_is_no_title_changes_nothing(library, title):
    before = content(library.get("anna").path)
    with pytest.raises(StudioError):
        manage.rename(library, "anna", title)
    with pytest.raises(StudioError):
        manage.duplicate(library, "anna", title)
    assert content(library.get("anna").path) == before
    assert ids(library) == ["anna", "berta", "clara"]


# -- what is not one's own ------------------------------------------------------------------------------------------------


def test_what_came_with_the_studio_stays_but_can_be_copied(library):
    clara = library.get("clara")
    before = content(clara.path)
    for deed in (lambda: manage.rename(library, "clara", "Mine"), lambda: trash.move_to_trash(library, "clara")):
        with pytest.raises(StudioError, match="came with the studio") as e:
            deed()
        assert "Duplicate" in e.value.hint
    copy = manage.duplicate(library, "clara", "Mine")
    assert content(clara.path) == before
    assert manage.is_own(library, copy)
    assert not manage.is_own(library, clara)
    assert manage.rename(library, "mine", "Still mine").title == "Still mine"


def test_one_that_may_not_be_written_is_told_as_that(library, monkeypatch):
    real = os.access
    monkeypatch.setattr(os, "access", lambda path, mode, **k: False if os.path.basename(path) == "anna" else real(path, mode, **k))
    with pytest.raises(StudioError, match="read-only"):
        trash.move_to_trash(library, "anna")
    assert manage.duplicate(library, "anna").title == "Tiny anna (copy)"


def test_one_that_is_only_offered_is_not_thrown_away(library, tmp_path):
    library.bundled = (BundledModel("offered", "Offered", "stylegan2", {}, tmp_path / "none.param", PACKAGES[0]),)
    with pytest.raises(StudioError, match="comes with a package"):
        trash.move_to_trash(library, "offered")
    assert trash.list_trash(library) == []


# -- copies ---------------------------------------------------------------------------------------------------------------


def test_a_copy_is_a_model_of_its_own(library):
    old = library.get("anna")
    (old.path / "examples").mkdir()
    (old.path / "examples" / "a-1.webp").write_bytes(b"picture")
    told = []
    first = manage.duplicate(library, "anna", progress=lambda *a: told.append(a))
    second = manage.duplicate(library, "anna")
    assert [first.id, second.id] == ["tiny-anna-copy", "tiny-anna-copy-2"]
    assert first.hash == second.hash == old.hash
    assert first.title == "Tiny anna (copy)"
    assert load_info(first, "cpu").num_ws == load_info(old, "cpu").num_ws
    same = content(old.path)
    assert {n for n in same if content(first.path)[n] != same[n]} == {"config.json", "README.md"}
    assert told[-1] == (manage.size_of(old), manage.size_of(old))
    assert told == sorted(told)
    assert content(old.path) == same


def test_a_copy_of_what_a_full_disk_or_a_second_thought_ends_leaves_nothing(library, monkeypatch):
    with pytest.raises(CancelledError):
        manage.duplicate(library, "anna", cancel=lambda: True)
    monkeypatch.setenv("STUDIO_KEEP_FREE_MB", "1e12")
    with pytest.raises(NoRoom):
        manage.duplicate(library, "anna")
    assert ids(library) == ["anna", "berta", "clara"]
    assert list((library.roots[0] / ".bin").iterdir()) == []


@pytest.mark.parametrize("link", ["/etc/passwd", "../berta/model.safetensors", ".secret"])
def test_what_lies_outside_goes_neither_into_a_copy_nor_into_a_zip(library, tmp_path, link):
    anna = library.get("anna")
    (anna.path / ".secret").write_text("token")
    (anna.path / "notes.txt").symlink_to(link)
    (anna.path / "away").symlink_to(tmp_path / "shipped")
    os.mkfifo(anna.path / "pipe")
    (anna.path / "same.webp").symlink_to("thumbnail.webp")
    copy = manage.duplicate(library, "anna")
    names = {f"{anna.id}/{n}" for n in content(copy.path)}
    with zipfile.ZipFile(manage.export_zip(anna, tmp_path / "out.zip")) as z:
        assert set(z.namelist()) == names
    hidden = {"notes.txt"} if link != ".secret" else set()
    assert "anna/same.webp" in names
    assert not {f"anna/{n}" for n in (".secret", "pipe", *hidden)} & names


# -- zips -----------------------------------------------------------------------------------------------------------------


def test_a_zip_opens_as_the_model_and_is_the_same_each_time(library, tmp_path):
    anna, told = library.get("anna"), []
    first = manage.export_zip(anna, tmp_path / "a.zip", lambda *a: told.append(a)).read_bytes()
    for file in anna.path.rglob("*"):
        os.utime(file, (1, 1))
    shutil.copytree(anna.path, tmp_path / "elsewhere" / "anna")
    assert manage.export_zip(open_folder(tmp_path / "elsewhere" / "anna"), tmp_path / "b.zip").read_bytes() == first
    assert told[-1] == (manage.size_of(anna), manage.size_of(anna))
    with zipfile.ZipFile(tmp_path / "a.zip") as z:
        assert z.testzip() is None
        z.extractall(tmp_path / "unpacked")
    assert content(tmp_path / "unpacked" / "anna") == content(anna.path)
    assert open_folder(tmp_path / "unpacked" / "anna").hash == anna.hash


def test_a_zip_that_is_given_up_leaves_the_older_one(library, tmp_path):
    out = tmp_path / "out" / "a.zip"
    first = manage.export_zip(library.get("anna"), out).read_bytes()
    with pytest.raises(CancelledError):
        manage.export_zip(library.get("berta"), out, cancel=lambda: True)
    assert out.read_bytes() == first
    assert os.listdir(out.parent) == ["a.zip"]


# -- the bin --------------------------------------------------------------------------------------------------------------


def test_what_is_thrown_away_comes_back_as_it_was(library):
    anna = library.get("anna")
    before = content(anna.path)
    thrown = trash.move_to_trash(library, "anna", day(0))
    assert ids(library) == ["berta", "clara"]
    assert not anna.path.exists()
    assert (thrown.model, thrown.title, thrown.when) == ("anna", "Tiny anna", day(0)())
    again = Library(library.roots)  # as after a restart
    assert trash.list_trash(again) == [thrown]
    assert thrown.size == sum(f.stat().st_size for f in thrown.path.rglob("*") if f.is_file())
    back = trash.restore(again, thrown.id)
    assert back == anna
    assert content(back.path) == before
    assert trash.list_trash(again) == []
    assert list((library.roots[0] / ".bin").iterdir()) == []


def test_a_name_that_was_taken_meanwhile_gets_a_number(library):
    old = trash.move_to_trash(library, "anna", day(0))
    save_tiny(library.roots[0], "anna", seed=5)
    new = trash.move_to_trash(library, "anna", day(1))
    assert [t.id for t in trash.list_trash(library)] == [new.id, old.id]
    save_tiny(library.roots[0], "anna", seed=6)
    hashes = {trash.restore(library, t.id).hash for t in (old, new)}
    assert ids(library) == ["anna", "anna-2", "anna-3", "berta", "clara"]
    assert len(hashes | {library.get("anna").hash}) == 3


def test_the_bin_is_emptied_of_what_is_old(library):
    old, young = trash.move_to_trash(library, "anna", day(0)), trash.move_to_trash(library, "berta", day(1))
    assert trash.empty_trash(library, 30, day(29)) == 0
    assert trash.list_trash(library) == [young, old]
    assert trash.empty_trash(library, 30, day(30)) == 1
    assert trash.list_trash(library) == [young]
    assert trash.restore(library, young.id).id == "berta"
    with pytest.raises(StudioError, match="no longer in the trash"):
        trash.restore(library, old.id)
    assert trash.empty_trash(library, 0, day(99)) == 0
    assert list((library.roots[0] / ".bin").iterdir()) == []


@pytest.mark.parametrize("id", ["", ".", "..", "../anna", "20260101T000000Z-000000", "anna"])
def test_only_what_is_in_the_bin_is_restored(library, id):
    trash.move_to_trash(library, "berta")
    with pytest.raises(StudioError, match="no longer in the trash"):
        trash.restore(library, id)
    assert ids(library) == ["anna", "clara"]


def test_what_a_killed_studio_left_in_the_bin_is_no_entry_and_is_swept(library):
    place = library.roots[0] / ".bin"
    for name in (f"{day(0)():%Y%m%dT%H%M%SZ}-aa", ".gone-1/anna", ".new-1", "notes"):
        (place / name).mkdir(parents=True)
    os.utime(place / ".new-1", (day(0)().timestamp(),) * 2)
    (place / ".new-2").mkdir()
    os.utime(place / ".new-2", (day(40)().timestamp(),) * 2)
    assert trash.list_trash(library) == []
    assert trash.empty_trash(library, 30, day(40)) == 0
    assert sorted(os.listdir(place)) == [".new-2", "notes"], "what may still be at work, and what is not ours, stays"


def test_one_whose_config_is_damaged_in_the_bin_can_still_be_restored(library):
    thrown = trash.move_to_trash(library, "anna")
    (thrown.path / "config.json").write_text("{")
    assert trash.list_trash(library)[0].title == "anna"
    with pytest.raises(StudioError, match=r"config.json"):
        trash.restore(library, thrown.id)
    assert [b.path.name for b in library.scan()[1]] == ["anna"], "it is back, and told as what it is"


def test_models_that_began_from_it_are_told(library):
    (library.get("berta").path / "plan.toml").write_text('base = "anna"\n')
    (library.get("clara").path / "plan.toml").write_text("base = [broken")
    (told,) = trash.dependants(library, "anna")
    assert "Tiny berta" in told
    assert "still works" in told
    assert trash.dependants(library, "berta") == []


# -- kills ----------------------------------------------------------------------------------------------------------------

_WORK = """
import sys
from pathlib import Path
from studio.models import manage, trash
from studio.models.acquire.add import add
from studio.models.library import Library
manage._BLOCK = 1 << 10
library, out = Library([Path(sys.argv[1])]), Path(sys.argv[2])
def stop(done, all_):
    if done >= float(sys.argv[3]) * all_:
        print("there", flush=True)
        sys.stdin.read()
if sys.argv[4] == "copy":
    manage.duplicate(library, "anna", "Copy", stop)
else:
    manage.export_zip(library.get("anna"), out, stop)
"""


@pytest.mark.parametrize(("verb", "share"), [("copy", 0.0), ("copy", 1.0), ("zip", 0.6)])
def test_a_kill_in_the_middle_loses_nothing_and_shows_nothing_half_made(library, tmp_path, verb, share):
    mine, out = library.roots[0], tmp_path / "out" / "anna.zip"
    manage.export_zip(library.get("berta"), out)
    before, zipped = {m.id: content(m.path) for m in library.scan()[0]}, out.read_bytes()
    command = [sys.executable, "-c", _WORK, str(mine), str(out), str(share), verb]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout.readline() == b"there\n"
        process.kill()
    models, broken = library.scan()
    assert broken == []
    assert {m.id: content(m.path) for m in models} == before
    assert out.read_bytes() == zipped
    assert trash.list_trash(library) == []
    assert manage.duplicate(library, "anna", "Copy").id == "copy", "the same can be done again"
    trash.empty_trash(library, now=lambda: datetime.datetime.now(datetime.timezone.utc) + 2 * DAY)
    assert list((mine / ".bin").iterdir()) == []


def test_a_zip_is_taken_back_by_adding_it(library, tmp_path, studio_home):
    anna = manage.rename(library, "anna", "Ännchen")
    zipped = manage.export_zip(anna, tmp_path / "any name.zip")
    trash.move_to_trash(library, "anna")
    back = add(zipped, library)
    assert (back.id, back.title, back.hash) == ("anna", "Ännchen", anna.hash)
    assert add(zipped, library).id == "anna-2"


# -- snapshots ------------------------------------------------------------------------------------------------------------


def test_a_snapshot_is_kept_once_under_a_name_of_its_own(library, tmp_path):
    snapshot = save_tiny(tmp_path / "run" / "snapshots", "000004", seed=7)
    before = content(snapshot.path)
    kept = manage.keep_snapshot(library, snapshot.path, "Dragons 0.5k", "Dragons at dawn")
    assert (kept.id, kept.title, kept.hash, kept.path.parent) == ("dragons-0.5k", "Dragons at dawn", snapshot.hash, library.roots[0])
    assert "# Dragons at dawn" in (kept.path / "README.md").read_text(encoding="utf-8")
    assert manage.keep_snapshot(library, snapshot.path, "Dragons 0.5k").path == kept.path
    assert content(snapshot.path) == before
    assert manage.keep_snapshot(library, snapshot.path).id == "tiny-000004-000004"
    assert manage.keep_snapshot(library, snapshot.path, "anna").id == "anna-2", "another model has that name"
    assert library.get("anna").hash != snapshot.hash
    (library.roots[0] / "torn").mkdir()
    assert manage.keep_snapshot(library, snapshot.path, "torn").id == "torn-2"
    with pytest.raises(StudioError, match="name is empty"):
        manage.keep_snapshot(library, snapshot.path, title=" ")
    assert set(ids(library)) == {"anna", "anna-2", "berta", "clara", "dragons-0.5k", "tiny-000004-000004", "torn-2"}
