"""Model folders, the library, and the Python API on top of them."""

import json
import os

import numpy as np
import pytest
import torch
from PIL import Image

from studio.common.files import atomic_folder, atomic_write
from studio.errors import StudioError
from studio.inference.model import load
from studio.models.folder import build_network, open_folder, safe_name, save_folder
from studio.models.library import Library
from tests.conftest import save_tiny, tiny_generator


def test_a_folder_gives_the_network_back(models):
    info = open_folder(models / "tiny")
    again, first = build_network(info).state_dict(), tiny_generator().state_dict()
    assert again.keys() == first.keys()
    assert all(torch.equal(again[k], first[k]) for k in first)
    names = {p.name for p in info.path.iterdir()}
    assert names == {"config.json", "model.safetensors", "discriminator.safetensors", "README.md", "thumbnail.webp"}
    card = (info.path / "README.md").read_text()
    assert card.startswith("---\n")
    assert "made by a machine" in card


def test_half_precision_on_disk_keeps_vectors_whole(tmp_path):
    import dataclasses

    network = tiny_generator()
    info = save_folder(
        tmp_path / "half", "stylegan2", dataclasses.asdict(network.config), network.state_dict(), title="Half", dtype="float16"
    )
    state, first = build_network(info).state_dict(), network.state_dict()
    assert torch.equal(state["mapping.w_avg"], first["mapping.w_avg"])
    assert torch.equal(state["synthesis.b4.const"], first["synthesis.b4.const"].half().float())
    assert all(v.dtype == torch.float32 for v in state.values())


