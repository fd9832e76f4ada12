"""Files made to harm whoever opens them, and files that are something else: a StudioError, and no effect at all.

Every import here runs under an audit hook. Python reports imports, compiled and executed code, started programs,
opened sockets and files opened for writing; none of that may happen, whether the import is refused or not.
"""

import importlib
import io
import os
import pickle
import random
import struct
import subprocess
import sys
import tracemalloc
import types
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch
from safetensors.torch import save as safetensors_bytes

from studio.errors import StudioError
from studio.models.importers import import_file
from tests.unit.importers.nvidia_pickler import EasyDict, Persistent, dumps, legacy_storage, network_pickle, networks, persist

# -- the watch ------------------------------------------------------------------------------------------------------

_FORBIDDEN = {"import", "exec", "compile", "pickle.find_class", "shutil.rmtree"}
_FORBIDDEN_PREFIXES = ("os.", "subprocess.", "socket.", "ctypes.", "urllib.", "ftplib.", "marshal.", "webbrowser.")
_HARMLESS = {"os.listdir", "os.scandir", "os.fspath"}
_seen: list[str] | None = None  # None = nobody watches


def _audit(event, args):
    if _seen is None:
        return
    writes = event == "open" and isinstance(args[1], str) and any(c in args[1] for c in "wax+")
    if writes or event in _FORBIDDEN or (event.startswith(_FORBIDDEN_PREFIXES) and event not in _HARMLESS):
        _seen.append(f"{event} {args!r:.200}")


sys.addaudithook(_audit)


def watched_import(path):
    """import_file(path); fails when anything but reading happened."""
    global _seen
    _seen = []
    try:
        return import_file(path)
    finally:
        happened, _seen = _seen, None
        assert not happened, happened


@pytest.fixture(autouse=True, scope="module")
def _warm(tmp_path_factory):
    # Modules that are imported when first used have nothing to do with the file.
    import encodings.cp437  # noqa: F401  (names in zips)

    import spandrel  # noqa: F401

    from studio.models.importers import biggan, cyclegan, lucidrains, rosinality, upscalers  # noqa: F401

    path = tmp_path_factory.mktemp("warm") / "net.pkl"
    path.write_bytes(network_pickle(resolution=8, channel_base=32)[2])
    import_file(path)


@pytest.fixture
def refused(tmp_path):
    """refused(bytes, text) -> the StudioError, whose message must contain the text; nothing else may have happened."""

    def check(data, named=""):
        path = tmp_path / "net.pkl"
        path.write_bytes(data)
        before = set(tmp_path.iterdir())
        with pytest.raises(StudioError) as e:
            watched_import(path)
        assert named in e.value.message, e.value.message
        assert e.value.hint
        assert "\n" not in str(e.value)
        assert str(e.value).isprintable()
        assert set(tmp_path.iterdir()) == before
        return e.value

    return check


class Call:
    """Pickles as a call of any function."""

    def __init__(self, function, *args):
        self.function, self.args = function, args

    def __reduce__(self):
        return self.function, self.args


def test_the_watch_sees_what_a_real_unpickling_does(tmp_path):
    """Without this the other tests could pass for being blind."""
    global _seen
    target = tmp_path / "owned"
    _seen = []
    pickle.loads(pickle.dumps(Call(os.mkdir, str(target))))
    happened, _seen = _seen, None
    assert target.exists()
    assert any(e.startswith("os.mkdir") for e in happened)
    assert any(e.startswith("pickle.find_class") for e in happened)


# -- code in the pickle -----------------------------------------------------------------------------------------------


def payloads(target):
    """(what the error must name, an object that makes the folder `target` when it is unpickled)."""
    make = f"import os; os.makedirs({str(target)!r})"
    system = f"{os.system.__module__}.system"
    return {
        "os.system": (system, Call(os.system, f"mkdir {target}")),
        "os.mkdir": (".mkdir", Call(os.mkdir, str(target))),
        "exec": ("builtins.exec", Call(exec, make)),
        "eval": ("builtins.eval", Call(eval, f"__import__('os').mkdir({str(target)!r})")),
        "__import__": ("builtins.__import__", Call(__import__, "os")),
        "getattr": ("builtins.getattr", Call(getattr, "", "upper")),
        "open": ("open", Call(open, str(target), "w")),
        "Popen": ("subprocess.Popen", Call(subprocess.Popen, ["mkdir", str(target)])),
        "compile": ("builtins.compile", Call(compile, make, "x", "exec")),
        "torch.load": ("torch.serialization.load", Call(torch.load, str(target))),
        "np.load": ("numpy.load", Call(np.load, str(target))),
        "torch.hub": ("torch.hub.load", Call(torch.hub.load, "a/b", "c")),
        "import_module": ("importlib.import_module", Call(importlib.import_module, "this")),
        "SimpleNamespace": ("types.SimpleNamespace", Call(types.SimpleNamespace)),
    }


