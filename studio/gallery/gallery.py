"""The gallery: everything the artist saved, plain files below one folder, with an index for quick search.

The files are authoritative. The index (gallery/database.py) may be deleted at any time and is rebuilt.
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
from studio.gallery.thumbnails import Inside, ThumbnailCache, look_inside

PICTURE, CLIP = "picture", "clip"
ENDINGS = (".png", ".webp", ".mp4")
BIN_DAYS = 30
_BATCH_SIZE = 100  # files that are read between two writes of the index
_MAX_TAG_LENGTH, _MAX_TAGS = 40, 50
_MAX_TIME = 2**63 - 1  # ns; the largest integer that SQLite stores
_BATCH = re.compile(r"(\d{8}-\d{6})-[0-9a-f]{8}")
_TIMESTAMP = "%Y%m%d-%H%M%S"


@dataclass(frozen=True)
class Item:
    """A file of the gallery.

    path: relative to the folder, with slashes.  made: modification time, seconds since 1970.  size: bytes.
    tab: its top folder, named after the tab that saved it, '' = none.  kind: 'picture' or 'clip'.
    width, height: pixels, 0 = unknown.  verb: 'draw', 'translate', 'upscale', or '' for a file without a recipe.
    model: id, '' = unknown.  seed: the first one, None for a picture that was not drawn from a seed.
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
    key: str  # identifies this version of this file


