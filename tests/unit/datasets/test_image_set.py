import io
import os
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from studio.datasets.image_set import ImageSet
from studio.errors import StudioError


def test_classes_and_order(pictures, tmp_path):
    s = ImageSet.open(pictures, 16, tmp_path / "cache")
    assert s.array.shape == (24, 16, 16, 3)
    assert s.classes == ("disc", "square")
    assert s.labels.tolist() == [0] * 12 + [1] * 12
    first = sorted((pictures / "disc").iterdir())[0]
    assert np.array_equal(s.array[0], np.asarray(Image.open(first))), "pictures of the right size are not touched"


def test_a_zip_is_the_same_set_as_its_folder(pictures, tmp_path):
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as z:
        for file in sorted(pictures.rglob("*.png"), reverse=True):
            z.write(file, file.relative_to(pictures))
        z.writestr("LICENSE.txt", "free")
        z.writestr("__MACOSX/disc/._000.png", b"x")
    a, b = (ImageSet.open(p, 16, tmp_path / "cache") for p in (pictures, tmp_path / "set.zip"))
    assert a.hash == b.hash
    assert np.array_equal(a.array, b.array)
    (pictures / "disc" / "new.png").write_bytes((sorted((pictures / "disc").iterdir())[0]).read_bytes())
    assert ImageSet.open(pictures, 16, tmp_path / "cache").hash != a.hash


def test_odd_pictures(tmp_path):
    folder = tmp_path / "p"
    folder.mkdir()
    wide = Image.new("RGB", (40, 20), (255, 0, 0))
    wide.paste((0, 255, 0), (10, 0, 30, 20))
    wide.save(folder / "a-wide.png")
    Image.new("RGBA", (8, 8), (0, 0, 255, 0)).save(folder / "b-clear.png")
    Image.new("CMYK", (8, 8), (0, 0, 0, 255)).save(folder / "c-cmyk.jpg")
    Image.fromarray(np.full((8, 8), 65535, np.uint16)).save(folder / "d-deep.png")
    turned = Image.new("RGB", (8, 8))
    turned.paste((255, 255, 255), (0, 0, 8, 4))
    exif = Image.Exif()
    exif[0x0112] = 3
    turned.save(folder / "e-turned.png", exif=exif)
    (folder / "f-broken.png").write_bytes(b"\x89PNG broken")
    s = ImageSet.open(folder, 8, tmp_path / "cache")
    assert len(s) == 5
    assert s.labels is None
    assert s.classes == ()
    assert [name for name, _ in s.skipped] == ["f-broken.png"]
    assert s.array[0].reshape(-1, 3).tolist() == [[0, 255, 0]] * 64, "the centre square"
    assert (s.array[1] == 255).all(), "clear pixels show the ground"
    assert (s.array[2] < 50).all()
    assert (s.array[3] == 255).all()
    assert (s.array[4][:4] == 0).all(), "turned upright"
    assert (s.array[4][4:] == 255).all(), "turned upright"


def test_a_disguised_postscript_file_is_never_run(tmp_path):
    folder = tmp_path / "p"
    folder.mkdir()
    Image.new("RGB", (8, 8)).save(folder / "a.png", format="EPS")
    Image.new("RGB", (8, 8)).save(folder / "b.png")
    s = ImageSet.open(folder, 8, tmp_path / "cache")
    assert len(s) == 1
    assert s.skipped == (("a.png", "not a picture, or a damaged one"),)


def test_nothing_usable(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "not.zip").write_bytes(b"not a zip")
    broken = io.BytesIO()
    with zipfile.ZipFile(broken, "w") as z:
        z.writestr("a.png", b"broken")
    (tmp_path / "broken.zip").write_bytes(broken.getvalue())
    for name in ("empty", "not.zip", "missing", "broken.zip"):
        with pytest.raises(StudioError):
            ImageSet.open(tmp_path / name, 8, tmp_path / "cache")


def png(colour=(1, 2, 3), side=8) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (side, side), colour).save(file, "PNG")
    return file.getvalue()


def make_zip(path, members, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as z:
        for name, data in members.items():
            z.writestr(name, data)
    return path


def wrong_checksum(data):
    data[data.find(b"IDAT") + 6] ^= 0xFF


def broken_stream(data):
    at = data.find(b"a.png") + 5
    data[at : at + 20] = b"\xff" * 20


def locked(data):
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.find(signature) + offset] |= 1


