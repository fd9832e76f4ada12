"""The gallery's index over real files: it finds, forgets and survives."""

import dataclasses
import datetime
import io
import os
import random
import shutil
import signal
import sqlite3
import struct
import traceback
import zipfile
import zlib
from concurrent.futures import CancelledError
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin
from PIL.PdfParser import PdfParser

from studio.engine.image_recipe import ImageRecipe
from studio.engine.recipe import ClassWeight, Edit, Recipe, SeedWeight
from studio.errors import StudioError
from studio.gallery.export import save_contact_sheet, to_zip
from studio.gallery.gallery import Gallery
from studio.gallery.items import Choices, Query
from studio.gallery.thumbnails import small_view
from studio.outputs.clips import save_clip
from studio.outputs.film_file import write_segment
from studio.outputs.film_format import film_format
from studio.provenance.metadata import save_picture

DAY = 86400
NOON = datetime.datetime(2026, 3, 4, 12, tzinfo=datetime.timezone.utc)


def picture(seed: int = 0, side: int = 24) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (side, side, 3), dtype=np.uint8)


def save(home: Path, name: str, recipe=None, made: float | None = None, side: int = 24) -> Path:
    path = save_picture(picture(len(name), side), recipe, home / "outputs" / name)
    if made is not None:
        os.utime(path, (made, made))
    return path


def drawn(model: str, seed: int = 0, **changes) -> Recipe:
    return Recipe(model=model, seeds=(SeedWeight(seed),), **changes)


@pytest.fixture
def home(tmp_path) -> Path:
    return tmp_path / "home"


@pytest.fixture(scope="module")
def five(tmp_path_factory) -> Path:
    """A home with five files of five kinds, a day apart, the first one the oldest."""
    home, noon = tmp_path_factory.mktemp("five"), NOON.timestamp()
    save(home, "explore/one-anna-seed42.png", drawn("anna", 42, psi=0.5, edits=(Edit("model:Smile", 1),)), noon)
    save(home, "explore/two-anna.webp", drawn("anna", 7, classes=(ClassWeight(3),)), noon + DAY)
    save(home, "translate/hill.png", ImageRecipe("ink", direction="BtoA"), noon + 2 * DAY)
    save(home, "plain.png", None, noon + 3 * DAY)
    clip = save_clip([picture(i) for i in range(4)], home / "outputs" / "classes" / "walk.mp4")
    os.utime(clip, (noon + 4 * DAY,) * 2)
    return home


@pytest.fixture
def filled(five, home) -> Path:
    return Path(shutil.copytree(five, home))


@pytest.fixture
def gallery(filled):
    gallery = Gallery.at(filled)
    gallery.refresh()
    yield gallery
    gallery.close()


def names(items) -> list[str]:
    return [Path(i.path).stem for i in items]


def found(gallery, **query) -> list[str]:
    items = gallery.page(Query(**query))
    assert gallery.count(Query(**query)) == len(items)
    return names(items)


def test_the_newest_come_first_with_what_is_known_of_them(gallery):
    items = gallery.page(Query())
    assert names(items) == ["walk", "plain", "hill", "two-anna", "one-anna-seed42"]
    walk, plain, hill, two, one = items
    assert (one.verb, one.model, one.seed, one.tab, one.kind) == ("draw", "anna", 42, "explore", "picture")
    assert (one.width, one.height, one.size) == (24, 24, gallery.file(one).stat().st_size)
    assert one.made == NOON.timestamp()
    assert (hill.verb, hill.model, hill.seed, hill.tab) == ("translate", "ink", None, "translate")
    assert (plain.verb, plain.model, plain.tab) == ("", "", "")
    assert (walk.kind, walk.width) == ("clip", 504)
    assert two.tab == "explore"
    assert names(gallery.page(Query(), 1, 2)) == ["plain", "hill"]
    assert gallery.choices() == Choices(("anna", "ink"), ("classes", "explore", "translate"), ("clip", "picture"), ())


