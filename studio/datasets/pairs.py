"""Pairs of pictures from two sets, matched by name."""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from studio.datasets.origins import NO_ORIGINS, Origins
from studio.errors import StudioError

BY_NAME, BY_ORDER = "name", "order"
PAIRINGS = (BY_NAME, BY_ORDER)

# What people add to the names of one side: 'cat_A.png' and 'cat_B.png', 'real_07.png' and 'fake_07.png', 'tree-mask.png'.
_SIDES = (
    "a|b|input|output|in|out|source|target|src|tgt|trg|dst|before|after|real|fake|mask|masks|label|labels|seg|segmentation|gt|"
    "groundtruth|image|images|img|photo|sketch|edge|edges|depth|normal|lr|hr|low|high|train[ab]|test[ab]|val[ab]"
)
_ENDING = re.compile(rf"(.*[^_\-. (\[])?[_\-. (\[]+(?:{_SIDES})[)\]]?|(?:{_SIDES})")
_BEGINNING = re.compile(rf"[(\[]?(?:{_SIDES})[_\-. )\]]+(.+)")
_SUFFIX = re.compile(r"(?<=[^/])\.[A-Za-z][A-Za-z0-9]{1,4}$")  # not the number in 'frame.001'


@dataclass(frozen=True)
class PairNames:
    """The names by which the pictures of one set find partners: those they came under, equal pictures included."""

    names: tuple[str, ...]
    """Paths with forward slashes; several may be of the same picture."""
    rows: tuple[int, ...]
    """Index of each one's picture in the set."""
    unknown: tuple[str, ...] = ()
    """Names of pictures in the set whose own names nobody knows any more."""

    @classmethod
    def of(cls, names: Sequence[str], origins: Origins = NO_ORIGINS) -> "PairNames":
        """names: of the pictures in the set.  origins: of the set."""
        found = [(origins.of(name), i) for i, name in enumerate(names)]
        row = {name: i for i, name in enumerate(names)}
        found += [(own, row[name]) for own, name in origins.equal if name in row]
        known = [(name, i) for name, i in found if name]
        unknown = tuple(names[i] for name, i in found if not name)
        return cls(tuple(name for name, _ in known), tuple(i for _, i in known), unknown)


@dataclass(frozen=True)
class Pairs:
    """Pairs of two sets."""

    rows: tuple[tuple[int, int], ...]
    """(index in the first set, index in the second) of each pair."""
    strays_a: tuple[str, ...]
    """Names in the first set without a partner."""
    strays_b: tuple[str, ...]
    """Names in the second set without a partner."""
    names: tuple[tuple[str, str], ...] = ()
    """(name in the first set, name in the second) of each pair."""


def pair_sets(a: PairNames, b: PairNames, by: str = BY_NAME) -> Pairs:
    """Pairs of two sets, whose rows are those of the pictures. Parameters and errors as of `find_pairs`."""
    found = find_pairs(a.names, b.names, by)
    rows = tuple((a.rows[i], b.rows[j]) for i, j in found.rows)
    return Pairs(rows, (*found.strays_a, *a.unknown), (*found.strays_b, *b.unknown), found.names)


