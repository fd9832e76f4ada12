"""How fast pictures are translated: `python -m tests.benchmarks.translate [--device cpu] [--small] [--seconds 1.5]`.

Prints, for networks with random weights, milliseconds a picture at 256 and 512 px as a whole, in pieces, and through the engine
(pieces, and the way there and back between two threads), GFLOP counted from the layers, GFLOP/s reached, and beside that what
the device reaches with one plain 3x3 convolution as the blocks have it.
"""

import argparse
import dataclasses
import os
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

from studio.engine.engine import Engine
from studio.engine.image_recipe import ImageRecipe
from studio.inference.translation import default_tile_size, translate_picture
from studio.models.folder import save_folder
from studio.models.library import Library
from studio.networks.translation.cyclegan import CycleGANConfig, Generator
from tests.benchmarks import engine as engine_benchmark
from tests.benchmarks.engine import milliseconds

SIDES = (256, 512)
NETWORKS = {"large": ("resnet_9blocks", 64), "small": ("resnet_6blocks", 16), "unet": ("unet_256", 64)}


def gflop(network: Generator, side: int) -> float:
    """Billions of operations for one picture, a multiplication and an addition being two."""
    with FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, 3, side, side, device=next(network.parameters()).device))
    return counter.get_total_flops() / 1e9


def plain_convolution(channels: int, side: int, device: torch.device, dtype: torch.dtype) -> float:
    """GFLOP/s of one 3x3 convolution of a map of `side` pixels."""
    x = torch.randn(1, channels, side, side, device=device, dtype=dtype).to(memory_format=torch.channels_last)
    weight = torch.randn(channels, channels, 3, 3, device=device, dtype=dtype).to(memory_format=torch.channels_last)

    def run():
        torch.nn.functional.conv2d(x, weight, padding=1)
        if device.type == "cuda":
            torch.cuda.synchronize()

    return 2 * 9 * channels**2 * side**2 / 1e6 / milliseconds(run)


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", help="cpu, cuda, ... (default: the best there is)")
    parser.add_argument("--seconds", type=float, default=1.5, help="that one measurement may take (default: 1.5)")
    parser.add_argument("--sides", type=int, nargs="+", default=SIDES, help="of the pictures, in pixels")
    parser.add_argument("--small", action="store_true", help="leave the large networks out")
    args = parser.parse_args()
    engine_benchmark._seconds = args.seconds
    names = ["small"] if args.small else list(NETWORKS)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["STUDIO_HOME"] = folder
        for name in names:
            net, ngf = NETWORKS[name]
            torch.manual_seed(0)
            config = CycleGANConfig(net=net, ngf=ngf, directions="AtoB")
            save_folder(Path(folder) / "m" / name, "cyclegan", dataclasses.asdict(config), Generator(config).state_dict(), title=name)
        with Engine(Library([Path(folder) / "m"]), args.device) as engine, torch.inference_mode():
            print(f"device {engine.status()['device']}, {engine.precision}, torch {torch.__version__}, {torch.get_num_threads()} threads")
            heads = ("side", 6), ("GFLOP", 8), ("whole ms", 10), ("pieces ms", 11), ("engine ms", 11), ("GFLOP/s", 9), ("plain conv", 12)
            print(f"{'network':<24}" + "".join(f"{head:>{width}}" for head, width in heads))
            for name in names:
                network = engine.model(name).network
                for side in args.sides:
                    measure(engine, name, network, side)


def measure(engine: Engine, name: str, network: Generator, side: int) -> None:
    """Print a line."""
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8))
    tile, (net, ngf) = default_tile_size(engine.device), NETWORKS[name]
    dtype = torch.bfloat16 if engine.device.type == "cuda" and engine.precision == "bf16" else torch.float32
    with torch.autocast(engine.device.type, dtype=dtype, enabled=dtype != torch.float32):
        whole = milliseconds(lambda: translate_picture(network, image, "AtoB"))
        pieces = milliseconds(lambda: translate_picture(network, image, "AtoB", tile))
    through = milliseconds(lambda: engine.translate(ImageRecipe(name), image))
    work, plain = gflop(network, side), plain_convolution(4 * ngf, side // 4, engine.device, dtype)
    print(
        f"{net + ' ngf ' + str(ngf):<24}{side:>6}{work:>8.1f}{whole:>10.0f}{pieces:>11.0f}{through:>11.0f}"
        f"{work / through * 1000:>9.0f}{plain:>12.0f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
