"""What is added may be made to harm: in every wrapping it ends in one sentence, leaves nothing behind, and costs little.

tests/unit/importers/test_hostile.py has the pickles; here are zips, folders, safetensors, torch's own files, and what they cost.
"""

import io
import json
import os
import pickle
import random
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save as safetensors_bytes

from studio.common.download import downloads_folder
from studio.errors import StudioError
from studio.models.acquire.add import add
from studio.models.library import Library
from tests.conftest import ROOT, save_tiny
from tests.unit.importers.lucidrains_layout import checkpoint as lucidrains
from tests.unit.importers.rosinality_layout import checkpoint as rosinality
from tests.unit.importers.test_hostile import Call

_FORBIDDEN = ("os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "subprocess.Popen", "socket.connect", "pickle.find_class")
_seen: list[str] | None = None  # None = nobody watches


def _audit(event, args):
    if _seen is not None and event.startswith(_FORBIDDEN):
        _seen.append(f"{event} {args!r:.200}")


sys.addaudithook(_audit)


@pytest.fixture
def refused(tmp_path, studio_home):
    """refused(bytes or path, text, name) -> the StudioError of adding it, which must contain the text; nothing else happened."""
    library = Library([tmp_path / "library"])

    def check(source, named="", name="thing.pt"):
        global _seen
        path = source if isinstance(source, Path) else tmp_path / name
        if not isinstance(source, Path):
            path.write_bytes(source)
        before = sorted(tmp_path.iterdir())
        _seen = []
        try:
            with pytest.raises(StudioError) as e:
                add(path, library)
        finally:
            happened, _seen = _seen, None
        assert not happened, happened
        assert named in str(e.value), str(e.value)
        assert e.value.message.endswith(".")
        assert e.value.hint
        assert str(e.value).isprintable()
        assert len(str(e.value)) < 800
        assert not library.roots[0].exists() or not list(library.roots[0].iterdir())
        assert list(downloads_folder().iterdir()) == []
        assert sorted(set(tmp_path.iterdir()) - {library.roots[0], studio_home}) == sorted(set(before) - {library.roots[0], studio_home})
        return e.value

    return check


def saved(content, **options) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


def repacked(data: bytes, changes: dict[str, bytes], compression=zipfile.ZIP_STORED) -> bytes:
    """A file of torch with some of its parts (by the end of their names) replaced."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", compression) as new:
        for entry in old.infolist():
            part = entry.filename.partition("/")[2]
            new.writestr(entry.filename, changes.get(part, old.read(entry)))
    return out.getvalue()


# -- torch's own files ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("name", ["net.pt", "net.pth", "net.bin", "net.ckpt", "net.safetensors", "net.pkl"])
def test_programs_in_torch_files(refused, tmp_path, legacy, name):
    target = tmp_path / "owned"
    options = dict(_use_new_zipfile_serialization=not legacy)
    for evil in (
        Call(os.system, f"mkdir {target}"),
        Call(eval, f"__import__('os').mkdir({str(target)!r})"),
        Call(torch.storage._load_from_bytes, pickle.dumps(Call(os.mkdir, str(target)))),
        Call(getattr, "", "upper"),
    ):
        for content in (evil, {"g_ema": evil}, {"GAN": {"S.net.0.weight": evil}}, {"w": torch.zeros(3), "args": evil}):
            refused(saved(content, **options), "more than weights", name)
    assert not target.exists()


def test_a_value_in_the_place_of_weights(refused):
    """What may stand beside weights, such as a path, is no weights."""
    refused(saved(Path("/")), "no weights", "net.pt")
    refused(saved({"g_ema": Path("/")}), "'g_ema', which is not a tensor", "net.pt")
    refused(saved({"GAN": {"S.net.0.weight": Path("/")}}), "which is not a tensor", "net.pt")


def test_a_program_in_the_numbers_of_a_tensor_is_just_numbers(refused, tmp_path):
    evil = pickle.dumps(Call(os.mkdir, str(tmp_path / "owned")))
    weights = saved({"w": torch.zeros(len(evil), dtype=torch.uint8)})
    refused(repacked(weights, {"data/0": evil}), "of an unknown kind")
    assert not (tmp_path / "owned").exists()


def test_options_beside_the_weights_are_names_with_values(refused):
    import argparse

    hidden = argparse.Namespace(a=Call(os.system, "true"))
    refused(saved({"w": torch.zeros(3), "args": argparse.Namespace(a=1)}), "holds 'args', which is not a tensor")
    refused(saved({"state_dict": {"w": torch.zeros(3)}, "args": argparse.Namespace(a=1)}), "of an unknown kind")
    refused(saved({"state_dict": {"w": torch.zeros(3)}, "args": hidden}), "more than weights")
    refused(saved({"state_dict": {"w": torch.zeros(3)}, "args": argparse.Action((), "a")}), "more than weights")


def test_zip_bombs_in_torch_files(refused):
    honest = saved({"w": torch.zeros(1 << 20)})
    refused(repacked(honest, {}, zipfile.ZIP_DEFLATED), "compressed parts")
    refused(shared_parts(saved({"w": torch.zeros(10_000)}), 300), "compressed parts")


def shared_parts(data: bytes, copies: int) -> bytes:
    """A zip whose list names its parts many times over, all of them the same bytes."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        start = archive.start_dir
    end = data.rindex(b"PK\x05\x06")
    directory, count = data[start:end], struct.unpack("<H", data[end + 10 : end + 12])[0]
    if b"PK\x06\x06" in directory:
        directory = directory[: directory.index(b"PK\x06\x06")]
    many = directory * copies
    return data[:start] + many + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, count * copies, count * copies, len(many), start, 0)


