"""A Hub on this machine: the few endpoints that huggingface_hub asks when something is pushed, over real HTTP."""

import base64
import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import yaml

TOKEN = "hf_wRiteTokenOfTheTestsOnly0123456789"
_COLOURS = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}


@dataclass
class Remote:
    """A repository.  files: name -> bytes."""

    kind: str
    private: bool
    files: dict[str, bytes] = field(default_factory=lambda: {".gitattributes": b"*.safetensors filter=lfs\n"})
    asked: dict = field(default_factory=dict)  # what it was made with
    commits: list[str] = field(default_factory=list)
    secrets: dict[str, str] = field(default_factory=dict)

    @property
    def card(self) -> dict:
        """The head of its README.md."""
        return head(self.files.get("README.md", b"").decode())


def head(text: str) -> dict:
    """The YAML head of a card."""
    found = re.match(r"---\n(.*?)\n---\n", text, re.DOTALL)
    return yaml.safe_load(found[1]) if found else {}


def complaints(card: dict, kind: str) -> list[str]:
    """What the Hub would say against a card's head."""
    found = []
    if "license" not in card:
        found.append("license is missing")
    if card.get("license") == "other" and not re.fullmatch(r"[a-z0-9-.]+", card.get("license_name", "")):
        found.append("license_name must be like my-license-1.0")
    if kind == "space":
        found += [f"{name} is no colour" for name in ("colorFrom", "colorTo") if card.get(name) not in _COLOURS]
        found += ["sdk_version must be a version"] * (not re.fullmatch(r"\d+\.\d+\.\d+", str(card.get("sdk_version"))))
        found += ["short_description is too long"] * (len(card.get("short_description", "")) > 60)
        found += ["app_file is missing"] * ("app_file" not in card)
        found += ["emoji must be one"] * (not re.fullmatch(r"\W{1,4}", card.get("emoji", "")))
    return found


class HubServer(ThreadingHTTPServer):
    """Repositories in memory.  faults: part of 'METHOD /path' -> (status, headers, body) to answer with instead."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repos: dict[str, Remote] = {}
        self.stored: dict[str, bytes] = {}  # what was sent as LFS, by its SHA-256
        self.faults: dict[str, tuple[int, dict, dict]] = {}
        self.requests: list[str] = []
        self.role = "write"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        """Its address, for HF_ENDPOINT."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def close(self) -> None:
        """Stop serving."""
        self.shutdown()
        self.server_close()

    def handle_error(self, request, client_address) -> None:
        """A client that hung up midway is part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: HubServer

    def log_message(self, *args) -> None:
        pass

    def _answer(self, status: int, body: object, headers: dict | None = None) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        length = int(self.headers.get("Content-Length") or 0)
        data = self.rfile.read(length)
        if len(data) < length:
            raise ConnectionError("the client hung up")
        return data

    def _serve(self) -> None:
        body, path = self._body(), self.path.partition("?")[0]
        asked = f"{self.command} {path}"
        self.server.requests.append(asked)
        for part, (status, headers, answer) in self.server.faults.items():
            if part in asked:
                return self._answer(status, answer, headers)
        if asked.startswith("PUT /stored/"):
            oid = path.rpartition("/")[2]
            if hashlib.sha256(body).hexdigest() != oid:
                return self._answer(400, {"error": "the bytes are not those"})
            self.server.stored[oid] = body
            return self._answer(200, {})
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._answer(
                401,
                {"error": "Invalid credentials in Authorization header"},
                {"X-Error-Message": "Invalid credentials in Authorization header"},
            )
        if asked == "GET /api/whoami-v2":
            token = {"accessToken": {"role": self.server.role}}
            return self._answer(200, {"type": "user", "name": "anna", "orgs": [{"name": "atelier"}], "auth": token})
        data = body.splitlines() if path.endswith("/commit/main") else json.loads(body or b"{}")
        if asked == "POST /api/repos/create":
            return self._create(data)
        if asked == "POST /api/validate-yaml":
            found = complaints(head(data["content"]), data["repoType"])
            return self._answer(400 if found else 200, {"errors": [{"message": m} for m in found], "warnings": []})
        if found := re.fullmatch(r"/(?:spaces/)?([^/]+/[^/]+)\.git/info/lfs/objects/batch", path):
            objects = [
                {
                    **o,
                    **({} if o["oid"] in self.server.stored else {"actions": {"upload": {"href": f"{self.server.url}/stored/{o['oid']}"}}}),
                }
                for o in data["objects"]
            ]
            return self._answer(200, {"transfer": "basic", "objects": objects})
        if found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/[^/]+/(.+)", path):
            return self._file(found[1], found[2])
        found = re.fullmatch(r"/api/(model|space)s/([^/]+/[^/]+)(?:/(.+))?", path)
        repo = self.server.repos.get(found[2]) if found else None
        if repo is None or repo.kind != found[1]:
            return self._answer(404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
        return self._repo(found[2], repo, found[3], data)

    do_GET = do_HEAD = do_POST = do_PUT = _serve

    def _file(self, id: str, name: str) -> None:
        data = self.server.repos[id].files[name]
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
        self.send_header("X-Repo-Commit", "0" * 40)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)

    def _create(self, data: dict) -> None:
        id = f"{data['organization'] or 'anna'}/{data['name']}"
        if id.partition("/")[0] not in ("anna", "atelier"):
            return self._answer(403, {"error": "You don't have the rights to create a model under this namespace"})
        kind = data.get("type") or "model"
        url = f"{self.server.url}/{'spaces/' if kind == 'space' else ''}{id}"
        if id in self.server.repos:
            return self._answer(409, {"error": "You already created this repo", "url": url})
        self.server.repos[id] = Remote(kind, data.get("visibility") == "private", asked=data)
        return self._answer(200, {"url": url})

    def _repo(self, id: str, repo: Remote, what: str | None, data) -> None:
        if what in (None, "revision/main"):
            names = [{"rfilename": name} for name in sorted(repo.files)]
            return self._answer(
                200, {"id": id, "private": repo.private, "siblings": names, "cardData": repo.card, "sha": "0" * 40, "tags": []}
            )
        if what.startswith("tree/"):
            return self._answer(200, [{"type": "file", "path": n, "size": len(d), "oid": "0" * 40} for n, d in sorted(repo.files.items())])
        if what == "settings":
            repo.private = data["visibility"] == "private"
            return self._answer(200, {})
        if what == "preupload/main":

            def mode(file: dict) -> str:
                return "lfs" if file["path"].endswith((".safetensors", ".webp")) else "regular"

            return self._answer(200, {"files": [{"path": f["path"], "uploadMode": mode(f), "shouldIgnore": False} for f in data["files"]]})
        if what == "secrets":
            repo.secrets[data["key"]] = data["value"]
            return self._answer(200, {})
        if what == "commit/main":
            for line in map(json.loads, data):
                key, value = line["key"], line["value"]
                if key == "header":
                    repo.commits.append(value["summary"])
                elif key == "file":
                    repo.files[value["path"]] = base64.b64decode(value["content"])
                elif key == "lfsFile":
                    repo.files[value["path"]] = self.server.stored[value["oid"]]
                elif key == "deletedFile":
                    del repo.files[value["path"]]
                else:
                    return self._answer(400, {"error": f"unknown: {key}"})
            return self._answer(200, {"commitUrl": f"{self.server.url}/{id}/commit/1", "commitOid": "1" * 40})
        return self._answer(404, {"error": what}, {"X-Error-Code": "EntryNotFound"})
