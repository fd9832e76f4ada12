"""Everything the artist saved: plain files below one folder, found again quickly by an index of them.

The files are the truth. The index (engine/gallery_store.py) may be deleted at any time and is made again.
"""

import contextlib
import datetime
import errno
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from studio.common.files import fsync_path, sha256_of
from studio.common.progress import Cancel, Progress, raise_if_cancelled, report
from studio.engine.image_recipe import ImageRecipe
from studio.engine.recipe import Recipe
from studio.errors import StudioError
from studio.gallery.database import PICTURE_COLUMNS, Store
from studio.gallery.thumbnails import Inside, Thumbs, look_inside

PICTURE, CLIP = "picture", "clip"
ENDINGS = (".png", ".webp", ".mp4")
BIN_DAYS = 30
_AT_ONCE = 100  # files that are read between two writes of the index
_LONGEST_TAG, _MOST_TAGS = 40, 50
_LATEST = 2**63 - 1  # ns; the largest number that SQLite keeps
_BATCH = re.compile(r"(\d{8}-\d{6})-[0-9a-f]{8}")
_MOMENT = "%Y%m%d-%H%M%S"


@dataclass(frozen=True)
class Item:
    """A file of the gallery.

    path: below the folder, with slashes.  made: when it was written, seconds since 1970.  size: bytes.
    tab: the folder it lies in, which is called as the tab that saved it, '' = none.  kind: 'picture' or 'clip'.
    width, height: pixels, 0 = unknown.  verb: 'draw', 'translate', 'upscale', or '' for a file without a recipe.
    model: id, '' = unknown.  seed: the first one, of what was drawn from one.
    """

    path: str
    made: float
    size: int
    tab: str
    kind: str
    width: int
    height: int
    verb: str
    model: str
    seed: int | None
    favourite: bool
    tags: tuple[str, ...]
    key: str  # names this content of this file


@dataclass(frozen=True)
class Query:
    """Which files are wanted; what is left empty does not matter.

    text: words that must all be found in the file's name, model, tags and settings; a number is found whole.
    since, until: days, both included, in this computer's time zone.
    """

    text: str = ""
    model: str = ""
    tab: str = ""
    since: datetime.date | None = None
    until: datetime.date | None = None
    favourite: bool = False
    tag: str = ""
    kind: str = ""


@dataclass(frozen=True)
class Choices:
    """What there is to choose from, in order of the alphabet."""

    models: tuple[str, ...]
    tabs: tuple[str, ...]
    kinds: tuple[str, ...]
    tags: tuple[str, ...]


