"""NVIDIA's network pickles (stylegan2-ada-pytorch, and StyleGAN2 from the stylegan3 code), read without running them.

Such a file carries Python source that NVIDIA's loader executes, and torch pickles inside its pickle. Here a pickle
is only ever turned into plain records: a name from the file picks an entry of a short list of our own data
constructors and is never looked up, imported or called. What is not on the list ends the import.

The unpickler is Python's own (pickle._Unpickler), not the C one: it can be limited step by step, its stack is a list
that a hostile file cannot overrun, and each instruction can be replaced.
"""

import dataclasses
import io
import math
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from studio.errors import StudioError
from studio.models.importers import Imported
from studio.networks.stylegan2 import Discriminator, Generator, StyleGAN2Config

_MAX_OPCODES = 5_000_000
_MAX_DEPTH = 100
_MAX_ELEMENTS = 1 << 30  # of one tensor


class _Refused(Exception):
    """What the file asked for, in a few words."""


@dataclasses.dataclass
class Record:
    """An object of a class that the file describes: its name and what it held. Nothing of the class itself."""

    class_name: str
    state: dict[str, Any]


class _EasyDict(dict):
    """Stands for dnnlib's EasyDict: a dict."""


class _Storage:
    """The numbers of tensors, flat."""

    def __init__(self, values: torch.Tensor):
        self.values = values


# -- the only callables a file can reach -----------------------------------------------------------------------------


def _persistent(meta) -> Record:
    if not isinstance(meta, dict) or meta.get("type") != "class" or not isinstance(meta.get("state"), dict):
        raise _Refused("a persistent object of an unknown kind")
    return Record(str(meta.get("class_name")), meta["state"])


