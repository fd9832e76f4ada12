"""NVIDIA's network pickles: StyleGAN2 as stylegan2-ada-pytorch and stylegan3 write it, and StyleGAN3 (see
nvidia_stylegan3.py for what is its own) -> our config and tensors.

`records` reads the file without running it. Here the tree of records becomes tensors by the names of torch's
state_dict, and the config is taken from the shapes of the tensors, which cannot lie, with what the file says about
itself held against it. An option that our network does not have ends the import: the pictures would be wrong.
"""

import dataclasses
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from studio.errors import StudioError
from studio.models.importers import Imported, nvidia_stylegan3
from studio.models.importers.pickle_reader import Damaged, Record, Refused, StoredTensor, plain, read_pickle
from studio.networks import get_family
from studio.networks.generative.stylegan2 import Discriminator, StyleGAN2Config
from studio.networks.layers import fir_filter

_MAX_MODULES = 5_000  # real networks have about 200
_MAX_PATH = 200  # characters of 'synthesis.b8.conv0'
_HINT = "Only StyleGAN2 and StyleGAN3 network pickles by NVIDIA's PyTorch code are read."
_AGAIN = "Download it again and compare its size."
# The classes that a StyleGAN2 pickle is made of. Another one computes something else.
_CLASSES = {
    "Generator",
    "MappingNetwork",
    "SynthesisNetwork",
    "SynthesisBlock",
    "SynthesisLayer",
    "ToRGBLayer",
    "FullyConnectedLayer",
    "Conv2dLayer",
    "Discriminator",
    "DiscriminatorBlock",
    "DiscriminatorEpilogue",
    "MinibatchStdLayer",
}
# Constructor arguments of those classes: what they set is read below, or has no effect on float32 results.
_OPTIONS = {
    "z_dim",
    "c_dim",
    "w_dim",
    "cmap_dim",
    "num_ws",
    "img_resolution",
    "img_channels",
    "resolution",
    "is_last",
    "mapping_kwargs",
    "synthesis_kwargs",
    "block_kwargs",
    "epilogue_kwargs",
    "num_layers",
    "embed_features",
    "layer_features",
    "activation",
    "lr_multiplier",
    "w_avg_beta",
    "channel_base",
    "channel_max",
    "num_fp16_res",
    "use_fp16",
    "fp16_channels_last",
    "channels_last",
    "conv_clamp",
    "architecture",
    "resample_filter",
    "use_noise",
    "kernel_size",
    "up",
    "down",
    "bias",
    "bias_init",
    "trainable",
    "freeze_layers",
    "freeze_embed",
    "first_layer_idx",
    "mbstd_group_size",
    "mbstd_num_channels",
    "group_size",
    "num_channels",
    "in_channels",
    "out_channels",
    "tmp_channels",
    "in_features",
    "out_features",
    "fused_modconv_default",
}


def looks_like_pickle(head: bytes) -> bool:
    """Whether a file that begins like this is a pickle that `read` can read or at least name."""
    if len(head) > 1 and head[0] == 0x80:
        return True
    return re.match(rb"c[\w.]+\n[\w.]+\n(p\d+\n|[q()])", head) is not None  # protocols 0 and 1 can begin with a name


def read(path: str | Path) -> Imported:
    """A StyleGAN2 or StyleGAN3 network pickle -> config and tensors of its G_ema (or G, when there is no mean of it).

    Raises StudioError that names what was found when it is anything else.
    """
    path = Path(path)
    try:
        return _import(path)
    except Refused as e:
        raise StudioError(f"{path.name} was not imported: it holds {e}.", e.hint or _HINT) from None
    except Damaged:
        raise StudioError(f"{path.name} is damaged or cut short.", _AGAIN) from None
    except OSError as e:
        raise StudioError(f"{path.name} cannot be read: {e.strerror or e}.", _AGAIN) from None
    except MemoryError:
        raise StudioError(f"{path.name} does not fit into memory.", "Close other programs and try again.") from None