@pytest.mark.parametrize("name", ["film.webm", "FILM.MOV"])
def test_films_are_listed_with_their_first_frame(home, name):
    path, form = home / "outputs" / "explore" / name, film_format(Path(name.lower()))
    path.parent.mkdir(parents=True)
    grey = np.full((64, 96, 3), 128, np.uint8)
    write_segment(path, iter([grey] * 3), form, Fraction(10))
    gallery = Gallery.at(home)
    gallery.refresh()
    [film] = gallery.page(Query())
    assert (film.kind, film.width, film.height, film.tab) == ("clip", 96, 64, "explore")
    with Image.open(io.BytesIO(gallery.thumbnail(film))) as view:
        assert view.size == (96, 64)
        assert np.asarray(view.convert("RGB")) == pytest.approx(128, abs=6)
    gallery.close()


def test_a_zip_of_pictures_is_not_listed(home):
    save(home, "explore/a.png")
    with zipfile.ZipFile(home / "outputs" / "explore" / "film.zip", "w") as file:
        file.writestr("frame-00001.png", b"")
    gallery = Gallery.at(home)
    gallery.refresh()
    assert found(gallery) == ["a"]
    gallery.close()


def test_search(gallery):
    for query, wanted in [
        (dict(text="anna"), ["two-anna", "one-anna-seed42"]),
        (dict(text="SMILE Anna"), ["one-anna-seed42"]),
        (dict(text="seed 42"), ["one-anna-seed42"]),
        (dict(text="2"), []),
        (dict(text="class 3"), ["two-anna"]),
        (dict(text="100% _"), []),
        (dict(model="ink"), ["hill"]),
        (dict(tab="explore", text="psi 0.5"), ["one-anna-seed42"]),
        (dict(kind="clip"), ["walk"]),
        (dict(since=datetime.date(2026, 3, 6), until=datetime.date(2026, 3, 7)), ["plain", "hill"]),
        (dict(until=datetime.date(2026, 3, 4)), ["one-anna-seed42"]),
        (dict(favourite=True), []),
    ]:
        assert found(gallery, **query) == wanted, query


def test_new_changed_and_vanished_files(gallery, filled, monkeypatch):
    from studio.gallery import gallery as module

    read = []
    monkeypatch.setattr(module, "look_inside", lambda path, real=module.look_inside: read.append(path.stem) or real(path))
    gallery.refresh()
    assert read == [], "what has not changed is not opened"
    save(filled, "explore/three.png", drawn("berta"), NOON.timestamp() + 9 * DAY)
    save(filled, "plain.png", drawn("clara", 5), NOON.timestamp() + 3 * DAY)
    (filled / "outputs" / "translate" / "hill.png").unlink()
    (filled / "outputs" / "explore" / ".half.png").write_bytes(b"no")
    (filled / "outputs" / "explore" / "set.zip").write_bytes(b"no")
    os.symlink(filled / "outputs", filled / "outputs" / "round")
    gallery.refresh()
    assert sorted(read) == ["plain", "three"]
    assert found(gallery) == ["three", "walk", "plain", "two-anna", "one-anna-seed42"]
    assert found(gallery, model="clara") == ["plain"]


def test_stepping_from_one_to_the_next(gallery):
    query = Query(tab="explore")
    newest = gallery.page(query)[0]
    assert gallery.place(query, newest) == 0
    assert gallery.beside(query, newest, -1) is None
    older = gallery.beside(query, newest, 1)
    assert older.path == "explore/one-anna-seed42.png"
    assert gallery.place(query, older) == 1
    assert gallery.beside(query, older, -1) == newest
    assert gallery.beside(query, older, 1) is None
    assert gallery.recipe(older) == drawn("anna", 42, psi=0.5, edits=(Edit("model:Smile", 1),))


def test_stars_and_tags_are_found_and_outlive_the_index_and_a_rename(gallery, filled):
    one = gallery.item("explore/one-anna-seed42.png")
    gallery.set_favourite(one, True)
    gallery.set_tags(one, ["Blau", " blau ", "Über  Nacht"])
    assert found(gallery, favourite=True) == found(gallery, tag="Blau") == found(gallery, text="über") == ["one-anna-seed42"]
    assert found(gallery, tag="Bla") == [], "a tag is found whole"
    assert gallery.choices().tags == ("Blau", "Über Nacht")
    gallery.close()
    for ending in ("", "-wal", "-shm"):
        (filled / f"gallery.sqlite3{ending}").unlink(missing_ok=True)
    gallery.file(one).rename(filled / "outputs" / "renamed.png")
    gallery.refresh()
    kept = gallery.item("renamed.png")
    assert kept.favourite
    assert kept.tags == ("Blau", "Über Nacht")
    gallery.set_favourite(kept, False)
    gallery.set_tags(kept, [])
    assert found(gallery, favourite=True) == found(gallery, text="über") == []
    for bad in (["x" * 41], ["a\u202eb"], map(str, range(51))):
        with pytest.raises(StudioError):
            gallery.set_tags(kept, bad)


