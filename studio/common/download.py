"""Resumable downloads from addresses that strangers may have typed.

Only http and https, only files of bounded size, only from addresses that may be asked (pinned against DNS rebinding), checked against a
SHA-256 where one is known. A download that broke off is resumed if the server still has the same file.
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote, urljoin, urlsplit

import filelock

from studio.common.addresses import ADDRESS_HINT, public_address, public_url, unreachable, web_address
from studio.common.files import atomic_write, ensure_room
from studio.common.progress import Cancel, StageProgress, raise_if_cancelled, report
from studio.common.text import printable, safe_filename
from studio.errors import StudioError
from studio.settings import get_settings

MAX_BYTES = 4 << 30
_ROOM_STEP = 64 << 20  # bytes after which the free disk space is checked again, if the size is not known
_MAX_HOPS = 5
_MAX_TRIES = 5
_TIMEOUT = 30.0  # seconds without a byte
_KEPT_DAYS = 7  # for which an unfinished download is kept to be resumed
_DOWNLOADING = "Downloading"


@dataclass(frozen=True)
class DownloadedFile:
    """A complete downloaded file.

    path: in a folder of its own in the cache, which the caller deletes with `remove_download`.  sha256: hex.
    url: the final address after redirects, without passwords and queries.
    """

    path: Path
    sha256: str
    nbytes: int
    url: str


class _Broken(Exception):
    """The connection ended before the file was complete."""


def downloads_folder() -> Path:
    """The folder for downloads in progress, in the cache."""
    path = get_settings().cache / "downloads"
    path.mkdir(parents=True, exist_ok=True)
    return path


def download_file(
    url: str,
    *,
    private_ok: bool,
    sha256: str | None = None,
    max_bytes: int = MAX_BYTES,
    progress: StageProgress | None = None,
    cancel: Cancel | None = None,
) -> DownloadedFile:
    """Download a file into the cache. A download that broke off or was cancelled is kept for a week and resumed the next time.

    private_ok: whether addresses of this machine and its network may be asked.  sha256: of the file, hex, if known.
    max_bytes: of the file, whatever the server claims.  progress: called with ('Downloading', bytes, total bytes or None).
    cancel: asked between chunks; if true CancelledError is raised.

    Raises StudioError, and NoRoom if the disk is full; nothing is kept of a file that is too large or has another hash.
    """
    wanted = checked_sha256(sha256)
    web_address(url)
    key = hashlib.sha256(url.encode()).hexdigest()[:24]
    folder = downloads_folder()
    _tidy(folder)
    with exclusive(folder / f"{key}.lock", cancel):
        transfer = _Download(url, folder / f"{key}.part", private_ok, wanted, max_bytes, progress, cancel)
        return transfer.run()


def remove_download(fetched: DownloadedFile) -> None:
    """Delete a downloaded file with its folder."""
    shutil.rmtree(fetched.path.parent, ignore_errors=True)


def checked_sha256(sha256: str | None) -> str | None:
    """A checksum as people write it -> 64 lower-case hex digits; None stays None. Raises StudioError if it is not a SHA-256."""
    if sha256 is None:
        return None
    text = sha256.strip().lower().removeprefix("sha256:")
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        raise StudioError(f"'{printable(sha256, 70)}' is not a SHA-256 checksum.", "It has 64 digits from 0 to 9 and a to f.")
    return text


@contextlib.contextmanager
def exclusive(path: Path, cancel: Cancel | None) -> Iterator[None]:
    """Hold the lock file `path`: a second download of the same file waits instead of writing into the first. The file goes afterwards."""
    lock = filelock.FileLock(path)
    while True:
        raise_if_cancelled(cancel)
        with contextlib.suppress(filelock.Timeout):
            lock.acquire(timeout=0.5)
            break
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # Windows keeps a file that is open
            path.unlink(missing_ok=True)  # whoever waits for it sees that it is gone, and makes another
        lock.release()


def _tidy(folder: Path) -> None:
    """Delete downloads that were never resumed."""
    for path in folder.iterdir():
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > _KEPT_DAYS * 86400:
                shutil.rmtree(path) if path.is_dir() else path.unlink()


# -- one download --------------------------------------------------------------------------------------------------------


class _Download:
    """One download. `part` holds the bytes so far, and a record beside it how the server identifies the file."""

    def __init__(
        self, url: str, part: Path, private: bool, sha256: str | None, most: int, progress: StageProgress | None, cancel: Cancel | None
    ):
        self.url, self.part, self.private, self.wanted, self.most = url, part, private, sha256, most
        self.progress, self.cancel = progress, cancel
        self.record = part.with_suffix(".json")
        self.name, self.end = "", url  # the file's name and its last address, once they are known

    def run(self) -> DownloadedFile:
        tries = 0
        while True:
            before = self._size()
            try:
                digest = self._attempt()
                break
            except _Broken:
                tries += 1
                # Try again only if this attempt brought something: a server that is gone is not asked again.
                if tries >= _MAX_TRIES or self._size() <= before:
                    raise StudioError(
                        f"The download from {self._host()} broke off after {self._size() / 1e6:,.1f} MB.",
                        "Try again: it resumes from there if the server allows it.",
                    ) from None
            except StudioError:
                raise
            except OSError as e:
                raise StudioError(f"The download cannot be stored: {e.strerror or e}.", "Free some space, then try again.") from None
        if self.wanted and digest != self.wanted:
            self._forget()
            raise StudioError(
                f"The file from {self._host()} has the SHA-256 {digest[:12]}..., not {self.wanted[:12]}... as expected; it was deleted.",
                "It was changed or damaged on the way: get it from its author's page.",
            )
        nbytes = self._size()
        path = Path(tempfile.mkdtemp(prefix="file-", dir=self.part.parent)) / self.name
        os.replace(self.part, path)
        self._forget()
        return DownloadedFile(path, digest, nbytes, public_url(self.end))

    def _host(self) -> str:
        return printable(urlsplit(self.end).hostname or "", 80)

    def _size(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _forget(self) -> None:
        self.part.unlink(missing_ok=True)
        self.record.unlink(missing_ok=True)

    def _attempt(self) -> str:
        """Request what is missing. Returns the SHA-256 of the complete file. Raises _Broken, StudioError."""
        import httpx

        raise_if_cancelled(self.cancel)
        have, known = self._size(), self._known()
        if not have or not known:
            have, known = 0, {}
        headers = {"Accept-Encoding": "identity"}  # ranges count the bytes as sent
        if have:
            headers |= {"Range": f"bytes={have}-", "If-Range": known["validator"]}
        try:
            with self._response(headers) as response:
                if response.status_code != 200 and not (response.status_code == 206 and _resumes(response, have, known)):
                    self._forget()  # the server has another file now
                    raise _StartOver
                total = self._total(response, have)
                have = have if response.status_code == 206 else 0
                self._remember(response, total)
                return self._receive(response, have, total)
        except _StartOver:
            return self._attempt()  # there is nothing to resume now, so this happens once
        except (httpx.TransportError, httpx.DecodingError) as e:
            if isinstance(e, httpx.ConnectError | httpx.ConnectTimeout | httpx.ProxyError | httpx.UnsupportedProtocol) and not have:
                raise unreachable(web_address(self.end)) from None
            raise _Broken from None
        except (httpx.InvalidURL, httpx.HTTPError, UnicodeError):
            raise StudioError(f"The address {printable(public_url(self.end), 160)} cannot be opened.", ADDRESS_HINT) from None

    # -- asking

    @contextlib.contextmanager
    def _response(self, headers: dict[str, str]) -> Iterator[Any]:
        """The response, after redirects, each of which is checked like the first address."""
        import httpx

        timeout = httpx.Timeout(_TIMEOUT, pool=None)
        # A proxy resolves names itself and could reach private addresses: used only where those may be asked.
        with httpx.Client(timeout=timeout, trust_env=self.private, follow_redirects=False) as client:
            url = self.url
            for _ in range(_MAX_HOPS + 1):
                self.end = url
                target, extensions, own = web_address(url), {}, dict(headers)
                if not self.private:
                    # Connect to the very address that was checked: resolved again, the name could lead elsewhere.
                    address = public_address(target)
                    own["Host"] = urlsplit(url).netloc.rpartition("@")[2]
                    extensions = {"sni_hostname": target.host}
                    ask = httpx.URL(url).copy_with(host=address)
                else:
                    ask = httpx.URL(url)
                with client.stream("GET", ask, headers=own, extensions=extensions) as response:
                    if not response.has_redirect_location:
                        self._check(response, "Range" in headers)
                        yield response
                        return
                    onward = urljoin(url, response.headers["Location"])
                if target.scheme == "https" and web_address(onward).scheme == "http":
                    raise StudioError(
                        f"{self._host()} redirects from https to an address that is not safe.", "Look for the file at its author's page."
                    )
                url = onward
        raise StudioError(f"{self._host()} redirects without end.", "Look for the file at its author's page.")

    def _check(self, response: Any, partly: bool) -> None:
        code = response.status_code
        if code == 200 or (partly and code in (206, 416)):
            return
        place = printable(public_url(self.end), 160)
        if code in (401, 403, 407):
            raise StudioError(
                f"{place} is not open to everyone ({code}).", "Download it in a browser where you are logged in, and give the file."
            )
        if code in (404, 410):
            raise StudioError(f"There is no file at {place} ({code}).", "Check the address.")
        if code == 429 or code >= 500:
            raise StudioError(f"{self._host()} cannot give the file just now ({code}).", "Try again in a while.")
        raise StudioError(f"{self._host()} answered {code} instead of giving the file.", "Check the address.")

    # -- identifying the file

    def _known(self) -> dict[str, Any]:
        try:
            known = json.loads(self.record.read_bytes())
            return known if isinstance(known.get("validator"), str) else {}
        except (OSError, ValueError, AttributeError):
            return {}

    def _remember(self, response: Any, total: int | None) -> None:
        """Store how the server identifies the file. If it doesn't, a later attempt starts over."""
        if response.status_code == 206:
            return
        self._forget()
        if validator := _validator(response):
            atomic_write(self.record, json.dumps({"validator": validator, "total": total}).encode())

    def _total(self, response: Any, have: int) -> int | None:
        """The size the server claims; None if it doesn't say. Raises StudioError if that is too large."""
        total = None
        if response.status_code == 206:
            found = re.fullmatch(r"bytes \d+-\d+/(\d+)", response.headers.get("Content-Range", ""))
            total = int(found.group(1)) if found else None
        elif response.headers.get("Content-Length", "").isdecimal():
            total = int(response.headers["Content-Length"])
        if total is not None and total > self.most:
            self._forget()
            raise self._too_large()
        if total is not None:
            ensure_room(self.part.parent, max(0, total - have))
        if not self.name:
            self.name = _file_name(response.headers.get("Content-Disposition", ""), self.end)
        return total

    def _too_large(self) -> StudioError:
        limit = f"{self.most / (1 << 30):.0f} GB" if self.most >= 1 << 30 else f"{self.most:,} bytes"
        return StudioError(f"The file at {self._host()} is larger than {limit}.", "No checkpoint of a supported format is.")

    # -- receiving

    def _receive(self, response: Any, have: int, total: int | None) -> str:
        digest, checked = hashlib.sha256(), have
        with open(self.part, "r+b" if have else "wb") as f:
            _hash_into(digest, f, have)
            self._report(have, total)
            for chunk in response.iter_raw():
                raise_if_cancelled(self.cancel)
                if have + len(chunk) > self.most:
                    f.close()
                    self._forget()
                    raise self._too_large()
                if total is None and have - checked >= _ROOM_STEP:
                    ensure_room(self.part.parent, _ROOM_STEP)
                    checked = have
                f.write(chunk)
                digest.update(chunk)
                have += len(chunk)
                self._report(have, total)
            f.flush()
            os.fsync(f.fileno())
        if total is not None and have < total:
            raise _Broken
        if not have:
            self._forget()
            raise StudioError(f"The file at {self._host()} is empty (0 bytes).", "Check the address.")
        return digest.hexdigest()

    def _report(self, have: int, total: int | None) -> None:
        report(self.progress, _DOWNLOADING, have, total)


