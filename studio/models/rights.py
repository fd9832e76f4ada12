"""What a model's folder says about the pictures it learned from, including those of the model it started from."""

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
_MAX_DEPTH = 8  # of models that started from models


def to_extra(own: Consent, base: ModelInfo | None = None) -> dict[str, Any]:
    """Consent for the config.json of a model that learned from pictures with consent `own`, and started from `base`."""
    began = {_BASE: {"model": base.id, **consent_of(base).to_dict()}} if base else {}
    return {KEY: {**own.to_dict(), **began}}


def consent_sentences(extra: dict[str, Any]) -> list[str]:
    """Sentences for the model card, from what `to_extra` gave."""
    own = Consent.from_dict(extra[KEY])
    out = [" ".join([own.sentence, *([f"Licence or permission: {own.licence}."] if own.licence else [])])]
    out += [f"Where they came from: {own.source}"] if own.source else []
    base = extra[KEY].get(_BASE)
    if base:
        theirs = Consent.from_dict(base)
        words = [f"It started from the model `{base['model']}`. On the pictures behind that one: {theirs.sentence}"]
        words += [f"Licence or permission: {theirs.licence}."] if theirs.licence else []
        words += [f"Attribution: {theirs.attribution}"] if theirs.attribution else []
        out.append(" ".join(words))
    return out


def of_sets(hashes: Iterable[str], datasets: DataSetStore | None = None) -> Consent:
    """Consent of the sets with these content hashes, as far as they are in the store (default: the studio's own)."""
    found = []
    for hash in filter(None, hashes):
        try:
            found.append((datasets or DataSetStore()).get(hash).consent)
        except StudioError:
            found.append(Consent())
    return most_restrictive(found)


def consent_of(info: ModelInfo, datasets: DataSetStore | None = None) -> Consent:
    """Consent that holds for all the pictures behind a model; the answer is '' if nobody gave one.

    For a model without a statement, the sets that its plan names by their hash count, as far as they are here and have an answer
    by now (datasets: the store, default: the studio's own).  A model from elsewhere is licensed when it states a licence, except
    for pictures that were used without one.
    """
    return _consent_of(info, datasets, _MAX_DEPTH)


def is_imported(info: ModelInfo) -> bool:
    """Whether it came from others and was not trained in this studio."""
    return any(key in info.extra for key in _ELSEWHERE)


def _consent_of(info: ModelInfo, datasets: DataSetStore | None, deep: int) -> Consent:
    said = info.extra.get(KEY)
    if is_imported(info):
        theirs = _stated(said)
        if theirs.answer == NONE:
            return theirs
        # What was its maker's own work is not the artist's: its licence decides whether it may be passed on.
        return dataclasses.replace(theirs, answer=LICENSED, licence=info.licence) if info.licence.strip() else Consent()
    plan = _plan(info)
    own, base = Consent.from_dict(said), []
    if isinstance(said, dict):
        base = [Consent.from_dict(said[_BASE])] if _BASE in said else []
    if not isinstance(said, dict) or (base and not base[0].answer):  # an answer may have been given since
        base = _by_base(info, plan, datasets, deep) or base
    return most_restrictive([own if own.answer else _by_sets(plan, datasets), *base])


def _stated(said: Any) -> Consent:
    """The consent that `to_extra` stored, for all of its pictures."""
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
