"""The model folder: config.json, model.safetensors, README.md, thumbnail.webp and, where there are any,
directions.safetensors, discriminator.safetensors, plan.toml and, of a model that translates, examples/: pictures to try it on,
a-1.webp, a-2.webp, ... of its side A and b-1.webp, ... of its side B.

Tensors live in safetensors only: reading one never runs code.
"""

import copy
import dataclasses
import functools
import io
import json
import math
import os
import re
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as safetensors_bytes
from torch import nn

from studio.common.files import atomic_folder, sha256_of
from studio.errors import StudioError
from studio.imaging.xmp import DigitalSourceType, xmp_packet
from studio.models.card import model_card
from studio.networks import Family, Task, get_family

FORMAT = 1
MAX_NAME = 100
# Names that Windows keeps for devices, and a dot at the end, which it drops, could not be copied there.
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
_MAX_CONFIG_BYTES = 1 << 20
_MAX_LINE = 1000  # characters of a title or a licence
_MAX_HEADER_BYTES = 64 << 20
_MAX_TENSORS = 20_000
_MAX_WHOLE = 1 << 24  # of any number in a config: no size of a real network is larger
_MAX_LAYERS = 256  # each layer is a module made in Python, so this one costs time before any shape is compared
_MAX_ITEMS = 256  # of a list in a config
MAX_EXAMPLES = 8  # a side
MAX_EXAMPLE_BYTES = 8 << 20


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
    def task(self) -> Task:
        """What it is for: to generate, translate or upscale."""
        return get_family(self.family).task

    @property
    def resolution(self) -> int:
        """Side of its pictures in pixels."""
        return get_family(self.family).config(**self.config).resolution

    def examples(self, side: str) -> list[Path]:
        """Pictures of side 'A' or 'B' to try a model on that translates; none when it came without."""
        folder = self.path / "examples"
        if folder.is_symlink() or not folder.is_dir():
            return []
        files = [f for f in folder.glob(f"{side.lower()}-*.webp") if f.is_file() and not f.is_symlink()]
        return [f for f in sorted(files) if f.stat().st_size <= MAX_EXAMPLE_BYTES][:MAX_EXAMPLES]

    @property
    def scale(self) -> int | None:
        """How many times larger it makes a picture; None when it is no upscaler."""
        family = get_family(self.family)
        return family.config(**self.config).scale if family.task is Task.UPSCALE else None

    @property
    def readonly(self) -> bool:
        """Whether its folder may not be changed, as that of a model which came with the studio."""
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

    id: the name that it will have, where the folder does not have it yet.
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
    # Its tables are the caller's own: what is cached must not change.
    return dataclasses.replace(info, config=copy.deepcopy(info.config), extra=copy.deepcopy(info.extra))