def unknown_method(data):
    for signature, offset in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        data[data.find(signature) + offset] = 99


@pytest.mark.parametrize("damage", [wrong_checksum, broken_stream, locked, unknown_method])
def test_a_damaged_member_costs_only_itself(tmp_path, damage):
    compression = zipfile.ZIP_DEFLATED if damage is broken_stream else zipfile.ZIP_STORED
    path = make_zip(tmp_path / "s.zip", {"a.png": png(side=64), "b.png": png((9, 9, 9))}, compression)
    data = bytearray(path.read_bytes())
    damage(data)
    path.write_bytes(data)
    s = ImageSet.open(path, 8, tmp_path / "cache")
    assert len(s) == 1
    assert (s.array[0] == 9).all()
    assert [name for name, _ in s.skipped] == ["a.png"]
    assert s.skipped[0][1]
    only = make_zip(tmp_path / "only.zip", {"b.png": png((9, 9, 9))})
    assert ImageSet.open(only, 8, tmp_path / "cache").hash == s.hash, "the hash is of what could be read"
    assert ImageSet.open(only, 8, tmp_path / "cache").skipped == (), "and each source tells its own faults"


def test_huge_pictures_and_huge_files_are_refused(tmp_path, monkeypatch):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"0" * 100)) + chunk(b"IEND", b"")
    monkeypatch.setattr("studio.datasets.picture_files._MAX_FILE_BYTES", 1 << 20)
    members = {"a.png": png(), "bomb.png": bomb, "large.png": bytes(2 << 20)}
    s = ImageSet.open(make_zip(tmp_path / "s.zip", members, zipfile.ZIP_DEFLATED), 8, tmp_path / "cache")
    assert len(s) == 1
    assert [name for name, _ in s.skipped] == ["bomb.png", "large.png"]
    monkeypatch.setattr("studio.datasets.picture_files._MAX_FILES", 2)
    with pytest.raises(StudioError, match="more than 2 files"):
        ImageSet.open(tmp_path / "s.zip", 8, tmp_path / "cache")


@pytest.mark.parametrize(
    ("names", "classes", "labels"),
    [
        (["top/elf/1.png", "top/orc/1.png", "top/orc/2.png"], ("elf", "orc"), [0, 1, 1]),
        (["elf/f/1.png", "elf/m/1.png", "orc/f/1.png"], ("elf/f", "elf/m", "orc/f"), [0, 1, 2]),
        (["top/1.png", "top/more/1.png"], ("top", "more"), [0, 1]),
        (["1.png", "more/1.png"], ("other", "more"), [0, 1]),
        (["deep/down/1.png", "deep/down/2.png"], (), None),
    ],
)
def test_classes_are_the_folders_below_the_common_one(tmp_path, names, classes, labels):
    path = make_zip(tmp_path / "s.zip", {name: png((i, i, i)) for i, name in enumerate(names)})
    s = ImageSet.open(path, 8, tmp_path / "cache")
    assert s.classes == classes
    assert labels is s.labels is None or s.labels.tolist() == labels
    assert s.array[:, 0, 0, 0].tolist() == list(range(len(names)))


def test_a_class_of_broken_files_is_no_class(tmp_path):
    path = make_zip(tmp_path / "s.zip", {"a/1.png": png(), "b/1.png": b"broken", "c/1.png": png()})
    s = ImageSet.open(path, 8, tmp_path / "cache")
    assert s.classes == ("a", "c")
    assert s.labels.tolist() == [0, 1]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a file name is text")
def test_a_file_name_that_is_no_text(tmp_path):
    (tmp_path / "p").mkdir()
    with open(os.fsencode(tmp_path / "p") + b"/\xff.png", "wb") as f:
        f.write(png())
    (tmp_path / "p" / "broken.png").write_bytes(b"x")
    (tmp_path / "p" / "dangling.png").symlink_to("nowhere")
    for _ in range(2):
        s = ImageSet.open(tmp_path / "p", 8, tmp_path / "cache")
        assert len(s) == 1
        assert [name for name, _ in s.skipped] == ["broken.png"]


