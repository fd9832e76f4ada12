"""ProvenancePolicy: what metadata saved files contain, as chosen by the artist. Stored in settings.toml."""

import contextlib
import dataclasses
import functools
import logging
import os
from dataclasses import dataclass
from pathlib import Path

from studio.common import toml
from studio.common.files import atomic_write
from studio.common.schema import SchemaError, from_plain
from studio.errors import StudioError
from studio.settings import get_settings

EVERYTHING, LABEL_ONLY = "everything", "mark"
_TABLE = "files"  # of settings.toml
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ProvenancePolicy:
    """Policy for the metadata of saved files. The field names are the keys in settings.toml.

    tells: EVERYTHING (the AI label and the recipe) or LABEL_ONLY (no recipe, no seed, no name of a source).
    credentials: whether files are signed (Content Credentials).  artist: name in the signature.
    source_metadata: whether results keep what their source, a picture or a video, says of author, rights, content and size in print; never
    its GPS position or serial numbers.
    certificate, key: paths of PEM files; '' = the studio's own.  timestamp_url: a time-stamp server (RFC 3161); '' = none.
    """

    tells: str = EVERYTHING
    credentials: bool = False
    artist: str = ""
    certificate: str = ""
    key: str = ""
    timestamp_url: str = ""
    source_metadata: bool = True

    @property
    def includes_recipe(self) -> bool:
        """Whether saved files hold the recipe."""
        return self.tells != LABEL_ONLY

    def replace(self, **changes) -> "ProvenancePolicy":
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)


def _file() -> Path:
    return get_settings().home / "settings.toml"


def provenance_policy() -> ProvenancePolicy:
    """The current policy."""
    return _read()[0]


def policy_problem() -> str:
    """Sentence about an error in settings.toml; '' if there is none. Until it is fixed, files hold the AI label alone, unsigned."""
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
    # Time and size are part of the cache's key: a changed file is read again, and its problem logged once.
    note = f"The settings in {path} cannot be read ({{}}): saved files hold the AI label alone, and are not signed."
    private = ProvenancePolicy(tells=LABEL_ONLY)  # the unreadable settings may have excluded recipes
    try:
        table = toml.loads(path.read_text(encoding="utf-8")).get(_TABLE, {})
    except (OSError, ValueError) as e:
        _log.warning(note.format(e))
        return private, note.format(e)
    try:
        policy = from_plain(ProvenancePolicy, table)
    except SchemaError as e:
        note = note.format(f"[{_TABLE}] has an invalid value: {e}")
    else:
        if policy.tells in (EVERYTHING, LABEL_ONLY):
            return policy, ""
        note = note.format(f"[{_TABLE}] tells = {policy.tells!r:.40}")
    _log.warning(note)
    return private, note


def save_policy(policy: ProvenancePolicy) -> None:
    """Save the policy to settings.toml, keeping its other tables. Raises StudioError if it cannot be written."""
    path = _file()
    try:
        tables = toml.loads(path.read_text(encoding="utf-8"))
    except OSError:
        tables = {}
    except ValueError:  # edited by hand and broken: it is renamed, so that it can be fixed
        tables = {}
        with contextlib.suppress(OSError):
            os.replace(path, path.with_name("settings.broken.toml"))
    tables[_TABLE] = dataclasses.asdict(policy)
    try:
        atomic_write(path, toml.dumps(tables).encode())
    except OSError as e:
        raise StudioError(f"The settings could not be saved: {e.strerror or e}.", "Free some space, then try again.") from None


def file_stem(words: str) -> str:
    """Stem of a file's name: `words` (a seed, or the name of a source), or a neutral word if files hold the AI label alone."""
    return words if provenance_policy().includes_recipe else "picture"