PAYLOADS = sorted(payloads("x"))


@pytest.mark.parametrize("name", PAYLOADS)
def test_payload_anywhere_has_no_effect(tmp_path, refused, name):
    target = tmp_path / "owned"
    named, evil = payloads(target)[name]
    generator = networks(resolution=8, channel_base=32)[0]
    hidden = persist(generator)
    hidden.child("synthesis.b8.conv1").state["extra"] = [(evil,)]
    places = [
        evil,
        {"G_ema": evil},
        {"G_ema": hidden},
        {"G_ema": persist(generator), "augment_pipe": evil},
        {"G_ema": persist(generator), "training_set_kwargs": EasyDict(path=evil)},
    ]
    for content in places:
        refused(dumps(content), named)
    assert not target.exists()


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_payload_in_every_protocol(tmp_path, refused, protocol):
    target = tmp_path / "owned"
    evil = Call(os.system, f"mkdir {target}")
    refused(pickle.dumps(evil, protocol), f"{os.system.__module__}.system")
    refused(pickle.dumps({"G_ema": evil}, protocol))
    assert not target.exists()


def test_source_text_is_not_run(tmp_path):
    """NVIDIA's loader executes module_src; here the file is read, and its source has no effect."""
    target = tmp_path / "owned"
    source = f"import os, sys\nos.mkdir({str(target)!r})\nsys.modules['owned'] = sys\nclass Generator: pass\n"
    generator = networks(resolution=8, channel_base=32)[0]
    path = tmp_path / "net.pkl"
    path.write_bytes(dumps({"G_ema": persist(generator, source=source)}))
    found = watched_import(path)
    assert torch.equal(found.state_dict["mapping.w_avg"], generator.mapping.w_avg)
    assert not target.exists()
    assert "owned" not in sys.modules


# -- instructions by hand ---------------------------------------------------------------------------------------------


def text(value):
    data = value.encode()
    return pickle.SHORT_BINUNICODE + bytes([len(data)]) + data


def name(module, attribute):
    return text(module) + text(attribute) + pickle.STACK_GLOBAL


def program(*parts):
    return b"\x80\x04" + b"".join(parts) + pickle.STOP


SET = name("builtins", "set")
ORDERED = name("collections", "OrderedDict") + pickle.EMPTY_TUPLE + pickle.REDUCE
PERSISTENT = name("torch_utils.persistence", "_reconstruct_persistent_obj")
SYSTEM = name("os", "system") + text("mkdir /nowhere") + pickle.TUPLE1 + pickle.REDUCE

