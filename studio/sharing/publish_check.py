"""Whether a model may be given to everyone by the press of a button."""

from studio.datasets.rights import LICENSED, NONE, OWN
from studio.datasets.store import DataSetStore
from studio.models.folder import ModelInfo
from studio.models.rights import consent_of, is_imported

_NO_LICENCE = {"all rights reserved", "none", "other", "proprietary", "unknown", "not stated", "unlicensed", "no licence", "no license"}
_ASK = "Take the same pictures in again under Train and say whose they are; this model then knows it too."


def may_share_publicly(info: ModelInfo, datasets: DataSetStore | None = None) -> tuple[bool, str]:
    """(whether, why) in plain words; where it may not, with what to do.

    It may when all the pictures behind it are the artist's own or used with permission or under a licence, those behind the model
    that it began from included.  datasets: the store of image sets (default: the studio's own).
    """
    consent = consent_of(info, datasets)
    trained_here = not is_imported(info)
    if consent.answer == OWN:
        return True, "It learned from pictures that are your own work."
    if consent.answer == LICENSED and consent.licence.strip().casefold() not in _NO_LICENCE:
        what = "It learned from pictures used under" if trained_here else "Its makers gave it away under"
        named = f" Name with it: {consent.attribution}" if consent.attribution else ""
        return True, f"{what}: {consent.licence}.{named}"
    if consent.answer == NONE:
        return False, (
            "It, or the model that it began from, learned from pictures of others without a licence or permission. "
            "It stays private. To share one like it, train anew from pictures that you may use, beginning from nothing or from a model "
            "that may be shared."
        )
    if not trained_here:
        return False, (
            "It came from elsewhere, and no licence is stated that allows passing it on. It stays private, unless its makers gave it a "
            "licence: then get it again with that licence."
        )
    said = "Nobody said whose the pictures are that it, or the model it began from, learned from. It stays private until then."
    return False, f"{said} {_ASK}"