def _import(path: Path) -> Imported:
    size = path.stat().st_size
    content = read_pickle(path)
    if isinstance(content, Record):
        content = {"G_ema": content}
    if not isinstance(content, dict):
        raise Refused(f"a single {type(content).__name__}, not networks")
    key = "G_ema" if content.get("G_ema") is not None else "G"
    if not isinstance(content.get(key), Record):
        found = ", ".join(f"'{plain(str(k), 30)}'" for k in list(content)[:8]) or "nothing"
        raise Refused(f"no generator, but {found}")
    notes = ["It has no mean of its generator (G_ema); the last state (G) was taken."] if key == "G" else []

    generator = _Network(content[key])
    # StyleGAN3's synthesis begins with Fourier features (a module 'input') where StyleGAN2 has a constant.
    family = "stylegan3" if "synthesis.input" in generator.modules else "stylegan2"
    config: Any
    if family == "stylegan3":
        _check_options(generator, nvidia_stylegan3.CLASSES, nvidia_stylegan3.OPTIONS)
        config = nvidia_stylegan3.generator_config(generator, _lr_multiplier(generator), _options(generator, "", "synthesis"))
    else:
        config = _generator_config(generator)
    state = generator.load(_expected(get_family(family).generator, config), size)

    discriminator_state = None
    if isinstance(content.get("D"), Record) and family == "stylegan3":
        notes.append("Its discriminator was left out: StyleGAN3 can not be trained here.")
    elif isinstance(content.get("D"), Record):
        try:
            discriminator = _Network(content["D"])
            both, clamp = _discriminator_config(discriminator, config)
            discriminator_state = discriminator.load(_expected(Discriminator, both), size)
            config = both
            if clamp != config.conv_clamp:
                notes.append(f"Its discriminator had conv_clamp {clamp}; here it gets the generator's {config.conv_clamp}.")
        except Refused as e:
            # It only serves further training; the generator is whole without it.
            notes.append(f"Its discriminator was left out: it holds {e}.")
    return Imported(
        family=family,
        config=dataclasses.asdict(config),
        state_dict=state,
        title=path.stem,
        source=f"NVIDIA network pickle, {key}",
        notes=tuple(notes + _training_data(content)),
        discriminator_state=discriminator_state,
    )


def _training_data(content: dict) -> list[str]:
    kwargs = content.get("training_set_kwargs")
    path = kwargs.get("path") if isinstance(kwargs, dict) else None
    if not isinstance(path, str):
        return []
    # The last part only: the rest of the path tells about somebody's computer.
    name = path[-500:].replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
    return [f"The file names its training data: {plain(name)}."]


# -- a recorded network -----------------------------------------------------------------------------------------------

_MISSING = object()


