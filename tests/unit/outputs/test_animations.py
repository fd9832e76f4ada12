"""Animations through a model: read back by Pillow, frame by frame."""

import os
from concurrent.futures import CancelledError

import numpy as np
import pytest
from PIL import Image, ImageOps

from studio.engine.image_recipe import ImageRecipe
from studio.errors import StudioError
from studio.outputs.animations import animation_info, convert_animation, first_animation_frame
from studio.outputs.batches import open_source
from studio.provenance.inspect import inspect_file
from studio.provenance.metadata import read_recipe

RECIPE = ImageRecipe("ink", verb="translate")
DURATIONS = [100, 300, 50, 200]


def frames(mode="RGB") -> list[Image.Image]:
    """A block of few colours that moves; in RGBA over nothing."""
    out = []
    for i in range(4):
        picture = Image.new("RGBA", (40, 24), (0, 0, 0, 0) if mode == "RGBA" else (30, 60, 90, 255))
        picture.paste((200, 40 * i, 20, 255), (4 + 6 * i, 4, 14 + 6 * i, 16))
        out.append(picture.convert(mode))
    return out


def write(path, pictures, **options):
    lossless = {"lossless": True, "exact": True} if path.suffix == ".webp" else {}
    options = {"duration": DURATIONS, "loop": 0, "disposal": 2, **options}
    if path.suffix in (".webp", ".avif"):
        options.pop("disposal")
    pictures[0].save(path, save_all=True, append_images=pictures[1:], **lossless, **options)
    return path


def read(path) -> tuple[list[np.ndarray], list[float], int | None]:
    """Frames in RGBA, their durations, and how the loop is stated."""
    with Image.open(path) as image:
        shown, times = [], []
        for i in range(image.n_frames):
            image.seek(i)
            image.load()
            shown.append(np.asarray(image.convert("RGBA")))
            times.append(image.info["duration"])
        return shown, times, image.info.get("loop")


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("out", [".gif", ".webp", ".png"])
@pytest.mark.parametrize("kind", [".gif", ".webp", ".png"])
def test_frames_durations_loop_and_transparency_stay(tmp_path, kind, out, mode):
    source = write(tmp_path / f"a{kind}", frames(mode))
    before, times, _ = read(source)
    said = []

    def enlarged(frame: Image.Image) -> Image.Image:
        return frame.resize((80, 48), Image.Resampling.NEAREST)

    target = convert_animation(source, tmp_path / f"out{out}", enlarged, lambda *a: said.append(a))
    after, new_times, loop = read(target)
    assert new_times == times == DURATIONS
    assert loop == 0
    assert said[-1] == (4, 4)
    for a, b in zip(before, after, strict=True):
        due = a.repeat(2, 0).repeat(2, 1)
        seen = due[..., 3] > 0
        assert np.array_equal(b[..., 3], due[..., 3])
        assert np.abs(b[seen].astype(int) - due[seen]).max() <= 2


def test_avif_is_read(tmp_path):
    source = write(tmp_path / "a.avif", frames(), quality=100)
    info = animation_info(source)
    assert (info.format, info.count, info.size, info.file_type) == ("AVIF", 4, (40, 24), "webp")
    after, times, _ = read(convert_animation(source, tmp_path / "out.webp", ImageOps.invert))
    assert times == DURATIONS
    for a, b in zip(frames(), after, strict=True):
        assert np.abs(255 - np.asarray(a).astype(int) - b[..., :3]).mean() < 6


@pytest.mark.parametrize(("stated", "told"), [(None, (None, 1)), (0, (0, 0)), (2, (2, 3))])
def test_a_gif_is_played_as_often_as_before(tmp_path, stated, told):
    """The field of a GIF counts the repetitions after the first time; that of a WebP counts all."""
    source = write(tmp_path / "a.gif", frames(), **({} if stated is None else {"loop": stated}))
    if stated is None:
        data = source.read_bytes()
        at = data.index(b"\x21\xff\x0bNETSCAPE2.0")
        source.write_bytes(data[:at] + data[at + 19 :])
    as_gif, as_webp = (read(convert_animation(source, tmp_path / f"out.{t}", lambda f: f))[2] for t in ("gif", "webp"))
    assert (as_gif, as_webp) == told


