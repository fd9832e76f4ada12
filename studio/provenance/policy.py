"""What the files that leave the studio tell of how they were made: the artist's choice, and the seal that may be put on them."""

import contextlib
import dataclasses
import functools
import io
import logging
import os
import secrets
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from studio.common import toml
from studio.common.files import atomic_file, atomic_write, fsync_path
from studio.common.schema import SchemaError, from_plain
from studio.engine.image_recipe import ImageRecipe
from studio.engine.recipe import Recipe
from studio.errors import StudioError
from studio.imaging.xmp import DigitalSourceType
from studio.settings import get_settings

EVERYTHING, MARK = "everything", "mark"
_TABLE = "files"  # of settings.toml
_log = logging.getLogger(__name__)

MadeBy = Recipe | ImageRecipe | DigitalSourceType  # what a file was made by; an DigitalSourceType is all that is known of a sheet or a walk


@dataclass(frozen=True)
class ProvenancePolicy:
    """What saved files tell.

    tells: 'everything' (the mark of AI, and the recipe) or 'mark' (the mark alone: no recipe, seed, or name of a source).
    credentials: whether files are signed (Content Credentials).  artist: name in the signature.
    certificate, key: paths of PEM files, '' = those that the studio made.  timestamp_url: a time-stamp server (RFC 3161), '' = none.
    """

    tells: str = EVERYTHING
    credentials: bool = False
    artist: str = ""
    certificate: str = ""
    key: str = ""
    timestamp_url: str = ""

    @property
    def recipe(self) -> bool:
        """Whether files may tell the recipe."""
        return self.tells != MARK

    def replace(self, **changes) -> "ProvenancePolicy":
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)


def _file() -> Path:
    return get_settings().home / "settings.toml"


def provenance_policy() -> ProvenancePolicy:
    """The choice as it is now."""
    return _read()[0]


def policy_trouble() -> str:
    """A sentence on what is wrong with settings.toml, '' = nothing. Until it is mended, files tell the mark alone and are not signed."""
    return _read()[1]


def _read() -> tuple[ProvenancePolicy, str]:
    path = _file()
    try:
        stat = path.stat()
    except OSError:
        return ProvenancePolicy(), ""
    return _parsed(path, stat.st_mtime_ns, stat.st_size)


@functools.lru_cache(maxsize=8)
def _parsed(path: Path, mtime_ns: int, size: int) -> tuple[ProvenancePolicy, str]:
    # Time and size are part of the key: a changed file is read anew, and told of once.
    note = f"The settings in {path} cannot be read ({{}}): saved files tell the mark of AI alone, and are not signed."
    private = ProvenancePolicy(tells=MARK)  # what cannot be read may have been a wish for privacy
    try:
        table = toml.loads(path.read_text(encoding="utf-8")).get(_TABLE, {})
    except (OSError, ValueError) as e:
        _log.warning(note.format(e))
        return private, note.format(e)
    try:
        policy = from_plain(ProvenancePolicy, table)
    except SchemaError as e:
        note = note.format(f"[{_TABLE}] has an odd value: {e}")
    else:
        if policy.tells in (EVERYTHING, MARK):
            return policy, ""
        note = note.format(f"[{_TABLE}] tells = {policy.tells!r:.40}")
    _log.warning(note)
    return private, note


def save_policy(policy: ProvenancePolicy) -> None:
    """Keep a choice in settings.toml; other tables of it stay. Raises StudioError when it cannot be written."""
    path = _file()
    try:
        tables = toml.loads(path.read_text(encoding="utf-8"))
    except OSError:
        tables = {}
    except ValueError:  # somebody's writing, to be mended by them: begun anew beside it
        tables = {}
        with contextlib.suppress(OSError):
            os.replace(path, path.with_name("settings.broken.toml"))
    tables[_TABLE] = dataclasses.asdict(policy)
    try:
        atomic_write(path, toml.dumps(tables).encode())
    except OSError as e:
        raise StudioError(f"The settings could not be kept: {e.strerror or e}.", "Free some space, then try again.") from None


def file_stem(words: str) -> str:
    """Part of a file name that tells a seed or a source, or, when files are to tell the mark alone, a plain one."""
    return words if provenance_policy().recipe else "picture"


# -- the seal --------------------------------------------------------------------------------------------------------

# (file, new file, ending such as 'png', what made it, file it was made from) -> whether the new file was written: the old one, sealed.
Signer = Callable[[BinaryIO, BinaryIO, str, MadeBy, Path | None], bool]
_seal: Signer | None = None


def set_signer(seal: Signer | None) -> None:
    """What signs files. It lives on a higher floor, which brings it here when the studio starts; None = nothing does."""
    global _seal
    _seal = seal


def _wanted() -> bool:
    return _seal is not None and provenance_policy().credentials


def signed(data: bytes, kind: str, told: MadeBy, parent: Path | None = None) -> bytes:
    """A finished file in memory, sealed when the artist wants that.  kind: 'png', 'webp' or 'mp4'.  parent: what it was made from."""
    target = io.BytesIO()
    return target.getvalue() if _wanted() and _seal(io.BytesIO(data), target, kind, told, parent) else data


@contextlib.contextmanager
def signed_file(path: Path, told: MadeBy, parent: Path | None = None) -> Iterator[BinaryIO]:
    """As `atomic_file`: a new file to write, which takes the name `path` in the end; sealed before, when the artist wants that."""
    if not _wanted():
        with atomic_file(path) as file:
            yield file
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=path.parent) as plain:
        yield plain
        with atomic_file(path) as file:
            plain.seek(0)
            if not _seal(plain, file, path.suffix.lower().lstrip("."), told, parent):
                _copy(plain, file)


def sign_in_place(part: Path, kind: str, told: MadeBy, parent: Path | None = None) -> None:
    """Signer a file that nobody looks at yet, when the artist wants that."""
    if not _wanted():
        return
    new = part.with_name(f"{part.name}.{secrets.token_hex(4)}.part")
    try:
        with open(part, "rb") as source, open(new, "w+b") as target:
            done = _seal(source, target, kind, told, parent)
        if done:
            fsync_path(new)
            os.replace(new, part)
    finally:
        new.unlink(missing_ok=True)


def _copy(source: BinaryIO, target: BinaryIO) -> None:
    source.seek(0)
    target.seek(0)
    target.truncate()
    while block := source.read(1 << 20):
        target.write(block)
