"""`studio plan`, `studio train`: write a plan as the Train tab does, and train in this terminal."""

import argparse
import os
import signal
import time
from pathlib import Path

from studio.cli.helpers import AddVerb

_SHOWN = ("loss_g", "loss_d", "r1", "ada_p", "cycle", "l1", "perceptual", "psnr")  # of a step's measurements


def add_verbs(verb: AddVerb) -> None:
    """Add the verbs to the command line."""
    p = verb("plan", "Write a plan for a training set, as the Train tab does.", "studio plan Cats --method stylegan2 -o plan.toml")
    p.add_argument("set", help="title or id of a training set (`studio dataset` lists them)")
    p.add_argument("--set-b", help="the second set, for methods that translate")
    p.add_argument(
        "--method", default="stylegan2", help="stylegan2, projected, dcgan, cyclegan, cut, pix2pix, faithful ... (default: stylegan2)"
    )
    p.add_argument("--preset", choices=("sketch", "standard", "patient"), default="sketch", help="how long to train (default: sketch)")
    p.add_argument("--base", default="", help="model to start from (default: none)")
    p.add_argument("--resolution", type=int, default=64, help="side of the pictures in pixels (default: 64)")
    p.add_argument("--factor", type=int, default=2, help="scale of an upscaler (default: 2)")
    p.add_argument("--classes", action="store_true", help="also learn the classes")
    p.add_argument("--pairs", choices=("name", "order"), default="name", help="how pix2pix finds partners in both sets (default: by name)")
    p.add_argument("--mirror", action="store_true", help="also learn each picture flipped left to right")
    p.add_argument("--title", default="", help="title of the model (default: that of the set)")
    p.add_argument("--licence", default="", help="licence of the model")
    p.add_argument("--seed", type=int, default=0, help="seed of the training (default: 0)")
    p.add_argument("-o", "--out", type=Path, default=Path("plan.toml"), help="file to write (default: plan.toml)")

    p = verb("train", "Train a model; the same command resumes where it stopped.", "studio train plan.toml --out runs/cats")
    p.add_argument("plan", type=Path, help="plan.toml (README.md has an example)")
    p.add_argument("--out", type=Path, required=True, help="folder of the run: state, sheets, snapshots")


def run_plan(args: argparse.Namespace) -> None:
    """Write a plan. Raises StudioError when the choices cannot be combined."""
    from studio.common.files import atomic_write
    from studio.datasets.store import DataSetStore
    from studio.inference.model import choose_device
    from studio.training.plan_builder import PlanChoices, build_plan

    store = DataSetStore()
    device = "cuda" if choose_device(getattr(args, "device", None)).type == "cuda" else "cpu"
    names = ("method", "preset", "base", "resolution", "factor", "classes", "pairs", "mirror", "title", "licence", "seed")
    choices = PlanChoices(device=device, **{name: getattr(args, name) for name in names})
    plan = build_plan(choices, store.get(args.set), store.get(args.set_b) if args.set_b else None)
    atomic_write(args.out, plan.to_toml().encode())
    print(args.out)


def run_train(args: argparse.Namespace) -> None:
    """Train by a plan. Raises StudioError."""
    from studio.metrics import registry
    from studio.training.plan import Plan
    from studio.training.run_history import RunHistory
    from studio.training.trainer import train

    stop = []

    def ask_to_stop(*_):
        if stop:
            raise KeyboardInterrupt  # a second Ctrl-C exits without saving the state
        stop.append(True)
        print("\nStopping after this step; the same command resumes from here.", flush=True)

    for name in ("SIGINT", "SIGTERM"):
        signal.signal(getattr(signal, name), ask_to_stop)
    plan = Plan.load(args.plan)
    goal, began = plan.budget.kimg * 1000, []

    def show(event: dict) -> None:
        if event["type"] == "start":
            print(f"{event['pictures']:,} pictures; training on {event['device']} in {event['precision']}", flush=True)
        elif event["type"] == "step":
            if not began:
                began.extend((event["images"], event["seconds"]))
            speed = (event["images"] - began[0]) / max(event["seconds"] - began[1], 1e-9)
            numbers = "  ".join(f"{k} {v:.3f}" for k, v in event.items() if k in _SHOWN)
            left = _duration((goal - event["images"]) / speed) if speed > 0 else "..."
            print(f"{event['images'] / 1000:8.1f} kimg  {numbers}  {speed:5.1f} images/s  {left} left", flush=True)
        elif event["type"] == "snapshot":
            measured = "".join(f"  {metric.line(event)}" for metric in registry.measured(event))
            print(f"          snapshot {event['path']}{measured}", flush=True)

    try:
        snapshot = train(plan, args.out, on_event=show, should_stop=lambda: bool(stop), clock=time.monotonic, device=args.device)
    except KeyboardInterrupt:
        snapshots = RunHistory(args.out).refresh().snapshots
        newest = f"The newest snapshot is {snapshots[-1].path}." if snapshots else "There is no snapshot yet."
        print(f"Stopped at once. {newest} The same command resumes from the state that was saved last.", flush=True)
        raise
    if os.environ.get("RANK", "0") == "0":  # only one of several processes prints
        print(f"{'Stopped' if stop else 'Done'}: {snapshot}")


def _duration(seconds: float) -> str:
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min"
