"""Every method that generates from noise, shown equally many pictures: `python -m tests.benchmarks.families PICTURES OUT`.

64 px, from nothing, so many thousand pictures each, KID of 2,000 generated ones at the end. Prints a table in Markdown;
OUT/METHOD/sheet.webp shows samples of each. Minutes are of processor time, of one thread; on a card by the clock.
"""

import argparse
import dataclasses
import math
import time
from pathlib import Path

import torch
from PIL import Image

from studio.models.folder import build_network, open_folder
from studio.training.growth import Growth
from studio.training.methods import METHODS, get_method
from studio.training.plan import Budget, Plan
from studio.training.presets import learning_classes, preset_plan
from studio.training.run_history import RunHistory
from studio.training.trainer import train


def plan_of(method: str, pictures: str, kimg: float, metric_images: int = 2000) -> Plan:
    """The preset's plan for many pictures on a CPU, with another length: the same networks on a card."""
    plan = preset_plan("standard", pictures=12_000, resolution=64, device="cpu", method=method)
    if get_method(method).progressive_growing:
        part = 0.6 * kimg / 6
        plan = dataclasses.replace(plan, growth=Growth(start=8, fade_kimg=part, stable_kimg=part))
    budget = Budget(
        kimg=kimg,
        log_kimg=min(1, kimg / 10),
        sample_kimg=kimg,
        snapshot_kimg=kimg,
        state_kimg=max(10, kimg / 10),
        metric_images=metric_images,
    )
    plan = dataclasses.replace(plan, budget=budget, data=dataclasses.replace(plan.data, path=pictures))
    return learning_classes(plan) if method == "biggan" else plan


def main() -> None:
    """Train each, then print its row."""
    methods = [m.name for m in METHODS if m.generates]
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.families", description="Training methods compared.")
    parser.add_argument("pictures", help="a folder or zip of pictures")
    parser.add_argument("out", type=Path, help="a folder for the runs")
    parser.add_argument("--kimg", type=float, default=16.0, help="thousands of pictures that each is shown (default: 16)")
    parser.add_argument("--methods", nargs="+", choices=methods, default=methods, help="default: all")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--minutes", type=float, default=math.inf, help="what is not done by then ends early, each method by itself")
    parser.add_argument("--metric-images", type=int, default=2000, help="generated pictures for KID (default: 2000)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    clock = time.process_time if args.device == "cpu" else time.monotonic
    print("| Method | Parameters of the generator | Pictures seen | Minutes | KID |\n|---|---|---|---|---|", flush=True)
    for name in args.methods:
        run_dir, end = args.out / name, clock() + args.minutes * 60

        def stop(end: float = end) -> bool | str:
            return "finish" if clock() > end else False

        device = "cpu" if args.device == "cpu" else None
        snapshot = train(plan_of(name, args.pictures, args.kimg, args.metric_images), run_dir, should_stop=stop, clock=clock, device=device)
        watch = RunHistory(run_dir).refresh()
        Image.open(watch.samples[-1].path).crop((0, 0, 512, 256)).save(run_dir / "sheet.webp", lossless=True)
        size = sum(p.numel() for p in build_network(open_folder(snapshot)).parameters())
        spent = (watch.curves["hours"][-1][1]) * 60
        print(
            f"| {get_method(name).title} | {size:,} | {watch.kimg * 1000:,.0f} | {spent:.1f} | {watch.snapshots[-1].values['kid']:.3f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
