"""Picture files of all kinds, opened for a translation, and many of them into a zip."""

import hashlib
import io
import struct
import zipfile
from concurrent.futures import CancelledError

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from studio.datasets.sources import UploadedFile
from studio.errors import StudioError
from studio.outputs.batches import Made, SourcePicture, batch_files, open_source, process_files, reduced
from studio.outputs.upscaled_picture import open_upscale_source


def picture(width=40, height=24, mode="RGB") -> Image.Image:
    yy, xx = np.mgrid[:height, :width]
    pixels = np.stack([xx * 6, yy * 10, (xx + yy) * 3], axis=-1).astype(np.uint8)
    return Image.fromarray(pixels).convert(mode)


def test_a_picture_is_opened_as_it_is(tmp_path):
    picture().save(tmp_path / "a.png")
    source = open_source(tmp_path / "a.png")
    assert np.array_equal(np.asarray(source.picture), np.asarray(picture()))
    assert source.remark == ""
    assert source.name == "a.png"
    assert source.hash == hashlib.sha256((tmp_path / "a.png").read_bytes()).hexdigest()


def test_turned_by_exif(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    picture().save(tmp_path / "a.png", exif=exif)
    opened = open_source(tmp_path / "a.png").picture
    assert opened.size == (24, 40)
    assert np.array_equal(np.asarray(opened), np.rot90(np.asarray(picture()), -1))


@pytest.mark.parametrize(
    ("mode", "kept"), [("L", "L"), ("LA", "RGB"), ("P", "RGB"), ("1", "RGB"), ("I;16", "L"), ("CMYK", "RGB"), ("RGBA", "RGB")]
)
def test_modes(tmp_path, mode, kept):
    made = picture(mode="L").convert("I;16") if mode == "I;16" else picture(mode=mode)
    made.save(tmp_path / "a.tif")
    opened = open_source(tmp_path / "a.tif").picture
    assert opened.mode == kept
    assert opened.size == (40, 24)


def test_transparency_stays_where_there_is_any(tmp_path):
    clear = picture(mode="RGBA")
    clear.putpixel((3, 4), (10, 20, 30, 0))
    clear.save(tmp_path / "a.png")
    assert np.array_equal(np.asarray(open_source(tmp_path / "a.png").picture), np.asarray(clear))


def test_one_pixel(tmp_path):
    picture(1, 1).save(tmp_path / "a.png")
    assert open_source(tmp_path / "a.png").picture.size == (1, 1)


def linear_profile() -> bytes:
    """An ICC profile (ICC.1:2001-04) with the primaries of sRGB, whose numbers are light itself: no curve."""

    def fixed(*values: float) -> bytes:
        return struct.pack(f">{len(values)}i", *(round(v * 65536) for v in values))

    tags = {b"desc": b"desc\0\0\0\0" + struct.pack(">I", 7) + b"linear\0" + bytes(79), b"wtpt": b"XYZ \0\0\0\0" + fixed(0.9642, 1, 0.8249)}
    primaries = {b"r": (0.43607, 0.22249, 0.01392), b"g": (0.38515, 0.71687, 0.09708), b"b": (0.14307, 0.06061, 0.71410)}  # as seen by D50
    for name, xyz in primaries.items():
        tags[name + b"XYZ"] = b"XYZ \0\0\0\0" + fixed(*xyz)
        tags[name + b"TRC"] = b"curv\0\0\0\0" + struct.pack(">I", 0)
    table, body, at = struct.pack(">I", len(tags)), b"", 132 + 12 * len(tags)
    for name, data in tags.items():
        table += name + struct.pack(">II", at + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    size = 128 + len(table) + len(body)
    made = struct.pack(">6H", 2026, 1, 1, 0, 0, 0)
    head = struct.pack(">I4sI4s4s4s12s4s", size, b"none", 0x02100000, b"mntr", b"RGB ", b"XYZ ", made, b"acsp")
    return head + bytes(28) + fixed(0.9642, 1, 0.8249) + bytes(48) + table + body


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_a_profile_is_turned_into_srgb(tmp_path, mode):
    made = picture(mode="RGB")
    if mode == "RGBA":
        made.putalpha(Image.linear_gradient("L").resize(made.size))
    made.save(tmp_path / "a.png", icc_profile=linear_profile())
    light = np.asarray(made)[..., :3] / 255
    due = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055) * 255  # IEC 61966-2-1
    opened = np.asarray(open_source(tmp_path / "a.png").picture)
    assert np.abs(opened[..., :3] - due).max() < 2
    assert np.array_equal(opened[..., 3:], np.asarray(made)[..., 3:])


def test_a_profile_that_changes_nothing_or_does_not_fit_is_left_alone(tmp_path):
    named = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    other = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    for i, profile in enumerate((named, other, b"no profile at all" * 20)):
        picture().save(tmp_path / f"{i}.png", icc_profile=profile)
        assert np.array_equal(np.asarray(open_source(tmp_path / f"{i}.png").picture), np.asarray(picture())), i
    picture(mode="L").save(tmp_path / "grey.png", icc_profile=linear_profile())
    assert np.array_equal(np.asarray(open_source(tmp_path / "grey.png").picture), np.asarray(picture(mode="L")))


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF", "AVIF"])
def test_other_frames_and_pages_are_mentioned_wherever_one_is_taken(tmp_path, kind):
    others = [ImageOps.invert(picture())]
    picture().save(tmp_path / "several", kind, save_all=True, append_images=others)
    picture().save(tmp_path / "one", kind)
    for opens in (open_source, open_upscale_source):
        assert "only its first picture" in opens(tmp_path / "several").remark
        assert opens(tmp_path / "one").remark == ""


def test_an_animation_says_that_one_picture_was_taken(tmp_path):
    frames = [picture(), ImageOps.invert(picture())]
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:], lossless=True)
    source = open_source(tmp_path / "a.webp")
    assert "only its first picture" in source.remark
    assert np.array_equal(np.asarray(source.picture.convert("RGB")), np.asarray(frames[0]))


