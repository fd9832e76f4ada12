"""`studio train`: a training in this terminal, from a plan."""

import argparse
import os
import signal
import time
from pathlib import Path

from studio.cli.helpers import AddVerb

_SHOWN = ("loss_g", "loss_d", "r1", "ada_p", "cycle", "l1", "perceptual", "psnr")  # of what a step measures


def add_verb(verb: AddVerb) -> None:
    """Add the verb 'train' to the command line."""
    p = verb("train", "Train a model; the same command resumes where it stopped.", "studio train plan.toml --out runs/cats")
    p.add_argument("plan", type=Path, help="plan.toml (README.md has one to begin with)")
    p.add_argument("--out", type=Path, required=True, help="folder of the run: state, sheets, snapshots")


def run(args: argparse.Namespace) -> None:
    """Train as the plan says. Raises StudioError."""
    from studio.metrics import registry
    from studio.training.plan import Plan
    from studio.training.trainer import train

    stop = []

    def ask_to_stop(*_):
        if stop:
            raise KeyboardInterrupt  # a second Ctrl-C does not wait for the state to be saved
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

    snapshot = train(plan, args.out, on_event=show, should_stop=lambda: bool(stop), clock=time.monotonic, device=args.device)
    if os.environ.get("RANK", "0") == "0":  # of several processes one speaks
        print(f"{'Stopped' if stop else 'Done'}: {snapshot}")


def _duration(seconds: float) -> str:
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min"
