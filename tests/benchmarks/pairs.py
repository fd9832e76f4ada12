"""How near translations come to the true partner: `python -m tests.benchmarks.pairs A B MODEL [MODEL ...]`.

A, B: folders with pictures of the same names, which no model has seen. For each model and direction the mean absolute
difference from the partner (of 255 levels) and KID against all partners. Beside B -> A the lightness of B alone, cut at the
threshold that is best on these very pictures.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

import studio
from studio.metrics.features import FeatureNet
from studio.metrics.kid import kid


def read(folder: str) -> dict[str, Image.Image]:
    """Name -> picture."""
    return {p.name: Image.open(p).convert("RGB") for p in sorted(Path(folder).iterdir()) if p.suffix == ".png"}


def distance(made: list[np.ndarray], true: list[np.ndarray]) -> float:
    """Mean absolute difference, of 255 levels."""
    return float(np.mean([np.abs(m.astype(int) - t).mean() for m, t in zip(made, true, strict=True)]))


def thresholded(pictures: list[Image.Image], level: int) -> list[np.ndarray]:
    """Black where the lightness is below the level, else white."""
    return [np.repeat((np.asarray(p.convert("L")) >= level)[:, :, None] * np.uint8(255), 3, axis=2) for p in pictures]


def main() -> None:
    """Print the table."""
    a, b = read(sys.argv[1]), read(sys.argv[2])
    names = sorted(a.keys() & b.keys())
    sides = {
        "AtoB": ([a[n] for n in names], [np.asarray(b[n]) for n in names]),
        "BtoA": ([b[n] for n in names], [np.asarray(a[n]) for n in names]),
    }
    net = FeatureNet(size=128)
    real = {direction: net.features(np.stack(true)) for direction, (_, true) in sides.items()}

    def row(title: str, direction: str, made: list[np.ndarray]) -> None:
        print(
            f"| {title} | {direction} | {distance(made, sides[direction][1]):.2f} "
            f"| {kid(real[direction], net.features(np.stack(made)))[0]:.3f} |",
            flush=True,
        )

    print(f"{len(names)} pairs\n\n| What | Direction | L1 | KID |\n|---|---|---|---|")
    given, true = sides["BtoA"]
    best = min(range(8, 248, 8), key=lambda level: distance(thresholded(given, level), true))
    for level in (128, best):
        row(f"lightness cut at {level}", "BtoA", thresholded(given, level))
    row("left as it is", "AtoB", [np.asarray(p) for p in sides["AtoB"][0]])
    for source in sys.argv[3:]:
        model = studio.load(source)
        for direction in model.directions:
            row(model.id, direction, [np.asarray(model.translate(p, direction)) for p in sides[direction][0]])


if __name__ == "__main__":
    main()
