"""Downloads from a real server that breaks off, lies, changes its files and leads elsewhere."""

import hashlib
import os
import random
import socket
from concurrent.futures import CancelledError, ThreadPoolExecutor

import pytest

from studio.common import addresses
from studio.common.addresses import is_public, private_ok, public_url
from studio.common.download import download_file, downloads_folder, exclusive, remove_download
from studio.errors import NoRoom, StudioError
from tests.web_server import Page, web_server

DATA = random.Random(0).randbytes(1_500_000)
SUM = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def web(studio_home):
    with web_server() as server:
        yield server


def kept() -> list[str]:
    """What lies in the folder of downloads."""
    return sorted(p.name.partition(".")[2] or p.name for p in downloads_folder().iterdir())


def get(web, path="/model.pkl", **options):
    return download_file(web.url + path, **{"private_ok": True, **options})


def test_a_file_comes_whole_with_its_name_and_checksum(web):
    web.pages["/a/My%20cats.pkl"] = Page(DATA)
    seen = []
    fetched = get(web, "/a/My%20cats.pkl?key=secret", sha256=SUM.upper(), progress=lambda *step: seen.append(step))
    assert fetched.path.name == "My cats.pkl"
    assert fetched.path.read_bytes() == DATA
    assert (fetched.sha256, fetched.nbytes, fetched.url) == (SUM, len(DATA), f"{web.url}/a/My%20cats.pkl")
    assert seen[0] == ("Downloading", 0, len(DATA))
    assert seen[-1] == ("Downloading", len(DATA), len(DATA))
    assert [s[1] for s in seen] == sorted(s[1] for s in seen)
    remove_download(fetched)
    assert kept() == []


@pytest.mark.parametrize(
    "page", [Page(DATA, length="none"), Page(DATA, ranges=False), Page(DATA, etag="")], ids=["chunks", "no ranges", "no tag"]
)
def test_servers_of_every_kind(web, page):
    web.pages["/model.pkl"] = page
    assert get(web).path.read_bytes() == DATA


def test_a_broken_download_goes_on_by_itself(web):
    web.pages["/model.pkl"] = Page(DATA, breaks=[400_000, 300_000])
    assert get(web).path.read_bytes() == DATA
    ranges = [headers.get("Range") for _, headers in web.asked]
    assert ranges == [None, "bytes=400000-", "bytes=700000-"]
    assert all(headers["If-Range"] == '"one"' for _, headers in web.asked[1:])


def test_a_download_that_broke_for_good_goes_on_the_next_time(web):
    web.pages["/model.pkl"] = Page(DATA, breaks=[500_000] + [0] * 9)
    with pytest.raises(StudioError, match=r"broke off after 0\.5 MB.*Try again"):
        get(web)
    web.pages["/model.pkl"].breaks.clear()
    fetched = get(web, sha256=SUM)
    assert fetched.path.read_bytes() == DATA
    assert web.asked[-1][1]["Range"] == "bytes=500000-"


def test_another_file_than_before_begins_anew(web):
    web.pages["/model.pkl"] = Page(b"x" * 2_000_000, breaks=[500_000, 0])
    with pytest.raises(StudioError):
        get(web)
    web.pages["/model.pkl"] = Page(DATA, etag='"two"')
    assert get(web).path.read_bytes() == DATA


def test_a_server_that_ignores_if_range_is_found_out(web):
    """It goes on with another file: its tag and its size tell."""
    for other in (Page(DATA, etag='"two"'), Page(DATA)):
        web.pages["/model.pkl"] = Page(b"x" * 2_000_000, breaks=[500_000, 0])
        with pytest.raises(StudioError):
            get(web)

        def forget(handler, page=other):
            del handler.headers["If-Range"]
            return False

        web.pages["/model.pkl"] = other
        other.answer = forget
        fetched = get(web)
        assert fetched.path.read_bytes() == DATA
        remove_download(fetched)


def test_a_shorter_file_than_what_is_here_begins_anew(web):
    web.pages["/model.pkl"] = Page(b"x" * 2_000_000, breaks=[1_600_000, 0])
    with pytest.raises(StudioError):
        get(web)
    web.pages["/model.pkl"] = Page(DATA)
    assert get(web).path.read_bytes() == DATA


