"""Four ways to learn from few pictures, on one clock: `python -m tests.benchmarks.few_pictures PICTURES BASE OUT [--minutes 10]`.

Each way trains with the same batch, on one thread, for so many minutes of processor time; KID is measured every thousand
pictures shown. The table tells KID at equal pictures and at equal minutes; OUT keeps each run's sheets and events.
"""

import argparse
import dataclasses
import time
from pathlib import Path

import torch

from studio.training.plan import Augment, Budget, Card, Data, Objective, Optimizer, Plan
from studio.training.presets import preset_plan
from studio.training.run_history import RunHistory
from studio.training.trainer import train


def ways(pictures: str, base: str, metric_images: int = 500, resolution: int = 64) -> dict[str, Plan]:
    """Name -> plan. The first two are what the presets give for few pictures."""
    data = Data(path=pictures, resolution=resolution)
    budget = Budget(kimg=1000, log_kimg=0.16, sample_kimg=2, snapshot_kimg=1, state_kimg=1, metric_images=metric_images)
    ada = {b: preset_plan("sketch", b, pictures=200, resolution=resolution, device="cpu") for b in ("", base)}
    projected = dict(
        objective=Objective(loss="hinge", discriminator="projected", r1_gamma=0.0),
        optimizer=Optimizer(batch=16, lr_g=0.002, lr_d=0.002, ema_kimg=5.0),
        augment=Augment(kind="diffaugment"),
    )
    plans = {
        "scratch, ADA": dataclasses.replace(ada[""], objective=dataclasses.replace(ada[""].objective)),
        "transfer, ADA, FreezeD": ada[base],
        "scratch, projected": dataclasses.replace(ada[""], **projected),
        "transfer, projected": dataclasses.replace(ada[base], **projected),
    }
    return {name: dataclasses.replace(p, data=data, budget=budget, card=Card(title=name)) for name, p in plans.items()}


def main() -> None:
    """Train, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pictures", help="a folder or zip of pictures")
    parser.add_argument("base", help="a model to start from")
    parser.add_argument("out", type=Path, help="a folder for the runs")
    parser.add_argument("--minutes", type=float, default=10.0, help="of processor time for each way (default: 10)")
    parser.add_argument("--metric-images", type=int, default=500, help="generated pictures for KID (default: 500)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    for name, plan in ways(args.pictures, args.base, args.metric_images).items():
        run_dir = args.out / name.replace(", ", "-").lower()
        began = time.process_time()
        train(
            plan,
            run_dir,
            clock=time.process_time,
            device="cpu",
            should_stop=lambda began=began: "finish" if time.process_time() - began > args.minutes * 60 else "",
        )
        report(name, run_dir)


def report(name: str, run_dir: Path) -> None:
    """One way's KID by pictures and by minutes."""
    watch = RunHistory(run_dir).refresh()
    seconds = {round(kimg, 3): hours * 3600 for kimg, hours in watch.curves.get("hours", [])}
    print(f"\n{name}: {watch.speed:.1f} pictures/s")
    for snapshot in watch.snapshots:
        at = min(seconds, key=lambda kimg: abs(kimg - snapshot.kimg), default=0.0)  # a very short run has no point of the curve
        print(f"  {snapshot.kimg:6.1f} kimg  {seconds.get(at, 0.0) / 60:5.1f} min  KID {snapshot.values['kid']:.4f}", flush=True)


if __name__ == "__main__":
    main()
