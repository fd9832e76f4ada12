"""Download from the Hugging Face Hub: the files of a model folder, or the one weights file of a repository that can be imported."""

import contextlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from studio.common.download import MAX_BYTES, downloads_folder, exclusive
from studio.common.files import ensure_room
from studio.common.progress import Cancel, StageProgress, raise_if_cancelled, report
from studio.common.text import printable, some_of
from studio.errors import StudioError
from studio.models.endings import CHECKPOINT_ENDINGS, endings_in_words
from studio.models.folder import FILES
from studio.models.importers import strangers

_WEIGHTS = tuple(ending for ending in CHECKPOINT_ENDINGS if ending != ".param")  # which needs its .bin beside it
_BESIDE = ("config.json", ".config.json")  # where some formats keep their settings
_EXAMPLE = re.compile(r"examples/[ab]-\d{1,3}\.webp")
_MAX_CONFIG = 1 << 20
_MAX_FILES = 10_000
_REPO = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[\w.-]{1,96}")


@dataclass(frozen=True)
class DownloadedRepo:
    """Files of a repository.

    folder: holds the files.  weights: the file to import, or None when the folder is a model folder of this studio.
    commit: of the repository.  licence: as its card states it, or ''.
    """

    folder: Path
    weights: Path | None
    commit: str
    licence: str


def is_repo(text: str) -> bool:
    """Whether a text has the form of a repository name, 'user/name'."""
    return bool(_REPO.fullmatch(text)) and ".." not in text and "--" not in text


@contextlib.contextmanager
def downloaded_repo(
    repo: str,
    *,
    revision: str | None = None,
    token: str | bool | None = None,
    progress: StageProgress | None = None,
    cancel: Cancel | None = None,
) -> Iterator[DownloadedRepo]:
    """Download what the studio can use from a model repository. It is deleted when the context ends, except for the parts that a
    broken or cancelled download can resume from.

    revision: branch, tag or commit; None = the main branch.  token: None = the one of this machine's login, False = none. It is
    handed to huggingface_hub and kept nowhere.  The Hub is that of HF_ENDPOINT.  progress, cancel: as in `download_file`.
    Raises StudioError when the Hub cannot be reached, the repository is missing or not open, or holds nothing to import.
    """
    if not is_repo(repo):
        raise StudioError(f"'{printable(repo, 120)}' is not the name of a repository.", "It has the form user/name.")
    target = downloads_folder() / f"hub-{repo.replace('/', '--')}"
    with exclusive(target.with_name(f"{target.name}.lock"), cancel):
        with _studio_errors(repo, revision):
            found = _fetch(repo, target, revision, token, progress, cancel)
        try:
            yield found
        finally:
            shutil.rmtree(found.folder, ignore_errors=True)


def _fetch(
    repo: str, target: Path, revision: str | None, token: str | bool | None, progress: StageProgress | None, cancel: Cancel | None
) -> DownloadedRepo:
    from huggingface_hub import HfApi

    api = HfApi(endpoint=os.environ.get("HF_ENDPOINT", "").strip() or None, token=token)
    info = api.model_info(repo, revision=revision, files_metadata=True, timeout=30)
    files = {s.rfilename: s for s in info.siblings or () if _is_plain(s.rfilename)}
    if len(files) > _MAX_FILES:
        raise StudioError(f"{repo} has more than {_MAX_FILES:,} files.", "Give the address of the one file that you want.")
    sizes = {name: int(s.size or 0) for name, s in files.items()}
    commit = info.sha or ""
    commit = commit if re.fullmatch(r"[0-9a-f]{40}", commit) else ""
    folder = target.with_name(f"{target.name}--{commit[:16]}")
    transfer = _Transfer(api, repo, commit or revision or "main", folder, token, progress, cancel)
    try:
        names, weights = _model_folder_files(transfer, sizes), None
        if names is None:
            if stranger := strangers.of_parts(sizes):
                raise StudioError(f"{repo} {stranger.what}.", stranger.advice)
            weights = _weights(repo, sizes)
            names = [weights, *_companions(weights, sizes)]
        transfer.get(names, sizes)
    except BaseException:
        if not any(folder.rglob("*.incomplete")):  # nothing to resume from
            shutil.rmtree(folder, ignore_errors=True)
        raise
    card = info.card_data
    licence = getattr(card, "license", None) or ""
    return DownloadedRepo(folder, None if weights is None else folder / weights, commit, licence if isinstance(licence, str) else "")


def _is_plain(name: str) -> bool:
    """Whether a file name in a repository, which the server chooses, stays inside it and is valid on every system."""
    parts = PurePosixPath(name).parts
    return (
        0 < len(name) <= 200
        and name.isprintable()
        and "\\" not in name
        and ":" not in name
        and not name.startswith("/")
        and ".." not in parts
    )


def _model_folder_files(transfer: "_Transfer", sizes: dict[str, int]) -> list[str] | None:
    """The files of a model folder, when the repository is one."""
    if not {"config.json", "model.safetensors"} <= sizes.keys() or sizes["config.json"] > _MAX_CONFIG:
        return None
    transfer.get(["config.json"], sizes)
    try:
        config = json.loads((transfer.folder / "config.json").read_bytes())
    except (ValueError, RecursionError):
        return None
    if not isinstance(config, dict) or not {"format", "family", "config"} <= config.keys():
        return None
    return [name for name in sizes if name in FILES or _EXAMPLE.fullmatch(name)][:64]


