"""Frames of videos in a set."""

import zipfile
from concurrent.futures import CancelledError
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from studio.datasets.sources import Limits
from studio.imaging.source_metadata import read_source_metadata
from tests.unit.datasets.pictures import encoded, hidden, scene


def film(path, colours, rate=10, size=(64, 48), codec="mpeg4", rotation=None):
    """A video in which each colour stands for a second."""
    import av

    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt, stream.time_base = *size, "yuv420p", Fraction(1, rate)
        for i in range(len(colours) * rate):
            pixels = np.full((size[1], size[0], 3), colours[i // rate], np.uint8)
            pixels[: size[1] // 2, : size[0] // 2] = 255
            out.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        out.mux(stream.encode())
    return path


COLOURS = [(220, 30, 30), (30, 220, 30), (30, 30, 220), (200, 200, 30)]


@pytest.mark.parametrize("ending", ["mp4", "mkv", "avi", "mov"])
def test_frames_of_a_video(store, tmp_path, ending):
    clip = film(tmp_path / f"clip.{ending}", COLOURS)
    told = []
    report = store.ingest([clip], owned=True, progress=lambda d, t, n: told.append(n))
    # Two looks a second; the second of each colour shows nothing new.
    assert report.videos == [(f"clip.{ending}", 4)]
    assert len(report) == 4
    assert not report.rejected
    stored = store.add(report)
    assert stored.names()[0] == "clip-00000000ms.png"
    assert stored.names()[1] == "clip-00001000ms.png"
    for name, colour in zip(stored.names(), COLOURS, strict=True):
        pixels = np.asarray(Image.open(stored.picture(name))).astype(int)
        assert pixels.shape == (48, 64, 3), name
        assert np.abs(pixels[40, 50] - colour).max() < 25, name
        assert pixels[5, 5].min() > 220, "upright"
    assert any(" s of 4 s" in name for name in told)


def test_limits_and_distances_of_frames(store, tmp_path):
    clip = film(tmp_path / "clip.mp4", COLOURS)
    assert len(store.ingest([clip], owned=True, limits=Limits(frames=2))) == 2
    names = [a.name for a in store.ingest([clip], owned=True, limits=Limits(every=2.0)).accepted]
    assert names == ["clip-00000000ms.png", "clip-00002000ms.png"]
    assert "too large" in dict(store.ingest([clip], owned=True, limits=Limits(max_pixels=1000)).rejected)["clip.mp4"]
    assert "too small" in dict(store.ingest([clip], owned=True, limits=Limits(min_side=60)).rejected)["clip.mp4"]


def test_a_video_in_a_zip_and_damaged_ones(store, tmp_path):
    clip = film(tmp_path / "clip.mp4", COLOURS)
    with zipfile.ZipFile(tmp_path / "s.zip", "w") as z:
        z.write(clip, "films/clip.mp4")
        z.writestr("films/cut.mp4", clip.read_bytes()[:400])
        z.writestr("films/0.png", encoded(scene(0), "PNG"))
    report = store.ingest([tmp_path / "s.zip"], owned=True)
    assert report.videos == [("s.zip/films/clip.mp4", 4)]
    assert len(report) == 5
    assert [n for n, _ in report.rejected] == ["s.zip/films/cut.mp4"]
    assert not (report.staged / "incoming").exists()


def test_cancelling_in_the_middle_of_a_video(store, tmp_path):
    clip = film(tmp_path / "clip.mp4", COLOURS)
    seen = []
    with pytest.raises(CancelledError):
        store.ingest([clip], owned=True, progress=lambda d, t, n: seen.append(n), cancel=lambda: len(seen) > 12)
    assert 12 < len(seen) < 18
    assert hidden(store) == []


def test_frames_keep_the_rights_of_their_video_and_not_its_place(store, tmp_path):
    import av

    plain = film(tmp_path / "plain.mp4", COLOURS[:1])
    with av.open(str(plain)) as source, av.open(str(tmp_path / "clip.mp4"), "w") as out:
        out.metadata.update({"artist": "Ada", "copyright": "CC BY 4.0", "location": "+52.5200+013.4050/"})
        stream = out.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                out.mux(packet)
    stored = store.add(store.ingest([tmp_path / "clip.mp4"], owned=True))
    path = stored.picture(stored.names()[0])
    said = read_source_metadata(path)
    assert (said.creator, said.rights) == ("Ada", "CC BY 4.0")
    assert b"52.52" not in path.read_bytes()