class Gallery:
    """The files of the folder `outputs`.

    index: file of the index; the stars and tags lie beside it.  bin: where deleted files go, best on the disk of `outputs`.
    thumbs: folder of small views.  now: the time.  None of the folders need exist.
    """

    def __init__(
        self,
        outputs: Path,
        index: Path,
        bin: Path,
        thumbs: Path,
        now: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(datetime.timezone.utc),
    ):
        self.outputs, self.bin, self.thumbs, self._now = Path(outputs), Path(bin), Thumbs(thumbs), now
        self._store = Store(Path(index), Path(index).with_name(f"{Path(index).stem}-marks.sqlite3"))

    @classmethod
    def at(cls, home: Path) -> "Gallery":
        """The gallery of a studio's home."""
        return cls(home / "outputs", home / "gallery.sqlite3", home / "bin", home / "cache" / "thumbs")

    def close(self) -> None:
        """Let the index go. Any call opens it again."""
        self._store.close()

    # -- finding files -------------------------------------------------------------------------------------------

    def refresh(self, progress: Progress | None = None, cancel: Cancel | None = None) -> None:
        """Find files that are new, changed or gone. Recipes are read of the first two alone.

        progress: called with (read, to be read).  cancel: when true CancelledError is raised; what was read is kept.
        """
        for done, all_ in self.refreshing(cancel):
            report(progress, done, all_)

    def refreshing(self, cancel: Cancel | None = None) -> Iterator[tuple[int, int]]:
        """As `refresh`, step by step: gives (read, to be read), the newest files first. Each step is in the index already."""
        # In this order: a file that another process finds meanwhile must not look as if it were gone.
        before = {row["path"]: (row["made"], row["size"]) for row in self._store.read("SELECT path, made, size FROM pictures")}
        found = dict(self._files())
        gone = [p for p in before.keys() - found.keys() if not os.path.lexists(self.outputs / p)]
        if gone:
            self._store.write([("DELETE FROM pictures WHERE path = ?", [(p,) for p in gone])])
        for path in [*gone, *(p for p in before.keys() & found.keys() if before[p] != found[p])]:
            self.thumbs.forget(_key(path, *before[path]))
        new = sorted((p for p in found if before.get(p) != found[p]), key=lambda p: (found[p][0], p), reverse=True)
        lost = self._lost_marks(found)
        yield 0, len(new)
        for start in range(0, len(new), _AT_ONCE):
            raise_if_cancelled(cancel)
            some = new[start : start + _AT_ONCE]
            rows = [_row(p, *found[p], look_inside(self.outputs / p)) for p in some]
            marks = ", ".join("?" * len(PICTURE_COLUMNS))
            self._store.write([(f"INSERT OR REPLACE INTO pictures ({', '.join(PICTURE_COLUMNS)}) VALUES ({marks})", rows)])
            for path in some:
                self._recognise(path, found[path][1], lost)
            yield start + len(some), len(new)

    def _files(self) -> Iterator[tuple[str, tuple[int, int]]]:
        """(path, (ns, bytes)) of every file that is shown. Links are not followed: they may lead in circles, or elsewhere."""
        folders = [""]
        while folders:
            folder = folders.pop()
            try:
                entries = os.scandir(self.outputs / folder)
            except OSError:  # not there yet, or not for us
                continue
            with entries:
                for entry in entries:
                    path = f"{folder}/{entry.name}" if folder else entry.name
                    if entry.name.startswith(".") or not _is_text(path):
                        continue
                    with contextlib.suppress(OSError):  # it went away meanwhile
                        if entry.is_dir(follow_symlinks=False):
                            folders.append(path)
                        elif entry.name.lower().endswith(ENDINGS) and entry.is_file(follow_symlinks=False):
                            stat = entry.stat(follow_symlinks=False)
                            yield path, (min(stat.st_mtime_ns, _LATEST), stat.st_size)

    def _lost_marks(self, found: dict) -> dict[int, list]:
        """Marks of files that are not here (size -> rows): those that were moved, or renamed, are known again by their content."""
        lost: dict[int, list] = {}
        for row in self._store.read("SELECT * FROM marks.marks"):
            if row["path"] not in found:
                lost.setdefault(row["size"], []).append(row)
        return lost

    def _recognise(self, path: str, size: int, lost: dict[int, list]) -> None:
        if size not in lost or self._store.read("SELECT 1 FROM marks.marks WHERE path = ?", [path]):
            return
        with contextlib.suppress(OSError, StudioError):
            digest = sha256_of(self.outputs / path)
            row = next((r for r in lost[size] if r["sha256"] == digest), None)
            if row is not None:
                self._mark(path, size, digest, row["favourite"], row["tags"])

    # -- looking -------------------------------------------------------------------------------------------------

    def page(self, query: Query, offset: int = 0, count: int = 60) -> list[Item]:
        """Files that are wanted, the newest first."""
        where, values = _where(query)
        sql = f"{_SELECT} WHERE {where} ORDER BY made DESC, path DESC LIMIT ? OFFSET ?"
        return [_item(row) for row in self._store.read(sql, [*values, count, offset])]

    def count(self, query: Query = Query()) -> int:
        """How many files are wanted."""
        where, values = _where(query)
        return self._store.read(f"SELECT COUNT(*) {_FROM} WHERE {where}", values)[0][0]

    def item(self, path: str) -> Item | None:
        """The file of this path."""
        rows = self._store.read(f"{_SELECT} WHERE p.path = ?", [path])
        return _item(rows[0]) if rows else None

    def place(self, query: Query, item: Item) -> int:
        """How many of the files that are wanted come before this one."""
        where, values = _where(query)
        return self._store.read(f"SELECT COUNT(*) {_FROM} WHERE {where} AND {_AFTER.format('>')}", [*values, item.path, item.path])[0][0]

    def beside(self, query: Query, item: Item, step: int) -> Item | None:
        """The next older file that is wanted (step 1), or the next newer one (-1)."""
        where, values = _where(query)
        than, order = ("<", "DESC") if step > 0 else (">", "ASC")
        sql = f"{_SELECT} WHERE {where} AND {_AFTER.format(than)} ORDER BY made {order}, p.path {order} LIMIT 1"
        rows = self._store.read(sql, [*values, item.path, item.path])
        return _item(rows[0]) if rows else None

    def choices(self) -> Choices:
        """What there is to filter by."""

        def distinct(column: str) -> tuple[str, ...]:
            rows = self._store.read(f"SELECT DISTINCT {column} FROM pictures WHERE {column} != ''")
            return tuple(sorted((r[0] for r in rows), key=str.casefold))

        tags = {t for row in self._store.read("SELECT DISTINCT tags FROM marks.marks") for t in _tags(row["tags"])}
        return Choices(distinct("model"), distinct("tab"), distinct("kind"), tuple(sorted(tags, key=str.casefold)))

    def file(self, item: Item) -> Path:
        """Where it lies."""
        return self.outputs / item.path

    def recipe(self, item: Item) -> Recipe | ImageRecipe | None:
        """The recipe inside, if there is one."""
        return look_inside(self.file(item)).recipe

    def thumbnail(self, item: Item) -> bytes:
        """A WebP of at most 256 px a side. Raises StudioError when there can be none."""
        return self.thumbs.get(self.file(item), item.key)

    # -- stars and tags ------------------------------------------------------------------------------------------

    def set_favourite(self, item: Item, favourite: bool) -> None:
        """Give or take its star. Raises StudioError where that cannot be kept."""
        self._set_marks(item, favourite, self._marks_of(item)[1])

    def set_tags(self, item: Item, tags: Iterable[str]) -> None:
        """Replace its tags. Raises StudioError for too many, or one that is too long, and where they cannot be kept."""
        kept: dict[str, str] = {}
        for tag in tags:
            tag = " ".join(str(tag).split())
            if len(tag) > _LONGEST_TAG or not tag.isprintable():
                raise StudioError(f"The tag '{tag[:_LONGEST_TAG]}' cannot be used.", f"Write a word or two, up to {_LONGEST_TAG} letters.")
            if tag:
                kept.setdefault(tag.casefold(), tag)
        if len(kept) > _MOST_TAGS:
            raise StudioError(f"These are {len(kept)} tags.", f"A picture can have up to {_MOST_TAGS}.")
        self._set_marks(item, self._marks_of(item)[0], _joined(kept.values()))

    def _marks_of(self, item: Item) -> tuple[bool, str]:
        rows = self._store.read("SELECT favourite, tags FROM marks.marks WHERE path = ?", [item.path])
        return (bool(rows[0]["favourite"]), rows[0]["tags"]) if rows else (False, "")

    def _set_marks(self, item: Item, favourite: bool, tags: str) -> None:
        if not favourite and not tags:
            self._store.write_mark("DELETE FROM marks.marks WHERE path = ?", [item.path])
            return
        try:
            digest = sha256_of(self.file(item))
        except OSError as e:
            raise StudioError(f"The file '{item.path}' cannot be read: {e.strerror or e}.", "Is it still there?") from None
        self._mark(item.path, item.size, digest, favourite, tags)

    def _mark(self, path: str, size: int, digest: str, favourite: bool, tags: str) -> None:
        self._store.write_mark("INSERT OR REPLACE INTO marks.marks VALUES (?, ?, ?, ?, ?)", [path, size, digest, bool(favourite), tags])

    # -- the bin -------------------------------------------------------------------------------------------------

    def delete(self, items: Sequence[Item]) -> str:
        """Move files to the bin, all or none -> a name for `undo_delete`. Files that are gone already are no matter.

        Raises StudioError, which says why not.
        """
        name = f"{self._now().astimezone(datetime.timezone.utc):{_MOMENT}}-{secrets.token_hex(4)}"
        moved: list[tuple[Path, Path]] = []
        try:
            for item in items:
                source, target = self.file(item), self.bin / name / item.path
                target.parent.mkdir(parents=True, exist_ok=True)
                with contextlib.suppress(FileNotFoundError):
                    _move(source, target)
                    moved.append((source, target))
        except OSError as e:
            for source, target in moved:
                _move(target, source)
            raise StudioError(f"Nothing was deleted: {e.strerror or e}.", f"Check the permissions of {self.outputs}.") from None
        self._store.write([("DELETE FROM pictures WHERE path = ?", [(i.path,) for i in items])])
        return name

    def undo_delete(self, batch: str) -> int:
        """Put files back from the bin, where they were -> how many. Raises StudioError when they are gone from there.

        Where another file has taken a name since, the old one gets a number behind its own.
        """
        folder = self.bin / batch
        files = [p for p in folder.rglob("*") if p.is_file()] if _BATCH.fullmatch(batch) else []
        if not files:
            raise StudioError("These files are no longer in the bin.", f"It keeps them for {BIN_DAYS} days.")
        try:
            for file in files:
                target = _free(self.outputs / file.relative_to(folder))
                target.parent.mkdir(parents=True, exist_ok=True)
                _move(file, target)
        except OSError as e:
            raise StudioError(f"Not all could be put back: {e.strerror or e}.", f"The rest is still in {folder}.") from None
        shutil.rmtree(folder, ignore_errors=True)
        self.refresh()
        return len(files)

    def empty_bin(self, days: float = BIN_DAYS) -> int:
        """Delete for good what was put into the bin longer ago -> how many times something had been deleted."""
        old = self._now().astimezone(datetime.timezone.utc) - datetime.timedelta(days=days)
        emptied = 0
        for folder in self.bin.iterdir() if self.bin.is_dir() else ():
            match = _BATCH.fullmatch(folder.name)
            if match and datetime.datetime.strptime(match[1], _MOMENT).replace(tzinfo=datetime.timezone.utc) < old:
                shutil.rmtree(folder, ignore_errors=True)
                emptied += 1
        return emptied