class _Network:
    """A recorded network: its modules by path ('' is the network itself) and its tensors by state_dict's names."""

    def __init__(self, root: Record):
        self.modules: dict[str, Record] = {}
        self.tensors: dict[str, StoredTensor] = {}
        waiting: list[tuple[str, Any]] = [("", root)]
        while waiting:
            path, record = waiting.pop()
            # A network may contain itself, or share parts in ever more ways: depth and count end both.
            if not isinstance(record, Record) or len(path) > _MAX_PATH or len(self.modules) >= _MAX_MODULES:
                raise Refused("a network with an odd structure")
            self.modules[path] = record
            prefix = f"{path}." if path else ""
            skipped = record.state.get("_non_persistent_buffers_set")
            for part in ("_parameters", "_buffers"):
                for name, value in _members(record, part):
                    if value is None or (part == "_buffers" and isinstance(skipped, set) and name in skipped):
                        continue
                    if not isinstance(value, StoredTensor):
                        raise Refused(f"'{prefix}{name}', which is no tensor")
                    self.tensors[prefix + name] = value
            waiting += [(prefix + name, child) for name, child in _members(record, "_modules") if child is not None]

    def size(self, name: str, ndim: int) -> tuple[int, ...]:
        """The shape of a tensor that must be there. Raises Refused."""
        if name not in self.tensors:
            raise Refused(f"no tensor '{name}'")
        size = self.tensors[name].size
        if len(size) != ndim or 0 in size:
            raise Refused(f"'{name}' of the shape {size}")
        return size

    def children(self, path: str, pattern: str) -> list[int]:
        """The numbers in the names of the modules below a path, in order: 'fc(number)' -> [0, 1, 2]."""
        full = re.compile(re.escape(f"{path}." if path else "") + pattern)
        return sorted(int(m.group(1)) for m in map(full.fullmatch, self.modules) if m)

    def fact(self, path: str, name: str) -> Any:
        """What a module recorded about itself, as attribute or as constructor argument, or _MISSING."""
        record = self.modules.get(path)
        if record is None:
            return _MISSING
        return record.state.get(name, record.kwargs().get(name, _MISSING))

    def one(self, paths: list[str], name: str, default: Any) -> Any:
        """A fact on which all modules that record it agree; `default` when none does. Raises Refused."""
        values = [v for v in (self.fact(p, name) for p in paths) if v is not _MISSING]
        if not all(v is None or type(v) in (int, float, bool, str) for v in values):
            raise Refused(f"an odd {name}")
        if any(v != values[0] for v in values):
            raise Refused(f"layers that differ in {name}")
        return values[0] if values else default

    def agree(self, path: str, name: str, value: Any) -> None:
        """Refuse a file that says something else about itself than its tensors do."""
        said = self.one([path], name, value)
        if said != value:
            raise Refused(f"a network with {name} {plain(str(said), 20)}, where {value} is due" + (f" ('{path}')" if path else ""))

    def of_class(self, *names: str) -> list[str]:
        """Paths of the modules of these classes."""
        return [path for path, record in self.modules.items() if record.class_name in names]

    def load(self, expected: dict[str, tuple[int, ...]], file_size: int) -> dict[str, torch.Tensor]:
        """All tensors as float32, when they are exactly the expected ones. Raises Refused."""
        for name in sorted(expected.keys() | self.tensors.keys()):
            if name not in self.tensors:
                raise Refused(f"no tensor '{name}'")
            if name not in expected:
                raise Refused(f"a tensor '{name}', which this family does not have")
            if self.tensors[name].size != expected[name]:
                raise Refused(f"'{name}' of the shape {self.tensors[name].size}, where {expected[name]} is due")
            if not self.tensors[name].storage.dtype.is_floating_point:
                raise Refused(f"'{name}' in whole numbers")
        # Tensors may share data, so a small file could ask for a large network.
        if sum(t.nbytes for t in self.tensors.values()) > file_size:
            raise Refused("tensors that are larger than the file")
        state = {}
        for name, tensor in self.tensors.items():
            try:
                state[name] = tensor.build().float()
            except RuntimeError:  # what PyTorch raises when memory is short
                raise MemoryError from None
            if not torch.isfinite(state[name]).all():
                raise Refused(f"'{name}' with numbers that are not finite, as after a failed training")
        return state


def _members(record: Record, part: str) -> list[tuple[str, Any]]:
    members = record.state.get(part)
    if not isinstance(members, dict):
        raise Refused("a network with an odd structure")
    if not all(isinstance(name, str) and re.fullmatch(r"[A-Za-z0-9_]{1,60}", name) for name in members):
        raise Refused("a network with odd names")
    return list(members.items())


