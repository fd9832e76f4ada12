"""The studio as a public app: a Hugging Face Space, or another host.

A Space's app.py calls `serve`. The repository itself can be a Space too, with this file as its `app_file`.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    # Run as a file, Python would look for modules beside it, where it finds `settings` but not `studio`.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import atexit
import importlib.util
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence

_ZERO = "SPACES_ZERO_GPU"


def serve(models: Sequence[str] | None = None, tabs: Sequence[str] | None = None, from_hub: Mapping[str, str] | None = None) -> None:
    """Open the studio to the public, and return when it is closed.

    models, tabs: ids of the ones to show; None = all.  from_hub: model -> 'user/name', downloaded first.
    Environment: STUDIO_TRAINING=1 allows training where there is CUDA; STUDIO_AUTH=name:password asks for a login; HF_TOKEN gives
    access to private models. Ends the program with a sentence if something is missing.
    """
    if os.environ.get(_ZERO) and importlib.util.find_spec("spaces"):
        import spaces  # noqa: F401 # pyright: ignore[reportMissingImports] - of the host; before torch looks for CUDA, which it lends out
    from studio.common.threads import yield_idle_threads
    from studio.errors import StudioError

    yield_idle_threads()
    os.environ.setdefault("STUDIO_HOME", _home())
    os.environ["GRADIO_SSR_MODE"] = "false"  # Spaces turn it on; the studio's page is rendered in the browser
    try:
        for name, repo_id in (from_hub or {}).items():
            _fetch(name, repo_id)
        _open(models, tabs)
    except StudioError as e:
        sys.exit(f"studio: {e}")


def _open(models: Sequence[str] | None, tabs: Sequence[str] | None) -> None:
    from studio.ui.access.serving import ServingPolicy
    from studio.ui.app import launch

    training = _may_train()
    wanted = None if tabs is None else tuple(t for t in tabs if t != "train" or training)
    if training:  # a model trained here has a new id, which no list of models can name
        policy = ServingPolicy(tabs=wanted)
    else:
        policy = ServingPolicy(models=None if models is None else tuple(models), tabs=wanted, visitors=True)
    launch(inbrowser=False, auth=os.environ.get("STUDIO_AUTH"), policy=policy)


def _may_train() -> bool:
    if os.environ.get("STUDIO_TRAINING") != "1" or os.environ.get(_ZERO):
        return False
    import torch

    return torch.cuda.is_available()


def _home() -> str:
    """The folder for the studio's files: a Space's persistent disk if it has one, else a temporary folder."""
    disk = Path("/data")
    if os.environ.get("SPACE_ID") and os.access(disk, os.W_OK):
        return str(disk / "gan-studio")
    folder = tempfile.mkdtemp(prefix="gan-studio-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _fetch(name: str, repo_id: str) -> None:
    """Download a model from the Hub into the library, unless it is there. Raises StudioError."""
    from huggingface_hub import snapshot_download

    from studio.common.files import atomic_folder
    from studio.errors import StudioError
    from studio.models.folder import FILES
    from studio.settings import get_settings

    target = get_settings().models / name
    if target.is_dir():
        return
    print(f"Fetching {repo_id} ...", flush=True)
    try:
        with atomic_folder(target) as part:
            endpoint = os.environ.get("HF_ENDPOINT") or None
            snapshot_download(repo_id, local_dir=part, allow_patterns=[*FILES, "examples/*"], endpoint=endpoint)
            shutil.rmtree(part / ".cache", ignore_errors=True)
    except Exception as e:
        reason = str(e).strip().partition("\n")[0]
        raise StudioError(f"The model {repo_id} could not be fetched: {reason}", "A private one needs the secret HF_TOKEN.") from None


if __name__ == "__main__":
    serve()
