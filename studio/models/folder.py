"""The model folder: config.json, model.safetensors, README.md, thumbnail.webp and, where there are any,
directions.safetensors, discriminator.safetensors and plan.toml.

Tensors live in safetensors only: reading one never runs code.
"""

import functools
import hashlib
import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as safetensors_bytes
from torch import nn

from studio.errors import StudioError
from studio.models.card import model_card
from studio.networks import get_family
from studio.settings import atomic_folder

FORMAT = 1
_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_MAX_CONFIG_BYTES = 1 << 20


@dataclass(frozen=True)
class ModelInfo:
    """What a model folder says of itself.

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
    def resolution(self) -> int:
        """Side of its pictures in pixels."""
        return self.config["resolution"]


def safe_name(text: str) -> str:
    """A folder name made from a title: letters, digits, '.', '_' and '-'."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._").lower()[:100]
    return name or "model"


def open_folder(path: str | Path) -> ModelInfo:
    """Read and check a model folder. Raises StudioError that names what is broken."""
    path = Path(path)
    where = f"The model folder '{path.name}'"
    if not path.is_dir():
        raise StudioError(f"There is no model folder {path}.", "Check the path.")
    if not _SAFE_NAME.fullmatch(path.name):
        raise StudioError(f"{where} has a name with odd characters.", "Rename it to letters, digits, '.', '_' and '-'.")
    raw = _read_config(path, where)
    family = get_family(raw["family"])
    try:
        family.config(**raw["config"])
    except (TypeError, ValueError) as e:
        raise StudioError(f"{where} has a config.json that {family.title} cannot use: {e}.", "Get the folder again.") from None
    weights = path / "model.safetensors"
    if weights.is_symlink() and path.resolve() not in weights.resolve().parents:
        raise StudioError(f"{where} points to weights outside of itself.", "Copy the file into the folder.")
    _check_tensors(weights, where)
    stat = weights.stat()
    return ModelInfo(
        id=path.name,
        path=path,
        family=raw["family"],
        config=raw["config"],
        title=raw.get("title") or path.name,
        classes=tuple(raw.get("classes", ())),
        licence=raw.get("licence", ""),
        extra=raw.get("extra", {}),
        hash=_sha256(str(weights), stat.st_mtime_ns, stat.st_size),
    )


def _read_config(path: Path, where: str) -> dict[str, Any]:
    file = path / "config.json"
    try:
        if file.stat().st_size > _MAX_CONFIG_BYTES:
            raise StudioError(f"{where} has a config.json of more than 1 MB.", "It is no model of this studio.")
        raw = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise StudioError(f"{where} has no config.json.", "Finish copying it, or delete it.") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as e:
        raise StudioError(f"{where} has a config.json that cannot be read: {e}.", "Get the folder again.") from None
    kinds = {"family": str, "config": dict, "title": str, "classes": list, "licence": str, "extra": dict, "format": int}
    if not isinstance(raw, dict):
        raise StudioError(f"{where} has a config.json that is not a table of settings.", "Get the folder again.")
    for key in ("format", "family", "config"):
        if key not in raw:
            raise StudioError(f"{where} has a config.json without '{key}'.", "Get the folder again.")
    for key, kind in kinds.items():
        if key in raw and not isinstance(raw[key], kind):
            raise StudioError(f"{where} has a config.json whose '{key}' is of the wrong kind.", "Get the folder again.")
    if not all(isinstance(c, str) for c in raw.get("classes", [])):
        raise StudioError(f"{where} has class names that are not words.", "Get the folder again.")
    if raw["format"] != FORMAT:
        raise StudioError(f"{where} has format {raw['format']}, this studio reads {FORMAT}.", "Update the studio.")
    return raw


def _check_tensors(file: Path, where: str) -> None:
    if not file.is_file():
        raise StudioError(f"{where} has no {file.name}.", "Finish copying it, or delete it.")
    try:
        # The library compares the header with the file's size, so a torn copy is found here.
        with safe_open(file, framework="pt"):
            pass
    except (SafetensorError, OSError, ValueError) as e:
        raise StudioError(f"{where} has a damaged {file.name}: {e}.", "Copy or download it again.") from None