def _weights(repo: str, sizes: dict[str, int]) -> str:
    """The one file that can be imported. Raises StudioError when there is none, or more than one."""
    found = [name for name in sizes if PurePosixPath(name).suffix.lower() in _WEIGHTS and sizes[name] != 0]
    if len(found) > 1:  # of the same weights in two formats, take the one that cannot hold programs
        by_stem = {str(PurePosixPath(name).with_suffix("")): name for name in sorted(found, key=lambda n: n.endswith(".safetensors"))}
        found = list(by_stem.values())
    if not found:
        raise StudioError(
            f"{repo} holds no weights that can be imported.",
            f"Weights of GANs and upscalers are {endings_in_words(endings=_WEIGHTS)} files.",
        )
    if len(found) > 1:
        names = some_of(printable(name, 60) for name in sorted(found))
        raise StudioError(f"{repo} has {len(found)} files of weights: {names}.", "Give the address of one of them.")
    return found[0]


def _companions(weights: str, sizes: dict[str, int]) -> list[str]:
    """Files beside a weights file that belong to it."""
    path = PurePosixPath(weights)
    wanted = [str(path.with_suffix(".param")), *(str(path.with_name(name)) for name in _BESIDE)]
    return [name for name in wanted if name in sizes and sizes[name] <= _MAX_CONFIG << 3]


class _Transfer:
    """Transfer of files of one commit of a repository into a folder."""

    def __init__(
        self,
        api: Any,
        repo: str,
        commit: str,
        folder: Path,
        token: str | bool | None,
        progress: StageProgress | None,
        cancel: Cancel | None,
    ):
        self.api, self.repo, self.commit, self.folder, self.token = api, repo, commit, folder, token
        self.progress, self.cancel = progress, cancel

    def get(self, names: list[str], sizes: dict[str, int]) -> None:
        """Raises StudioError when they are too large together, CancelledError, and what huggingface_hub raises."""
        total = sum(sizes[name] for name in names)
        if total > MAX_BYTES:
            raise _too_large(self.repo)
        self.folder.mkdir(parents=True, exist_ok=True)
        ensure_room(self.folder, total)
        bar = _bar(self.repo, total, self.progress, self.cancel)
        for name in names:
            self.api.hf_hub_download(self.repo, name, revision=self.commit, local_dir=self.folder, token=self.token, tqdm_class=bar)


def _too_large(repo: str) -> StudioError:
    return StudioError(f"{repo} is larger than {MAX_BYTES >> 30} GB.", "No supported model is that large.")


def _bar(repo: str, total: int, progress: StageProgress | None, cancel: Cancel | None) -> type:
    """A progress bar class for huggingface_hub: it is called for every piece, so a download can be cancelled there."""
    from tqdm import tqdm

    state = {"done": 0}

    class Bar(tqdm):
        def __init__(self, *args, **kwargs):
            kwargs.pop("name", None)
            super().__init__(*args, **{**kwargs, "disable": True})
            state["done"] += int(kwargs.get("initial") or 0)

        def update(self, n=1):
            raise_if_cancelled(cancel)
            state["done"] += int(n or 0)
            if state["done"] > MAX_BYTES:  # whatever size was claimed
                raise _too_large(repo)
            report(progress, "Downloading", state["done"], max(total, state["done"]) or None)

    return Bar


@contextlib.contextmanager
def _studio_errors(repo: str, revision: str | None) -> Iterator[None]:
    """Turn errors of the Hub into StudioErrors."""
    from huggingface_hub import errors

    unreachable = StudioError("The Hub cannot be reached.", "Check the connection to the internet, then try again.")
    try:
        yield
    except errors.GatedRepoError:
        raise StudioError(
            f"The model {repo} is open only to those who accepted its terms.",
            "Accept them on its page, then log in with 'hf auth login' or set HF_TOKEN.",
        ) from None
    except errors.RevisionNotFoundError:
        raise StudioError(
            f"The model {repo} has no revision '{printable(revision or 'main', 60)}'.", "Leave the revision out, or look it up."
        ) from None
    except errors.RepositoryNotFoundError:
        raise StudioError(
            f"There is no model {repo} on the Hub, or it is private.", "Check its name; for a private one log in or set HF_TOKEN."
        ) from None
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled):  # raised when the Hub cannot be reached
        raise unreachable from None
    except errors.EntryNotFoundError:
        raise StudioError(f"The model {repo} changed while it was downloaded.", "Try again.") from None
    except errors.HfHubHTTPError as e:
        code = getattr(getattr(e, "response", None), "status_code", None)
        if code in (401, 403):
            raise StudioError(f"The Hub refuses access to {repo} ({code}).", "Log in with 'hf auth login', or set HF_TOKEN.") from None
        raise StudioError(f"The Hub cannot provide {repo} right now ({code or 'no answer'}).", "Try again in a while.") from None
    except errors.HFValidationError:
        raise StudioError(f"'{printable(repo, 120)}' is not the name of a repository.", "It has the form user/name.") from None
    except ConnectionError:
        raise unreachable from None
    except OSError as e:
        if e.errno is None:  # a file whose size is not the stated one
            raise StudioError(f"The download of {repo} broke off.", "Try again: it resumes from there.") from None
        raise StudioError(f"The model {repo} cannot be stored: {e.strerror}.", "Free some space, then try again.") from None
    except Exception as e:
        if type(e).__module__.partition(".")[0].startswith("httpx"):  # which of the two depends on the version of huggingface_hub
            raise unreachable from None
        raise
