"""Content Credentials (C2PA): a signed account of how a file was made, inside the file. c2pa-python is loaded when they are on, or read."""

import contextlib
import functools
import hashlib
import io
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image

from studio import __version__
from studio.engine.image_recipe import ImageRecipe
from studio.errors import StudioError
from studio.imaging.xmp import DigitalSourceType
from studio.models.library import default_library
from studio.models.rights import consent_of
from studio.provenance.certificates import algorithm_of, own_files
from studio.provenance.metadata import origin_of
from studio.provenance.policy import MadeBy, ProvenancePolicy, provenance_policy

MISSING = "Content Credentials need the package c2pa-python: pip install c2pa-python cryptography."
_AGENT = {"name": "GAN Studio", "version": __version__}
_FACTS = "gan-studio.origin"  # label of our own assertion
_SOURCE = "source"  # of the ingredient, within a manifest
_MOST = 1 << 30  # bytes of a file; signing takes twice as much memory
_KINDS = {"png": "image/png", "webp": "image/webp", "mp4": "video/mp4", "jpg": "image/jpeg", "jpeg": "image/jpeg", "mov": "video/quicktime"}
# No pictures of the picture inside, and nothing is fetched from the network for a file from anywhere.
_SETTINGS = {"builder": {"thumbnail": {"enabled": False}}, "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False}}
_UNTRUSTED = "signingCredential.untrusted"
_WORDS = (
    ("mismatch", "The file was changed after it was signed."),
    ("expired", "The certificate was out of date."),
    ("outsideValidity", "The certificate was out of date."),
    ("revoked", "The certificate was withdrawn."),
    ("missing", "A part of the signed account is missing."),
)
_log = logging.getLogger(__name__)
_warn: Callable[[str], None] = _log.warning
_warned = ""  # one trouble is told once, not for each file of hundreds


def warn_with(warn: Callable[[str], None]) -> None:
    """What is told of trouble with signing; the file itself is saved unsigned then."""
    global _warn
    _warn = warn


@functools.cache
def _library() -> tuple[Any, Any]:
    """(c2pa, its settings as ours). Raises StudioError when it is not installed."""
    try:
        import c2pa
    except (ImportError, OSError):  # the latter when its binary does not suit this system
        raise StudioError("The package c2pa-python is missing.", "Install it with: pip install c2pa-python cryptography") from None
    return c2pa, c2pa.Context(c2pa.Settings.from_dict(_SETTINGS))


# -- signing -----------------------------------------------------------------------------------------------------------


def seal(source: BinaryIO, target: BinaryIO, kind: str, told: MadeBy, parent: Path | None) -> bool:
    """Write `source` to `target` with signed credentials inside; see `telling.Seal`. The pixels stay the same bytes.

    False, after a word to the person, when that cannot be done: a picture is worth more than its signature.
    """
    global _warned
    try:
        if source.seek(0, 2) > _MOST:
            raise StudioError("The file is larger than 1 GB.", "Sign it with another program.")
        sign(source, target, kind, told, parent, provenance_policy())
    except Exception as e:  # the library and the disk raise kinds of their own
        problem = str(e) if isinstance(e, StudioError) else f"{e}."
        if problem != _warned:
            _warn(f"Saved without a signature. {problem}")
        _warned = problem
        return False
    _warned = ""
    return True


def sign(source: BinaryIO, target: BinaryIO, kind: str, told: MadeBy, parent: Path | None, choice: ProvenancePolicy) -> None:
    """As `seal`, by the given choice.  Raises StudioError when certificate and key cannot be used, and the library's errors."""
    c2pa, context = _library()
    certificate, key = _pems(choice)
    info = c2pa.C2paSignerInfo(algorithm_of(key).encode(), certificate, key, choice.timestamp_url.encode() or None)
    parent = parent if choice.recipe else None  # a source is told of only when files tell everything
    source.seek(0)
    with contextlib.ExitStack() as stack:
        try:
            signer = stack.enter_context(c2pa.Signer.from_info(info))
        except c2pa.C2paError as e:
            raise StudioError(f"This certificate and key cannot sign: {e}.", "Choose others, or have the studio make some.") from None
        ingredient = _ingredient(parent) if parent else None
        builder = stack.enter_context(c2pa.Builder(manifest(told, choice, bool(ingredient)), context=context))
        if ingredient:
            about, form, file = ingredient
            builder.add_ingredient(about, form, stack.enter_context(file))
        builder.sign(signer, _KINDS[kind], source, target)


def manifest(told: MadeBy, choice: ProvenancePolicy, ingredient: bool) -> dict[str, Any]:
    """What is signed, as c2pa-python takes it (C2PA specification, "Actions").  ingredient: whether the source goes along."""
    made = {"softwareAgent": _AGENT, "digitalSourceType": origin_of(told).value}
    if ingredient:
        verb = told.verb if isinstance(told, ImageRecipe) else "change"
        actions = [
            {"action": "c2pa.opened", "softwareAgent": _AGENT, "parameters": {"ingredientIds": [_SOURCE]}},
            {"action": "c2pa.edited", "description": f"{verb} with a trained network", **made},
        ]
    else:
        actions = [{"action": "c2pa.created", **made}]
    assertions = [{"label": "c2pa.actions.v2", "data": {"actions": actions}}]
    facts = _facts(told) if choice.recipe and not isinstance(told, DigitalSourceType) else {}
    if facts:
        assertions.append({"label": _FACTS, "data": facts})
    return {"title": "Made with GAN Studio", "claim_generator_info": [_AGENT], "assertions": assertions}


def _facts(told: Any) -> dict[str, Any]:
    """The model, and what is said of the pictures that it learned from."""
    facts: dict[str, Any] = {"model": told.model, "recipe_sha256": hashlib.sha256(told.to_json().encode()).hexdigest()}
    if told.model_hash:
        facts["model_sha256"] = told.model_hash
    with contextlib.suppress(StudioError):
        info = default_library().get(told.model)
        if info.hash == told.model_hash:
            consent = consent_of(info)
            facts["training_data"] = {"consent": consent.answer or "unknown", **consent.words_for_others()}
    return facts


def _ingredient(parent: Path) -> tuple[dict[str, str], str, BinaryIO] | None:
    """(about it, its form, its file); None when it is gone."""
    ending = parent.suffix.lower().lstrip(".")
    try:
        file = open(parent, "rb")
    except OSError:
        return None
    form = _KINDS.get(ending) or f"image/{ending}"
    return {"title": "The picture it was made from", "relationship": "parentOf", "label": _SOURCE, "instance_id": _SOURCE}, form, file


def _pems(choice: ProvenancePolicy) -> tuple[bytes, bytes]:
    paths = [Path(p).expanduser() for p in (choice.certificate, choice.key)] if choice.certificate or choice.key else own_files()
    out = []
    for path, what in zip(paths, ("certificate", "key"), strict=True):
        try:
            out.append(path.read_bytes())
        except OSError as e:
            problem = f"The {what} for signing cannot be read: {e.strerror or e}."
            raise StudioError(problem, "Choose it again, or have the studio make one.") from None
    return out[0], out[1]


def check(choice: ProvenancePolicy) -> str:
    """Sign a tiny picture with the certificate and key of a choice, and read it back -> the name in the signature.

    Raises StudioError when that fails: before a picture of the artist depends on it.
    """
    plain, signed = io.BytesIO(), io.BytesIO()
    Image.new("RGB", (8, 8)).save(plain, "PNG")
    again = "Ask whoever issued it for a certificate to sign documents or mail with, together with that of the issuer."
    try:
        sign(plain, signed, "png", DigitalSourceType.GENERATED, None, choice.replace(timestamp_url=""))
    except StudioError:
        raise
    except Exception as e:
        raise StudioError(f"This certificate and key cannot sign: {e}.", again) from None
    signed.seek(0)
    found = _read(signed, "image/png")
    if found is None or not found.intact:
        why = " ".join(found.problems) if found else "nothing was signed."
        raise StudioError(f"A signature with this certificate does not hold: {why}", again)
    return found.signer


# -- reading -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Credentials:
    """The newest signed account inside a file.

    intact: signed and not changed since.  trusted: by an authority on the library's list, of which there is none here.
    signer: name in the certificate.  issuer: who stands behind it.  time: of a time-stamp server, '' = none.
    source_types: IPTC's, of its actions.  software: that made it.  sources: titles of what it was made from.  facts: ours, or none.
    problems: sentences, when it is not intact.
    """

    intact: bool
    trusted: bool
    signer: str
    issuer: str
    time: str
    source_types: tuple[str, ...]
    software: str
    sources: tuple[str, ...]
    facts: dict[str, Any] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


def read_credentials(path: str | Path, form: str) -> Credentials | None:
    """The credentials inside a file, None when it has none.  form: 'png', 'webp', 'jpeg', 'mp4' or 'mov'.

    Raises StudioError when c2pa-python is missing, or the credentials are too damaged to be read.
    """
    with open(path, "rb") as file:
        return _read(file, _KINDS[form])


def _read(file: BinaryIO, form: str) -> Credentials | None:
    c2pa, context = _library()
    try:
        reader = c2pa.Reader.try_create(form, file, context=context)
        if reader is None:
            return None
        with reader:
            manifest = reader.get_active_manifest() or {}
            state, results = reader.get_validation_state(), reader.get_validation_results() or {}
    except c2pa.C2paError as e:
        raise StudioError(f"There are credentials, but they cannot be read: {e}.", "The file was changed or damaged.") from None
    codes = [str(f.get("code", "")) for f in results.get("activeManifest", {}).get("failure", [])]
    intact = state in ("Valid", "Trusted")
    problems = () if intact else tuple(dict.fromkeys(_in_words(code) for code in codes if code != _UNTRUSTED)) or ("It does not hold.",)
    signature = manifest.get("signature_info") or {}
    actions, facts = [], {}
    for assertion in manifest.get("assertions") or []:
        data = assertion.get("data")
        if re.fullmatch(r"c2pa\.actions(\.v2)?", str(assertion.get("label"))) and isinstance(data, dict):
            actions += [a for a in data.get("actions") or [] if isinstance(a, dict)]
        elif assertion.get("label") == _FACTS and isinstance(data, dict):
            facts = data
    generator = (manifest.get("claim_generator_info") or [{}])[0]
    return Credentials(
        intact=intact,
        trusted=state == "Trusted",
        signer=str(signature.get("common_name") or signature.get("issuer") or ""),
        issuer=str(signature.get("issuer") or ""),
        time=str(signature.get("time") or ""),
        source_types=tuple(dict.fromkeys(str(a["digitalSourceType"]) for a in actions if a.get("digitalSourceType"))),
        software=f"{generator.get('name', '')} {generator.get('version', '')}".strip(),
        sources=tuple(str(i.get("title") or "a picture without a title") for i in manifest.get("ingredients") or []),
        facts=facts,
        problems=problems,
    )


def _in_words(code: str) -> str:
    return next((words for part, words in _WORDS if part in code), f"It does not hold ({code}).")
