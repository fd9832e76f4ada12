"""Content Credentials (C2PA): a signed statement, inside a file, of how it was made.

The optional package c2pa-python is imported when files are signed or read.
"""

import contextlib
import functools
import hashlib
import io
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image

from studio import __version__
from studio.engine.image_recipe import ImageRecipe
from studio.engine.recipe import Recipe
from studio.errors import StudioError
from studio.imaging.xmp import DigitalSourceType
from studio.models.library import default_library
from studio.models.rights import consent_of
from studio.provenance.certificates import algorithm_of, own_files
from studio.provenance.made_by import MadeBy, digital_source_type
from studio.provenance.policy import ProvenancePolicy

_AGENT = {"name": "GAN Studio", "version": __version__}
_FACTS = "gan-studio.origin"  # label of the studio's own assertion
_SOURCE = "source"  # label of the ingredient within a manifest
_MEDIA_TYPES = {
    "png": "image/png",
    "webp": "image/webp",
    "mp4": "video/mp4",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "gif": "image/gif",
    "mov": "video/quicktime",
}
# No thumbnails inside, and no network requests on behalf of untrusted files.
_SETTINGS = {"builder": {"thumbnail": {"enabled": False}}, "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False}}
_UNTRUSTED = "signingCredential.untrusted"
_SENTENCES = (
    ("mismatch", "The file was changed after it was signed."),
    ("expired", "The certificate was out of date."),
    ("outsideValidity", "The certificate was out of date."),
    ("revoked", "The certificate was withdrawn."),
    ("missing", "A part of the signed statement is missing."),
)


@functools.cache
def _library() -> tuple[Any, Any]:
    """The module c2pa, and a context with the studio's settings. Raises StudioError if it is not installed."""
    try:
        import c2pa
    except (ImportError, OSError):  # OSError: its binary does not fit this system
        raise StudioError("The package c2pa-python is missing.", "Install it with: pip install c2pa-python cryptography") from None
    return c2pa, c2pa.Context(c2pa.Settings.from_dict(_SETTINGS))


# -- signing -----------------------------------------------------------------------------------------------------------


def sign(source: BinaryIO, target: BinaryIO, format: str, made_by: MadeBy, parent: Path | None, policy: ProvenancePolicy) -> None:
    """Write `source` to `target` with signed credentials inside.

    format: 'png', 'webp', 'jpeg', 'gif' or 'mp4'.  parent: the source picture; it becomes an ingredient if the policy includes recipes.
    Raises StudioError if certificate and key cannot be used, and c2pa's errors.
    """
    c2pa, context = _library()
    certificate, key = _pems(policy)
    info = c2pa.C2paSignerInfo(algorithm_of(key).encode(), certificate, key, policy.timestamp_url.encode() or None)
    parent = parent if policy.includes_recipe else None
    source.seek(0)
    with contextlib.ExitStack() as stack:
        try:
            signer = stack.enter_context(c2pa.Signer.from_info(info))
        except c2pa.C2paError as e:
            raise StudioError(f"This certificate and key cannot sign: {e}.", "Choose others, or have the studio make some.") from None
        ingredient = _ingredient(parent) if parent else None
        builder = stack.enter_context(c2pa.Builder(manifest(made_by, policy, bool(ingredient)), context=context))
        if ingredient:
            about, media_type, content = ingredient
            builder.add_ingredient(about, media_type, stack.enter_context(content))
        builder.sign(signer, _MEDIA_TYPES[format], source, target)


def manifest(made_by: MadeBy, policy: ProvenancePolicy, ingredient: bool) -> dict[str, Any]:
    """The manifest for c2pa-python (C2PA specification, "Actions").  ingredient: whether the source picture is one."""
    made = {"softwareAgent": _AGENT, "digitalSourceType": digital_source_type(made_by).value}
    if ingredient:
        verb = made_by.verb if isinstance(made_by, ImageRecipe) else "change"
        actions = [
            {"action": "c2pa.opened", "softwareAgent": _AGENT, "parameters": {"ingredientIds": [_SOURCE]}},
            {"action": "c2pa.edited", "description": f"{verb} with a trained network", **made},
        ]
    else:
        actions = [{"action": "c2pa.created", **made}]
    assertions = [{"label": "c2pa.actions.v2", "data": {"actions": actions}}]
    facts = _facts(made_by) if policy.includes_recipe and not isinstance(made_by, DigitalSourceType) else {}
    if facts:
        assertions.append({"label": _FACTS, "data": facts})
    return {"title": "Made with GAN Studio", "claim_generator_info": [_AGENT], "assertions": assertions}


def _facts(made_by: Recipe | ImageRecipe) -> dict[str, Any]:
    """The model, the recipe's hash, and the consent for the pictures the model was trained on."""
    facts: dict[str, Any] = {"model": made_by.model, "recipe_sha256": hashlib.sha256(made_by.to_json().encode()).hexdigest()}
    if made_by.model_hash:
        facts["model_sha256"] = made_by.model_hash
    with contextlib.suppress(StudioError):
        info = default_library().get(made_by.model)
        if info.hash == made_by.model_hash:
            consent = consent_of(info)
            facts["training_data"] = {"consent": consent.answer or "unknown", **consent.licence_and_attribution()}
    return facts


def _ingredient(parent: Path) -> tuple[dict[str, str], str, BinaryIO] | None:
    """(description, media type, opened file) of the source picture; None if it is gone."""
    ending = parent.suffix.lower().lstrip(".")
    try:
        file = open(parent, "rb")  # noqa: SIM115 - the caller closes it
    except OSError:
        return None
    media_type = _MEDIA_TYPES.get(ending) or f"image/{ending}"
    return {"title": "The picture it was made from", "relationship": "parentOf", "label": _SOURCE, "instance_id": _SOURCE}, media_type, file


def _pems(policy: ProvenancePolicy) -> tuple[bytes, bytes]:
    paths = [Path(p).expanduser() for p in (policy.certificate, policy.key)] if policy.certificate or policy.key else own_files()
    out = []
    for path, what in zip(paths, ("certificate", "key"), strict=True):
        try:
            out.append(path.read_bytes())
        except OSError as e:
            problem = f"The {what} for signing cannot be read: {e.strerror or e}."
            raise StudioError(problem, "Choose it again, or have the studio make one.") from None
    return out[0], out[1]


def check_signing(policy: ProvenancePolicy) -> str:
    """Sign a tiny picture by the policy and read it back. Returns the name in the signature.

    Raises StudioError if that fails, so that problems show up before any real picture is signed.
    """
    plain, signed = io.BytesIO(), io.BytesIO()
    Image.new("RGB", (8, 8)).save(plain, "PNG")
    again = "Ask its issuer for a certificate for signing documents or mail, together with the issuer's own certificate."
    try:
        sign(plain, signed, "png", DigitalSourceType.GENERATED, None, policy.replace(timestamp_url=""))
    except StudioError:
        raise
    except Exception as e:
        raise StudioError(f"This certificate and key cannot sign: {e}.", again) from None
    signed.seek(0)
    found = _read(signed, "image/png")
    if found is None or not found.intact:
        why = " ".join(found.problems) if found else "nothing was signed."
        raise StudioError(f"A signature with this certificate is not valid: {why}", again)
    return found.signer


# -- reading -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Credentials:
    """The newest signed manifest inside a file.

    intact: signed, and not changed since.  trusted: issued by an authority on c2pa's trust list, which is empty by default.
    signer: name in the certificate.  issuer: of the certificate.  time: from a time-stamp server; '' = none.
    source_types: IPTC's digital source types of its actions.  software: the program that made the file.  sources: titles of its
    ingredients.
    facts: the studio's own assertion, or empty.  problems: sentences, if it is not intact.
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


def read_credentials(path: str | Path, format: str) -> Credentials | None:
    """The credentials inside a file; None if it has none.  format: 'png', 'webp', 'jpeg', 'gif', 'mp4' or 'mov'.

    Raises StudioError if c2pa-python is missing, or the credentials are too damaged to be read.
    """
    with open(path, "rb") as file:
        return _read(file, _MEDIA_TYPES[format])


def _read(file: BinaryIO, media_type: str) -> Credentials | None:
    c2pa, context = _library()
    try:
        reader = c2pa.Reader.try_create(media_type, file, context=context)
        if reader is None:
            return None
        with reader:
            manifest = reader.get_active_manifest() or {}
            state, results = reader.get_validation_state(), reader.get_validation_results() or {}
    except c2pa.C2paError as e:
        raise StudioError(f"There are credentials, but they cannot be read: {e}.", "The file was changed or damaged.") from None
    codes = [str(f.get("code", "")) for f in results.get("activeManifest", {}).get("failure", [])]
    intact = state in ("Valid", "Trusted")
    problems = () if intact else tuple(dict.fromkeys(_sentence(code) for code in codes if code != _UNTRUSTED)) or ("It is not valid.",)
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


def _sentence(code: str) -> str:
    return next((words for part, words in _SENTENCES if part in code), f"It is not valid ({code}).")
