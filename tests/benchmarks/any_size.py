"""A large picture as a whole, in pieces, and in tiles of its own: `python -m tests.benchmarks.any_size [--ngf 8] [--size 4096 3072]`.

Draws a landscape, teaches a small ResNet with instance norm to turn its summer into autumn (a minute), translates the whole
landscape in three ways, each in a fresh process, and prints seconds and the peak of memory. With --sheet FILE it lays the
results side by side, small and with a part of each at full size.
"""

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFilter

from studio.inference.model import Model
from studio.inference.tiling import plan_tiles
from studio.networks.translation.cyclegan import CycleGANConfig, Generator

WAYS = {"whole": "whole picture", "pieces": "in pieces of 256 px, statistics of the whole", "tiles": "tiles of 512 px by themselves"}
_PIECE, _TILE, _OVERLAP = 256, 512, 64
_SMALL, _STEPS, _BATCH = (128, 96), 400, 2
# What autumn does to red, green and blue: what is green turns red, greys stay.
_AUTUMN = np.array([[-0.1, 1.6, -0.5], [0.3, 0.5, 0.2], [0.1, -0.1, 1.0]], np.float32)


def clouds(width: int, height: int, cell: int, rng: np.random.Generator) -> np.ndarray:
    """(height, width) smooth noise of many sizes in about [0, 1], the largest of `cell` pixels."""
    total, share = np.zeros((height, width), np.float32), 0.5
    while cell >= 2:
        grid = rng.random((height // cell + 2, width // cell + 2)).astype(np.float32)
        total += share * np.asarray(Image.fromarray(grid).resize((width, height), Image.BICUBIC))
        share, cell = share / 2, cell // 2
    return total


def landscape(width: int, height: int, seed: int = 0) -> Image.Image:
    """Sky with clouds, and three ranges of hills, each nearer and greener."""
    rng = np.random.default_rng(seed)
    y = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    cloud = clouds(width, height, width // 4, rng)[..., None] ** 3 * 2.2
    picture = np.array([70, 130, 215], np.float32) * (1 - y) + np.array([205, 225, 240], np.float32) * y
    picture = picture + (np.array([250, 250, 250]) - picture) * cloud.clip(0, 1)
    leaves = clouds(width, height, width // 64, rng)[..., None]
    for i, colour in enumerate(([120, 150, 150], [70, 120, 70], [40, 95, 30])):
        edge = 0.45 + 0.17 * i + 0.35 * (clouds(width, 4, width // 3, rng)[0] - 0.5)
        picture = (
            np.where(y[..., 0] > edge, 1, 0)[..., None] * (np.array(colour) * (0.4 + 1.2 * leaves))
            + np.where(y[..., 0] > edge, 0, 1)[..., None] * picture
        )
    return Image.fromarray(picture.clip(0, 255).astype(np.uint8))


def autumn(image: Image.Image) -> Image.Image:
    """What the network is to learn: other colours, and a soft brush."""
    pixels = np.asarray(image.filter(ImageFilter.MedianFilter(3))).astype(np.float32)
    return Image.fromarray((pixels @ _AUTUMN.T).clip(0, 255).astype(np.uint8))


def taught(ngf: int, steps: int = _STEPS) -> Generator:
    """A ResNet that learned from small landscapes."""
    torch.manual_seed(0)
    network = Generator(CycleGANConfig(net="resnet_6blocks", ngf=ngf, directions="AtoB"))
    rng, optimiser = np.random.default_rng(1), torch.optim.Adam(network.parameters(), lr=0.002, betas=(0.5, 0.99))
    images = [landscape(*_SMALL, seed=1 + i) for i in range(16)]
    sides = [
        [torch.from_numpy(np.asarray(x).astype(np.float32) / 127.5 - 1).permute(2, 0, 1) for x in both]
        for both in zip(images, map(autumn, images), strict=True)
    ]
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = 0.002 * (1 - step / steps)
        x, y = (torch.stack(side) for side in zip(*(sides[i] for i in rng.integers(0, len(sides), _BATCH)), strict=True))
        loss = F.l1_loss(network(x), y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    print(f"taught {steps} steps, error {float(loss.detach()) * 127.5:.1f} levels", flush=True)
    return network.eval().requires_grad_(False)


def translated(model: Model, image: Image.Image, way: str) -> Image.Image:
    """In one of the three ways."""
    if way != "tiles":
        return model.translate(image, tile=_PIECE if way == "pieces" else None)
    out = Image.new("RGB", image.size)
    for read, core in itertools.chain(*plan_tiles(image.height, image.width, _TILE, _OVERLAP, 4)):
        piece, inner = model.translate(image.crop((read.left, read.top, read.right, read.bottom))), core.within(read)
        out.paste(piece.crop((inner.left, inner.top, inner.right, inner.bottom)), (core.left, core.top))
    return out


def run(folder: Path, way: str) -> None:
    """In a process of its own: translate, save, and tell seconds and megabytes."""
    found = torch.load(folder / "network.pt", weights_only=True)
    network = Generator(CycleGANConfig(net="resnet_6blocks", ngf=found["ngf"], directions="AtoB")).eval().requires_grad_(False)
    network.load_state_dict(found["state"])
    model = Model(network.to(memory_format=torch.channels_last), "cyclegan", "autumn")
    image = Image.open(folder / "source.png").convert("RGB")
    before, told, began = peak(), [], time.perf_counter()
    out = translated(model, image, way) if way != "whole" else model.translate(image, progress=lambda *x: told.append(x))
    seconds, after = time.perf_counter() - began, peak()
    assert len(told) <= 1, "memory did not allow the whole picture"
    out.save(folder / f"{way}.png", compress_level=1)
    print(json.dumps({"seconds": seconds, "mb": after - before}))


def peak() -> float:
    """Megabytes that the process has had at once."""
    # Not getrusage: a process begins there with the peak of the one that started it.
    line = next(row for row in Path("/proc/self/status").read_text().splitlines() if row.startswith("VmHWM"))
    return int(line.split()[1]) / 1e3


def sheet(folder: Path, path: Path, ways: list[str]) -> None:
    """Each way small, and a part of it at full size across a border of tiles, below each other."""
    side, gap = 460, 8
    images = {"source": Image.open(folder / "source.png")} | {way: Image.open(folder / f"{way}.png") for way in ways}
    tiles = itertools.chain(*plan_tiles(images["source"].height, images["source"].width, _TILE, _OVERLAP, 4))
    across, down = 0.55 * images["source"].width, 0.47 * images["source"].height
    corner = min((tile.core for tile in tiles), key=lambda core: abs(core.left - across) + abs(core.top - down))
    small = round(side * images["source"].height / images["source"].width)
    out = Image.new("RGB", (len(images) * (side + gap) - gap, small + side * 3 // 4 + gap + 22), "white")
    for i, (name, image) in enumerate(images.items()):
        out.paste(image.convert("RGB").resize((side, small), Image.LANCZOS), (i * (side + gap), 22))
        left, top = corner.left - side // 2, corner.top - side * 3 // 8
        out.paste(image.crop((left, top, left + side, top + side * 3 // 4)), (i * (side + gap), small + gap + 22))
        ImageDraw.Draw(out).text((i * (side + gap) + 4, 2), WAYS.get(name, name), fill="black", font_size=15)
    out.save(path, "WEBP", quality=82, method=6)
    print(f"{path}: {path.stat().st_size / 1e3:.0f} KB")


def main() -> None:
    """Draw, teach, translate, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ngf", type=int, default=8, help="width of the network")
    parser.add_argument("--steps", type=int, default=_STEPS, help="of its training")
    parser.add_argument("--size", type=int, nargs=2, default=(4096, 3072), metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--sheet", type=Path, help="lay the results side by side in this WebP")
    parser.add_argument("--run", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.run:
        return run(Path(args.run[0]), args.run[1])
    with tempfile.TemporaryDirectory() as folder:
        network = taught(args.ngf, args.steps)
        torch.save({"ngf": args.ngf, "state": network.state_dict()}, Path(folder) / "network.pt")
        landscape(*args.size).save(Path(folder) / "source.png", compress_level=1)
        print(f"{args.size[0]} x {args.size[1]} px, resnet_6blocks, ngf {args.ngf}, {torch.get_num_threads()} threads")
        for way in args.ways:
            command = [sys.executable, "-m", "tests.benchmarks.any_size", "--run", folder, way]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            told = json.loads(done.stdout.splitlines()[-1])
            print(f"{WAYS[way]:<50}{told['seconds']:>8.1f} s{told['mb']:>8.0f} MB more than before", flush=True)
        pictures = {way: np.asarray(Image.open(Path(folder) / f"{way}.png")).astype(np.int16) for way in args.ways}
        for way in args.ways[1:]:
            apart = np.abs(pictures[way] - pictures[args.ways[0]])
            print(f"{WAYS[way]}: {apart.max()} levels at the most from '{args.ways[0]}', {apart.mean():.2f} in the mean")
        if args.sheet:
            sheet(Path(folder), args.sheet, args.ways)
    return None


if __name__ == "__main__":
    main()
