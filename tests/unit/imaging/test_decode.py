"""Formats, colour modes, crops and likeness, against numbers worked out by hand."""

import io

import numpy as np
import pytest
from PIL import Image, ImageFilter, UnidentifiedImageError

from studio.errors import StudioError
from studio.imaging.colour import parse_colour
from studio.imaging.crop import crop, smart_offset
from studio.imaging.decode import UnusablePicture, decode, reason
from studio.imaging.location import strip_location
from studio.imaging.perceptual_hash import PerceptualHash, is_similar, perceptual_hash, similar_groups


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    if kind == "HEIF":
        import pillow_heif

        pillow_heif.register_heif_opener()
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def halves(left=(200, 30, 90), right=(10, 180, 60), size=(64, 32)) -> Image.Image:
    image = Image.new("RGB", size, right)
    image.paste(left, (0, 0, size[0] // 2, size[1]))
    return image


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


# -- crops ---------------------------------------------------------------------------------------------------------


def test_centre_and_fit():
    wide = np.asarray(halves(size=(96, 32)))
    assert crop(wide, 32, "centre")[0, 0].tolist() == [200, 30, 90]
    assert crop(wide, 32)[0, -1].tolist() == [10, 180, 60]
    fit = crop(wide, 48, "fit", (1, 2, 3))
    assert fit.shape == (48, 48, 3)
    assert (fit[:16] == (1, 2, 3)).all()
    assert (fit[32:] == (1, 2, 3)).all()
    assert fit[24, 4].tolist() == [200, 30, 90]
    assert fit[24, 44].tolist() == [10, 180, 60]
    tall = crop(wide.transpose(1, 0, 2), 48, "fit", (1, 2, 3))
    assert np.array_equal(tall, fit.transpose(1, 0, 2))
    same = np.zeros((48, 48, 3), np.uint8)
    assert crop(same, 48, "fit") is same
    assert (
        crop(np.zeros((1, 4000, 3), np.uint8), 16, "fit").shape == crop(np.zeros((4000, 1, 3), np.uint8), 16, "smart").shape == (16, 16, 3)
    )


@pytest.mark.parametrize("at", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("tall", [False, True])
def test_the_smart_crop_finds_the_odd_thing_out(at, tall):
    rng = np.random.default_rng(1)
    image = np.full((100, 400, 3), 120, np.uint8) + rng.integers(0, 6, (100, 400, 1), dtype=np.uint8)
    x = int(at * 340)
    image[30:70, x : x + 40] = rng.integers(0, 255, (40, 40, 3))
    image = image.transpose(1, 0, 2) if tall else image
    offset = smart_offset(image)
    assert x - 60 <= offset <= x


def test_the_smart_crop_of_nothing_is_the_centre():
    assert abs(smart_offset(np.full((100, 400, 3), 7, np.uint8)) - 150) <= 2
    assert smart_offset(np.zeros((50, 50, 3), np.uint8)) == 0


def test_words_for_crops_and_colours():
    assert parse_colour("#ff8000") == (255, 128, 0)
    with pytest.raises(StudioError, match="centre, smart, fit"):
        crop(np.zeros((4, 5, 3), np.uint8), 2, "round")


# -- likeness ------------------------------------------------------------------------------------------------------


def scene(seed: int) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 255, (12, 16, 3), dtype=np.uint8).astype(np.uint8)
    return Image.fromarray(noise).resize((160, 120), Image.BICUBIC)


def test_the_hash_bit_by_bit():
    # Nine rising columns, then a fall in the last row only.
    steps = np.tile(np.arange(9) * 20, (8, 1))
    steps[7] = steps[7][::-1]
    assert perceptual_hash(np.kron(np.stack([steps] * 3, -1), np.ones((4, 4, 1))).astype(np.uint8)).hash == 0xFFFFFFFFFFFFFF00


def test_near_duplicates_are_found_and_others_not():
    a = scene(1)
    again = Image.open(io.BytesIO(encoded(a.resize((120, 90)), "JPEG", quality=70)))
    blurred = a.filter(ImageFilter.GaussianBlur(1))
    other = [scene(i) for i in range(2, 40)]
    red = Image.merge("RGB", [a.getchannel(c) for c in "GRB"])  # the same drawing in other colours
    assert similar_groups([perceptual_hash(p) for p in [other[0], a, *other[1:], again, red, blurred]]) == [[1, 39, 41]]
    assert is_similar(perceptual_hash(a), perceptual_hash(again))
    assert not is_similar(perceptual_hash(a), perceptual_hash(scene(2)))
    assert similar_groups([]) == []


def test_groups_agree_with_comparing_each_with_each():
    rng = np.random.default_rng(0)
    found = [PerceptualHash(int(rng.integers(0, 2**10)) << 20, np.full(48, rng.integers(0, 40), np.uint8)) for _ in range(300)]
    free, expected = set(range(300)), []
    for i in range(300):
        if i in free:
            group = [i, *(j for j in range(i + 1, 300) if j in free and is_similar(found[i], found[j], 2, 5))]
            if len(group) > 1:
                free -= set(group)
                expected.append(group)
    assert similar_groups(found, 2, 5) == expected
    assert expected


def test_twenty_thousand_pictures_are_compared_at_once():
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**63, 20_000)
    hashes[-1] = hashes[0] ^ 0b101
    flat = np.zeros(48, np.uint8)
    assert similar_groups([PerceptualHash(int(h), flat) for h in hashes]) == [[0, 19_999]]


# -- places --------------------------------------------------------------------------------------------------------


def with_place(kind: str, image: Image.Image, **options) -> bytes:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Camera"
    exif.get_ifd(0x8825).update({1: "N", 2: (52.0, 31.0, 12.0), 3: "E", 4: (13.0, 24.0, 18.0)})
    return encoded(image, kind, exif=exif, **options)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("options", [{}, {"progressive": True}])
def test_the_place_goes_and_the_pixels_stay(kind, options):
    data = with_place(kind, scene(3), **options)
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
    assert strip_location(plain, kind) == (plain, False), "what tells no place is not touched"


def test_the_second_picture_of_a_jpeg_does_not_keep_the_place():
    data = with_place("JPEG", scene(4)) + with_place("JPEG", scene(5))
    out, had = strip_location(data, "MPO")
    assert had
    assert out.count(b"\xff\xd8\xff") == 1
    assert out.endswith(b"\xff\xd9")
    assert np.array_equal(decode(out), decode(data))


def test_a_file_that_cannot_be_taken_apart():
    for damaged in (b"\xff\xd8\xff", b"\xff\xd8abcd", encoded(scene(1), "JPEG")[:200]):
        with pytest.raises(ValueError, match="cannot be followed"):
            strip_location(damaged, "JPEG")
