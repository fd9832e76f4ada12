"""The few endpoints of the Hugging Face Hub that a download needs, served from memory in a thread."""

import contextlib
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.web_server import Page, Web, web_server


@dataclass
class Repo:
    """files: by name.  revisions: names of its one state, beside its commit.  gated, private: whom it is open to (a token)."""

    files: dict[str, bytes]
    revisions: tuple[str, ...] = ("main",)
    gated: bool = False
    private: str = ""
    licence: str = ""
    commit: str = "c0ffee" + "0" * 34
    sizes: dict[str, int] = field(default_factory=dict)  # what it says of its files, where that is not true


class Hub(Web):
    """repos: by 'user/name'."""

    repos: dict[str, Repo]


@contextlib.contextmanager
def hub_server() -> Iterator[Hub]:
    """A Hub on a free port of this machine; `url` is what HF_ENDPOINT must be."""
    with web_server() as web:
        web.repos = {}

        def refused(handler, status: int, code: str, text: str) -> bool:
            body = json.dumps({"error": text}).encode()
            handler.send_response(status)
            handler.send_header("X-Error-Code", code)
            handler.send_header("X-Error-Message", text)
            handler.send_header("Content-Length", str(len(body)))
            handler.end_headers()
            if handler.command != "HEAD":
                handler.wfile.write(body)
            return True

        def answer(handler) -> bool:
            path = handler.path.partition("?")[0]
            found = re.fullmatch(r"(?:/api/models)?/([\w.-]+/[\w.-]+)(?:/(revision|resolve)/([^/]+))?(?:/(.+))?", path)
            repo = web.repos.get(found.group(1)) if found else None
            token = handler.headers.get("Authorization", "").removeprefix("Bearer ")
            if repo is None or (repo.private and token != repo.private):
                return refused(handler, 401, "RepoNotFound", "Repository not found")
            if found.group(3) not in (None, repo.commit, *repo.revisions):
                return refused(handler, 404, "RevisionNotFound", "Invalid rev id")
            if found.group(2) != "resolve":
                files = [
                    {"rfilename": name, "size": repo.sizes.get(name, len(data)), "blobId": "0" * 40} for name, data in repo.files.items()
                ]
                card = {"license": repo.licence} if repo.licence else {}
                facts = {"id": found.group(1), "sha": repo.commit, "siblings": files, "cardData": card, "tags": [], "gated": repo.gated}
                body = json.dumps(facts).encode()
                handler.send_response(200)
                handler.send_header("Content-Type", "application/json")
                handler.send_header("Content-Length", str(len(body)))
                handler.end_headers()
                handler.wfile.write(body)
                return True
            if repo.gated:
                return refused(handler, 403, "GatedRepo", "Access is restricted")
            if found.group(4) not in repo.files:
                return refused(handler, 404, "EntryNotFound", "Entry not found")
            data = repo.files[found.group(4)]
            page = Page(data, etag=f'"{hashlib.sha1(data).hexdigest()}"', headers={"X-Repo-Commit": repo.commit})
            handler.give(page)
            return True

        web.anything = Page(answer=answer)
        yield web
