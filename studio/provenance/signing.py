"""Signing of files that leave the studio, if the policy says so: in memory, as a stream, or in place.

A file that can't be signed is saved unsigned, since a picture is worth more than its signature. The problem is logged as a warning,
once rather than for each of hundreds of files; the page and the command line show the warnings of this logger.
"""

import contextlib
import io
import logging
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from studio.common.files import atomic_file, fsync_path, part_beside
from studio.errors import StudioError
from studio.provenance import credentials
from studio.provenance.certificates import make_certificate, own_files
from studio.provenance.made_by import MadeBy
from studio.provenance.policy import ProvenancePolicy, provenance_policy, save_policy

_MAX_BYTES = 1 << 30  # signing takes twice as much memory
LOG = __name__  # name of the logger
_log = logging.getLogger(LOG)
_last_problem = ""


def signed(data: bytes, format: str, made_by: MadeBy, parent: Path | None = None) -> bytes:
    """A finished file in memory, signed if the policy says so.

    format: 'png', 'webp', 'jpeg', 'gif' or 'mp4'.  parent: its source picture.
    """
    if not provenance_policy().credentials:
        return data
    target = io.BytesIO()
    return target.getvalue() if _try_to_sign(io.BytesIO(data), target, format, made_by, parent) else data


@contextlib.contextmanager
def signed_file(path: Path, made_by: MadeBy, parent: Path | None = None) -> Iterator[BinaryIO]:
    """As `atomic_file`: yield a new file that takes the name `path` at the end, signed before that if the policy says so."""
    if not provenance_policy().credentials:
        with atomic_file(path) as file:
            yield file
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=path.parent) as plain:
        yield plain
        with atomic_file(path) as file:
            plain.seek(0)
            if not _try_to_sign(plain, file, path.suffix.lower().lstrip("."), made_by, parent):
                _copy(plain, file)


def sign_in_place(file: Path, format: str, made_by: MadeBy, parent: Path | None = None) -> None:
    """Sign a file that is not in use yet, if the policy says so.  format: 'png', 'webp', 'jpeg', 'gif' or 'mp4'."""
    if not provenance_policy().credentials:
        return
    new = part_beside(file)
    try:
        with open(file, "rb") as source, open(new, "w+b") as target:
            done = _try_to_sign(source, target, format, made_by, parent)
        if done:
            fsync_path(new)
            os.replace(new, file)
    finally:
        new.unlink(missing_ok=True)


def enable_signing(policy: ProvenancePolicy) -> str:
    """Save a policy that signs files, after a test signature with it was valid. Returns the name in the signature.

    A policy without paths uses the studio's own certificate, which is made if it is missing or has another name.
    Raises StudioError, and saves nothing, if the test signature isn't valid.
    """
    if bool(policy.certificate) != bool(policy.key):
        raise StudioError("A certificate and its key belong together.", "Give the paths of both, or of neither.")
    policy = policy.replace(credentials=True, artist=" ".join(policy.artist.split()))
    if not policy.certificate and not (policy.artist == provenance_policy().artist and all(p.is_file() for p in own_files())):
        make_certificate(policy.artist)
    signer = credentials.check_signing(policy)
    save_policy(policy)
    return signer


def _try_to_sign(source: BinaryIO, target: BinaryIO, format: str, made_by: MadeBy, parent: Path | None) -> bool:
    """Write `source` to `target` with signed credentials inside, keeping the pixel data byte for byte. False, after a warning, if it
    fails."""
    global _last_problem
    try:
        if source.seek(0, 2) > _MAX_BYTES:
            raise StudioError("The file is larger than 1 GB.", "Sign it with another program.")
        credentials.sign(source, target, format, made_by, parent, provenance_policy())
    except Exception as e:  # c2pa and the disk raise errors of their own
        problem = str(e) if isinstance(e, StudioError) else f"{e}."
        if problem != _last_problem:
            _log.warning("Saved without a signature. %s", problem)
        _last_problem = problem
        return False
    _last_problem = ""
    return True


def _copy(source: BinaryIO, target: BinaryIO) -> None:
    source.seek(0)
    target.seek(0)
    target.truncate()
    while block := source.read(1 << 20):
        target.write(block)