def _break(name):
    def cut_weights(folder):
        data = (folder / "model.safetensors").read_bytes()
        (folder / "model.safetensors").write_bytes(data[: len(data) // 2])

    def config(**changes):
        def change(folder):
            raw = json.loads((folder / "config.json").read_text())
            raw.update(changes)
            (folder / "config.json").write_text(json.dumps({k: v for k, v in raw.items() if v is not ...}))

        return change

    def set_in_config(key, value):
        def change(folder):
            raw = json.loads((folder / "config.json").read_text())
            raw["config"][key] = value
            (folder / "config.json").write_text(json.dumps(raw))

        return change

    return {
        "no config": lambda f: (f / "config.json").unlink(),
        "no weights": lambda f: (f / "model.safetensors").unlink(),
        "weights cut short": cut_weights,
        "weights empty": lambda f: (f / "model.safetensors").write_bytes(b""),
        "config no JSON": lambda f: (f / "config.json").write_text("{"),
        "config a list": lambda f: (f / "config.json").write_text("[]"),
        "config huge": lambda f: (f / "config.json").write_text(" " * (2 << 20)),
        "unknown family": config(family="what"),
        "newer format": config(format=99),
        "classes no words": config(classes=[1, 2]),
        "absurd resolution": set_in_config("resolution", 10**9),
        "unknown setting": set_in_config("colour", 1),
        "setting of odd kind": set_in_config("resample_filter", 7),
    }[name]


@pytest.mark.parametrize(
    "fault",
    [
        "no config",
        "no weights",
        "weights cut short",
        "weights empty",
        "config no JSON",
        "config a list",
        "config huge",
        "unknown family",
        "newer format",
        "classes no words",
        "absurd resolution",
        "unknown setting",
        "setting of odd kind",
    ],
)
def test_a_broken_folder_is_named_and_the_rest_works(models, fault):
    _break(fault)(models / "tiny")
    with pytest.raises(StudioError) as e:
        open_folder(models / "tiny")
    assert len(str(e.value)) < 500
    found, broken = Library([models]).scan()
    assert [m.id for m in found] == ["tiny-classes"]
    assert [b.path.name for b in broken] == ["tiny"]
    assert broken[0].reason


def test_weights_that_do_not_fit_their_config(models):
    raw = json.loads((models / "tiny" / "config.json").read_text())
    raw["config"]["channel_max"] = 16
    (models / "tiny" / "config.json").write_text(json.dumps(raw))
    with pytest.raises(StudioError, match="of shape"):
        build_network(open_folder(models / "tiny"))
    raw["config"].update(channel_max=32, use_noise=False)
    (models / "tiny" / "config.json").write_text(json.dumps(raw))
    with pytest.raises(StudioError, match="does not know"):
        build_network(open_folder(models / "tiny"))
    raw["config"].update(use_noise=True, resolution=64)
    (models / "tiny" / "config.json").write_text(json.dumps(raw))
    with pytest.raises(StudioError, match="lacks the tensor"):
        build_network(open_folder(models / "tiny"))


def test_weights_outside_the_folder_are_not_followed(models, tmp_path):
    weights = models / "tiny" / "model.safetensors"
    weights.rename(tmp_path / "elsewhere.safetensors")
    weights.symlink_to(tmp_path / "elsewhere.safetensors")
    with pytest.raises(StudioError, match="outside"):
        open_folder(models / "tiny")


def test_library(models, tmp_path):
    other = tmp_path / "other"
    save_tiny(other, "tiny", seed=5)
    save_tiny(other, "third", seed=6)
    (other / ".half-written.part").mkdir()
    library = Library([models, other, tmp_path / "missing"])
    found, broken = library.scan()
    assert sorted(m.id for m in found) == ["third", "tiny", "tiny-classes"]
    assert library.get("tiny").path == models / "tiny", "the first root wins"
    assert "comes first" in broken[0].reason
    assert library.free_name("third") == "third-2"
    assert library.free_name("new") == "new"
    with pytest.raises(StudioError, match="tiny-classes"):
        library.get("tiny-clases")
    for bad in ("", ".", "..", "../other/third", str(other / "third")):
        with pytest.raises(StudioError):
            library.get(bad)


def test_hash_follows_the_weights(models):
    before = open_folder(models / "tiny").hash
    save_tiny(models, "tiny", seed=9)
    assert open_folder(models / "tiny").hash != before


def test_safe_names():
    assert safe_name("Katzen & Hunde (64px)") == "katzen-hunde-64px"
    assert safe_name("../..") == "model"


def test_atomic_writes_leave_nothing_behind(tmp_path):
    target = tmp_path / "file"
    atomic_write(target, b"one")
    with pytest.raises(TypeError):
        atomic_write(target, "no bytes")
    assert target.read_bytes() == b"one"
    assert os.listdir(tmp_path) == ["file"]
    with pytest.raises(RuntimeError), atomic_folder(tmp_path / "folder") as part:  # noqa: PT012 - the body fails on purpose
        (part / "a").write_text("half")
        raise RuntimeError
    assert os.listdir(tmp_path) == ["file"]
    for text in ("first", "second"):
        with atomic_folder(tmp_path / "folder") as part:
            (part / text).write_text(text)
    assert os.listdir(tmp_path / "folder") == ["second"]


# -- Python API ------------------------------------------------------------------------------------------------------


def test_load_by_name_and_by_folder(models, studio_home):
    save_tiny(studio_home / "models", "mine", seed=3)
    by_name, by_folder = load("mine", device="cpu"), load(studio_home / "models" / "mine", device="cpu")
    z = np.random.RandomState(0).randn(2, by_name.z_dim)
    ws = by_name.mapping(z, truncation_psi=0.5)
    assert ws.shape == (2, by_name.num_ws, by_name.w_dim)
    assert torch.equal(ws, by_folder.mapping(torch.from_numpy(z), truncation_psi=0.5))
    image = by_name.synthesis(ws.numpy())
    assert image.shape == (2, 3, 32, 32)
    assert image.dtype == torch.float32
    assert (by_name.resolution, by_name.c_dim, by_name.classes) == (32, 0, ())


def test_inputs_that_do_not_fit_are_told(models):
    plain, conditional = load(models / "tiny", "cpu"), load(models / "tiny-classes", "cpu")
    z = np.zeros((2, 16))
    assert conditional.classes == ("kind 0", "kind 1", "kind 2")
    conditional.mapping(z, np.eye(3)[:2])
    for bad in (
        lambda: plain.mapping(np.zeros((2, 15))),
        lambda: plain.mapping(np.zeros(16)),
        lambda: plain.mapping(np.full((1, 16), np.nan)),
        lambda: plain.mapping("what"),
        lambda: plain.mapping(z, np.eye(3)[:2]),
        lambda: plain.mapping(z, truncation_psi=float("nan")),
        lambda: conditional.mapping(z),
        lambda: conditional.mapping(z, np.eye(4)[:2]),
        lambda: plain.synthesis(np.zeros((1, 2, 16))),
        lambda: plain.synthesis(np.zeros((1, 8, 16)), noise_mode="loud"),
        lambda: load("nowhere", "cpu"),
        lambda: load(models / "tiny", "abacus"),
    ):
        with pytest.raises(StudioError):
            bad()


def test_thumbnail_is_a_picture(models):
    with Image.open(open_folder(models / "tiny").thumbnail) as image:
        assert image.format == "WEBP"
