"""Removal of the location (GPS) from the metadata of a photograph; its pixels stay as they are."""

import io
import re
import struct
import zlib

from PIL import Image

from studio.imaging.xmp import PNG_XMP_KEY, packet_in

_GPS = 0x8825
_ORIENTATION = 0x0112
_DETAILS, _MAKER_NOTE = 0x8769, 0x927C
# A property as an attribute, as an empty element, or as an element with its content.
_XMP_GPS = re.compile(
    rb"""\s[\w.-]+:GPS\w*\s*=\s*(?:"[^"]*"|'[^']*')|<[\w.-]+:GPS\w*(?:\s[^<>]*)?/>|<([\w.-]+:GPS\w*)(?:\s[^<>]*)?>.*?</\1\s*>""", re.DOTALL
)
_XMP_GPS_LEFT = re.compile(rb":GPS(?:Lat|Lon|Pos|Alt|Dest|Area)")
_PNG_XMP = PNG_XMP_KEY.encode() + b"\0"
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
    except (struct.error, IndexError, zlib.error) as e:
        raise ValueError("its parts cannot be followed") from e
    return (out, True) if out is not None else (data, False)


def has_location(image: Image.Image) -> bool:
    """Whether the metadata of an opened picture of any format hold a GPS position."""
    packet = packet_in(image)
    packet = packet.encode("utf-8", "replace") if isinstance(packet, str) else packet
    try:
        return _GPS in image.getexif() or bool(_XMP_GPS.search(packet))
    except Exception:  # a block nobody can read may hold anything
        return True


def _has_location(exif: bytes) -> bool:
    block = Image.Exif()
    try:
        block.load(exif)
    except Exception:  # a block nobody can read may hold anything
        return True
    return _GPS in block


def _without_location(exif: bytes) -> bytes:
    """The EXIF block without its location; b'' if nothing is left, or it cannot be read."""
    block = Image.Exif()
    try:
        block.load(exif)
        details = {tag: _writable(value) for tag, value in block.get_ifd(_DETAILS).items() if tag != _MAKER_NOTE}
        new = Image.Exif()
        for tag, value in block.items():
            if tag not in (_GPS, _DETAILS):
                new[tag] = _writable(value)
        if details:
            new[_DETAILS] = details
        return new.tobytes() if len(new) else b""
    except Exception:
        return _orientation_only(exif)


def _writable(value):
    """A value of EXIF as Pillow writes it without loss: it reads texts as Latin-1, and writes ASCII alone."""
    return value.encode("latin-1", "replace") if isinstance(value, str) and not value.isascii() else value


def _xmp_without_location(packet: bytes) -> bytes:
    """The XMP packet without properties of GPS, b'' if some could not be removed."""
    packet = _XMP_GPS.sub(b"", packet)
    return b"" if _XMP_GPS_LEFT.search(packet) else packet


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
            segment = _app1(_without_location(body))
        elif marker == 0xE1 and body.startswith(_XMP[0]) and b"GPS" in body:
            rest = _xmp_without_location(body[len(_XMP[0]) :])
            found, segment = True, _app1(_XMP[0] + rest) if rest else b""
        elif marker == 0xE1 and body.startswith(_XMP[1]) and b"GPS" in body:  # one packet in several segments, under a checksum
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


def _app1(body: bytes) -> bytes:
    """A JPEG segment for metadata; b'' for one that is empty or too long."""
    return b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body if 0 < len(body) < 0xFFFE else b""


def _png_chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _png_xmp(body: bytes) -> bytes:
    """The packet in an iTXt chunk with the key of XMP, unpacked (PNG specification, 11.3.3.4)."""
    rest = body[len(_PNG_XMP) :]
    text = rest[2:].split(b"\0", 2)[2]
    return zlib.decompress(text) if rest[:1] == b"\1" else text


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
            small = _without_location(body).removeprefix(_EXIF)
            chunk = _png_chunk(b"eXIf", small) if small else b""
        elif chunk_type == b"iTXt" and body.startswith(_PNG_XMP):
            packet = _png_xmp(body)
            if _XMP_GPS.search(packet):
                found, rest = True, _xmp_without_location(packet)
                chunk = _png_chunk(b"iTXt", _PNG_XMP + b"\0\0\0\0" + rest) if rest else b""
        elif chunk_type in (b"iTXt", b"tEXt", b"zTXt") and body.startswith((b"Raw profile type exif", b"Raw profile type APP1")):
            # Compressed EXIF in the old form for PNG; dropped without inspection.
            found, chunk = True, b""
        out.write(chunk)
    return out.getvalue() if found else None


def _riff_chunk(name: bytes, body: bytes) -> bytes:
    """A chunk of a RIFF file; b'' without content."""
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2) if body else b""


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
            small = _without_location(body).removeprefix(_EXIF)
            chunk = _riff_chunk(b"EXIF", small)
            dropped_flags |= 0 if small else 0x08
        elif chunk_type == b"XMP " and b"GPS" in body:
            rest = _xmp_without_location(body)
            found, chunk, dropped_flags = True, _riff_chunk(b"XMP ", rest), dropped_flags | (0 if rest else 0x04)
        parts.append(chunk)
    if not found:
        return None
    if flags_at is not None:
        head = bytearray(parts[flags_at])
        head[8] &= ~dropped_flags & 0xFF
        parts[flags_at] = bytes(head)
    body = b"WEBP" + b"".join(parts)
    return b"RIFF" + struct.pack("<I", len(body)) + body