def in_a_process(act) -> int:
    """Start `act` in a process of its own -> its id."""
    pid = os.fork()
    if pid:
        return pid
    try:
        act()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
    os._exit(1)


def ended(pid: int) -> int:
    """Exit status, or minus the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def many(home: Path, count: int) -> None:
    data = save(home, "explore/000.png", drawn("anna")).read_bytes()
    for i in range(1, count):
        (home / "outputs" / "explore" / f"{i:03d}.png").write_bytes(data)


def test_a_refresh_that_is_killed_leaves_a_good_index(home):
    many(home, 250)

    def told(done: int, all_: int) -> None:
        if done >= 100:
            os.kill(os.getpid(), signal.SIGKILL)

    assert ended(in_a_process(lambda: Gallery.at(home).refresh(told))) == -signal.SIGKILL
    gallery = Gallery.at(home)
    assert 100 <= gallery.count() < 250, "what was read is kept"
    gallery.refresh()
    assert gallery.count() == gallery.count(Query(model="anna")) == 250


def test_two_processes_refresh_at_once(home):
    many(home, 250)
    both = [in_a_process(Gallery.at(home).refresh) for _ in range(2)]
    assert [ended(pid) for pid in both] == [0, 0]
    gallery = Gallery.at(home)
    read = []
    gallery.refresh(lambda done, all_: read.append(all_))
    assert read == [0]
    assert gallery.count() == 250


def test_a_refresh_is_stopped(home):
    many(home, 150)
    gallery, asked = Gallery.at(home), iter([False, True])
    with pytest.raises(CancelledError):
        gallery.refresh(cancel=lambda: next(asked))
    assert gallery.count() == 100


@pytest.mark.parametrize("how", ["garbage", "torn", "other"])
def test_a_damaged_index_is_set_aside_and_made_again(gallery, filled, how):
    gallery.set_favourite(gallery.page(Query())[0], True)
    gallery.close()
    file = filled / "gallery.sqlite3"
    if how == "garbage":
        file.write_bytes(b"this is no database" * 500)
    elif how == "torn":
        data = file.read_bytes()
        file.write_bytes(data[:4096] + os.urandom(len(data) - 4096))
    else:
        file.unlink()
        with sqlite3.connect(file) as db:
            db.execute("CREATE TABLE pictures (something)")
    gallery.refresh()
    assert gallery.count() == 5
    assert found(gallery, favourite=True) == ["walk"]
    assert len(list(filled.glob("gallery.sqlite3.damaged-*"))) == (how != "other")


def test_an_index_that_is_damaged_while_it_is_open(gallery, filled):
    gallery._store.read("PRAGMA wal_checkpoint(TRUNCATE)")
    file = filled / "gallery.sqlite3"
    with open(file, "r+b") as f:
        f.seek(4096)
        f.write(os.urandom(file.stat().st_size - 4096))
    gallery._store.read("PRAGMA shrink_memory")
    gallery.refresh()
    gallery.refresh()
    assert gallery.count() == 5


def test_of_damaged_marks_what_can_be_read_is_kept(gallery, filled):
    one = gallery.page(Query())[0]
    gallery.set_tags(one, ["first"])
    with sqlite3.connect(filled / "gallery-marks.sqlite3") as db:
        db.executemany("INSERT INTO marks VALUES (?, 1, 'x', 0, ?)", [(f"zz{i:05d}", "\nfar away\n" * 20) for i in range(400)])
    db.close()
    gallery.close()
    file = filled / "gallery-marks.sqlite3"
    data = bytearray(file.read_bytes())
    middle = len(data) // 2 // 4096 * 4096
    data[middle : middle + 8192] = os.urandom(8192)
    file.write_bytes(data)
    assert found(gallery, tag="first") == [Path(one.path).stem]
    gallery.set_favourite(one, True)
    assert found(gallery, favourite=True) == [Path(one.path).stem]
    assert list(filled.glob("gallery-marks.sqlite3.damaged-*"))


def test_where_nothing_can_be_written_the_gallery_still_shows(gallery, filled, tmp_path):
    one = gallery.item("explore/one-anna-seed42.png")
    gallery.set_favourite(one, True)
    gallery.close()
    blocked = tmp_path / "file"
    blocked.write_bytes(b"")  # no folder can be made below a file, whoever one is
    closed = Gallery(filled / "outputs", blocked / "gallery.sqlite3", blocked / "bin", blocked / "thumbs")
    closed.refresh()
    assert found(closed) == found(gallery)
    assert closed.thumbnail(one)[:4] == b"RIFF"
    for act in (lambda: closed.set_favourite(one, True), lambda: closed.delete([one])):
        with pytest.raises(StudioError, match=r"annot be saved|Nothing was deleted"):
            act()
    assert gallery.file(one).exists()


def test_a_home_that_can_only_be_read(gallery, filled, tmp_path):
    # No video: PyAV's threads, which have made its thumbnail here, are not there in a process that was forked.
    gallery.set_favourite(next(item for item in gallery.page(Query()) if item.path.endswith(".png")), True)
    gallery.close()

    def look() -> None:
        if os.getuid() == 0:
            os.setuid(65534)  # whom modes of files bind
        closed = Gallery.at(filled)
        closed.refresh()
        [one] = closed.page(Query(favourite=True))
        assert closed.thumbnail(one)
        assert closed.count() == 5
        with pytest.raises(StudioError, match="cannot be saved"):
            closed.set_favourite(one, False)
        with pytest.raises(StudioError, match="Nothing was deleted"):
            closed.delete([one])

    folders = [filled, *(p for p in filled.rglob("*") if p.is_dir())]
    private = [p for p in filled.parents if p.stat().st_uid == os.getuid() and not p.stat().st_mode & 1]  # pytest's own
    for folder in [*folders, *private]:
        folder.chmod(0o555)
    try:
        assert ended(in_a_process(look)) == 0
    finally:
        for folder in folders:
            folder.chmod(0o755)
        for folder in private:
            folder.chmod(0o700)


def png_header(width: int, height: int, *chunks: tuple[bytes, bytes]) -> bytes:
    parts = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), *chunks, (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )


def test_hostile_files_are_listed_as_pictures_without_a_recipe(home):
    folder = home / "outputs" / "explore"
    folder.mkdir(parents=True)
    (folder / "bomb.png").write_bytes(png_header(100_000, 100_000))
    (folder / "texts.png").write_bytes(png_header(8, 8, *[(b"zTXt", b"a\0\0" + zlib.compress(bytes(60 << 20)))] * 2))
    for name, recipe in (("bad", '{"model": 5}'), ("deep", "[" * 100_000), ("long", '{"model":"' + "x" * 100_000 + '"}')):
        info = PngImagePlugin.PngInfo()
        info.add_itxt("gan-studio-recipe", recipe)
        Image.new("RGB", (8, 8)).save(folder / f"{name}.png", pnginfo=info)
    for name in ("noise.png", "noise.webp", "noise.mp4", "noise.webm", "noise.mov"):
        (folder / name).write_bytes(os.urandom(3000))
    (folder / "empty.png").write_bytes(b"")
    old = save(home, "explore/from-1901.png")
    os.utime(old, (-2_000_000_000,) * 2)
    gallery = Gallery.at(home)
    gallery.refresh()
    items = {i.path.split("/")[1]: i for i in gallery.page(Query())}
    assert len(items) == 12
    assert all(i.verb == i.model == "" and i.seed is None for i in items.values())
    assert items["bomb.png"].width == 100_000
    for name in ("bomb.png", "noise.png", "noise.webp", "noise.mp4", "noise.webm", "noise.mov", "empty.png"):
        with pytest.raises(StudioError, match="too large" if name == "bomb.png" else "damaged"):
            gallery.thumbnail(items[name])
        assert gallery.recipe(items[name]) is None
    assert gallery.thumbnail(items["bad.png"])
    assert gallery.thumbnail(items["from-1901.png"])
    assert items["bomb.png"].path == gallery.beside(Query(), gallery.beside(Query(), items["bomb.png"], 1), -1).path


def test_a_picture_larger_than_pillow_opens_keeps_its_recipe(home):
    """The studio's own enlargements may be."""
    from studio.provenance.metadata import png_texts

    path = home / "outputs" / "upscale" / "large.png"
    path.parent.mkdir(parents=True)
    recipe = ImageRecipe("sharp", verb="upscale", scale=16)
    path.write_bytes(png_header(40_000, 40_000, *((b"iTXt", k.encode() + b"\0\0\0\0\0" + v.encode()) for k, v in png_texts(recipe))))
    gallery = Gallery.at(home)
    gallery.refresh()
    [item] = gallery.page(Query())
    assert (item.verb, item.model, item.width) == ("upscale", "sharp", 40_000)


