"""Picture files of a folder, a zip or a stored set: found, sorted, hashed, so that the same files always give the same set."""

import contextlib
import functools
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from studio.datasets.label_file import MAX_LABEL_FILE, is_label_file, read_label_files, to_labels
from studio.datasets.labels import NO_LABELS, Labels
from studio.datasets.origins import NO_ORIGINS, Origins
from studio.datasets.set_card import is_stored_set, read_card
from studio.datasets.sources import Limits, SourceFile, file_format, open_sources, read_file, read_head
from studio.errors import StudioError
from studio.imaging.decode import reason

# Files of these endings are always looked into; those of any other when their first bytes are a picture's.
_ENDINGS = {".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff"}
_MAX_FILE_BYTES = 256 << 20
_MAX_FILES = 2_000_000
_HASH_VERSION = 1  # part of the hash of a set; a change makes every earlier plan a plan for other pictures


def content_hash(files: Iterable[tuple[str, bytes]], labels: Labels = NO_LABELS) -> str:
    """Hash that names a set: SHA-256, in hexadecimal, over the name and hash of each file and, where there are any, the labels.

    files: (name with forward slashes, SHA-256 of the file), in the order of the names.
    """
    # The white background has no meaning now, but without it every earlier plan would be a plan for other pictures.
    digest = hashlib.sha256(f"{_HASH_VERSION} (255, 255, 255)".encode())
    for name, sha in files:
        # On Linux a file name need not be valid text.
        digest.update(name.encode(errors="surrogateescape") + b"\0" + sha)
    if labels:
        digest.update(b"\0labels\0" + json.dumps([labels.classes, sorted(labels.of.items())]).encode())
    return digest.hexdigest()


class PictureFile(NamedTuple):
    """A picture file in a folder or a zip."""

    name: str  # with forward slashes
    read: Callable[[], bytes]
    sha: bytes  # SHA-256


@dataclass
class FoundPictures:
    """The picture files of one source."""

    files: list[PictureFile] = field(default_factory=list)
    """Sorted by name."""
    skipped: list[tuple[str, str]] = field(default_factory=list)
    """(name, reason) of what was left out."""
    labels: Labels = NO_LABELS
    """Of a label file; empty where the sub-folders are the classes."""
    origins: Origins = NO_ORIGINS
    """Under which names the pictures of a stored set came."""

    @functools.cached_property
    def hash(self) -> str:
        """SHA-256 that names the set."""
        return content_hash(((f.name, f.sha) for f in self.files), self.labels)


@contextlib.contextmanager
def picture_files(path: Path) -> Iterator[FoundPictures]:
    """Picture files of a folder, a zip or a stored set: the same files that would be added to a training set.

    They can be read while the context is open. Links to files are followed: the folder is the artist's own.
    Raises StudioError if the path cannot be read.
    """
    found, stored = FoundPictures(), is_stored_set(path)
    limits = Limits(files=_MAX_FILES, file_bytes=_MAX_FILE_BYTES)
    with open_sources([path / "pictures" if stored else path], limits, follow_links=True) as sources:
        found.skipped = [(name.split("/", 1)[-1], why) for name, why in sources.refused]
        label_files = []
        for file in sorted(sources.files, key=lambda f: f.inner):
            try:
                if is_label_file(file.inner) and not stored:
                    label_files.append((file.inner, functools.partial(read_file, file, MAX_LABEL_FILE)))
                    continue
                usable, why = _look_at(file)
                if usable:
                    read = functools.partial(_read, file)
                    found.files.append(PictureFile(file.inner, read, hashlib.sha256(read()).digest()))
                elif why:
                    found.skipped.append((file.inner, why))
            except Exception as e:  # a damaged archive fails in many ways, each of them for one file only
                found.skipped.append((file.inner, reason(e)))
        if stored:
            card = read_card(path)
            found.labels, found.origins = card.labels, card.origins
        else:
            labels = read_label_files(label_files, (f.name.replace("\\", "/") for f in found.files))
            found.skipped += labels.remarks
            by_name = {f.name.replace("\\", "/"): f.name for f in found.files}
            found.labels = to_labels({by_name[name]: label for name, label in labels.of.items()})
        yield found


def _read(file: SourceFile) -> bytes:
    with file.open() as f:
        return f.read()


def _look_at(file: SourceFile) -> tuple[bool, str]:
    """(whether a file is to be decoded, or else why not; '' for what nobody would take for a picture)."""
    named = PurePosixPath(file.inner).suffix.lower() in _ENDINGS
    form = "picture" if named else file_format(read_head(file), file.filename)
    if form == "picture":
        return (False, f"larger than {_MAX_FILE_BYTES >> 20} MB") if file.size > _MAX_FILE_BYTES else (True, "")
    if form in ("", "zip"):
        return False, ""
    return False, "a camera raw file; export it as JPEG or PNG" if form == "raw" else "a video: 'studio dataset add' takes its frames"


def read_again(file: PictureFile, source: Path) -> bytes:
    """Bytes of a file. Raises StudioError if they are no longer those that were hashed.

    source: the folder or zip, for the message.
    """
    # The hash names what is cached, so it must be exactly these bytes.
    try:
        data = file.read()
    except Exception:
        data = None
    if data is None or hashlib.sha256(data).digest() != file.sha:
        raise StudioError(f"{source} changed while it was read.", "Try again when nothing else writes to it.")
    return data