def test_without_a_tag_nothing_is_gone_on_with(web):
    web.pages["/model.pkl"] = Page(DATA, etag="", breaks=[500_000, 500_000])
    with pytest.raises(StudioError, match="broke off"):
        get(web)
    assert get(web).path.read_bytes() == DATA
    assert not any("Range" in headers for _, headers in web.asked)


def test_a_date_serves_as_tag(web):
    web.pages["/model.pkl"] = Page(DATA, etag="", dated="Wed, 01 Jan 2025 00:00:00 GMT", breaks=[500_000])
    assert get(web).path.read_bytes() == DATA
    assert web.asked[1][1]["Range"] == "bytes=500000-"


@pytest.mark.parametrize("length", [len(DATA) + 1000, 10])
def test_a_server_that_lies_about_the_size(web, length):
    web.pages["/model.pkl"] = Page(DATA, length=length)
    with pytest.raises(StudioError) as e:
        get(web, sha256=SUM)
    assert "broke off" in e.value.message if length > len(DATA) else "as expected" in e.value.message


def test_a_wrong_checksum_leaves_nothing(web):
    web.pages["/model.pkl"] = Page(DATA)
    with pytest.raises(StudioError, match=f"has the SHA-256 {SUM[:12]}.*deleted"):
        get(web, sha256="0" * 64)
    assert kept() == []
    with pytest.raises(StudioError, match="not a SHA-256"):
        get(web, sha256="abc")


def test_a_cancelled_download_stops_and_is_gone_on_with(web):
    web.pages["/model.pkl"] = Page(DATA)
    seen = []
    with pytest.raises(CancelledError):
        get(web, progress=lambda *step: seen.append(step[1]), cancel=lambda: len(seen) > 2)
    assert 0 < seen[-1] < len(DATA)
    assert kept() == ["json", "part"]
    assert get(web).path.read_bytes() == DATA
    assert int(web.asked[-1][1]["Range"][6:-1]) >= seen[-1]
    with pytest.raises(CancelledError):
        get(web, cancel=lambda: True)


@pytest.mark.parametrize("page", [Page(DATA), Page(DATA, length="none"), Page(b"", length=9 << 30)], ids=["said", "not said", "9 GB"])
def test_too_large(web, page):
    web.pages["/model.pkl"] = page
    with pytest.raises(StudioError, match="larger than"):
        get(web, max_bytes=1_000_000)
    assert kept() == []


def test_a_full_disk(web, monkeypatch):
    web.pages["/model.pkl"] = Page(DATA)
    monkeypatch.setenv("STUDIO_KEEP_FREE_MB", "1e12")
    with pytest.raises(NoRoom, match="nearly full"):
        get(web)


def test_redirects_are_followed_and_bounded(web):
    web.pages |= {"/a": Page(status=302, to="/b"), "/b": Page(status=307, to=f"{web.url}/c/net.pkl"), "/c/net.pkl": Page(DATA)}
    fetched = get(web, "/a")
    assert fetched.path.name == "net.pkl"
    assert fetched.url == f"{web.url}/c/net.pkl"
    web.pages["/round"] = Page(status=302, to="/round")
    with pytest.raises(StudioError, match="without end"):
        get(web, "/round")
    web.pages["/away"] = Page(status=302, to="file:///etc/passwd")
    with pytest.raises(StudioError, match="'file' addresses are not followed"):
        get(web, "/away")


ANSWERS = {
    404: "There is no file",
    410: "There is no file",
    401: "not open to everyone",
    403: "not open to everyone",
    429: "just now",
    503: "just now",
    418: "answered 418",
    206: "answered 206",
}


@pytest.mark.parametrize("status", ANSWERS)
def test_answers_that_are_no_file(web, status):
    web.pages["/model.pkl"] = Page(b"<html>", status=status)
    with pytest.raises(StudioError, match=ANSWERS[status]) as e:
        get(web, "/model.pkl?key=secret")
    assert e.value.hint
    assert "secret" not in str(e.value)
    assert kept() == []


def test_an_empty_file(web):
    web.pages["/model.pkl"] = Page(b"")
    with pytest.raises(StudioError, match="empty"):
        get(web)


@pytest.mark.parametrize(
    "url", ["ftp://example.org/a", "file:///etc/passwd", "http://", "http:///x", "http://a:b/x", "http://[::1/x", "http://a b/x"]
)
def test_what_is_no_address_of_a_file(studio_home, url):
    with pytest.raises(StudioError) as e:
        download_file(url, private_ok=True)
    assert e.value.hint


