"""Names under which training codes keep a generator, whether in a dict of dicts or before the names of its tensors."""

import re
from collections.abc import Iterable

_ENDINGS = ("statedict", "state", "weights", "params", "model")
_AVERAGED = ("gema", "netgema", "generatorema", "emag", "ema")  # comes before the live one
_ONE = ("g", "netg", "modelg", "gmodel", "generator", "gen")
_BEGINNINGS = ("g", "netg", "modelg", "gen", "generator")
_THERE = ("a", "ab", "a2b", "atob", "xy", "x2y", "xtoy")
_BACK = ("b", "ba", "b2a", "btoa", "yx", "y2x", "ytox")


def generators_among(names: Iterable[str]) -> dict[str, str]:
    """The names that mean a generator, by the side they start from: 'A' (also of the only one) and 'B'. Empty when there is none.

    Upper case, underscores and endings such as '_state_dict' do not matter.
    """
    plain = {}
    for name in names:
        plain.setdefault(_plain(name), name)
    for known in (*_AVERAGED, *_ONE):
        if known in plain:
            return {"A": plain[known]}
    for beginning in _BEGINNINGS:
        for there, back in zip(_THERE, _BACK, strict=True):
            found = {side: plain.get(beginning + way) for side, way in (("A", there), ("B", back))}
            if any(found.values()):
                return {side: name for side, name in found.items() if name is not None}
    return {}


def _plain(name: str) -> str:
    """'netG_A2B_state_dict' -> 'netga2b'"""
    plain = re.sub(r"[^a-z0-9]", "", name[:60].lower())
    for ending in _ENDINGS:
        if plain != ending:
            plain = plain.removesuffix(ending)
    return plain
