"""Weights of BigGAN -> our config and tensors: the paper's authors' PyTorch code, and Hugging Face's BigGAN-deep.

Both are state dicts that torch wrote: tensors by name, no network. The architecture is read off names and shapes; what
shapes cannot tell about BigGAN-deep is in the config.json beside it.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

import torch

from studio.errors import StudioError
from studio.models.importers.imported import ImportedModel, UnsupportedCheckpoint, config_of, excerpt
from studio.models.importers.torch_weights import Tensors
from studio.networks.generative.biggan import BigGANConfig

_MAX_BLOCKS = 64
_MAX_CONFIG_BYTES = 1 << 20
_CLASSES = 1000  # of ImageNet
_WRAPPERS = ("", "module.")  # what a training on several cards puts before each name
_FOLDED = "Its spectral norms are folded into the weights: further training of the generator goes without them."


def recognises(tensors: dict[str, torch.Tensor]) -> bool:
    """Whether these are weights of BigGAN or BigGAN-deep."""
    return _is_official(tensors) or ("embeddings.weight" in tensors and "generator.gen_z.weight_orig" in tensors)


def _is_official(tensors: dict[str, torch.Tensor]) -> bool:
    return any(
        {f"{p}linear.weight", f"{p}blocks.0.0.bn1.gain.weight", f"{p}output_layer.0.stored_mean"} <= tensors.keys() for p in _WRAPPERS
    )


def read(path: Path, weights: dict[str, torch.Tensor]) -> ImportedModel:
    """Weights of BigGAN or BigGAN-deep, and where they were read -> config and tensors of the generator.

    Raises UnsupportedCheckpoint, and StudioError when something is wrong with the config.json beside them.
    """
    tensors = Tensors({name.removeprefix("module."): tensor for name, tensor in weights.items()})
    if _is_official(weights):
        config, state, notes = _official(tensors)
        source = "BigGAN-PyTorch state dict"
    else:
        config, state, notes = _hugging_face(tensors, path)
        source = "pytorch-pretrained-biggan weights"
    tensors.check_all_used("BigGAN")
    classes = ()
    if config.c_dim == _CLASSES:
        from torchvision.models._meta import _IMAGENET_CATEGORIES  # slow to import, and seldom needed

        classes = tuple(_IMAGENET_CATEGORIES)
    return ImportedModel(
        family="biggan",
        config=dataclasses.asdict(config),
        state_dict=state,
        title=path.stem if path.stem != "pytorch_model" else f"BigGAN-deep {config.resolution}",
        source=source,
        notes=notes,
        classes=classes,
    )


# -- the authors' code -----------------------------------------------------------------------------------------------


def _official(t: Tensors) -> tuple[BigGANConfig, dict[str, torch.Tensor], tuple[str, ...]]:
    """BigGAN-PyTorch's generators: blocks.I.0 is a residual block, blocks.I.1 the self-attention behind it.

    A block of four convolutions is one of BigGAN-deep. Without a shared class embedding each norm has one of its own, which here is
    a linear layer of the class itself; it has no spectral norm, which is then folded into all other weights.
    """
    deep, shared = "blocks.0.0.conv4.weight" in t.all, "shared.weight" in t.all
    fold = not shared or "linear.u0" not in t.all
    state: dict[str, torch.Tensor] = {}

    def normed(ours: str, theirs: str, ndim: int, bias: bool = True) -> torch.Tensor:
        weight = t.take(f"{theirs}.weight", ndim)
        if not fold:
            state[f"{ours}.u"] = t.take(f"{theirs}.u0", 2)[0]
        elif f"{theirs}.u0" in t.all:
            weight = _normalised(weight, t.take(f"{theirs}.u0", 2)[0])
        t.skip(f"{theirs}.sv0")
        state[f"{ours}.weight"] = weight
        if bias:
            state[f"{ours}.bias"] = t.take(f"{theirs}.bias", 1)
        return weight

    def statistics(ours: str, theirs: str) -> None:
        state[f"{ours}.running_mean"] = t.take(f"{theirs}.stored_mean", 1)[None]
        state[f"{ours}.running_var"] = t.take(f"{theirs}.stored_var", 1)[None]
        t.skip(f"{theirs}.accumulation_counter")

    if shared:
        state["mapping.embed"] = t.take("shared.weight", 2)
    else:
        state["mapping.embed"] = torch.eye(len(t.take("blocks.0.0.bn1.gain.weight", 2)))
    c_dim, shared_dim = state["mapping.embed"].shape
    blocks = t.numbers(r"blocks\.(\d{1,3})\.")
    if blocks != list(range(len(blocks))) or not 1 <= len(blocks) <= (14 if deep else 7) or (deep and len(blocks) % 2):
        raise UnsupportedCheckpoint(f"{len(blocks)} blocks instead of 3 to 7" + (", or twice as many" if deep else ""))
    rows, chunk = normed("synthesis.linear", "linear", 2).shape
    widths, places, cond = [], [], 0
    convs = (1, 2, 3, 4) if deep else (1, 2)
    for i in blocks:
        ours, theirs = f"synthesis.blocks.{i}", f"blocks.{i}.0"
        for k in convs:
            conv = normed(f"{ours}.conv{k}", f"{theirs}.conv{k}", 4)
            widths += [conv.shape[1]] if i == 0 and k == 1 else []
            statistics(f"{ours}.bn{k}", f"{theirs}.bn{k}")
            for part in ("gain", "bias"):
                weight = normed(f"{ours}.bn{k}.{part}", f"{theirs}.bn{k}.{part}", 2, bias=False)
                if not shared:  # an embedding: a row for each class
                    state[f"{ours}.bn{k}.{part}.weight"] = weight = weight.t().contiguous()
                cond = weight.shape[1]
                if not deep:  # there the class comes before z, here after it
                    state[f"{ours}.bn{k}.{part}.weight"] = torch.cat([weight[:, shared_dim:], weight[:, :shared_dim]], dim=1)
        widths.append(len(state[f"{ours}.conv{convs[-1]}.weight"]))
        if not deep:
            normed(f"{ours}.skip", f"{theirs}.conv_sc", 4)
        if f"blocks.{i}.1.gamma" in t.all:
            places.append(i + 1)
            for part in ("theta", "phi", "g", "o"):
                normed(f"synthesis.attention.{i + 1}.{part}", f"blocks.{i}.1.{part}", 4, bias=False)
            state[f"synthesis.attention.{i + 1}.gamma"] = t.take(f"blocks.{i}.1.gamma", 0)
    statistics("synthesis.bn", "output_layer.0")
    state["synthesis.bn.gain"], state["synthesis.bn.bias"] = t.take("output_layer.0.gain", 1), t.take("output_layer.0.bias", 1)
    img_channels = normed("synthesis.torgb", "output_layer.2", 4).shape[0]
    if img_channels != 3:
        raise UnsupportedCheckpoint(f"a generator of {img_channels} channels; only 3 (colour) can be shown")

    hierarchical = not deep and cond != shared_dim
    due = chunk if deep else shared_dim + (chunk if hierarchical else 0)
    if cond != due or rows != widths[0] * 16 or (deep and chunk <= shared_dim):
        raise UnsupportedCheckpoint("layers that do not fit each other")
    ups = (0, 1) * (len(blocks) // 2) if deep else (1,) * len(blocks)  # of two blocks a resolution, the second doubles it
    config = config_of(
        BigGANConfig,
        resolution=4 << sum(ups),
        z_dim=chunk - shared_dim if deep else chunk * (len(blocks) + 1) if hierarchical else chunk,
        c_dim=c_dim,
        ch=min(widths),
        shared_dim=shared_dim,
        hierarchical=hierarchical,
        deep=deep,
        widths=_multiples(widths, min(widths)),
        ups=ups,
        attention=tuple(4 << sum(ups[:i]) for i in places),
        attention_after=tuple(places),
        spectral_norm=not fold,
    )
    return config, state, (_FOLDED,) if fold and "linear.u0" in t.all else ()


def _normalised(weight: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    """A weight divided by its spectral norm: one step of the power iteration from u, as that code makes it for every picture."""
    matrix = weight.flatten(1)
    if len(u) != len(matrix):
        raise UnsupportedCheckpoint("a vector of a spectral norm that does not fit its weight")
    v = torch.nn.functional.normalize(u @ matrix, dim=0, eps=1e-12)
    u = torch.nn.functional.normalize(matrix @ v, dim=0, eps=1e-12)
    weight = weight / (u @ (matrix @ v))
    if not torch.isfinite(weight).all():
        raise UnsupportedCheckpoint("a weight whose spectral norm is 0")
    return weight


def _multiples(widths: list[int], ch: int) -> tuple[int, ...]:
    if any(w % ch for w in widths):
        raise UnsupportedCheckpoint("channels that are not multiples of the narrowest")
    return tuple(w // ch for w in widths)


# -- Hugging Face's --------------------------------------------------------------------------------------------------


def _hugging_face(t: Tensors, path: Path) -> tuple[BigGANConfig, dict[str, torch.Tensor], tuple[str, ...]]:
    """pytorch-pretrained-biggan's BigGAN-deep. Its spectral norms are folded into the weights.

    Between two levels of truncation that code gives each level the share that belongs to the other one; here the
    statistics change smoothly. Pictures are equal at the levels (every 0.02) and half-way between them.
    """
    facts = _beside(path)
    layers, place, ch = facts["layers"], facts["attention_layer_position"], facts["channel_width"]
    state: dict[str, torch.Tensor] = {"mapping.embed": t.take("embeddings.weight", 2).t().contiguous()}
    c_dim, shared_dim = state["mapping.embed"].shape

    def folded(ours: str, theirs: str, ndim: int, bias: bool = True) -> torch.Tensor:
        weight, u, v = t.take(f"{theirs}.weight_orig", ndim), t.take(f"{theirs}.weight_u", 1), t.take(f"{theirs}.weight_v", 1)
        t.skip(f"{theirs}.weight")  # old versions of torch also store the normalised weight
        if (len(u), len(v)) != weight.flatten(1).shape:
            raise UnsupportedCheckpoint(f"'{theirs}.weight_u' and '{theirs}.weight_v' that do not fit the weight")
        state[f"{ours}.weight"] = weight / (u @ (weight.flatten(1) @ v))
        if bias:
            state[f"{ours}.bias"] = t.take(f"{theirs}.bias", 1)
        return state[f"{ours}.weight"]

    def norm(ours: str, theirs: str, conditional: bool = True) -> int:
        state[f"{ours}.running_mean"] = t.take(f"{theirs}.running_means", 2)
        state[f"{ours}.running_var"] = t.take(f"{theirs}.running_vars", 2)
        if conditional:
            folded(f"{ours}.gain", f"{theirs}.scale", 2, bias=False)
            folded(f"{ours}.bias", f"{theirs}.offset", 2, bias=False)
        else:
            state[f"{ours}.gain"], state[f"{ours}.bias"] = t.take(f"{theirs}.weight", 1), t.take(f"{theirs}.bias", 1)
        return len(state[f"{ours}.running_mean"])

    # There the features of the bottom have their channels last.
    bottom = folded("synthesis.linear", "generator.gen_z", 2)
    for name in ("synthesis.linear.weight", "synthesis.linear.bias"):
        if len(bottom) % 16:
            raise UnsupportedCheckpoint("a lowest resolution that is not 4x4 pixels")
        state[name] = state[name].unflatten(0, (16, -1)).transpose(0, 1).flatten(0, 1).contiguous()
    for i in range(len(layers)):
        # The self-attention is in the same list.
        ours, theirs = f"synthesis.blocks.{i}", f"generator.layers.{i + (i >= place)}"
        for k in range(4):
            norm(f"{ours}.bn{k + 1}", f"{theirs}.bn_{k}")
            folded(f"{ours}.conv{k + 1}", f"{theirs}.conv_{k}", 4)
    attention = place < len(layers)
    if attention:
        for part, name in (("theta", "theta"), ("phi", "phi"), ("g", "g"), ("o", "o_conv")):
            folded(f"synthesis.attention.{place}.{part}", f"generator.layers.{place}.snconv1x1_{name}", 4, bias=False)
        state[f"synthesis.attention.{place}.gamma"] = t.take(f"generator.layers.{place}.gamma", 1).reshape(-1)[0]
    n_stats = norm("synthesis.bn", "generator.bn", conditional=False)
    folded("synthesis.torgb", "generator.conv_to_rgb", 4)
    for name in ("synthesis.torgb.weight", "synthesis.torgb.bias"):
        state[name] = state[name][:3].contiguous()  # only these become the picture
    if not all(torch.isfinite(value).all() for value in state.values()):
        raise UnsupportedCheckpoint("a weight whose spectral norm is 0")

    widths = [layers[0][1], *(b for _, _, b in layers)]
    if any(a != before for (_, a, _), before in zip(layers, widths, strict=False)):
        raise UnsupportedCheckpoint("layers that do not fit each other")
    config = config_of(
        BigGANConfig,
        resolution=4 << sum(up for up, _, _ in layers) if len(layers) <= _MAX_BLOCKS else 0,
        z_dim=bottom.shape[1] - shared_dim,
        c_dim=c_dim,
        ch=ch,
        shared_dim=shared_dim,
        deep=True,
        widths=tuple(widths),
        ups=tuple(int(up) for up, _, _ in layers),
        attention=(4 << sum(up for up, _, _ in layers[:place]),) if attention else (),
        attention_after=(place,) if attention else (),
        n_stats=n_stats,
        bn_eps=facts["eps"],
        spectral_norm=False,
    )
    return config, state, (_FOLDED,)


def _beside(path: Path) -> dict[str, Any]:
    """Contents of the config.json beside the weights: layers [(up, in, out)], attention_layer_position, channel_width, eps."""
    name = path.name
    candidates = [path.with_name("config.json")]
    if name.endswith("pytorch_model.bin"):  # the published files are biggan-deep-128-pytorch_model.bin, -config.json
        candidates.insert(0, path.with_name(name.removesuffix("pytorch_model.bin") + "config.json"))
    file = next((f for f in candidates if f.is_file()), None)
    if file is None:
        raise StudioError(
            f"{name} holds BigGAN-deep weights, but its config.json is not beside it.",
            "Put the config.json that belongs to them into the same folder.",
        )
    try:
        if file.stat().st_size > _MAX_CONFIG_BYTES:
            raise ValueError("it is larger than 1 MB")
        raw = json.loads(file.read_text(encoding="utf-8"))
        layers = [(_flag(up), _whole(a), _whole(b)) for up, a, b in raw["layers"]]
        if not 1 <= len(layers) <= _MAX_BLOCKS:
            raise ValueError(f"it has {len(layers)} layers")
        eps = raw["eps"]
        if type(eps) is not float or not 0 < eps < 1:
            raise ValueError("eps is not a small number")
        place = raw["attention_layer_position"]
        return {"layers": layers, "attention_layer_position": _whole(place, 0), "channel_width": _whole(raw["channel_width"]), "eps": eps}
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as e:
        raise StudioError(f"The {file.name} beside {name} cannot be used: {excerpt(str(e), 80)}.", "Download it again.") from None


def _whole(value: Any, least: int = 1) -> int:
    if type(value) is not int or not least <= value <= 1 << 16:
        raise ValueError(f"{value!r:.30} is not a size")
    return value


def _flag(value: Any) -> bool:
    if type(value) is not bool:
        raise ValueError(f"{value!r:.30} is neither true nor false")
    return value