def test_a_folder_has_the_order_of_its_zip_even_with_odd_names(tmp_path):
    names = ["a-b/1.png", "a/1.png", "a/2.png", "B/1.png"]
    for i, name in enumerate(names):
        (tmp_path / "p" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "p" / name).write_bytes(png((i, i, i)))
    path = make_zip(tmp_path / "s.zip", {name: png((i, i, i)) for i, name in enumerate(names)})
    assert ImageSet.open(tmp_path / "p", 8, tmp_path / "c1").hash == ImageSet.open(path, 8, tmp_path / "c2").hash


@pytest.mark.parametrize("file", ["images.npy", "labels.npy", "set.json"])
def test_a_damaged_cache_is_made_anew(pictures, tmp_path, file):
    first = ImageSet.open(pictures, 16, tmp_path / "cache")
    pixels = first.array.copy()
    kept = next((tmp_path / "cache").rglob(file))
    kept.write_bytes(kept.read_bytes()[:40])
    again = ImageSet.open(pictures, 16, tmp_path / "cache")
    assert np.array_equal(again.array, pixels)
    assert again.labels.tolist() == first.labels.tolist()


def test_the_cache_spares_the_decoding(pictures, tmp_path):
    calls = []
    for _ in range(2):
        ImageSet.open(pictures, 16, tmp_path / "cache", progress=lambda done, all: calls.append((done, all)))
    assert calls == [(i + 1, 24) for i in range(24)]


def test_pictures_that_change_while_they_are_read(pictures, tmp_path):
    first = sorted(pictures.rglob("*.png"))[0]

    def meddle(done, all):
        sorted(pictures.rglob("*.png"))[-1].write_bytes(first.read_bytes())

    with pytest.raises(StudioError, match="changed while it was read"):
        ImageSet.open(pictures, 16, tmp_path / "cache", progress=meddle)
    assert not list((tmp_path / "cache").rglob("set.json"))


@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit on the size of files")
def test_a_full_disk_is_not_taken_for_broken_pictures(pictures, tmp_path):
    code = (
        "import resource, sys\n"
        "from studio.datasets.image_set import ImageSet\n"
        "from studio.errors import StudioError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))\n"  # as a disk with room for ten of the pictures
        "try:\n"
        "    print(len(ImageSet.open(sys.argv[1], 16, sys.argv[2])))\n"
        "except StudioError as e:\n"
        "    print('refused:', e)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(pictures), str(tmp_path / "cache")], capture_output=True, text=True)
    assert done.stdout.startswith("refused:"), done
    assert "disk" in done.stdout, done
    assert not [p for p in (tmp_path / "cache").rglob("*") if p.is_file() and p.stat().st_size]
    assert len(ImageSet.open(pictures, 16, tmp_path / "cache")) == 24


def test_processes_that_begin_at_once_share_one_cache(pictures, tmp_path):
    """As those of one training on several cards do; each time the cache is cold."""
    code = (
        "import sys\n"
        "from studio.datasets.image_set import ImageSet\n"
        "for i in range(12):\n"
        "    sys.stdin.readline()\n"
        "    print(len(ImageSet.open(sys.argv[1], 16, f'{sys.argv[2]}/{i}')), flush=True)\n"
    )
    command = [sys.executable, "-c", code, str(pictures), str(tmp_path)]
    both = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for _ in range(12):
        for process in both:
            process.stdin.write("\n")
            process.stdin.flush()
        assert [process.stdout.readline() for process in both] == ["24\n", "24\n"]
    for process in both:
        process.communicate()


def test_real_pictures_of_several_classes(tmp_path):
    with zipfile.ZipFile(Path(__file__).parent / "fixtures" / "lpc-characters-40.zip") as z:
        some = sorted(n for n in z.namelist() if n.endswith(".png"))
        assert len(some) == 40
        path = make_zip(tmp_path / "some.zip", {n: z.read(n) for n in reversed(some)})
        s = ImageSet.open(path, 64, tmp_path / "cache")
        assert s.classes == ("elf", "human", "orc", "redorc", "skeleton")
        assert len(s) == len(some)
        assert not s.skipped
        assert [s.classes[i] for i in s.labels] == [n.split("/")[1] for n in some]
        with Image.open(io.BytesIO(z.read(some[7]))) as image:
            assert image.size == (64, 64)
            white = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA")).convert("RGB")
            assert np.array_equal(s.array[7], np.asarray(white))
