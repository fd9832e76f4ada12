"""The command line, in this process where that is enough, as a real command where it matters."""

import os
import re
import signal
import socket
import subprocess
import sys

import httpx
import numpy as np
import pytest
from PIL import Image

from studio.cli.main import main
from studio.engine.engine import Engine
from studio.engine.recipe import ClassWeight, Recipe, SeedWeight
from studio.imaging.xmp import DigitalSourceType, stated_source_type
from studio.models.library import default_library
from studio.provenance.metadata import read_packet, read_recipe
from tests.conftest import GOLDEN, ROOT, save_tiny


@pytest.fixture
def home(studio_home, tmp_path, monkeypatch):
    """A home with two models; the working directory is empty."""
    save_tiny(studio_home / "models", "anna")
    save_tiny(studio_home / "models", "clara", seed=2, c_dim=3)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return studio_home


def run(*words) -> int:
    return main([*words, "--device", "cpu"] if words[0] not in ("models", "import") else list(words))


def test_help_of_every_verb(capsys):
    for verb in ([], ["render"], ["seeds"], ["mix"], ["translate"], ["upscale"], ["import"], ["models"], ["train"], ["dataset"], ["marks"]):
        with pytest.raises(SystemExit) as e:
            main([*verb, "--help"])
        assert e.value.code == 0
        assert "example" in capsys.readouterr().out


def test_models(home, capsys):
    (home / "models" / "broken").mkdir()
    assert main(["models"]) == 0
    out, err = capsys.readouterr()
    assert re.search(r"anna\s+StyleGAN2\s+32 px\s+no classes", out)
    assert re.search(r"clara.*3 classes", out)
    assert "broken" in err
    assert "config.json" in err


def test_seeds_render_and_mix(home, capsys):
    assert run("seeds", "1-3,7", "--model", "clara", "--class", "kind 2", "--psi", "0.5", "--outdir", "out", "--sheet", "sheet.png") == 0
    assert sorted(os.listdir("out")) == ["seed0001.png", "seed0002.png", "seed0003.png", "seed0007.png"]
    recipe = read_recipe("out/seed0007.png")
    assert recipe.replace(model_hash="") == Recipe(model="clara", seeds=(SeedWeight(7),), psi=0.5, classes=(ClassWeight(2),))
    with Engine(default_library(), device="cpu") as engine:
        assert np.array_equal(engine.render(recipe), np.asarray(Image.open("out/seed0007.png")))
    assert run("render", "out/seed0007.png", "-o", "again.webp") == 0
    assert np.array_equal(np.asarray(Image.open("again.webp")), np.asarray(Image.open("out/seed0007.png")))
    with open("recipe.json", "w") as f:
        f.write(recipe.to_json())
    assert run("render", "recipe.json", "-o", "third.png") == 0
    assert np.array_equal(np.asarray(Image.open("third.png")), np.asarray(Image.open("again.webp")))
    assert run("mix", "--rows", "1,2", "--cols", "3-5", "--layers", "0-3", "-o", "mix.png") == 0
    assert Image.open("mix.png").size[0] > 3 * 32
    for sheet in ("sheet.png", "mix.png"):
        assert stated_source_type(read_packet(sheet)) == DigitalSourceType.GENERATED.value, "a sheet of pictures by AI is one itself"


@pytest.mark.parametrize(
    "words",
    [
        ("render", "missing.json"),
        ("render", "recipe.json"),
        ("render", "plain.png"),
        ("seeds", "x"),
        ("seeds", "1", "--model", "annna"),
        ("seeds", "1", "--class", "what", "--model", "clara"),
        ("seeds", "1", "--psi", "nan"),
        ("mix", "--rows", "1", "--cols", "2", "--layers", "90"),
        ("import", "plain.png"),
        ("import", "missing.pkl"),
        ("train", "missing.toml", "--out", "run"),
        ("seeds", "1", "--out", "x.bmp"),
    ],
)
def test_mistakes_are_told_in_a_sentence(home, words, capsys):
    Image.new("RGB", (4, 4)).save("plain.png")
    with open("recipe.json", "w") as f:
        f.write("{}")
    if "--out" in words and words[0] == "seeds":
        words = ("render", "good.json", "-o", "x.bmp")
        with open("good.json", "w") as f:
            f.write('{"model": "anna"}')
    assert run(*words) == 2
    err = capsys.readouterr().err
    assert err.startswith("studio: ")
    assert "Traceback" not in err
    assert err.count("\n") == 1