@dataclass(frozen=True)
class Query:
    """Filter for files; empty fields are ignored.

    text: words that must all occur in the file's name, model, tags and settings; a number matches whole numbers only.
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
    """Values that files can be filtered by, in alphabetical order."""

    models: tuple[str, ...]
    tabs: tuple[str, ...]
    kinds: tuple[str, ...]
    tags: tuple[str, ...]


class Gallery:
    """The files of the folder `outputs`.

    index: file of the index; the stars and tags are stored beside it.  trash: folder for deleted files, best on the disk of
    `outputs`.  thumbs: folder of thumbnails.  now: the time.  None of the folders need exist.
    """

    def __init__(
        self,
        outputs: Path,
        index: Path,
        trash: Path,
        thumbs: Path,
        now: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(datetime.timezone.utc),
    ):
        self.outputs, self.trash, self.thumbs, self._now = Path(outputs), Path(trash), ThumbnailCache(thumbs), now
        self._store = Store(Path(index), Path(index).with_name(f"{Path(index).stem}-marks.sqlite3"))

    @classmethod
    def at(cls, home: Path) -> "Gallery":
        """The gallery of a studio's home."""
        return cls(home / "outputs", home / "gallery.sqlite3", home / "bin", home / "cache" / "thumbs")

    def close(self) -> None:
        """Close the index. Any call opens it again."""
        self._store.close()

    # -- finding files -------------------------------------------------------------------------------------------

    def refresh(self, progress: Progress | None = None, cancel: Cancel | None = None) -> None:
        """Find files that are new, changed or gone. Only new and changed files are opened.

        progress: called with (read, to be read).  cancel: when true CancelledError is raised; what was read so far is kept.
        """
        for done, all_ in self.refreshing(cancel):
            report(progress, done, all_)

    def refreshing(self, cancel: Cancel | None = None) -> Iterator[tuple[int, int]]:
        """As `refresh`, in steps: yields (read, to be read), the newest files first. Each batch is in the index before it is yielded."""
        # The index is read first, so that a file which another process adds meanwhile does not look as if it were gone.
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
        for start in range(0, len(new), _BATCH_SIZE):
            raise_if_cancelled(cancel)
            batch = new[start : start + _BATCH_SIZE]
            rows = [_row(p, *found[p], look_inside(self.outputs / p)) for p in batch]
            placeholders = ", ".join("?" * len(PICTURE_COLUMNS))
            self._store.write([(f"INSERT OR REPLACE INTO pictures ({', '.join(PICTURE_COLUMNS)}) VALUES ({placeholders})", rows)])
            for path in batch:
                self._restore_marks(path, found[path][1], lost)
            yield start + len(batch), len(new)

    def _files(self) -> Iterator[tuple[str, tuple[int, int]]]:
        """(path, (ns, bytes)) of every file of the gallery. Links are not followed: they may form loops, or lead elsewhere."""
        folders = [""]
        while folders:
            folder = folders.pop()
            try:
                entries = os.scandir(self.outputs / folder)
            except OSError:  # missing, or not readable
                continue
            with entries:
                for entry in entries:
                    path = f"{folder}/{entry.name}" if folder else entry.name
                    if entry.name.startswith(".") or not _is_text(path):
                        continue
                    with contextlib.suppress(OSError):  # it was deleted meanwhile
                        if entry.is_dir(follow_symlinks=False):
                            folders.append(path)
                        elif entry.name.lower().endswith(ENDINGS) and entry.is_file(follow_symlinks=False):
                            stat = entry.stat(follow_symlinks=False)
                            yield path, (min(stat.st_mtime_ns, _MAX_TIME), stat.st_size)

    def _lost_marks(self, found: dict) -> dict[int, list]:
        """Marks of missing files (size -> rows): a file that was moved or renamed is recognised by its content."""
        lost: dict[int, list] = {}
        for row in self._store.read("SELECT * FROM marks.marks"):
            if row["path"] not in found:
                lost.setdefault(row["size"], []).append(row)
        return lost

    def _restore_marks(self, path: str, size: int, lost: dict[int, list]) -> None:
        if size not in lost or self._store.read("SELECT 1 FROM marks.marks WHERE path = ?", [path]):
            return
        with contextlib.suppress(OSError, StudioError):
            digest = sha256_of(self.outputs / path)
            row = next((r for r in lost[size] if r["sha256"] == digest), None)
            if row is not None:
                self._mark(path, size, digest, row["favourite"], row["tags"])

    # -- queries -------------------------------------------------------------------------------------------------

    def page(self, query: Query, offset: int = 0, count: int = 60) -> list[Item]:
        """Files that match, the newest first."""
        where, values = _where(query)
        sql = f"{_SELECT} WHERE {where} ORDER BY made DESC, path DESC LIMIT ? OFFSET ?"
        return [_item(row) for row in self._store.read(sql, [*values, count, offset])]

    def count(self, query: Query = Query()) -> int:
        """Number of files that match."""
        where, values = _where(query)
        return self._store.read(f"SELECT COUNT(*) {_FROM} WHERE {where}", values)[0][0]

    def item(self, path: str) -> Item | None:
        """The file at this path, None if it is not in the index."""
        rows = self._store.read(f"{_SELECT} WHERE p.path = ?", [path])
        return _item(rows[0]) if rows else None

    def place(self, query: Query, item: Item) -> int:
        """Number of matching files before this one."""
        where, values = _where(query)
        return self._store.read(f"SELECT COUNT(*) {_FROM} WHERE {where} AND {_AFTER.format('>')}", [*values, item.path, item.path])[0][0]

    def beside(self, query: Query, item: Item, step: int) -> Item | None:
        """The next older matching file (step 1), or the next newer one (-1)."""
        where, values = _where(query)
        than, order = ("<", "DESC") if step > 0 else (">", "ASC")
        sql = f"{_SELECT} WHERE {where} AND {_AFTER.format(than)} ORDER BY made {order}, p.path {order} LIMIT 1"
        rows = self._store.read(sql, [*values, item.path, item.path])
        return _item(rows[0]) if rows else None

    def choices(self) -> Choices:
        """Values that files can be filtered by."""

        def distinct(column: str) -> tuple[str, ...]:
            rows = self._store.read(f"SELECT DISTINCT {column} FROM pictures WHERE {column} != ''")
            return tuple(sorted((r[0] for r in rows), key=str.casefold))

        tags = {t for row in self._store.read("SELECT DISTINCT tags FROM marks.marks") for t in _tags(row["tags"])}
        return Choices(distinct("model"), distinct("tab"), distinct("kind"), tuple(sorted(tags, key=str.casefold)))

    def file(self, item: Item) -> Path:
        """Path of the file."""
        return self.outputs / item.path

    def recipe(self, item: Item) -> Recipe | ImageRecipe | None:
        """The recipe inside the file, if there is one."""
        return look_inside(self.file(item)).recipe

    def thumbnail(self, item: Item) -> bytes:
        """A WebP of at most 256 px a side. Raises StudioError when none can be made."""
        return self.thumbs.get(self.file(item), item.key)

    # -- stars and tags ------------------------------------------------------------------------------------------

    def set_favourite(self, item: Item, favourite: bool) -> None:
        """Set or remove the star. Raises StudioError when it cannot be saved."""
        self._set_marks(item, favourite, self._marks_of(item)[1])

    def set_tags(self, item: Item, tags: Iterable[str]) -> None:
        """Replace the tags. Raises StudioError for too many, or one that is too long, and when they cannot be saved."""
        kept: dict[str, str] = {}
        for tag in tags:
            tag = " ".join(str(tag).split())
            if len(tag) > _MAX_TAG_LENGTH or not tag.isprintable():
                hint = f"Write a word or two, up to {_MAX_TAG_LENGTH} letters."
                raise StudioError(f"The tag '{tag[:_MAX_TAG_LENGTH]}' cannot be used.", hint)
            if tag:
                kept.setdefault(tag.casefold(), tag)
        if len(kept) > _MAX_TAGS:
            raise StudioError(f"These are {len(kept)} tags.", f"A picture can have up to {_MAX_TAGS}.")
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

    # -- the trash -----------------------------------------------------------------------------------------------

    def delete(self, items: Sequence[Item]) -> str:
        """Move files to the trash, all or none -> a name for `undo_delete`. Files that are already gone are ignored.

        Raises StudioError when a file cannot be moved.
        """
        name = f"{self._now().astimezone(datetime.timezone.utc):{_TIMESTAMP}}-{secrets.token_hex(4)}"
        moved: list[tuple[Path, Path]] = []
        try:
            for item in items:
                source, target = self.file(item), self.trash / name / item.path
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
        """Restore files from the trash to where they were -> how many. Raises StudioError when the trash no longer has them.

        If a name has been taken meanwhile, the restored file gets a number behind its name.
        """
        folder = self.trash / batch
        files = [p for p in folder.rglob("*") if p.is_file()] if _BATCH.fullmatch(batch) else []
        if not files:
            raise StudioError("These files are no longer in the trash.", f"It keeps them for {BIN_DAYS} days.")
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
        """Delete for good what has been in the trash for longer than `days` -> number of deletions that were emptied."""
        old = self._now().astimezone(datetime.timezone.utc) - datetime.timedelta(days=days)
        emptied = 0
        for folder in self.trash.iterdir() if self.trash.is_dir() else ():
            match = _BATCH.fullmatch(folder.name)
            if match and datetime.datetime.strptime(match[1], _TIMESTAMP).replace(tzinfo=datetime.timezone.utc) < old:
                shutil.rmtree(folder, ignore_errors=True)
                emptied += 1
        return emptied