def test_60_megapixels_are_opened_and_more_are_refused(tmp_path):
    Image.new("1", (10_000, 6_000)).save(tmp_path / "large.png")
    assert open_source(tmp_path / "large.png").picture.size == (10_000, 6_000)
    Image.new("1", (10_000, 7_000)).save(tmp_path / "huge.png")
    with pytest.raises(StudioError, match=r"'huge.png' is too large: 10000 x 7000 pixels, 67 million are allowed"):
        open_source(tmp_path / "huge.png")


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("empty.jpg", b"", "'empty.jpg' is empty: the file has 0 bytes"),
        ("words.png", b"hello", "'words.png' is not a picture, or a damaged one"),
        ("page.ps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture"),
    ],
)
def test_what_cannot_be_used_is_told(tmp_path, name, data, words):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(StudioError, match=words):
        open_source(tmp_path / name)
    with pytest.raises(StudioError, match="cannot be read"):
        open_source(tmp_path / "gone.png")


def test_a_cut_picture_is_told(tmp_path):
    buffer = io.BytesIO()
    picture(400, 300).save(buffer, "JPEG")
    (tmp_path / "cut.jpg").write_bytes(buffer.getvalue()[:2000])
    with pytest.raises(StudioError, match=r"'cut.jpg' cannot be read: .*truncated"):
        open_source(tmp_path / "cut.jpg")


def make(source: SourcePicture) -> Made:
    result, buffer = ImageOps.invert(source.picture.convert("RGB")), io.BytesIO()
    result.save(buffer, "PNG")
    return Made(result, buffer.getvalue())


def handed_in(tmp_path) -> list:
    """Two pictures of one name, a broken one, and one that is called like the report."""
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
    picture().save(tmp_path / "one" / "sea.png")
    (tmp_path / "one" / "broken.png").write_bytes(b"no")
    picture(30, 50).save(tmp_path / "two" / "sea.jpg", quality=100)
    picture(8, 8).save(tmp_path / "two" / "report.png")
    return [tmp_path / "one" / "sea.png", tmp_path / "one" / "broken.png", tmp_path / "two" / "sea.jpg", tmp_path / "two" / "report.png"]


def test_a_zip_keeps_names_and_a_broken_file_stops_nothing(tmp_path):
    told = []
    outcomes = process_files(make, handed_in(tmp_path), tmp_path / "out" / "all.zip", "Model: Ink.", lambda *a: told.append(a))
    assert [o.entry for o in outcomes] == ["sea.png", "", "sea-2.png", "report.png"]
    assert outcomes[1].sentence == "'broken.png' is not a picture, or a damaged one."
    assert told[0] == (0, 4, "sea.png")
    assert len(told) == 4
    with zipfile.ZipFile(tmp_path / "out" / "all.zip") as archive:
        assert archive.testzip() is None
        assert sorted(archive.namelist()) == ["report.png", "report.txt", "sea-2.png", "sea.png"]
        with Image.open(archive.open("sea.png")) as first:
            assert np.array_equal(np.asarray(first), 255 - np.asarray(picture()))
        with Image.open(archive.open("sea-2.png")) as second:
            assert second.size == (30, 50)
        report = archive.read("report.txt").decode()
    for words in ("made by AI", "Model: Ink.", "sea.jpg -> sea-2.png", "'broken.png' is not a picture"):
        assert words in report


