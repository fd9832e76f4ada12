"""How fast the engine is: `python -m tests.benchmarks.engine [--big] [--device cpu] [--seconds 1.5]`.

Prints, for the models of the library and for random networks of usual sizes, milliseconds a picture in batches, what
an edit of the fine layers costs with the layers below cached (cached/full), and how long a fresh process takes to its
first picture.
"""

import argparse
import dataclasses
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from studio.engine.engine import Engine
from studio.engine.recipe import Edit, Recipe, SeedWeight
from studio.latents.layer_ranges import layer_ranges
from studio.models.folder import save_folder
from studio.models.library import Library, default_library
from studio.networks import Task
from studio.networks.generative.stylegan2 import Generator, StyleGAN2Config

BATCHES = (1, 4, 16)
_LONGEST = 5000  # ms; a batch that would take longer is left out
_FIRST = """
import time
import studio
engine = studio.Engine(device={device!r})
found = next(m for m in engine.library.scan()[0] if m.task == "generate")
engine.render(studio.Recipe(model=found.id))
print(f"FIRST {{time.time():.3f}}")
engine.close()
"""


def save_random(folder: Path, resolution: int, channel_base: int, channel_max: int) -> None:
    """A model folder with untrained weights; the time does not depend on what they are."""
    torch.manual_seed(0)
    config = StyleGAN2Config(resolution=resolution, channel_base=channel_base, channel_max=channel_max)
    name = f"random-{resolution}-{channel_max}"
    save_folder(folder / name, "stylegan2", dataclasses.asdict(config), Generator(config).state_dict(), title=name)


_seconds = 1.5  # that one measurement may take


def milliseconds(run, seconds: float | None = None, most: int = 30) -> float:
    """The quickest of several runs, after one that warms up: what else the machine does only ever adds."""
    run()
    seconds = _seconds if seconds is None else seconds
    times: list[float] = []
    while len(times) < 3 or (sum(times) < seconds and len(times) < most):
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    return min(times) * 1000


def measure(engine: Engine, id: str) -> None:
    """Print the lines of one model."""
    model = engine.model(id)
    seeds = iter(range(10_000_000))

    def fresh(count: int) -> list[Recipe]:
        return [Recipe(model=id, seeds=(SeedWeight(next(seeds)),)) for _ in range(count)]

    full = milliseconds(lambda: engine.render(fresh(1)[0]))
    base = Recipe(model=id, seeds=(SeedWeight(1),))
    engine.submit("benchmark", base).result()
    strengths = iter(np.linspace(-3, 3, 100_000))

    def edit(layers: tuple[int, int]) -> float:
        def run():
            step = Edit("random:0:0", float(next(strengths)), layers)
            engine.submit("benchmark", base.replace(edits=(step,))).result()

        return milliseconds(run)

    ratios = {name: edit(layers) / full for name, layers in layer_ranges(model.num_ws).items()}
    last = edit((model.num_ws - 1, model.num_ws)) / full
    for batch in BATCHES:
        if batch > 1 and full * batch > _LONGEST:
            continue
        ms = full if batch == 1 else milliseconds(lambda batch=batch: engine.render_many(fresh(batch))) / batch
        ratio = f"{ratios['fine']:>13.2f}" if batch == 1 else ""
        print(f"{id:<24}{model.resolution:>5}{batch:>7}{ms:>10.1f}{1000 / ms:>10.1f}{ratio}", flush=True)
    parts = ", ".join(f"{name} {ratio:.2f}" for name, ratio in ratios.items())
    print(f"{'':<24} edits with cached layers, of a full picture: {parts}, last layer {last:.2f}", flush=True)


def first_picture(device: str | None, home: Path | None) -> float | None:
    """Seconds from the start of a fresh process to its first picture; None when it made none."""
    env = {**os.environ, **({"STUDIO_HOME": str(home)} if home else {})}
    began = time.time()
    done = subprocess.run([sys.executable, "-c", _FIRST.format(device=device)], env=env, capture_output=True, text=True, check=False)
    for line in done.stdout.splitlines():
        if line.startswith("FIRST"):
            return float(line.split()[1]) - began
    print(done.stderr[-2000:], file=sys.stderr)
    return None


def main() -> None:
    """Measure, print."""
    global _seconds
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--big", action="store_true", help="also 512 px")
    parser.add_argument("--device", help="cpu, cuda, ... (default: the best there is)")
    parser.add_argument("--seconds", type=float, default=_seconds, help="that one measurement may take (default: 1.5)")
    parser.add_argument("--shipped-only", action="store_true", help="leave the random networks out")
    parser.add_argument("--precision", choices=["fp32", "bf16", "fp16"], help="default: by the device")
    args = parser.parse_args()
    _seconds = args.seconds
    sizes = ((64, 2048, 128), (64, 32768, 512), (256, 16384, 512), *([(512, 32768, 512)] if args.big else []))
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "models"
        for size in () if args.shipped_only else sizes:
            save_random(root, *size)
        have = default_library()
        library = Library([*have.roots, root])
        with Engine(library, args.device, args.precision) as engine:
            status = engine.status()
            print(f"device {status['device']}, {status['precision']}, torch {torch.__version__}, {torch.get_num_threads()} threads\n")
            print(f"{'model':<24}{'size':>5}{'batch':>7}{'ms':>10}{'images/s':>10}{'cached/full':>13}")
            for info in library.scan()[0]:
                if info.task is Task.GENERATE:  # translators and upscalers have benchmarks of their own
                    measure(engine, info.id)
        home = None if have.scan()[0] else Path(folder)
        seconds = first_picture(args.device, home)
    print(f"\nfrom the start of the process to the first picture: {'failed' if seconds is None else f'{seconds:.1f} s'}")


if __name__ == "__main__":
    main()
