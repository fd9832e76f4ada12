"""Whose the pictures of a set are, and what their makers said to learning from them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from studio.errors import StudioError

OWN, LICENSED, NONE, UNKNOWN = "own", "licensed", "none", ""
# Of several sets the answer that allows least holds for all.
_ALLOWS = (NONE, UNKNOWN, LICENSED, OWN)
ANSWERS = {
    OWN: "my own work",
    LICENSED: "I have permission or a licence",
    NONE: "neither, or I do not know",
}
_SENTENCES = {
    OWN: "The pictures are the own work of whoever trained it.",
    LICENSED: "The pictures are used with permission or under a licence.",
    NONE: "The pictures are by others, used without a licence or permission, or their origin is not known.",
    UNKNOWN: "Nobody said whose the pictures are.",
}
_LONGEST = 1000  # letters of any of the words


@dataclass(frozen=True)
class Consent:
    """The answer, and the words that go with it.

    answer: 'own', 'licensed', 'none', or '' = nobody was asked.  source: where the pictures came from.
    licence: or the permission.  attribution: who is to be named.
    Raises StudioError for another answer, and for 'licensed' without saying which licence or permission.
    """

    answer: str = UNKNOWN
    source: str = ""
    licence: str = ""
    attribution: str = ""

    def __post_init__(self):
        if self.answer not in _ALLOWS:
            raise StudioError(f"The answer to whose the pictures are is '{self.answer!s:.40}'.", f"It must be one of {', '.join(ANSWERS)}.")
        for name in ("source", "licence", "attribution"):
            object.__setattr__(self, name, " ".join(str(getattr(self, name)).split())[:_LONGEST])
        if self.answer == LICENSED and not self.licence:
            raise StudioError("Which permission or licence do you have?", "Write 'CC BY 4.0', say, or 'by e-mail from Anna, May 2026'.")

    @property
    def sentence(self) -> str:
        """The answer in words, for the model card."""
        return _SENTENCES[self.answer]

    def words_for_others(self) -> dict[str, str]:
        """Licence and attribution, those that are there."""
        return {name: getattr(self, name) for name in ("licence", "attribution") if getattr(self, name)}

    def to_dict(self) -> dict[str, str]:
        """For JSON; see `from_dict`."""
        return {"consent": self.answer, "source": self.source, "licence": self.licence, "attribution": self.attribution}

    @classmethod
    def from_dict(cls, raw: Any) -> "Consent":
        """What `to_dict` gave. Anything odd counts as not answered, for files come from anywhere."""
        if not isinstance(raw, dict):
            return cls()
        words = {name: raw.get(name, "") for name in ("source", "licence", "attribution")}
        if not all(isinstance(v, str) for v in words.values()):
            return cls()
        try:
            return cls(raw.get("consent", UNKNOWN), **words)
        except (StudioError, TypeError):
            return cls()


def most_restrictive(consents: Iterable[Consent]) -> Consent:
    """Of what several sets say, that which holds for all of them: the answer that allows least, and the words of each."""
    consents = list(consents)
    joined = {
        name: "; ".join(dict.fromkeys(getattr(c, name) for c in consents if getattr(c, name)))
        for name in ("source", "licence", "attribution")
    }
    return Consent(min((c.answer for c in consents), key=_ALLOWS.index, default=UNKNOWN), **joined)
