"""Import of model folders, as a folder or in a zip: only files that belong to a model are copied, and all of them are checked."""

import contextlib
import json
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image

from studio.common.archives import directory_bytes, member_problem, unpack_member
from studio.common.files import atomic_folder, ensure_room
from studio.common.text import printable
from studio.datasets.sources import Limits, name_problem
from studio.errors import StudioError
from studio.models.card import model_card
from studio.models.config_file import read_config
from studio.models.folder import FILES, MAX_EXAMPLE_BYTES, MAX_EXAMPLES, ModelInfo, build_network, open_folder, safe_name
from studio.models.importers import strangers
from studio.models.library import Library
from studio.models.weights_file import check_tensors

_MAX_BYTES = 4 << 30
_MAX_TEXT = 1 << 20  # bytes of config.json, README.md, plan.toml
_MAX_PICTURE = 4096  # pixels of a side
_MAX_MEMBERS = 1000
_LIMITS = Limits(files=_MAX_MEMBERS, zip_bytes=_MAX_BYTES)
_FREE_RATIO = 100 << 20
_BLOCK = 1 << 20
_ZIP_HINT = "A zip of a model holds its config.json and its model.safetensors. Of any other model, give the checkpoint itself, unpacked."


def is_model_folder(folder: Path) -> bool:
    """Whether a folder has what every model folder has."""
    return (folder / "config.json").is_file() and (folder / "model.safetensors").is_file()


def add_model_folder(folder: Path, library: Library, name: str, extra: Mapping[str, Any]) -> ModelInfo:
    """Copy a model folder into the library's first folder, under `name` or the next free one.

    extra: facts to add to its own.  Files that do not belong to a model are left out, and so are pictures that cannot be shown.
    Raises StudioError when config and tensors do not make a model, or a file is a link or too large.
    """
    free = library.free_name(name)
    with atomic_folder(library.roots[0] / free) as part:
        _copy(folder, part, printable(name, 60))
        where = f"The model '{name}'"
        config = read_config(part, where)
        config["extra"] = {**config.get("extra", {}), **extra}
        (part / "config.json").write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        info = open_folder(part, id=free)
        build_network(info)  # so that faults show now rather than when it is used
        for extras in ("discriminator.safetensors", "directions.safetensors"):
            if (part / extras).exists():
                check_tensors(part / extras, where)
        if not (part / "README.md").exists():
            card = model_card(info.title, info.family, info.licence, "It came without a card of its own.")
            (part / "README.md").write_text(card, encoding="utf-8")
    return open_folder(library.roots[0] / free)


def _copy(source: Path, target: Path, name: str) -> None:
    """Copy the files of a model, none of which may be a link."""
    total = 0
    for file in [source / f for f in FILES] + _examples(source):
        try:
            facts = file.lstat()
        except FileNotFoundError:
            continue
        if not stat.S_ISREG(facts.st_mode):
            raise StudioError(
                f"The model '{name}' has a {file.name} that is a link or not a file.", "Copy the file itself into the folder."
            )
        total += facts.st_size
        if total > _MAX_BYTES or (file.suffix in (".json", ".md", ".toml") and facts.st_size > _MAX_TEXT):
            raise StudioError(f"The model '{name}' has a {file.name} of absurd size.", "It is not a model of this studio.")
        if file.suffix == ".webp" and not _can_be_shown(file):
            continue
        ensure_room(target, facts.st_size)
        path = target / file.relative_to(source)
        path.parent.mkdir(exist_ok=True)
        shutil.copyfile(file, path, follow_symlinks=False)


def _examples(source: Path) -> list[Path]:
    folder = source / "examples"
    if folder.is_symlink() or not folder.is_dir():
        return []
    return [f for side in "ab" for f in (folder / f"{side}-{i}.webp" for i in range(1, MAX_EXAMPLES + 1)) if f.exists()]


