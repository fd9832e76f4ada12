"""Formats and colour modes, against numbers worked out by hand."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError

from studio.imaging.decode import UnusablePicture, decode, open_picture, reason, upright
from studio.imaging.raster import Raster
from tests.unit.imaging.pictures import encoded, halves


@pytest.mark.parametrize(
    ("kind", "options", "error"),
    [
        ("PNG", {}, 0),
        ("BMP", {}, 0),
        ("TIFF", {}, 0),
        ("TIFF", {"compression": "tiff_lzw"}, 0),
        ("WEBP", {"lossless": True}, 0),
        ("GIF", {}, 0),
        ("JPEG", {"quality": 95}, 4),
        ("WEBP", {"quality": 90}, 8),
        ("AVIF", {"quality": 90}, 8),
        ("HEIF", {"quality": 90}, 8),
    ],
)
def test_every_format(kind, options, error):
    pixels = decode(encoded(halves(), kind, **options)).astype(int)
    assert pixels.shape == (32, 64, 3)
    assert np.abs(pixels[4:-4, 4:28] - (200, 30, 90)).max() <= error
    assert np.abs(pixels[4:-4, 36:-4] - (10, 180, 60)).max() <= error


def test_a_path_is_as_good_as_bytes(tmp_path):
    halves().save(tmp_path / "a.png")
    assert np.array_equal(decode(tmp_path / "a.png"), np.asarray(halves()))


def test_sixteen_bits_are_scaled_and_not_clipped():
    deep = np.array([[0, 257, 128 * 257, 65535]], np.uint16)
    for kind in ("PNG", "TIFF"):
        assert decode(encoded(Image.fromarray(deep), kind))[0, :, 0].tolist() == [0, 1, 128, 255]
    wide = Image.fromarray(np.array([[0.0, 0.5, 1.0]], np.float32))
    assert decode(encoded(wide, "TIFF"))[0, :, 2].tolist() == [0, 128, 255]


def test_colour_modes():
    assert decode(encoded(Image.new("CMYK", (8, 8), (255, 0, 0, 0)), "TIFF"))[0, 0].tolist() == [0, 255, 255]
    assert np.abs(decode(encoded(Image.new("CMYK", (8, 8), (0, 255, 0, 0)), "JPEG"))[4, 4].astype(int) - (255, 0, 255)).max() < 4
    assert decode(encoded(Image.new("L", (4, 4), 77), "PNG"))[0, 0].tolist() == [77] * 3
    assert decode(encoded(Image.new("1", (4, 4), 1), "PNG"))[0, 0].tolist() == [255] * 3
    assert decode(encoded(halves().quantize(4), "PNG"))[0, 0].tolist() == [200, 30, 90]
    assert np.abs(decode(encoded(Image.new("LAB", (4, 4), (255, 128, 128)), "TIFF")).astype(int) - 255).max() <= 2


def test_transparency_shows_the_ground():
    half = encoded(Image.new("RGBA", (2, 2), (255, 0, 0, 51)), "PNG")  # a fifth of red
    assert decode(half, (0, 0, 100))[0, 0].tolist() == [51, 0, 80]
    assert decode(encoded(Image.new("LA", (2, 2), (0, 0)), "PNG"), (1, 2, 3))[0, 0].tolist() == [1, 2, 3]
    palette = halves().quantize(4)
    index = palette.getpixel((0, 0))
    for kind in ("PNG", "GIF"):
        pixels = decode(encoded(palette, kind, transparency=index), (9, 8, 7))
        assert pixels[0, 0].tolist() == [9, 8, 7]
        assert pixels[0, -1].tolist() == [10, 180, 60]


@pytest.mark.parametrize(
    ("bits", "colour_type", "row", "key", "first", "second"),
    [
        (1, 0, b"\x80", (1,), 255, 0),
        (2, 0, b"\xc0", (3,), 255, 0),
        (4, 0, b"\x31", (3,), 51, 17),
        (8, 0, b"\x31\x05", (0x31,), 49, 5),
        (16, 0, b"\x31\x05\x32\x00", (0x3105,), 49, 50),
        (8, 2, b"\x01\x01\x01\x02\x02\x02", (1, 1, 1), 1, 2),
        (16, 2, b"\x02\x01" * 3 + b"\x04\x04" * 3, (0x201,) * 3, 2, 4),
    ],
)
def test_a_transparent_colour_of_a_png_in_every_depth(tmp_path, bits, colour_type, row, key, first, second):
    """tRNS (PNG specification, 11.3.2.1) names a colour with the bits of the pixels; the first of two pixels has it."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", 2, 1, bits, colour_type, 0, 0, 0)
    parts = (b"IHDR", head), (b"tRNS", struct.pack(f">{len(key)}H", *key)), (b"IDAT", zlib.compress(b"\0" + row)), (b"IEND", b"")
    path = tmp_path / "key.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts))
    with open_picture(path) as image:
        assert np.asarray(upright(image)).tolist() == [[[first] * 3 + [0], [second] * 3 + [255]]]
    assert decode(path, (7, 8, 9))[0].tolist() == [[7, 8, 9], [second] * 3]
    pixels = Raster.from_file(path).pixels
    assert (pixels.dtype == np.uint16) == (bits == 16)
    assert pixels[0, :, -1].tolist() == [0, np.iinfo(pixels.dtype).max]


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_the_first_frame_of_an_animation(kind):
    options = {"lossless": True} if kind == "WEBP" else {}
    moving = encoded(
        Image.new("RGB", (8, 8), (255, 0, 0)), kind, save_all=True, append_images=[Image.new("RGB", (8, 8), (0, 0, 255))], **options
    )
    assert decode(moving)[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_turned_upright(kind, orientation):
    right = np.zeros((64, 96, 3), np.uint8)  # every corner of its own
    right[:32, :48], right[:32, 48:], right[32:, :48] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    stored = {
        1: right,
        2: right[:, ::-1],
        3: right[::-1, ::-1],
        4: right[::-1],
        5: right.transpose(1, 0, 2),
        6: np.rot90(right),
        7: right[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(right, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(Image.fromarray(np.ascontiguousarray(stored)), kind, exif=exif)
    pixels = decode(data).astype(int)
    assert pixels.shape == right.shape
    for y, x in ((16, 24), (16, 72), (48, 24), (48, 72)):
        assert np.abs(pixels[y, x] - right[y, x]).max() < 40, (y, x)


def test_heic_is_not_turned_twice():
    """HEIF (ISO/IEC 23008-12) turns pictures by properties of its own, which the library applies; readers ignore EXIF."""
    exif = Image.Exif()
    exif[0x0112] = 6
    assert decode(encoded(halves(), "HEIF", exif=exif)).shape == decode(encoded(halves(), "HEIF")).shape == (32, 64, 3)


def test_what_is_no_picture_says_so():
    with pytest.raises(UnusablePicture, match="64 x 32"):
        decode(encoded(halves(), "PNG"), max_pixels=2000)
    for data in (b"", b"hello", encoded(halves(), "EPS"), encoded(halves(), "PDF")):
        with pytest.raises(UnidentifiedImageError) as e:
            decode(data)
        assert reason(e.value) == "not a picture, or a damaged one"
    with pytest.raises(OSError, match="truncated"):
        decode(encoded(halves(size=(256, 256)), "JPEG")[:-300])
