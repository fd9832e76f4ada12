"""The model folder: config.json, model.safetensors, README.md, thumbnail.webp and, where there are any,
directions.safetensors, discriminator.safetensors, plan.toml and, for a model that translates, examples/: pictures to try it on,
a-1.webp, a-2.webp, ... of its side A and b-1.webp, ... of its side B.

Tensors live in safetensors only: reading one never runs code.
"""

import copy
import dataclasses
import functools
import io
import json
import logging
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import nn

from studio.common.files import atomic_folder, sha256_of
from studio.errors import StudioError
from studio.imaging.xmp import DigitalSourceType, xmp_packet
from studio.models.card import model_card
from studio.models.config_file import FORMAT, check_config, read_config
from studio.models.network_builder import blank_network, load_network
from studio.models.weights_file import check_tensors, pack_tensors, read_tensors
from studio.networks import Task, get_family

_log = logging.getLogger(__name__)
MAX_NAME = 100
# Names that Windows reserves for devices, and a final dot, which it drops, could not be copied there.
_SAFE_NAME = re.compile(r"(?!(?i:con|prn|aux|nul|com\d|lpt\d)(?:\.|$))[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9_-])?")
FILES = (
    "config.json",
    "model.safetensors",
    "README.md",
    "thumbnail.webp",
    "directions.safetensors",
    "discriminator.safetensors",
    "plan.toml",
)
MAX_EXAMPLES = 8  # a side
MAX_EXAMPLE_BYTES = 8 << 20


@dataclass(frozen=True)
class ModelInfo:
    """What a model folder says about itself.

    id: the folder's name.  config: hyper-parameters of the family.  hash: SHA-256 of model.safetensors, hex.
    extra: free facts (training figures, where it was imported from).
    """

    id: str
    path: Path
    family: str
    config: dict[str, Any]
    title: str
    classes: tuple[str, ...]
    licence: str
    extra: dict[str, Any]
    hash: str

    @property
    def thumbnail(self) -> Path | None:
        """Path of the thumbnail, when there is one."""
        path = self.path / "thumbnail.webp"
        return path if path.is_file() else None

    @property
    def task(self) -> Task:
        """What it is for: to generate, translate or upscale."""
        return get_family(self.family).task

    @property
    def resolution(self) -> int:
        """Side of its pictures in pixels."""
        return get_family(self.family).config(**self.config).resolution

    def examples(self, side: str) -> list[Path]:
        """Pictures of side 'A' or 'B' to try a translation model on; none when it came without."""
        folder = self.path / "examples"
        if folder.is_symlink() or not folder.is_dir():
            return []
        files = [f for f in folder.glob(f"{side.lower()}-*.webp") if f.is_file() and not f.is_symlink()]
        return [f for f in sorted(files) if f.stat().st_size <= MAX_EXAMPLE_BYTES][:MAX_EXAMPLES]

    @property
    def scale(self) -> int | None:
        """Factor by which it enlarges a picture; None when it is not an upscaler."""
        family = get_family(self.family)
        return family.config(**self.config).scale if family.task is Task.UPSCALE else None

    @property
    def readonly(self) -> bool:
        """Whether its folder may not be changed, as with models that came with the studio."""
        return not os.access(self.path, os.W_OK)


def safe_name(text: str) -> str:
    """A folder name made from a title: letters, digits, '.', '_' and '-'."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._").lower()[: MAX_NAME - 10].rstrip("-._") or "model"
    return name if is_safe_name(name) else f"model-{name}"


def is_safe_name(name: str) -> bool:
    """Whether `name` can be the folder of a model on every system, and stays inside its library."""
    return bool(_SAFE_NAME.fullmatch(name))


def open_folder(path: str | Path, id: str | None = None) -> ModelInfo:
    """Read and check a model folder; one that has not changed since is not read again. Raises StudioError that names what is broken.

    id: the name it will have, if the folder does not have it yet.
    """
    path = Path(os.path.abspath(path))  # "." and "x/.." have a name as well
    id = path.name if id is None else id
    where = f"The model folder '{id}'"
    if not path.is_dir():
        raise StudioError(f"There is no model folder {path}.", "Check the path.")
    if not is_safe_name(id):
        raise StudioError(f"{where} has a name with odd characters.", "Rename it to letters, digits, '.', '_' and '-'.")
    home = os.path.realpath(path)
    for name in FILES:
        # A folder from elsewhere must not make the studio show or share a file of this machine.
        if (path / name).is_symlink() and os.path.dirname(os.path.realpath(path / name)) != home:
            raise StudioError(f"{where} has a {name} that points outside of it.", "Copy the file itself into the folder.")
    info = _read_folder(path, id, _version(path / "config.json"), _version(path / "model.safetensors"))
    # The caller gets tables of its own: what is cached must not change.
    return dataclasses.replace(info, config=copy.deepcopy(info.config), extra=copy.deepcopy(info.extra))


def _version(file: Path) -> tuple[int, int, int] | None:
    """What changes with a file's contents or permissions: times and size; None when there is no such file."""
    try:
        stat = file.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size