def test_a_server_that_is_not_there(studio_home):
    with socket.socket() as s:  # bound and not listening: its port refuses
        s.bind(("127.0.0.1", 0))
        with pytest.raises(StudioError, match="cannot be reached"):
            download_file(f"http://127.0.0.1:{s.getsockname()[1]}/x", private_ok=True)


def test_names_of_files_are_harmless(web):
    web.pages["/x"] = Page(DATA, headers={"Content-Disposition": 'attachment; filename="../../.bashrc"'})
    assert get(web, "/x").path.name == "bashrc"
    web.pages["/"] = Page(DATA)
    assert get(web, "/").path.name == "download"
    web.pages["/..%2f..%2fetc%2fpasswd"] = Page(DATA)
    fetched = get(web, "/..%2f..%2fetc%2fpasswd")
    assert fetched.path.name == "passwd"
    assert downloads_folder() in fetched.path.parents


def test_what_nobody_goes_on_with_is_forgotten(web):
    old = downloads_folder() / "old.part"
    old.write_bytes(b"x")
    os.utime(old, (1, 1))
    web.pages["/model.pkl"] = Page(DATA)
    get(web)
    assert not old.exists()


# -- addresses that a visitor of a shared studio must not ask ------------------------------------------------------------------


PRIVATE = [
    "127.0.0.1",
    "10.0.0.1",
    "172.16.5.5",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::1",
    "::",
    "fe80::1",
    "fe80::1%eth0",
    "fc00::1",
    "fd12::1",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::",
    "2001:db8::1",
]


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses(address):
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "151.101.1.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_public_addresses(address):
    assert is_public(address)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "2130706433", "0x7f000001", "127.1", "[::1]", "[::ffff:127.0.0.1]", "user:x@127.0.0.1"]
)
def test_this_machine_is_not_asked_for_visitors(web, host):
    port = web.url.rpartition(":")[2]
    web.pages["/model.pkl"] = Page(DATA)
    with pytest.raises(StudioError, match=r"private network|cannot be reached"):
        download_file(f"http://{host}:{port}/model.pkl", private_ok=False)
    assert web.asked == []


def test_each_hop_is_looked_at_and_the_address_that_was_looked_at_is_asked(web, monkeypatch):
    """The test's server plays the internet: is_public is told that its one address is public, and no other one is."""
    monkeypatch.setattr(addresses, "is_public", lambda address: address == "127.0.0.1")
    port, looked = web.url.rpartition(":")[2], []
    real = socket.getaddrinfo

    def names(host, *rest, **options):
        looked.append(host)
        return real("127.0.0.1" if host == "models.example" else "127.0.0.2" if host == "inside.example" else host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", names)
    web.pages["/model.pkl"] = Page(DATA)
    assert download_file(f"http://models.example:{port}/model.pkl", private_ok=False).path.read_bytes() == DATA
    assert web.asked[-1][1]["Host"] == f"models.example:{port}"
    assert looked.count("models.example") == 1  # a second look could give another answer
    web.pages["/onward"] = Page(status=302, to=f"http://inside.example:{port}/model.pkl")
    asked = len(web.asked)
    with pytest.raises(StudioError, match=r"inside\.example is an address in a private network"):
        download_file(f"http://models.example:{port}/onward", private_ok=False)
    assert len(web.asked) == asked + 1


def test_who_may_ask_private_addresses(monkeypatch):
    monkeypatch.delenv("STUDIO_PRIVATE_URLS", raising=False)
    assert private_ok()
    monkeypatch.setenv("STUDIO_PRIVATE_URLS", "0")
    assert not private_ok()
    monkeypatch.setenv("STUDIO_PRIVATE_URLS", "1")
    assert private_ok()


def test_only_one_at_a_time_holds_a_lock_that_goes_afterwards(tmp_path):
    inside, together = [], []

    def work(i):
        with exclusive(tmp_path / "x.lock", None):
            inside.append(i)
            together.append(len(inside))
            (tmp_path / "held").touch(exist_ok=False)
            (tmp_path / "held").unlink()
            inside.remove(i)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(200)))
    assert together == [1] * 200
    assert list(tmp_path.iterdir()) == []


def test_addresses_are_shown_without_their_secrets():
    assert public_url("https://me:pw@example.org:8443/a/b.pkl?token=x#y") == "https://example.org:8443/a/b.pkl"
