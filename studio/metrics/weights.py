"""Published weights of metric and perceptual-loss networks: downloaded when first needed, checked against their checksum, kept in
the cache."""

import os
from pathlib import Path

from studio.common import download
from studio.common.addresses import private_ok
from studio.common.files import ensure_room
from studio.errors import NoRoom, StudioError
from studio.settings import get_settings


def kept_at(url: str) -> Path:
    """Where the file from `url` is kept, whether it is there or not."""
    return get_settings().cache / "weights" / url.rsplit("/", 1)[1]


def fetch(url: str, sha256: str, size: int) -> Path:
    """The file from `url`, downloaded the first time.

    sha256: hex, or its first digits.  size: in bytes; a file of twice that size is refused.
    Raises StudioError if it cannot be downloaded or is damaged, NoRoom if the disk is too full.
    """
    path = kept_at(url)
    if path.is_file():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        ensure_room(path.parent, size)
        fetched = download.download_file(url, private_ok=private_ok(), max_bytes=2 * size)
    except NoRoom:
        raise
    except StudioError as e:
        raise StudioError(
            f"The weights {path.name} ({size / 1e6:,.0f} MB) cannot be fetched: {e.message}",
            f"Connect to the internet, or put that file into {path.parent}.",
        ) from None
    try:
        if not fetched.sha256.startswith(sha256):
            raise StudioError(f"The weights {path.name} came damaged.", "Try again; a network in between may have changed them.")
        os.replace(fetched.path, path)
    finally:
        download.remove_download(fetched)
    return path
