"""Rights to the pictures of a set: whose they are, and whether a model may learn from them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from studio.errors import StudioError

OWN, LICENSED, NONE, UNKNOWN = "own", "licensed", "none", ""
# From the most restrictive answer to the least: for several sets together the most restrictive holds.
_STRICTEST_FIRST = (NONE, UNKNOWN, LICENSED, OWN)
ANSWERS = {
    OWN: "my own work",
    LICENSED: "I have permission or a licence",
    NONE: "neither, or I do not know",
}
_SENTENCES = {
    OWN: "The pictures are the work of whoever trained it.",
    LICENSED: "The pictures are used with permission or under a licence.",
    NONE: "The pictures are by others, used without a licence or permission, or their origin is not known.",
    UNKNOWN: "Nobody said whose pictures they are.",
}
_MAX_LENGTH = 1000  # characters of each text


@dataclass(frozen=True)
class Consent:
    """The answer to whose pictures they are, and the details.

    Raises StudioError for an unknown answer, and for 'licensed' without a licence or permission.
    """

    answer: str = UNKNOWN
    """'own', 'licensed', 'none', or '' = nobody was asked."""
    source: str = ""
    """Where the pictures came from."""
    licence: str = ""
    """The licence or permission."""
    attribution: str = ""
    """Who is to be credited."""

    def __post_init__(self):
        if self.answer not in _STRICTEST_FIRST:
            raise StudioError(
                f"The answer to whose pictures they are is '{self.answer!s:.40}'.", f"It must be one of {', '.join(ANSWERS)}."
            )
        for name in ("source", "licence", "attribution"):
            object.__setattr__(self, name, " ".join(str(getattr(self, name)).split())[:_MAX_LENGTH])
        if self.answer == LICENSED and not self.licence:
            raise StudioError("Which permission or licence do you have?", "Write 'CC BY 4.0', say, or 'by e-mail from Anna, May 2026'.")

    @property
    def sentence(self) -> str:
        """The answer as a sentence for the model card."""
        return _SENTENCES[self.answer]

    def licence_and_attribution(self) -> dict[str, str]:
        """Licence and attribution, those that are given."""
        return {name: getattr(self, name) for name in ("licence", "attribution") if getattr(self, name)}

    def to_dict(self) -> dict[str, str]:
        """The consent as plain values for JSON; see `from_dict`."""
        return {"consent": self.answer, "source": self.source, "licence": self.licence, "attribution": self.attribution}

    @classmethod
    def from_dict(cls, raw: Any) -> "Consent":
        """Consent from what `to_dict` gave. Anything invalid counts as not answered, since files come from anywhere."""
        if not isinstance(raw, dict):
            return cls()
        texts = {name: raw.get(name, "") for name in ("source", "licence", "attribution")}
        if not all(isinstance(v, str) for v in texts.values()):
            return cls()
        try:
            return cls(raw.get("consent", UNKNOWN), **texts)
        except (StudioError, TypeError):
            return cls()


def most_restrictive(consents: Iterable[Consent]) -> Consent:
    """Consent that holds for several sets together: the most restrictive answer, and the texts of each."""
    consents = list(consents)
    joined = {
        name: "; ".join(dict.fromkeys(getattr(c, name) for c in consents if getattr(c, name)))
        for name in ("source", "licence", "attribution")
    }
    return Consent(min((c.answer for c in consents), key=_STRICTEST_FIRST.index, default=UNKNOWN), **joined)
