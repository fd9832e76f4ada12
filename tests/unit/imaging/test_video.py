"""Videos are opened whatever their tags hold."""

import av
import numpy as np
import pytest

from studio.imaging.video import open_video

TITLE = b"a title to be damaged"


@pytest.fixture
def odd_tags(tmp_path):
    """A film of two frames whose title is no UTF-8."""
    path = tmp_path / "film.mp4"
    with av.open(str(path), "w") as film:
        film.metadata["title"] = TITLE.decode()
        stream = film.add_stream("mpeg4", rate=2)
        stream.width = stream.height = 32
        for level in (40, 200):
            film.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((32, 32, 3), level, np.uint8))))
        film.mux(stream.encode())
    data = path.read_bytes()
    assert TITLE in data
    path.write_bytes(data.replace(TITLE, b"\xff\xfe\xe9" + TITLE[3:]))
    return path


@pytest.mark.parametrize("container", ["mov", None])
def test_tags_in_another_encoding_are_no_reason_to_refuse_a_film(odd_tags, container):
    with open_video(odd_tags, container) as film:
        assert film.metadata["title"].endswith(TITLE[3:].decode())
        assert len(list(film.decode(video=0))) == 2


def test_a_playlist_is_not_followed(tmp_path):
    secret = tmp_path / "secret.mp4"
    secret.write_bytes(b"")
    listed = tmp_path / "list.mp4"
    listed.write_text(f"#EXTM3U\n#EXTINF:1,\n{secret}\n")
    with pytest.raises(av.error.FFmpegError):
        open_video(listed, "mov")
