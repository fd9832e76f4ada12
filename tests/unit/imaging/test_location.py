import io

import numpy as np
import pytest
from PIL import Image

from studio.imaging.decode import decode
from studio.imaging.location import strip_location
from tests.unit.imaging.pictures import encoded, scene


def with_location(kind: str, image: Image.Image, **options) -> bytes:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Camera"
    exif.get_ifd(0x8825).update({1: "N", 2: (52.0, 31.0, 12.0), 3: "E", 4: (13.0, 24.0, 18.0)})
    return encoded(image, kind, exif=exif, **options)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("options", [{}, {"progressive": True}])
def test_the_location_goes_and_the_pixels_stay(kind, options):
    data = with_location(kind, scene(3), **options)
    assert Image.open(io.BytesIO(data)).getexif().get_ifd(0x8825)
    out, had = strip_location(data, kind)
    image = Image.open(io.BytesIO(out))
    assert had
    assert not image.getexif().get_ifd(0x8825)
    assert image.getexif()[0x0112] == 6
    assert np.array_equal(decode(out), decode(data))
    exif = Image.Exif()
    exif[0x010F] = "Camera"
    plain = encoded(scene(3), kind, exif=exif, icc_profile=b"profile" * 20)
    assert strip_location(plain, kind) == (plain, False), "a file without a location is not touched"


def test_the_second_picture_of_a_jpeg_does_not_keep_the_location():
    data = with_location("JPEG", scene(4)) + with_location("JPEG", scene(5))
    out, had = strip_location(data, "MPO")
    assert had
    assert out.count(b"\xff\xd8\xff") == 1
    assert out.endswith(b"\xff\xd9")
    assert np.array_equal(decode(out), decode(data))


def test_a_file_that_cannot_be_taken_apart():
    for damaged in (b"\xff\xd8\xff", b"\xff\xd8abcd", encoded(scene(1), "JPEG")[:200]):
        with pytest.raises(ValueError, match="cannot be followed"):
            strip_location(damaged, "JPEG")