def _can_be_shown(file: Path) -> bool:
    """Whether this is a WebP of a reasonable size that can be decoded completely."""
    try:
        if file.stat().st_size > MAX_EXAMPLE_BYTES:
            return False
        with Image.open(file, formats=("WEBP",)) as image:
            if max(image.size) > _MAX_PICTURE:
                return False
            image.load()
            return True
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return False


# -- zips ----------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def unpacked_model(path: Path, cache: Path) -> Iterator[tuple[Path, str]]:
    """The model folder within a zip, unpacked below `cache` for as long as the context lasts, and its name.

    Raises StudioError when there is none or more than one, when the zip holds links or names that lead out of it, when it
    unpacks to too much, or is damaged.
    """
    with tempfile.TemporaryDirectory(dir=cache, prefix="zip-") as folder:
        try:
            if directory_bytes(path) > _MAX_MEMBERS * 1024:
                raise StudioError(f"{path.name} has an absurdly long list of files.", _ZIP_HINT)
            with zipfile.ZipFile(path) as archive:
                top, members = _model_within(path, archive)
                ensure_room(cache, sum(m.file_size for m in members.values()))
                for name, member in members.items():
                    _unpack(archive, member, Path(folder) / name)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError):
            raise StudioError(f"{path.name} is damaged or cut short.", "Download it again and compare its size.") from None
        except OSError as e:
            raise StudioError(f"{path.name} cannot be unpacked: {e.strerror or e}.", "Check it, and the room on the disk.") from None
        yield Path(folder), top


def _model_within(path: Path, archive: zipfile.ZipFile) -> tuple[str, dict[str, zipfile.ZipInfo]]:
    """(name of the model, what to unpack by its place in the model folder). Raises StudioError."""
    members = [m for m in archive.infolist() if not m.is_dir()]
    if len(archive.infolist()) > _MAX_MEMBERS:
        raise StudioError(f"{path.name} holds {len(archive.infolist()):,} files, more than any model.", _ZIP_HINT)
    for member in members:
        name = member.filename.replace("\\", "/")
        if problem := member_problem(member, name, _LIMITS.zip_ratio) or name_problem(name, _LIMITS):
            raise StudioError(f"{path.name} was not unpacked: it holds '{printable(name, 80)}': {problem}.", _ZIP_HINT)
    total = sum(m.file_size for m in members)
    if total > _MAX_BYTES or total > max(_FREE_RATIO, _LIMITS.zip_ratio * path.stat().st_size):
        raise StudioError(f"{path.name} is a zip bomb: it unpacks to {total / 1e6:,.0f} MB.", _ZIP_HINT)
    by_name = {m.filename.replace("\\", "/"): m for m in members}
    if len(by_name) < len(members):
        raise StudioError(f"{path.name} holds a file twice.", _ZIP_HINT)
    tops = [PurePosixPath(n).parent for n in by_name if PurePosixPath(n).name == "model.safetensors"]
    tops = [top for top in tops if str(top / "config.json") in by_name]
    if not tops and (stranger := strangers.of_parts(by_name)):
        raise StudioError(f"{path.name} {stranger.what}.", stranger.advice)
    if len(tops) != 1:
        what = f"holds {len(tops)} models; unpack it and add them one by one" if tops else "is a zip archive without a model of this studio"
        raise StudioError(f"{path.name} {what}.", _ZIP_HINT)
    wanted = [*FILES, *(f"examples/{side}-{i}.webp" for side in "ab" for i in range(1, MAX_EXAMPLES + 1))]
    found = {name: by_name[str(tops[0] / name)] for name in wanted if str(tops[0] / name) in by_name}
    return safe_name(tops[0].name or path.stem), found


def _unpack(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> None:
    """One file, no longer than it says."""
    target.parent.mkdir(exist_ok=True)
    with archive.open(member) as source, open(target, "xb") as out:
        unpack_member(source, out, member.file_size)