def test_small_views_are_made_once_and_again_when_the_file_changes(gallery, filled):
    save(filled, "explore/wide.png", None, side=600)
    gallery.refresh()
    wide = gallery.item("explore/wide.png")
    data = gallery.thumbnail(wide)
    with Image.open(filled / "cache" / "thumbs" / wide.key[:2] / f"{wide.key}.webp") as view:
        assert view.size == (256, 256)
        assert view.format == "WEBP"
    gallery.file(wide).write_bytes(b"gone bad")
    assert gallery.thumbnail(wide) == data, "from what is kept"
    (filled / "cache" / "thumbs" / wide.key[:2] / f"{wide.key}.webp").write_bytes(data[:100])
    with pytest.raises(StudioError):
        gallery.thumbnail(wide)
    gallery.refresh()
    assert gallery.item("explore/wide.png").key != wide.key
    assert not (filled / "cache" / "thumbs" / wide.key[:2] / f"{wide.key}.webp").exists()
    small = small_view(gallery.file(gallery.item("plain.png")), 256)
    assert np.array_equal(np.asarray(small), picture(len("plain.png")))
    walk = small_view(gallery.file(gallery.item("classes/walk.mp4")), 512)
    assert walk.size == (504, 504)


def test_what_is_deleted_comes_back_with_its_star(gallery, filled):
    before = gallery.page(Query())
    gallery.set_favourite(before[4], True)
    batch = gallery.delete([before[0], before[4]])
    assert found(gallery) == names(before[1:4])
    assert not gallery.file(before[0]).exists()
    gallery.refresh()
    assert gallery.count() == 3
    save(filled, before[0].path.replace(".mp4", ".png")).rename(gallery.file(before[0]))  # the name was taken meanwhile
    assert gallery.undo_delete(batch) == 2
    assert (filled / "outputs" / "classes" / "walk-2.mp4").exists()
    assert gallery.count() == 6
    assert found(gallery, favourite=True) == ["one-anna-seed42"]
    for gone in (batch, "../outputs", ""):
        with pytest.raises(StudioError, match="no longer in the trash"):
            gallery.undo_delete(gone)