def test_an_unexpected_failure_goes_to_the_log(home, capsys, monkeypatch):
    monkeypatch.setattr("studio.models.library.Library.scan", lambda self: 1 / 0)
    assert main(["models"]) == 1
    assert "studio.log" in capsys.readouterr().err
    assert "ZeroDivisionError" in (home / "studio.log").read_text()


def test_import_takes_a_checkpoint_into_the_library(home, capsys):
    assert main(["import", str(GOLDEN / "stylegan2-ada-cond5-32" / "network-full.pkl"), "--name", "five"]) == 0
    info = default_library().get("five")
    assert info.thumbnail
    assert info.resolution == 32
    assert len(info.classes) == 5
    assert (info.path / "discriminator.safetensors").exists()
    assert main(["import", str(GOLDEN / "stylegan2-ada-cond5-32" / "network-full.pkl"), "--name", "five"]) == 0
    assert default_library().get("five-2")


def test_import_from_the_web_and_from_the_hub(home, capsys, monkeypatch):
    import hashlib

    from tests.hub_files import Page, Repo, hub_server
    from tests.unit.importers.nvidia_pickler import network_pickle

    data = network_pickle(resolution=8, channel_base=32)[2]
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(home / "no-login"))
    monkeypatch.setenv("HF_TOKEN", "hf_annasOwn")
    with hub_server() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        hub.pages["/cats.pkl"] = Page(data)
        hub.repos["anna/dogs"] = Repo({"net.pkl": data}, revisions=("v2",), private="hf_annasOwn")
        assert main(["import", f"{hub.url}/cats.pkl", "--sha256", hashlib.sha256(data).hexdigest()]) == 0
        out, err = capsys.readouterr()
        assert "Imported as 'cats'" in out
        assert "Downloading" in err
        assert "100%" in err
        assert err.endswith(" \r")
        assert main(["import", "anna/dogs", "--revision", "v2", "--name", "hounds"]) == 0
        assert "Imported as 'hounds'" in capsys.readouterr().out
        assert main(["import", f"{hub.url}/cats.pkl", "--sha256", "0" * 64]) == 2
        assert main(["import", "anna/absent"]) == 2
        assert capsys.readouterr().err.count("studio: ") == 2
    assert main(["import", str(home / "models" / "anna"), "--name", "copy"]) == 0
    assert "Imported as 'copy'" in capsys.readouterr().out