BY_HAND = {
    "INST": (program(pickle.MARK, text("true"), pickle.INST, b"os\nsystem\n"), "os.system"),
    "OBJ": (program(pickle.MARK, name("os", "system"), text("true"), pickle.OBJ), "os.system"),
    "OBJ of an allowed name": (program(pickle.MARK, SET, pickle.OBJ), "OBJ"),
    "NEWOBJ": (program(name("subprocess", "Popen"), pickle.EMPTY_TUPLE, pickle.NEWOBJ), "subprocess.Popen"),
    "NEWOBJ_EX": (program(SET, pickle.EMPTY_TUPLE, pickle.EMPTY_DICT, pickle.NEWOBJ_EX), "NEWOBJ_EX"),
    "GLOBAL by lines": (program(b"cos\nsystem\n", text("true"), pickle.TUPLE1, pickle.REDUCE), "os.system"),
    "an allowed module, another name": (program(name("torch._utils", "_import_dotted_name")), "_import_dotted_name"),
    "a dotted way out": (program(name("torch._utils", "_rebuild_tensor_v2.__globals__")), "__globals__"),
    "a dotted way in": (program(name("collections", "OrderedDict.fromkeys")), "OrderedDict.fromkeys"),
    "EXT1": (program(pickle.EXT1, b"\x01"), "EXT1"),
    "PERSID": (program(pickle.PERSID, b"x\n"), "PERSID"),
    "BINPERSID": (program(text("x"), pickle.BINPERSID), "BINPERSID"),
    "NEXT_BUFFER": (program(pickle.NEXT_BUFFER), "NEXT_BUFFER"),
    "FROZENSET": (program(pickle.MARK, pickle.FROZENSET), "FROZENSET"),
    "BUILD on a function": (program(SET, pickle.EMPTY_DICT, pickle.BUILD), "builtins.set"),
    "BUILD on a list": (program(pickle.EMPTY_LIST, pickle.EMPTY_DICT, pickle.BUILD), "a state for a list"),
    "BUILD with slots": (program(ORDERED, pickle.NONE, text("__class__"), SET, pickle.TUPLE2, pickle.TUPLE2, pickle.BUILD), "a state"),
    "BUILD on a record": (
        program(
            PERSISTENT,
            pickle.EMPTY_DICT,
            pickle.MARK,
            text("type"),
            text("class"),
            text("class_name"),
            text("A"),
            text("state"),
            pickle.EMPTY_DICT,
            pickle.SETITEMS,
            pickle.TUPLE1,
            pickle.REDUCE,
            pickle.EMPTY_DICT,
            text("__class__"),
            SET,
            pickle.SETITEM,
            pickle.BUILD,
        ),
        "a state for a PersistentObject",
    ),
    "items of a function": (program(SET, text("x"), text("y"), pickle.SETITEM), "filled like a dictionary"),
    "list items of a dict": (program(pickle.EMPTY_DICT, pickle.NONE, pickle.APPEND), "filled like a list"),
    "calling text": (program(text("os.system"), pickle.EMPTY_TUPLE, pickle.REDUCE), "a call of a str"),
    "calling a record's name": (program(name("numpy", "ndarray"), pickle.EMPTY_TUPLE, pickle.REDUCE), "numpy.ndarray"),
    "a name of numbers": (program(pickle.BININT1, b"1", text("x"), pickle.STACK_GLOBAL), "not text"),
    "persistent, another type": (
        program(PERSISTENT, pickle.EMPTY_DICT, text("type"), text("module"), pickle.SETITEM, pickle.TUPLE1, pickle.REDUCE),
        "persistent object",
    ),
    "codec": (program(name("_codecs", "encode"), text("x"), text("rot13"), pickle.TUPLE2, pickle.REDUCE), "odd encoding"),
    "objects in numpy": (program(name("numpy", "dtype"), text("O8"), pickle.TUPLE1, pickle.REDUCE), "'O8'"),
    "protocol 9": (b"\x80\x09N.", "protocol 9"),
    "payload after the end": (program(pickle.EMPTY_DICT) + SYSTEM, "no generator"),
}


@pytest.mark.parametrize(("data", "named"), BY_HAND.values(), ids=BY_HAND.keys())
def test_instructions_by_hand(refused, data, named):
    refused(data, named)


def test_names_are_shown_without_their_tricks(refused):
    e = refused(program(name("os\x1b[31m\n<img src=x>", "system" + "m" * 150)), "os")
    assert not set(e.message) & set("\x1b\n<>")
    assert len(e.message) < 250


# -- hidden in the bytes of tensors -------------------------------------------------------------------------------------


def storage_bytes(kind="FloatStorage", claimed=4, header=None, data=bytes(16), keys=("0",), view=None, what="storage", tail=b""):
    """PyTorch's older format, each part of which can be told to lie."""
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    parts = [pickle.dumps(v, 2) for v in (0x1950A86A20F9469CFC6C, 1001, system)]
    number = pickle.LONG1 + b"\x09" + int(claimed).to_bytes(9, "little", signed=True)
    reference = pickle.MARK + text(what) + f"ctorch\n{kind}\n".encode() + text("0") + text("cpu") + number
    reference += (pickle.NONE if view is None else pickle.dumps(view, 2)[2:-1]) + pickle.TUPLE + pickle.BINPERSID
    parts += [b"\x80\x02" + reference + pickle.STOP, keys if isinstance(keys, bytes) else pickle.dumps(list(keys), 2)]
    return b"".join(parts) + struct.pack("<q", claimed if header is None else header) + data + tail


