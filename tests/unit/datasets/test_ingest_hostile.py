"""Archives and folders made to do harm: refused with a reason, and nothing written where it does not belong."""

import io
import os
import struct
import sys
import zipfile
import zlib

import pytest
from PIL import Image

from studio.common.text import UniqueNames, printable, safe_filename
from studio.datasets.ingest import ingest
from studio.datasets.sources import Limits, file_format, open_sources
from studio.errors import StudioError


def png(colour=(1, 2, 3), side=40) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (side, side), colour).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def home(tmp_path):
    return tmp_path / "a" / "b" / "c" / "home"


def everything(folder) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*")}


def reasons(report) -> dict[str, str]:
    return dict(report.rejected)


def test_names_that_lead_outside(tmp_path, home):
    evil = ["../../../out.png", "/etc/out.png", "C:\\out.png", "..\\..\\out.png", "a/../../out.png", "//host/out.png"]
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as z:
        z.writestr("good.png", png())
        for i, name in enumerate(evil):
            z.writestr(name, png((i, 9, 9)))
    before = everything(tmp_path)
    report = ingest([tmp_path / "evil.zip"], owned=True, home=home)
    assert [a.name for a in report.accepted] == ["good.png"]
    assert len(report.rejected) == len(evil)
    assert set(reasons(report).values()) == {"its name leads outside of the zip"}
    new = {p for p in everything(tmp_path) - before if not p.startswith(os.path.join("a", "b", "c", "home"))}
    assert new <= {"a", os.path.join("a", "b"), os.path.join("a", "b", "c")}, new
    report.discard()
    assert not list(home.iterdir())


def test_absurd_names(tmp_path, home):
    with zipfile.ZipFile(tmp_path / "s.zip", "w") as z:
        for i, name in enumerate(
            ["a\nb.png", "x" * 300 + ".png", "/".join("d" * 40) + "/a.png", "CON.png", "‮gnp.exe.png", "....png", "e\u0301.png"]
        ):
            z.writestr(name, png((i, 0, 0)))
    report = ingest([tmp_path / "s.zip"], owned=True, home=home, classes=False)
    assert sorted(reasons(report).values()) == ["an absurdly long name", "control characters in its name", "more than 12 folders deep"]
    assert all(n.isprintable() and len(n) < 200 for n in reasons(report))
    assert sorted(a.name for a in report.accepted) == ["_CON.png", "_gnp.exe.png", "\u00e9.png"]
    assert report.ignored == 1, "a name that begins with a dot"


def test_links_are_not_followed(tmp_path, home):
    secret = tmp_path / "secret.png"
    secret.write_bytes(png((7, 7, 7)))
    link = zipfile.ZipInfo("link.png")
    link.external_attr = 0o120777 << 16
    pipe = zipfile.ZipInfo("pipe.png")
    pipe.external_attr = 0o010644 << 16
    with zipfile.ZipFile(tmp_path / "s.zip", "w") as z:
        z.writestr(link, str(secret))
        z.writestr(pipe, b"")
    assert list(reasons(ingest([tmp_path / "s.zip"], owned=True, home=home)).values()) == [
        "a link; links are not followed",
        "not an ordinary file",
    ]


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
def test_links_and_pipes_in_a_folder(tmp_path, home):
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "s.png").write_bytes(png((7, 7, 7)))
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "good.png").write_bytes(png())
    (tmp_path / "p" / "file.png").symlink_to(tmp_path / "secret" / "s.png")
    (tmp_path / "p" / "folder").symlink_to(tmp_path / "secret")
    (tmp_path / "p" / "loop").symlink_to(tmp_path / "p")
    os.mkfifo(tmp_path / "p" / "pipe.png")  # opening it would wait for ever
    report = ingest([tmp_path / "p"], owned=True, home=home)
    assert [a.name for a in report.accepted] == ["good.png"]
    assert reasons(report) == {
        "p/file.png": "a link; links are not followed",
        "p/folder": "a link to a folder; links are not followed",
        "p/loop": "a link to a folder; links are not followed",
        "p/pipe.png": "not an ordinary file",
    }


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path, home, monkeypatch):
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as z:
        for i in range(4):
            with z.open(f"{i}.bmp", "w") as f:
                for _ in range(40):
                    f.write(bytes(1 << 20))
    monkeypatch.setattr(zipfile.ZipExtFile, "read", lambda *a: pytest.fail("unpacked"))
    report = ingest([tmp_path / "bomb.zip"], owned=True, home=home)
    assert not report.accepted
    assert "a zip bomb" in reasons(report)["bomb.zip"]