def find_pairs(a: Sequence[str], b: Sequence[str], by: str = BY_NAME) -> Pairs:
    """Pairs of two lists of names, in the order of `a`.

    a, b: paths with forward slashes.  by: 'name', or 'order': the first with the first, in the order people count (2 before 10).

    By name, the pictures of a pair have the same path and name; the extension does not matter ('cat.jpg' and 'cat.png'), nor does the
    folder that all of one set have in common if more pairs are found without it. What finds no partner so is compared without regard
    to case, then without the usual endings of the two sides ('cat_A' and 'cat_B', 'real_1' and 'fake_1'), and is paired only where
    there is a single partner on either side: a pair that may be wrong is none.
    Raises StudioError if there is no pair, and for 'order' if the lists differ in length.
    """
    if by == BY_ORDER:
        found = _by_order(a, b)
    else:
        found = max((_by_name(*sides) for sides in ((_paths(a), _paths(b)), (_below_common(a), _below_common(b)))), key=len)
    if not found:
        example = f" The first names are '{a[0]}' and '{b[0]}'." if a and b else ""
        raise StudioError(
            f"No picture of the first set has a partner in the second.{example}", "Give both of a pair the same name, or pair by order."
        )
    with_partner = [set(side) for side in zip(*found, strict=True)]
    strays = [tuple(n for i, n in enumerate(names) if i not in paired) for names, paired in zip((a, b), with_partner, strict=True)]
    return Pairs(tuple(found), strays[0], strays[1], tuple((a[i], b[j]) for i, j in found))


def _by_order(a: Sequence[str], b: Sequence[str]) -> list[tuple[int, int]]:
    if len(a) != len(b):
        raise StudioError(
            f"By order each picture needs a partner, and there are {len(a):,} and {len(b):,}.", "Remove what is too much, or pair by name."
        )
    orders = [sorted(range(len(names)), key=lambda i: _counted(names[i])) for names in (a, b)]
    return sorted(zip(*orders, strict=True))


def _counted(name: str) -> list[tuple[int, int, str]]:
    """Sort key by which 'p2' comes before 'p10'."""
    parts = re.split(r"(\d+)", _path(name).casefold())
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts if part]


def _by_name(a: list[str], b: list[str]) -> list[tuple[int, int]]:
    """Pairs of two lists of paths, from the strictest comparison to the loosest."""
    found: dict[int, int] = {}
    rows_a, rows_b = _once(a), _once(b)
    for key in _COMPARISONS:
        keys_a, keys_b = _keyed(rows_a, a, key), _keyed(rows_b, b, key)
        taken = set(found.values())
        for name, mine in keys_a.items():
            others = keys_b.get(name, [])
            # Pictures that differ in the ending alone are one picture in several formats: the first will do.
            single = key is _without_suffix or len(mine) == len(others) == 1
            if others and single and not taken.intersection(others) and not found.keys() & set(mine):
                found[mine[0]] = others[0]
    return sorted(found.items())


def _once(names: list[str]) -> list[int]:
    """Rows of names that occur once: of two pictures of the very same name nobody knows which is meant."""
    count = Counter(names)
    return [i for i, name in enumerate(names) if count[name] == 1]


def _keyed(rows: list[int], names: list[str], key: Callable[[str], str]) -> dict[str, list[int]]:
    out: dict[str, list[int]] = {}
    for i in rows:
        out.setdefault(key(names[i]), []).append(i)
    return out


def _without_suffix(path: str) -> str:
    return _SUFFIX.sub("", path)


def _without_case(path: str) -> str:
    return _without_suffix(path).casefold()


def _without_side(path: str) -> str:
    """The path without what names the side, in its folders too: 'train/A/7_real' and 'train/B/7_fake' are both 'train/7'."""
    *folders, name = _without_case(path).split("/")
    return "/".join([*filter(None, map(_bare, folders)), _bare(name) or name])


def _bare(part: str) -> str:
    while match := _ENDING.fullmatch(part):
        part = match.group(1) or ""
    while match := _BEGINNING.fullmatch(part):
        part = match.group(1)
    return part


_COMPARISONS = (str, _without_suffix, _without_case, _without_side)


def _path(name: str) -> str:
    return unicodedata.normalize("NFC", name.replace("\\", "/"))


def _paths(names: Sequence[str]) -> list[str]:
    return [_path(n) for n in names]


def _below_common(names: Sequence[str]) -> list[str]:
    paths = [PurePosixPath(_path(n)) for n in names]
    if not paths:
        return []
    common = paths[0].parent
    while not all(p.is_relative_to(common) for p in paths):
        common = common.parent
    return [str(p.relative_to(common)) for p in paths]
