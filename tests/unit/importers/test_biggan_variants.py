"""BigGAN-PyTorch's other generators: BigGAN-deep, and norms with class embeddings of their own; the pictures of their formulas."""

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F

import studio
from studio.errors import StudioError
from studio.models.importers import import_file


def weights(deep: bool, shared: bool = True, normed: bool = True, seed: int = 0) -> dict[str, torch.Tensor]:
    """A state dict with random weights that all matter: 5 classes, z of 6 numbers, 16 px."""
    torch.manual_seed(seed)
    p: dict[str, torch.Tensor] = {}
    classes, z, embed = 5, 6, 4
    widths = [16, 16, 8, 8, 4] if deep else [16, 8, 4]

    def layer(name: str, *shape: int, bias: bool = True) -> None:
        p[f"{name}.weight"] = torch.randn(*shape) / (torch.tensor(shape[1:]).prod() ** 0.5)
        if bias:
            p[f"{name}.bias"] = torch.randn(shape[0]) * 0.2
        if normed:
            p[f"{name}.u0"], p[f"{name}.sv0"] = F.normalize(torch.randn(1, shape[0])), torch.ones(1)

    def norm(name: str, channels: int) -> None:
        for part in ("gain", "bias"):
            if shared:
                layer(f"{name}.{part}", channels, z + embed if deep else embed, bias=False)
            else:
                p[f"{name}.{part}.weight"] = torch.randn(classes, channels) * 0.5
        p[f"{name}.stored_mean"], p[f"{name}.stored_var"] = torch.randn(channels) * 0.2, torch.rand(channels) + 0.5

    if shared:
        p["shared.weight"] = torch.randn(classes, embed)
    layer("linear", widths[0] * 16, z + embed if deep else z)
    for i, (a, b) in enumerate(pairwise(widths)):
        block, inner = f"blocks.{i}.0", a // 4
        if deep:
            for k, (x, y, kernel) in enumerate(((a, inner, 1), (inner, inner, 3), (inner, inner, 3), (inner, b, 1)), 1):
                norm(f"{block}.bn{k}", x)
                layer(f"{block}.conv{k}", y, x, kernel, kernel)
        else:
            norm(f"{block}.bn1", a)
            norm(f"{block}.bn2", b)
            layer(f"{block}.conv1", b, a, 3, 3)
            layer(f"{block}.conv2", b, b, 3, 3)
            layer(f"{block}.conv_sc", b, a, 1, 1)
    at = len(widths) // 2 - 1 if deep else 0
    c = widths[at + 1]
    for part, shape in (("theta", (c // 8, c)), ("phi", (c // 8, c)), ("g", (c // 2, c)), ("o", (c, c // 2))):
        layer(f"blocks.{at}.1.{part}", *shape, 1, 1, bias=False)
    p[f"blocks.{at}.1.gamma"] = torch.tensor(0.7)
    p["output_layer.0.gain"], p["output_layer.0.bias"] = torch.randn(widths[-1]), torch.randn(widths[-1])
    p["output_layer.0.stored_mean"], p["output_layer.0.stored_var"] = torch.randn(widths[-1]) * 0.2, torch.rand(widths[-1]) + 0.5
    layer("output_layer.2", 3, widths[-1], 3, 3)
    return p


def picture(p: dict[str, torch.Tensor], z: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    """The published formulas in eval mode, once more and plainly.  label: (N,) numbers of classes."""
    deep, shared = "blocks.0.0.conv4.weight" in p, "shared.weight" in p

    def weight(name):
        w = p[f"{name}.weight"]
        if f"{name}.u0" not in p:
            return w
        m = w.reshape(len(w), -1)
        v = F.normalize(p[f"{name}.u0"] @ m)
        u = F.normalize(v @ m.T)
        return w / (v @ m.T @ u.T)

    def conv(x, name):
        w = weight(name)
        return F.conv2d(x, w, p.get(f"{name}.bias"), padding=w.shape[-1] // 2)

    def norm(x, name):
        if shared:
            gain, bias = (y @ weight(f"{name}.{part}").T for part in ("gain", "bias"))
        else:
            gain, bias = (p[f"{name}.{part}.weight"][label] for part in ("gain", "bias"))
        x = (x - p[f"{name}.stored_mean"][:, None, None]) / (p[f"{name}.stored_var"][:, None, None] + 1e-5).sqrt()
        return F.relu(x * (1 + gain)[:, :, None, None] + bias[:, :, None, None])

    def double(x):
        return x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)

    y = p["shared.weight"][label] if shared else None
    if deep:
        z = y = torch.cat([z, y], dim=1)
    x = (z @ weight("linear").T + p["linear.bias"]).reshape(len(z), -1, 4, 4)
    i = 0
    while f"blocks.{i}.0.conv1.weight" in p:
        b = f"blocks.{i}.0"
        if deep:
            up = double if i % 2 else (lambda x: x)
            h = up(norm(conv(norm(x, f"{b}.bn1"), f"{b}.conv1"), f"{b}.bn2"))
            h = conv(norm(conv(h, f"{b}.conv2"), f"{b}.bn3"), f"{b}.conv3")
            h = conv(norm(h, f"{b}.bn4"), f"{b}.conv4")
            x = h + up(x[:, : h.shape[1]])
        else:
            h = conv(norm(conv(double(norm(x, f"{b}.bn1")), f"{b}.conv1"), f"{b}.bn2"), f"{b}.conv2")
            x = h + conv(double(x), f"{b}.conv_sc")
        if (a := f"blocks.{i}.1") + ".gamma" in p:
            theta = conv(x, f"{a}.theta").flatten(2)
            phi, g = (F.max_pool2d(conv(x, f"{a}.{part}"), 2).flatten(2) for part in ("phi", "g"))
            share = (theta.transpose(1, 2) @ phi).softmax(dim=2)
            x = x + p[f"{a}.gamma"] * conv((g @ share.transpose(1, 2)).reshape(len(x), -1, *x.shape[2:]), f"{a}.o")
        i += 1
    mean, var = (p[f"output_layer.0.{part}"][:, None, None] for part in ("stored_mean", "stored_var"))
    x = (x - mean) / (var + 1e-5).sqrt() * p["output_layer.0.gain"][:, None, None] + p["output_layer.0.bias"][:, None, None]
    return torch.tanh(conv(F.relu(x), "output_layer.2"))


VARIANTS = {
    "deep": dict(deep=True),
    "deep without spectral norms": dict(deep=True, normed=False),
    "embeddings in each norm": dict(deep=False, shared=False),
    "shared and not hierarchical": dict(deep=False),
    "plain": dict(deep=False, shared=False, normed=False),
}


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS.keys())
@pytest.mark.parametrize("wrapper", ["", "module."])
def test_pictures_are_those_of_its_formulas(tmp_path, variant, wrapper):
    p = weights(**variant)
    torch.save({wrapper + name: tensor for name, tensor in p.items()}, tmp_path / "G_ema.pth")
    model = studio.load(tmp_path / "G_ema.pth", device="cpu")
    assert (model.resolution, model.c_dim, model.z_dim) == (16, 5, 6)
    z, label = torch.randn(3, 6), torch.tensor([0, 4, 2])
    theirs = picture(p, z, label)
    assert theirs.std() > 0.05
    assert (model.synthesis(model.mapping(z, torch.eye(5)[label])) - theirs).abs().max() < 1e-5
    folded = variant.get("normed", True) and not variant.get("shared", True)
    assert any("folded" in note for note in import_file(tmp_path / "G_ema.pth").notes) == folded


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"blocks.3.0.conv1.weight": None}, "no tensor"),
        ({"blocks.4.0.conv1.weight": torch.zeros(1, 4, 1, 1)}, "5 blocks"),
        ({"linear.weight": torch.zeros(256, 11)}, "do not fit each other|shape"),
        ({"output_layer.2.weight": torch.zeros(1, 4, 3, 3)}, "1 channels"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, change, named):
    torch.save({k: v for k, v in (weights(deep=True) | change).items() if v is not None}, tmp_path / "G_ema.pth")
    with pytest.raises(StudioError, match=named):
        studio.load(tmp_path / "G_ema.pth", device="cpu")
