"""Model folders: what a hostile or torn one can do, and what saving leaves behind."""

import contextlib
import dataclasses
import json
import os
import struct
import tempfile
from pathlib import Path

import pytest
import torch
import yaml

from studio.common.files import atomic_write
from studio.errors import StudioError
from studio.models import folder as folder_file
from studio.models.card import model_card
from studio.models.folder import build_network, is_safe_name, open_folder, safe_name, save_folder
from studio.models.library import Library
from studio.models.weights_file import read_tensors
from tests.conftest import save_tiny, tiny_generator


@pytest.fixture
def tiny(tmp_path):
    return save_tiny(tmp_path, "tiny").path


def change(folder, key, value):
    raw = json.loads((folder / "config.json").read_text())
    raw["config"][key] = value
    (folder / "config.json").write_text(json.dumps(raw))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("z_dim", "16"),
        ("z_dim", -1),
        ("z_dim", 1.5),
        ("z_dim", None),
        ("w_dim", True),
        ("c_dim", 10**12),
        ("mapping_layers", 10**9),
        ("channel_max", "x"),
        ("conv_clamp", "x"),
        ("use_noise", "no"),
        ("embed_features", [1]),
        ("mapping_lr_multiplier", float("nan")),
        ("w_avg_beta", float("inf")),
        ("resample_filter", ["a"]),
        ("resample_filter", [1] * 10_000),
        ("architecture", "what"),
        ("resolution", 48),
        ("resolution", 10**9),
        ("colour", 1),
    ],
)
def test_a_config_of_the_wrong_kind_is_told_by_its_key(tiny, key, value):
    change(tiny, key, value)
    with pytest.raises(StudioError, match=f"'tiny' has a config.json .*{key}"):
        open_folder(tiny)


@pytest.mark.parametrize(("key", "value"), [("channel_base", 1), ("img_channels", 0), ("mapping_layers", 0), ("channel_max", 1 << 24)])
def test_a_config_that_no_network_can_have(tiny, key, value):
    change(tiny, key, value)
    with pytest.raises(StudioError, match="tiny"):
        build_network(open_folder(tiny))


def test_settings_of_later_studios_beside_the_config_are_tolerated(tiny):
    raw = json.loads((tiny / "config.json").read_text())
    raw["made_by"] = {"a newer": "studio"}
    del raw["title"], raw["licence"], raw["extra"], raw["classes"]
    del raw["config"]["conv_clamp"]
    (tiny / "config.json").write_text(json.dumps(raw))
    info = open_folder(tiny)
    assert (info.title, info.licence, info.extra, info.classes) == ("tiny", "", {}, ())
    build_network(info)


def test_resolution_is_known_when_the_config_leaves_it_to_the_default(tiny):
    raw = json.loads((tiny / "config.json").read_text())
    del raw["config"]["resolution"]
    (tiny / "config.json").write_text(json.dumps(raw))
    assert open_folder(tiny).resolution == 256


@pytest.mark.parametrize(
    "text",
    ['{"format": 1, "family": "stylegan2", "config": {"resolution": ' + "9" * 5000 + "}}", "[" * 100_000, "\x00", "\ufeff{}"],
    ids=["huge number", "deep", "zeros", "byte order mark"],
)
def test_json_that_python_itself_stumbles_over(tiny, text):
    (tiny / "config.json").write_text(text, encoding="utf-8")
    with pytest.raises(StudioError, match=r"'tiny'.* config.json"):
        open_folder(tiny)
    (tiny / "config.json").write_bytes(b'{"title": "\xff"}')
    with pytest.raises(StudioError, match=r"'tiny'.* config.json"):
        open_folder(tiny)


@pytest.mark.parametrize("left", [0, 7, 8, 100, -1])
def test_torn_weights_are_told_in_bytes(tiny, left):
    file = tiny / "model.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[:left])
    size = len(whole[:left])
    with pytest.raises(StudioError, match=f"model.safetensors that is cut short: {size:,} bytes of"):
        open_folder(tiny)
    if left == -1:
        with pytest.raises(StudioError, match=f"{len(whole):,}"):
            open_folder(tiny)
        with pytest.raises(StudioError, match="damaged"):
            read_tensors(file)