@functools.lru_cache(maxsize=1024)
def _read_folder(path: Path, id: str, config_version: tuple | None, weights_version: tuple | None) -> ModelInfo:
    """What `open_folder` reads from the disk. The versions are the cache's key; a folder that is broken is read each time."""
    where = f"The model folder '{id}'"
    raw = read_config(path, where)
    check_config(get_family(raw["family"]), raw["config"], f"{where} has a config.json")
    weights = path / "model.safetensors"
    try:
        check_tensors(weights, where)
        stat = weights.stat()
        digest = _sha256(str(weights), stat.st_mtime_ns, stat.st_size)
    except OSError as e:
        raise StudioError(f"{where} has a model.safetensors that cannot be read: {e.strerror or e}.", "Check its permissions.") from None
    info = ModelInfo(
        id=id,
        path=path,
        family=raw["family"],
        config=raw["config"],
        title=raw.get("title") or id,
        classes=tuple(raw.get("classes", ())),
        licence=raw.get("licence", ""),
        extra=raw.get("extra", {}),
        hash=digest,
    )
    check_described(info)
    return info


@functools.lru_cache(maxsize=256)
def _sha256(path: str, mtime_ns: int, size: int) -> str:
    # Time and size are part of the key: a changed file is hashed again, an unchanged one is not.
    return sha256_of(path)


def build_network(info: ModelInfo, device: str | torch.device = "cpu") -> nn.Module:
    """The generator of a model folder, float32, in eval mode. Every tensor must be there and fit.

    Raises StudioError when one is missing, left over, or of another shape.
    """
    tensors = read_tensors(info.path / "model.safetensors")
    return load_network(info.family, info.config, tensors, f"The model '{info.id}'", device)


def save_folder(
    path: str | Path,
    family: str,
    config: Mapping[str, Any],
    state_dict: Mapping[str, torch.Tensor],
    *,
    title: str,
    classes: tuple[str, ...] = (),
    licence: str = "",
    card: str = "",
    thumbnail: Image.Image | None = None,
    plan: str | None = None,
    directions: Mapping[str, torch.Tensor] | None = None,
    discriminator: Mapping[str, torch.Tensor] | None = None,
    dtype: str = "float16",
    extra: Mapping[str, Any] | None = None,
    examples: Mapping[str, Sequence[Image.Image]] | None = None,
) -> ModelInfo:
    """Write a model folder; it appears completely or not at all, and replaces one of the same name only when it is sound.

    dtype: of the weights on disk. 'float16' halves the size; single numbers, vectors (biases, the mean of w) and
    whatever would overflow stay float32.  card: Markdown body of the model card.
    examples: for a model that translates, {'A': pictures, 'B': pictures} to try it on.
    Raises StudioError when the name is odd, or config and tensors do not make a model.
    """
    path = Path(os.path.abspath(path))
    if not is_safe_name(path.name):
        raise StudioError(f"'{path.name}' cannot be the name of a model.", "Use letters, digits, '.', '_' and '-'.")
    if dtype not in ("float16", "float32"):
        raise ValueError(f"dtype must be 'float16' or 'float32', not {dtype!r}")
    blank_network(get_family(family), config, state_dict, f"The model '{path.name}'")
    config_json = {
        "format": FORMAT,
        "family": family,
        "title": title,
        "classes": list(classes),
        "licence": licence,
        "config": dict(config),
        "extra": dict(extra or {}),
    }
    with atomic_folder(path) as part:
        (part / "config.json").write_text(json.dumps(config_json, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        (part / "model.safetensors").write_bytes(pack_tensors(state_dict, dtype))
        if discriminator is not None:
            (part / "discriminator.safetensors").write_bytes(pack_tensors(discriminator, dtype))
        if directions:
            (part / "directions.safetensors").write_bytes(pack_tensors(directions, "float32"))
        if plan is not None:
            (part / "plan.toml").write_text(plan, encoding="utf-8")
        if thumbnail is not None:
            buffer = io.BytesIO()
            entry = get_family(family)
            origin = DigitalSourceType.COMPOSITE if entry.task is not Task.GENERATE else DigitalSourceType.GENERATED
            thumbnail.convert("RGB").save(buffer, "WEBP", quality=90, xmp=xmp_packet(origin).encode())
            (part / "thumbnail.webp").write_bytes(buffer.getvalue())
        for side, pictures in (examples or {}).items():
            (part / "examples").mkdir(exist_ok=True)
            for i, picture in enumerate(pictures, 1):
                picture.save(part / "examples" / f"{side.lower()}-{i}.webp", "WEBP", quality=90)
        (part / "README.md").write_text(model_card(title, family, licence, card), encoding="utf-8")
    return open_folder(path)


def check_described(info: ModelInfo) -> None:
    """Raises StudioError for a model of which what every list shows cannot be read: its task, sizes and number of classes.

    Lists and tabs describe every model there is; one that cannot be described is broken, and may not stop the others.
    """
    try:
        facts = [info.resolution, num_classes(info), *([info.scale] if info.task is Task.UPSCALE else [])]
        if not all(type(fact) is int for fact in facts):
            raise TypeError(f"its sizes are {facts}")
    except StudioError:
        raise
    except Exception as e:  # a family's config may do anything
        _log.exception("the model folder %s cannot be described", info.path)
        raise StudioError(
            f"The model '{info.id}' cannot be described ({type(e).__name__}: {e!s:.200}).", "Import it again, or update the studio."
        ) from None


def num_classes(info: ModelInfo) -> int:
    """How many classes a model of the library draws from noise; 0 = it has none. Nothing is loaded."""
    family = get_family(info.family)
    return family.config(**info.config).c_dim if family.task is Task.GENERATE else 0