def test_stopping_keeps_what_is_done(tmp_path):
    files, count = handed_in(tmp_path), []
    outcomes = process_files(lambda s: count.append(1) or make(s), files, tmp_path / "all.zip", cancel=lambda: len(count) == 1)
    assert [bool(o.entry) for o in outcomes] == [True, False, False, False]
    assert "you stopped" in outcomes[-1].sentence
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        assert archive.namelist() == ["sea.png", "report.txt"]

    def stopped_inside(source):
        raise CancelledError()

    assert not any(o.entry for o in process_files(stopped_inside, files, tmp_path / "none.zip"))
    assert not (tmp_path / "none.zip").exists()
    assert not list(tmp_path.glob(".*"))


def test_where_nothing_can_be_used_there_is_no_zip(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no")
    assert not process_files(make, [tmp_path / "a.png"], tmp_path / "all.zip")[0].entry
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_reduced():
    assert reduced(picture(400, 10), 100).size == (100, 2)
    assert reduced(picture(400, 1), 100).size == (100, 1)
    assert reduced(picture(40, 24), 100).size == (40, 24)


def test_a_zip_in_keeps_its_tree(tmp_path):
    file = io.BytesIO()
    picture().save(file, "PNG")
    (tmp_path / "loose.png").write_bytes(file.getvalue())
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as z:
        for name in ("cats/1.png", "dogs/1.png", "dogs/{2}.png", "__MACOSX/._1.png"):
            z.writestr(name, file.getvalue())
        z.writestr("notes.txt", "about cats")
        z.writestr("../out.png", file.getvalue())
    (tmp_path / "scratch").mkdir()
    files, refused = batch_files([tmp_path / "loose.png", tmp_path / "set.zip"], tmp_path / "scratch")
    assert [name for _, name in files] == ["loose", "cats/1", "dogs/1", "dogs/{2}", "notes"]
    assert [o.name for o in refused] == ["set.zip/../out.png"]
    assert "outside" in refused[0].problem
    outcomes = process_files(
        lambda opened: Made(opened.picture, file.getvalue()),
        [f for f, _ in files],
        tmp_path / "made.zip",
        names=[name for _, name in files],
    )
    assert [o.entry for o in outcomes] == ["loose.png", "cats/1.png", "dogs/1.png", "dogs/{2}.png", ""]
    with zipfile.ZipFile(tmp_path / "made.zip") as made:
        assert sorted(made.namelist()) == ["cats/1.png", "dogs/1.png", "dogs/{2}.png", "loose.png", "report.txt"]
    assert not (tmp_path / "out.png").exists()


def test_an_uploaded_folder_keeps_its_tree_and_results_have_their_own_endings(tmp_path):
    picture().save(tmp_path / "1.png")
    given = [UploadedFile(tmp_path / "1.png", name) for name in ("pets/cats/{1}.png", "pets/dogs/1.png", "pets/1.png", "pets/.DS_Store")]
    files, refused = batch_files(given, tmp_path)
    assert [name for _, name in files] == ["cats/{1}", "dogs/1", "1"]
    assert not refused
    two, _ = batch_files([*given[:1], UploadedFile(tmp_path / "1.png", "wild/cats/1.png")], tmp_path)
    assert [name for _, name in two] == ["pets/cats/{1}", "wild/cats/1"], "two folders stay apart"
    endings = iter([".jpg", ".gif", ".png"])
    outcomes = process_files(
        lambda opened: Made(opened.picture, b"some", next(endings), "Few colours."),
        [f for f, _ in files],
        tmp_path / "made.zip",
        names=[name for _, name in files],
    )
    assert [o.entry for o in outcomes] == ["cats/{1}.jpg", "dogs/1.gif", "1.png"]
    with zipfile.ZipFile(tmp_path / "made.zip") as made:
        assert "(Few colours.)" in made.read("report.txt").decode()