class _StartOver(Exception):
    """The bytes so far belong to another file."""


def _validator(response: Any) -> str | None:
    """What identifies the server's version of a file: a strong ETag, or its date."""
    etag = response.headers.get("ETag", "")
    if etag.startswith('"'):
        return etag
    return response.headers.get("Last-Modified") or None


def _resumes(response: Any, have: int, known: dict[str, Any]) -> bool:
    """Whether a partial response begins where our bytes end, and is of the same file."""
    found = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers.get("Content-Range", ""))
    if not found or int(found.group(1)) != have:
        return False
    if known.get("total") is not None and int(found.group(2)) != known["total"]:
        return False
    validator = _validator(response)
    return validator is None or validator == known["validator"]


def _hash_into(digest: Any, f: BinaryIO, count: int) -> None:
    """Feed the first `count` bytes of a file to the digest, and cut off the rest."""
    left = count
    while left:
        block = f.read(min(left, 1 << 20))
        if not block:
            raise OSError(f"{f.name} became shorter")
        digest.update(block)
        left -= len(block)
    f.truncate(count)
    f.seek(count)


def _file_name(disposition: str, url: str) -> str:
    """The file's name: as the server gives it, else the end of its address."""
    name = None
    if disposition and len(disposition) < 2000:
        message = Message()
        message["Content-Disposition"] = disposition
        with contextlib.suppress(ValueError, LookupError, UnicodeError, TypeError):
            name = message.get_filename()
    name = name or unquote(urlsplit(url).path.rpartition("/")[2], errors="replace")
    return safe_filename(name.replace("\\", "/").rpartition("/")[2].lstrip("."), "download")
