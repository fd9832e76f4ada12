"""What it costs to make pictures larger: `python -m tests.benchmarks.upscale [--device cpu] [--sides 256 512 1024] [--convs 16]`.

A compact network (x4, random weights) enlarges square pictures of several sizes on the Upscale tab's path, each in a fresh
process: the file opened, drawn tile by tile, kept on disk, both views for the page and the window at 100 %. Prints seconds, tiles
a second, how much longer that took than the network alone on the same tiles, the seconds of saving the result as a PNG, and the
peak of memory of both above that of a process that has loaded everything; the last column is what the result would take in
memory. At last, one tile of the large network (Real-ESRGAN's).
"""

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from studio.engine.engine import Engine
from studio.engine.image_recipe import ImageRecipe
from studio.models.folder import save_folder
from studio.models.library import Library
from studio.networks import get_family
from studio.outputs.upscaled_picture import UpscaledPicture, open_upscale_source, upscale_to_disk
from studio.ui.components.compare import VIEW, compare_html
from tests.benchmarks.any_size import peak
from tests.benchmarks.engine import milliseconds

_RECIPE = ImageRecipe("compact", verb="upscale")


def run(folder: Path, side: int, device: str | None) -> None:
    """In a process of its own: enlarge, and tell what it cost."""
    small = np.random.default_rng(0).integers(0, 256, (side // 8, side // 8, 3), dtype=np.uint8)
    Image.fromarray(small).resize((side, side), Image.BICUBIC).save(folder / "source.png")
    Image.new("RGB", (32, 32)).save(folder / "tiny.png")
    spent: list[float] = []
    with Engine(Library([folder / "m"]), device) as engine:
        _as_in_the_tab(engine, folder / "tiny.png").save(folder / "out.png")
        network = engine.model("compact").network
        forward = network.forward

        def timed(x: torch.Tensor) -> torch.Tensor:
            began = time.perf_counter()
            y = forward(x)
            if x.is_cuda:
                torch.cuda.synchronize()
            spent.append(time.perf_counter() - began)
            return y

        network.forward = timed
        before, began = peak(), time.perf_counter()
        result = _as_in_the_tab(engine, folder / "source.png")
        shown = time.perf_counter()
        result.save(folder / "out.png")
        saved = time.perf_counter() - shown
    told = {"seconds": shown - began, "network": sum(spent), "tiles": len(spent), "saved": saved, "mb": peak() - before}
    print(json.dumps(told))


def _as_in_the_tab(engine: Engine, path: Path) -> UpscaledPicture:
    result = upscale_to_disk(engine, _RECIPE, open_upscale_source(path))
    compare_html(*result.views(VIEW), "benchmark")
    result.window(0.5, 0.5, 480, 300)
    return result


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", help="cpu, cuda, ... (default: the best there is)")
    parser.add_argument("--sides", type=int, nargs="+", default=[256, 512, 1024, 2048])
    parser.add_argument("--convs", type=int, default=16, help="layers of the compact network")
    parser.add_argument("--width", type=int, default=64, help="channels of it")
    parser.add_argument("--large", action="store_true", help="also a tile of the large network, minutes on a CPU")
    parser.add_argument("--run", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.run:
        return run(Path(args.run[0]), int(args.run[1]), args.device)
    with tempfile.TemporaryDirectory() as folder:
        family = get_family("srvgg")
        config = family.config(convs=args.convs, width=args.width)
        torch.manual_seed(0)
        state = family.generator(config).state_dict()
        save_folder(Path(folder) / "m" / "compact", "srvgg", dataclasses.asdict(config), state, title="compact")
        print(f"srvgg x4, {args.convs} layers of {args.width}, torch {torch.__version__}, {torch.get_num_threads()} threads")
        print(f"{'source':>12}{'result':>10}{'seconds':>9}{'tiles/s':>9}{'over the network':>18}{'PNG':>8}{'peak':>9}{'the result':>12}")
        for side in args.sides:
            command = [sys.executable, "-m", "tests.benchmarks.upscale", "--run", folder, str(side)]
            command += ["--device", args.device] if args.device else []
            done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "STUDIO_HOME": folder})
            told = json.loads(done.stdout.splitlines()[-1])
            over = (told["seconds"] / told["network"] - 1) * 100
            print(
                f"{f'{side} x {side}':>12}{16 * side**2 / 1e6:>7.1f} MP{told['seconds']:>9.1f}{told['tiles'] / told['seconds']:>9.2f}"
                f"{over:>16.0f} %{told['saved']:>6.1f} s{told['mb']:>6.0f} MB{48 * side**2 / 1e6:>9.0f} MB",
                flush=True,
            )
    if args.large:
        family = get_family("rrdb")
        device = torch.device(args.device or ("cuda" if torch.cuda.is_available() else "cpu"))
        network = family.generator(family.config()).eval().requires_grad_(False).to(device, memory_format=torch.channels_last)
        x = torch.zeros(1, 3, 128, 128, device=device)
        with torch.inference_mode():
            print(f"rrdb x4, 23 blocks: {milliseconds(lambda: network(x).cpu()):.0f} ms for a tile of 128 x 128")
    return None


if __name__ == "__main__":
    main()
