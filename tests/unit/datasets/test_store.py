"""From files to a stored set, and the life of a set."""

import hashlib
import os
import stat
import sys

import numpy as np
import pytest
from PIL import Image

from studio.cli.main import main
from studio.datasets.image_set import ImageSet
from studio.datasets.ingest import ingest
from studio.datasets.ingest_report import OWNERSHIP
from studio.datasets.rights import Consent
from studio.errors import StudioError
from studio.training.plan import Data, Plan
from tests.unit.datasets.pictures import hidden, scene


def test_from_files_to_training(photos, store, tmp_path):
    told = []
    report = store.ingest([photos], owned=True, title=" Pets ", progress=lambda done, total, name: told.append((done, total, name)))
    assert [a.name for a in report.accepted] == [
        *(f"cats/{n}" for n in ("0.png", "1.png", "2.png", "near.jpg")),
        *(f"dogs/{i}.png" for i in (3, 4, 5)),
    ]
    assert report.rejected == [("photos/notes.txt", "not a picture or a video")]
    assert report.duplicates == [("photos/dogs/twin.png", "cats/0.png")]
    assert report.near == [("cats/1.png", "cats/near.jpg")]
    assert report.classes == {"cats": 4, "dogs": 3}
    assert [t[:2] for t in told] == [(i + 1, 9) for i in range(9)]
    assert store.list() == [], "a staged intake is no set yet"
    stored = store.add(report, crop="fit")
    assert (stored.count, stored.title, stored.classes, stored.owned) == (7, "Pets", {"cats": 4, "dogs": 3}, True)
    assert stored.card["statement"] == OWNERSHIP
    assert stored.card["crop"] == "fit"
    assert stored.path.name == stored.id
    assert not hidden(store)
    assert store.changed(stored.id) == []
    for path in (stored.path, stored.path / "pictures"):
        opened = ImageSet.open(path, 16, tmp_path / "cache")
        assert opened.hash == stored.id
        assert opened.classes == ("cats", "dogs")
        assert len(opened) == 7
    assert (stored.path / "pictures" / "cats" / "near.jpg").read_bytes() == (photos / "cats" / "near.jpg").read_bytes()


def test_the_same_pictures_are_stored_once(photos, store):
    first = store.add(store.ingest([photos], owned=False, title="One"))
    again = store.add(store.ingest([photos], owned=True, title="Two"))
    assert again.id == first.id
    assert again.title == "One"
    assert again.owned
    assert not first.owned
    assert len(store.list()) == 1
    assert not hidden(store)


def test_leftovers_of_killed_intakes_are_swept(store, photos):
    report = ingest([photos], owned=True, home=store.home)
    store.sweep()
    assert hidden(store) == [report.staged.name], "somebody may still look at it"
    (store.home / ".deleted-1.part").mkdir()
    store.sweep(now=lambda: report.staged.stat().st_mtime + 8 * 24 * 3600)
    assert hidden(store) == []
    with pytest.raises(StudioError, match="are gone"):
        store.add(report)


def test_a_set_never_changes(photos, store):
    old = store.add(store.ingest([photos], owned=True, title="Pets"))
    before = {p: p.read_bytes() for p in old.path.rglob("*") if p.is_file()}
    new = store.without(old.id, ["cats/near.jpg", "dogs/3.png"])
    assert new.id != old.id
    assert new.count == 5
    assert new.card["made_from"] == old.id
    assert new.card["removed"] == ["cats/near.jpg", "dogs/3.png"]
    assert new.card["near"] == []
    assert new.owned
    assert new.title == "Pets"
    assert new.classes == {"cats": 3, "dogs": 2}
    assert {p: p.read_bytes() for p in old.path.rglob("*") if p.is_file()} == before
    assert store.without(old.id, ["dogs/3.png", "cats/near.jpg"]).id == new.id
    assert not hidden(store)
    if sys.platform != "win32":
        assert all(not os.stat(old.picture(n)).st_mode & stat.S_IWUSR for n in old.names())
    for names in (["cats/none.png"], old.names()):
        with pytest.raises(StudioError):
            store.without(old.id, names)
    store.delete(old.id)
    assert store.changed(new.id) == [], "what was made from it keeps its pictures"
    assert [s.id for s in store.list()] == [new.id]


