"""SourceMetadata: what the file of a picture or video says of its author, rights, content and size in print, carried over to what is
made of it.

Positions (GPS), serial numbers and whatever else identifies a camera or its owner are never among it.
"""

import contextlib
import dataclasses
import html
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, cast
from xml.sax.saxutils import escape

from PIL import Image, ImageFile, IptcImagePlugin

from studio.imaging.decode import open_picture
from studio.imaging.xmp import packet_in

_MAX_XMP = 4 << 20
_MAX_TEXT = 10_000  # characters of one field
_EXIF_IFD = 0x8769
_EXIF_TAGS = {"creator": 0x013B, "rights": 0x8298, "description": 0x010E}  # Artist, Copyright, ImageDescription (EXIF 2.3, 4.6.4)
_DATE = 0x9003  # DateTimeOriginal
_XMP_NAMES = {
    "creator": ("dc:creator",),
    "rights": ("dc:rights",),
    "description": ("dc:description",),
    "title": ("dc:title",),
    "date": ("exif:DateTimeOriginal", "photoshop:DateCreated", "xmp:CreateDate"),
    "terms": ("xmpRights:UsageTerms",),
    "statement": ("xmpRights:WebStatement",),
    "credit": ("photoshop:Credit",),
}
# Nothing but these: a phone also writes where it was, which one it is, and by what name its owner calls it.
_VIDEO_TAGS = {
    name: (*keys, *(f"com.apple.quicktime.{key}" for key in keys))
    for name, keys in {
        "creator": ("artist", "author", "album_artist", "director"),
        "rights": ("copyright",),
        "description": ("description", "synopsis"),
        "title": ("title",),
        "date": ("date", "creationdate", "creation_time"),
        "credit": ("credits",),
    }.items()
}
_ALTERNATIVES = '<rdf:Alt><rdf:li xml:lang="x-default">{}</rdf:li></rdf:Alt>'  # a text by language
_PNG_KEYS = {"creator": "Author", "rights": "Copyright", "description": "Description", "title": "Title"}  # PNG specification, 11.3.3.2
_IPTC = {"creator": 80, "rights": 116, "description": 120, "title": 5, "credit": 110}  # data sets of record 2 (IPTC IIM)


@dataclass(frozen=True)
class SourceMetadata:
    """What a file says; '' and 0 = nothing.

    date: when it was taken or made, as written.  terms, statement: usage terms, and the address of a statement of rights.
    dpi: dots an inch in print.
    """

    creator: str = ""
    rights: str = ""
    description: str = ""
    title: str = ""
    date: str = ""
    terms: str = ""
    statement: str = ""
    credit: str = ""
    dpi: float = 0.0

    def __bool__(self) -> bool:
        return self != SourceMetadata()

    @property
    def exif(self) -> bytes:
        """EXIF block with the fields that EXIF has; b'' if there are none."""
        block = Image.Exif()
        for name, tag in _EXIF_TAGS.items():
            if value := getattr(self, name):
                block[tag] = value.encode("utf-8")
        if re.fullmatch(r"\d{4}:\d\d:\d\d \d\d:\d\d:\d\d", self.date):
            block.get_ifd(_EXIF_IFD)[_DATE] = self.date
            block[_EXIF_IFD] = block.get_ifd(_EXIF_IFD)
        return block.tobytes() if len(block) else b""

    @property
    def xmp(self) -> str:
        """XMP properties, to be put inside of an rdf:Description; '' if there are none."""
        spaces = (
            ' xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xmpRights="http://ns.adobe.com/xap/1.0/rights/"'
            ' xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"'
        )
        out = ""
        for name, tag, shape in (
            ("creator", "dc:creator", "<rdf:Seq><rdf:li>{}</rdf:li></rdf:Seq>"),
            ("rights", "dc:rights", _ALTERNATIVES),
            ("description", "dc:description", _ALTERNATIVES),
            ("title", "dc:title", _ALTERNATIVES),
            ("date", "photoshop:DateCreated", "{}"),
            ("terms", "xmpRights:UsageTerms", _ALTERNATIVES),
            ("statement", "xmpRights:WebStatement", "{}"),
            ("credit", "photoshop:Credit", "{}"),
        ):
            if value := getattr(self, name):
                out += f"<{tag}{spaces}>{shape.format(escape(value))}</{tag}>"
        return out


NO_METADATA = SourceMetadata()


