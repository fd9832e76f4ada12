"""Checks whether a model may be shared publicly, and under which licence, by the consent for the pictures it was trained on."""

from studio.datasets.rights import LICENSED, NONE, OWN
from studio.datasets.store import DataSetStore
from studio.errors import StudioError
from studio.models.folder import ModelInfo
from studio.models.licences import why_not
from studio.models.rights import consent_of, is_imported

_NO_LICENCE = {"all rights reserved", "none", "other", "proprietary", "unknown", "not stated", "unlicensed", "no licence", "no license"}
_ASK = "Add the same pictures again under Train and say whose they are; this model then has that answer too."


def may_share_publicly(info: ModelInfo, datasets: DataSetStore | None = None) -> tuple[bool, str]:
    """(whether it may, a sentence why), and what to do if it may not.

    It may if all its training pictures, and those of the model it started from, are the artist's own or used with permission or
    under a licence.  datasets: the store of training sets (default: the studio's own).
    """
    consent = consent_of(info, datasets)
    trained_here = not is_imported(info)
    if consent.answer == OWN:
        return True, "It was trained on pictures that are your own work."
    if consent.answer == LICENSED and consent.licence.strip().casefold() not in _NO_LICENCE:
        what = "It was trained on pictures used under" if trained_here else "Its makers published it under"
        named = f" Credit: {consent.attribution}" if consent.attribution else ""
        return True, f"{what}: {consent.licence}.{named}"
    if consent.answer == NONE:
        return False, (
            "It, or the model it started from, was trained on pictures by others without a licence or permission. "
            "It stays private. To share one like it, train again on pictures that you may use, from scratch or from a model "
            "that may be shared."
        )
    if not trained_here:
        return False, (
            "It came from elsewhere, without a licence that allows passing it on. It stays private, unless its makers gave it one: "
            "then add it again with that licence."
        )
    said = "Nobody has said whose pictures it, or the model it started from, was trained on. Until then it stays private."
    return False, f"{said} {_ASK}"


def ensure_licence(info: ModelInfo, licence: str, datasets: DataSetStore | None = None) -> None:
    """Raises StudioError if what a model learned from, or whoever made it, does not allow that it is published under a licence."""
    consent = consent_of(info, datasets)
    if reason := why_not(consent.licence, licence) if consent.answer == LICENSED else "":
        raise StudioError(f"'{info.title}' cannot be published under {licence.strip() or 'no licence'}.", reason)