def test_a_picture_changed_by_hand_is_found_out(photos, store):
    stored = store.add(store.ingest([photos], owned=True))
    picture = stored.picture("cats/0.png")
    picture.chmod(0o644)
    picture.write_bytes(b"other")
    stored.picture("cats/1.png").unlink()
    assert store.changed(stored.id) == ["cats/0.png", "cats/1.png"]


def test_deleting_says_what_depends_on_it(photos, store, studio_home):
    stored = store.add(store.ingest([photos], owned=True))
    assert store.dependants(stored.id) == []
    for folder, data in (
        ("models/pets", Data(hash=stored.id)),
        ("models/others", Data(hash="0" * 64)),
        ("runs/by-hash", Data(path="/elsewhere", hash=stored.id)),
        ("runs/by-path", Data(path=str(stored.path / "pictures"))),
        ("runs/side-b", Data(path="/elsewhere", hash="0" * 64, path_b="/else", hash_b=stored.id)),
        ("runs/side-b-by-path", Data(path="/elsewhere", path_b=str(stored.path))),
    ):
        (studio_home / folder).mkdir(parents=True)
        (studio_home / folder / "plan.toml").write_text(Plan(data=data).to_toml())
    (studio_home / "models" / "pets" / "config.json").write_text("{}")
    (studio_home / "runs" / "broken").mkdir()
    (studio_home / "runs" / "broken" / "plan.toml").write_bytes(b"\xff")
    assert store.dependants(stored.id, others=["A training waits for it."]) == [
        "The model 'pets' was trained on it; it still works, but cannot be trained again.",
        "The training 'by-hash' learns from it and could not continue.",
        "The training 'by-path' learns from it and could not continue.",
        "The training 'side-b' learns from it and could not continue.",
        "The training 'side-b-by-path' learns from it and could not continue.",
        "A training waits for it.",
    ]
    store.delete(stored.id)
    assert list(store.home.iterdir()) == []


def test_finding_sets(photos, store):
    a = store.add(store.ingest([photos], owned=True, title="Pets"))
    b = store.add(store.ingest([photos / "cats"], owned=True, title="Cats"))
    assert store.get(a.id) == store.get(a.id[:8]) == store.get("Pets") == a
    assert {s.id for s in store.list()} == {a.id, b.id}
    for wrong in ("", "nothing", "../", "."):
        with pytest.raises(StudioError):
            store.get(wrong)
    (b.path / "set.json").write_text("{")
    assert [s.id for s in store.list()] == [a.id], "a broken set does not hide the others"
    with pytest.raises(StudioError, match="cannot be read"):
        store.get(b.id)


def test_the_sheet_shows_what_training_sees(store, tmp_path, monkeypatch):
    (tmp_path / "p").mkdir()
    for i in range(5):
        scene(i, (900, 600)).save(tmp_path / "p" / f"{i}.png")
    stored = store.add(store.ingest([tmp_path / "p"], owned=True))
    assert len(list((stored.path / "previews").iterdir())) == 5
    for crop in ("centre", "fit"):
        truth = ImageSet.open(stored.path, 64, tmp_path / "cache", crop=crop, ground=(9, 9, 9)).array
        pages = [store.sheet(stored.id, page, 2, crop, 64, (9, 9, 9)) for page in range(4)]
        assert [len(p) for p in pages] == [2, 2, 1, 0]
        assert [n for p in pages for n, _ in p] == stored.names()
        shown = np.stack([t for p in pages for _, t in p])
        assert shown.dtype == np.uint8
        assert np.abs(shown.astype(int) - truth).mean() < 4
    for preview in (stored.path / "previews").iterdir():
        preview.write_bytes(b"torn")
    assert np.array_equal(store.sheet(stored.id, 0, 9, "fit", 64, (9, 9, 9))[0][1], truth[0]), "made from the picture itself then"