def test_nothing_is_deleted_when_one_cannot_be(gallery, filled):
    items = gallery.page(Query())
    os.replace(gallery.file(items[2]), filled / "hill.png")
    gallery.file(items[2]).parent.rmdir()
    gallery.file(items[2]).parent.write_bytes(b"")  # now a file stands where its folder was
    with pytest.raises(StudioError, match="Nothing was deleted"):
        gallery.delete(items)
    assert all(gallery.file(i).exists() for i in items if i is not items[2])


def test_the_bin_is_emptied_after_its_days_and_of_nothing_else(filled):
    now = [NOON]
    gallery = Gallery(filled / "outputs", filled / "i.sqlite3", filled / "bin", filled / "thumbs", now=lambda: now[0])
    gallery.refresh()
    first, second, *_ = gallery.page(Query())
    (filled / "bin").mkdir()
    (filled / "bin" / "mine.txt").write_text("mine")
    (filled / "bin" / "20200101-000000-letters").mkdir()
    old = gallery.delete([first])
    now[0] += datetime.timedelta(days=29)
    young = gallery.delete([second])
    assert gallery.empty_trash() == 0
    now[0] += datetime.timedelta(days=2)
    assert gallery.empty_trash() == 1
    with pytest.raises(StudioError):
        gallery.undo_delete(old)
    assert gallery.undo_delete(young) == 1
    assert sorted(p.name for p in (filled / "bin").iterdir()) == ["20200101-000000-letters", "mine.txt"]


