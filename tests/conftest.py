"""What several tests share."""

import atexit
import dataclasses
import os
import shutil
import tempfile
from pathlib import Path

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
# In workers and commands too: threads cost tiny networks more than they give, and sums are rounded alike only with as many everywhere.
os.environ["OMP_NUM_THREADS"] = "1"
import numpy as np
import pytest
import torch
from PIL import Image

from studio.engine.engine import Engine
from studio.engine.recipe import Recipe, pack_latent
from studio.models.folder import save_folder
from studio.models.library import Library
from studio.networks.generative import dcgan
from studio.networks.generative.stylegan2 import Discriminator, Generator, StyleGAN2Config

ROOT = Path(__file__).resolve().parent.parent

# No test reads or writes the home of whoever runs it, however it reaches for one.
os.environ["STUDIO_HOME"] = tempfile.mkdtemp(prefix="gan-studio-tests-")
atexit.register(shutil.rmtree, os.environ["STUDIO_HOME"], ignore_errors=True)
_USUAL_HOME = Path.home() / "gan-studio"
_HAD_HOME = _USUAL_HOME.exists()


GOLDEN = ROOT / "tests" / "golden"  # reference checkpoints of other code bases, with their outputs


def pytest_collection_modifyitems(items):
    """Unit tests come first, browser tests last: what is quick says first what is wrong, and Playwright leaves an event loop running in
    its thread, in which `asyncio.run` of a later test would refuse to work.
    """
    rooms = ["unit", "component", "browser"]
    items.sort(key=lambda item: max((rooms.index(part) for part in item.path.relative_to(ROOT).parts if part in rooms), default=0))


def pytest_sessionfinish(session):
    """The tests as a whole fail when they have made a home for whoever runs them."""
    if not _HAD_HOME and _USUAL_HOME.exists() and not hasattr(session.config, "workerinput"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        print(f"\nThe tests have made {_USUAL_HOME} with {sorted(path.name for path in _USUAL_HOME.iterdir())}.")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of image sets that lies beside the repository, when there is one."""
    path = ROOT.parent / "shared"
    if not path.is_dir():
        pytest.skip("the folder shared/ is not beside the repository")
    return path


@pytest.fixture
def studio_home(tmp_path, monkeypatch) -> Path:
    """A home of the test's own."""
    home = tmp_path / "home"
    monkeypatch.setenv("STUDIO_HOME", str(home))
    return home


def tiny_config(**changes) -> StyleGAN2Config:
    """A StyleGAN2 that renders in a millisecond or two."""
    return StyleGAN2Config(**{**dict(resolution=32, z_dim=16, w_dim=16, channel_base=512, channel_max=32, mapping_layers=2), **changes})


def tiny_generator(seed: int = 0, **changes) -> Generator:
    """With random weights, and with noise and mean of w that matter."""
    torch.manual_seed(seed)
    network = Generator(tiny_config(**changes)).eval()
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if name.endswith(("noise_strength", "w_avg", ".bias")):
                tensor.add_(torch.randn(tensor.shape) * 0.2)
    return network.requires_grad_(False)


def save_tiny(folder: Path, name: str = "tiny", seed: int = 0, **changes):
    """A model folder with random weights."""
    network = tiny_generator(seed, **changes)
    torch.manual_seed(seed)
    return save_folder(
        folder / name,
        "stylegan2",
        dataclasses.asdict(network.config),
        network.state_dict(),
        title=f"Tiny {name}",
        classes=tuple(f"kind {i}" for i in range(network.c_dim)),
        thumbnail=Image.new("RGB", (64, 64), (200, 90, 40)),
        discriminator=Discriminator(network.config).state_dict(),
        dtype="float32",
    )


def save_one_row(folder: Path):
    """A folder with the DCGAN 'one-row', whose w+ has one row, with random weights."""
    torch.manual_seed(0)
    network = dcgan.Generator(dcgan.DCGANConfig(resolution=32, z_dim=16, ngf=8, channel_max=16)).eval()
    config, thumbnail = dataclasses.asdict(network.config), Image.new("RGB", (64, 64))
    return save_folder(folder / "one-row", "dcgan", config, network.state_dict(), title="One row", thumbnail=thumbnail, dtype="float32")


@pytest.fixture
def models(tmp_path) -> Path:
    """A folder with two models: 'tiny' and, with three classes, 'tiny-classes'."""
    folder = tmp_path / "models"
    save_tiny(folder)
    save_tiny(folder, "tiny-classes", seed=1, c_dim=3)
    return folder


@pytest.fixture
def engine(models):
    """An engine on the CPU over the two models."""
    with Engine(Library([models]), device="cpu") as e:
        yield e


@pytest.fixture
def pictures(tmp_path) -> Path:
    """A folder of 24 small pictures in two classes: discs and squares of random colour."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "pictures"
    yy, xx = np.mgrid[:16, :16]
    for i in range(24):
        kind = "disc" if i % 2 else "square"
        mask = (yy - 8) ** 2 + (xx - 8) ** 2 < 36 if i % 2 else (abs(yy - 8) < 5) & (abs(xx - 8) < 5)
        image = np.where(mask[..., None], rng.integers(0, 255, 3), 240).astype(np.uint8)
        (folder / kind).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / kind / f"{i:03d}.png")
    return folder


def with_latent(engine: Engine, recipe: Recipe) -> Recipe:
    """The same picture with its w+ written out: seeds, mixes, truncation and edits all become `latent`."""
    kept = {name: getattr(recipe, name) for name in ("model", "model_hash", "seeds", "noise", "transform")}
    return Recipe(latent=pack_latent(engine.ws(recipe).numpy()), **kept)
