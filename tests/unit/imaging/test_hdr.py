"""Video in HDR, of wide gamuts, and without colour tags: the same picture in training and in Translate."""

import av
import numpy as np
import pytest

from studio.imaging.hdr import _WIDE, _to_srgb, hlg_light, pq_light, sdr_pixels
from studio.imaging.video import frames
from studio.outputs.video_translation import first_frame
from tests.unit.imaging.profiles import DISPLAY_P3, SRGB, matrix


def test_light_by_the_standards():
    """Table 1 of BT.2408: white paper of 203 cd/m2 is 58 % of PQ and 75 % of HLG; the ends are those of the formulas."""
    assert abs(pq_light(np.array(0.58)) - 203) < 4
    assert abs(hlg_light(np.full(3, 0.75))[0] - 203) < 4
    assert abs(pq_light(np.array(1.0)) - 10_000) < 1
    assert abs(hlg_light(np.full(3, 1.0))[0] - 1000) < 1
    assert pq_light(np.array(0.0)) == 0


@pytest.mark.parametrize("transfer", ["pq", "hlg"])
def test_grey_stays_grey_and_white_stays_bright(transfer):
    ramp = np.linspace(0, 65535, 256).astype(np.uint16)[None, :, None].repeat(3, 2)
    out = sdr_pixels(ramp, {"pq": 16, "hlg": 18}[transfer])[0].astype(int)
    assert np.ptp(out, axis=1).max() <= 1
    assert (np.diff(out[:, 0]) >= 0).all()
    white = out[round(255 * {"pq": 0.58, "hlg": 0.75}[transfer]), 0]
    assert 235 <= white <= 250
    assert out[-1, 0] >= 245


def video(path, value: int, size: tuple[int, int], **tags):
    with av.open(str(path), "w") as out:
        stream = out.add_stream("ffv1", rate=5)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv444p10le"
        for name, tag in tags.items():
            setattr(stream.codec_context, name, tag)
        frame = av.VideoFrame(*size, "yuv444p10le")
        for plane, level in zip(frame.planes, (value, 400, 600), strict=True):
            data = np.full(plane.buffer_size // 2, level, "<u2")
            plane.update(data.tobytes())
        for name, tag in tags.items():
            setattr(frame, name, tag)
        out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path


@pytest.mark.parametrize("tags", [{}, {"color_trc": 16, "color_primaries": 9, "colorspace": 9}, {"color_trc": 18, "colorspace": 9}])
@pytest.mark.parametrize("size", [(64, 48), (64, 720)])
def test_training_and_translate_see_the_same_frame(tmp_path, tags, size):
    path = video(tmp_path / "a.mkv", 500, size, **tags)
    trained = next(iter(frames(path, "matroska"))).pixels
    translated = np.asarray(first_frame(path)[0])
    assert np.array_equal(trained, translated)
    plain = np.asarray(first_frame(video(tmp_path / "b.mkv", 500, size, colorspace=9))[0])
    assert (np.abs(trained.astype(int) - plain).max() > 15) == ("color_trc" in tags), "the tags count"


@pytest.mark.parametrize(
    ("number", "primaries"), [(12, DISPLAY_P3), (9, ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)))], ids=["Display P3", "BT.2020"]
)
@pytest.mark.parametrize("transfer", [1, 2, 14])
def test_sdr_of_a_wide_gamut_becomes_srgb_by_its_formula(tmp_path, number, primaries, transfer):
    """Light of a screen with a gamma of 2.4 (BT.1886), from the wide primaries to those of sRGB."""
    tags = {"color_trc": transfer, "colorspace": 9}
    stored = np.asarray(first_frame(video(tmp_path / "plain.mkv", 500, (64, 48), color_primaries=1, **tags))[0])[20, 20]
    light = (np.linalg.inv(matrix(SRGB)) @ matrix(primaries)) @ (stored / 255) ** 2.4
    due = light.clip(0, 1) ** (1 / 2.4) * 255
    path = video(tmp_path / "wide.mkv", 500, (64, 48), color_primaries=number, **tags)
    for seen in (np.asarray(first_frame(path)[0]), next(iter(frames(path, "matroska"))).pixels):
        assert np.abs(seen[20, 20] - due).max() <= 2
    assert np.abs(due - stored).max() > 5


def test_greys_of_a_wide_gamut_stay_as_they_are():
    ramp = np.linspace(0, 65535, 256).astype(np.uint16)[None, :, None].repeat(3, 2)
    for transfer in (1, 13):
        assert np.abs(sdr_pixels(ramp, transfer, 9)[0] - np.arange(256)[:, None]).max() <= 1


def test_the_matrix_of_bt2020_is_that_of_bt2087():
    """ITU-R BT.2087, Annex 2, M2: pure colours of BT.2020 in linear BT.709."""
    published = np.array([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]])
    assert np.abs(_to_srgb(_WIDE[9]) - published).max() < 2e-4
