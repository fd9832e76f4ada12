"""Published weights of networks that judge pictures: fetched once, when they are asked for, and held against their checksum."""

from pathlib import Path

import torch

from studio.common.files import ensure_room
from studio.errors import StudioError
from studio.models.folder import sha256_of
from studio.settings import get_settings


def kept_at(url: str) -> Path:
    """Where the file of that address is kept, whether it is there or not."""
    return get_settings().cache / "weights" / url.rsplit("/", 1)[1]


def fetch(url: str, sha256: str, size: int) -> Path:
    """The file of that address, fetched the first time.

    sha256: hex, or the beginning of it.  size: in bytes.
    Raises StudioError when it cannot be fetched or comes damaged, NoRoom when the disk is too full.
    """
    path = kept_at(url)
    if path.is_file():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    ensure_room(path.parent, size)
    part = path.with_suffix(".part")
    try:
        torch.hub.download_url_to_file(url, str(part), progress=False)
        if not sha256_of(part).startswith(sha256):
            raise StudioError(f"The weights {path.name} came damaged.", "Try again; a network in between may have changed them.")
        part.replace(path)
    except OSError as e:
        raise StudioError(
            f"The weights {path.name} ({size / 1e6:,.0f} MB) cannot be fetched: {e}.",
            f"Connect to the internet, or put that file into {path.parent}.",
        ) from None
    finally:
        part.unlink(missing_ok=True)
    return path
