"""Pictures of any size and kind through networks that translate."""

import io
import itertools
from concurrent.futures import CancelledError

import numpy as np
import pytest
import torch
from PIL import Image
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import studio.common.memory as memory_module
import studio.inference.translation as translate_module
from studio.common.memory import layer_bytes
from studio.errors import NoRoom, StudioError
from studio.imaging.raster import MAX_NETWORK_PIXELS
from studio.inference.feature_maps import PictureMap
from studio.inference.layerwise import plan_layer_passes
from studio.inference.model import Model
from studio.inference.tiling import plan_tiles
from studio.networks.translation.cyclegan import CycleGANConfig
from studio.networks.translation.cyclegan import Generator as CycleGAN
from studio.networks.translation.pix2pix import Generator as Pix2Pix
from studio.networks.translation.pix2pix import Pix2PixConfig


def lively(network: torch.nn.Module) -> torch.nn.Module:
    """Weights that pass on what they get, so that each pixel of the result hangs on many of the source."""
    torch.manual_seed(0)
    gain = 2 if network.config.norm == "none" else 1
    for p in network.parameters():
        if p.ndim == 4:
            torch.nn.init.normal_(p, std=gain * p[0].numel() ** -0.5)
    for module in network.modules():
        if isinstance(module, torch.nn.InstanceNorm2d) and module.affine:
            torch.nn.init.normal_(module.weight, 1, 0.2)
            torch.nn.init.normal_(module.bias, std=0.2)
        if hasattr(module, "running_mean") and module.running_mean is not None:
            module.running_mean.normal_(std=0.2)
    return network.eval().requires_grad_(False)


def cyclegan(**changes) -> Model:
    cfg = CycleGANConfig(**{**dict(net="resnet_6blocks", ngf=4, directions="AtoB", resolution=256), **changes})
    return Model(lively(CycleGAN(cfg)), "cyclegan", "painter")


def pix2pix(**changes) -> Model:
    cfg = Pix2PixConfig(**{**dict(net="resnet_6blocks", ngf=4, resolution=256), **changes})
    return Model(lively(Pix2Pix(cfg)), "pix2pix", "colourist")


