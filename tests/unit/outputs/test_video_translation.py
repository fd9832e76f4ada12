"""Videos through a translation: read back by the decoders that players use."""

import os
from concurrent.futures import CancelledError
from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image, ImageOps

from studio.engine.image_recipe import ImageRecipe
from studio.errors import StudioError
from studio.imaging.source_metadata import SourceMetadata, video_metadata
from studio.imaging.video import read_video_metadata
from studio.imaging.xmp import mp4_xmp
from studio.outputs.video_translation import SMOOTHING, Smoother, convert_video, first_frame
from studio.provenance.policy import ProvenancePolicy, save_policy
from tests.unit.imaging.test_hdr import video as hdr_video

HEIGHT, WIDTH, RATE = 48, 80, 12
RECIPE = ImageRecipe("ink", verb="translate")


def frame(i: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """A block that moves over a ground that brightens."""
    picture = np.full((height, width, 3), (40 + 4 * i, 90, 160), np.uint8)
    picture[8:24, 4 + 2 * i : 20 + 2 * i] = (240, 200, 40)
    return picture


def write(path, times=range(16), sound="aac", rate=44100, size=(HEIGHT, WIDTH), codec="libx264"):
    """A clip with frames at `times` (in 1 / RATE s) and a tone on two channels."""
    with av.open(str(path), "w") as container:
        pictures = container.add_stream(codec, rate=RATE)
        pictures.height, pictures.width, pictures.pix_fmt = *size, "yuv420p"
        if sound:
            tone = container.add_stream(sound, rate=rate, layout="stereo")
            seconds = np.arange(2 * rate) / rate
            samples = np.stack([np.sin(2 * np.pi * f * seconds) for f in (440, 660)]).astype(np.float32) * 0.3
            for start in range(0, samples.shape[1], 1024):
                part = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[:, start : start + 1024]), format="fltp", layout="stereo")
                part.rate, part.pts, part.time_base = rate, start, Fraction(1, rate)
                container.mux(tone.encode(part))
            container.mux(tone.encode())
        for i, time in enumerate(times):
            shown = av.VideoFrame.from_ndarray(frame(i, *size), format="rgb24")
            shown.pts, shown.time_base = time, Fraction(1, RATE)
            container.mux(pictures.encode(shown))
        container.mux(pictures.encode())
    return path


def read(path) -> tuple[list[np.ndarray], list[float], float]:
    """Frames, their times, and the length in seconds."""
    with av.open(str(path)) as container:
        decoded = list(container.decode(video=0))
        return [f.to_ndarray(format="rgb24") for f in decoded], [float(f.time) for f in decoded], container.duration / av.time_base


def sound(path) -> tuple[str, np.ndarray]:
    with av.open(str(path)) as container:
        samples = [f.to_ndarray() for f in container.decode(audio=0)]
        return container.streams.audio[0].codec_context.name, np.concatenate(samples, axis=1)


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "aac"), ("a.mkv", "flac"), ("a.ts", "aac")])
def test_frames_times_and_sound_stay(tmp_path, name, codec):
    source = write(tmp_path / name, sound=codec)
    told = []
    target = convert_video(source, tmp_path / "out.mp4", ImageOps.invert, progress=lambda *a: told.append(a))
    before, times, length = read(source)
    after, new_times, new_length = read(target)
    assert len(after) == 16
    assert after[0].shape == (HEIGHT, WIDTH, 3)
    begin = times[0] if name.endswith(".ts") else 0  # a transport stream begins anywhere
    assert np.diff(new_times) == pytest.approx(np.diff(times), abs=1e-3)
    assert new_times[0] == pytest.approx(times[0] - begin, abs=0.05)
    assert new_length == pytest.approx(length, abs=0.05)
    for a, b in zip(before, after, strict=True):
        assert np.abs(255 - a.astype(int) - b).mean() < 4
    assert sound(target)[0] == codec, "not encoded anew"
    assert np.array_equal(sound(target)[1], sound(source)[1]), "not encoded anew"
    assert [done for done, _ in told] == list(range(1, 17))
    assert told[-1][1] >= 16


def test_it_says_who_made_it_and_how(tmp_path):
    with av.open(str(convert_video(write(tmp_path / "a.mp4"), tmp_path / "out.mp4", lambda p: p, made_by=RECIPE))) as made:
        assert "AI" in made.metadata["comment"]
        assert made.metadata["description"] == RECIPE.to_json()


def test_frames_at_uneven_times(tmp_path):
    source = write(tmp_path / "a.mp4", times=(0, 1, 5, 6, 13), sound=None)
    _, times, _ = read(convert_video(source, tmp_path / "out.mp4", lambda p: p))
    assert times == pytest.approx([t / RATE for t in (0, 1, 5, 6, 13)], abs=1e-4)


