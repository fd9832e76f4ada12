import contextlib
import wave
from fractions import Fraction

import av
import numpy as np
import pytest

from studio.errors import StudioError
from studio.imaging.sound import check_sound, read_sound, sound_blocks, sound_format

RATE = 44100


def write_wav(path, samples: np.ndarray, rate: int = RATE) -> None:
    """samples: (N,) or (N, channels), -1 to 1."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1 if samples.ndim == 1 else samples.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((samples * 32767).astype("<i2").tobytes())


def encoded(path, samples: np.ndarray, codec: str, rate: int = RATE) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples[None].astype(np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode())


def tone(seconds: float = 1.0, rate: int = RATE) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate)


def test_samples_of_a_wav(tmp_path):
    write_wav(tmp_path / "a.wav", tone())
    samples = read_sound(tmp_path / "a.wav", RATE, 10)
    assert samples == pytest.approx(tone(), abs=1e-3)
    assert read_sound(tmp_path / "a.wav", RATE, 0.25).size == RATE // 4
    half = read_sound(tmp_path / "a.wav", 22050, 10)
    assert half.size == pytest.approx(22050, abs=2)
    assert half[200:-200] == pytest.approx(tone(1.0, 22050)[200 : half.size - 200], abs=0.02)


def test_channels_are_mixed_or_kept(tmp_path):
    write_wav(tmp_path / "a.wav", np.stack([tone(), 0 * tone()], 1))
    left, right = np.concatenate(list(sound_blocks(tmp_path / "a.wav", RATE, 2)), axis=1)
    assert left == pytest.approx(tone(), abs=1e-3)
    assert np.abs(right).max() == 0
    mixed = read_sound(tmp_path / "a.wav", RATE, 10)
    assert np.corrcoef(mixed, tone())[0, 1] > 0.999
    assert 0.2 < np.abs(mixed).max() < 0.4


@pytest.mark.parametrize(("ending", "codec"), [(".mp3", "libmp3lame"), (".flac", "flac"), (".ogg", "libvorbis"), (".m4a", "aac")])
def test_what_encoders_put_before_the_beginning_is_left_out(tmp_path, ending, codec):
    """A click is where it was, whatever the codec."""
    clicks = np.zeros(RATE * 2)
    clicks[RATE // 2] = clicks[RATE] = 0.9
    try:
        encoded(tmp_path / f"a{ending}", clicks, codec)
    except av.codec.codec.UnknownCodecError:
        pytest.skip("this build of FFmpeg lacks it")
    found = np.abs(read_sound(tmp_path / f"a{ending}", RATE, 10))
    for at in (RATE // 2, RATE):
        near = slice(at - 2000, at + 2000)
        assert at - 2000 + int(np.argmax(found[near])) == pytest.approx(at, abs=50)


def test_formats_are_known_by_their_first_bytes():
    for head, format in (
        (b"RIFF\0\0\0\0WAVEfmt ", "wav"),
        (b"RIFF\0\0\0\0AVI LIST", "avi"),
        (b"FORM\0\0\0\0AIFF", "aiff"),
        (b"fLaC", "flac"),
        (b"ID3\x04", "mp3"),
        (b"\xff\xfb\x90\x00", "mp3"),
        (b"\xff\xf1\x50\x80", "aac"),
        (b"\0\0\0 ftypM4A ", "mov"),
        (b"\x1aE\xdf\xa3", "matroska"),
        (b"#EXTM3U\n", ""),
        (b"ffconcat version 1.0", ""),
        (b"\x89PNG\r\n", ""),
        (b"", ""),
    ):
        assert sound_format(head) == format


def test_what_is_no_sound_is_told(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "list.mp3").write_text("#EXTM3U\n/etc/passwd\n")
    (tmp_path / "cut.wav").write_bytes(b"RIFF\xff\xff\xff\xffWAVE")
    for i in range(20):
        (tmp_path / f"noise{i}.mp3").write_bytes(b"\xff\xfb\x90\x00" + rng.bytes(400))
    for i in range(20):
        with contextlib.suppress(StudioError):  # nothing else is raised
            list(sound_blocks(tmp_path / f"noise{i}.mp3", RATE, 1))
    for name in ("none.wav", "empty.wav", "list.mp3", "cut.wav"):
        with pytest.raises(StudioError):
            check_sound(tmp_path / name)


def test_a_film_without_sound_has_none(tmp_path):
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")))
        container.mux(stream.encode())
    with pytest.raises(StudioError, match="no sound"):
        check_sound(tmp_path / "a.mp4")
