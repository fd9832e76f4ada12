"""Origins of the pictures in a stored set: under which names they came, before names were shortened or numbered."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

_CUT = re.compile(r".{80}(-\d+)?")  # stems that earlier studios may have cut and numbered


@dataclass(frozen=True)
class Origins:
    """Names under which pictures came."""

    names: Mapping[str, str] = field(default_factory=dict)
    """Name in the set -> name it came under, where the two differ in more than the ending."""
    equal: tuple[tuple[str, str], ...] = ()
    """(name it came under, name in the set of the picture that it is equal to) of files that were left out as duplicates."""
    complete: bool = True
    """False for sets of earlier studios, which kept no names: one that looks cut off may be any picture's."""

    def of(self, name: str) -> str:
        """The name a picture came under; '' where nobody knows."""
        if not self.complete and _CUT.fullmatch(PurePosixPath(name).stem):
            return ""
        return self.names.get(name, name)

    def shown(self, names: Sequence[str]) -> list[str]:
        """The pictures' own names where each is the only one of its name, else those in the set."""
        own = [self.of(name) or name for name in names]
        count = Counter(own)
        shown = [mine if count[mine] == 1 else name for mine, name in zip(own, names, strict=True)]
        return shown if len(set(shown)) == len(shown) else list(names)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for a set's card."""
        return {"names": dict(self.names), "equal": [list(pair) for pair in self.equal]}

    @classmethod
    def from_card(cls, card: Mapping[str, Any]) -> "Origins":
        """The origins in a set's card. Raises ValueError or TypeError for a damaged one."""
        if "origins" in card:
            raw = card["origins"]
            return cls({str(k): str(v) for k, v in raw["names"].items()}, tuple((str(a), str(b)) for a, b in raw["equal"]))
        # Earlier studios listed duplicates for people, 'pets.zip/cats/tom.png', long ones shortened in the middle.
        equal = [(str(source).split("/", 1)[-1], str(name)) for source, name in card.get("duplicates", [])]
        if not any("/" in name for _, name in equal):  # the folder that all had in common is not part of the names
            equal = [(PurePosixPath(own).name, name) for own, name in equal]
        return cls({}, tuple(pair for pair in equal if len(pair[0]) < 150), complete=False)


NO_ORIGINS = Origins()
