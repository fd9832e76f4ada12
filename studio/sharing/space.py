"""Spaces: folders with the studio, chosen models and tabs, that run as they are, here and on the Hub."""

import importlib.metadata
import json
import os
import re
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import studio
from studio.common import toml
from studio.common.files import atomic_file, atomic_folder
from studio.common.progress import Cancel, Progress
from studio.errors import StudioError
from studio.models.folder import ModelInfo, open_folder
from studio.sharing.hub import connect, ensure_public, full_name, open_repo, published_files, upload
from studio.sharing.hub_card import licence_fields
from studio.sharing.publish_check import ensure_licence

HARDWARE = {
    "": "Free (processor only)",
    "zero-a10g": "ZeroGPU (shared graphics card)",
    "t4-small": "Nvidia T4 (paid)",
    "l4x1": "Nvidia L4 (paid)",
}
_PROGRAM = (".py", ".css", ".js")  # endings of the files of this package
_PYTHON = "3.12"  # which Spaces with and without a graphics card have
_SOURCE = Path(studio.__file__).resolve().parent
_LFS = "".join(f"*.{ending} filter=lfs diff=lfs merge=lfs -text\n" for ending in ("safetensors", "webp", "png"))
_APP = '''"""{title}: a studio to play with, made with GAN Studio."""

from studio.space_app import serve

if __name__ == "__main__":
    serve(
        models={models},
        tabs={tabs},
        from_hub={from_hub},
    )
'''


def make_space(
    infos: Sequence[ModelInfo],
    out: Path,
    *,
    tabs: Sequence[str],
    title: str,
    training: bool = False,
    by_id: Mapping[str, str] | None = None,
    licence: str,
) -> Path:
    """Write the folder of a Space, atomically.

    infos: its models.  out: the folder; an earlier Space there is replaced, anything else is left alone.
    tabs: ids of its tabs.  title: its name in words.
    training: models can be trained further, where there is a graphics card and the secret STUDIO_TRAINING is 1.
    by_id: model -> 'user/name' on the Hub, for models that are downloaded at start instead of lying in the folder.
    licence: of the Space.  Raises StudioError if there is no model or title, something else is in `out`, or a model that lies in the
    folder may not be published under the licence.
    """
    by_id = dict(by_id or {})
    title = " ".join(title.split())
    if not infos:
        raise StudioError("No model is chosen.", "Choose one or more.")
    if not title:
        raise StudioError("The Space has no title.", "Give it one.")
    ids = [info.id for info in infos]
    if lost := [id for id in by_id if id not in ids]:
        raise StudioError(f"'{lost[0]:.100}' is to be downloaded from the Hub but is not among the chosen models.", "Choose it as well.")
    if new := [info.title for info in infos if not (info.path / "config.json").is_file()]:
        raise StudioError(f"'{new[0]}' is not ready yet.", "Use it once, then make the Space.")
    for info in infos:
        if info.id not in by_id:
            ensure_licence(info, licence)
    _ensure_replaceable(out)
    with atomic_folder(out) as part:
        _copy_source(part / "studio")
        for info in infos:
            if info.id not in by_id:
                _copy_model(info, part / "checkpoints" / info.id, training)
        shown = (*tabs, *(("train",) if training else ()))
        texts = {
            "app.py": _APP.format(
                title=title.replace("\\", "").replace('"', "'"),
                models=json.dumps(ids),
                tabs=json.dumps(list(dict.fromkeys(shown))),
                from_hub=json.dumps(by_id),
            ),
            "README.md": _readme(infos, title, by_id, licence, training),
            "requirements.txt": "".join(f"{line}\n" for line in requirements()),
            ".gitattributes": _LFS,
            "LICENSE": _own_licence(),
        }
        for name, text in texts.items():
            (part / name).write_text(text, encoding="utf-8")
    return Path(out)


def requirements() -> list[str]:
    """Dependencies of the studio as lines for pip, sorted; without those of tests and extras."""
    pyproject = _SOURCE.parent / "pyproject.toml"
    if pyproject.is_file():
        project = toml.loads(pyproject.read_text(encoding="utf-8"))["project"]
        if project["name"] == "gan-studio":
            return sorted(project["dependencies"])
    return sorted(line for line in importlib.metadata.requires("gan-studio") or () if not re.search(r"\bextra\s*==", line))


def zip_space(folder: Path, file: Path) -> Path:
    """Pack the folder of a Space into a zip, to keep or to upload by hand."""
    with atomic_file(file) as f, zipfile.ZipFile(f, "w", zipfile.ZIP_DEFLATED) as pack:
        for path in sorted(p for p in Path(folder).rglob("*") if p.is_file()):
            pack.write(path, f"{Path(folder).name}/{path.relative_to(folder).as_posix()}")
    return file