def test_sound_that_an_mp4_does_not_carry_becomes_aac(tmp_path):
    source = write(tmp_path / "a.mov", sound="pcm_s16le")
    codec, samples = sound(convert_video(source, tmp_path / "out.mp4", lambda p: p))
    original = sound(source)[1].reshape(-1, 2).T / 32768
    assert codec == "aac"
    assert abs(samples.shape[1] - original.shape[1]) <= 2048
    apart = samples[:, 4096:40960] - original[:, 4096:40960]
    assert np.sqrt((apart**2).mean()) < 0.01, "the same tone at the same time"


def test_a_phone_held_upright(tmp_path):
    """The matrix that turns the picture is obeyed, and is not there twice."""
    with av.open(str(write(tmp_path / "flat.mp4", sound=None))) as flat, av.open(str(tmp_path / "turned.mp4"), "w") as turned:
        stream = turned.add_stream_from_template(flat.streams.video[0])
        for packet in flat.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                turned.mux(packet)
    data = bytearray((tmp_path / "turned.mp4").read_bytes())
    plain = np.array([0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000], ">i4").tobytes()
    quarter = np.array([0, 0x10000, 0, -0x10000, 0, 0, HEIGHT << 16, 0, 0x40000000], ">i4").tobytes()
    track = data.index(plain, data.index(b"tkhd"))
    data[track : track + 36] = quarter
    (tmp_path / "turned.mp4").write_bytes(data)
    shown, count = first_frame(tmp_path / "turned.mp4")
    assert shown.size == (HEIGHT, WIDTH)
    assert count == 16
    after, _, _ = read(convert_video(tmp_path / "turned.mp4", tmp_path / "out.mp4", lambda p: p))
    assert after[0].shape == (WIDTH, HEIGHT, 3)
    before = read(tmp_path / "flat.mp4")[0][0]
    assert np.abs(after[0].astype(int) - np.rot90(before, -1)).mean() < 3, "a quarter clockwise"


@pytest.mark.parametrize(
    ("size", "words"),
    [
        ((33, 51), "It has 52 x 34 px: a column at the right and a row at the bottom were added"),
        ((33, 50), "It has 50 x 34 px: a row at the bottom was added"),
        ((32, 50), ""),
    ],
)
def test_odd_sides(tmp_path, size, words):
    source, said = write(tmp_path / "a.mkv", sound=None, size=size, codec="ffv1"), []
    after, _, _ = read(convert_video(source, tmp_path / "out.mp4", lambda p: p, remark=said.append))
    height, width = size
    assert after[0].shape == (height + height % 2, width + width % 2, 3), "colour is kept for squares of two by two"
    assert [sentence.startswith(words) for sentence in said] == [True] * bool(words)


def test_hdr_is_said(tmp_path):
    source = hdr_video(tmp_path / "a.mkv", 500, (64, 48), color_trc=16, color_primaries=9, colorspace=9)
    said = []
    convert_video(source, tmp_path / "out.mp4", lambda p: p, remark=said.append)
    assert said == ["It is HDR: its light was toned down to what screens show."]


def test_a_stopped_one_leaves_nothing(tmp_path):
    source = write(tmp_path / "a.mp4")
    frames = []
    with pytest.raises(CancelledError):
        convert_video(source, tmp_path / "out.mp4", lambda p: frames.append(1) or p, cancel=lambda: len(frames) == 3)
    assert len(frames) == 3
    assert os.listdir(tmp_path) == ["a.mp4"]


def test_a_translation_that_fails_leaves_nothing(tmp_path):
    def refuse(picture):
        raise StudioError("No.", "Never.")

    with pytest.raises(StudioError, match=r"No."):
        convert_video(write(tmp_path / "a.mp4"), tmp_path / "out.mp4", refuse)
    assert os.listdir(tmp_path) == ["a.mp4"]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "not a video"),
        (b"\x89PNG\r\n\x1a\n" + bytes(80), "not a video"),
        (b"#EXTM3U\n/etc/passwd\n", "not a video"),
        (b"\0\0\0\x18ftypmp42" + bytes(400), "cannot be used"),
    ],
)
def test_what_is_no_video_is_told(tmp_path, data, words):
    (tmp_path / "a.mp4").write_bytes(data)
    for use in (first_frame, lambda p: convert_video(p, tmp_path / "out.mp4", lambda f: f)):
        with pytest.raises(StudioError, match=words):
            use(tmp_path / "a.mp4")
    assert os.listdir(tmp_path) == ["a.mp4"]


