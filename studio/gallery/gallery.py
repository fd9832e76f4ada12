"""The gallery: everything the artist saved, plain files below one folder, with an index for quick search.

The files are authoritative. The index (gallery/database.py) may be deleted at any time and is rebuilt.
"""

import contextlib
import datetime
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from studio.common.files import sha256_of
from studio.common.progress import Cancel, Progress, raise_if_cancelled, report
from studio.engine.image_recipe import ImageRecipe
from studio.engine.recipe import Recipe
from studio.errors import StudioError
from studio.gallery.database import PICTURE_COLUMNS, Store
from studio.gallery.items import (
    COMES_AFTER,
    FROM_PICTURES,
    SELECT_PICTURES,
    Choices,
    Item,
    Query,
    condition_of,
    item_of,
    join_tags,
    key_of,
    row_of,
    split_tags,
)
from studio.gallery.thumbnails import VIDEOS, ThumbnailCache, look_inside
from studio.gallery.trash import TRASH_DAYS, Trash

ENDINGS = (".png", ".webp", ".jpg", ".gif", *VIDEOS)
_BATCH_SIZE = 100  # files that are read between two writes of the index
_MAX_TAG_LENGTH, _MAX_TAGS = 40, 50
_MAX_TIME = 2**63 - 1  # ns; the largest integer that SQLite stores


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
        self.outputs, self.thumbs = Path(outputs), ThumbnailCache(thumbs)
        self.trash = Trash(Path(trash), self.outputs, now)
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
            self.thumbs.forget(key_of(path, *before[path]))
        new = sorted((p for p in found if before.get(p) != found[p]), key=lambda p: (found[p][0], p), reverse=True)
        lost = self._lost_marks(found)
        yield 0, len(new)
        for start in range(0, len(new), _BATCH_SIZE):
            raise_if_cancelled(cancel)
            batch = new[start : start + _BATCH_SIZE]
            rows = [row_of(p, *found[p], look_inside(self.outputs / p)) for p in batch]
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
        where, values = condition_of(query)
        sql = f"{SELECT_PICTURES} WHERE {where} ORDER BY made DESC, path DESC LIMIT ? OFFSET ?"
        return [item_of(row) for row in self._store.read(sql, [*values, count, offset])]

    def count(self, query: Query = Query()) -> int:
        """Number of files that match."""
        where, values = condition_of(query)
        return self._store.read(f"SELECT COUNT(*) {FROM_PICTURES} WHERE {where}", values)[0][0]

    def item(self, path: str) -> Item | None:
        """The file at this path, None if it is not in the index."""
        rows = self._store.read(f"{SELECT_PICTURES} WHERE p.path = ?", [path])
        return item_of(rows[0]) if rows else None

    def place(self, query: Query, item: Item) -> int:
        """Number of matching files before this one."""
        where, values = condition_of(query)
        return self._store.read(
            f"SELECT COUNT(*) {FROM_PICTURES} WHERE {where} AND {COMES_AFTER.format('>')}", [*values, item.path, item.path]
        )[0][0]

    def beside(self, query: Query, item: Item, step: int) -> Item | None:
        """The next older matching file (step 1), or the next newer one (-1)."""
        where, values = condition_of(query)
        than, order = ("<", "DESC") if step > 0 else (">", "ASC")
        sql = f"{SELECT_PICTURES} WHERE {where} AND {COMES_AFTER.format(than)} ORDER BY made {order}, p.path {order} LIMIT 1"
        rows = self._store.read(sql, [*values, item.path, item.path])
        return item_of(rows[0]) if rows else None

    def choices(self) -> Choices:
        """Values that files can be filtered by."""

        def distinct(column: str) -> tuple[str, ...]:
            rows = self._store.read(f"SELECT DISTINCT {column} FROM pictures WHERE {column} != ''")
            return tuple(sorted((r[0] for r in rows), key=str.casefold))

        tags = {t for row in self._store.read("SELECT DISTINCT tags FROM marks.marks") for t in split_tags(row["tags"])}
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
        self._set_marks(item, self._marks_of(item)[0], join_tags(kept.values()))

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
        """Move files to the trash, all or none. Returns a name for `undo_delete`. Files that are already gone are ignored.

        Raises StudioError when a file cannot be moved.
        """
        name = self.trash.put(item.path for item in items)
        self._store.write([("DELETE FROM pictures WHERE path = ?", [(i.path,) for i in items])])
        return name

    def undo_delete(self, batch: str) -> int:
        """Restore files from the trash to where they were. Returns how many. Raises StudioError when the trash no longer has them."""
        restored = self.trash.restore(batch)
        self.refresh()
        return restored

    def empty_trash(self, days: float = TRASH_DAYS) -> int:
        """Delete for good what has been in the trash for longer than `days`. Returns the number of deletions that were emptied."""
        return self.trash.empty(days)


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:  # the name has bytes that are not valid UTF-8
        return False
    return True
