"""Rasters of 16 bits a channel, and names that a library could take for more than a name."""

import io
import os

import av
import numpy as np
import pytest
from PIL import Image

from studio.imaging.png_stream import PngWriter
from studio.imaging.raster import Raster
from studio.imaging.video import open_video

# What libav, a shell or a glob would read as a pattern, a protocol or a list of files.
ODD_NAMES = (
    "deep%d.png",
    "deep%03d.png",
    "deep*.png",
    "deep?.png",
    "deep[0-9].png",
    "deep{0,1}.png",
    "concat:deep0.png|deep1.png",
    "a:b.png",
)


def deep_png(level: int) -> bytes:
    """A PNG of 4 x 4 pixels with 16 bits a channel, all of one level."""
    file = io.BytesIO()
    writer = PngWriter(file, 4, 4, 3, np.dtype(np.uint16))
    writer.write(np.full((4, 4, 3), level, np.uint16))
    writer.close()
    return file.getvalue()


@pytest.fixture
def neighbours(tmp_path, monkeypatch):
    """A folder, as the current one, in which other pictures have the names that the patterns fit."""
    for name in ("deep0.png", "deep1.png", "deep000.png", "deep001.png", "b.png"):
        (tmp_path / name).write_bytes(deep_png(100))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_picture_is_opened_by_its_name_and_never_by_a_pattern(neighbours, name):
    (neighbours / name).write_bytes(deep_png(60_000))
    for path in (name, neighbours / name):
        pixels = Raster.from_file(path).pixels
        assert pixels.dtype == np.uint16
        assert np.unique(pixels).tolist() == [60_000]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
@pytest.mark.parametrize("name", ["clip%d.mp4", "clip*.mp4", "a:b.mp4", "concat:clip0.mp4|clip1.mp4"])
def test_a_video_is_opened_by_its_name_too(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    for path, frames in (("clip0.mp4", 1), (name, 3)):
        with av.open(os.path.abspath(path), "w") as film:
            stream = film.add_stream("mpeg4", rate=2)
            stream.width = stream.height = 32
            for level in range(frames):
                film.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((32, 32, 3), 60 * level, np.uint8))))
            film.mux(stream.encode())
    for container in ("mov", None):
        with open_video(name, container) as film:
            assert len(list(film.decode(video=0))) == 3


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_all_16_bits_of_a_file_are_kept(tmp_path, kind):
    levels = np.arange(48, dtype=np.uint16).reshape(4, 4, 3) * 1000 + 7
    path = tmp_path / f"deep.{kind.lower()}"
    if kind == "PNG":
        with open(path, "wb") as file:
            writer = PngWriter(file, 4, 4, 3, levels.dtype)
            writer.write(levels)
            writer.close()
    else:
        context = av.CodecContext.create("tiff", "w")
        context.width = context.height = 4
        context.pix_fmt, context.framerate = "rgb48le", 1
        frame = av.VideoFrame(4, 4, "rgb48le")
        rows = np.frombuffer(frame.planes[0], np.uint8).reshape(4, -1).copy()
        rows[:, : 4 * 6] = levels.view(np.uint8).reshape(4, -1)
        frame.planes[0].update(rows.tobytes())
        path.write_bytes(b"".join(bytes(p) for p in context.encode(frame)))
    with Image.open(path) as image:
        assert image.mode == "RGB"
    assert (Raster.from_file(path).pixels == levels).all()