def test_a_zip_holds_the_files_as_they_are(gallery, tmp_path):
    items = gallery.page(Query())
    gallery.file(items[1]).unlink()
    told = []
    assert to_zip(gallery, items, tmp_path / "all.zip", lambda *now: told.append(now)) == 4
    assert told[-1] == (5, 5)
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        assert sorted(archive.namelist()) == sorted(["README.txt", *(i.path for i in items if i is not items[1])])
        assert archive.read(items[0].path) == gallery.file(items[0]).read_bytes()
        assert b"Made by AI" in archive.read("README.txt")
    with pytest.raises(CancelledError):
        to_zip(gallery, items, tmp_path / "stopped.zip", cancel=lambda: True)
    with pytest.raises(StudioError, match="nothing to pack"):
        to_zip(gallery, items[1:2], tmp_path / "none.zip")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["all.zip", "home"]


def test_a_png_sheet_shows_each_in_its_place_and_says_who_made_them(gallery, tmp_path):
    items = gallery.page(Query(kind="picture"))
    broken = dataclasses.replace(items[0], path="not-there.png")
    assert save_contact_sheet(gallery, [*items, broken], tmp_path / "sheet.png", columns=3, labels=False) == 1
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (3 * 320 + 2 * 10 + 2 * 14, 2 * 320 + 10 + 2 * 14)
        assert "trainedAlgorithmicMedia" in sheet.info["XML:com.adobe.xmp"]
        assert "Made by AI" in sheet.info["parameters"]
        cells = [np.asarray(sheet)[14 + y * 330 :][:320, 14 + x * 330 :][:, :320] for y, x in ((0, 0), (0, 1), (0, 2), (1, 0), (1, 1))]
    for item, cell in zip(items, cells, strict=False):
        pixels = np.asarray(small_view(gallery.file(item), 320)).repeat(13, axis=0).repeat(13, axis=1)  # 24 px, 13 times
        assert np.array_equal(cell[4 : 4 + 312, 4 : 4 + 312], pixels)
    assert len(np.unique(cells[4])) <= 2, "what cannot be shown leaves its place empty"
    with pytest.raises(StudioError, match="PDF"):
        save_contact_sheet(gallery, items * 101, tmp_path / "much.png")
    for bad in (dict(columns=0), dict(columns=13), dict(out=tmp_path / "sheet.gif")):
        with pytest.raises(StudioError):
            save_contact_sheet(gallery, items, **{"out": tmp_path / "x.png", **bad})
    with pytest.raises(CancelledError):
        save_contact_sheet(gallery, items, tmp_path / "x.png", cancel=lambda: True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["home", "sheet.png"]


def test_a_pdf_sheet_has_its_pages(gallery, tmp_path):
    items = gallery.page(Query(kind="picture"))
    pages = save_contact_sheet(gallery, items * 9, tmp_path / "sheet.pdf", columns=2)
    assert pages == 9, "two columns and two rows a page"
    with PdfParser(str(tmp_path / "sheet.pdf")) as pdf:
        assert len(pdf.pages) == pages
        assert pdf.info.Title == "Contact sheet"
        assert pdf.info.Subject == "Made by AI with GAN Studio"
        for ref in pdf.pages:
            page = pdf.read_indirect(ref)
            assert page[b"MediaBox"][2:] == pytest.approx([595.3, 841.9], abs=0.5), "A4 in points"
            image = pdf.read_indirect(page[b"Resources"][b"XObject"][b"image"])
            assert image.dictionary[b"Width"] == 1654


def test_bytes_changed_anywhere_in_the_marks(gallery, filled):
    """Whatever is damaged, the gallery shows its pictures and keeps stars and tags."""
    items = gallery.page(Query())
    for i, item in enumerate(items):
        gallery.set_tags(item, [f"tag {i}"])
    gallery.close()
    file = filled / "gallery-marks.sqlite3"
    data = file.read_bytes()
    for seed in range(25):
        dice, changed = random.Random(seed), bytearray(data)
        for _ in range(dice.choice((1, 5, 100))):
            changed[dice.randrange(len(changed)) if dice.random() < 0.5 else -1 - dice.randrange(1500)] = dice.randrange(256)
        for old in filled.glob("gallery-marks.sqlite3*"):
            old.unlink()
        file.write_bytes(changed)
        if 1 < int.from_bytes(changed[60:64], "big") < 1000:
            continue  # it says that it is of a later studio
        gallery.refresh()
        assert gallery.count() == len(items), seed
        gallery.set_tags(items[0], ["new"])
        gallery.set_favourite(items[1], True)
        assert len(found(gallery, tag="new")) == len(found(gallery, favourite=True)) == 1, seed
        gallery.close()
