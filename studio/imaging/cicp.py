"""Colours that a still states by numbers (CICP, ITU-T H.273) rather than by a profile: in PNG, AVIF and HEIF."""

import io
import struct
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from studio.imaging.hdr import HDR, is_beyond_srgb

_MAX_BOX = 16 << 20
_MAX_PARTS = 10_000


def stated_colours(image: Image.Image, data: bytes | str | Path) -> tuple[int, int] | None:
    """(primaries, transfer characteristics) of an opened picture; None where it states none, sRGB's, or a profile that goes before them.

    data: its file.
    """
    try:
        found = _stated(image, data)
    except (OSError, ValueError, struct.error, KeyError, TypeError):  # a damaged file: its decoder says so
        return None
    if found is None or not is_beyond_srgb(*found):
        return None
    # A profile cannot describe HDR, and in a PNG it is there for programs that do not know the numbers (PNG specification, 4.3).
    return found if found[1] in HDR or image.format == "PNG" or not image.info.get("icc_profile") else None


def _stated(image: Image.Image, data: bytes | str | Path) -> tuple[int, int] | None:
    if image.format == "HEIF":
        stated = image.info.get("nclx_profile")
        return (int(stated["color_primaries"]), int(stated["transfer_characteristics"])) if isinstance(stated, dict) else None
    if image.format not in ("PNG", "AVIF"):
        return None
    with io.BytesIO(data) if isinstance(data, bytes) else open(data, "rb") as file:
        return _in_png(file) if image.format == "PNG" else _in_avif(file)


def _in_png(file: BinaryIO) -> tuple[int, int] | None:
    """From the chunk cICP, which comes before the pixels (PNG specification, 11.3.2.6)."""
    file.seek(8)
    for _ in range(_MAX_PARTS):
        head = file.read(8)
        if len(head) < 8 or head[4:] in (b"IDAT", b"IEND"):
            return None
        if head[4:] == b"cICP":
            primaries, transfer = file.read(2)
            return primaries, transfer
        file.seek(int.from_bytes(head[:4], "big") + 4, 1)
    return None


def _in_avif(file: BinaryIO) -> tuple[int, int] | None:
    """From the first colr box of the item properties (ISO/IEC 23008-12, 6.5.5)."""
    meta = _box(file.read(_MAX_BOX), b"meta")
    for name in (b"iprp", b"ipco"):
        meta = _box(meta, name) if meta is not None else None
    body = _box(meta, b"colr", b"nclx") if meta is not None else None
    return struct.unpack(">HH", body[4:8]) if body is not None else None


def _box(data: bytes, name: bytes, begin: bytes = b"") -> bytes | None:
    """Content of the first box of a name whose content begins with some bytes (ISO/IEC 14496-12, 4.2); None if there is none."""
    at = 0
    for _ in range(_MAX_PARTS):
        if at + 8 > len(data):
            return None
        size, body = int.from_bytes(data[at : at + 4], "big"), at + 8
        if size == 1:
            size, body = int.from_bytes(data[at + 8 : at + 16], "big"), at + 16
        end = at + size if size else len(data)
        if data[at + 4 : at + 8] == name and data[body : body + len(begin)] == begin:
            return data[body + 4 : end] if name == b"meta" else data[body:end]  # it has a version
        if size and size < 8:
            return None
        at = end
    return None
