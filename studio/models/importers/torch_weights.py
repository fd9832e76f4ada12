"""Foreign weights: a file that torch.save wrote, read in torch's weights-only mode, which runs nothing, or safetensors.

A state dict holds tensors by name, not a network. The importers beside this file recognise the network by the names.
"""

import argparse
import contextlib
import re
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from studio.common.archives import directory_bytes
from studio.errors import StudioError
from studio.models.importers.imported import UnsupportedCheckpoint, excerpt
from studio.models.importers.pickle_machine import DamagedPickle
from studio.models.importers.weights_scan import scan_weights
from studio.models.importers.wrappers import generators_among

_AGAIN = "Download it again and compare its size."
_WEIGHTS_ALONE = "Where its code is, save the weights alone with torch.save(model.state_dict(), 'weights.pth'), and import those."
_LEGACY = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."  # how files of torch before 1.6 begin
_MAX_TENSORS = 20_000
_MAX_DIRECTORY = 8 << 20  # bytes of a zip's list of parts; a tensor takes about a hundred
_MAX_TABLE = 1 << 27  # bytes; the library's own limit
# Where training codes put the state dict within what they save, the averaged weights first.
_WITHIN = ("params_ema", "params-ema", "params", "model_state_dict", "state_dict", "model", "net")
_MAX_WRAPPERS = 4  # dicts around a state dict


class _Blank:
    """A value that stands beside the weights and is not needed, such as a numpy number or a path: nothing of it is built."""

    __slots__ = ()

    def __new__(cls, *args: Any) -> "_Blank":
        return super().__new__(cls)

    def __setstate__(self, state: Any) -> None:
        pass


_NUMPY = ("scalar", "_reconstruct")
_BLANKS = (
    *(f"numpy.{core}.multiarray.{name}" for core in ("core", "_core") for name in _NUMPY),
    *(f"numpy.{name}" for name in ("ndarray", "dtype", "float16", "float32", "float64", "int32", "int64", "uint8", "bool_")),
    *(f"{module}.{name}" for module in ("pathlib", "pathlib._local") for name in ("Path", "PosixPath", "WindowsPath")),
    *(f"{module}.Pure{name}" for module in ("pathlib", "pathlib._local") for name in ("Path", "PosixPath", "WindowsPath")),
    *(f"datetime.{name}" for name in ("datetime", "date", "timedelta", "timezone")),
)
# A Namespace is no more than names with values.
_allowed = torch.serialization.safe_globals([argparse.Namespace, *((_Blank, name) for name in _BLANKS)])
_BESIDE = (_Blank, bool, int, float, str, bytes, type(None))  # what may stand between the tensors
_lock, _reading = threading.Lock(), 0


@contextlib.contextmanager
def _values_beside_weights() -> Iterator[None]:
    """While it lasts, torch reads options that training codes keep beside the weights. Several threads may be inside at once."""
    global _reading
    with _lock:
        _reading += 1
        if _reading == 1:
            _allowed.__enter__()
    try:
        yield
    finally:
        with _lock:
            _reading -= 1
            if not _reading:
                _allowed.__exit__(None, None, None)


def looks_like_weights(head: bytes) -> bool:
    """Whether a file that begins like this was written by torch.save."""
    zipped = head.startswith(b"PK\x03\x04") and (b"data.pkl" in head[:200] or b"archive/" in head[:60])
    return zipped or head.startswith(_LEGACY)


def looks_like_safetensors(head: bytes) -> bool:
    """Whether a file that begins like this holds safetensors: 8 bytes give the length of a table in JSON."""
    return head[8:10] in (b'{"', b"{ ", b"{}") and int.from_bytes(head[:8], "little") < _MAX_TABLE


