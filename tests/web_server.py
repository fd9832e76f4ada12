"""A small web server in a thread, whose answers a test chooses: it can break off, lie about sizes, and change its files."""

import contextlib
import copy
import re
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Page:
    """What lies at one path.

    ranges: answers to Range.  etag, dated: what tells versions apart.  length: 'true', 'none' (chunks), or a number to say.
    breaks: after how many bytes of each answer, one number an answer; the rest are whole.  status, to: of a redirect or an error.
    """

    data: bytes = b""
    ranges: bool = True
    etag: str = '"one"'
    dated: str = ""
    length: str | int = "true"
    breaks: list[int] = field(default_factory=list)
    status: int = 200
    to: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    answer: Callable[[BaseHTTPRequestHandler], bool] | None = None  # does it all itself, when it returns true


class Web:
    """pages: by path; anything: where there is none.  asked: (path, headers) of every request, in order."""

    def __init__(self, port: int):
        self.pages: dict[str, Page] = {}
        self.anything = Page(b"not here", status=404)
        self.asked: list[tuple[str, Message]] = []
        self.url = f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def web_server() -> Iterator[Web]:
    """A server on a free port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def do_HEAD(self):
            self.do_GET()

        def do_GET(self):
            web.asked.append((self.path, copy.copy(self.headers)))
            page = web.pages.get(self.path.partition("?")[0], web.anything)
            with contextlib.suppress(ConnectionError):
                if page.answer is None or not page.answer(self):
                    self.give(page)

        def give(self, page: Page):
            data, start = page.data, 0
            asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            same = self.headers.get("If-Range", page.etag or page.dated) in (page.etag, page.dated)
            status = page.status
            if asked and page.ranges and same and status == 200:
                start = int(asked.group(1))
                status = 206 if start < len(data) else 416
            self.send_response(status)
            if status == 206:
                self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
            if status == 416:
                self.send_header("Content-Range", f"bytes */{len(data)}")
                data, start = b"", 0
            for name, value in (("ETag", page.etag), ("Last-Modified", page.dated), ("Location", page.to)):
                if value:
                    self.send_header(name, value)
            for name, value in page.headers.items():
                self.send_header(name, value)
            body = data[start:]
            if page.length == "none":
                self.send_header("Transfer-Encoding", "chunked")
            else:
                self.send_header("Content-Length", str(len(body) if page.length == "true" else page.length))
            self.end_headers()
            if self.command == "HEAD":
                return
            whole = not page.breaks
            body = body if whole else body[: page.breaks.pop(0)]
            if page.length == "none":
                for i in range(0, len(body), 65536):
                    piece = body[i : i + 65536]
                    self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
                if whole:
                    self.wfile.write(b"0\r\n\r\n")
            else:
                self.wfile.write(body)
            self.wfile.flush()
            if not whole or page.length not in ("true", "none"):
                self.close_connection = True

    class Server(ThreadingHTTPServer):
        def handle_error(self, request, client_address):
            if not isinstance(sys.exc_info()[1], ConnectionError):
                super().handle_error(request, client_address)  # a client that hangs up is no fault

    server = Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    web = Web(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield web
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
