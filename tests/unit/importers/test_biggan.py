"""BigGAN's published kinds of weights: equal pictures, and nothing but weights is taken."""

import importlib
import json
import os
import sys
import types
import zipfile

import numpy as np
import pytest
import torch

import studio
from studio.errors import StudioError
from studio.models.acquire.checkpoint_import import import_checkpoint
from studio.models.importers import import_file
from studio.models.library import default_library
from tests.conftest import GOLDEN

OFFICIAL = GOLDEN / "biggan-64-hier"


@pytest.fixture
def official():
    return OFFICIAL / "G_ema.pth"


@pytest.fixture
def weights(official):
    return torch.load(official, weights_only=True)


@pytest.fixture(scope="module")
def reference():
    """The package pytorch-pretrained-biggan. It imports packages that fetch files and draw truncated normals when it is
    imported itself; stand-ins take their place while it is, since no test fetches or draws with it."""
    stand_ins = {
        "boto3": {},
        "requests": {},
        "botocore": {},
        "botocore.exceptions": {"ClientError": Exception},
        "scipy": {},
        "scipy.stats": {"truncnorm": None},
    }
    before = {name: sys.modules.get(name) for name in stand_ins}
    for name, members in stand_ins.items():
        sys.modules[name] = types.ModuleType(name)
        vars(sys.modules[name]).update(members)
    try:
        return importlib.import_module("pytorch_pretrained_biggan")
    except ImportError:
        return pytest.skip("pytorch-pretrained-biggan is not installed")
    finally:
        for name, module in before.items():
            sys.modules.pop(name)
            if module is not None:
                sys.modules[name] = module


# That code wants 16 units of channels at the bottom, 1 at the top, and halves where they change.
LAYOUTS = {
    "as published": dict(
        layers=[(False, 16, 16), (True, 16, 8), (False, 8, 8), (True, 8, 4), (False, 4, 2), (True, 2, 1)], attention_layer_position=4
    ),
    "attention behind a block that keeps the size": dict(
        layers=[(True, 16, 8), (False, 8, 4), (True, 4, 2), (True, 2, 1)], attention_layer_position=2
    ),
    "attention first": dict(layers=[(True, 16, 8), (True, 8, 4), (False, 4, 2), (True, 2, 1)], attention_layer_position=0),
    "a few levels": dict(layers=[(True, 16, 8), (True, 8, 4), (False, 4, 2), (True, 2, 1)], attention_layer_position=1, n_stats=6),
}


def save_reference(package, folder, seed=0, **changes):
    """A small random model of that package in a folder; returns it."""
    torch.manual_seed(seed)
    options = {**dict(output_dim=32, z_dim=10, class_embed_dim=10, channel_width=8, num_classes=7), **LAYOUTS["as published"], **changes}
    config = package.BigGANConfig(**options)
    model = package.BigGAN(config).eval()
    for name, tensor in model.state_dict().items():
        if name.endswith(("running_means", "gamma", ".bias", "bn.weight")):
            tensor.copy_(torch.randn(tensor.shape) * 0.3 + name.endswith("bn.weight"))
        elif name.endswith("running_vars"):
            tensor.copy_(torch.rand(tensor.shape) + 0.5)
    for _ in range(3):  # singular vectors that are about right, as after a training
        model.train()(torch.randn(1, 10), torch.eye(config.num_classes)[:1], 1.0)
    folder.mkdir(exist_ok=True)
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    (folder / "config.json").write_text(config.to_json_string())
    return model.eval()


# -- equal pictures ---------------------------------------------------------------------------------------------------


@torch.inference_mode()
def test_golden(official):
    case, io = json.loads((OFFICIAL / "case.json").read_text()), dict(np.load(OFFICIAL / "io.npz"))
    model = studio.load(official, device="cpu")
    assert (model.family.name, model.resolution, model.z_dim, model.c_dim) == ("biggan", 64, 40, 10)
    ws = model.mapping(io["z"], np.eye(10)[io["y"]])
    assert float((model.synthesis(ws) - torch.tensor(io["img"])).abs().max()) <= case["tolerance"]


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
@torch.inference_mode()
def test_hugging_face(reference, tmp_path, layout):
    theirs = save_reference(reference, tmp_path / "hf", **layout)
    ours = studio.load(tmp_path / "hf" / "pytorch_model.bin", device="cpu")
    z, c = np.random.RandomState(0).randn(3, 10).astype(np.float32), np.eye(7, dtype=np.float32)[[0, 3, 6]]
    pictures = []
    for psi in (0.4, 0.9, 1.0):
        pictures.append(theirs(torch.tensor(z * psi), torch.tensor(c), psi))
        assert float((ours.synthesis(ours.mapping(z, c, psi)) - pictures[-1]).abs().max()) <= 1e-4
    assert float((pictures[0] - pictures[2]).abs().max()) > 0.05  # the comparison could fail