def test_one_bomb_among_pictures_costs_only_itself(tmp_path, home):
    with zipfile.ZipFile(tmp_path / "s.zip", "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("good.png", png())
        z.writestr("bomb.bmp", b"BM" + bytes(20 << 20))
    report = ingest([tmp_path / "s.zip"], owned=True, home=home)
    assert len(report) == 1
    assert "a bomb" in reasons(report)["s.zip/bomb.bmp"]


def test_a_member_that_lies_about_its_size(tmp_path, home):
    with zipfile.ZipFile(tmp_path / "s.zip", "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("lie.bmp", b"BM" + bytes(50 << 20))
        z.writestr("good.png", png())
    data = bytearray((tmp_path / "s.zip").read_bytes())
    at = data.find(b"PK\x01\x02")
    data[at + 24 : at + 28] = struct.pack("<I", 1000)
    (tmp_path / "s.zip").write_bytes(data)
    report = ingest([tmp_path / "s.zip"], owned=True, home=home)
    assert [a.name for a in report.accepted] == ["good.png"]
    assert list(reasons(report)) == ["s.zip/lie.bmp"]


def test_members_that_share_their_bytes(tmp_path, home):
    """As D. Fifield's bomb: a list of many members over one piece of data."""
    with zipfile.ZipFile(tmp_path / "s.zip", "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("0.bmp", b"BM" + bytes(4 << 20))
    data = (tmp_path / "s.zip").read_bytes()
    at, end = data.find(b"PK\x01\x02"), data.find(b"PK\x05\x06")
    record = data[at:end]
    last = data[end:]
    last = last[:8] + struct.pack("<HH", 500, 500) + struct.pack("<I", len(record) * 500) + last[16:]
    (tmp_path / "s.zip").write_bytes(data[:at] + record * 500 + last)
    assert "a zip bomb" in reasons(ingest([tmp_path / "s.zip"], owned=True, home=home))["s.zip"]


def test_an_endless_list_of_members_is_not_read(tmp_path, home, monkeypatch):
    with zipfile.ZipFile(tmp_path / "s.zip", "w") as z:
        for i in range(60):
            z.writestr(f"{i}{'x' * 100}.png", b"")
    monkeypatch.setattr(zipfile, "ZipFile", lambda *a: pytest.fail("open_sources"))
    assert "absurdly long list" in reasons(ingest([tmp_path / "s.zip"], owned=True, home=home, limits=Limits(files=5)))["s.zip"]


def test_locked_nested_and_oddly_packed(tmp_path, home):
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as z:
        z.writestr("a.png", png())
    with zipfile.ZipFile(tmp_path / "s.zip", "w") as z:
        z.writestr("good.png", png())
        z.writestr("inner.zip", inner.getvalue())
        z.writestr("inner.png", inner.getvalue())
        z.writestr("odd.png", png((5, 5, 5)), zipfile.ZIP_BZIP2)
        z.writestr("locked.png", png((6, 6, 6)))
    data = bytearray((tmp_path / "s.zip").read_bytes())
    at = data.rfind(b"PK\x01\x02")
    data[at + 8] |= 1
    (tmp_path / "s.zip").write_bytes(data)
    report = ingest([tmp_path / "s.zip"], owned=True, home=home)
    assert len(report) == 1
    assert reasons(report) == {
        "s.zip/inner.zip": "a zip inside; give it by itself",
        "s.zip/inner.png": "a zip inside; give it by itself",
        "s.zip/odd.png": "packed in an unusual way; make the zip again in the ordinary one",
        "s.zip/locked.png": "locked with a password",
    }


def test_damaged_zips_and_missing_paths(tmp_path, home):
    (tmp_path / "cut.zip").write_bytes(b"PK\x03\x04 and no more")
    (tmp_path / "text.zip").write_bytes(b"hello")
    (tmp_path / "good.png").write_bytes(png())
    report = ingest([tmp_path / "cut.zip", tmp_path / "good.png", tmp_path / "text.zip"], owned=True, home=home)
    assert len(report) == 1
    assert all("a zip that cannot be read" in r for r in reasons(report).values())
    assert len(report.rejected) == 2
    report.discard()
    with pytest.raises(StudioError, match="There is nothing at"):
        ingest([tmp_path / "good.png", tmp_path / "gone.png"], owned=True, home=home)
    (tmp_path / "many").mkdir()
    for i in range(4):
        (tmp_path / "many" / f"{i}.png").write_bytes(b"")
    with pytest.raises(StudioError, match="more than 3 files"):
        ingest([tmp_path / "many"], owned=True, home=home, limits=Limits(files=3))
    assert not list(home.iterdir())


def test_pictures_that_are_too_small_too_large_or_no_pictures(tmp_path, home):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"0" * 100)) + chunk(b"IEND", b"")
    files = {
        "bomb.png": bomb,
        "tiny.png": png(side=31),
        "big.png": png(side=130),
        "long.png": png() + bytes(40_000),
        "cut.png": png(side=64)[:-30],
        "text.png": b"hello",
        "notes.txt": b"hello",
        "empty.jpg": b"",
        "photo.nef": b"II*\0" + bytes(100),
        "film.m3u8": b"#EXTM3U\nhttp://example.org/a.ts\n",
        "list.mp4": b"ffconcat version 1.0\nfile /etc/passwd\n",
        ".DS_Store": b"x",
        "Thumbs.db": b"x",
    }
    (tmp_path / "p").mkdir()
    for name, data in files.items():
        (tmp_path / "p" / name).write_bytes(data)
    report = ingest([tmp_path / "p"], owned=True, home=home, limits=Limits(max_pixels=128 * 128, file_bytes=30_000))
    why = {name.removeprefix("p/"): text for name, text in report.rejected}
    assert not report.accepted
    assert report.ignored == 2
    assert set(why) == set(files) - {".DS_Store", "Thumbs.db"}
    assert "pixels" in why["bomb.png"]
    assert why["tiny.png"].startswith("too small: 31 x 31")
    assert why["big.png"].startswith("too large: 130 x 130")
    assert why["long.png"] == "larger than 0 MB"
    assert why["photo.nef"].startswith("a camera raw file")
    assert "truncated" in why["cut.png"]
    assert all(why[n] == "not a picture or a video" for n in ("text.png", "notes.txt", "empty.jpg", "film.m3u8", "list.mp4"))


def test_what_the_first_bytes_say():
    assert file_format(b"\xff\xd8\xff\xe0") == "picture"
    assert file_format(b"%!PS-Adobe") == ""
    assert file_format(b"\x1aE\xdf\xa3") == "matroska"
    assert file_format(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic") == "picture"
    assert file_format(b"\0\0\0\x18ftypmp42\0\0\0\0isommp42") == "mov"
    assert file_format(b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif") == "picture"
    assert file_format(b"RIFF\0\0\0\0WAVE") == ""
    assert file_format(b"") == ""
    assert file_format(b"\xff\xff\xff\xffftypmp42") == "mov"


def test_names_become_safe():
    assert safe_filename("a/b\\c:d*?.x") == "a_b_c_d__.x"
    assert safe_filename(" . ") == "picture"
    assert safe_filename("nul") == "_nul"
    assert len(safe_filename("ü" * 500).encode()) <= 180
    assert safe_filename("\udcff").isprintable()
    assert "\n" not in printable("a\nb")
    assert len(printable("x" * 1000)) < 200
    unique = UniqueNames()
    assert [unique("", n, ".png") for n in ("a", "A", "a", "a-2", "b")] == ["a.png", "A-2.png", "a-3.png", "a-2-2.png", "b.png"]


def test_sources_are_listed_without_being_read(tmp_path):
    with zipfile.ZipFile(tmp_path / "s.zip", "w") as z:
        z.writestr("b/2.png", b"22")
        z.writestr("a/1.png", b"1")
    with open_sources([tmp_path / "s.zip"]) as found:
        assert [(e.name, e.folders, e.size) for e in found.files] == [("s.zip/a/1.png", ("s", "a"), 1), ("s.zip/b/2.png", ("s", "b"), 2)]
