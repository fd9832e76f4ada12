"""Uploads to the Hugging Face Hub, with its own client.

The token is the artist's: the studio writes it to no file, log or error message.
The environment variable HF_ENDPOINT names a Hub other than huggingface.co.
"""

import contextlib
import io
import logging
import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from studio.common.progress import Cancel, Progress, raise_if_cancelled, report
from studio.errors import StudioError
from studio.models.folder import FILES, ModelInfo
from studio.sharing.hub_card import hub_card
from studio.sharing.publish_check import ensure_licence, may_share_publicly

if TYPE_CHECKING:
    from huggingface_hub import HfApi


# The files of a model folder; exactly these are uploaded.
MODEL_FILES = tuple(name for name in FILES if name != "README.md")
_LARGE = 1 << 17  # bytes; from this size on a file is sent by itself
_TOKEN = re.compile(r"[\x21-\x7e]{8,1000}")
_REPO = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9_.-]{0,95}/)?[A-Za-z0-9][A-Za-z0-9_.-]{0,95}")
_TOKEN_HINT = "Make one that may write at huggingface.co/settings/tokens and type it here, or log in with 'hf auth login'."


@dataclass(frozen=True)
class Account:
    """An account on the Hub.  name: of the user.  groups: organisations the user belongs to."""

    name: str
    groups: tuple[str, ...] = ()


def known_token() -> str | None:
    """The token from the environment (HF_TOKEN) or 'hf auth login'; None if there is none."""
    from huggingface_hub import get_token

    return get_token()


def whoami(token: str | None = None) -> Account:
    """The account of a token; None = the one known here. Raises StudioError if there is none or it may not write."""
    with connect(token) as api:
        return _account(api)


