"""Removal of the location (GPS) from the metadata of a photograph; its pixels stay as they are."""

import io
import struct
import zlib

from PIL import Image

_GPS = 0x8825
_ORIENTATION = 0x0112
_EXIF, _XMP = b"Exif\0\0", (b"http://ns.adobe.com/xap/1.0/\0", b"http://ns.adobe.com/xmp/extension/\0")


def strip_location(data: bytes, form: str) -> tuple[bytes, bool]:
    """Remove the location from a file -> (the file without GPS, whether there was any).

    data: a JPEG, PNG or WebP file.  form: 'JPEG', 'MPO', 'PNG' or 'WEBP', as Pillow names it.
    An EXIF block with a location is replaced by one with only the orientation; an XMP packet that mentions GPS is dropped, and so
    are further pictures inside a JPEG (they repeat the location). Everything else stays byte for byte.
    Raises ValueError if the structure of the file cannot be parsed.
    """
    try:
        out = {"JPEG": _jpeg, "MPO": _jpeg, "PNG": _png, "WEBP": _webp}[form](data)
    except (struct.error, IndexError) as e:
        raise ValueError("its parts cannot be followed") from e
    return (out, True) if out is not None else (data, False)


def _has_location(exif: bytes) -> bool:
    block = Image.Exif()
    try:
        block.load(exif)
    except Exception:  # an unreadable block may hold anything
        return True
    return _GPS in block


def _orientation_only(exif: bytes) -> bytes:
    old, new = Image.Exif(), Image.Exif()
    try:
        old.load(exif)
        value = old.get(_ORIENTATION, 1)
    except Exception:
        value = 1
    if value not in range(2, 9):
        return b""
    new[_ORIENTATION] = value
    return new.tobytes()


def _jpeg(data: bytes) -> bytes | None:
    """The file without its location, or None if there was none. Segments: JPEG (ITU T.81), Annex B."""
    out, found, at = io.BytesIO(), False, 2
    out.write(data[:2])
    while True:
        if data[at] != 0xFF:
            raise ValueError("its parts cannot be followed")
        marker = data[at + 1]
        if marker == 0xFF:  # fill
            at += 1
            continue
        if marker == 0xD9:
            end = at + 2
            break
        (length,) = struct.unpack(">H", data[at + 2 : at + 4])
        body = data[at + 4 : at + 2 + length]
        segment = data[at : at + 2 + length]
        at += 2 + length
        if marker == 0xE1 and body.startswith(_EXIF) and _has_location(body):
            found = True
            small = _orientation_only(body)
            segment = b"\xff\xe1" + struct.pack(">H", len(small) + 2) + small if small else b""
        elif marker == 0xE1 and body.startswith(_XMP) and b"GPS" in body:
            found, segment = True, b""
        elif marker == 0xE2 and body.startswith(b"MPF\0") and found:
            segment = b""
        out.write(segment)
        if marker == 0xDA:  # the coded pixels run to the next marker that is neither a stuffed zero nor a restart
            start = at
            while True:
                at = data.find(b"\xff", at)
                if at < 0 or at + 1 >= len(data):
                    raise ValueError("its parts cannot be followed")
                if data[at + 1] == 0 or 0xD0 <= data[at + 1] <= 0xD7:
                    at += 2
                else:
                    break
            out.write(data[start:at])
    if not found:
        return None
    out.write(data[end - 2 : end])
    return out.getvalue()


def _png(data: bytes) -> bytes | None:
    """The file without its location, or None if there was none. Chunks: PNG specification, Sec. 5."""
    out, found, at = io.BytesIO(), False, 8
    out.write(data[:8])
    while at < len(data):
        length, chunk_type = struct.unpack(">I4s", data[at : at + 8])
        body = data[at + 8 : at + 8 + length]
        chunk = data[at : at + 12 + length]
        at += 12 + length
        if chunk_type == b"eXIf" and _has_location(body):
            found = True
            small = _orientation_only(body).removeprefix(_EXIF)
            chunk = struct.pack(">I", len(small)) + b"eXIf" + small + struct.pack(">I", zlib.crc32(b"eXIf" + small)) if small else b""
        elif chunk_type in (b"iTXt", b"tEXt", b"zTXt") and (
            (body.startswith(b"XML:com.adobe.xmp\0") and b"GPS" in body)
            # Compressed EXIF in the old form for PNG; dropped without inspection.
            or body.startswith((b"Raw profile type exif", b"Raw profile type APP1"))
        ):
            found, chunk = True, b""
        out.write(chunk)
    return out.getvalue() if found else None


def _webp(data: bytes) -> bytes | None:
    """The file without its location, or None if there was none.

    Chunks: WebP Container Specification (RIFF; EXIF and XMP are announced in the flags of VP8X).
    """
    parts, found, at, flags_at, dropped_flags = [], False, 12, None, 0
    end = min(len(data), 8 + struct.unpack("<I", data[4:8])[0])
    while at + 8 <= end:
        chunk_type, length = struct.unpack("<4sI", data[at : at + 8])
        body = data[at + 8 : at + 8 + length]
        chunk = data[at : at + 8 + length + length % 2]
        at += len(chunk) or 1
        if chunk_type == b"VP8X":
            flags_at = len(parts)
        elif chunk_type == b"EXIF" and _has_location(body):
            found = True
            small = _orientation_only(body).removeprefix(_EXIF)
            chunk = b"EXIF" + struct.pack("<I", len(small)) + small + b"\0" * (len(small) % 2) if small else b""
            dropped_flags |= 0 if small else 0x08
        elif chunk_type == b"XMP " and b"GPS" in body:
            found, chunk, dropped_flags = True, b"", dropped_flags | 0x04
        parts.append(chunk)
    if not found:
        return None
    if flags_at is not None:
        head = bytearray(parts[flags_at])
        head[8] &= ~dropped_flags & 0xFF
        parts[flags_at] = bytes(head)
    body = b"WEBP" + b"".join(parts)
    return b"RIFF" + struct.pack("<I", len(body)) + body
