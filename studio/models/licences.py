"""Licences: which one of a work may be given to what was made from it.

A model is treated as made from its training pictures and from the model it started from: whoever publishes it under a licence that
theirs does not allow would promise what is not theirs to give. Sources: the licences' own texts; Creative Commons' lists of compatible
licences (BY-SA 4.0 to GPL 3.0, one way); the GNU project's page on compatible licences.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Licence:
    """A licence.  family: 'cc-by-sa', 'gpl', 'mit' ...  version: (major, minor), None = not given.  or_later: newer versions count too."""

    family: str
    version: tuple[int, int] | None = None
    or_later: bool = False

    def __str__(self) -> str:
        number = "" if self.version is None else f"{'-' if self.family.startswith('c') else ' '}{self.version[0]}.{self.version[1]}"
        return self.family.upper() + number + (" or later" if self.or_later else "")


# Family -> families that a work made from it may have; None = any. Those of Creative Commons allow newer versions of the same family.
_MAY_BECOME: dict[str, tuple[str, ...] | None] = {
    "cc0": None,
    "mit": None,
    "bsd": None,
    "apache": None,
    "cc-by": None,  # but not one that takes its authors' names away, see `_becomes`
    "cc-by-sa": ("cc-by-sa",),
    "cc-by-nc": ("cc-by-nc", "cc-by-nc-sa"),
    "cc-by-nc-sa": ("cc-by-nc-sa",),
    "cc-by-nd": (),
    "cc-by-nc-nd": (),
    "gpl": ("gpl",),
    "lgpl": ("lgpl", "gpl"),
    "agpl": ("agpl",),
    "openrail": ("openrail",),
}
_CC_BY_SA_4, _GPL_3 = Licence("cc-by-sa", (4, 0)), Licence("gpl", (3, 0))
_LONG = {
    r"creative[\s-]*commons": "cc",
    r"attribution": "by",
    r"non[\s-]?commercial": "nc",
    r"share[\s-]?alike": "sa",
    r"no[\s-]?deriv(?:ative|ate)?s?": "nd",
    r"gnu\s+lesser\s+general\s+public\s+licen[cs]e": "lgpl",
    r"gnu\s+affero\s+general\s+public\s+licen[cs]e": "agpl",
    r"gnu\s+general\s+public\s+licen[cs]e": "gpl",
    r"public\s+domain|unlicense": "cc0",
}
_VERSION = r"(?:[\s,-]*v?(?:ersion\s*)?(\d)(?:\.(\d))?)?(?:[\s-]*only)?([\s,-]*\+|[\s,-]*or[\s-]+(?:any[\s-]+)?(?:later|newer))?"
_NAMED = re.compile(
    rf"\b(?:(cc0)|(cc[\s-]+by(?:[\s-]+nc)?(?:[\s-]+(?:sa|nd))?)|([al]?gpl)|(mit)\b|(bsd)\b|(apache)|(\w*openrail)){_VERSION}", re.IGNORECASE
)


def why_not(theirs: str, offered: str) -> str:
    """Why a model cannot have the licence `offered` when what it learned from has `theirs`; '' when it can, or nobody can tell.

    Both are free text: 'CC BY 4.0', 'CC-BY-SA-3.0 OR GPL-3.0' (either may be chosen), 'MIT; CC0' (all hold). A permission in words
    ('by e-mail from Anna') says nothing that could be compared.
    """
    offers: list[list[Licence | None]] = [[*choices] for choices in _groups(offered)] or [[None]]
    for choices in _groups(theirs):
        # Of several that hold for the parts of a whole, as of a Space with models of different makers, one must suit; whoever gets it
        # may choose any of its choices.
        if any(all(any(_becomes(one, wanted) for one in choices) for wanted in offer) for offer in offers):
            continue
        named = " or ".join(str(one) for one in choices)
        allowed = list(dict.fromkeys(text for one in choices for text in _allowed(one)))
        rest = f"only {' or '.join(allowed)}" if allowed else "nothing made from it to be published"
        return f"What it learned from is under {named}, which allows {rest}."
    return ""


def _becomes(one: Licence, wanted: Licence | None) -> bool:
    """Whether a work made from one under a licence may have another; None = one that is not known here."""
    targets = _MAY_BECOME[one.family]
    if targets is None:
        return not (one.family == "cc-by" and wanted is not None and wanted.family == "cc0")
    if wanted is None:
        return False
    if (
        one.family == _CC_BY_SA_4.family
        and one.version in (None, _CC_BY_SA_4.version)
        and (wanted.family, wanted.version) == ("gpl", (3, 0))
    ):
        return True
    if wanted.family not in targets:
        return False
    if one.version is None or wanted.version is None:
        return True
    newer = one.or_later or one.family.startswith("cc-") or (one.family == "lgpl" and wanted.family != "lgpl")
    return wanted.version >= one.version if newer else wanted.version == one.version and not wanted.or_later


def _allowed(one: Licence) -> list[str]:
    targets = _MAY_BECOME[one.family]
    if targets is None:
        return ["a licence that names its authors"]
    names = [str(Licence(family, one.version, one.or_later)) for family in targets]
    return [*names, *([str(_GPL_3)] if one == _CC_BY_SA_4 else [])]


def _groups(text: str) -> list[list[Licence]]:
    """The licences that a text names: all of the lists hold, and of each list any one may be chosen."""
    for pattern, short in _LONG.items():
        text = re.sub(pattern, short, text, flags=re.IGNORECASE)
    out: list[list[Licence]] = []
    end = 0
    for found in _NAMED.finditer(text):
        named = next(group for group in found.groups()[:7] if group)
        family = re.sub(r"[\s-]+", "-", named.lower())
        family = "openrail" if family.endswith("openrail") else family
        major, minor, later = found.groups()[7:]
        version = (int(major), int(minor or 0)) if major and family not in ("cc0", "mit", "bsd", "apache", "openrail") else None
        licence = Licence(family, version, bool(later))
        between = text[end : found.start()]
        if out and re.search(r"/|\||\bor\b", between, re.IGNORECASE):
            out[-1].append(licence)
        else:
            out.append([licence])
        end = found.end()
    return out