def _load_from_bytes(data) -> _Storage:
    if not isinstance(data, bytes):
        raise _Refused("tensor data that are no bytes")
    try:
        storage = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as e:  # torch raises many kinds for a file that is not what it should be
        raise _Refused(f"tensor data that torch's weights-only reader does not accept ({type(e).__name__})") from None
    untyped = getattr(storage, "_untyped_storage", None)
    if untyped is None or isinstance(storage, torch.Tensor):
        raise _Refused("tensor data that are no storage")
    if untyped.nbytes() > len(data):
        raise _Refused("tensor data that claim to be larger than they are")
    return _Storage(torch.empty(0, dtype=storage.dtype).set_(untyped, 0, (untyped.nbytes() // storage.dtype.itemsize,)))


def _whole(values) -> tuple[int, ...]:
    if not isinstance(values, tuple) or len(values) > 8 or not all(type(v) is int and 0 <= v < 1 << 40 for v in values):
        raise _Refused("a tensor with an absurd shape")
    return values


def _rebuild_tensor(storage, offset, size, stride, *_ignored) -> torch.Tensor:
    size, stride, (offset,) = _whole(size), _whole(stride), _whole((offset,))
    if not isinstance(storage, _Storage) or len(size) != len(stride) or math.prod(size) > _MAX_ELEMENTS:
        raise _Refused("a tensor with an absurd shape")
    # A stride of 0 would make a giant of one number; all real files are dense.
    end = offset + (sum((n - 1) * s for n, s in zip(size, stride, strict=True)) + 1 if math.prod(size) else 0)
    if end > len(storage.values) or math.prod(size) > len(storage.values):
        raise _Refused("a tensor that reaches beyond its data")
    return torch.as_strided(storage.values, size, stride, offset).clone()


def _rebuild_parameter(data, *_ignored) -> torch.Tensor:
    if not isinstance(data, torch.Tensor):
        raise _Refused("a parameter that is no tensor")
    return data


def _numpy_dtype(name, *_ignored) -> np.dtype:
    if not isinstance(name, str) or name.lstrip("<>|=") not in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"):
        raise _Refused(f"a numpy array of kind {name!r:.40}")
    return np.dtype(name)


def _numpy_scalar(dtype, data=b"") -> Any:
    if not isinstance(dtype, np.dtype) or not isinstance(data, bytes) or len(data) != dtype.itemsize:
        raise _Refused("a damaged numpy number")
    return np.frombuffer(data, dtype)[0].item()


class _ArrayShell:
    """A numpy array whose content comes later, by BUILD."""

    value: np.ndarray | None = None


def _numpy_reconstruct(*_ignored) -> _ArrayShell:
    return _ArrayShell()


def _encode(text, encoding) -> bytes:
    if not isinstance(text, str) or encoding != "latin1":
        raise _Refused("text in an odd encoding")
    return text.encode("latin1")


def _ordered_dict(*items) -> OrderedDict:
    return OrderedDict(*items)


def _easy_dict(*items) -> _EasyDict:
    return _EasyDict(*items)


def _set(items=()) -> set:
    return set(items)


def _size(items=()) -> tuple[int, ...]:
    return _whole(tuple(items))


def _text(*parts) -> str:
    return ":".join(str(p)[:20] for p in parts)  # a device; it is of no use here


class _Name:
    """A name of the file's that stands for a constructor of ours."""

    def __init__(self, name: str, make):
        self.name, self.make = name, make


def _unreachable(*_ignored):
    raise _Refused("a class used in the wrong place")


_ALLOWED = {
    "torch_utils.persistence._reconstruct_persistent_obj": _persistent,
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
    "torch._utils._rebuild_tensor": _rebuild_tensor,
    "torch._utils._rebuild_parameter": _rebuild_parameter,
    "torch.storage._load_from_bytes": _load_from_bytes,
    "torch.Size": _size,
    "torch.device": _text,
    "collections.OrderedDict": _ordered_dict,
    "dnnlib.util.EasyDict": _easy_dict,
    "dnnlib.EasyDict": _easy_dict,
    "builtins.set": _set,
    "__builtin__.set": _set,
    "_codecs.encode": _encode,
    "numpy.dtype": _numpy_dtype,
    "numpy.ndarray": _unreachable,
    "numpy.core.multiarray.scalar": _numpy_scalar,
    "numpy._core.multiarray.scalar": _numpy_scalar,
    "numpy.core.multiarray._reconstruct": _numpy_reconstruct,
    "numpy._core.multiarray._reconstruct": _numpy_reconstruct,
}
_CONSTANTS = {f"torch.{n}" for n in ("float16", "float32", "float64", "bfloat16", "int32", "int64", "uint8", "bool")}


class _Reader(pickle._Unpickler):
    """Turns a pickle into records, tensors, numbers, text, lists, tuples, sets and dicts; nothing else."""

    dispatch = dict(pickle._Unpickler.dispatch)

    def __init__(self, file: io.BufferedReader, size: int):
        super().__init__(file)
        self._left = size

    def load(self):
        # The loop of the base class, with a count of instructions and a limit on what one read may take.
        self._unframer = pickle._Unframer(self._read, self._readline)
        self.read, self.readinto = self._unframer.read, self._unframer.readinto
        self.readline = self._unframer.readline
        self.metastack, self.stack, self.proto = [], [], 0
        self.append = self.stack.append
        for _ in range(_MAX_OPCODES):
            key = self.read(1)
            if not key:
                raise EOFError
            handler = self.dispatch.get(key[0])
            if handler is None:
                raise _Refused(f"the instruction {key!r}")
            try:
                handler(self)
            except pickle._Stop as stop:
                return stop.value
        raise _Refused("more instructions than a checkpoint has")

    def _read(self, n: int) -> bytes:
        # A claimed length beyond the file's own is refused before anything of that length is allocated.
        if n > self._left:
            raise EOFError
        data = self._file_read(n)
        self._left -= len(data)
        return data

    def _readline(self) -> bytes:
        data = self._file_readline(1 << 16)
        self._left -= len(data)
        return data

    def find_class(self, module, name):
        full = f"{module}.{name}"
        if full in _CONSTANTS:
            return full
        if full.startswith(("dnnlib.tflib.", "dnnlib.tflib")):
            raise _Refused("a network of the old TensorFlow StyleGAN (convert it with NVIDIA's legacy.py first)")
        if full not in _ALLOWED:
            raise _Refused(f"'{full:.120}'")
        return _Name(full, _ALLOWED[full])

    def _call(self, target, args):
        if not isinstance(target, _Name):
            raise _Refused(f"a call of a {type(target).__name__}")
        if not isinstance(args, tuple):
            raise _Refused("a call with odd arguments")
        try:
            return target.make(*args)
        except (TypeError, ValueError, RuntimeError, OverflowError) as e:
            raise _Refused(f"a damaged '{target.name}' ({e!s:.80})") from None

    def load_reduce(self):
        args, target = self.stack.pop(), self.stack.pop()
        self.append(self._call(target, args))

    def load_newobj(self):
        self.load_reduce()

    def load_newobj_ex(self):
        kwargs = self.stack.pop()
        if kwargs:
            raise _Refused("an object made with keywords")
        self.load_reduce()

    def load_build(self):
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, _ArrayShell):
            if not (isinstance(state, tuple) and len(state) == 5 and isinstance(state[2], np.dtype) and isinstance(state[4], bytes)):
                raise _Refused("a damaged numpy array")
            shape = _whole(state[1])
            if math.prod(shape) * state[2].itemsize != len(state[4]):
                raise _Refused("a damaged numpy array")
            target.value = np.frombuffer(state[4], state[2]).reshape(shape, order="F" if state[3] else "C")
        elif isinstance(target, dict) and isinstance(state, dict):
            target.update(state)  # EasyDict keeps its items as attributes
        elif isinstance(target, np.dtype) or (isinstance(target, dict) and not state):
            pass  # byte order and flags, which the name of the dtype already told
        else:
            raise _Refused(f"a state for a {type(target).__name__}")

    def load_refused(self):
        raise _Refused("an instruction that no checkpoint needs")


def _replace_dispatch() -> None:
    d = _Reader.dispatch
    d[pickle.REDUCE[0]] = _Reader.load_reduce
    d[pickle.NEWOBJ[0]] = _Reader.load_newobj
    d[pickle.NEWOBJ_EX[0]] = _Reader.load_newobj_ex
    d[pickle.BUILD[0]] = _Reader.load_build
    for op in (
        pickle.INST, pickle.OBJ, pickle.EXT1, pickle.EXT2, pickle.EXT4, pickle.PERSID, pickle.BINPERSID,
        pickle.NEXT_BUFFER, pickle.READONLY_BUFFER, pickle.BYTEARRAY8,
    ):
        d[op[0]] = _Reader.load_refused


_replace_dispatch()


def looks_like_pickle(head: bytes) -> bool:
    """Whether a file that begins like this may be a pickle of protocol 2 or newer."""
    return len(head) > 2 and head[0] == 0x80 and 2 <= head[1] <= 5


def read_records(path: Path) -> Any:
    """The content of a pickle as plain records. Raises StudioError, naming what was found, for anything else."""
    name = Path(path).name
    try:
        with open(path, "rb") as f:
            return _Reader(f, Path(path).stat().st_size).load()
    except _Refused as e:
        raise StudioError(f"{name} was not opened: it holds {e}.", "Only network pickles by NVIDIA's PyTorch code are read.") from None
    except (EOFError, IndexError, KeyError, ValueError, TypeError, AttributeError, AssertionError, OverflowError,
            UnicodeDecodeError, MemoryError, RecursionError, pickle.UnpicklingError):
        raise StudioError(f"{name} is damaged or cut short.", "Download it again and compare its size.") from None


# -- records -> our network ------------------------------------------------------------------------------------------


def _flatten(record: Any, prefix: str = "", depth: int = 0) -> dict[str, torch.Tensor]:
    """Parameters and buffers by the names that torch's state_dict gives them."""
    if not isinstance(record, Record) or depth > _MAX_DEPTH:
        raise _Refused("a network with an odd structure")
    out = {}
    for part in ("_parameters", "_buffers"):
        for name, value in (record.state.get(part) or {}).items():
            if isinstance(value, torch.Tensor):
                out[f"{prefix}{name}"] = value.float() if value.is_floating_point() else value
            elif value is not None:
                raise _Refused(f"'{prefix}{name}', which is no tensor")
    for name, child in (record.state.get("_modules") or {}).items():
        if child is not None:
            out.update(_flatten(child, f"{prefix}{name}.", depth + 1))
    return out


def _child(record: Record, *path: str) -> Record | None:
    for name in path:
        record = (record.state.get("_modules") or {}).get(name)
        if not isinstance(record, Record):
            return None
    return record


def _fact(record: Record | None, name: str, default: Any = None) -> Any:
    """A constructor's argument, or an attribute, of a recorded module."""
    if record is None:
        return default
    kwargs = record.state.get("_init_kwargs")
    if isinstance(kwargs, dict) and name in kwargs:
        return kwargs[name]
    return record.state.get(name, default)


def read(path: str | Path) -> Imported:
    """A StyleGAN2 network pickle -> config and tensors of its G_ema (or G).

    Raises StudioError that names what was found when it is anything else.
    """
    path = Path(path)
    content = read_records(path)
    what = path.name
    if isinstance(content, Record):
        content = {"G_ema": content}
    if not isinstance(content, dict):
        raise StudioError(f"{what} is a pickle of a {type(content).__name__}, not of networks.", "Choose a network .pkl.")
    record = content.get("G_ema") or content.get("G")
    if not isinstance(record, Record):
        keys = ", ".join(str(k)[:30] for k in list(content)[:8]) or "nothing"
        raise StudioError(f"{what} holds no generator; it holds: {keys}.", "Choose a network .pkl (network-snapshot-*.pkl).")
    try:
        tensors = _flatten(record)
        config = _config(record, tensors)
        _check(Generator, config, tensors)
    except (_Refused, ValueError, TypeError, KeyError, AttributeError, OverflowError) as e:
        raise StudioError(f"{what} was not opened: it holds {e}.", "Only StyleGAN2 generators by NVIDIA's PyTorch code are read.") from None
    d_state = None
    if isinstance(content.get("D"), Record):
        try:
            d_tensors = _flatten(content["D"])
            d_config = _discriminator_config(config, content["D"], d_tensors)
            _check(Discriminator, d_config, d_tensors)
        except (_Refused, ValueError, TypeError, KeyError, AttributeError):
            pass  # it only serves fine-tuning, and the generator is whole without it
        else:
            config, d_state = d_config, d_tensors
    return Imported(
        family="stylegan2",
        config=dataclasses.asdict(config),
        state_dict=tensors,
        title=path.stem,
        source="NVIDIA network pickle",
        notes=_notes(content),
        discriminator_state=d_state,
    )


def _config(record: Record, tensors: dict[str, torch.Tensor]) -> StyleGAN2Config:
    if record.class_name != "Generator":
        raise _Refused(f"a network of the class {record.class_name!r:.60}")
    synthesis, mapping = _child(record, "synthesis"), _child(record, "mapping")
    if synthesis is not None and "synthesis.input.weight" in tensors:
        raise _Refused("a StyleGAN3 generator, which this studio cannot run yet")
    if synthesis is None or mapping is None or "synthesis.b4.const" not in tensors:
        raise _Refused("a generator that is not StyleGAN2")
    resolutions = sorted(int(n[1:]) for n in synthesis.state["_modules"] if n[1:].isdigit())
    if resolutions != [2**i for i in range(2, 2 + len(resolutions))] or resolutions[-1] != _fact(record, "img_resolution"):
        raise _Refused("a synthesis network with odd resolutions")
    # Widths are read off the tensors: min(base // r, max) is a fact of each tensor's shape. Base and max are
    # recorded too, but other makers' files may leave them out.
    widths = {r: tensors[f"synthesis.b{r}.conv1.bias"].shape[0] for r in resolutions}
    top = resolutions[-1]
    layers = len([n for n in mapping.state["_modules"] if n.startswith("fc")])
    b_top = _child(synthesis, f"b{top}")
    conv = _child(b_top, "conv1")
    activation = _fact(conv, "activation", "lrelu")
    if activation != "lrelu":
        raise _Refused(f"the activation {activation!r:.40}, which is not supported")
    c_dim = int(_fact(record, "c_dim", 0))
    hidden = tensors["mapping.fc0.weight"].shape[0] if layers > 1 else None
    w_dim = int(_fact(record, "w_dim"))
    embed = tensors["mapping.embed.weight"].shape[0] if c_dim else None
    architecture = _fact(b_top, "architecture", "skip")
    taps = _fact(_child(synthesis, f"b{resolutions[1]}", "conv0"), "resample_filter", None)
    base, most = widths[top] * top, max(widths.values())
    kwargs = _fact(record, "synthesis_kwargs") or {}
    if isinstance(kwargs, dict) and all(
        min(kwargs.get("channel_base", 32768) // r, kwargs.get("channel_max", 512)) == w for r, w in widths.items()
    ):
        base, most = kwargs.get("channel_base", 32768), kwargs.get("channel_max", 512)
    first_fc = _child(mapping, "fc0")
    gain = first_fc.state.get("bias_gain") if first_fc else None
    clamp = _fact(conv, "conv_clamp", None)
    return StyleGAN2Config(
        resolution=int(top),
        z_dim=int(_fact(record, "z_dim")),
        c_dim=c_dim,
        w_dim=w_dim,
        img_channels=int(_fact(record, "img_channels", 3)),
        channel_base=int(base),
        channel_max=int(most),
        mapping_layers=layers,
        mapping_lr_multiplier=float(gain if gain is not None else _fact(mapping, "lr_multiplier", 0.01)),
        embed_features=None if embed in (None, w_dim) else int(embed),
        mapping_layer_features=None if hidden in (None, w_dim) else int(hidden),
        w_avg_beta=float(_fact(mapping, "w_avg_beta", 0.995) or 0.995),
        architecture=str(architecture),
        resample_filter=_taps(taps, tensors),
        conv_clamp=None if clamp is None else float(clamp),
        use_noise=f"synthesis.b{top}.conv1.noise_const" in tensors,
    )


def _taps(recorded: Any, tensors: dict[str, torch.Tensor]) -> tuple[float, ...]:
    if isinstance(recorded, (list, tuple)) and recorded and all(isinstance(v, (int, float)) for v in recorded):
        return tuple(float(v) for v in recorded)
    kernel = tensors["synthesis.b4.resample_filter"]
    row = kernel.sum(dim=0) if kernel.ndim == 2 else kernel
    return tuple(float(v) for v in row)  # scaled otherwise, but fir_filter brings the sum back to one


def _discriminator_config(config: StyleGAN2Config, record: Record, tensors: dict[str, torch.Tensor]) -> StyleGAN2Config:
    top = config.resolution
    widths = {r: tensors[f"b{r}.conv0.bias"].shape[0] for r in config.block_resolutions[1:]}
    widths[4] = tensors["b4.conv.bias"].shape[0]
    extra = tensors["b4.conv.weight"].shape[1] - widths[4]
    mapping = _child(record, "mapping")
    epilogue = _child(record, "b4", "mbstd")
    group = _fact(epilogue, "group_size", 4)
    return dataclasses.replace(
        config,
        d_architecture=str(_fact(_child(record, f"b{top}"), "architecture", "resnet")),
        d_channel_base=int(widths[top] * top),
        d_channel_max=int(max(widths.values())),
        mbstd_num_channels=int(extra),
        mbstd_group_size=None if group is None else int(group),
        d_mapping_layers=len([n for n in mapping.state["_modules"] if n.startswith("fc")]) if mapping else 8,
    )


def _check(network: type, config: StyleGAN2Config, tensors: dict[str, torch.Tensor]) -> None:
    """Every tensor is there, none is left over, all have the shape that the config gives them."""
    # Before anything is built: the widths of a hostile config cannot exceed the tensors that bear them out.
    if config.channel_max > 8192 or config.mapping_layers > 64 or config.z_dim > 65536 or config.w_dim > 65536:
        raise _Refused("a network of absurd size")
    with torch.device("meta"):
        wanted = {k: tuple(v.shape) for k, v in network(config).state_dict().items()}
    for name in sorted(set(wanted) | set(tensors)):
        if name not in tensors:
            raise _Refused(f"no tensor '{name}'")
        if name not in wanted:
            raise _Refused(f"a tensor '{name}' that StyleGAN2 does not have")
        if tuple(tensors[name].shape) != wanted[name]:
            raise _Refused(f"'{name}' of shape {tuple(tensors[name].shape)} where {wanted[name]} is due")


def _notes(content: dict) -> tuple[str, ...]:
    kwargs = content.get("training_set_kwargs")
    path = kwargs.get("path") if isinstance(kwargs, dict) else None
    if isinstance(path, str):
        name = path.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
        return (f"The file names its training data '{name[:80]}'.",)
    return ()
