"""Four ways to learn from few pictures, on one clock: `python -m tests.benchmarks.few_pictures PICTURES BASE OUT [MINUTES]`.

Each way trains with the same batch, on one thread, for so many minutes of processor time; KID is measured every thousand
pictures shown. The table tells KID at equal pictures and at equal minutes; OUT keeps each run's sheets and events.
"""

import dataclasses
import sys
import time
from pathlib import Path

import torch

from studio.training.plan import Augment, Budget, Card, Data, Objective, Optimizer, Plan
from studio.training.presets import preset_plan
from studio.training.run_history import RunHistory
from studio.training.trainer import train


def ways(pictures: str, base: str, resolution: int = 64) -> dict[str, Plan]:
    """Name -> plan. The first two are what the presets give for few pictures."""
    data = Data(path=pictures, resolution=resolution)
    budget = Budget(kimg=1000, log_kimg=0.16, sample_kimg=2, snapshot_kimg=1, state_kimg=1, metric_images=500)
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
    pictures, base, out = sys.argv[1:4]
    minutes = float(sys.argv[4]) if len(sys.argv) > 4 else 10.0
    torch.set_num_threads(1)
    for name, plan in ways(pictures, base).items():
        run_dir = Path(out) / name.replace(", ", "-").lower()
        began = time.process_time()
        train(
            plan,
            run_dir,
            clock=time.process_time,
            device="cpu",
            should_stop=lambda began=began: "finish" if time.process_time() - began > minutes * 60 else "",
        )
        report(name, run_dir)


def report(name: str, run_dir: Path) -> None:
    """One way's KID by pictures and by minutes."""
    watch = RunHistory(run_dir).refresh()
    seconds = {round(kimg, 3): hours * 3600 for kimg, hours in watch.curves["hours"]}
    print(f"\n{name}: {watch.speed:.1f} pictures/s")
    for moment in watch.snapshots:
        at = min(seconds, key=lambda kimg: abs(kimg - moment.kimg))
        print(f"  {moment.kimg:6.1f} kimg  {seconds[at] / 60:5.1f} min  KID {moment.values['kid']:.4f}", flush=True)


if __name__ == "__main__":
    main()