def with_storage(data):
    """A file with one tensor, whose storage is `data`."""
    inner = Call(torch.storage._load_from_bytes, data)
    return dumps({"G_ema": Call(torch._utils._rebuild_tensor_v2, inner, 0, (4,), (1,), False, OrderedDict())})


def test_the_forged_storage_is_right_when_it_does_not_lie(refused):
    refused(with_storage(storage_bytes()), "no generator, but 'G_ema'")  # a tensor that is read, but no network


def test_payload_in_nested_bytes(tmp_path, refused):
    target = tmp_path / "owned"
    evil = pickle.dumps(Call(os.system, f"mkdir {target}"), 2)
    honest = legacy_storage(torch.zeros(4))
    system, start = f"{os.system.__module__}.system", honest.index(b"(X\x07\x00\x00\x00storage")
    zipped = io.BytesIO()
    torch.save({"x": Call(os.system, f"mkdir {target}")}, zipped)
    refused(with_storage(evil), system)
    refused(with_storage(honest[: start - 2] + evil), system)  # in place of the storage
    refused(with_storage(storage_bytes(keys=evil)), system)  # in place of the list of keys
    refused(with_storage(storage_bytes(tail=evil)), "as long as")
    refused(with_storage(storage_bytes(kind="load")), "torch.load")
    refused(with_storage(zipped.getvalue()), "unknown format")
    refused(with_storage(b""), "unknown format")
    assert not target.exists()


def test_nested_zip_is_refused(refused):
    """Weights in a zip may be compressed a thousandfold; network pickles never hold them."""
    packed = io.BytesIO()
    torch.save(torch.zeros(4), packed)
    refused(with_storage(packed.getvalue()), "unknown format")


LIES = {
    "claims more than there is": dict(claimed=1 << 38, header=1 << 38),
    "claims more in one place": dict(claimed=1 << 38, header=4),
    "claims less than nothing": dict(claimed=-4),
    "header only": dict(header=1 << 60),
    "more data than said": dict(tail=b"\0" * 8),
    "no key, so no data is read": dict(keys=()),
    "another key": dict(keys=("1",)),
    "the key twice": dict(keys=("0", "0")),
    "a view": dict(view=("1", 0, 4)),
    "source of a module": dict(what="module"),
    "no type of numbers": dict(kind="ComplexFloatStorage"),
    "another width": dict(kind="DoubleStorage"),
}


@pytest.mark.parametrize("lie", LIES)
def test_storage_that_lies(refused, lie):
    named = {"claims less than nothing": "absurd shape", "no type of numbers": "ComplexFloatStorage"}
    refused(with_storage(storage_bytes(**LIES[lie])), named.get(lie, "tensor data"))


SHAPES = {
    "too long": (0, (5,), (1,)),
    "offset": (1, (4,), (1,)),
    "offset below": (-1, (4,), (1,)),
    "stride": (0, (4,), (2,)),
    "stride below": (3, (4,), (-1,)),
    "stride of nothing": (0, (1 << 30,), (0,)),
    "giant": (0, (1 << 50, 1 << 50), (0, 0)),
    "no whole number": (0, (2.0,), (1,)),
    "truth": (0, (True,), (1,)),
    "other ranks": (0, (2, 2), (1,)),
    "many dimensions": (0, (1,) * 200, (1,) * 200),
    "no tuple": (0, "4", "1"),
}


@pytest.mark.parametrize(("offset", "size", "stride"), SHAPES.values(), ids=SHAPES.keys())
def test_absurd_shapes(refused, offset, size, stride):
    inner = Call(torch.storage._load_from_bytes, legacy_storage(torch.zeros(4)))
    tensor = Call(torch._utils._rebuild_tensor_v2, inner, offset, size, stride, False, OrderedDict())
    refused(dumps({"G_ema": tensor}), "a tensor")