@torch.inference_mode()
def test_hugging_face_with_vectors_that_never_moved(reference, tmp_path):
    """A fresh model divides by u^T W v of random u and v, which is no singular value."""
    torch.manual_seed(1)
    layers = [(False, 16, 8), (False, 8, 4), (False, 4, 2), (True, 2, 1)]
    sizes = dict(output_dim=8, z_dim=10, class_embed_dim=10, channel_width=8, num_classes=7)
    config = reference.BigGANConfig(**sizes, layers=layers, attention_layer_position=1)
    theirs = reference.BigGAN(config).eval()
    theirs.generator.bn.weight.fill_(1)
    theirs.generator.bn.bias.zero_()
    torch.save(theirs.state_dict(), tmp_path / "pytorch_model.bin")
    (tmp_path / "config.json").write_text(config.to_json_string())
    ours = studio.load(tmp_path / "pytorch_model.bin", device="cpu")
    z, c = torch.randn(2, 10), torch.eye(7)[:2]
    assert torch.allclose(ours.synthesis(ours.mapping(z, c)), theirs(z, c, 1.0), atol=1e-4)


@torch.inference_mode()
def test_the_old_format_of_torch_and_published_names(reference, tmp_path):
    theirs = save_reference(reference, tmp_path)
    path = tmp_path / "biggan-deep-32-pytorch_model.bin"
    torch.save(theirs.state_dict(), path, _use_new_zipfile_serialization=False)
    (tmp_path / "config.json").rename(tmp_path / "biggan-deep-32-config.json")
    old = import_file(path).state_dict
    (tmp_path / "biggan-deep-32-config.json").rename(tmp_path / "config.json")
    new = import_file(tmp_path / "pytorch_model.bin").state_dict
    assert old.keys() == new.keys()
    assert all(torch.equal(old[k], new[k]) for k in new)


def test_into_the_library(official, studio_home):
    info = import_checkpoint(default_library(), official, "Big")
    direct, kept = studio.load(official, device="cpu"), studio.load("Big", device="cpu")
    z, c = np.random.RandomState(3).randn(2, 40), np.eye(10)[[0, 4]]
    assert torch.equal(direct.synthesis(direct.mapping(z, c, 0.7)), kept.synthesis(kept.mapping(z, c, 0.7)))
    assert info.thumbnail
    assert kept.family.name == "biggan"


def test_a_thousand_classes_have_imagenets_names(weights, tmp_path):
    weights["shared.weight"] = torch.randn(1000, 16)
    torch.save(weights, tmp_path / "G.pth")
    model = studio.load(tmp_path / "G.pth", device="cpu")
    assert len(model.classes) == 1000
    assert model.classes[0] == "tench"
    assert model.classes[-1] == "toilet tissue"


# -- weights of other kinds -------------------------------------------------------------------------------------------


def refused(content, path, match):
    torch.save(content, path)
    with pytest.raises(StudioError, match=match) as e:
        import_file(path)
    assert e.value.hint
    assert "\n" not in str(e.value)


def test_what_does_not_fit_is_named(weights, tmp_path):
    path = tmp_path / "w.pth"

    def changed(**changes):
        out = {**weights, **{k.replace("__", "."): v for k, v in changes.items()}}
        return {k: v for k, v in out.items() if v is not None}

    refused({"features.0.weight": torch.ones(2), "head.bias": torch.ones(2)}, path, "of an unknown kind: 'features.0.weight', 'head.bias'")
    refused(changed(extra__weight=torch.ones(2)), path, "'extra.weight', which this BigGAN does not have")
    refused(changed(linear__bias=None), path, "no tensor 'linear.bias'")
    refused(changed(linear__bias=torch.full([2048], float("nan"))), path, "not finite")
    refused(changed(linear__weight=torch.ones(2048, 9)), path, "do not fit")
    refused(changed(shared__weight=torch.ones(10, 0)), path, "shape")
    refused(changed(linear__bias=torch.ones(2048, dtype=torch.int64)), path, "does not fit")
    refused([torch.ones(2)], path, "a single list")
    refused({"a": 1}, path, "'a', which is not a tensor")
    refused({}, path, "no weights")