def read_source_metadata(source: Path | Image.Image) -> SourceMetadata:
    """What a picture says, by its XMP, else EXIF, else IPTC, else the texts of a PNG. Nothing is raised: what cannot be read is
    not said."""
    try:
        if isinstance(source, Image.Image):
            return _read(source)
        with open_picture(source) as image:
            return _read(image)
    except Exception:  # the parsers of metadata raise whatever the bytes of a file lead them to
        return SourceMetadata()


def video_metadata(tags: Mapping[str, str], packet: str = "") -> SourceMetadata:
    """What a video says, by its XMP, else by the tags of its container.

    tags: as FFmpeg names them, in any case.  packet: of XMP; '' = none.
    """
    said = {key.lower(): _clean(value) for key, value in tags.items() if isinstance(value, str)}
    found = {name: next(filter(None, (said.get(key, "") for key in keys)), "") for name, keys in _VIDEO_TAGS.items()}
    if found["description"].startswith("{"):  # a recipe, in a video that a studio made
        found["description"] = ""
    found |= {name: value for name, value in _from_packet(packet).items() if value}
    return dataclasses.replace(NO_METADATA, **cast(dict[str, Any], found))


def _read(image: Image.Image) -> SourceMetadata:
    found: dict[str, Any] = {}
    for read in (_from_xmp, _from_exif, _from_iptc, _from_png):
        with contextlib.suppress(Exception):
            found = {**{name: value for name, value in read(image).items() if value}, **found}
    dpi = image.info.get("dpi")
    with contextlib.suppress(TypeError, ValueError, IndexError, ZeroDivisionError):
        across = float(dpi[0]) if dpi else 0.0
        found["dpi"] = across if 1 < across < 100_000 else 0.0  # 1 means that the file states an aspect ratio alone
    return SourceMetadata(**{f.name: found[f.name] for f in fields(SourceMetadata) if f.name in found})


def _from_xmp(image: Image.Image) -> dict[str, str]:
    packet = packet_in(image)
    return _from_packet(packet.decode("utf-8", "replace") if isinstance(packet, bytes) else packet)


def _from_packet(packet: str) -> dict[str, str]:
    if not isinstance(packet, str) or len(packet) > _MAX_XMP:
        return {}
    return {name: next(filter(None, (_property(packet, tag) for tag in tags)), "") for name, tags in _XMP_NAMES.items()}


def _property(packet: str, tag: str) -> str:
    """Text of an XMP property: an element, the items of a list in it, or an attribute. Searched as text: no XML parser for files from
    anywhere."""
    element = re.search(rf"<{tag}(?:\s[^<>]*)?>(.*?)</{tag}\s*>", packet, re.DOTALL)
    if element:
        items = re.findall(r"<rdf:li[^<>]*>([^<>]*)</rdf:li\s*>", element[1])
        return _clean(html.unescape("; ".join(items) if items else re.sub(r"<[^<>]*>", "", element[1])))
    attribute = re.search(rf"""\s{tag}\s*=\s*("[^"]*"|'[^']*')""", packet)
    return _clean(html.unescape(attribute[1][1:-1])) if attribute else ""


def _from_exif(image: Image.Image) -> dict[str, str]:
    block = image.getexif()
    found = {name: _text(block.get(tag)) for name, tag in _EXIF_TAGS.items()}
    found["date"] = _text(block.get_ifd(_EXIF_IFD).get(_DATE))
    return found


def _from_iptc(image: Image.Image) -> dict[str, str]:
    if not isinstance(image, ImageFile.ImageFile):
        return {}
    block = IptcImagePlugin.getiptcinfo(image) or {}
    return {name: _text(value[0] if isinstance(value := block.get((2, key)), list) else value) for name, key in _IPTC.items()}


def _from_png(image: Image.Image) -> dict[str, str]:
    return {name: _text(image.info.get(key)) for name, key in _PNG_KEYS.items()} if image.format == "PNG" else {}


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        try:
            value = value.decode("utf-8")
        except UnicodeDecodeError:
            value = value.decode("latin-1")
    elif isinstance(value, str):
        with contextlib.suppress(UnicodeError):  # Pillow reads EXIF texts as Latin-1; most programs write UTF-8
            value = value.encode("latin-1").decode("utf-8")
    return _clean(value) if isinstance(value, str) else ""


def _clean(text: str) -> str:
    """The text without what XML cannot hold."""
    return "".join(c for c in text if c.isprintable() or c in "\n\t").strip()[:_MAX_TEXT]