def test_a_cut_one_and_one_without_pictures_are_told(tmp_path):
    data = write(tmp_path / "a.mp4").read_bytes()
    (tmp_path / "a.mp4").write_bytes(data[: len(data) // 2])
    with pytest.raises(StudioError, match="cannot be used"):
        first_frame(tmp_path / "a.mp4")
    with av.open(str(tmp_path / "b.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=44100, layout="mono")
        part = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        part.rate = 44100
        container.mux(stream.encode(part))
        container.mux(stream.encode())
    with pytest.raises(StudioError, match="no moving pictures"):
        first_frame(tmp_path / "b.mp4")
    with pytest.raises(StudioError, match="no smoothing 'much'"):
        convert_video(tmp_path / "a.mp4", tmp_path / "c.mp4", lambda p: p, "much")


def test_smoothing_calms_what_stands_still_by_its_formula():
    rng = np.random.default_rng(0)
    still = Image.fromarray(np.full((16, 16, 3), 100, np.uint8))
    flicker = [rng.integers(100, 140, (16, 16, 3)).astype(np.uint8) for _ in range(6)]
    for name, share in SMOOTHING.items():
        smooth, shown = Smoother(share), None
        for picture in flicker:
            out = smooth(still, Image.fromarray(picture))
            shown = picture.astype(np.float64) if shown is None else share * picture + (1 - share) * shown
            assert np.abs(out - shown).max() <= 0.51, name


def test_smoothing_does_not_smear_what_moves_nor_a_cut():
    smooth = Smoother(SMOOTHING["strong"])
    first, second = (Image.fromarray(frame(i)) for i in (0, 6))
    smooth(first, ImageOps.invert(first))
    shown, due = smooth(second, ImageOps.invert(second)), np.asarray(ImageOps.invert(second))
    assert np.array_equal(shown[12:20, 6:30], due[12:20, 6:30]), "where the block was, and where it is"
    black, white = Image.new("RGB", (8, 8)), Image.new("RGB", (8, 8), "white")
    smooth = Smoother(SMOOTHING["strong"])
    smooth(black, black)
    assert (smooth(white, white) == 255).all()


TAGS = {
    "title": "Sea & <wind>",
    "artist": "Ada Müller",
    "copyright": "CC BY 4.0",
    "date": "2024-05-01",
    "description": "Waves at dusk",
    "location": "+52.5200+013.4050/",
    "com.apple.quicktime.location.ISO6709": "+52.5200+013.4050+034.0/",
    "com.apple.quicktime.model": "Phone 15",
    "make": "Maker",
    "serial": "SN-12345",
}


def filmed(path, tags: dict[str, str], **options):
    """A clip with tags, of the container and of its streams."""
    with av.open(str(path), "w", **options) as container:
        container.metadata.update(tags)
        pictures = container.add_stream("libx264", rate=RATE)
        pictures.height, pictures.width, pictures.pix_fmt = HEIGHT, WIDTH, "yuv420p"
        tone = container.add_stream("aac", rate=44100, layout="mono")
        for stream in (pictures, tone):
            stream.metadata.update({"title": "+52.5200", "serial": "SN-12345"})
        part = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        part.rate = 44100
        container.mux(tone.encode(part))
        container.mux(tone.encode())
        container.mux(pictures.encode(av.VideoFrame.from_ndarray(frame(0), format="rgb24")))
        container.mux(pictures.encode())
    return path


@pytest.mark.parametrize(("name", "options"), [("a.mp4", {}), ("a.mov", {"options": {"movflags": "use_metadata_tags"}}), ("a.mkv", {})])
def test_rights_are_kept_and_places_and_serial_numbers_are_not(studio_home, tmp_path, name, options):
    source = filmed(tmp_path / name, TAGS, **options)
    made = convert_video(source, tmp_path / "out.mp4", lambda p: p, made_by=RECIPE)
    with av.open(str(made)) as container:
        said, streams = dict(container.metadata), [dict(stream.metadata) for stream in container.streams]
    assert {key: said.get(key) for key in ("title", "artist", "copyright", "date")} == {k: TAGS[k] for k in list(TAGS)[:4]}
    assert said["description"] == RECIPE.to_json()
    assert said["synopsis"] == "Waves at dusk"
    assert "52.52" not in f"{said}{streams}"
    for secret in (b"52.52", b"SN-12345", b"Phone 15", b"Maker"):
        assert secret not in made.read_bytes(), secret
    packet = mp4_xmp(made)
    assert "Ada Müller" in packet
    assert "Sea &amp; &lt;wind&gt;" in packet
    again = read_video_metadata(made, "mov")
    assert (again.creator, again.rights, again.description) == ("Ada Müller", "CC BY 4.0", "Waves at dusk"), "also from what was made"


def test_a_phone_says_it_under_names_of_its_own(tmp_path):
    said = video_metadata({"com.apple.quicktime.author": "Ada", "com.apple.quicktime.creationdate": "2024-05-01T10:00:00+0200"})
    assert (said.creator, said.date) == ("Ada", "2024-05-01T10:00:00+0200")
    assert not video_metadata({"com.apple.quicktime.location.ISO6709": "+52+013/", "com.apple.quicktime.model": "Phone"})


def test_nothing_of_the_source_is_kept_where_the_artist_says_so(studio_home, tmp_path):
    save_policy(ProvenancePolicy(source_metadata=False))
    made = convert_video(filmed(tmp_path / "a.mp4", TAGS), tmp_path / "out.mp4", lambda p: p, made_by=RECIPE)
    assert read_video_metadata(made, "mov") == SourceMetadata()
    with av.open(str(made)) as container:
        assert not {"title", "artist", "copyright", "synopsis"} & set(container.metadata)