def _version(file: Path) -> tuple[int, int, int] | None:
    """What changes when a file is written anew or its permissions are: times and size; None when there is no such file."""
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
    return ModelInfo(
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


def read_config(path: Path, where: str) -> dict[str, Any]:
    """config.json of a folder as it is written, its parts of the right kinds. Raises StudioError, which begins with `where`."""
    file = path / "config.json"
    try:
        if file.stat().st_size > _MAX_CONFIG_BYTES:
            raise StudioError(f"{where} has a config.json of more than 1 MB.", "It is no model of this studio.")
        raw = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise StudioError(f"{where} has no config.json.", "Finish copying it, or delete it.") from None
    except (OSError, ValueError, RecursionError) as e:
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
    try:
        json.dumps(raw, ensure_ascii=False).encode()
    except UnicodeEncodeError:  # half of a character of two halves, which nothing could write or show again
        raise StudioError(f"{where} has a config.json with broken text.", "Get the folder again.") from None
    if any(len(raw.get(key, "")) > _MAX_LINE for key in ("title", "licence")):
        raise StudioError(f"{where} has a title or a licence of absurd length.", "Get the folder again.")
    if not all(isinstance(c, str) for c in raw.get("classes", [])):
        raise StudioError(f"{where} has class names that are not words.", "Get the folder again.")
    if raw["format"] != FORMAT:
        raise StudioError(f"{where} has format {raw['format']}, this studio reads {FORMAT}.", "Update the studio.")
    return raw


def check_config(family: Family, config: Mapping[str, Any], what: str) -> None:
    """Hold a config from a file against the family's dataclass, before anything is built or allocated.

    Every value must have the kind that the dataclass says and a size that a network can have; then the dataclass
    itself has its say.  Raises StudioError, whose sentence begins with `what`.
    """
    hints = _hints(family.config)
    for key, value in config.items():
        if key not in hints:
            raise StudioError(f"{what} with the setting '{key}', which {family.title} does not know.", "A newer studio may know it.")
        limit = _MAX_LAYERS if key.endswith("layers") else _MAX_WHOLE
        if not _fits(value, hints[key], limit):
            raise StudioError(f"{what} whose '{key}' is {value!r:.60}, which {family.title} cannot use.", "Get the folder again.")
    try:
        family.config(**config)
    except (TypeError, ValueError) as e:
        raise StudioError(f"{what} that {family.title} cannot use: {e}.", "Get the folder again.") from None


@functools.cache
def _hints(config: type) -> dict[str, Any]:
    return typing.get_type_hints(config)


def _fits(value: Any, hint: Any, limit: int) -> bool:
    """Whether a value read from JSON has the annotated kind. Kinds that JSON has no word for are left to the dataclass."""
    parts = typing.get_args(hint)
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return any(_fits(value, part, limit) for part in parts)
    if typing.get_origin(hint) is tuple:
        return (
            isinstance(value, list | tuple)
            and len(value) <= _MAX_ITEMS
            and (parts[-1] is not ... or all(_fits(v, parts[0], limit) for v in value))
        )
    if hint in (bool, str, types.NoneType):
        return isinstance(value, hint)
    if hint is int:
        return type(value) is int and 0 <= value <= limit
    if hint is float:
        return type(value) in (int, float) and math.isfinite(value)
    return True


def check_tensors(file: Path, where: str) -> None:
    """Raises StudioError when a safetensors file is missing, cut short or damaged; the tensors are not read."""
    if not file.is_file():
        raise StudioError(f"{where} has no {file.name}.", "Finish copying it, or delete it.")
    size, due = file.stat().st_size, _due_bytes(file)
    if due > size:
        raise StudioError(f"{where} has a {file.name} that is cut short: {size:,} bytes of {due:,}.", "Copy or download it again.")
    try:
        with safe_open(file, framework="pt") as f:
            count = len(f.keys())
    except (SafetensorError, OSError, ValueError) as e:
        raise StudioError(f"{where} has a damaged {file.name}: {e}.", "Copy or download it again.") from None
    if count > _MAX_TENSORS:
        raise StudioError(f"{where} has a {file.name} of {count:,} tensors, more than any network.", "It is no model of this studio.")


def _due_bytes(file: Path) -> int:
    """How long a safetensors file must be by its own head, as far as that can be read (8 bytes: length of the header)."""
    with open(file, "rb") as f:
        head = f.read(8)
        length = int.from_bytes(head, "little")
        if len(head) < 8:
            return 8
        header = f.read(length) if length <= _MAX_HEADER_BYTES else b""
    if len(header) < length:
        return 8 + length if length <= _MAX_HEADER_BYTES else 0  # an absurd length is damage, not a torn copy
    try:
        ends = [v["data_offsets"][1] for k, v in json.loads(header).items() if k != "__metadata__"]
        return 8 + length + max(ends, default=0)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        return 0  # what is wrong with it is told by the library


@functools.lru_cache(maxsize=256)
def _sha256(path: str, mtime_ns: int, size: int) -> str:
    # Time and size are part of the key: a changed file is hashed anew, an unchanged one is not.
    return sha256_of(path)


def read_tensors(file: str | Path) -> dict[str, torch.Tensor]:
    """All tensors of a safetensors file as float32 (half precision is for the disk). Raises StudioError."""
    try:
        with safe_open(file, framework="pt") as f:
            tensors = {name: f.get_tensor(name) for name in f.keys()}  # noqa: SIM118 - safe_open is no mapping
            # These are views of the mapped file: without a copy, a later write to the file would change the model
            # in memory, and shortening it would end the program.
            return {k: v.to(torch.float32 if v.is_floating_point() else v.dtype, copy=True) for k, v in tensors.items()}
    except (SafetensorError, OSError, ValueError) as e:
        raise StudioError(f"The file {file} is damaged: {e}.", "Copy or download it again.") from None


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
    network = _blank(get_family(family), config, tensors, what)
    network.load_state_dict(tensors, assign=True)
    return network.to(device).eval().requires_grad_(False)


def _blank(entry: Family, config: Mapping[str, Any], tensors: Mapping[str, torch.Tensor], what: str) -> nn.Module:
    """A generator that fits `tensors`, without memory of its own but where they make it. Raises StudioError when none does."""
    check_config(entry, config, f"{what} has a config")
    try:
        if entry.from_tensors:
            network = entry.generator(entry.config(**config), tensors)
        else:
            with torch.device("meta"):  # nothing is allocated for a config that the tensors do not bear out
                network = entry.generator(entry.config(**config))
    except (ArithmeticError, AssertionError, RuntimeError, TypeError, ValueError) as e:
        reason = str(e).partition("\n")[0]
        raise StudioError(f"{what} has a config of which no {entry.title} can be built: {reason:.200}.", "Get it again.") from None
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
    return network


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
    """Write a model folder; it appears whole or not at all, and replaces another of its name only when it is sound.

    dtype: of the weights on disk. 'float16' halves the size; single numbers, vectors (biases, the mean of w) and
    whatever would overflow stay float32.  card: Markdown body of the model card.
    examples: of a model that translates, {'A': pictures, 'B': pictures} to try it on.
    Raises StudioError when the name is odd, or config and tensors do not make a model.
    """
    path = Path(os.path.abspath(path))
    if not is_safe_name(path.name):
        raise StudioError(f"'{path.name}' cannot be the name of a model.", "Use letters, digits, '.', '_' and '-'.")
    if dtype not in ("float16", "float32"):
        raise ValueError(f"dtype must be 'float16' or 'float32', not {dtype!r}")
    _blank(get_family(family), config, state_dict, f"The model '{path.name}'")
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


def _pack(tensors: Mapping[str, torch.Tensor], dtype: str) -> bytes:
    def prepare(t: torch.Tensor) -> torch.Tensor:
        t = t.detach().cpu()
        if dtype == "float16" and t.dtype == torch.float32 and t.ndim >= 2 and t.numel():
            # An overflow becomes infinite; what was not finite before is kept as it is for the eye to find.
            t = t.half() if t.half().isfinite().all() else t
        return t.contiguous()

    return safetensors_bytes({k: prepare(v) for k, v in tensors.items()})


def count_classes(info: ModelInfo) -> int:
    """How many classes a model of the library draws from noise; 0 = it has none. Nothing is loaded."""
    family = get_family(info.family)
    return family.config(**info.config).c_dim if family.task is Task.GENERATE else 0
