"""Pairs of pictures from two sets: those of the same name belong together."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from studio.errors import StudioError


@dataclass(frozen=True)
class Pairs:
    """Pairs of two sets."""

    rows: tuple[tuple[int, int], ...]
    """(index in the first set, index in the second) of each pair."""
    strays_a: tuple[str, ...]
    """Names in the first set without a partner."""
    strays_b: tuple[str, ...]
    """Names in the second set without a partner."""


def find_pairs(a: Sequence[str], b: Sequence[str]) -> Pairs:
    """Pairs of two sets, in the order of `a`.

    a, b: names of the pictures, paths with forward slashes. The pictures of a pair have the same path and name; the extension
    does not matter ('cat.jpg' and 'cat.png'), nor does the folder that all of one set have in common if more pairs are found
    without it. If several could be the partner, the first is taken.
    Raises StudioError if there is no pair.
    """
    found = max((_match(*keys) for keys in ((_keys(a), _keys(b)), (_keys(a, True), _keys(b, True)))), key=len)
    if not found:
        example = f" The first names are '{a[0]}' and '{b[0]}'." if a and b else ""
        raise StudioError(f"No picture of the first set has a partner in the second.{example}", "Give both of a pair the same name.")
    with_partner = [set(side) for side in zip(*found, strict=True)]
    strays = [tuple(n for i, n in enumerate(names) if i not in paired) for names, paired in zip((a, b), with_partner, strict=True)]
    return Pairs(tuple(found), *strays)


def _match(a: list[str], b: list[str]) -> list[tuple[int, int]]:
    free = {key: i for i, key in reversed(list(enumerate(b)))}
    return [(i, free.pop(key)) for i, key in enumerate(a) if key in free]


def _keys(names: Sequence[str], below_common: bool = False) -> list[str]:
    paths = [PurePosixPath(n.replace("\\", "/")).with_suffix("") for n in names]
    if not below_common or not paths:
        return [str(p) for p in paths]
    common = paths[0].parent
    while not all(p.is_relative_to(common) for p in paths):
        common = common.parent
    return [str(p.relative_to(common)) for p in paths]