@pytest.mark.parametrize("cut", [0, 1, 4, 30, 200, 0.5, 0.99])
def test_cut_short(refused, tmp_path, cut):
    for data, name in (
        (saved(rosinality(channels=(8, 8), size=8)), "a.pt"),
        (saved(lucidrains(size=8)), "b.pt"),
        (saved(rosinality(channels=(8, 8), size=8), _use_new_zipfile_serialization=False), "c.pt"),
        (safetensors_bytes({"w": torch.zeros(300)}), "d.safetensors"),
        (folder_zip(tmp_path), "e.zip"),
    ):
        refused(data[: int(cut * len(data)) if isinstance(cut, float) else cut], "0 bytes" if cut == 0 else "", name)


@pytest.mark.parametrize("kind", ["rosinality", "lucidrains", "legacy", "safetensors", "zip"])
def test_changed_bytes(tmp_path, studio_home, kind):
    """Whatever a bad disk makes of a file: it is added, or it is a StudioError."""
    data = {
        "rosinality": lambda: saved(rosinality(channels=(4, 4), size=8)),
        "lucidrains": lambda: saved(lucidrains(size=8)),
        "legacy": lambda: saved(rosinality(channels=(4, 4), size=8), _use_new_zipfile_serialization=False),
        "safetensors": lambda: safetensors_bytes({"w": torch.zeros(300)}),
        "zip": lambda: folder_zip(tmp_path),
    }[kind]()
    chance, library, refusals = random.Random(0), Library([tmp_path / "library"]), 0
    for i in range(25):
        changed = bytearray(data)
        for _ in range(chance.choice((1, 3, 30))):
            # The heads and tails of files say more than their middles.
            where = chance.choice((chance.randrange(min(2000, len(data))), len(data) - 1 - chance.randrange(min(2000, len(data)))))
            changed[where] = chance.randrange(256)
        path = tmp_path / f"{kind}.{'zip' if kind == 'zip' else 'pt'}"
        path.write_bytes(changed)
        try:
            add(path, library, name=f"n{i}")
        except StudioError:
            refusals += 1
    assert refusals >= 5
    assert len(library.scan()[0]) == 25 - refusals
    assert not library.scan()[1]


# -- safetensors ---------------------------------------------------------------------------------------------------------------


def table(entries: dict | bytes | str, data: bytes = b"", length: int | None = None) -> bytes:
    text = entries if isinstance(entries, bytes) else (entries if isinstance(entries, str) else json.dumps(entries)).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(shape, begin, end, dtype="F32") -> dict:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


TABLES = {
    "head longer than the file": table({"w": entry([1], 0, 4)}, bytes(4), 1 << 26),
    "head of absurd length": table({"w": entry([1], 0, 4)}, bytes(4), 1 << 62),
    "offsets over each other": table({"a": entry([4], 0, 16), "b": entry([4], 8, 24)}, bytes(24)),
    "the same numbers twice": table({"a": entry([4], 0, 16), "b": entry([4], 0, 16)}, bytes(16)),
    "offsets backwards": table({"a": entry([1], 4, 0)}, bytes(4)),
    "offsets beyond": table({"a": entry([4], 0, 16)}, bytes(4)),
    "a hole": table({"a": entry([1], 8, 12)}, bytes(12)),
    "a giant shape": table({"a": entry([1 << 40], 0, 4)}, bytes(4)),
    "a shape that wraps around": table({"a": entry([1 << 32, 1 << 32], 0, 0)}),
    "a shape below nothing": table({"a": entry([-1], 0, 4)}, bytes(4)),
    "numbers of no kind": table({"a": entry([1], 0, 4, "F99")}, bytes(4)),
    "no table": table('{"a": 1}'),
    "a deep table": table('{"a":' + "[" * 100_000 + "]" * 100_000 + "}"),
    "no text": table(b'{"\xff\xfe": 1}'),
    "nothing in it": table({}),
    "very many": table({str(i): entry([0], 0, 0) for i in range(30_000)}),
}


