"""Every kind of model that draws from noise shown equally many pictures: `python -m tests.benchmarks.families PICTURES OUT [KIMG] [KINDS]`.

64 px, from nothing, one thread, so many thousand pictures each (16 unless said otherwise), KID of 2,000 generated ones at the
end. Prints a table in Markdown, with minutes of processor time; OUT/KIND/sheet.webp is what each kind draws.
KINDS: names, comma between; all unless said.
"""

import dataclasses
import sys
import time
from pathlib import Path

import torch
from PIL import Image

from studio.models.folder import build_network, open_folder
from studio.training.growth import Growth
from studio.training.kinds import KINDS, get_kind
from studio.training.plan import Budget, Plan
from studio.training.presets import learning_classes, preset
from studio.training.trainer import train
from studio.training.watch import Watch


def plan_of(kind: str, pictures: str, kimg: float) -> Plan:
    """The preset's plan for many pictures on a CPU, with another length."""
    plan = preset("standard", pictures=12_000, resolution=64, device="cpu", kind=kind)
    if get_kind(kind).grows:
        part = 0.6 * kimg / 6
        plan = dataclasses.replace(plan, growth=Growth(start=8, fade_kimg=part, stable_kimg=part))
    budget = Budget(kimg=kimg, log_kimg=1, sample_kimg=kimg, snapshot_kimg=kimg, state_kimg=10, metric_images=2000)
    plan = dataclasses.replace(plan, budget=budget, data=dataclasses.replace(plan.data, path=pictures))
    return learning_classes(plan) if kind == "biggan" else plan


def main() -> None:
    """Train each, then print its row."""
    pictures, out = sys.argv[1:3]
    kimg = float(sys.argv[3]) if len(sys.argv) > 3 else 16.0
    names = sys.argv[4].split(",") if len(sys.argv) > 4 else [k.name for k in KINDS if k.draws]
    torch.set_num_threads(1)
    print("| Kind | Parameters of the generator | Pictures seen | Minutes | KID |\n|---|---|---|---|---|", flush=True)
    for name in names:
        run_dir = Path(out) / name
        snapshot = train(plan_of(name, pictures, kimg), run_dir, clock=time.process_time, device="cpu")
        watch = Watch(run_dir).refresh()
        Image.open(watch.samples[-1].path).crop((0, 0, 512, 256)).save(run_dir / "sheet.webp", lossless=True)
        size = sum(p.numel() for p in build_network(open_folder(snapshot)).parameters())
        spent = (watch.curves["hours"][-1][1]) * 60
        print(f"| {get_kind(name).title} | {size:,} | {watch.kimg * 1000:,.0f} | {spent:.1f} | {watch.snapshots[-1].kid:.3f} |", flush=True)


if __name__ == "__main__":
    main()