def _expected(network: Callable[[Any], torch.nn.Module], config: Any) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the tensors of a network, without making them."""
    try:
        with torch.device("meta"):
            return {k: tuple(v.shape) for k, v in network(config).state_dict().items()}
    except (RuntimeError, ValueError, TypeError, OverflowError):
        raise Refused("a network of impossible size") from None


# -- StyleGAN2 --------------------------------------------------------------------------------------------------------


def _generator_config(net: _Network) -> StyleGAN2Config:
    if net.modules[""].class_name != "Generator" or "synthesis.b4.const" not in net.tensors:
        raise Refused(f"a network of the class '{plain(net.modules[''].class_name)}' that is no StyleGAN2 generator")
    _check_options(net, _CLASSES, _OPTIONS)
    resolutions = net.children("synthesis", r"b(\d{1,5})")
    top = resolutions[-1]
    if resolutions != [2**i for i in range(2, 2 + len(resolutions))] or not 8 <= top <= 4096:
        raise Refused("a synthesis with odd resolutions")

    (w_dim,) = net.size("mapping.w_avg", 1)
    layers = len(net.children("mapping", r"fc(\d{1,3})"))
    hidden, z_and_class = net.size("mapping.fc0.weight", 2)
    embed, c_dim = net.size("mapping.embed.weight", 2) if "mapping.embed" in net.modules else (0, 0)
    (img_channels,) = net.size(f"synthesis.b{top}.torgb.bias", 1)
    if img_channels != 3:
        raise Refused(f"a generator with img_channels {img_channels}; only 3, pictures in colour, can be shown")
    if "synthesis.b8.skip" in net.modules:
        architecture = "resnet"
    else:
        architecture = "skip" if "synthesis.b4.torgb" in net.modules else "orig"
    if z_and_class <= embed:
        raise Refused("a mapping without a latent z")
    convs = net.of_class("SynthesisLayer")
    widths = {r: net.size(f"synthesis.b{r}.conv1.bias", 1)[0] for r in resolutions}
    base, most = _channel_rule(widths, _options(net, "", "synthesis"))
    config = StyleGAN2Config(
        resolution=top,
        z_dim=z_and_class - embed,
        c_dim=c_dim,
        w_dim=w_dim,
        img_channels=img_channels,
        channel_base=base,
        channel_max=most,
        mapping_layers=layers,
        mapping_lr_multiplier=_number(_lr_multiplier(net), "lr_multiplier"),
        embed_features=None if embed in (0, w_dim) else embed,
        mapping_layer_features=None if layers == 1 or hidden == w_dim else hidden,
        w_avg_beta=_number(net.one(["mapping"], "w_avg_beta", 0.995), "w_avg_beta"),
        architecture=architecture,
        resample_filter=_taps(net),
        conv_clamp=_clamp(net.one(convs + net.of_class("ToRGBLayer"), "conv_clamp", None)),
        use_noise="synthesis.b4.conv1.noise_const" in net.tensors,
    )
    for name, value in (("z_dim", config.z_dim), ("c_dim", c_dim), ("w_dim", w_dim)):
        net.agree("", name, value)
        net.agree("mapping", name, value)
    for path in ("", "synthesis"):
        net.agree(path, "img_resolution", top)
        net.agree(path, "img_channels", img_channels)
    net.agree("mapping", "num_layers", layers)
    for path in net.of_class("SynthesisBlock"):
        net.agree(path, "architecture", architecture)
    for path in convs:
        net.agree(path, "use_noise", config.use_noise)
        net.agree(path, "up", 2 if path.endswith(".conv0") else 1)
    return config


def _discriminator_config(net: _Network, config: StyleGAN2Config) -> tuple[StyleGAN2Config, float | None]:
    """The config of both players, and the discriminator's own conv_clamp."""
    if net.modules[""].class_name != "Discriminator":
        raise Refused(f"a network of the class '{plain(net.modules[''].class_name)}'")
    _check_options(net, _CLASSES, _OPTIONS)
    net.agree("", "img_resolution", config.resolution)
    net.agree("", "c_dim", config.c_dim)
    if net.children("", r"b(\d{1,5})") != config.block_resolutions:
        raise Refused("blocks of other resolutions than the generator")
    widths = {r: net.size(f"b{r}.conv0.bias", 1)[0] for r in config.block_resolutions[1:]}
    widths[4], joined = net.size("b4.conv.weight", 4)[:2]
    base, most = _channel_rule(widths, _options(net, ""))
    blocks = net.of_class("DiscriminatorBlock", "DiscriminatorEpilogue")
    if "b8.skip" in net.modules:
        architecture = "resnet"
    else:
        architecture = "skip" if "b4.fromrgb" in net.modules else "orig"
    if net.one(blocks, "architecture", architecture) != architecture:
        raise Refused("blocks of another architecture than they say")
    layers = len(net.children("mapping", r"fc(\d{1,3})"))
    if layers and _lr_multiplier(net) != 0.01:
        raise Refused("a class mapping with another lr_multiplier than 0.01")
    group = net.one(["b4.mbstd"], "group_size", 4)
    if group is not None and (type(group) is not int or group < 1):
        raise Refused("an odd group_size")
    same = all(config.channels(r) == w for r, w in widths.items())
    clamped = [p for p in net.of_class("Conv2dLayer") if not p.endswith(".skip") and p != "b4.fromrgb"]
    both = dataclasses.replace(
        config,
        d_architecture=architecture,
        d_channel_base=None if same else base,
        d_channel_max=None if same else most,
        mbstd_group_size=group,
        mbstd_num_channels=joined - widths[4],
        d_mapping_layers=layers if config.c_dim else 8,
    )
    return both, _clamp(net.one(clamped, "conv_clamp", None))


def _options(net: _Network, *paths: str) -> dict[str, Any]:
    """Constructor arguments of modules, with what they pass on to their parts."""
    found: dict[str, Any] = {}
    for path in paths:
        for name, value in net.modules[path].kwargs().items() if path in net.modules else ():
            if isinstance(name, str) and name.endswith("_kwargs") and isinstance(value, dict):
                found |= value
            else:
                found[name] = value
    return found


