"""Checks of zip archives from strangers, before anything of them is unpacked."""

import re
import stat
import struct
import zipfile
from pathlib import Path
from typing import IO

from studio.common.progress import Cancel, raise_if_cancelled

_BLOCK = 256 << 10
_FREE_BYTES = 10 << 20  # a member this small may be packed as tightly as it likes


def member_problem(member: zipfile.ZipInfo, name: str, max_ratio: float) -> str:
    """Why a member must not be unpacked, in a few words; '' if it may be.

    name: of the member, with forward slashes.  max_ratio: of unpacked to packed bytes.
    """
    mode = member.external_attr >> 16
    if name.startswith("/") or re.match(r"[A-Za-z]:", name) or ".." in name.split("/"):
        return "its name leads outside of the zip"
    if "\0" in member.orig_filename or not name.strip("/ ."):
        return "control characters in its name" if name.strip("/ .") else "no name"
    if stat.S_ISLNK(mode):
        return "a link; links are not followed"
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        return "not an ordinary file"
    if member.flag_bits & 1:
        return "locked with a password"
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        # The others unpack a block at once, however large it turns out to be.
        return "packed in an unusual way; make the zip again in the ordinary one"
    if member.file_size > _FREE_BYTES and member.file_size > max_ratio * max(member.compress_size, 1):
        return f"a bomb: {member.compress_size / 1e6:.1f} MB that unpack to {member.file_size / 1e6:.0f} MB"
    return ""


def directory_bytes(path: Path) -> int:
    """Bytes of a zip's central directory (APPNOTE 6.3, Sec. 4.3.14 to 4.3.16); 0 if none is found.

    Python reads the whole directory into memory when it opens a zip, so its size is looked at first.
    """
    size = path.stat().st_size
    with open(path, "rb") as f:
        f.seek(max(0, size - 22 - 65536 - 20))
        tail = f.read()
        at = tail.rfind(b"PK\x05\x06")
        if at < 0 or at + 16 > len(tail):
            return 0
        (length,) = struct.unpack("<I", tail[at + 12 : at + 16])
        locator = tail[max(0, at - 20) : at]
        if locator[:4] == b"PK\x06\x07":
            f.seek(struct.unpack("<Q", locator[8:16])[0])
            record = f.read(56)
            if record[:4] == b"PK\x06\x06" and len(record) == 56:
                (length,) = struct.unpack("<Q", record[40:48])
    return length


def unpack_member(source: IO[bytes], target: IO[bytes], limit: int, cancel: Cancel | None = None) -> None:
    """Copy an opened member block by block. Raises ValueError beyond `limit` bytes, and CancelledError."""
    written = 0
    while block := source.read(_BLOCK):
        written += len(block)
        if written > limit:
            raise ValueError(f"larger than {limit / 1e6:.0f} MB")
        raise_if_cancelled(cancel)
        target.write(block)
