"""HDR video, and video without colour tags: the same picture in training and in Translate."""

import av
import numpy as np
import pytest

from studio.imaging.hdr import hlg_light, pq_light, sdr_pixels
from studio.imaging.video import frames
from studio.outputs.video_translation import first_frame


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
    out = sdr_pixels(ramp, transfer)[0].astype(int)
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