@pytest.mark.parametrize("data", TABLES.values(), ids=TABLES.keys())
def test_tables_that_lie(refused, data):
    refused(data, name="net.safetensors")


# -- model folders in zips -----------------------------------------------------------------------------------------------------


def folder_zip(tmp_path, change=lambda archive: None, **files) -> bytes:
    """A zip of a small model folder, with more or other files in it."""
    folder = tmp_path / "made" / "tiny"
    if not folder.exists():
        save_tiny(folder.parent)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in ("config.json", "model.safetensors", "README.md"):
            archive.writestr(f"tiny/{name}", files.get(name, (folder / name).read_bytes()))
        change(archive)
    return buffer.getvalue()


def with_entry(name, data=b"x", mode=0, method=zipfile.ZIP_STORED):
    def change(archive):
        info = zipfile.ZipInfo(name)
        info.external_attr, info.compress_type = mode << 16, method
        archive.writestr(info, data)

    return change


def test_the_zip_is_taken_when_it_is_honest(tmp_path, studio_home):
    path = tmp_path / "a.zip"
    path.write_bytes(folder_zip(tmp_path, with_entry("tiny/notes.txt")))
    assert add(path, Library([tmp_path / "library"])).id == "tiny"


EVIL_ENTRIES = {
    "a way up": (with_entry("../evil.txt"), "leads outside"),
    "a way up within": (with_entry("tiny/../../evil.txt"), "leads outside"),
    "a way up by backslashes": (with_entry("..\\evil.txt"), "leads outside"),
    "from the root": (with_entry("/etc/evil.txt"), "leads outside"),
    "a drive": (with_entry("C:/evil.txt"), "leads outside"),
    "a link": (with_entry("tiny/thumbnail.webp", b"/etc/passwd", 0o120777), "a link"),
    "a device": (with_entry("tiny/plan.toml", b"", 0o020666), "not an ordinary file"),
    "another packing": (with_entry("tiny/plan.toml", b"x" * 1000, method=zipfile.ZIP_LZMA), "unusual way"),
    "thousands": (lambda archive: [archive.writestr(f"tiny/{i}", b"") for i in range(5_000)], "5,003 files"),
    "twice": (with_entry("tiny\\config.json", b"{}"), "twice"),
    "two models": (
        lambda archive: [archive.writestr(f"b/{name}", b"{}") for name in ("config.json", "model.safetensors")],
        "holds 2 models",
    ),
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(("change", "named"), EVIL_ENTRIES.values(), ids=EVIL_ENTRIES.keys())
def test_evil_entries(refused, tmp_path, change, named):
    data = folder_zip(tmp_path, change)
    refused(data, named, "model.zip")
    assert not (tmp_path.parent / "evil.txt").exists()


def test_a_locked_zip(refused, tmp_path):
    data = bytearray(folder_zip(tmp_path))
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = data.index(mark)
        data[place + at] |= 1
    refused(bytes(data), "password", "model.zip")


def test_a_zip_of_something_else(refused):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("net.pkl", b"x")
    refused(buffer.getvalue(), "without a model of this studio", "model.zip")
    refused(b"PK\x05\x06" + bytes(18), "without a model", "model.zip")
    refused(b"PK\x03\x04" + bytes(200), "damaged", "model.zip")


CONFIGS = {
    "large": (b'{"a": "' + b"x" * (2 << 20) + b'"}', "absurd size"),
    "deep": (b"[" * 100_000, "cannot be read"),
    "deep and closed": (b'{"format":1,"family":"stylegan2","config":{"a":' + b"[" * 90_000 + b"]" * 90_000 + b"}}", "cannot be read"),
    "a number of many digits": (b'{"format": ' + b"9" * 100_000 + b"}", "cannot be read"),
    "no table": (b"[]", "not a table"),
    "no text": (b"\xff\xfe\x00", "cannot be read"),
    "empty": (b"", "cannot be read"),
    "another family": (b'{"format": 1, "family": "../../etc", "config": {}}', "no family"),
    "a giant network": (
        b'{"format": 1, "family": "stylegan2", "config": {"resolution": 1024, "channel_base": 99999999999}}',
        "channel_base",
    ),
    "a deep network": (b'{"format": 1, "family": "stylegan2", "config": {"mapping_layers": 16000000}}', "mapping_layers"),
    "a network of other tensors": (b'{"format": 1, "family": "stylegan2", "config": {"resolution": 64}}', "do not belong together"),
    "not a number": (b'{"format": 1, "family": "stylegan2", "config": {"mapping_lr_multiplier": NaN}}', "mapping_lr_multiplier"),
    "half a character": (b'{"format": 1, "family": "stylegan2", "config": {}, "title": "\\ud800"}', "broken text"),
    "an endless title": (b'{"format": 1, "family": "stylegan2", "config": {}, "title": "' + b"x" * 5000 + b'"}', "absurd length"),
    "a title of no kind": (b'{"format": 1, "family": "stylegan2", "config": {}, "title": {"a": 1}}', "wrong kind"),
}


@pytest.mark.parametrize(("config", "named"), CONFIGS.values(), ids=CONFIGS.keys())
def test_configs_that_are_bombs(refused, tmp_path, config, named):
    refused(folder_zip(tmp_path, **{"config.json": config}), named, "model.zip")


def test_tables_that_lie_in_model_folders(refused, tmp_path):
    for name, data in TABLES.items():
        refused(folder_zip(tmp_path, **{"model.safetensors": data}), name=f"{name}.zip")
    for extra in ("discriminator.safetensors", "directions.safetensors"):
        refused(folder_zip(tmp_path, with_entry(f"tiny/{extra}", b"xx")), extra.partition(".")[0], "model.zip")


def test_folders_with_links_and_pipes(refused, tmp_path):
    folder = save_tiny(tmp_path / "elsewhere").path
    (folder / "thumbnail.webp").unlink()
    (folder / "thumbnail.webp").symlink_to("/etc/passwd")
    refused(folder, "a link")
    (folder / "thumbnail.webp").unlink()
    if hasattr(os, "mkfifo"):
        (folder / "README.md").unlink()
        os.mkfifo(folder / "README.md")  # opening it would wait forever
        refused(folder, "a link or not a file")
        (folder / "README.md").unlink()
    (folder / "model.safetensors").unlink()
    refused(folder, "lacks config.json or model.safetensors")


# -- something else --------------------------------------------------------------------------------------------------------------


OTHERS = {
    "gif": (b"GIF89a" + bytes(100), "is a GIF picture"),
    "png": (b"\x89PNG\r\n\x1a\n" + bytes(100), "is a PNG picture"),
    "jpeg": (b"\xff\xd8\xff\xe0" + bytes(100), "is a JPEG picture"),
    "page": (b"<!doctype html><title>Sign in</title>", "is a web page"),
    "pointer": (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
    "rar": (b"Rar!\x1a\x07" + bytes(100), "is a RAR archive"),
    "nothing": (b"", "0 bytes"),
    "zeros": (bytes(1000), "of an unknown kind"),
}


@pytest.mark.parametrize("name", ["x.pth", "x.pkl", "x.safetensors", "x.zip"])
@pytest.mark.parametrize(("data", "named"), OTHERS.values(), ids=OTHERS.keys())
def test_what_something_seems_to_be(refused, data, named, name):
    refused(data, named, name)


# -- what it costs -----------------------------------------------------------------------------------------------------------------

_LIMITED = """
import json, resource, sys
from pathlib import Path
import torch
from studio.errors import StudioError
from studio.models import importers
from studio.models.acquire import add as adding
from studio.models.importers import biggan, cyclegan, lucidrains, ncnn, nvidia, rosinality, torch_weights, upscalers
from studio.models.library import Library

torch.set_num_threads(1)
files, library = sys.argv[1:], Library([Path("library")])
used = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmSize")) * 1024
resource.setrlimit(resource.RLIMIT_AS, (used + (320 << 20),) * 2)
resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
told = {}
for file in files:
    try:
        told[Path(file).name] = adding.add(Path(file), library).id
    except StudioError as e:
        told[Path(file).name] = str(e)
print(json.dumps(told))
"""


def bomb_zip(tmp_path, megabytes: int) -> bytes:
    """A zip of a model folder whose discriminator is zeros without an end."""
    buffer = io.BytesIO()
    folder_zip(tmp_path)
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name in ("config.json", "model.safetensors"):
            archive.writestr(f"tiny/{name}", (tmp_path / "made" / "tiny" / name).read_bytes())
        with archive.open("tiny/discriminator.safetensors", "w") as f:
            for _ in range(megabytes):
                f.write(bytes(1 << 20))
    return buffer.getvalue()


def claiming(data: bytes, size: int) -> bytes:
    """A zip whose list says that the last part unpacks to less."""
    at = data.rindex(b"PK\x01\x02")
    return data[: at + 24] + struct.pack("<L", size) + data[at + 28 :]


def legacy_claim(count: int) -> bytes:
    """Torch's older format with a storage that claims more numbers than the file has."""
    data = saved({"w": torch.zeros(4)}, _use_new_zipfile_serialization=False)
    assert data.count(b"K\x04N") == 1
    return data.replace(b"K\x04N", b"\x8a\x06" + struct.pack("<Q", count)[:6] + b"N")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of memory are Linux's here")
def test_little_memory_and_time(tmp_path, studio_home):
    """All of them in one process of its own, which may take 320 MB beyond the libraries, and a minute."""
    honest = saved({"G.blocks.0.to_style1.weight": torch.zeros(1), "S.net.0.weight": torch.zeros(4)})
    with zipfile.ZipFile(io.BytesIO(honest)) as archive:
        pickled = archive.read("archive/data.pkl")
    assert pickled.count(b"K\x04") == 2  # the numbers in the storage, and in the tensor
    bomb = bomb_zip(tmp_path, 150)
    noiseless = rosinality(channels=(1,) * 10, size=2048)["g_ema"]
    many = "{" + ",".join(f'"{i:06d}":{{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}' for i in range(60_000)) + "}"
    layers = {
        f"SE.net.{2 * i}.{part}": torch.zeros(16, 16)[: 16 if part == "weight" else 1] for i in range(3, 400) for part in ("weight", "bias")
    }
    deep = lucidrains(size=8)["GAN"] | {k: v.clone() if k.endswith("weight") else v[0].clone() for k, v in layers.items()}
    files = {
        "bomb.zip": (bomb, "a bomb"),
        "lies.zip": (claiming(bomb, 1000), "damaged"),
        "claim.pt": (repacked(honest, {"data.pkl": pickled.replace(b"K\x04", b"\x8a\x05\x00\x00\x00\x00\x40", 1)}), ""),
        "claims.pt": (repacked(honest, {"data.pkl": pickled.replace(b"K\x04", b"\x8a\x05\x00\x00\x00\x00\x40")}), "larger than the file"),
        "legacy.pt": (legacy_claim(1 << 38), "larger than the file"),
        "giant.pt": (saved({"w": torch.zeros(1).expand(1 << 40)}), "larger than the file"),
        "deep.pt": (saved({"GAN": deep}), "mapping_layers"),
        "noiseless.pt": (saved({"g_ema": {k: v for k, v in noiseless.items() if not k.startswith("noises")}}), None),
        "many.safetensors": (table(many), "60,000 tensors"),
        "table.safetensors": (table(b'{"' + b"x" * (40 << 20)), "damaged"),
        "nest.safetensors": (table(b'{"a":' + b"[" * (8 << 20)), "damaged"),
        "parts.pt": (honest[:-22] + (b"PK\x01\x02" + bytes(42)) * 200_000 + eocd(200_000 * 46, len(honest) - 22), "absurdly long"),
        "parts.zip": (b"PK\x03\x04" + bytes(40) + bytes(9 << 20) + eocd(9 << 20, 44), "absurdly long"),
        "text.pkl": (b"\x80\x04\x8d" + struct.pack("<Q", 1 << 40) + b"x" * 1000, "damaged"),
    }
    for name, (data, _) in files.items():
        (tmp_path / name).write_bytes(data)
    command = [sys.executable, "-c", _LIMITED, *(str(tmp_path / name) for name in files)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MALLOC_ARENA_MAX": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout.splitlines()[-1])
    for name, (_, named) in files.items():
        if named is None:  # large and honest; only its picture does not fit
            assert told[name] == "noiseless"
        else:
            assert named in told[name], (name, told[name])
            assert "memory" not in told[name], (name, told[name])
    assert os.listdir(tmp_path / "library") == ["noiseless"]


def eocd(length: int, start: int) -> bytes:
    """The end of a zip whose list of parts has that length and begins there."""
    return struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, length, start, 0)
