"""Taking the place where a photograph was made out of its file, with its pixels left as they are."""

import io
import struct

from PIL import Image

_GPS = 0x8825
_ORIENTATION = 0x0112
_EXIF, _XMP = b"Exif\0\0", (b"http://ns.adobe.com/xap/1.0/\0", b"http://ns.adobe.com/xmp/extension/\0")


def strip_location(data: bytes, kind: str) -> tuple[bytes, bool]:
    """A JPEG, PNG or WebP file -> (the file without GPS, whether there was any).

    An EXIF block that tells a place is replaced by one with nothing but the orientation; an XMP packet that names
    GPS goes; so do further pictures inside a JPEG of several (they repeat the place). Everything else stays byte for
    byte. Raises ValueError when the file's parts cannot be followed.
    """
    try:
        out = {"JPEG": _jpeg, "MPO": _jpeg, "PNG": _png, "WEBP": _webp}[kind](data)
    except (struct.error, IndexError) as e:
        raise ValueError("its parts cannot be followed") from e
    return (out, True) if out is not None else (data, False)


def _tells_place(exif: bytes) -> bool:
    block = Image.Exif()
    try:
        block.load(exif)
    except Exception:  # a block nobody can read may hold anything
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
    """The file anew, or None when there was nothing to take out. Segments: JPEG (ITU T.81), Annex B."""
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
        if marker == 0xE1 and body.startswith(_EXIF) and _tells_place(body):
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
    import zlib

    out, found, at = io.BytesIO(), False, 8
    out.write(data[:8])
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        body = data[at + 8 : at + 8 + length]
        chunk = data[at : at + 12 + length]
        at += 12 + length
        if kind == b"eXIf" and _tells_place(body):
            found = True
            small = _orientation_only(body).removeprefix(_EXIF)
            chunk = struct.pack(">I", len(small)) + b"eXIf" + small + struct.pack(">I", zlib.crc32(b"eXIf" + small)) if small else b""
        elif kind in (b"iTXt", b"tEXt", b"zTXt") and body.startswith(
            (b"XML:com.adobe.xmp\0", b"Raw profile type exif", b"Raw profile type APP1")
        ):
            # The packed ones are not unpacked to look: they are the old way to put EXIF into a PNG.
            if b"GPS" in body or body.startswith(b"Raw"):
                found, chunk = True, b""
        out.write(chunk)
    return out.getvalue() if found else None


def _webp(data: bytes) -> bytes | None:
    """Chunks: WebP Container Specification (RIFF; EXIF and XMP are announced in the flags of VP8X)."""
    parts, found, at, flags_at, gone = [], False, 12, None, 0
    end = min(len(data), 8 + struct.unpack("<I", data[4:8])[0])
    while at + 8 <= end:
        kind, length = struct.unpack("<4sI", data[at : at + 8])
        body = data[at + 8 : at + 8 + length]
        chunk = data[at : at + 8 + length + length % 2]
        at += len(chunk) or 1
        if kind == b"VP8X":
            flags_at = len(parts)
        elif kind == b"EXIF" and _tells_place(body):
            found = True
            small = _orientation_only(body).removeprefix(_EXIF)
            chunk = b"EXIF" + struct.pack("<I", len(small)) + small + b"\0" * (len(small) % 2) if small else b""
            gone |= 0 if small else 0x08
        elif kind == b"XMP " and b"GPS" in body:
            found, chunk, gone = True, b"", gone | 0x04
        parts.append(chunk)
    if not found:
        return None
    if flags_at is not None:
        head = bytearray(parts[flags_at])
        head[8] &= ~gone & 0xFF
        parts[flags_at] = bytes(head)
    body = b"WEBP" + b"".join(parts)
    return b"RIFF" + struct.pack("<I", len(body)) + body