@contextlib.contextmanager
def studio_errors(path: Path, hint: str) -> Iterator[None]:
    """Turn errors in reading the weights in `path` into StudioErrors.  hint: what could be imported."""
    try:
        yield
    except UnsupportedCheckpoint as e:
        raise StudioError(f"{path.name} was not imported: it holds {e}.", e.hint or hint) from None
    except OSError as e:
        raise StudioError(f"{path.name} cannot be read: {e.strerror or e}.", _AGAIN) from None
    except MemoryError:
        raise StudioError(f"{path.name} does not fit into memory.", "Close other programs and try again.") from None


def load_tensors(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a file. Raises UnsupportedCheckpoint if it is not a state dict, StudioError for a damaged file."""
    size = path.stat().st_size
    with open(path, "rb") as f:
        if f.read(4) == b"PK\x03\x04":
            if directory_bytes(path) > _MAX_DIRECTORY:  # it would be read into memory as a whole
                raise UnsupportedCheckpoint("an absurdly long list of parts")
            try:
                entries = zipfile.ZipFile(f).infolist()
            except (zipfile.BadZipFile, ValueError, NotImplementedError):
                raise StudioError(f"{path.name} is damaged or cut short.", _AGAIN) from None
            # torch does not compress; a small file that unpacks to a large one is malicious.
            if any(e.compress_type != zipfile.ZIP_STORED for e in entries) or sum(e.file_size for e in entries) > size:
                raise UnsupportedCheckpoint("compressed parts, which torch does not write")
    try:
        scan_weights(path)
    except (DamagedPickle, zipfile.BadZipFile, NotImplementedError, RuntimeError):  # the last two for what zipfile cannot read
        raise StudioError(f"{path.name} is damaged or cut short.", _AGAIN) from None
    try:
        # Opened here: of some endings torch would think that it knows the format by them.
        with _values_beside_weights(), open(path, "rb") as f:
            content = torch.load(f, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as e:  # a damaged file can fail anywhere in torch
        if "weights_only" in str(e) or "Unsupported" in str(e):
            raise UnsupportedCheckpoint("more than weights, and what is more could run as a program", _WEIGHTS_ALONE) from None
        raise StudioError(f"{path.name} is damaged or cut short.", _AGAIN) from None
    if isinstance(content, dict):
        content = _state_dict(content)
    return _checked(content, size)


def _state_dict(content: dict, wrappers: int = _MAX_WRAPPERS) -> dict:
    """The state dict within what a training code saved. Rosinality's includes what further training needs: the mean of w as
    'latent_avg', and the discriminator's tensors as 'd.name'. Of two generators, one per direction, names begin with 'G_A.' or 'G_B.'.
    """
    average = content.get("g_ema", content.get("g"))
    if isinstance(average, list) and isinstance(content.get("g"), dict):
        average = _with_parameters(content["g"], average)
    if isinstance(average, dict):
        discriminator = content["d"] if isinstance(content.get("d"), dict) else {}
        mean = {"latent_avg": content["latent_avg"]} if isinstance(content.get("latent_avg"), torch.Tensor) else {}
        return {**average, **mean, **{f"d.{name}": value for name, value in discriminator.items()}}
    if isinstance(content.get("GAN"), dict):  # lucidrains' discriminator is there twice, sharing the same numbers
        return {name: value for name, value in content["GAN"].items() if not str(name).startswith("D")}
    inner = {key: value for key, value in content.items() if isinstance(key, str) and isinstance(value, dict)}
    if wrappers and inner:
        within = next((inner[key] for key in _WITHIN if key in inner), None)
        if within is not None:
            return _state_dict(within, wrappers - 1)
        found = {side: _state_dict(inner[key], wrappers - 1) for side, key in generators_among(inner).items()}
        if len(found) == 2:
            return {f"G_{side}.{name}": value for side, state in found.items() for name, value in state.items()}
        if found:
            return next(iter(found.values()))
    has_tensors = any(isinstance(value, torch.Tensor) for value in content.values())
    return {name: value for name, value in content.items() if not (has_tensors and isinstance(value, _BESIDE))}


def _with_parameters(state: dict, parameters: list) -> dict:
    """FastGAN's mean: a state dict with other parameters, given in their order. As it is when they do not fit."""
    buffers = ("running_mean", "running_var", "num_batches_tracked", "weight_u", "weight_v")
    names = [name for name in state if not str(name).endswith(buffers)]
    fits = len(names) == len(parameters) and all(
        isinstance(p, torch.Tensor) and isinstance(state[name], torch.Tensor) and p.shape == state[name].shape
        for name, p in zip(names, parameters, strict=True)
    )
    return {**state, **dict(zip(names, parameters, strict=True))} if fits else state


def safetensors_names(path: Path) -> list[str]:
    """Names of the tensors of a safetensors file, none of which is read; none at all when it is damaged."""
    try:
        with safe_open(path, framework="pt") as f:
            return list(f.keys())
    except (SafetensorError, ValueError, OSError):
        return []


def load_safetensors(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file. Raises UnsupportedCheckpoint, and StudioError for a damaged file."""
    size = path.stat().st_size
    try:
        with safe_open(path, framework="pt") as f:
            names = list(f.keys())
            if len(names) > _MAX_TENSORS:
                raise UnsupportedCheckpoint(f"{len(names):,} tensors, more than any network")
            # Copies: a later write to the file must not change the model.
            return _checked({name: f.get_tensor(name).clone() for name in names}, size)
    except (SafetensorError, ValueError):
        raise StudioError(f"{path.name} is damaged or cut short.", _AGAIN) from None


def _checked(content: object, size: int) -> dict[str, torch.Tensor]:
    """The content of a file of `size` bytes, when it is tensors by name. Raises UnsupportedCheckpoint."""
    if not isinstance(content, dict) or not content or len(content) > _MAX_TENSORS:
        single = "no weights" if isinstance(content, dict | _Blank) else f"a single {type(content).__name__}, not tensors by name"
        raise UnsupportedCheckpoint(single)
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor) or value.layout != torch.strided:
            raise UnsupportedCheckpoint(f"'{excerpt(str(name), 40)}', which is not a tensor")
    # Tensors may share data, so a small file could ask for a large network.
    if sum(t.nbytes for t in content.values()) > size:
        raise UnsupportedCheckpoint("tensors that are larger than the file")
    return content


class Tensors:
    """Named tensors that are taken one by one, so that none is left over unnoticed."""

    def __init__(self, tensors: dict[str, torch.Tensor]):
        self.all, self.used = tensors, set()

    def take(self, name: str, ndim: int) -> torch.Tensor:
        """A tensor as float32. Raises UnsupportedCheckpoint unless it exists with `ndim` axes and only finite numbers."""
        if name not in self.all:
            raise UnsupportedCheckpoint(f"no tensor '{name}'")
        tensor = self.all[name]
        if tensor.ndim != ndim or 0 in tensor.shape or not tensor.dtype.is_floating_point or tensor.is_meta:
            raise UnsupportedCheckpoint(f"'{name}' of the shape {tuple(tensor.shape)}, which does not fit there")
        if not torch.isfinite(tensor).all():
            raise UnsupportedCheckpoint(f"'{name}' with numbers that are not finite, as after a failed training")
        self.used.add(name)
        return tensor.float().contiguous().clone()

    def skip(self, *names: str) -> None:
        """Ignore names that may be there but are not needed."""
        self.used.update(names)

    def numbers(self, pattern: str) -> list[int]:
        """The numbers in names that begin like this, in order: 'blocks.(number).' -> [0, 1, 2]."""
        found = {int(m.group(1)) for m in (re.match(pattern, name) for name in self.all) if m}
        return sorted(found)

    def check_all_used(self, family: str) -> None:
        """Refuse a network that has more than ours: its pictures would differ.  family: its title."""
        left = sorted(self.all.keys() - self.used)
        if left:
            raise UnsupportedCheckpoint(f"a tensor '{excerpt(left[0], 60)}', which this {family} does not have")