def test_tensors_that_share_their_data_cannot_ask_for_a_giant(refused):
    """Tensors may lie over each other in a storage, so a small file could describe a large network."""
    root = persist(networks(resolution=64, channel_base=4096, channel_max=64)[0])
    numbers = Call(torch.storage._load_from_bytes, legacy_storage(torch.zeros(64 * 64 * 9)))
    shared = Call(torch._utils._rebuild_tensor_v2, numbers, 0, (64, 64, 3, 3), (576, 9, 3, 1), False, OrderedDict())
    for block in ("b8", "b16", "b32", "b64"):
        for conv in ("conv0", "conv1"):
            state = root.child(f"synthesis.{block}.{conv}").state
            del state["_parameters"]["weight"]
            state["_buffers"]["weight"] = shared  # the same object, so the pickle holds it once
    refused(dumps({"G_ema": root}), "larger than the file")


# -- bounded time and memory ------------------------------------------------------------------------------------------

HUGE = {
    "BINBYTES8": pickle.BINBYTES8 + struct.pack("<Q", 1 << 40),
    "BINBYTES8 over": pickle.BINBYTES8 + b"\xff" * 8,
    "BYTEARRAY8": pickle.BYTEARRAY8 + struct.pack("<Q", 1 << 40),
    "BINUNICODE8": pickle.BINUNICODE8 + struct.pack("<Q", 1 << 40),
    "BINBYTES": pickle.BINBYTES + b"\xff" * 4,
    "BINUNICODE": pickle.BINUNICODE + b"\xff" * 4,
    "FRAME": pickle.FRAME + struct.pack("<Q", 1 << 40),
    "LONG4": pickle.LONG4 + struct.pack("<i", 1 << 30),
    "LONG4 below": pickle.LONG4 + struct.pack("<i", -1),
    "LONG_BINPUT": pickle.NONE + pickle.LONG_BINPUT + b"\xff" * 4,
    "LONG_BINGET": pickle.LONG_BINGET + b"\xff" * 4,
}


@pytest.mark.parametrize("claim", HUGE.values(), ids=HUGE.keys())
def test_claimed_sizes_are_not_allocated(refused, claim):
    tracemalloc.start()
    try:
        refused(program(claim))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 16 << 20


FLOODS = {
    "marks": ("depth", pickle.MARK * 100_000),
    "copies of the top": ("DUP", pickle.NONE + pickle.DUP * 100_000),
    "nothing to pop": ("damaged", pickle.POP * 100_000),
    "sets": ("more instructions", pickle.EMPTY_SET * 500_000),
    "memo": ("more instructions", pickle.NONE + pickle.MEMOIZE * 500_000),
    "sets made of a long list": (
        "more instructions",
        pickle.EMPTY_LIST
        + pickle.MARK
        + (pickle.BININT1 + b"1") * 5_000
        + pickle.APPENDS
        + pickle.MEMOIZE
        + (SET + pickle.BINGET + b"\0" + pickle.TUPLE1 + pickle.REDUCE) * 1_000,
    ),
    "the same tensor data again and again": (
        "more instructions",
        name("torch.storage", "_load_from_bytes")
        + pickle.BINPUT
        + b"\0"
        + pickle.SHORT_BINBYTES
        + bytes([len(storage_bytes())])
        + storage_bytes()
        + pickle.TUPLE1
        + pickle.BINPUT
        + b"\1"
        + (pickle.BINGET + b"\0" + pickle.BINGET + b"\1" + pickle.REDUCE) * 20_000,
    ),
    "text turned into bytes again and again": (
        "more data than fits",
        name("_codecs", "encode")
        + pickle.BINPUT
        + b"\0"
        + pickle.BINUNICODE
        + struct.pack("<I", 1 << 20)
        + b"x" * (1 << 20)
        + text("latin1")
        + pickle.TUPLE2
        + pickle.BINPUT
        + b"\1"
        + (pickle.BINGET + b"\0" + pickle.BINGET + b"\1" + pickle.REDUCE) * 10_000,
    ),
}


@pytest.mark.parametrize(("named", "flood"), FLOODS.values(), ids=FLOODS.keys())
def test_floods_end(refused, named, flood):
    refused(program(flood), named)