@functools.lru_cache(maxsize=256)
def _sha256(path: str, mtime_ns: int, size: int) -> str:
    # Time and size are part of the key: a changed file is hashed anew, an unchanged one is not.
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else _digest(f)


def _digest(f) -> str:
    h = hashlib.sha256()
    while block := f.read(1 << 20):
        h.update(block)
    return h.hexdigest()


def read_tensors(file: str | Path) -> dict[str, torch.Tensor]:
    """All tensors of a safetensors file as float32 (half precision is for the disk). Raises StudioError."""
    try:
        with safe_open(file, framework="pt") as f:
            tensors = {name: f.get_tensor(name) for name in f.keys()}
    except (SafetensorError, OSError, ValueError) as e:
        raise StudioError(f"The file {file} is damaged: {e}.", "Copy or download it again.") from None
    return {k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}


def build_network(info: ModelInfo, device: str | torch.device = "cpu") -> nn.Module:
    """The generator of a model folder, float32, in eval mode. Every tensor must be there and fit.

    Raises StudioError when one is missing, left over, or of another shape.
    """
    tensors = read_tensors(info.path / "model.safetensors")
    return load_network(info.family, info.config, tensors, f"The model '{info.id}'", device)


def load_network(
    family: str, config: Mapping[str, Any], tensors: dict[str, torch.Tensor], what: str, device: str | torch.device = "cpu"
) -> nn.Module:
    """A generator from its config and its tensors; see `build_network`."""
    entry = get_family(family)
    with torch.device("meta"):  # nothing is allocated for a config that the tensors do not bear out
        network = entry.generator(entry.config(**config))
    wanted = {k: tuple(v.shape) for k, v in network.state_dict().items()}
    for name, shape in wanted.items():
        if name not in tensors:
            raise StudioError(f"{what} lacks the tensor '{name}'.", "The file is incomplete or of another family.")
        if tuple(tensors[name].shape) != shape:
            raise StudioError(
                f"{what} has '{name}' of shape {tuple(tensors[name].shape)}, its config asks for {shape}.",
                "Config and weights do not belong together.",
            )
    extra = sorted(set(tensors) - set(wanted))
    if extra:
        raise StudioError(f"{what} has the tensor '{extra[0]}', which {entry.title} does not know.", "Its config is wrong.")
    network.load_state_dict(tensors, assign=True)
    return network.to(device).eval().requires_grad_(False)


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
) -> ModelInfo:
    """Write a model folder; it appears whole or not at all.

    dtype: of the weights on disk. 'float16' halves the size; single numbers, vectors (biases, the mean of w) and
    whatever would overflow stay float32.  card: Markdown body of the model card.
    """
    path = Path(path)
    if not _SAFE_NAME.fullmatch(path.name):
        raise StudioError(f"'{path.name}' cannot be the name of a model.", "Use letters, digits, '.', '_' and '-'.")
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
        (part / "model.safetensors").write_bytes(_pack(state_dict, dtype))
        if discriminator is not None:
            (part / "discriminator.safetensors").write_bytes(_pack(discriminator, dtype))
        if directions:
            (part / "directions.safetensors").write_bytes(_pack(directions, "float32"))
        if plan is not None:
            (part / "plan.toml").write_text(plan, encoding="utf-8")
        if thumbnail is not None:
            buffer = io.BytesIO()
            thumbnail.convert("RGB").save(buffer, "WEBP", quality=90)
            (part / "thumbnail.webp").write_bytes(buffer.getvalue())
        (part / "README.md").write_text(model_card(title, family, licence, card), encoding="utf-8")
    return open_folder(path)


def _pack(tensors: Mapping[str, torch.Tensor], dtype: str) -> bytes:
    def prepare(t: torch.Tensor) -> torch.Tensor:
        t = t.detach().cpu()
        if dtype == "float16" and t.dtype == torch.float32 and t.ndim >= 2 and t.abs().max() < 65504:
            t = t.half()
        return t.contiguous()

    return safetensors_bytes({k: prepare(v) for k, v in tensors.items()})
