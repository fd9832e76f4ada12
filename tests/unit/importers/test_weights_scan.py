"""Files of torch.save that cost far more to read than they weigh: refused before PyTorch sees them."""

import argparse
import collections
import io
import pickle
import struct
import tracemalloc
import zipfile

import pytest
import torch

from studio.errors import StudioError
from studio.models.importers import weights_scan
from studio.models.importers.torch_weights import load_tensors, studio_errors
from studio.models.importers.weights_scan import scan_weights

HEAD = pickle.PROTO + b"\2"
END = b"."


def text(value: str) -> bytes:
    data = value.encode()
    return pickle.BINUNICODE + struct.pack("<I", len(data)) + data


def name(module: str, attribute: str) -> bytes:
    return pickle.GLOBAL + f"{module}\n{attribute}\n".encode()


def number(value: int) -> bytes:
    return pickle.dumps(value, 2)[2:-1]


def call(module: str, attribute: str, *args: bytes) -> bytes:
    return name(module, attribute) + pickle.MARK + b"".join(args) + pickle.TUPLE + pickle.REDUCE


DEEP = pickle.EMPTY_TUPLE + pickle.TUPLE1 * 100_000
COLLIDING = b"".join(number(i * ((1 << 61) - 1)) + pickle.NONE for i in range(1, 3_000))
DATA = (
    pickle.MARK
    + text("storage")
    + name("torch", "FloatStorage")
    + text("0")
    + text("cpu")
    + number(1 << 33)
    + pickle.TUPLE
    + pickle.BINPERSID
)
# What the file holds -> what is said of it.
COSTLY = {
    "bytearray": (call("builtins", "bytearray", number(2 << 30)), "'builtins.bytearray', which no weights need"),
    "bytearray of Python 2": (call("__builtin__", "bytearray", number(2 << 30)), "bytearray"),
    "a tensor by its size": (call("torch", "FloatTensor", number(1 << 33)), "'torch.FloatTensor', which no weights need"),
    "a tensor on a card": (call("torch.cuda", "HalfTensor", number(1 << 33)), "which no weights need"),
    "a new tensor": (name("torch", "Tensor") + number(1 << 33) + pickle.TUPLE1 + pickle.NEWOBJ, "'torch.Tensor', which no weights need"),
    "colliding keys": (pickle.EMPTY_DICT + pickle.MARK + COLLIDING + pickle.SETITEMS, "a int as a key"),
    "colliding items": (call("builtins", "set", pickle.EMPTY_LIST + pickle.MARK + COLLIDING + pickle.APPENDS), "a int as a key"),
    "colliding counts": (call("collections", "Counter", pickle.EMPTY_DICT + pickle.MARK + COLLIDING + pickle.SETITEMS), "a int as a key"),
    "a nest as a key": (pickle.EMPTY_DICT + DEEP + pickle.NONE + pickle.SETITEM, "a tuple as a key"),
    "a nest as an item": (call("builtins", "set", pickle.EMPTY_LIST + DEEP + pickle.APPEND), "a tuple as a key"),
    "a nest of pairs": (call("collections", "OrderedDict", pickle.EMPTY_LIST + DEEP + pickle.APPEND), "a dictionary in an odd form"),
    "claimed data": (DATA, "larger than the file"),
    "marks": (pickle.MARK * 2_000, "a nest of absurd depth"),
}


def archived(content: bytes) -> bytes:
    """As torch.save writes it today."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", HEAD + content + END)
        archive.writestr("archive/version", "3\n")
    return file.getvalue()


def legacy(content: bytes) -> bytes:
    """As torch.save wrote it before version 1.6."""
    parts = [0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True}]
    return b"".join(pickle.dumps(p, 2) for p in parts) + HEAD + content + END + pickle.dumps([], 2)


@pytest.mark.parametrize("layout", [archived, legacy])
@pytest.mark.parametrize(("content", "said"), COSTLY.values(), ids=COSTLY.keys())
def test_what_costs_too_much_is_refused(tmp_path, layout, content, said):
    path = tmp_path / "net.pth"
    path.write_bytes(layout(content))
    tracemalloc.start()
    try:
        with pytest.raises(StudioError) as e, studio_errors(path, "Try another."):
            load_tensors(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert said in e.value.message
    assert peak < 64 << 20


@pytest.mark.parametrize("layout", [archived, legacy])
def test_instructions_without_end_are_refused(tmp_path, monkeypatch, layout):
    monkeypatch.setattr(weights_scan, "_MAX_STEPS", 1_000)
    path = tmp_path / "net.pth"
    for steps, words in ((1_001, "more instructions than any checkpoint"), (900, "no weights")):
        path.write_bytes(layout(pickle.EMPTY_DICT + (pickle.BINPUT + b"\0") * steps))
        with pytest.raises(StudioError) as e, studio_errors(path, "Try another."):
            load_tensors(path)
        assert words in e.value.message


@pytest.mark.parametrize("zipped", [True, False])
def test_what_training_codes_keep_is_read(tmp_path, zipped):
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    optimizer = torch.optim.Adam(network.parameters())
    for p in network.parameters():
        p.grad = torch.ones_like(p)
    optimizer.step()
    content = {
        "state_dict": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "args": argparse.Namespace(size=64, betas=(0.5, 0.9)),
        "milestones": collections.Counter({100: 1}),
        "more": {1: None, None: 2, 0.5: True, "i": 1j, "dtype": torch.float16, "shape": torch.Size([2, 3]), "device": torch.device("cpu")},
        "large": 1 << 70,
        "seen": {1, "a"},
        "bytes": b"\x00\xff" * 20,
        "half": torch.ones(6, dtype=torch.bfloat16)[::2],
        "parameter": torch.nn.Parameter(torch.ones(2)),
    }
    path = tmp_path / "net.pth"
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    read = load_tensors(path)
    assert set(read) == set(network.state_dict())
    assert all(torch.equal(read[k], v) for k, v in network.state_dict().items())


def test_of_two_lists_none_is_read(tmp_path):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", HEAD + pickle.EMPTY_DICT + END)
        archive.writestr("other/DATA.pkl", HEAD + COSTLY["bytearray"][0] + END)
    path = tmp_path / "net.pth"
    path.write_bytes(file.getvalue())
    with pytest.raises(Exception, match="two lists of weights"):
        scan_weights(path)
