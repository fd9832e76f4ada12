"""XMP metadata that says how a picture or video was made, as other programs read it: IPTC's digital source type.

PNG, WebP and JPEG have a field for XMP; in an MP4 it is a box at the top level (XMP specification, Part 3).
"""

import re
import uuid
from enum import Enum
from pathlib import Path
from typing import BinaryIO
from xml.sax.saxutils import escape

from PIL import Image

AI_LABEL = "Made by AI with GAN Studio"
PNG_XMP_KEY = "XML:com.adobe.xmp"
MATROSKA_XMP_TAG = "XMP"  # a tag of our own: WebM and Matroska have no place for it
_CODES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
_MP4_XMP = uuid.UUID("be7acfcb-97a9-42e8-9c71-999491e3afac").bytes
_GIF_XMP = b"XMP DataXMP"
# Each byte of a packet is read as the length of a block; from wherever that leads, these lead to the end.
_GIF_TRAILER = b"\x01" + bytes(range(255, -1, -1)) + b"\x00"
_MAX_XMP = 4 << 20
_MAX_BOXES = 10_000  # at the top level; a fragmented video has thousands
# As an element or as an attribute, whatever the prefix of its namespace.
_SOURCE_TYPE = re.compile(r"DigitalSourceType(?:\s*=\s*[\"']|[^<>]*>\s*|[^<>]*rdf:resource=[\"'])([^<>\"'\s]{1,200})", re.IGNORECASE)


class DigitalSourceType(Enum):
    """Digital source type (https://cv.iptc.org/newscodes/digitalsourcetype): drawn by a trained algorithm, or changed by one."""

    GENERATED = _CODES + "trainedAlgorithmicMedia"
    COMPOSITE = _CODES + "compositeWithTrainedAlgorithmicMedia"


def xmp_packet(made: DigitalSourceType, model: str = "", recipe: str = "", kept: str = "", motion: str = "") -> str:
    """XMP packet for a file.

    made: the digital source type.  model: id of the model, '' = not stated.  recipe: as in a link (letters, digits, '-' and '_'),
    '' = not stated.  kept: properties of the source picture that are kept, as XML.  motion: of a film, in the same characters.
    """
    facts = f"<gs:model>{escape(model)}</gs:model>" * bool(model) + f"<gs:recipe>{recipe}</gs:recipe>" * bool(recipe)
    facts += f"<gs:motion>{motion}</gs:motion>" * bool(motion)
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:gs="urn:gan-studio:1" xmlns:xmp="http://ns.adobe.com/xap/1.0/" '
        'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">'
        "<xmp:CreatorTool>GAN Studio</xmp:CreatorTool>"
        f"<Iptc4xmpExt:DigitalSourceType>{made.value}</Iptc4xmpExt:DigitalSourceType>{facts}{kept}"
        '</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    )


def xmp_of_source(properties: str) -> str:
    """XMP packet with properties of a source picture alone."""
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<rdf:Description rdf:about="">{properties}</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    )


def packet_in(image: Image.Image) -> str | bytes:
    """The XMP packet of an opened picture, as Pillow gives it; '' = none."""
    return image.info.get("xmp") or image.info.get(PNG_XMP_KEY) or ""


def stated_source_type(packet: str) -> str:
    """Digital source type that an XMP packet of any program states; '' = none."""
    # Searched as text, to keep an XML parser away from untrusted files.
    found = _SOURCE_TYPE.search(packet) if len(packet) <= _MAX_XMP else None
    return found[1] if found else ""


def motion_in(packet: str) -> str:
    """Motion that an XMP packet of this studio holds, as it was given to `xmp_packet`; '' = none."""
    found = re.search(r"<gs:motion>([A-Za-z0-9_-]+)</gs:motion>", packet) if len(packet) <= _MAX_XMP else None
    return found[1] if found else ""


def mp4_box(packet: str) -> bytes:
    """XMP box, to be appended to an MP4."""
    data = packet.encode()
    return (24 + len(data)).to_bytes(4, "big") + b"uuid" + _MP4_XMP + data


def mp4_xmp(path: str | Path) -> str:
    """XMP of an MP4 or MOV file; '' if it has none, or is of another format. Only the headers of its boxes are read."""
    with open(path, "rb") as file:
        end, at = file.seek(0, 2), 0
        for _ in range(_MAX_BOXES):
            size, box_type, body = _box(file, at, end)
            if box_type == b"uuid" and body + 16 <= at + size <= end and size <= _MAX_XMP:
                file.seek(body)
                data = file.read(at + size - body)
                if data[:16] == _MP4_XMP:
                    return data[16:].decode("utf-8", "replace")
            if size < 8 or at + size >= end:
                return ""
            at += size
    return ""


def gif_with_xmp(data: bytes, packet: str) -> bytes:
    """A GIF with an XMP packet before its first frame (XMP specification, Part 3, Sec. 1.1.2)."""
    end = 13 + (3 << (data[10] & 7) + 1 if data[10] & 0x80 else 0)  # of the header and the global palette
    return data[:end] + b"\x21\xff\x0b" + _GIF_XMP + packet.encode() + _GIF_TRAILER + data[end:]


def gif_xmp(data: bytes) -> str:
    """XMP of a GIF; '' if it has none."""
    at = data.find(_GIF_XMP)
    end = data.find(_GIF_TRAILER[:2], at) if at >= 0 else -1
    return data[at + len(_GIF_XMP) : end].decode("utf-8", "replace") if 0 < end - at <= _MAX_XMP else ""


def _box(file: BinaryIO, at: int, end: int) -> tuple[int, bytes, int]:
    """Header of the box at an offset: (size, type, offset of its content) (ISO/IEC 14496-12, 4.2); size 0 if there is none."""
    file.seek(at)
    head = file.read(16)
    size, box_type = int.from_bytes(head[:4], "big"), head[4:8]
    if len(head) < 8:
        return 0, b"", at
    if size == 1 and len(head) == 16:
        return int.from_bytes(head[8:16], "big"), box_type, at + 16
    return (size or end - at), box_type, at + 8