def push_model(
    info: ModelInfo,
    repo_id: str,
    *,
    token: str | None = None,
    private: bool = True,
    licence: str,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> str:
    """Upload a model to the Hub in one commit, completely or not at all. Returns its address.

    repo_id: 'user/name', or a name alone for the token's account.  token: None = the one known here.
    private: visible to its owner alone; if false, the consent for its training data must allow sharing.
    licence: what others may do with it.  progress: called with (bytes sent, total).  cancel: asked often; if true CancelledError.
    A model of the studio that is there already gets a new version; anything else of this name is left alone.
    Raises StudioError on any failure, with what to do.
    """
    if not private:
        ensure_public(info, licence)
    with connect(token) as api:
        repo_id = full_name(api, repo_id)
        files: dict[str, Path | bytes] = {f"{f.relative_to(info.path).as_posix()}": f for f in published_files(info)}
        files["README.md"] = hub_card(info, repo_id, licence).encode()
        repo = open_repo(api, repo_id, "model", private=private)
        gone = [name for name in repo.files if _is_ours(name) and name not in files]
        upload(api, repo_id, "model", files, gone, f"{info.title}: from GAN Studio", progress, cancel)
        repo.set_visibility(private)
        return f"{api.endpoint}/{repo_id}"


def published_files(info: ModelInfo) -> list[Path]:
    """The files that make up a model, without its card; stray files and links are left out."""
    found = [info.path / name for name in MODEL_FILES] + [*info.examples("A"), *info.examples("B")]
    return [f for f in found if f.is_file() and not f.is_symlink()]


def _is_ours(name: str) -> bool:
    return name in MODEL_FILES or name.startswith("examples/")


def ensure_public(info: ModelInfo, licence: str) -> None:
    """Raises StudioError if a model may not be shared publicly, or not under this licence ('' = none is chosen yet)."""
    allowed, reason = may_share_publicly(info)
    if not allowed:
        raise StudioError(f"'{info.title}' cannot be made public.", reason)
    if licence.strip():
        ensure_licence(info, licence)


# -- shared by models and Spaces ------------------------------------------------------------------------------------


@contextlib.contextmanager
def connect(token: str | None) -> "Iterator[HfApi]":
    """Yield the Hub's client for a token; inside, every failure becomes a StudioError in plain words.

    Raises StudioError if there is no token, or what was typed cannot be one.
    """
    from huggingface_hub import HfApi

    token = (token or "").strip() or known_token()
    if not token:
        raise StudioError("The Hub must know who you are, and no token is known here.", _TOKEN_HINT)
    if not _TOKEN.fullmatch(token):
        raise StudioError("That cannot be a token of the Hub.", "Tokens begin with 'hf_' and are one word.")
    api = HfApi(endpoint=os.environ.get("HF_ENDPOINT", "").rstrip("/") or None, token=token, library_name="gan-studio")
    try:
        yield api
    except StudioError:
        raise
    except Exception as e:
        raise _plain_error(e, api.endpoint, token) from None


def _account(api: "HfApi") -> Account:
    found = api.whoami()
    role = ((found.get("auth") or {}).get("accessToken") or {}).get("role")
    if role == "read":
        raise StudioError(f"This token of {found['name']} may only read.", _TOKEN_HINT)
    return Account(found["name"], tuple(o["name"] for o in found.get("orgs", ())))


def full_name(api: "HfApi", repo_id: str) -> str:
    """'user/name' from what was typed. Raises StudioError for an invalid name, and for a token that may not write."""
    repo_id = repo_id.strip()
    if not _REPO.fullmatch(repo_id) or ".." in repo_id or "--" in repo_id or repo_id.endswith((".git", ".", "-")):
        raise StudioError(f"'{repo_id:.100}' cannot be a name on the Hub.", "Write user/name, in letters, digits, '-', '_' and '.'.")
    account = _account(api)
    return repo_id if "/" in repo_id else f"{account.name}/{repo_id}"


@dataclass(frozen=True)
class Repo:
    """A repository that may be written.  repo_type: 'model' or 'space'.  files: in it.  private: whether only its owner sees it."""

    api: "HfApi"
    id: str
    repo_type: str
    files: tuple[str, ...]
    private: bool

    def set_visibility(self, private: bool) -> None:
        """Make it visible to its owner alone, or to everybody."""
        if private != self.private:
            self.api.update_repo_settings(self.id, repo_type=self.repo_type, private=private)


def open_repo(api: "HfApi", repo_id: str, repo_type: str, *, private: bool, **more) -> Repo:
    """Create a repository, or open one that the studio made earlier.

    repo_type: 'model' or 'space'.  more: arguments of the client's `create_repo`.  An existing one that is to be private is made so
    at once, before anything is uploaded. Raises StudioError if something else has this name.
    """
    from huggingface_hub.errors import HfHubHTTPError

    try:
        api.create_repo(repo_id, repo_type=repo_type, private=private, **more)
        return Repo(api, repo_id, repo_type, (), private)
    except HfHubHTTPError as e:
        # 409: it exists. A token may also be limited to repositories that exist.
        if e.response.status_code not in (402, 403, 409):
            raise
        try:
            found = api.repo_info(repo_id, repo_type=repo_type)
        except HfHubHTTPError:
            raise e from None
    data, siblings = getattr(found, "card_data", None), getattr(found, "siblings", None)
    card = data.to_dict() if data else {}
    names = tuple(s.rfilename for s in siblings or ())
    ours = card.get("library_name") == "gan-studio" or "gan-studio" in (card.get("tags") or ())
    if not ours and not set(names) <= {".gitattributes"}:
        raise StudioError(f"There is already something else named {repo_id} on the Hub.", "Choose another name.")
    repo = Repo(api, repo_id, repo_type, names, bool(found.private))
    if private:
        repo.set_visibility(True)
        repo = Repo(api, repo_id, repo_type, names, True)
    return repo


def upload(
    api: "HfApi",
    repo_id: str,
    repo_type: str,
    files: Mapping[str, Path | bytes],
    gone: list[str],
    message: str,
    progress: Progress | None,
    cancel: Cancel | None,
) -> None:
    """Upload files (name in the repository -> file or bytes) and delete those in `gone`, as one commit. Other files stay as they are."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    # The readers below report progress and can stop the upload midway; for such files the client logs that it does not use Xet.
    logging.getLogger("huggingface_hub._commit_api").setLevel(logging.ERROR)
    all_bytes = sum(len(f) if isinstance(f, bytes) else f.stat().st_size for f in files.values())
    readers: list[_UploadReader] = []
    here = threading.get_ident()

    def check_in() -> None:
        raise_if_cancelled(cancel)
        # Small files go several at a time; one thread alone reports progress.
        if progress is not None and threading.get_ident() == here:
            progress(min(sum(r.sent for r in readers), all_bytes), all_bytes)

    with contextlib.ExitStack() as stack:
        additions = []
        for name, file in sorted(files.items()):
            check_in()
            source = io.BytesIO(file) if isinstance(file, bytes) else file.open("rb", buffering=0)
            readers.append(stack.enter_context(_UploadReader(source, check_in)))
            additions.append(CommitOperationAdd(name, readers[-1]))  # reads it once, for its hash
        for reader in readers:
            reader.sending = True
        # Of files with the same bytes one is sent first: the client would read it once for each of them, in parallel.
        first = {a.upload_info.sha256: a for a in additions}
        again = [a for a in additions if first[a.upload_info.sha256] is not a]
        small = [a for a in first.values() if a.upload_info.size < _LARGE]
        for batch in filter(None, [small, *([a] for a in first.values() if a.upload_info.size >= _LARGE), again]):
            check_in()
            api.preupload_lfs_files(repo_id, batch, repo_type=repo_type, free_memory=False)
        check_in()
        operations = [*additions, *(CommitOperationDelete(name) for name in gone)]
        api.create_commit(repo_id, operations, commit_message=message, repo_type=repo_type)
    report(progress, all_bytes, all_bytes)


class _UploadReader(io.BufferedReader):
    """A file that counts the bytes sent. `check_in` is called after each read, and may raise to end the upload."""

    def __init__(self, raw, check_in: Callable[[], None]):
        super().__init__(raw)
        self._check_in, self.sending, self.sent = check_in, False, 0

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        if self.sending:
            self.sent = max(self.sent, self.tell())
        self._check_in()
        return data


# -- errors in plain words -----------------------------------------------------------------------------------------


def _plain_error(error: Exception, endpoint: str, token: str) -> Exception:
    """A failure as a StudioError for people; CancelledError stays what it is."""
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError, OfflineModeIsEnabled

    causes: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in causes:
        causes.append(cause)
        cause = cause.__cause__ or cause.__context__
    host = urlsplit(endpoint).netloc or endpoint
    for cause in causes:
        if isinstance(cause, CancelledError | StudioError):
            return cause
        if isinstance(cause, LocalTokenNotFoundError):
            return StudioError("The Hub must know who you are, and no token is known here.", _TOKEN_HINT)
        if isinstance(cause, OfflineModeIsEnabled):
            return StudioError("The Hub was not contacted: this computer is set to stay offline.", "Unset HF_HUB_OFFLINE, then try again.")
        if isinstance(cause, HfHubHTTPError):
            return _refused(cause, host, token)
    names = {cls.__name__ for cause in causes for cls in type(cause).__mro__}
    if "TransportError" in names or isinstance(error, ConnectionError | TimeoutError):
        return StudioError(f"The Hub ({host}) cannot be reached.", "Check the connection to the internet, then try again.")
    words = _safe(str(error), token)
    if _is_quota(words):
        return _full(host)
    return StudioError(f"It did not work: {words or type(error).__name__}.", "Nothing has changed on the Hub; try again.")


def _refused(error, host: str, token: str) -> StudioError:
    from huggingface_hub.errors import GatedRepoError

    status, said = error.response.status_code, _safe(error.server_message or "", token)
    quoted = f" It says: {said}." if said else ""
    if _is_quota(said) or status in (413, 507):
        return _full(host)
    if isinstance(error, GatedRepoError):
        return StudioError("This repository is gated: its owner has not let you in yet.", "Ask for access on its page, then try again.")
    if status == 401:
        return StudioError("The Hub does not accept this token.", _TOKEN_HINT)
    if status == 402:
        return StudioError(f"The Hub wants a paid plan for this.{quoted}", "See huggingface.co/pricing, or choose other hardware.")
    if status == 403:
        return StudioError(f"This token may not write there.{quoted}", "Use a token that may, or a name of your own account.")
    if status == 404:
        return StudioError("The Hub has nothing of this name, or does not show it to you.", "Check the name, and whose token it is.")
    if status == 409:
        return StudioError("Somebody changed it at the same moment, or the name is taken.", "Try again, or choose another name.")
    if status == 429:
        return StudioError("The Hub asks you to wait: there were too many requests.", "Try again in a few minutes.")
    if status >= 500:
        return StudioError(f"The Hub ({host}) is in trouble right now (error {status}).", "Try again later; nothing is lost.")
    return StudioError(f"The Hub did not accept it (error {status}).{quoted}", "Change what the message names, then try again.")


def _full(host: str) -> StudioError:
    return StudioError(
        f"There is no room left for it on the Hub ({host}).", "Free some at huggingface.co/settings/billing, or share it publicly."
    )


def _is_quota(said: str) -> bool:
    return bool(re.search(r"quota|storage (?:limit|space)|(?:limit|space) (?:reached|exceeded)", said, re.IGNORECASE))


def _safe(said: str, token: str) -> str:
    """A server's message to quote in an error: one line, at most 300 characters, without the token."""
    return " ".join(said.replace(token, "***").split()).rstrip(".")[:300]
