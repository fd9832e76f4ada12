"""Author, rights, description and resolution of a source, carried over; positions and serial numbers, left behind."""

import io

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from studio.datasets.prepare_picture import prepare_picture
from studio.engine.image_recipe import ImageRecipe
from studio.imaging.decode import decode
from studio.imaging.location import strip_location
from studio.imaging.source_metadata import SourceMetadata, read_source_metadata
from studio.provenance.metadata import encode_signed
from studio.provenance.policy import provenance_policy, save_policy
from tests.unit.imaging.pictures import encoded, scene

XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:exif="http://ns.adobe.com/exif/1.0/" '
    'xmlns:aux="http://ns.adobe.com/exif/1.0/aux/" exif:GPSLatitude="52,31.2N" aux:SerialNumber="SN-4711" '
    'xmlns:xmpRights="http://ns.adobe.com/xap/1.0/rights/" xmpRights:WebStatement="https://example.org/licence">'
    "<exif:GPSLongitude>13,24.3E</exif:GPSLongitude>"
    "<dc:creator><rdf:Seq><rdf:li>Ada Lovelace</rdf:li><rdf:li>B. &amp; C.</rdf:li></rdf:Seq></dc:creator>"
    '<dc:rights><rdf:Alt><rdf:li xml:lang="x-default">© 2026 Ada, CC BY 4.0</rdf:li></rdf:Alt></dc:rights>'
    "</rdf:Description></rdf:RDF></x:xmpmeta>"
)
DUE = SourceMetadata(
    creator="Ada Lovelace; B. & C.",
    rights="© 2026 Ada, CC BY 4.0",
    description="A quiet café",
    date="2026:05:04 03:02:01",
    statement="https://example.org/licence",
    dpi=300,
)
RECIPE = ImageRecipe("sharp", verb="upscale")


def photograph(kind: str) -> bytes:
    """With all of it, a position twice and a serial number twice."""
    exif = Image.Exif()
    exif[0x0112], exif[0x013B], exif[0x8298] = 6, "Ada", "Ada"
    exif[0x010E] = "A quiet café".encode()
    exif[0x8769] = {0x9003: "2026:05:04 03:02:01", 0xA431: "SN-4711", 0x927C: b"maker SN-4711"}
    exif[0x8825] = {1: "N", 2: (52.0, 31.0, 12.0)}
    if kind == "PNG":
        info = PngImagePlugin.PngInfo()
        info.add_itxt("XML:com.adobe.xmp", XMP, zip=True)
        return encoded(scene(3), kind, exif=exif, pnginfo=info, dpi=(300, 300))
    if kind == "TIFF":
        exif[700], exif[0x010E] = XMP.encode(), "A quiet cafe"  # Pillow writes nothing but ASCII here
        return encoded(scene(3), kind, exif=exif.tobytes(), dpi=(300, 300))
    return encoded(scene(3), kind, exif=exif, xmp=XMP.encode(), **({"dpi": (300, 300)} if kind == "JPEG" else {}))


def same(found: SourceMetadata, dpi: bool = True) -> None:
    for name in ("creator", "rights", "description", "date", "statement"):
        assert getattr(found, name).replace("cafe", "café") == getattr(DUE, name), name
    assert not dpi or round(found.dpi) == 300


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("format", ["png", "webp"])
def test_rights_of_the_source_are_in_the_result(tmp_path, kind, format):
    path = tmp_path / "source"
    path.write_bytes(photograph(kind))
    same(read_source_metadata(path), dpi=kind != "WEBP")
    data = encode_signed(np.zeros((8, 8, 3), np.uint8), RECIPE, format, source=path)
    with Image.open(io.BytesIO(data)) as result:
        same(read_source_metadata(result), dpi=kind != "WEBP" and format == "png")
        assert 0x8825 not in result.getexif()
        assert result.getexif().get(0x0112, 1) == 1
    assert b"SN-4711" not in data
    assert b"GPS" not in data


def test_the_switch_leaves_all_of_it_out(tmp_path, monkeypatch):
    monkeypatch.setenv("STUDIO_HOME", str(tmp_path / "home"))
    path = tmp_path / "source.jpg"
    path.write_bytes(photograph("JPEG"))
    save_policy(provenance_policy().replace(source_metadata=False))
    data = encode_signed(np.zeros((8, 8, 3), np.uint8), RECIPE, source=path)
    with Image.open(io.BytesIO(data)) as result:
        assert read_source_metadata(result) == SourceMetadata()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_intake_removes_the_position_alone(kind):
    data = photograph(kind)
    out, had = strip_location(data, kind)
    assert had
    with Image.open(io.BytesIO(out)) as image:
        same(read_source_metadata(image), dpi=kind != "WEBP")
        assert not image.getexif().get_ifd(0x8825)
        assert image.getexif()[0x0112] == 6
        packet = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp")
        assert b"GPS" not in (packet if isinstance(packet, bytes) else packet.encode())
        image.load()
    assert np.array_equal(decode(out), decode(data))
    assert strip_location(out, kind) == (out, False)


def test_a_converted_picture_keeps_its_rights_and_counts_its_position():
    prepared = prepare_picture(photograph("TIFF"), (255, 255, 255), 10**8, 8)
    assert prepared.location_removed
    with Image.open(io.BytesIO(prepared.stored)) as image:
        assert image.format == "PNG"
        same(read_source_metadata(image))
        assert 0x8825 not in image.getexif()
    assert not prepare_picture(encoded(scene(3), "TIFF"), (255, 255, 255), 10**8, 8).location_removed


def test_damaged_metadata_say_nothing(tmp_path):
    path = tmp_path / "a.png"
    for data in (b"", b"no picture", encoded(scene(1), "PNG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")):
        path.write_bytes(data)
        assert read_source_metadata(path) == SourceMetadata()