@pytest.mark.parametrize(
    "data",
    [struct.pack("<Q", 1 << 62) + b"{}", struct.pack("<Q", 2) + b"[]", struct.pack("<Q", 4) + b"null", struct.pack("<Q", 9) + b'{"a": 12}'],
    ids=["absurd header", "a list", "null", "no tensor"],
)
def test_weights_whose_head_makes_no_sense(tiny, data):
    (tiny / "model.safetensors").write_bytes(data)
    with pytest.raises(StudioError, match=r"damaged model.safetensors"):
        open_folder(tiny)


def test_weights_with_a_tail_are_damaged(tiny):
    with open(tiny / "model.safetensors", "ab") as f:
        f.write(b"x")
    with pytest.raises(StudioError, match=r"damaged model.safetensors"):
        open_folder(tiny)


@contextlib.contextmanager
def as_nobody():
    """Root may read everything, so it steps down for a moment."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="Windows has other permissions")
@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_file_that_may_not_be_read(name):
    with tempfile.TemporaryDirectory() as above:
        os.chmod(above, 0o755)
        tiny = save_tiny(Path(above), "tiny").path
        (tiny / name).chmod(0)
        with as_nobody(), pytest.raises(StudioError, match=f"{name} that cannot be read: .*Permission denied"):
            open_folder(tiny)
        with as_nobody():
            models, broken = Library([Path(above)]).scan()
        assert models == []
        assert [b.path for b in broken] == [tiny]


@pytest.mark.parametrize(
    "name", ["config.json", "thumbnail.webp", "README.md", "directions.safetensors", "discriminator.safetensors", "plan.toml"]
)
def test_no_file_of_a_folder_is_taken_from_elsewhere(tiny, tmp_path, name):
    outside = tmp_path / "private"
    outside.write_bytes((tiny / name).read_bytes() if (tiny / name).exists() else b"private")
    (tiny / name).unlink(missing_ok=True)
    (tiny / name).symlink_to(outside)
    with pytest.raises(StudioError, match=f"{name} that points outside"):
        open_folder(tiny)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_link_to_itself(tiny, name):
    (tiny / name).unlink()
    (tiny / name).symlink_to(name)
    with pytest.raises(StudioError, match=name):
        open_folder(tiny)


def test_a_model_does_not_change_when_its_file_is_written_over(tiny):
    network = build_network(open_folder(tiny))
    before = {k: v.clone() for k, v in tiny_generator().state_dict().items()}
    with open(tiny / "model.safetensors", "r+b") as f:
        f.write(bytes(os.fstat(f.fileno()).st_size))  # (shortening it would kill a program that still maps it)
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())


@pytest.mark.parametrize(
    ("family", "config", "tensors"),
    [
        ("what", {}, {}),
        ("stylegan2", {"resolution": 7}, {}),
        ("stylegan2", {"z_dim": 8}, {}),
        ("stylegan2", {}, {"left.over": torch.zeros(3)}),
    ],
    ids=["family", "config", "shape", "tensor"],
)
def test_what_is_no_model_never_replaces_one(tiny, family, config, tensors):
    before = open_folder(tiny)
    network = tiny_generator()
    with pytest.raises(StudioError):
        save_folder(tiny, family, {**dataclasses.asdict(network.config), **config}, {**network.state_dict(), **tensors}, title="New")
    assert open_folder(tiny) == before
    assert os.listdir(tiny.parent) == ["tiny"]


def test_a_missing_tensor_is_named_on_saving(tiny):
    network = tiny_generator()
    state = network.state_dict()
    del state["synthesis.b8.torgb.weight"]
    with pytest.raises(StudioError, match=r"synthesis.b8.torgb.weight"):
        save_folder(tiny.parent / "new", "stylegan2", dataclasses.asdict(network.config), state, title="New")
    with pytest.raises(ValueError, match="dtype"):
        save_folder(tiny.parent / "new", "stylegan2", dataclasses.asdict(network.config), network.state_dict(), title="New", dtype="half")
    assert os.listdir(tiny.parent) == ["tiny"]


def test_a_write_that_fails_leaves_the_old_folder(tiny, monkeypatch):
    before = open_folder(tiny)
    network = tiny_generator(5)

    def full_disk(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("studio.models.folder.model_card", full_disk)  # the last file that is written
    with pytest.raises(OSError, match="No space"):
        save_folder(tiny, "stylegan2", dataclasses.asdict(network.config), network.state_dict(), title="New")
    assert open_folder(tiny) == before
    assert os.listdir(tiny.parent) == ["tiny"]


def test_every_optional_file_goes_in_and_half_precision_keeps_what_would_overflow(tmp_path):
    network = tiny_generator()
    state = {k: v.clone() for k, v in network.state_dict().items()}
    state["synthesis.b8.conv0.weight"][0, 0, 0, 0] = 1e6
    directions = {"smile": torch.randn(network.num_ws, network.w_dim)}
    info = save_folder(
        tmp_path / "full",
        "stylegan2",
        dataclasses.asdict(network.config),
        state,
        title="Full",
        plan="seed = 1\n",
        directions=directions,
        extra={"seen": 3},
    )
    assert torch.equal(read_tensors(info.path / "directions.safetensors")["smile"], directions["smile"])
    assert (info.path / "plan.toml").read_text() == "seed = 1\n"
    assert info.extra == {"seen": 3}
    assert info.thumbnail is None
    again = build_network(info).state_dict()
    assert torch.equal(again["synthesis.b8.conv0.weight"], state["synthesis.b8.conv0.weight"]), "1e6 is no half"
    assert torch.equal(again["synthesis.b8.conv1.noise_strength"], state["synthesis.b8.conv1.noise_strength"])
    whole = save_folder(
        tmp_path / "whole", "stylegan2", dataclasses.asdict(network.config), network.state_dict(), title="W", dtype="float32"
    )
    assert (info.path / "model.safetensors").stat().st_size < 0.7 * (whole.path / "model.safetensors").stat().st_size


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a b", ".a", "a.", "con", "NUL.txt", "com1", "x" * 101, "é", "a\n"])
def test_names_that_no_model_may_have(tmp_path, name):
    assert not is_safe_name(name)
    assert is_safe_name(safe_name(name))


def test_names_that_a_model_may_have():
    for name in ("a", "lpc-characters", "A.b_c-1", "console", "000012", "x" * 100):
        assert is_safe_name(name)


def test_a_folder_is_known_by_its_own_name_wherever_it_is_called_from(tiny, monkeypatch):
    monkeypatch.chdir(tiny)
    assert open_folder(".") == open_folder(tiny)
    monkeypatch.chdir(tiny.parent)
    assert open_folder("tiny/../tiny").id == "tiny"


def test_the_card_is_yaml_for_any_title():
    for title in ('Quote " and \\', "Katze 🐈\nnew: line", "a: b #c", "---"):
        card = model_card(title, "stylegan2", "CC-BY-SA 3.0 / GPL 3.0", "## Data\nBy many.")
        head = yaml.safe_load(card.split("\n---\n")[0])
        assert head["model_name"] == " ".join(title.split())
        assert (head["license"], head["license_name"]) == ("other", "CC-BY-SA 3.0 / GPL 3.0")
        assert head["library_name"] == "gan-studio"
        assert "gan" in head["tags"]
        assert "## Data\nBy many." in card
        assert "made by a machine" in card
    head = yaml.safe_load(model_card("A", "stylegan2", "Apache-2.0").split("\n---\n")[0])
    assert head["license"] == "apache-2.0"
    assert "license_name" not in head
    assert "license" not in yaml.safe_load(model_card("A", "stylegan2").split("\n---\n")[0])


def test_config_json_is_the_agreed_form(tiny):
    raw = json.loads((tiny / "config.json").read_text())
    assert list(raw) == ["format", "family", "title", "classes", "licence", "config", "extra"]
    assert raw["format"] == 1
    atomic_write(tiny / "config.json", json.dumps({**raw, "format": 2}).encode())
    with pytest.raises(StudioError, match="Update the studio"):
        open_folder(tiny)


def test_examples_of_both_sides(tmp_path):
    from PIL import Image

    from studio.networks.translation.cyclegan import CycleGANConfig, Generator

    config = CycleGANConfig(resolution=16, net="resnet_6blocks", ngf=1, n_layers=1)
    examples = {"A": [Image.new("RGB", (20, 10), c) for c in ("red", "blue")], "B": [Image.new("RGBA", (8, 8))]}
    info = save_folder(tmp_path / "m", "cyclegan", dataclasses.asdict(config), Generator(config).state_dict(), title="M", examples=examples)
    assert [p.name for p in info.examples("A")] == ["a-1.webp", "a-2.webp"]
    assert [p.name for p in info.examples("B")] == ["b-1.webp"]
    with Image.open(info.examples("A")[0]) as first, Image.open(info.examples("B")[0]) as other:
        assert first.size == (20, 10)
        assert first.convert("RGB").getpixel((3, 3))[0] > 240
        assert other.mode == "RGBA"
    (tmp_path / "elsewhere.webp").write_bytes(info.examples("A")[0].read_bytes())
    (info.path / "examples" / "a-0.webp").symlink_to(tmp_path / "elsewhere.webp")
    assert [p.name for p in info.examples("A")] == ["a-1.webp", "a-2.webp"], "a link might lead to any file of this machine"
    plain = save_folder(tmp_path / "n", "cyclegan", dataclasses.asdict(config), Generator(config).state_dict(), title="N")
    assert plain.examples("A") == []


# -- what is read again -----------------------------------------------------------------------------------------------


@pytest.fixture
def reads(monkeypatch):
    """Names of the files that are opened, in order."""
    opened = []
    for name in ("read_config", "check_tensors"):
        real = getattr(folder_file, name)
        monkeypatch.setattr(folder_file, name, lambda path, where, name=name, real=real: opened.append(name) or real(path, where))
    return opened


def test_an_unchanged_folder_is_not_opened_again(tiny, reads):
    os.utime(tiny / "config.json", ns=(0, 10**18))  # it was opened when it was saved
    first = open_folder(tiny)
    assert len(reads) == 2
    first.extra["a caller"] = "may write into its own"
    first.config["resolution"] = 5
    again = open_folder(tiny)
    assert len(reads) == 2
    assert again == dataclasses.replace(first, extra=again.extra, config=again.config)
    assert "a caller" not in again.extra
    assert again.config["resolution"] == 32
    assert [m.id for m in Library([tiny.parent]).scan()[0]] == ["tiny"]
    assert Library([tiny.parent]).get("tiny").hash == again.hash
    assert len(reads) == 2


def test_a_changed_file_is_read_again(tiny, reads):
    before = open_folder(tiny)
    reads.clear()
    raw = json.loads((tiny / "config.json").read_text())
    atomic_write(tiny / "config.json", json.dumps({**raw, "title": raw["title"][::-1]}).encode())
    assert open_folder(tiny).title == before.title[::-1]
    assert reads == ["read_config", "check_tensors"]
    other = save_tiny(tiny.parent, "other", seed=5)
    os.replace(other.path / "model.safetensors", tiny / "model.safetensors")
    assert open_folder(tiny).hash == other.hash != before.hash
    (tiny / "model.safetensors").unlink()
    with pytest.raises(StudioError, match="has no model"):
        open_folder(tiny)
    with pytest.raises(StudioError, match="has no model"):
        open_folder(tiny)


def test_of_a_file_of_the_same_time_and_size_another_is_noticed(tiny, reads):
    before, file = open_folder(tiny), tiny / "config.json"
    stat = file.stat()
    raw = json.loads(file.read_text())
    atomic_write(file, file.read_bytes().replace(json.dumps(raw["title"]).encode(), json.dumps(raw["title"][::-1]).encode()))
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert file.stat().st_size == stat.st_size
    assert open_folder(tiny).title == before.title[::-1]