_FROM = "FROM pictures p LEFT JOIN marks.marks m ON m.path = p.path"
_SELECT = f"SELECT p.*, COALESCE(m.favourite, 0) AS favourite, COALESCE(m.tags, '') AS tags {_FROM}"
_AFTER = "(p.made, p.path) {} ((SELECT made FROM pictures WHERE path = ?), ?)"


def _where(query: Query) -> tuple[str, list]:
    """A query -> a condition of SQL and its values."""
    parts, values = ["1"], []
    for column, value in (("p.model", query.model), ("p.tab", query.tab), ("p.kind", query.kind)):
        if value:
            parts.append(f"{column} = ?")
            values.append(value)
    for than, day in ((">=", query.since), ("<", query.until and query.until + datetime.timedelta(days=1))):
        if day:
            parts.append(f"p.made {than} ?")
            values.append(int(datetime.datetime.combine(day, datetime.time()).timestamp()) * 10**9)
    if query.favourite:
        parts.append("m.favourite")
    if query.tag:
        parts.append("instr(m.tags, ?)")
        values.append(f"\n{query.tag}\n")
    for word in query.text.casefold().split()[:20]:
        if word.isdecimal():
            parts.append("instr(p.words, ?)")
            values.append(f" {word} ")
        else:
            parts.append("(instr(p.words, ?) OR instr(folded(m.tags), ?))")
            values += [word, word]
    return " AND ".join(parts), values