def test_a_gif_of_many_colours_is_dithered_and_a_webp_keeps_them(tmp_path):
    source = write(tmp_path / "a.gif", frames())
    ramp = np.stack(np.broadcast_arrays(*np.ogrid[:240:24j, :255:40j], 90), -1).astype(np.uint8)
    many = iter([Image.fromarray(np.roll(ramp, i, 1)) for i in range(8)])
    exact = read(convert_animation(source, tmp_path / "out.webp", lambda f: next(many)))[0]
    few = read(convert_animation(source, tmp_path / "out.gif", lambda f: next(many)))[0]
    for i in range(4):
        assert np.array_equal(exact[i][..., :3], np.roll(ramp, i, 1))
        assert 1 < np.abs(few[i][..., :3].astype(int) - np.roll(ramp, i + 4, 1)).max() < 40
        assert len({tuple(c) for c in few[i].reshape(-1, 4)}) <= 256


def test_half_transparency_stays_in_a_webp_and_is_decided_in_a_gif(tmp_path):
    source = write(tmp_path / "a.png", frames("RGBA"))
    alpha = Image.fromarray(np.tile(np.linspace(0, 255, 40).astype(np.uint8), (24, 1)))

    def veil(frame: Image.Image) -> Image.Image:
        frame = frame.convert("RGB")
        frame.putalpha(alpha)
        return frame

    webp, gif = (read(convert_animation(source, tmp_path / f"out.{t}", veil))[0] for t in ("webp", "gif"))
    assert all(np.array_equal(f[..., 3], np.asarray(alpha)) for f in webp)
    assert all(np.array_equal(f[..., 3] > 0, np.asarray(alpha) >= 128) for f in gif)


@pytest.mark.parametrize("kind", [".gif", ".webp", ".png"])
def test_it_says_who_made_it_and_how(tmp_path, kind):
    source = write(tmp_path / "a.gif", frames())
    made = convert_animation(source, tmp_path / f"out{kind}", lambda f: f, made_by=RECIPE)
    assert read_recipe(made) == RECIPE
    assert inspect_file(made).by_ai
    with Image.open(made) as image:
        assert image.n_frames == 4


def test_what_is_no_frame_is_left_out(tmp_path):
    """A PNG may begin with a picture for programs that know no animations."""
    still = Image.new("RGB", (40, 24), "white")
    still.save(tmp_path / "a.png", save_all=True, default_image=True, append_images=frames(), duration=DURATIONS)
    assert animation_info(tmp_path / "a.png").count == 4
    assert first_animation_frame(tmp_path / "a.png").getpixel((0, 0)) == (30, 60, 90)
    assert len(read(convert_animation(tmp_path / "a.png", tmp_path / "out.webp", lambda f: f))[0]) == 4
    still.save(tmp_path / "b.png", save_all=True, default_image=True, append_images=frames()[:1])
    assert animation_info(tmp_path / "b.png") is None
    assert open_source(tmp_path / "b.png").remark == ""


def test_a_frame_without_a_duration_is_shown_as_browsers_show_it(tmp_path):
    source = write(tmp_path / "a.gif", frames(), duration=0)
    assert read(convert_animation(source, tmp_path / "out.gif", lambda f: f))[1] == [100] * 4


def test_stopped_or_failed_nothing_is_left(tmp_path):
    source, count = write(tmp_path / "a.gif", frames()), []
    with pytest.raises(CancelledError):
        convert_animation(source, tmp_path / "out.gif", lambda f: count.append(1) or f, cancel=lambda: len(count) == 2)
    assert len(count) == 2

    def refuse(frame):
        raise StudioError("No.", "Never.")

    with pytest.raises(StudioError, match=r"No\."):
        convert_animation(source, tmp_path / "out.gif", refuse)
    data = source.read_bytes()
    (tmp_path / "cut.gif").write_bytes(data[: len(data) * 2 // 3])
    with pytest.raises(StudioError, match="cannot be read"):
        convert_animation(tmp_path / "cut.gif", tmp_path / "out.gif", lambda f: f)
    frames()[0].save(tmp_path / "still.gif")
    with pytest.raises(StudioError, match="does not move"):
        convert_animation(tmp_path / "still.gif", tmp_path / "out.gif", lambda f: f)
    assert sorted(os.listdir(tmp_path)) == ["a.gif", "cut.gif", "still.gif"]


@pytest.mark.parametrize(("kind", "size", "words"), [("webp", (16384, 8), "16,383 px"), ("png", (16000, 8000), "too much for one PNG")])
def test_what_its_file_type_cannot_hold_is_refused(tmp_path, kind, size, words):
    class Huge(Image.Image):  # of the size alone
        def __init__(self):
            super().__init__()
            self._size = size

    with pytest.raises(StudioError, match=words):
        convert_animation(write(tmp_path / "a.gif", frames()), tmp_path / f"out.{kind}", lambda f: Huge())
    assert os.listdir(tmp_path) == ["a.gif"]
