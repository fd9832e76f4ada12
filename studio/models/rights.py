"""What a model's folder says of the pictures that it learned from, those of the model it began from included."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from studio.common import toml
from studio.datasets.rights import LICENSED, NONE, Consent, most_restrictive
from studio.datasets.store import DataSetStore
from studio.errors import StudioError
from studio.models.folder import ModelInfo
from studio.models.library import default_library

KEY = "data_consent"  # in the extra of config.json
_BASE = "began_from"
_ELSEWHERE = ("imported_from", "downloaded_from", "offered_by")  # in the extra
_DEEPEST = 8  # models that began from models


def to_extra(own: Consent, base: ModelInfo | None = None) -> dict[str, Any]:
    """For the config.json of a model that learned from pictures with this consent, and began from a model."""
    began = {_BASE: {"model": base.id, **consent_of(base).to_dict()}} if base else {}
    return {KEY: {**own.to_dict(), **began}}


def consent_sentences(extra: dict[str, Any]) -> list[str]:
    """Sentences for the model card, of what `to_extra` gave."""
    own = Consent.from_dict(extra[KEY])
    out = [" ".join([own.sentence, *([f"Licence or permission: {own.licence}."] if own.licence else [])])]
    out += [f"Where they came from: {own.source}"] if own.source else []
    base = extra[KEY].get(_BASE)
    if base:
        theirs = Consent.from_dict(base)
        words = [f"It began from the model `{base['model']}`. Of the pictures behind that one: {theirs.sentence}"]
        words += [f"Licence or permission: {theirs.licence}."] if theirs.licence else []
        words += [f"Attribution: {theirs.attribution}"] if theirs.attribution else []
        out.append(" ".join(words))
    return out


def of_sets(hashes: Iterable[str], datasets: DataSetStore | None = None) -> Consent:
    """What the sets with these content hashes say, as far as they are in the store (default: the studio's own)."""
    found = []
    for hash in filter(None, hashes):
        try:
            found.append((datasets or DataSetStore()).get(hash).consent)
        except StudioError:
            found.append(Consent())
    return most_restrictive(found)


def consent_of(info: ModelInfo, datasets: DataSetStore | None = None) -> Consent:
    """What holds for all the pictures behind a model; the answer is '' where nobody said.

    A model that says nothing of it is as the sets that its plan names by their hash, as far as they are here and were asked for
    since (datasets: the store, default: the studio's own).  One that came from elsewhere is licensed when it states a licence,
    but for pictures that were used without one.
    """
    return _consent_of(info, datasets, _DEEPEST)


def is_imported(info: ModelInfo) -> bool:
    """Whether it was taken over from others, and not trained in this studio."""
    return any(key in info.extra for key in _ELSEWHERE)


def _consent_of(info: ModelInfo, datasets: DataSetStore | None, deep: int) -> Consent:
    said = info.extra.get(KEY)
    if is_imported(info):
        theirs = _stated(said)
        if theirs.answer == NONE:
            return theirs
        # What was somebody's own work is so no more: it may be passed on as its licence says.
        return dataclasses.replace(theirs, answer=LICENSED, licence=info.licence) if info.licence.strip() else Consent()
    plan = _plan(info)
    own, base = Consent.from_dict(said), []
    if isinstance(said, dict):
        base = [Consent.from_dict(said[_BASE])] if _BASE in said else []
    if not isinstance(said, dict) or (base and not base[0].answer):  # somebody may have been asked since
        base = _by_base(info, plan, datasets, deep) or base
    return most_restrictive([own if own.answer else _by_sets(plan, datasets), *base])


def _stated(said: Any) -> Consent:
    """What `to_extra` gave, for all of its pictures."""
    if not isinstance(said, dict):
        return Consent()
    return most_restrictive([Consent.from_dict(said), *([Consent.from_dict(said[_BASE])] if _BASE in said else [])])


def _plan(info: ModelInfo) -> dict[str, Any]:
    try:
        return toml.loads((info.path / "plan.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _by_sets(plan: dict[str, Any], datasets: DataSetStore | None) -> Consent:
    data = plan.get("data")
    return of_sets([str(data.get(key) or "") for key in ("hash", "hash_b")] if isinstance(data, dict) else [], datasets)


def _by_base(info: ModelInfo, plan: dict[str, Any], datasets: DataSetStore | None, deep: int) -> list[Consent]:
    base = Path(str(plan.get("base") or "")).name
    if not base:
        return []
    try:
        found = default_library().get(base)
    except StudioError:
        return [Consent()]
    if deep <= 0 or found.path == info.path:
        return [Consent()]
    return [_consent_of(found, datasets, deep - 1)]
