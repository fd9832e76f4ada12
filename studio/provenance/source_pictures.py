"""Store of source pictures, from which others were made; each content is stored once: home/sources/<sha256>.<ending>.

A studio with several visitors has a separate folder for each of them.
"""

import hashlib
import os
import re
from pathlib import Path

from studio.common.files import ensure_room, ensure_writable, fsync_path, part_beside
from studio.errors import StudioError
from studio.imaging.decode import open_picture, reason
from studio.settings import get_settings

_MAX_FILE = 512 << 20
_CHUNK = 1 << 20
_HASH = re.compile("[0-9a-f]{64}")


def keep_source(path: str | Path, folder: Path | None = None) -> str:
    """Copy a picture's file into the store, unless it is there. Returns the SHA-256 of its bytes.

    folder: of the store; None = home/sources.
    Raises StudioError for a file that is not a picture or larger than 512 MB, and if the disk is full or read-only.
    """
    path = Path(path)
    try:
        if path.stat().st_size > _MAX_FILE:
            raise StudioError("The file is larger than 512 MB.", "Save the picture in a smaller form.")
        with open_picture(path) as image:
            ending = (image.format or "png").lower()
    except StudioError:
        raise
    except Exception as e:  # Pillow's parsers may raise anything
        raise StudioError(f"The file '{path.name}' cannot be read: {reason(e)}.", "Choose a PNG, JPEG, WebP, TIFF or HEIC.") from None
    folder = ensure_writable(folder or _own())
    ensure_room(folder, path.stat().st_size)
    part = part_beside(folder / "source")  # its final name, the hash, is known once it has been read
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as source, open(part, "wb") as copy:
            while chunk := source.read(_CHUNK):
                digest.update(chunk)
                copy.write(chunk)
            copy.flush()
            os.fsync(copy.fileno())
        name = digest.hexdigest()
        if find_source(name, folder) is None:
            os.replace(part, folder / f"{name}.{ending}")
            fsync_path(folder)
    except OSError as e:
        raise StudioError(f"The source could not be stored: {e}.", "Free some space or choose another folder.") from None
    finally:
        part.unlink(missing_ok=True)
    return name


def find_source(sha256: str, folder: Path | None = None) -> Path | None:
    """The stored file with this hash; None if there is none, or it is not a hash.  folder: of the store; None = home/sources."""
    if not _HASH.fullmatch(sha256):
        return None
    return next((folder or _own()).glob(f"{sha256}.*"), None)


def _own() -> Path:
    return get_settings().home / "sources"
