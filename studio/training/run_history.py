"""History of a run, read from its event file: progress, time left, curves, sheets, snapshots."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from studio.metrics.registry import deciding, read_values
from studio.training.events import read_events

_FIRST_STEPS = 20  # before these the speed is meaningless: caches are cold, kernels are still being chosen
_WINDOW = 40  # points of the curves over which the speed is averaged
_NO_CURVE = {"type", "step", "images", "seconds"}
_TAIL = 64


@dataclass(frozen=True)
class Sample:
    """A sample sheet of fixed latents, or of fixed pictures and what becomes of them.

    kimg: thousands of pictures shown by then.  rows: what each row shows ('A', 'A->B'); empty for latents.
    """

    kimg: float
    path: Path
    rows: tuple[str, ...] = ()


@dataclass(frozen=True)
class Snapshot:
    """A model folder saved during training.

    values: what the metrics reached, key -> number ('kid', 'psnr', 'psnr_bicubic', ...; see metrics/registry.py).
    adversarial: an upscaler that is no longer trained by pixels alone.
    """

    kimg: float
    path: Path
    values: dict[str, float] = field(default_factory=dict)
    adversarial: bool = False


class RunHistory:
    """Events of `run_dir`; each `refresh` reads the new ones.

    A run that continues from an earlier state truncates its file; events read beyond that point are then dropped.
    """

    def __init__(self, run_dir: str | Path):
        self.run_dir = Path(run_dir)
        self._reset()

    def _reset(self) -> None:
        self._offset, self._tail, self.events = 0, b"", []

    def refresh(self) -> "RunHistory":
        """Read new events. Returns itself."""
        path = self.run_dir / "events.jsonl"
        try:
            with open(path, "rb") as f:
                f.seek(max(0, self._offset - _TAIL))
                same = f.read(min(_TAIL, self._offset)) == self._tail
        except FileNotFoundError:
            same = False
        if not same:
            self._reset()
        new, self._offset = read_events(path, self._offset)
        self.events += new
        if new:
            with open(path, "rb") as f:
                f.seek(max(0, self._offset - _TAIL))
                self._tail = f.read(min(_TAIL, self._offset))
        return self

    @property
    def bytes_read(self) -> int:
        """Number of bytes read; it changes when there are new events."""
        return self._offset

    def _of(self, event_type: str) -> list[dict[str, Any]]:
        return [e for e in self.events if e["type"] == event_type]

    @property
    def kimg(self) -> float:
        """Thousands of pictures shown so far."""
        return self.events[-1]["images"] / 1000 if self.events else 0.0

    @property
    def total_kimg(self) -> float:
        """Thousands of pictures to show in all, 0 = not known yet."""
        start = self._of("start")
        return start[0]["total_images"] / 1000 if start else 0.0

    @property
    def transfer_summary(self) -> str:
        """What was taken over from the model it started from, in a sentence; empty when it started from scratch."""
        start = self._of("start")
        parts = start[0].get("transferred", {}) if start else {}
        if not parts:
            return ""
        sentence = []
        for who, words in (("generator", "the part that draws"), ("discriminator", "the critic")):
            if who in parts:
                copied, new = parts[who]["copied"], len(parts[who]["new"])
                sentence.append(f"{copied:,} of {copied + new:,} tensors of {words} ({who})")
            else:
                sentence.append(f"nothing of {words} ({who}), which is new")
        return "Taken over: " + ", ".join(sentence) + "."

    @property
    def sets_summary(self) -> str:
        """Numbers of pictures on both sides of a translation, and what was left out, in a sentence; empty for other tasks."""
        start = self._of("start")
        facts = start[0] if start else {}
        if "pictures_b" in facts:
            return f"Side A has {facts['pictures']:,} pictures, side B {facts['pictures_b']:,}."
        if "pairs" not in facts:
            return ""
        words = f"Learns from {facts['pairs']:,} pairs."
        if facts["strays"]:
            names = [*facts["strays_a"], *facts["strays_b"]]
            shown = ", ".join(names[:6]) + (" and more" if facts["strays"] > 6 else "")
            words += f" Left out, without a partner: {facts['strays']:,} ({shown})."
        return words

    @property
    def patches_summary(self) -> str:
        """What an upscaler learns from, what is held back and what was left out, in a sentence; empty for other tasks."""
        start = self._of("start")
        facts = start[0] if start else {}
        if "too_small" not in facts:
            return ""
        held, small = facts["held_back"], facts["too_small"]
        words = f"Learns from {facts['pictures'] - len(held) - small:,} pictures"
        if not held:
            words += "; none could be held back for measuring."
        else:
            shown = ", ".join(held[:4]) + (" and more" if len(held) > 4 else "")
            words += f"; {len(held):,} held back for measuring, never learned from ({shown})."
        return words + (f" Left out, smaller than a patch: {small:,}." if small else "")

    @property
    def progress(self) -> float:
        """Fraction of the training that is done, 0 to 1."""
        if self._of("done"):
            return 1.0
        return min(1.0, self.kimg / self.total_kimg) if self.total_kimg else 0.0

    @property
    def speed(self) -> float:
        """Recent pictures per second, including everything between the steps; 0 = not known yet."""
        steps = self._of("step")[-_WINDOW:]
        if len(steps) < 2 or steps[-1]["step"] < _FIRST_STEPS:
            return 0.0
        seconds = steps[-1]["seconds"] - steps[0]["seconds"]
        return (steps[-1]["images"] - steps[0]["images"]) / seconds if seconds > 0 else 0.0

    @property
    def eta_seconds(self) -> float | None:
        """Seconds to the end at the recent speed; None before the first 20 steps."""
        left = (self.total_kimg - self.kimg) * 1000
        return left / self.speed if self.speed and self.total_kimg else None

    @property
    def memory(self) -> int:
        """Memory in bytes: of the graphics card, or of the process on a CPU."""
        steps = self._of("step")
        return int(steps[-1].get("memory", 0)) if steps else 0

    @property
    def curves(self) -> dict[str, list[tuple[float, float]]]:
        """Name -> [(kimg, value)]: losses, signs, ADA's p, 'memory' in bytes, and 'hours' of training."""
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
        """Sample sheets, oldest first."""
        return [Sample(e["images"] / 1000, self.run_dir / e["path"], tuple(e.get("rows", ()))) for e in self._of("sample")]

    @property
    def snapshots(self) -> list[Snapshot]:
        """Snapshots, oldest first."""
        # The first part of an upscaler's training has no other loss than that of the pixels.
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