def push_space(
    folder: Path,
    repo_id: str,
    *,
    token: str | None = None,
    private: bool = True,
    hardware: str | None = None,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> str:
    """Upload the folder of a Space to the Hub in one commit; it starts there by itself. Returns its address.

    hardware: by the Hub's name ('zero-a10g', 't4-small'); None = the free one.  The rest as in `studio.sharing.hub.push_model`.
    Raises StudioError on any failure, with what to do; also if it is to be public and a model in it may not be.
    """
    folder = Path(folder)
    if not _is_space(folder):
        raise StudioError(f"{folder} is not a Space of this studio.", "Make one first.")
    if not private:
        for path in sorted((folder / "checkpoints").glob("*/config.json")):
            info = open_folder(path.parent)
            ensure_public(info, info.licence)
    with connect(token) as api:
        repo_id = full_name(api, repo_id)
        files: dict[str, Path | bytes] = {
            p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file() and not _is_bytecode(p)
        }
        repo = open_repo(api, repo_id, "space", private=private, space_sdk="gradio", **({"space_hardware": hardware} if hardware else {}))
        gone = [name for name in repo.files if name.startswith(("studio/", "checkpoints/")) and name not in files]
        upload(api, repo_id, "space", files, gone, "A Space from GAN Studio", progress, cancel)
        if hardware and repo.files:
            api.request_space_hardware(repo_id, hardware)  # pyright: ignore[reportArgumentType] - new names work before the client knows them
        repo.set_visibility(private)
        return f"{api.endpoint}/spaces/{repo_id}"


def _is_space(folder: Path) -> bool:
    app = folder / "app.py"
    return app.is_file() and "from studio.space_app import serve" in app.read_text(encoding="utf-8", errors="replace")


def _ensure_replaceable(out: Path) -> None:
    if out.exists() and not (out.is_dir() and (_is_space(out) or not any(out.iterdir()))):
        raise StudioError(f"{out} already exists and is not a Space of this studio.", "Choose another folder; this one is left alone.")


def _is_bytecode(path: Path) -> bool:
    """Whether a file was left behind by running the Space."""
    return path.suffix == ".pyc" or "__pycache__" in path.parts


def _copy_source(into: Path) -> None:
    for file in sorted(p for p in _SOURCE.rglob("*") if p.suffix in _PROGRAM):
        target = into / file.relative_to(_SOURCE)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)


def _copy_model(info: ModelInfo, into: Path, training: bool) -> None:
    files = [*published_files(info), *(f for f in [info.path / "README.md"] if f.is_file() and not f.is_symlink())]
    for file in files:
        if file.name == "discriminator.safetensors" and not training:
            continue  # needed to continue training only
        target = into / file.relative_to(info.path)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)


def _readme(infos: Sequence[ModelInfo], title: str, by_id: Mapping[str, str], licence: str, training: bool) -> str:
    head = {
        "title": title,
        "emoji": "🎨",
        "colorFrom": "yellow",
        "colorTo": "red",
        "sdk": "gradio",
        "sdk_version": importlib.metadata.version("gradio"),
        "app_file": "app.py",
        "python_version": _PYTHON,
        "pinned": False,
        "short_description": "Explore and mix pictures in a GAN studio",
        **licence_fields(licence),
        "tags": ["gan-studio", "gan", *sorted({info.family for info in infos})],
        **({"models": sorted(by_id.values())} if by_id else {}),
    }
    # A JSON value is a YAML value.
    lines = ["---", *(f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in head.items()), "---"]
    rows = ["| Model | Licence | Where |", "|---|---|---|"]
    for info in infos:
        where = (
            f"[{by_id[info.id]}](https://huggingface.co/{by_id[info.id]})"
            if info.id in by_id
            else f"[its card](checkpoints/{info.id}/README.md)"
        )
        rows.append(f"| {_cell(info.title)} | {_cell(info.licence or 'not stated')} | {where} |")
    parts = [
        "\n".join(lines),
        f"# {title}",
        "A studio to play with in the browser, made with GAN Studio. Every picture in it is made by AI. "
        "Each visitor's files are kept apart from the others' and deleted afterwards.",
        "\n".join(rows),
        "`python app.py` starts it on your own machine, after `pip install -r requirements.txt`.",
    ]
    if training:
        parts.append(
            "Training is on where this Space has a graphics card and its secret `STUDIO_TRAINING` is `1`. Keep such a Space private, or "
            "set the secret `STUDIO_AUTH` to `name:password`: everyone who opens it sees its pictures and trainings."
        )
    return "\n\n".join(parts) + "\n"


def _cell(text: str) -> str:
    return re.sub(r"[|\[\]<>`]", " ", " ".join(text.split()))


def _own_licence() -> str:
    """The licence text of the studio's source."""
    licence = _SOURCE.parent / "LICENSE"
    if licence.is_file():
        return licence.read_text(encoding="utf-8")
    found = [f for f in importlib.metadata.files("gan-studio") or () if os.path.basename(f) == "LICENSE"]
    return found[0].read_text(encoding="utf-8") if found else "Apache License 2.0, https://www.apache.org/licenses/LICENSE-2.0\n"