def test_a_shape_that_fits_its_neighbours_only_in_name(weights, tmp_path):
    torch.save({**weights, "blocks.0.0.conv1.bias": torch.ones(5)}, tmp_path / "w.pth")
    with pytest.raises(StudioError, match=r"synthesis\.blocks\.0\.conv1\.bias"):
        studio.load(tmp_path / "w.pth", device="cpu")


def test_config_beside_must_be_there_and_sound(reference, tmp_path):
    save_reference(reference, tmp_path)
    file, weights = tmp_path / "config.json", tmp_path / "pytorch_model.bin"
    good = json.loads(file.read_text())
    for change in (
        {"layers": [[False, 8]]},
        {"layers": []},
        {"layers": [[True, 8, 8]] * 1000},
        {"layers": [[True, 1 << 40, 8]]},
        {"eps": "x"},
        {"eps": 0},
        {"attention_layer_position": -1},
        {"channel_width": 1e9},
        {"layers": "abc"},
        {"layers": [[1, 8, 8]]},
    ):
        file.write_text(json.dumps({**good, **change}))
        with pytest.raises(StudioError, match="cannot be used"):
            import_file(weights)
    file.write_text(json.dumps({**good, "layers": good["layers"][:-1]}))
    with pytest.raises(StudioError):
        studio.load(weights, device="cpu")
    for text in ("[" * 100_000, "not json", "[]", "{}", " " * (1 << 21)):
        file.write_text(text)
        with pytest.raises(StudioError, match="cannot be used"):
            import_file(weights)
    file.unlink()
    with pytest.raises(StudioError, match=r"config.json is not beside it"):
        import_file(weights)


# -- hostile files ----------------------------------------------------------------------------------------------------


class Call:
    """Pickles as a call of any function."""

    def __init__(self, function, *args):
        self.function, self.args = function, args

    def __reduce__(self):
        return self.function, self.args


@pytest.mark.parametrize("zipped", [True, False])
def test_code_has_no_effect(weights, tmp_path, zipped):
    target, path = tmp_path / "owned", tmp_path / "G.pth"
    for content in (Call(os.mkdir, str(target)), {**weights, "x": Call(os.mkdir, str(target))}):
        torch.save(content, path, _use_new_zipfile_serialization=zipped)
        with pytest.raises(StudioError, match="more than weights"):
            import_file(path)
        assert not target.exists()


def test_a_network_instead_of_weights(tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "net.pth")
    with pytest.raises(StudioError, match="more than weights"):
        import_file(tmp_path / "net.pth")


def test_small_files_that_ask_for_much(weights, tmp_path):
    refused({**weights, "linear.weight": torch.ones(1).expand(1 << 20, 1 << 15)}, tmp_path / "w.pth", "larger than the file")
    source, bomb = tmp_path / "w.pth", tmp_path / "bomb.pth"
    torch.save({"zeros": torch.zeros(1 << 20)}, source)
    with zipfile.ZipFile(source) as a, zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as b:
        for name in a.namelist():
            b.writestr(name, a.read(name))
    with pytest.raises(StudioError, match="compressed parts"):
        import_file(bomb)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("zipped", [True, False])
def test_damage_anywhere(weights, tmp_path, zipped):
    path = tmp_path / "w.pth"
    torch.save({k: v for k, v in weights.items() if k.startswith("shared")}, path, _use_new_zipfile_serialization=zipped)
    data, rng = path.read_bytes(), np.random.RandomState(0)
    for i in range(60):
        broken = bytearray(data[: rng.randint(1, len(data))] if i % 2 else data)
        for place in rng.randint(len(broken), size=3):
            broken[place] ^= 1 << rng.randint(8)
        path.write_bytes(broken)
        with pytest.raises(StudioError):
            import_file(path)


def test_weights_on_no_device(weights, tmp_path):
    refused({**weights, "linear.bias": torch.empty(2048, device="meta")}, tmp_path / "w.pth", "does not fit")