def _row(path: str, made: int, size: int, inside: Inside) -> tuple:
    """As PICTURE_COLUMNS."""
    recipe, verb, seed = inside.recipe, "", None
    if isinstance(recipe, ImageRecipe):
        verb = recipe.verb
    elif recipe is not None:
        verb, seed = "draw", recipe.seed if recipe.latent is None else None
    model = recipe.model if recipe is not None else ""
    tab = path.split("/", 1)[0] if "/" in path else ""
    return (path, made, size, tab, CLIP if inside.moving else PICTURE, inside.width, inside.height, verb, model, seed, _words(path, recipe))


def _words(path: str, recipe: Recipe | ImageRecipe | None) -> str:
    """What a file is found by. Numbers stand alone: '42' finds the seed 42, not the second of a clock."""
    told = [path]
    if recipe is not None:
        told.append(recipe.model)
    if isinstance(recipe, Recipe):
        told += [f"seed {s.seed}" for s in recipe.seeds] + [f"mix seed {m.seed}" for m in recipe.mixes]
        told += [f"psi {recipe.psi:g}", *(e.direction for e in recipe.edits), *(f"class {c.index}" for c in recipe.classes)]
    elif isinstance(recipe, ImageRecipe):
        told += [recipe.verb, recipe.direction if recipe.verb == "translate" else f"{recipe.scale:g}x"]
    text = " ".join(told)[:4000].casefold()
    return f" {text} " + "".join(f"{n} " for n in dict.fromkeys(re.findall(r"\d+", text)))


def _item(row) -> Item:
    return Item(
        row["path"],
        row["made"] / 1e9,
        row["size"],
        row["tab"],
        row["kind"],
        row["width"],
        row["height"],
        row["verb"],
        row["model"],
        row["seed"],
        bool(row["favourite"]),
        _tags(row["tags"]),
        _key(row["path"], row["made"], row["size"]),
    )


def _key(path: str, made: int, size: int) -> str:
    return hashlib.sha256(f"{made} {size} {path}".encode()).hexdigest()[:32]


def _tags(text: str) -> tuple[str, ...]:
    return tuple(t for t in text.split("\n") if t)


def _joined(tags: Iterable[str]) -> str:
    text = "\n".join(sorted(tags, key=str.casefold))
    return f"\n{text}\n" if text else ""


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:  # bytes that are no letters in any name of ours
        return False
    return True


def _move(source: Path, target: Path) -> None:
    try:
        os.rename(source, target)
    except OSError as e:
        if e.errno != errno.EXDEV:
            raise
        shutil.copy2(source, target)  # the bin is on another disk
        fsync_path(target)
        source.unlink()


def _free(path: Path) -> Path:
    """The path, or with a number behind the stem when it is taken."""
    free, number = path, 2
    while os.path.lexists(free):
        free, number = path.with_name(f"{path.stem}-{number}{path.suffix}"), number + 1
    return free