def _check_options(net: _Network, classes: set[str], options: set[str]) -> None:
    """Refuse what would make other pictures here than there."""
    for path, record in net.modules.items():
        if record.class_name not in classes:
            raise Refused(f"a module of the class '{plain(record.class_name)}' ('{path}')")
        for name, value in _options(net, path).items():
            if name not in options and value is not None and value is not False:
                raise Refused(f"the option '{plain(name)}' of a {record.class_name}, which is not known here")
        if record.class_name not in ("SynthesisLayer", "ToRGBLayer", "FullyConnectedLayer", "Conv2dLayer"):
            continue
        linear = path.rsplit(".", 1)[-1] in ("affine", "embed", "skip", "out", "torgb")
        activation = net.one([path], "activation", "linear" if linear else "lrelu")
        if activation != ("linear" if linear else "lrelu"):
            shown = plain(activation) if isinstance(activation, str) else "an odd one"
            raise Refused(f"the activation '{shown}' in '{path}', which is not supported")
        _check_gain(net, path, "act_gain", 1 if linear else math.sqrt(2))
        rate = 1.0
        if record.class_name == "FullyConnectedLayer":
            rate = _number(net.one([path], "bias_gain", 1), "bias_gain")
            if rate != 1 and not re.fullmatch(r"mapping\.fc\d+", path):
                raise Refused(f"an lr_multiplier of {rate} in '{path}', which is not supported")
        weight = net.tensors.get(f"{path}.weight")
        if weight is not None and weight.numel:
            _check_gain(net, path, "weight_gain", rate / math.sqrt(math.prod(weight.size[1:])))


def _check_gain(net: _Network, path: str, name: str, due: float) -> None:
    said = net.one([path], name, due)
    if not math.isclose(_number(said, name), due, rel_tol=1e-3):
        raise Refused(f"another {name} in '{path}' than is known here")


def _lr_multiplier(net: _Network) -> Any:
    layers = [f"mapping.fc{i}" for i in net.children("mapping", r"fc(\d{1,3})")]
    said = net.one(["mapping"], "lr_multiplier", 0.01)
    return net.one(layers, "bias_gain", net.one(layers, "lr_multiplier", said))


def _channel_rule(widths: dict[int, int], options: dict[str, Any]) -> tuple[int, int]:
    """channel_base and channel_max, such that min(base // r, max) are the widths of all resolutions r."""
    most = max(widths.values())
    # base // r == width says r * width <= base < r * (width + 1), for all that the maximum did not cut.
    derived = max((r * w for r, w in widths.items() if w < most), default=max(widths) * most)
    for base, top in ((options.get("channel_base", 32768), options.get("channel_max", 512)), (derived, most)):
        if type(base) is int and type(top) is int and all(min(base // r, top) == w for r, w in widths.items()):
            return base, top
    raise Refused("channels that follow no rule of StyleGAN2")


def _taps(net: _Network) -> tuple[float, ...]:
    """The 1-D filter whose 2-D form the network carries."""
    if len(net.tensors["synthesis.b4.const"].size) != 3 or "synthesis.b4.resample_filter" not in net.tensors:
        raise Refused("a synthesis with an odd structure")
    rows, columns = net.size("synthesis.b4.resample_filter", 2)
    if rows != columns or rows > 16:
        raise Refused(f"a resample_filter of the shape {(rows, columns)}, which is not supported")
    kernel = net.tensors["synthesis.b4.resample_filter"].build().float()
    said = _options(net, "", "synthesis").get("resample_filter")
    candidates = [(1, 3, 3, 1), tuple(said) if isinstance(said, list) and len(said) == rows else (), kernel.sum(0).tolist()]
    for taps in candidates:
        sound = len(taps) == rows and all(type(t) in (int, float) and abs(t) < 1e6 for t in taps) and sum(taps)
        if sound and torch.allclose(fir_filter(tuple(taps)), kernel, atol=1e-6):
            return tuple(float(t) for t in taps)
    raise Refused("a resample_filter that is not separable, which is not supported")


def _number(value: Any, name: str) -> float:
    if type(value) not in (int, float) or not 0 < value < 1e9:  # not so for NaN
        raise Refused(f"an odd {name}")
    return float(value)


def _clamp(value: Any) -> float | None:
    return None if value is None else _number(value, "conv_clamp")
