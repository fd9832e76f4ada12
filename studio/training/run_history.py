"""What people watch of a run, read from its event file: progress, time left, curves, sheets, moments."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from studio.metrics.registry import deciding, read_values
from studio.training.events import read_events

_FIRST_STEPS = 20  # before these the speed says nothing: caches are cold, kernels are still chosen
_WINDOW = 40  # points of the curves over which the speed is taken
_NO_CURVE = {"type", "step", "images", "seconds"}
_TAIL = 64


@dataclass(frozen=True)
class Sample:
    """A sheet of the fixed latents, or of fixed pictures and what becomes of them.

    kimg: thousands of pictures shown by then.  rows: what each row shows ('A', 'A->B'), none for latents.
    """

    kimg: float
    path: Path
    rows: tuple[str, ...] = ()


@dataclass(frozen=True)
class Snapshot:
    """A moment that can be used: a model folder.

    values: what the metrics reached, key -> number ('kid', 'psnr', 'psnr_bicubic', ...; see metrics/registry.py).
    adversarial: an upscaler that is no longer taught by pixels alone.
    """

    kimg: float
    path: Path
    values: dict[str, float] = field(default_factory=dict)
    adversarial: bool = False


class RunHistory:
    """The events of `run_dir`, read on at each `refresh`.

    A run that goes on from an earlier state cuts its file back to there; what was read beyond it is forgotten too.
    """

    def __init__(self, run_dir: str | Path):
        self.run_dir = Path(run_dir)
        self._forget()

    def _forget(self) -> None:
        self._offset, self._tail, self.events = 0, b"", []

    def refresh(self) -> "RunHistory":
        """Read what is new. Returns itself."""
        path = self.run_dir / "events.jsonl"
        try:
            with open(path, "rb") as f:
                f.seek(max(0, self._offset - _TAIL))
                same = f.read(min(_TAIL, self._offset)) == self._tail
        except FileNotFoundError:
            same = False
        if not same:
            self._forget()
        new, self._offset = read_events(path, self._offset)
        self.events += new
        if new:
            with open(path, "rb") as f:
                f.seek(max(0, self._offset - _TAIL))
                self._tail = f.read(min(_TAIL, self._offset))
        return self

    @property
    def bytes_read(self) -> int:
        """Bytes read; another number means that there is something new."""
        return self._offset

    def _of(self, kind: str) -> list[dict[str, Any]]:
        return [e for e in self.events if e["type"] == kind]

    @property
    def kimg(self) -> float:
        """Thousands of pictures shown."""
        return self.events[-1]["images"] / 1000 if self.events else 0.0

    @property
    def total_kimg(self) -> float:
        """Thousands of pictures to show, 0 = not known yet."""
        start = self._of("start")
        return start[0]["total_images"] / 1000 if start else 0.0

    @property
    def transfer_summary(self) -> str:
        """What a fine-tuning took from the model it began from, in a sentence; empty when it began from nothing."""
        start = self._of("start")
        parts = start[0].get("transferred", {}) if start else {}
        if not parts:
            return ""
        told = []
        for who, words in (("generator", "the part that draws"), ("discriminator", "the judge")):
            if who in parts:
                copied, new = parts[who]["copied"], len(parts[who]["new"])
                told.append(f"{copied:,} of {copied + new:,} tensors of {words} ({who})")
            else:
                told.append(f"nothing of {words} ({who}), which is new")
        return "Taken over: " + ", ".join(told) + "."

    @property
    def sets_summary(self) -> str:
        """What both sides of a training that translates have, and what was left out, in a sentence; empty for others."""
        start = self._of("start")
        facts = start[0] if start else {}
        if "pictures_b" in facts:
            return f"Side A has {facts['pictures']:,} pictures, side B {facts['pictures_b']:,}."
        if "pairs" not in facts:
            return ""
        told = f"Learns from {facts['pairs']:,} pairs."
        if facts["strays"]:
            names = [*facts["strays_a"], *facts["strays_b"]]
            shown = ", ".join(names[:6]) + (" and more" if facts["strays"] > 6 else "")
            told += f" Left out, for want of a partner: {facts['strays']:,} ({shown})."
        return told

    @property
    def patches_summary(self) -> str:
        """What an upscaler learns from, what is held back and what was left out, in a sentence; empty for others."""
        start = self._of("start")
        facts = start[0] if start else {}
        if "too_small" not in facts:
            return ""
        held, small = facts["held_back"], facts["too_small"]
        told = f"Learns from {facts['pictures'] - len(held) - small:,} pictures"
        if not held:
            told += "; none could be held back to measure on."
        else:
            shown = ", ".join(held[:4]) + (" and more" if len(held) > 4 else "")
            told += f"; {len(held):,} held back to measure on, never learned from ({shown})."
        return told + (f" Left out, as smaller than a patch: {small:,}." if small else "")

    @property
    def progress(self) -> float:
        """0 to 1."""
        if self._of("done"):
            return 1.0
        return min(1.0, self.kimg / self.total_kimg) if self.total_kimg else 0.0

    @property
    def speed(self) -> float:
        """Pictures a second of late, with everything that comes between the steps; 0 = not known yet."""
        steps = self._of("step")[-_WINDOW:]
        if len(steps) < 2 or steps[-1]["step"] < _FIRST_STEPS:
            return 0.0
        seconds = steps[-1]["seconds"] - steps[0]["seconds"]
        return (steps[-1]["images"] - steps[0]["images"]) / seconds if seconds > 0 else 0.0

    @property
    def eta_seconds(self) -> float | None:
        """Seconds to the end at the speed of late; None before the first 20 steps."""
        left = (self.total_kimg - self.kimg) * 1000
        return left / self.speed if self.speed and self.total_kimg else None

    @property
    def memory(self) -> int:
        """Bytes: of the graphics card, or of the process on a CPU."""
        steps = self._of("step")
        return int(steps[-1].get("memory", 0)) if steps else 0

    @property
    def curves(self) -> dict[str, list[tuple[float, float]]]:
        """Name -> [(kimg, value)]: losses, signs, ADA p, 'memory' in bytes, and 'hours' of training."""
        out: dict[str, list[tuple[float, float]]] = {}
        for event in self._of("step"):
            at = event["images"] / 1000
            for name, value in event.items():
                if name not in _NO_CURVE:
                    out.setdefault(name, []).append((at, value))
            out.setdefault("hours", []).append((at, event["seconds"] / 3600))
        return out

    @property
    def samples(self) -> list[Sample]:
        """Sheets in the order of time."""
        return [Sample(e["images"] / 1000, self.run_dir / e["path"], tuple(e.get("rows", ()))) for e in self._of("sample")]

    @property
    def snapshots(self) -> list[Snapshot]:
        """Moments in the order of time."""
        # In the first part of an upscaler's training there is nothing but pixels.
        second = next((e["images"] for e in self._of("step") if "psnr" in e and ("perceptual" in e or "loss_g" in e)), math.inf)
        return [
            Snapshot(e["images"] / 1000, self.run_dir / e["path"], read_values(e), adversarial=e["images"] >= second)
            for e in self._of("snapshot")
        ]

    @property
    def best(self) -> Snapshot | None:
        """The snapshot that is best by the first metric measured: KID, or PSNR of an upscaler; None when none was measured.

        A discriminator trades PSNR for sharpness (Blau 2018): once there are snapshots of that part, the soft ones before do not
        count.
        """
        metric = deciding(s.values for s in self.snapshots)
        if metric is None:
            return None
        found = [s for s in self.snapshots if metric.name in s.values]
        if "pairs" in metric.needs:
            found = [s for s in found if s.adversarial] or found
        return min(found, key=lambda s: metric.sort_key(s.values[metric.name]))