def test_nothing_usable(store, tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    report = store.ingest([tmp_path / "notes.txt"], owned=True)
    with pytest.raises(StudioError, match=r"no picture that can be used\. notes\.txt: not a picture"):
        store.add(report)
    report.discard()
    assert hidden(store) == []


def test_stored_files_are_named_by_what_they_hold(photos, store):
    report = store.ingest([photos], owned=True)
    stored = store.add(report)
    for a in report.accepted:
        assert hashlib.sha256(stored.picture(a.name).read_bytes()).hexdigest() == a.sha


def test_the_command_line(photos, store, tmp_path, capsys, monkeypatch):
    assert main(["dataset", "list"]) == 0
    assert "no training set yet" in capsys.readouterr().out
    assert main(["dataset", "add", str(photos), "--title", "Pets", "--mine", "--crop", "fit", "--ground", "#102030"]) == 0
    out, err = capsys.readouterr()
    stored = store.list()[0]
    assert "7 pictures added, in 2 classes." in out
    assert stored.id in out
    assert "left out: photos/notes.txt: not a picture or a video" in err
    assert main(["dataset", "list"]) == 0
    assert "Pets" in capsys.readouterr().out
    assert main(["dataset", "show", "Pets", "--sheet", str(tmp_path / "sheet.png")]) == 0
    out = capsys.readouterr().out
    assert "the work of whoever" in out
    assert "nearly the same: cats/1.png, cats/near.jpg" in out
    assert Image.open(tmp_path / "sheet.png").size == (1024, 128)
    monkeypatch.setattr("builtins.input", lambda text: "n")
    assert main(["dataset", "remove", stored.id[:6]]) == 2
    assert len(store.list()) == 1
    monkeypatch.setattr("builtins.input", lambda text: "y")
    assert main(["dataset", "remove", stored.id[:6]]) == 0
    assert store.list() == []
    for wrong in (["--crop", "round"], ["--ground", "red"], ["--every", "0"]):
        assert main(["dataset", "add", str(photos), *wrong]) == 2
        assert store.list() == []
        assert hidden(store) == []
    assert main(["dataset", "add", str(photos / "notes.txt")]) == 2
    assert hidden(store) == []
    assert "not stated whose" in (main(["dataset", "add", str(photos), "--flat"]), capsys.readouterr().out)[1]
    assert main(["dataset", "add", str(photos), "--flat", "--licence", "CC BY 4.0", "--attribution", "Anna", "--source", "a fair"]) == 0
    assert store.list()[0].consent == Consent("licensed", "a fair", "CC BY 4.0", "Anna")
    assert store.list()[0].owned
    assert main(["dataset", "add", str(photos), "--flat", "--not-mine"]) == 0
    assert store.list()[0].consent.answer == "none"
    assert main(["dataset", "add", str(photos), "--mine", "--not-mine"]) == 2


def test_the_same_pictures_added_again_are_said(store, photos):
    def add(title, **rights):
        return store.add(store.ingest([photos], owned=bool(rights), title=title, **rights))

    first = add("Cats", consent=Consent("own"))
    assert first.already == ""
    again = add("Dogs")
    assert (again.id, again.title, again.consent.answer) == (first.id, "Cats", "own")
    assert again.already == (
        "These are the pictures of the set 'Cats', which is here already: nothing was stored a second time, and the title 'Dogs' is not "
        "used. What was said before about whose they are still holds: The pictures are the work of whoever trained it."
    )
    assert add("Cats", consent=Consent("own")).already.endswith("nothing was stored a second time.")
    assert store.get("Cats").already == ""