_FROM = "FROM pictures p LEFT JOIN marks.marks m ON m.path = p.path"
_SELECT = f"SELECT p.*, COALESCE(m.favourite, 0) AS favourite, COALESCE(m.tags, '') AS tags {_FROM}"
_AFTER = "(p.made, p.path) {} ((SELECT made FROM pictures WHERE path = ?), ?)"


def _where(query: Query) -> tuple[str, list]:
    """A query -> an SQL condition and its values."""
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
    """Values in the order of PICTURE_COLUMNS."""
    recipe, verb, seed = inside.recipe, "", None
    if isinstance(recipe, ImageRecipe):
        verb = recipe.verb
    elif recipe is not None:
        verb, seed = "draw", recipe.seed if recipe.latent is None else None
    model = recipe.model if recipe is not None else ""
    tab = path.split("/", 1)[0] if "/" in path else ""
    return (path, made, size, tab, CLIP if inside.moving else PICTURE, inside.width, inside.height, verb, model, seed, _words(path, recipe))


def _words(path: str, recipe: Recipe | ImageRecipe | None) -> str:
    """Text that a file is found by. Numbers are also appended as separate words: '42' finds the seed 42, but no part of a timestamp."""
    words = [path]
    if recipe is not None:
        words.append(recipe.model)
    if isinstance(recipe, Recipe):
        words += [f"seed {s.seed}" for s in recipe.seeds] + [f"mix seed {m.seed}" for m in recipe.mixes]
        words += [f"psi {recipe.psi:g}", *(e.direction for e in recipe.edits), *(f"class {c.index}" for c in recipe.classes)]
    elif isinstance(recipe, ImageRecipe):
        words += [recipe.verb, recipe.direction if recipe.verb == "translate" else f"{recipe.scale:g}x"]
    text = " ".join(words)[:4000].casefold()
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
    except UnicodeEncodeError:  # the name has bytes that are not valid UTF-8
        return False
    return True


def _move(source: Path, target: Path) -> None:
    try:
        os.rename(source, target)
    except OSError as e:
        if e.errno != errno.EXDEV:
            raise
        shutil.copy2(source, target)  # the trash is on another disk
        fsync_path(target)
        source.unlink()


def _free(path: Path) -> Path:
    """The path, with a number behind the stem if it is taken."""
    free, number = path, 2
    while os.path.lexists(free):
        free, number = path.with_name(f"{path.stem}-{number}{path.suffix}"), number + 1
    return free
