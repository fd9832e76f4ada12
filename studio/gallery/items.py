"""Items of the gallery as rows of its index: what is stored of a file, what it is found by, and queries in SQL."""

import datetime
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from studio.engine.image_recipe import ImageRecipe
from studio.engine.recipe import Recipe
from studio.gallery.thumbnails import Inside

PICTURE, CLIP = "picture", "clip"


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


FROM_PICTURES = "FROM pictures p LEFT JOIN marks.marks m ON m.path = p.path"
SELECT_PICTURES = f"SELECT p.*, COALESCE(m.favourite, 0) AS favourite, COALESCE(m.tags, '') AS tags {FROM_PICTURES}"
COMES_AFTER = "(p.made, p.path) {} ((SELECT made FROM pictures WHERE path = ?), ?)"


def condition_of(query: Query) -> tuple[str, list]:
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


def row_of(path: str, made: int, size: int, inside: Inside) -> tuple:
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


def item_of(row) -> Item:
    """A row of SELECT_PICTURES as an item."""
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
        split_tags(row["tags"]),
        key_of(row["path"], row["made"], row["size"]),
    )


def key_of(path: str, made: int, size: int) -> str:
    """Identifier of one version of a file.  made: ns since 1970.  size: bytes."""
    return hashlib.sha256(f"{made} {size} {path}".encode()).hexdigest()[:32]


def split_tags(text: str) -> tuple[str, ...]:
    """Tags as they are stored -> one by one."""
    return tuple(t for t in text.split("\n") if t)


def join_tags(tags: Iterable[str]) -> str:
    """Tags as they are stored: each on a line of its own, with one break before the first and after the last."""
    text = "\n".join(sorted(tags, key=str.casefold))
    return f"\n{text}\n" if text else ""