def test_train_stops_cleanly_and_goes_on(home, pictures, tmp_path):
    from tests.component.training.test_trainer import tiny_plan

    (tmp_path / "plan.toml").write_text(tiny_plan(pictures).to_toml())
    command = [sys.executable, "-m", "studio", "train", str(tmp_path / "plan.toml"), "--out", str(tmp_path / "run"), "--device", "cpu"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "kimg" in line and not any("Stopping" in one for one in lines) and len(lines) == 4:
            process.send_signal(2)
    assert process.wait() == 0
    assert "Stopped" in lines[-1]
    assert (tmp_path / "run" / "state.pt").exists()
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0
    assert "Done" in done.stdout
    assert "left" in done.stdout


def test_training_an_upscaler_tells_how_near_it_comes(home, tmp_path, capsys):
    from tests.component.training.test_super_resolution import plan_for

    for i in range(4):
        noise = np.random.default_rng(i).integers(0, 255, (40, 40, 3), dtype=np.uint8)
        (tmp_path / "art").mkdir(exist_ok=True)
        Image.fromarray(noise).save(tmp_path / "art" / f"{i}.png")
    (tmp_path / "plan.toml").write_text(plan_for(tmp_path / "art", 2).to_toml())
    assert run("train", str(tmp_path / "plan.toml"), "--out", str(tmp_path / "run")) == 0
    assert re.search(r"snapshot \S+  PSNR \d+\.\d\d dB \(bicubic \d+\.\d\d\)  SSIM 0\.\d{4}", capsys.readouterr().out)


def test_the_command_opens_a_studio_that_answers(home):
    """The real command, as a visitor meets it."""
    import urllib.request

    command = [sys.executable, "-m", "studio", "--no-browser", "--device", "cpu", "--auth", "ada:secret"]
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PYTHONUNBUFFERED": "1"}, stdout=subprocess.PIPE, text=True)
    try:
        url = next(re.search(r"http://\S+", line)[0] for line in process.stdout if "is open at" in line)
        with urllib.request.urlopen(url) as page:
            assert page.status == 200
            assert "auth_required" in page.read().decode()
    finally:
        process.terminate()
        process.wait(timeout=60)


def test_a_closed_pipe_is_no_fault(home):
    """As in `studio models | head -1`: the reader leaves before all is written."""
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([sys.executable, "-m", "studio", "models"], stdout=write, stderr=subprocess.PIPE, cwd=ROOT, timeout=120)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_port_that_is_taken_is_said(home, capsys):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        assert main(["--no-browser", "--no-train", "--tabs", "explore", "--port", port]) == 2
    assert f"Port {port} is taken" in capsys.readouterr().err


def test_a_name_that_is_given_is_used_everywhere(home, tmp_path, capsys):
    """In messages, on the card and in a Space; of a checkpoint as of a model folder, which has a title of its own."""
    for source in (GOLDEN / "stylegan2-ada-cond5-32" / "network-full.pkl", home / "models" / "anna"):
        assert main(["import", str(source), "--name", "Tigers"]) == 0
        id = re.search("Imported as '([^']+)'", capsys.readouterr().out)[1]
        info = default_library().get(id)
        assert info.title == "Tigers"
        card = (info.path / "README.md").read_text()
        assert "# Tigers\n" in card
        assert 'model_name: "Tigers"' in card
        assert main(["share", id, "anna/tigers", "--public", "--licence", "MIT"]) == 2
        assert "'Tigers' cannot be made public" in capsys.readouterr().err
        assert main(["space", id, "-o", str(tmp_path / id), "--licence", "MIT"]) == 0
        assert "# Tigers\n" in (tmp_path / id / "README.md").read_text()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_files_of_visitors_go_as_soon_as_the_studio_is_asked_to_end(home, name):
    words = ["--no-browser", "--device", "cpu", "--visitors", "--tabs", "explore", "--models", "anna"]
    # The tests may run where it is ignored (nohup), which a child would inherit.
    before = signal.signal(getattr(signal, name), signal.SIG_DFL)
    process = subprocess.Popen(
        [sys.executable, "-m", "studio", *words], cwd=ROOT, env={**os.environ, "PYTHONUNBUFFERED": "1"}, stdout=subprocess.PIPE, text=True
    )
    signal.signal(getattr(signal, name), before)
    try:
        url = next(re.search(r"http://\S+", line)[0] for line in process.stdout if "is open at" in line).rstrip("/")
        with httpx.Client(base_url=url) as visitor:
            visitor.get("/")
            visitor.post("/gradio_api/upload", files={"files": ("mine.png", b"private")}).raise_for_status()
        visitors = home / "visitors"
        assert [path.read_bytes() for path in visitors.rglob("mine.png")] == [b"private"]
        process.send_signal(getattr(signal, name))
        assert process.wait(timeout=60) == 0
        assert [path.name for path in visitors.iterdir() if path.name != ".lock"] == []
    finally:
        process.kill()
        process.wait(timeout=60)
