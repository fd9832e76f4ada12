"""Do pictures of a class show that class? `python -m tests.benchmarks.class_accuracy PICTURES MODEL [MODEL ...]`.

A small network learns to name the classes of the real pictures (nine tenths of them; the last tenth tells how well it does),
then names those of 200 generated pictures a class (--per-class), at psi 1. KID a class is against the real pictures of that class.
"""

import argparse
import itertools

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import studio
from studio.datasets.image_set import ImageSet
from studio.metrics.features import FeatureNet
from studio.metrics.kid import kid
from studio.settings import get_settings

_A_CLASS = 200


class Namer(nn.Module):
    """(N, 3, 64, 64) in [-1, 1] -> logits of the classes."""

    def __init__(self, classes: int):
        super().__init__()
        widths = (3, 24, 48, 96, 128)
        blocks = []
        for a, b in itertools.pairwise(widths):
            blocks += [nn.Conv2d(a, b, 3, stride=2, padding=1), nn.BatchNorm2d(b), nn.ReLU()]
        self.body, self.head = nn.Sequential(*blocks), nn.Linear(widths[-1] * 16, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(F.dropout(self.body(x).flatten(1), 0.3, self.training))


def to_tensor(pictures: np.ndarray) -> torch.Tensor:
    """uint8 (N, H, W, 3) -> (N, 3, H, W) in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1


def learn(pictures: np.ndarray, labels: np.ndarray, epochs: int = 4) -> Namer:
    """A namer that has seen every picture `epochs` times, moved by up to three pixels."""
    torch.manual_seed(0)
    namer = Namer(int(labels.max()) + 1)
    optimizer = torch.optim.Adam(namer.parameters(), 1e-3)
    rng = np.random.default_rng(0)
    for _ in range(epochs):
        for rows in np.array_split(rng.permutation(len(pictures)), max(1, len(pictures) // 64)):
            shift = tuple(int(s) for s in rng.integers(-3, 4, 2))
            x = torch.roll(to_tensor(pictures[rows]), shift, dims=(2, 3))
            optimizer.zero_grad()
            F.cross_entropy(namer(x), torch.from_numpy(labels[rows]).long()).backward()
            optimizer.step()
    return namer.eval()


@torch.inference_mode()
def names(namer: Namer, pictures: np.ndarray) -> np.ndarray:
    """Class of each picture."""
    return np.concatenate([namer(to_tensor(pictures[i : i + 256])).argmax(dim=1).numpy() for i in range(0, len(pictures), 256)])


def main() -> None:
    """Learn, then judge each model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pictures", help="a folder or zip with a sub-folder a class")
    parser.add_argument("models", nargs="+")
    parser.add_argument("--per-class", type=int, default=_A_CLASS)
    args = parser.parse_args()
    data = ImageSet.open(args.pictures, 64, get_settings().cache)
    pictures, labels = np.asarray(data.array), np.asarray(data.labels)
    held = np.arange(len(pictures)) % 10 == 9
    namer = learn(pictures[~held], labels[~held])
    print(f"real pictures it has not seen: {(names(namer, pictures[held]) == labels[held]).mean():.1%} named rightly", flush=True)
    net = FeatureNet(size=128)
    real = {i: net.features(pictures[labels == i][:1000]) for i in range(len(data.classes))}
    for source in args.models:
        model = studio.load(source)
        print(f"\n| {source.rsplit('/', 1)[-1]} | named rightly | KID |\n|---|---|---|")
        right = []
        for i, name in enumerate(data.classes):
            made = model.sample(range(i * args.per_class, (i + 1) * args.per_class), classes=i)
            right.append((names(namer, made) == i).mean())
            print(f"| {name} | {right[-1]:.1%} | {kid(real[i], net.features(made))[0]:.3f} |", flush=True)
        print(f"| all | {np.mean(right):.1%} | |", flush=True)


if __name__ == "__main__":
    main()
