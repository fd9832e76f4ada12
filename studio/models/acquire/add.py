"""Adding published models to the library: from a file, a folder, a web address, or the Hugging Face Hub."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

from studio.common.addresses import private_ok, public_url
from studio.common.download import checked_sha256, download_file, downloads_folder, exclusive, remove_download
from studio.common.files import storage_errors_in_words
from studio.common.progress import Cancel, StageProgress, raise_if_cancelled, report
from studio.common.text import printable
from studio.errors import StudioError
from studio.models import manage
from studio.models.acquire.catalogue import CATALOGUE, CatalogueModel
from studio.models.acquire.checkpoint_import import check_model_name, import_checkpoint
from studio.models.acquire.folder_import import add_model_folder, is_model_folder, unpacked_model
from studio.models.acquire.hub_download import downloaded_repo, is_repo
from studio.models.endings import CHECKPOINT_ENDINGS
from studio.models.folder import ModelInfo, safe_name
from studio.models.importers import Statistics, strangers, torch_weights
from studio.models.library import Library

__all__ = ["CATALOGUE", "CatalogueModel", "add", "private_ok", "source_type"]

SourceType = Literal["file", "url", "hub"]
_HUBS = ("huggingface.co", "www.huggingface.co", "hf.co")


@dataclass(frozen=True)
class _Source:
    """Source of a model, as its folder records it.  statistics: by which it is to normalise."""

    facts: dict[str, Any]
    licence: str = ""
    notes: Sequence[str] = ()
    statistics: Statistics = "picture"


def source_type(source: str | Path) -> SourceType:
    """The type of a source by its form: 'url', 'hub' ('user/name', or the address of a repository page) or 'file'. Nothing is looked up."""
    if isinstance(source, Path):
        return "file"
    text = source.strip()
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", text):
        return "hub" if _repo_of_page(text) else "url"
    return "hub" if is_repo(text) and not text.lower().endswith((*CHECKPOINT_ENDINGS, ".zip")) else "file"


@storage_errors_in_words()
def add(
    source: str | Path,
    library: Library,
    *,
    name: str | None = None,
    revision: str | None = None,
    token: str | None = None,
    sha256: str | None = None,
    statistics: Statistics = "picture",
    progress: StageProgress | None = None,
    cancel: Cancel | None = None,
) -> ModelInfo:
    """Add a model to the library's first folder. None of its code is run, and it appears complete or not at all.

    source: a checkpoint in a format that can be imported, a model folder of this studio or a zip of one; the http(s) address of
    such a file; or a repository of the Hugging Face Hub, 'user/name'.
    name: in the library, and its title; None = made from the source.  revision: of a repository.
    token: for the Hub, not stored; None = that of this machine's login if the studio serves this machine only, else none.
    sha256: expected checksum of the file, hex; of a model folder, that of its model.safetensors. None = that of `CATALOGUE` for a
    source listed there; if the catalogue has none, the checksum of the first download is expected.
    statistics: of a checkpoint of pix2pix or CycleGAN with batch norm, by which it normalises: those of each picture, as its
    published test script does, or the running ones.
    progress: called with (stage, bytes or steps done, total or None).  cancel: asked between pieces; when true
    concurrent.futures.CancelledError is raised.

    Raises StudioError that says what is wrong with the source; the library is then unchanged.
    """
    check_model_name(name)
    sha256 = checked_sha256(sha256)
    info = _add(source, library, name, revision, token, sha256, statistics, progress, cancel)
    # A model folder has a title of its own; a name that was given replaces it, in its card too.
    return info if name is None or info.title == name else manage.rename(library, info.id, name)


def _add(
    source: str | Path,
    library: Library,
    name: str | None,
    revision: str | None,
    token: str | None,
    sha256: str | None,
    statistics: Statistics,
    progress: StageProgress | None,
    cancel: Cancel | None,
) -> ModelInfo:
    form = source_type(source)
    if form == "file" or (form == "hub" and Path(source).expanduser().exists()):  # a path may look like a repository name
        return _add_file(Path(source).expanduser(), library, name, sha256, _Source({}, statistics=statistics), progress, cancel)
    text = str(source).strip()
    if form == "hub":
        repo, page_revision = _repo_of_page(text) or (text, None)
        return _add_repo(repo, library, name, revision or page_revision, token, sha256, statistics, progress, cancel)
    return _add_url(text, library, name, sha256, statistics, progress, cancel)


def _repo_of_page(url: str) -> tuple[str, str | None] | None:
    """(repository, revision or None) from the address of a repository page on the Hub."""
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").lower()
    except ValueError:
        return None
    path = [unquote(p) for p in parts.path.split("/") if p]
    if host not in _HUBS or parts.scheme not in ("http", "https") or not 2 <= len(path) <= 4 or path[0] in ("spaces", "datasets", "docs"):
        return None
    repo = "/".join(path[:2])
    if not is_repo(repo) or (len(path) > 2 and (path[2] != "tree" or len(path) != 4)):
        return None
    return repo, path[3] if len(path) == 4 else None


# -- from the web ----------------------------------------------------------------------------------------------------------


def _add_url(
    url: str,
    library: Library,
    name: str | None,
    sha256: str | None,
    statistics: Statistics,
    progress: StageProgress | None,
    cancel: Cancel | None,
) -> ModelInfo:
    if (urlsplit(url).hostname or "").lower() in _HUBS:
        url = url.replace("/blob/", "/resolve/", 1)  # the page of a file -> the file
    entry = _catalogued(url)
    first = _first_checksum(library, url) if entry and not entry.sha256 else None
    wanted = sha256 or (entry.sha256 if entry else None) or first
    fetched = download_file(url, private_ok=private_ok(), sha256=wanted, progress=progress, cancel=cancel)
    try:
        facts = {"downloaded_from": public_url(url), "sha256": fetched.sha256, "checksum_known": wanted is not None}
        notes = [f"Downloaded from {public_url(url)}; SHA-256 of the file: {fetched.sha256}."]
        if wanted is None:
            notes.append("Nothing was known to check the file against; this checksum is that of the first download.")
        if entry:
            notes.append(f"Its page: {entry.page}")
        source = _Source(facts, entry.licence if entry else "", notes, statistics)
        return _add_file(fetched.path, library, name or (entry.name if entry else None), None, source, progress, cancel)
    finally:
        remove_download(fetched)


def _catalogued(source: str) -> CatalogueModel | None:
    return next((k for k in CATALOGUE if k.source == source), None)


def _first_checksum(library: Library, url: str) -> str | None:
    """The checksum of this file when it was first downloaded, if a model from it is in the library."""
    sums = [m.extra.get("sha256") for m in library.scan()[0] if m.extra.get("downloaded_from") == public_url(url)]
    return next((s for s in sums if isinstance(s, str) and re.fullmatch(r"[0-9a-f]{64}", s)), None)


def _add_repo(
    repo: str,
    library: Library,
    name: str | None,
    revision: str | None,
    token: str | None,
    sha256: str | None,
    statistics: Statistics,
    progress: StageProgress | None,
    cancel: Cancel | None,
) -> ModelInfo:
    entry = _catalogued(repo)
    # Visitors of a shared studio must not read what only its owner may.
    pass_on = token or (None if private_ok() else False)
    with downloaded_repo(repo, revision=revision, token=pass_on, progress=progress, cancel=cancel) as found:
        facts = {"downloaded_from": f"hub:{repo}", "revision": found.commit}
        notes = [f"Downloaded from the Hugging Face Hub: {repo}, revision {found.commit or revision or 'main'}."]
        source = _Source(facts, found.licence or (entry.licence if entry else ""), notes, statistics)
        name = name or safe_name(entry.name if entry else repo.partition("/")[2])
        return _add_file(found.weights or found.folder, library, name, sha256, source, progress, cancel)


# -- from a file -----------------------------------------------------------------------------------------------------------


def _add_file(
    path: Path,
    library: Library,
    name: str | None,
    sha256: str | None,
    source: _Source,
    progress: StageProgress | None,
    cancel: Cancel | None,
) -> ModelInfo:
    try:
        if not path.exists():
            raise StudioError(
                f"There is nothing at {printable(str(path), 200)}.",
                "Give a file, a web address, or a model of the Hub (user/name).",
            )
        is_folder = path.is_dir()
        if sha256:
            _check_sha256(path / "model.safetensors" if is_folder else path, sha256, progress, cancel)
        is_zip = path.is_file() and _is_plain_zip(path)
    except (OSError, ValueError) as e:
        raise StudioError(f"{printable(path.name, 80)} cannot be read: {getattr(e, 'strerror', None) or e}.", "Check the path.") from None
    if is_folder and not is_model_folder(path):
        if stranger := strangers.of_folder(path):
            raise StudioError(f"The folder '{printable(path.name, 80)}' {stranger.what}.", stranger.advice)
        raise StudioError(
            f"The folder '{printable(path.name, 80)}' is not a model: it lacks config.json or model.safetensors.",
            "Choose the checkpoint itself.",
        )
    raise_if_cancelled(cancel)
    report(progress, "Reading", 0, None)
    # Two models added at once must not take the same free name.
    with exclusive(downloads_folder() / "library.lock", cancel):
        if is_folder:
            return add_model_folder(path, library, name or safe_name(path.name), source.facts)
        if is_zip:
            with unpacked_model(path, downloads_folder()) as (folder, found):
                raise_if_cancelled(cancel)
                return add_model_folder(folder, library, name or found, source.facts)
        return import_checkpoint(
            library, path, name, licence=source.licence, notes=source.notes, extra=source.facts, statistics=source.statistics
        )


def _is_plain_zip(path: Path) -> bool:
    """Whether this is a zip not written by torch.save."""
    with open(path, "rb") as f:
        head = f.read(1024)
    return head.startswith((b"PK\x03\x04", b"PK\x05\x06")) and not torch_weights.looks_like_weights(head)


def _check_sha256(path: Path, sha256: str, progress: StageProgress | None, cancel: Cancel | None) -> None:
    """Raises StudioError when the checksum of a file differs."""
    digest, done, total = hashlib.sha256(), 0, path.stat().st_size
    with open(path, "rb") as f:
        while block := f.read(4 << 20):
            raise_if_cancelled(cancel)
            digest.update(block)
            done += len(block)
            report(progress, "Checking", done, total)
    if digest.hexdigest() != sha256:
        raise StudioError(
            f"{printable(path.name, 80)} has the SHA-256 {digest.hexdigest()[:12]}..., but {sha256[:12]}... was expected.",
            "It was changed or damaged on the way: download it again.",
        )
