"""Every benchmark in turn: `python -m tests.benchmarks [--brief] [--only NAME ...]`.

Each runs in a process of its own and prints its table; sizes are moderate, so that all of them take some minutes on two cores (the
files beside this one take larger ones). --brief runs each for a second or a few: it shows that they work, not how fast anything is.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

import studio

# Name -> (arguments, arguments of --brief). {pictures}: a folder of pictures in classes, {a} and {b}: pairs, {out}: a new folder.
BENCHMARKS: dict[str, tuple[str, str]] = {
    "engine": ("", "--seconds 0.02 --shipped-only"),
    "translate": ("--small", "--small --seconds 0.02 --sides 64"),
    "upscale": ("--sides 256 512", "--sides 64 --convs 2 --width 8"),
    "any_size": ("--size 1024 768 --steps 60", "--size 256 192 --steps 1 --ngf 2"),
    "live": ("", "--seconds 0.4"),
    "live_visitors": ("", "--visitors 2 --seconds 0.3"),
    "gallery": ("--pictures 1000", "--pictures 80 --no-browser"),
    "flood": ("", "--renders 2 --waiting 9"),
    "pairs": ("{a} {b} ink-colour", "{a} {b} ink-colour"),
    "class_accuracy": ("{pictures} lpc-kinds", "{pictures} lpc-kinds --per-class 8"),
    "families": (
        "{pictures} {out} --kimg 0.5 --metric-images 200 --methods dcgan stylegan2",
        "{pictures} {out} --kimg 0.032 --metric-images 8 --methods dcgan",
    ),
    "few_pictures": (
        "{pictures} lpc-characters {out} --minutes 0.3 --metric-images 100",
        "{pictures} lpc-characters {out} --minutes 0.001 --metric-images 8",
    ),
}


def draw_pictures(folder: Path, per_class: int) -> None:
    """Pictures in classes, and pairs in colour and grey, drawn by the models that come along."""
    model = studio.load("lpc-kinds", device="cpu")
    for index, name in enumerate(model.classes):
        for i, picture in enumerate(model.sample(range(per_class), classes=index, truncation_psi=0.7)):
            image = Image.fromarray(np.ascontiguousarray(picture))
            pair = f"{index}-{i:03d}.png"
            for path, shown in (
                (f"pictures/{name}/{i:03d}.png", image),
                (f"b/{pair}", image),
                (f"a/{pair}", image.convert("L").convert("RGB")),
            ):
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                shown.save(folder / path)


def command(name: str, brief: bool, folder: Path) -> list[str]:
    """The command of a benchmark over the pictures in a folder."""
    places = {"pictures": folder / "pictures", "a": folder / "a", "b": folder / "b", "out": folder / f"out-{name}"}
    return [sys.executable, "-m", f"tests.benchmarks.{name}", *BENCHMARKS[name][brief].format(**places).split()]


def run(names: Sequence[str], brief: bool) -> int:
    """Run them. Returns how many failed."""
    failed = 0
    with tempfile.TemporaryDirectory(prefix="studio-benchmarks-") as scratch:
        folder = Path(scratch)
        if any("{" in BENCHMARKS[name][brief] for name in names):
            draw_pictures(folder, 8 if brief else 60)
        for name in names:
            print(f"\n== {name}", flush=True)
            done = subprocess.run(command(name, brief, folder), check=False)
            failed += done.returncode != 0
    return failed


def main() -> int:
    """Returns 1 when one failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description="Every benchmark in turn.")
    parser.add_argument("--brief", action="store_true", help="each for a second or a few")
    parser.add_argument("--only", nargs="+", choices=BENCHMARKS, default=list(BENCHMARKS), metavar="NAME", help="these alone")
    args = parser.parse_args()
    failed = run(args.only, args.brief)
    if failed:
        print(f"\n{failed} of the benchmarks failed.", file=sys.stderr)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
