"""Stills that state their colours in numbers (PNG, AVIF, HEIF): the same picture by every door."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from studio.imaging.decode import decode, open_picture, upright
from studio.imaging.hdr import sdr_pixels
from studio.imaging.png_stream import PngWriter
from studio.imaging.raster import Raster
from studio.outputs.batches import open_source
from studio.outputs.upscaled_picture import open_upscale_source
from tests.unit.imaging.profiles import ADOBE_GAMMA, ADOBE_RGB, DISPLAY_P3, SRGB, encoded_srgb, linear_srgb, matrix, rgb_profile

BT2020 = ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046))
PQ, HLG, SRGB_CURVE = 16, 18, 13


def picture() -> np.ndarray:
    """Patches of muted colours, large enough for what chroma loses at their borders."""
    colours = np.array([[150, 120, 100], [100, 130, 160], [128, 128, 128], [115, 140, 122]], np.uint8)
    return colours.reshape(2, 2, 3).repeat(32, 0).repeat(32, 1)


def middles(pixels: np.ndarray) -> np.ndarray:
    return np.asarray(pixels)[16::32, 16::32].reshape(-1, 3).astype(float)


def stating(path, primaries: int, transfer: int, **options):
    """A still that states these numbers."""
    image, kind = Image.fromarray(picture()), path.suffix
    buffer = io.BytesIO()
    if kind == ".heic":
        numbers = {"color_primaries": primaries, "transfer_characteristics": transfer, "matrix_coefficients": 6, "full_range_flag": 1}
        image.save(buffer, "HEIF", quality=-1, chroma=444, **numbers, **options)
        path.write_bytes(buffer.getvalue())
        return path
    image.save(
        buffer, {".png": "PNG", ".avif": "AVIF"}[kind], **({"quality": 100, "subsampling": "4:4:4"} if kind == ".avif" else {}), **options
    )
    data = buffer.getvalue()
    if kind == ".avif":
        at = data.index(b"colrnclx") + 8
        data = data[:at] + struct.pack(">HH", primaries, transfer) + data[at + 4 :]
    else:
        body = bytes([primaries, transfer, 0, 1])
        data = data[:33] + struct.pack(">I", 4) + b"cICP" + body + struct.pack(">I", zlib.crc32(b"cICP" + body)) + data[33:]
    path.write_bytes(data)
    return path


def by_every_door(path) -> list[np.ndarray]:
    raster = Raster.from_file(path)
    assert raster.profile is None
    return [decode(path), decode(path.read_bytes()), np.asarray(open_source(path).picture), raster.pixels]


@pytest.mark.parametrize("kind", [".png", ".avif", ".heic"])
@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_hdr_is_toned_down_by_every_door_as_video_is(tmp_path, kind, transfer):
    path = stating(tmp_path / f"a{kind}", 9, transfer)
    due = middles(sdr_pixels(picture().astype(np.uint16) * 257, transfer, 9))
    assert np.abs(due - middles(picture())).max() > 20, "it is another picture"
    for seen in by_every_door(path):
        assert np.abs(middles(seen) - due).max() <= (1 if kind == ".png" else 14)
    for opens in (open_source, open_upscale_source):
        assert opens(path).remark == "It is HDR: its light was toned down to what screens show."


@pytest.mark.parametrize("kind", [".png", ".avif", ".heic"])
@pytest.mark.parametrize(("number", "primaries"), [(12, DISPLAY_P3), (9, BT2020)])
def test_wide_gamuts_become_srgb_by_their_formulas(tmp_path, kind, number, primaries):
    path = stating(tmp_path / f"a{kind}", number, SRGB_CURVE)
    light = linear_srgb(middles(picture())) @ (np.linalg.inv(matrix(SRGB)) @ matrix(primaries)).T
    for seen in by_every_door(path):
        assert np.abs(middles(seen) - encoded_srgb(light)).max() <= (1 if kind == ".png" else 6)
    assert open_source(path).remark == ""


@pytest.mark.parametrize("kind", [".png", ".avif", ".heic"])
def test_srgb_in_numbers_changes_nothing(tmp_path, kind):
    for seen in by_every_door(stating(tmp_path / f"a{kind}", 1, SRGB_CURVE)):
        assert np.abs(middles(seen) - middles(picture())).max() <= (0 if kind == ".png" else 4)


def test_the_numbers_of_a_png_go_before_its_profile_and_those_of_an_avif_after_it(tmp_path):
    adobe = rgb_profile(ADOBE_RGB, ADOBE_GAMMA)
    numbers = decode(stating(tmp_path / "plain.png", 12, SRGB_CURVE))
    assert np.array_equal(decode(stating(tmp_path / "both.png", 12, SRGB_CURVE, icc_profile=adobe)), numbers)
    Image.fromarray(picture()).save(tmp_path / "profile.png", icc_profile=adobe)
    Image.fromarray(picture()).save(tmp_path / "a.heic", quality=-1, chroma=444, icc_profile=adobe)
    assert np.abs(middles(decode(tmp_path / "a.heic")) - middles(decode(tmp_path / "profile.png"))).max() <= 4


def test_transparency_and_grey_stay(tmp_path):
    clear = Image.fromarray(picture()).convert("RGBA")
    clear.putalpha(77)
    for image, mode in ((clear, "RGBA"), (Image.new("L", (40, 40), 120), "L")):
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        data, body = buffer.getvalue(), bytes([9, PQ, 0, 1])
        data = data[:33] + struct.pack(">I", 4) + b"cICP" + body + struct.pack(">I", zlib.crc32(b"cICP" + body)) + data[33:]
        with open_picture(data) as opened:
            made = upright(opened)
        assert made.mode == mode
        if mode == "RGBA":
            assert made.getchannel("A").getextrema() == (77, 77)
        else:
            level = sdr_pixels(np.full((1, 1, 3), 120 * 257, np.uint16), PQ)[0, 0, 0]
            assert made.getextrema() == (level, level)


@pytest.mark.parametrize("kind", [".png", ".avif"])
def test_damaged_statements_are_none(tmp_path, kind):
    data = stating(tmp_path / f"a{kind}", 9, PQ).read_bytes()
    at = data.index(b"cICP" if kind == ".png" else b"colrnclx")
    rng = np.random.default_rng(0)
    for _ in range(60):
        broken = bytearray(data)
        for place in rng.integers(at - 40 if kind == ".avif" else 8, at + 10, 3):
            broken[place] = rng.integers(256)
        try:
            with open_picture(bytes(broken)) as image:
                assert image.info.get("stated_colours") is None or len(image.info["stated_colours"]) == 2
        except (OSError, SyntaxError, ValueError, RuntimeError):
            pass  # Pillow refuses it


def test_sixteen_bits_are_toned_down_alike(tmp_path):
    """Upscale keeps 16 bits of other pictures; of HDR it sees what the other doors see."""
    buffer = io.BytesIO()
    writer = PngWriter(buffer, 64, 64, 4, np.dtype(np.uint16))
    deep = np.dstack([picture(), np.full((64, 64), 200, np.uint8)]).astype(np.uint16) * 257
    writer.write(deep)
    writer.close()
    data, body = buffer.getvalue(), bytes([9, HLG, 0, 1])
    chunk = struct.pack(">I", 4) + b"cICP" + body + struct.pack(">I", zlib.crc32(b"cICP" + body))
    (tmp_path / "deep.png").write_bytes(data[:33] + chunk + data[33:])
    raster, due = Raster.from_file(tmp_path / "deep.png"), sdr_pixels(deep[..., :3], HLG, 9)
    assert raster.pixels.dtype == np.uint8
    assert np.abs(raster.pixels[..., :3].astype(int) - due).max() <= 1
    assert (raster.pixels[..., 3] == 200).all()
    assert np.array_equal(np.asarray(open_source(tmp_path / "deep.png").picture), raster.pixels)
