"""Clips, read back by the decoders that players use."""

import os

import av
import numpy as np
import pytest
from PIL import Image

from studio.errors import StudioError
from studio.outputs import clips
from studio.outputs.clips import save_clip


def frames(count=12, height=32, width=32) -> list[np.ndarray]:
    """From one colour to another, with an edge inside."""
    first, last = np.array([200, 60, 30]), np.array([40, 90, 210])
    out = []
    for t in np.linspace(0, 1, count):
        picture = np.empty((height, width, 3), np.uint8)
        picture[:] = first + (last - first) * t
        picture[: height // 2, : width // 2] = (240, 240, 240)
        out.append(picture)
    return out


def read(path) -> tuple[list[np.ndarray], av.VideoFrame, float]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        decoded = list(container.decode(stream))
        return [f.to_ndarray(format="rgb24") for f in decoded], decoded[0], float(stream.average_rate)


@pytest.mark.parametrize("codec", ["libx264", "libvpx-vp9", "mpeg4"])
def test_an_mp4_holds_the_pictures(tmp_path, monkeypatch, codec):
    chosen = [c for c in clips._CODECS if c[0] == codec]
    monkeypatch.setattr(clips, "_CODECS", [("no-such-codec", {}), *chosen])
    try:
        av.codec.Codec(codec, "w")
    except av.codec.codec.UnknownCodecError:
        pytest.skip("this build of FFmpeg lacks it")
    pictures = frames()
    shown, first, fps = read(save_clip(pictures, tmp_path / "walk.mp4", fps=20))
    assert len(shown) == 12
    assert fps == 20
    assert first.format.name == "yuv420p", "enlarged by whole pixels"
    assert shown[0].shape == (512, 512, 3), "enlarged by whole pixels"
    for ours, theirs in ((pictures[0], shown[0]), (pictures[-1], shown[-1])):
        assert np.abs(ours.mean((0, 1)) - theirs.mean((0, 1))).max() < 3
        assert np.abs(theirs[300:500, 300:500].mean((0, 1)) - ours[20, 20]).max() < 4
        assert np.abs(theirs[20:200, 20:200].mean((0, 1)) - 240).max() < 4


def test_odd_sides_become_even_and_the_rest_stays(tmp_path):
    shown, _, _ = read(save_clip(frames(3, 515, 601), tmp_path / "odd.mp4"))
    assert shown[0].shape == (516, 602, 3)
    shown, _, _ = read(save_clip(frames(3, 32, 64), tmp_path / "wide.mp4"))
    assert shown[0].shape == (512, 1024, 3)


def test_an_mp4_says_who_made_it(tmp_path):
    with av.open(str(save_clip(frames(2), tmp_path / "a.mp4"))) as container:
        assert "AI" in container.metadata["comment"]


def test_a_webp_loops(tmp_path):
    with Image.open(save_clip(frames(), tmp_path / "walk.webp", fps=20)) as clip:
        assert clip.n_frames == 12
        assert clip.size == (512, 512)
        assert clip.info["loop"] == 0
        assert abs(np.asarray(clip.convert("RGB")).mean((0, 1)) - frames()[0].mean((0, 1))).max() < 4


@pytest.mark.parametrize("ending", [".mp4", ".webp"])
def test_a_full_disk_is_told_and_leaves_nothing(tmp_path, monkeypatch, ending):
    def full(path, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(clips, "atomic_write", full)
    with pytest.raises(StudioError, match="could not be saved"):
        save_clip(frames(2), tmp_path / f"walk{ending}")
    assert os.listdir(tmp_path) == []


def test_what_cannot_be_a_clip_is_told(tmp_path):
    with pytest.raises(StudioError, match="no pictures"):
        save_clip([], tmp_path / "a.mp4")
    with pytest.raises(StudioError, match=r"'.gif'"):
        save_clip(frames(2), tmp_path / "a.gif")
    assert os.listdir(tmp_path) == []