DEEP = 190_000
TUPLES = pickle.EMPTY_TUPLE + pickle.TUPLE1 * DEEP
NESTS = {
    "tuples": ("a single tuple", TUPLES),
    "lists": ("a single list", pickle.EMPTY_LIST * DEEP + pickle.APPEND * (DEEP - 1)),
    "dicts": ("no generator", (pickle.EMPTY_DICT + text("a")) * (DEEP // 2) + pickle.NONE + pickle.SETITEM * (DEEP // 2)),
    "tuples as a key": ("as a key", pickle.EMPTY_DICT + TUPLES + pickle.NONE + pickle.SETITEM),
    "tuples in a set": ("as a key", pickle.EMPTY_SET + pickle.MARK + TUPLES + pickle.ADDITEMS),
    "tuples as a set": ("as a key", SET + TUPLES + pickle.TUPLE1 + pickle.REDUCE),
    "tuples as a device": ("a single str", name("torch", "device") + TUPLES + pickle.REDUCE),
    "tuples as a shape": ("absurd shape", name("torch", "Size") + TUPLES + pickle.REDUCE),
}


@pytest.mark.parametrize(("named", "nest"), NESTS.values(), ids=NESTS.keys())
def test_deep_nests(refused, named, nest):
    refused(program(nest), named)


def module(**parts):
    return Persistent("Generator", {"_parameters": {}, "_buffers": {}, "_modules": parts})


def test_deep_modules(refused):
    root = module()
    for _ in range(80):
        root = module(much_too_deep=root)
    refused(dumps({"G_ema": root}), "odd structure")
    # Deeper than Python's own pickler would go, by hand.
    begin = PERSISTENT + pickle.EMPTY_DICT + pickle.MARK + text("type") + text("class") + text("class_name") + text("A")
    begin += text("state") + pickle.EMPTY_DICT + pickle.MARK
    begin += text("_parameters") + pickle.EMPTY_DICT + text("_buffers") + pickle.EMPTY_DICT + text("_modules")
    end = pickle.SETITEMS + pickle.SETITEMS + pickle.TUPLE1 + pickle.REDUCE
    inside = (begin + pickle.EMPTY_DICT + text("a")) * 400 + pickle.NONE + (pickle.SETITEM + end) * 400
    refused(program(inside), "odd structure")
    refused(program((begin + pickle.EMPTY_DICT + text("a")) * 5000), "depth")


def test_modules_shared_in_ever_more_ways(refused):
    """60 levels, each with the next one twice: 2**60 modules to walk through, of one path or another."""
    root = module()
    for _ in range(60):
        root = module(a=root, b=root)
    refused(dumps({"G_ema": root}), "odd structure")


def test_module_that_contains_itself(refused):
    state = pickle.EMPTY_DICT + pickle.BINPUT + b"\0" + pickle.MARK + text("_parameters") + pickle.EMPTY_DICT
    state += text("_buffers") + pickle.EMPTY_DICT + pickle.SETITEMS
    record = PERSISTENT + pickle.EMPTY_DICT + pickle.MARK + text("type") + text("class") + text("class_name")
    record += text("Generator") + text("state") + state + pickle.SETITEMS + pickle.TUPLE1 + pickle.REDUCE
    loop = pickle.BINPUT + b"\1" + pickle.BINGET + b"\0" + text("_modules") + pickle.EMPTY_DICT + text("me")
    loop += pickle.BINGET + b"\1" + pickle.SETITEM + pickle.SETITEM + pickle.POP
    refused(program(record, loop), "odd structure")


def test_list_that_contains_itself(refused):
    refused(program(pickle.EMPTY_LIST, pickle.MEMOIZE, pickle.BINGET, b"\0", pickle.APPEND), "a single list")


def test_keys_that_collide(refused):
    """Numbers that differ by Python's hash modulus land in the same place of a dict, so filling it takes forever."""
    numbers = (pickle.dumps(i * ((1 << 61) - 1), 2)[2:-1] + pickle.NONE for i in range(1, 20_000))
    refused(program(pickle.EMPTY_DICT, pickle.MARK, *numbers, pickle.SETITEMS), "as a key")


def test_one_odd_character_does_not_quadruple_a_file(refused):
    piece = "\U0001f600".encode() + b"x" * (8 << 20)
    parts = (pickle.BINUNICODE + struct.pack("<I", len(piece)) + piece + pickle.POP) * 6
    refused(program(parts), "more data than fits")


# -- damaged ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", [2, 4])
def test_cut_short(refused, protocol):
    data = network_pickle(protocol, resolution=8, channel_base=32)[2]
    for cut in [2, 3, 11, 12, 100, len(data) - 1] + [len(data) * i // 20 for i in range(1, 20)]:
        refused(data[:cut])


def test_changed_bytes(tmp_path):
    """Whatever a bad disk makes of a file: it is read or it is a StudioError, and nothing else happens."""
    data = network_pickle(resolution=8, channel_base=32, c_dim=3)[2]
    chance, path, refusals = random.Random(0), tmp_path / "net.pkl", 0
    for _ in range(120):
        changed = bytearray(data)
        for _ in range(chance.choice((1, 1, 3, 30))):
            changed[chance.randrange(len(data))] = chance.randrange(256)
        path.write_bytes(changed)
        try:
            watched_import(path)
        except StudioError:
            refusals += 1
    assert refusals > 20


# -- something else -----------------------------------------------------------------------------------------------------


def zip_bytes(name="readme.txt"):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as z:
        z.writestr(name, "text")
    return buffer.getvalue()


def torch_bytes(**options):
    buffer = io.BytesIO()
    torch.save({"w": torch.zeros(3)}, buffer, **options)
    return buffer.getvalue()


def array_bytes():
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(3))
    return buffer.getvalue()


OTHERS = {
    "nothing": (b"", "0 bytes"),
    "one byte": (b"\x80", "of an unknown kind"),
    "proto only": (b"\x80\x04", "damaged"),
    "web page": (b"\n  <!DOCTYPE html><html><body>404</body></html>", "web page"),
    "xml": (b"\xef\xbb\xbf<?xml version='1.0'?><Error>AccessDenied</Error>", "web page"),
    "text": (b"Not found. Please try again later.\n", "text"),
    "words": (b"cat\ndog\npig\n", "text"),
    "json": (b'{"error": "rate limit"}', "text"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "Git LFS"),
    "zip": (zip_bytes(), "zip archive"),
    "torch": (torch_bytes(), "PyTorch weights"),
    "old torch": (torch_bytes(_use_new_zipfile_serialization=False), "PyTorch weights"),
    "safetensors": (safetensors_bytes({"w": torch.zeros(3)}), "safetensors"),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(100), "HDF5"),
    "numpy": (array_bytes(), "numpy"),
    "png": (b"\x89PNG\r\n\x1a\n" + bytes(100), "PNG"),
    "gzip": (b"\x1f\x8b\x08" + bytes(100), "gzip"),
    "noise": (bytes(range(256)) * 8, "of an unknown kind"),
}


@pytest.mark.parametrize(("data", "named"), OTHERS.values(), ids=OTHERS.keys())
def test_other_formats_are_named(refused, data, named):
    refused(data, named)


def test_tensorflow_networks_are_named(refused):
    network = name("dnnlib.tflib.network", "Network") + pickle.EMPTY_TUPLE + pickle.NEWOBJ
    e = refused(program(network * 3, pickle.TUPLE3), "TensorFlow")
    assert "dnnlib.tflib.network.Network" in e.message
    assert "Convert" in e.hint


def test_notes_are_shown_without_tricks(tmp_path):
    content = {"G_ema": persist(networks(resolution=8, channel_base=32)[0]), "training_set_kwargs": {"path": "a/<b>\x1b[1m](x)\n#"}}
    path = tmp_path / "net.pkl"
    path.write_bytes(dumps(content))
    (note,) = watched_import(path).notes
    assert "training data" in note
    assert not set(note) & set("<>[]#\x1b\n")


def test_what_is_no_file(tmp_path):
    with pytest.raises(StudioError, match="cannot be read"):
        watched_import(tmp_path / "absent.pkl")
    with pytest.raises(StudioError, match="cannot be read"):
        watched_import("nul\0byte.pkl")
    with pytest.raises(StudioError, match="not a file"):
        watched_import(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.pkl")
    with pytest.raises(StudioError, match="not a file"):
        watched_import(tmp_path / "pipe.pkl")


def test_larger_than_any_checkpoint(tmp_path):
    path = tmp_path / "net.pkl"
    with open(path, "wb") as f:
        f.write(b"\x80\x04")
        f.truncate((4 << 30) + 1)  # a hole: it takes no room on the disk
    with pytest.raises(StudioError, match="larger than 4 GB"):
        watched_import(path)