def scene(width: int, height: int) -> Image.Image:
    """Dark and flat on the left, bright and busy on the right: parts of it have other statistics than the whole."""
    rng = np.random.default_rng(0)
    x = np.linspace(0, 1, width)[None, :, None]
    noise = np.asarray(Image.fromarray(rng.integers(0, 256, (-(-height // 4), -(-width // 4), 3), dtype=np.uint8)).resize((width, height)))
    return Image.fromarray((30 + 60 * x + noise / 255 * 150 * x**2).astype(np.uint8))


def apart(a: Image.Image, b: Image.Image) -> int:
    """Levels between two pictures, at the most."""
    return int(np.abs(np.asarray(a).astype(int) - np.asarray(b)).max())


MODELS = {
    f"cyclegan {net} {norm} {up} {more}": lambda net=net, norm=norm, up=up, more=more: cyclegan(net=net, norm=norm, upsampling=up, **more)
    for net, norm, up, more in [
        ("resnet_6blocks", "instance", "transposed", {}),
        ("resnet_9blocks", "instance", "resize", {}),
        ("resnet_6blocks", "batch", "transposed", {}),
        ("unet_128", "instance", "transposed", {}),
        ("unet_256", "batch", "resize", {}),
        ("unet_256", "instance", "transposed", {}),
        ("resnet_3blocks", "instance_affine", "resize_zero", dict(downsampling="strided_reflect")),
        ("resnet_4blocks", "none", "transposed", dict(padding="zero")),
        ("resnet_3blocks", "instance_affine", "antialias", dict(downsampling="antialias")),
        ("resnet_3blocks", "batch", "antialias", {}),
        ("unet_64", "instance_affine", "transposed", {}),
    ]
} | {
    "pix2pix edges": lambda: pix2pix(transform="edges", input_channels=1),
    "pix2pix grey": lambda: pix2pix(transform="grey", output_channels=1, dropout=True),
}


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_in_pieces_it_is_the_whole_picture(make):
    model, image = make(), scene(328, 200)
    whole = model.translate(image)
    assert np.asarray(whole).std() > 8
    for tile in (32, 96):
        assert apart(model.translate(image, tile=tile), whole) <= 1


def test_sizes_that_fit_nothing():
    model = cyclegan()
    for size in ((1, 300), (301, 3), (131, 97), (7, 5)):
        image = scene(400, 400).crop((90, 90, 90 + size[0], 90 + size[1]))
        assert apart(model.translate(image, tile=32), model.translate(image)) <= 1
    assert model.translate(scene(1, 1), tile=32).size == (1, 1), "of one colour: all of it is mean, and what is left is rounding"


def naive(model: Model, image: Image.Image, tile: int, overlap: int) -> Image.Image:
    """Each tile by itself, as if it were a picture."""
    out = Image.new("RGB", image.size)
    for read, core in itertools.chain(*plan_tiles(image.height, image.width, tile, overlap, 4)):
        piece = model.translate(image.crop((read.left, read.top, read.right, read.bottom)))
        inner = core.within(read)
        out.paste(piece.crop((inner.left, inner.top, inner.right, inner.bottom)), (core.left, core.top))
    return out


def test_tiles_by_themselves_fail_the_same_test():
    """Their statistics are not those of the picture."""
    model, image = cyclegan(), scene(328, 200)
    assert apart(naive(model, image, 96, 16), model.translate(image)) > 60


def test_batch_norm_needs_no_statistics_of_the_picture():
    """The check of the check: with a wide overlap naive tiles are right there."""
    model, image = cyclegan(norm="batch"), scene(328, 200)
    assert apart(naive(model, image, 180, 80), model.translate(image)) <= 1


class Watch(TorchDispatchMode):
    """Sees each operation, and which of the tensors they gave are still held by anybody."""

    def __init__(self):
        super().__init__()
        self.alive: dict[int, tuple[StorageWeakRef, int]] = {}
        self.peak = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                ref = StorageWeakRef(storage)
                self.alive[ref.cdata] = (ref, storage.nbytes())
        self.alive = {key: (ref, size) for key, (ref, size) in self.alive.items() if not ref.expired()}
        self.peak = max(self.peak, sum(size for _, size in self.alive.values()))
        return out


def peak_bytes(run) -> int:
    """The most bytes of tensors made by `run` that are alive at once."""
    with Watch() as watch:
        run()
    return watch.peak


def test_the_maps_of_half_a_picture_are_what_is_kept():
    """Three maps at a quarter of the size: 3 x 4 ngf / 16 values a pixel, where the whole picture takes more than two of ngf."""
    model, image = cyclegan(ngf=8), np.array(scene(512, 512))

    def whole():
        model.network(torch.from_numpy(image).permute(2, 0, 1)[None].float())

    def pieces():
        list(translate_module.translation_steps(model.network, Image.fromarray(image), "AtoB", 64))

    with torch.inference_mode():
        assert 2 * 8 * 4 * 512**2 < peak_bytes(whole) < layer_bytes(model.network, whole)
        assert peak_bytes(pieces) < 0.9 * 8 * 4 * 512**2


def test_nothing_is_left_in_memory():
    model = cyclegan()
    passes = plan_layer_passes(
        model.network.generator("AtoB"),
        PictureMap(np.asarray(scene(64, 64)), lambda x: x, 0, torch.device("cpu")),
        torch.device("cpu"),
        lambda box, x: None,
    )
    assert passes[-1].buffer is None
    assert not any(p.buffer and p.buffer.data is not None for p in passes)


@pytest.mark.parametrize("net", ["resnet_6blocks", "unet_128"])
def test_maps_on_disk_when_memory_does_not_hold_them(net, monkeypatch, studio_home):
    model, image = cyclegan(net=net), scene(328, 200)
    in_memory = model.translate(image, tile=96)
    monkeypatch.setattr(memory_module, "free_bytes", lambda device: 0)
    made, from_file = [], torch.from_file
    monkeypatch.setattr(torch, "from_file", lambda *args, **kwargs: made.append(from_file(*args, **kwargs)) or made[-1])
    assert apart(model.translate(image, tile=96), in_memory) == 0
    assert len(made) > 10
    assert list((studio_home / "cache").iterdir()) == []
    monkeypatch.setenv("STUDIO_KEEP_FREE_MB", "1e12")
    with pytest.raises(NoRoom):
        model.translate(image, tile=96)


# -- memory -----------------------------------------------------------------------------------------------------------


def count_steps(model: Model, image: Image.Image, tile=None) -> int:
    told = []
    model.translate(image, tile=tile, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (1000, 1000)
    assert told == sorted(told)
    return len(told)


def test_whole_when_memory_allows_else_in_pieces(monkeypatch):
    model, image = cyclegan(), scene(1000, 600)
    assert count_steps(model, image) == 1
    whole = model.translate(image)
    monkeypatch.setattr(translate_module, "free_bytes", lambda device: 10 << 20)
    assert count_steps(model, image) > 10
    assert apart(model.translate(image), whole) <= 1


def test_when_memory_runs_out_pieces_get_smaller(monkeypatch):
    """Whatever fails: the whole picture first, then pieces of more than so many pixels."""
    model, image = cyclegan(), scene(328, 200)
    whole, conv2d, failed, room = model.translate(image), torch.nn.functional.conv2d, [], []

    def small_machine(x, *args, **kwargs):
        if x[0, 0].numel() > 40 * 40:
            failed.append(x.shape)
            raise torch.OutOfMemoryError("out of memory")
        return conv2d(x, *args, **kwargs)

    monkeypatch.setattr(torch.nn.functional, "conv2d", small_machine)
    with torch.inference_mode():
        steps = translate_module.translation_steps(model.network, image, "AtoB", None, lambda: room.append(1))
        *_, (done, total) = list_and_result(steps, found := [])
    assert apart(found[0], whole) <= 1
    assert done == pytest.approx(total)
    assert len(failed) == len(room) >= 2


def list_and_result(steps, found: list) -> list:
    """What a generator yields; what it returns is added to `found`."""

    def through():
        found.append((yield from steps))

    return list(through())


def test_when_the_least_piece_is_too_much_it_is_told(monkeypatch):
    def no_machine(*args, **kwargs):
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(torch.nn.functional, "conv2d", no_machine)
    with pytest.raises(StudioError, match="out of memory"):
        cyclegan().translate(scene(328, 200), tile=96)


def test_other_errors_are_not_hidden(monkeypatch):
    def broken(*args, **kwargs):
        raise RuntimeError("broken")

    monkeypatch.setattr(torch.nn.functional, "conv2d", broken)
    with pytest.raises(RuntimeError, match="broken"):
        cyclegan().translate(scene(328, 200), tile=96)


def test_it_stops_when_asked():
    asked = itertools.count()
    with pytest.raises(CancelledError):
        cyclegan().translate(scene(328, 200), tile=96, cancel=lambda: next(asked) == 3)
    assert next(asked) == 4


# -- any picture ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model():
    return cyclegan()


@pytest.mark.parametrize("tile", [None, 32])
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGBA", "RGBa", "CMYK", "YCbCr", "LAB", "HSV", "I", "I;16", "F"])
def test_modes(model, mode, tile):
    plain = scene(48, 40)
    if mode == "I;16":
        image = Image.fromarray(np.asarray(plain.convert("L")).astype(np.uint16) * 257)
    elif mode in ("PA", "RGBa"):
        image = plain.convert("RGBA").convert(mode)
    else:
        image = plain.convert("LAB" if mode == "LAB" else mode) if mode != "LAB" else Image.new("LAB", plain.size, (120, 140, 130))
    out = model.translate(image, tile=tile)
    assert out.size == plain.size
    assert out.mode == ("RGBA" if mode in ("LA", "PA", "RGBA", "RGBa") else "RGB")
    if mode in ("I;16", "L"):
        assert apart(out, model.translate(plain.convert("L").convert("RGB"), tile=tile)) == 0
    if mode in ("CMYK", "YCbCr"):
        assert apart(out, model.translate(image.convert("RGB"), tile=tile)) == 0


@pytest.mark.parametrize("tile", [None, 32])
def test_transparency_is_kept_and_what_lies_below_it_is_not_seen(model, tile):
    image = scene(64, 40).convert("RGBA")
    alpha = np.zeros((40, 64), np.uint8)
    alpha[:, 20:] = np.arange(44) * 5 + 20
    image.putalpha(Image.fromarray(alpha))
    other = Image.composite(image, Image.new("RGBA", image.size, (255, 0, 0, 0)), Image.fromarray(np.uint8(alpha > 0) * 255))
    out = model.translate(image, tile=tile)
    assert np.array_equal(np.asarray(out.getchannel("A")), alpha)
    assert apart(out, model.translate(other, tile=tile)) == 0


def test_an_animation_gives_its_first_frame(model):
    frames = [scene(24, 20), Image.new("RGB", (24, 20), (200, 0, 0))]
    for kind in ("GIF", "WEBP", "PNG"):
        buffer = io.BytesIO()
        frames[0].save(buffer, kind, save_all=True, append_images=frames[1:], **({"lossless": True} if kind == "WEBP" else {}))
        with Image.open(buffer) as image:
            assert image.n_frames == 2
            out = model.translate(image)
        with Image.open(buffer) as image:
            assert apart(out, model.translate(image.convert("RGB"))) == 0


def test_a_16_bit_png(model):
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(scene(24, 20).convert("L")).astype(np.uint16) * 257).save(buffer, "PNG")
    with Image.open(buffer) as image:
        assert image.mode.startswith("I")
        assert apart(model.translate(image), model.translate(scene(24, 20).convert("L"))) == 0


def test_what_cannot_be_used_is_told(model):
    buffer = io.BytesIO()
    scene(200, 200).save(buffer, "PNG")
    cut = Image.open(io.BytesIO(buffer.getvalue()[:20000]))
    for bad, words in (
        ("a.png", "not a picture but"),
        (Image.new("RGB", (0, 5)), "0 x 5 pixels"),
        (Image.new("L", (5, 0)), "5 x 0 pixels"),
        (Image.new("1", (MAX_NETWORK_PIXELS // 1024 + 1, 1024)), "more than 64 megapixels"),
        (cut, "cannot be read"),
    ):
        with pytest.raises(StudioError, match=words):
            model.translate(bad)
    for tile in (0, 31, -5, 64.0, "64", True):
        with pytest.raises(StudioError, match="The tile is"):
            model.translate(scene(8, 8), tile=tile)


@pytest.mark.slow
def test_sixty_megapixels():
    model = cyclegan(ngf=1)
    image = scene(9000, 6667)
    out = model.translate(image, tile=512)
    assert out.size == image.size
    assert np.asarray(out.resize((90, 66))).std() > 5
