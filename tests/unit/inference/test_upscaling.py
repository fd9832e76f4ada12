"""Pictures of any size and kind through networks that make them larger."""

import itertools
from concurrent.futures import CancelledError

import av
import numpy as np
import pytest
import torch
from PIL import Image, ImageCms, ImageFilter

import studio.inference.upscaling as upscale_module
from studio.errors import StudioError
from studio.imaging.raster import MAX_NETWORK_PIXELS, Raster
from studio.imaging.rows import BlendedRows, ResizedRows, StoredRows, run_device_work, write_rows
from studio.inference.model import Model
from studio.inference.upscaling import Upscaling
from studio.networks.super_resolution.upscaler import Upscaler
from tests.unit.imaging.test_png_stream import encoded
from tests.unit.inference.test_translation import apart, cyclegan, scene
from tests.unit.networks.test_super_resolution import make


def upscaler(name: str = "srvgg", **changes) -> Model:
    """With weights that pass on what they get."""
    network = make(name, **changes)
    for p in network.parameters():
        if p.ndim == 4:
            torch.nn.init.normal_(p, std=p[0].numel() ** -0.5)
    return Model(network, name, "sharp")


class Plain(Upscaler):
    """Repeats pixels, after a blur of 3x3 that shows seams; what it does is known exactly."""

    resolution, in_channels, halo = 64, 3, 1

    def __init__(self, scale: int, in_channels: int = 3):
        super().__init__()
        self.scale, self.in_channels = scale, in_channels
        self.none = torch.nn.Parameter(torch.zeros(1), requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.interpolate(x, scale_factor=self.scale, mode="nearest")


def plain(scale: int, in_channels: int = 3) -> Model:
    return Model(Plain(scale, in_channels), "srvgg", "plain")


# -- tiles ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("srvgg", dict(scale=4)),
        ("srvgg", dict(scale=3, drawn_scale=4)),
        ("srgan", dict(scale=2)),
        ("rrdb", dict(scale=4)),
        ("rrdb", dict(scale=2)),
        ("rrdb", dict(scale=1)),
    ],
)
def test_in_tiles_it_is_the_whole_picture(name, changes, monkeypatch):
    """With all the overlap that the network sees: the sizes fit neither the tiles nor what it folds."""
    monkeypatch.setattr(upscale_module, "_EXACT", 1000)
    model, image = upscaler(name, **changes), scene(131, 97)
    whole = model.upscale(image)
    assert whole.size == (131 * model.scale, 97 * model.scale)
    assert np.asarray(whole).std() > 8
    for tile in (32, 50):
        assert apart(model.upscale(image, tile=tile), whole) <= 1


def test_too_little_overlap_fails_the_same_test(monkeypatch):
    model, image = upscaler("rrdb"), scene(131, 97)
    whole = model.upscale(image)
    monkeypatch.setitem(upscale_module._measurements, model.network, upscale_module._Measured(1.0, 0, 0))
    assert apart(model.upscale(image, tile=32), whole) > 10


@pytest.mark.parametrize("changes", [dict(blocks=3), dict(scale=2, blocks=2)])
def test_deep_networks_get_the_overlap_that_matters(changes):
    """Three blocks could see 49 pixels far; what is beyond a part of it changes less than a level."""
    model, image = upscaler("rrdb", **changes), scene(131, 97)
    whole = model.upscale(image)
    measured = upscale_module._measurements[model.network]
    assert measured.overlap < model.network.halo
    assert measured.feather == 8
    assert apart(model.upscale(image, tile=32), whole) <= 2


def test_sizes():
    model = upscaler("rrdb", scale=2)
    for size in ((1, 1), (1, 200), (3, 2), (65, 64)):
        image = scene(400, 400).crop((90, 90, 90 + size[0], 90 + size[1]))
        assert model.upscale(image).size == (2 * size[0], 2 * size[1])
        assert apart(model.upscale(image, tile=32), model.upscale(image)) <= 2


@pytest.mark.parametrize(
    ("own", "scale", "times"),
    [(2, 2, 1), (2, 1, 1), (2, 1.5, 1), (2, 3, 2), (2, 4, 2), (2, 4.1, 3), (4, 16, 2), (4, 5, 2), (1, 1, 1), (1, 3, 1)],
)
def test_any_factor(own, scale, times):
    """As often through the network as it takes, then to size by Lanczos' kernel."""
    model, image, runs = plain(own), scene(30, 22), []
    model.network.register_forward_hook(lambda *args: runs.append(args[1][0].shape[2:]))
    out = model.upscale(image, scale=scale, tile=1000)
    by_hand = image.resize((30 * own**times, 22 * own**times), Image.NEAREST)
    if by_hand.size != (round(30 * scale), round(22 * scale)):
        by_hand = by_hand.resize((round(30 * scale), round(22 * scale)), Image.LANCZOS)
    assert apart(out, by_hand) <= 1
    assert [tuple(size) for size in runs if size != (64, 64)] == [(22 * own**i, 30 * own**i) for i in range(times)]


def test_twice_in_tiles_is_twice_the_whole():
    model, image = upscaler("srvgg", scale=2), scene(70, 50)
    assert apart(model.upscale(image, scale=3.3, tile=32), model.upscale(image, scale=3.3)) <= 1


def test_progress_and_stopping():
    model, image, told = upscaler(), scene(131, 97), []
    model.upscale(image, scale=6, tile=32, progress=lambda done, total: told.append((done, total)))
    assert told == sorted(told)
    assert told[0][0] == 0
    assert told[-1][0] == told[-1][1] == 131 * 97 * 17
    assert len(told) > 100
    asked = itertools.count()
    with pytest.raises(CancelledError):
        model.upscale(image, tile=32, cancel=lambda: next(asked) == 3)
    assert next(asked) == 4


def test_when_memory_runs_out_tiles_get_smaller(monkeypatch):
    model, image = upscaler(), scene(131, 97)
    whole, forward, failed = model.upscale(image), model.network.forward, []

    def small_machine(x):
        if x[0, 0].numel() > 50 * 50:
            failed.append(x.shape)
            raise torch.OutOfMemoryError("out of memory")
        return forward(x)

    monkeypatch.setattr(model.network, "forward", small_machine)
    for tile in (None, 64):
        failed.clear()
        assert apart(model.upscale(image, tile=tile), whole) <= 1
        assert failed
    monkeypatch.setattr(model.network, "forward", lambda x: small_machine(torch.zeros(1, 1, 99, 99)))
    with pytest.raises(StudioError, match="out of memory"):
        model.upscale(image, tile=64)
    monkeypatch.setattr(model.network, "forward", lambda x: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        model.upscale(image, tile=64)


def test_tiles_by_themselves_when_memory_is_short(monkeypatch):
    model, image = upscaler(), scene(131, 97)
    whole, runs = model.upscale(image), []
    model.network.register_forward_hook(lambda *args: runs.append(args[1][0].shape))
    model.upscale(image)
    assert len(runs) == 1
    monkeypatch.setattr(upscale_module, "free_bytes", lambda device: 3 << 20)
    assert apart(model.upscale(image), whole) <= 1
    assert len(runs) > 3


def test_a_network_that_needs_the_whole_gets_it(monkeypatch):
    model, image = upscaler(), scene(131, 97)
    whole = model.upscale(image)
    other = upscaler()
    other.network.untileable = True
    monkeypatch.setattr(upscale_module, "free_bytes", lambda device: 0)
    assert apart(other.upscale(image), whole) == 0


class Levelled(Plain):
    """Subtracts half the mean of the full picture, as squeeze-and-excitation and norms do in their way."""

    halo = 64

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x - x.mean(dim=(2, 3), keepdim=True) / 2)


class Blurred(Plain):
    """Sees 40 pixels far and no further."""

    halo = 64

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for size, around in (((1, 81), (0, 40)), ((81, 1), (40, 0))):
            x = torch.nn.functional.avg_pool2d(x, size, stride=1, padding=around, count_include_pad=False)
        return super().forward(x)


def halves_that_differ() -> Image.Image:
    pixels = np.asarray(scene(160, 100)) // 4
    return Image.fromarray(np.concatenate([pixels[:, :80], pixels[:, 80:] + 180], axis=1))


@pytest.mark.parametrize("tile", [None, 32])
def test_a_network_that_uses_means_of_the_picture_gets_the_whole(tile, monkeypatch):
    """A tile of the dark half would come out brighter than the whole picture does."""
    model, image = Model(Levelled(2), "srvgg", "levelled"), halves_that_differ()
    runs = []
    whole = model.upscale(image)
    model.network.register_forward_hook(lambda *args: runs.append(args[1][0].shape))
    assert apart(model.upscale(image, tile=tile), whole) == 0
    assert [tuple(shape[2:]) for shape in runs] == [(100, 160)]
    monkeypatch.setattr(upscale_module, "free_bytes", lambda device: 1 << 20)
    assert model.upscale(image, tile=tile).size == whole.size, "too large for the memory, it is made from tiles all the same"
    assert len(runs) > 2


def test_a_network_that_sees_far_but_not_everything_gets_tiles():
    model = Model(Blurred(1), "srvgg", "blurred")
    assert apart(model.upscale(halves_that_differ(), tile=32), model.upscale(halves_that_differ())) <= 1
    assert not upscale_module._measurements[model.network].whole


# -- kinds of pictures ------------------------------------------------------------------------------------------------


def test_transparency_is_drawn_too():
    model, image = plain(2), scene(40, 30).convert("RGBA")
    alpha = Image.radial_gradient("L").resize((40, 30))
    image.putalpha(alpha)
    out = model.upscale(image, tile=32)
    assert out.mode == "RGBA"
    assert apart(out, image.resize((80, 60), Image.NEAREST)) == 0
    half = upscaler().upscale(image)
    assert half.mode == "RGBA"
    assert half.getchannel("A").tobytes() != image.resize(half.size, Image.NEAREST).getchannel("A").tobytes()
    image.putalpha(77)
    assert set(upscaler().upscale(image).getchannel("A").tobytes()) == {77}, "what is the same all over stays so"


def test_no_colour_of_what_is_hidden_gets_into_the_edges():
    """A white disc on transparent black comes out white, not with a dark border."""
    y, x = np.mgrid[:60, :80]
    inside = ((y - 30) ** 2 + (x - 40) ** 2 < 400).astype(np.uint8) * 255
    disc = Image.fromarray(np.dstack([inside, inside, inside, inside]))
    out = np.asarray(upscaler("srvgg", scale=1, convs=0).upscale(disc))
    white = np.asarray(upscaler("srvgg", scale=1, convs=0).upscale(Image.new("RGB", disc.size, "white")))
    inner = np.asarray(Image.fromarray(inside).filter(ImageFilter.MinFilter(3))) > 0
    edge = (inside > 0) & ~inner
    assert np.abs(out[edge][:, :3].astype(int) - white[30, 40]).max() <= 1


@pytest.mark.parametrize("mode", ["L", "LA", "I;16"])
def test_grey_stays_grey(mode):
    grey = scene(40, 30).convert("L")
    image = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257) if mode == "I;16" else grey.convert(mode)
    for model in (plain(2), plain(2, in_channels=1)):
        out = model.upscale(image, tile=32)
        assert out.mode == mode
        assert np.array_equal(np.asarray(out), np.asarray(image).repeat(2, 0).repeat(2, 1))


@pytest.mark.parametrize("strength", [1.0, 0.5, 0.0])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "16 bits"])
def test_a_colour_picture_that_is_grey_gets_no_tint(mode, strength):
    """It goes through the network as grey does, and comes out in the mode in which it came."""
    grey, model = scene(40, 30).convert("L"), upscaler()
    if mode == "16 bits":
        deep = np.asarray(grey).astype(np.uint16)[:, :, None].repeat(3, 2) * 257
        rasters = Raster(deep), Raster(deep[:, :, :1])
    else:
        image = (grey if mode == "P" else grey.convert("RGB")).convert(mode)
        if mode == "RGBA":
            image.putalpha(Image.linear_gradient("L").resize(image.size))
        rasters = Raster.from_image(image), Raster.from_image(image.convert("LA") if mode == "RGBA" else grey)
    made = []
    for raster in rasters:
        rows: list[np.ndarray] = []
        run_device_work(Upscaling(model.network, raster, None, strength, None, True).into(rows.append), lambda piece: piece())
        made.append(np.concatenate(rows))
    coloured, plain_grey = made
    assert coloured.shape[2] == rasters[0].pixels.shape[2]
    assert coloured.dtype == rasters[0].pixels.dtype
    for channel in range(3):
        assert np.array_equal(coloured[:, :, channel], plain_grey[:, :, 0])
    if mode == "RGBA":
        assert np.array_equal(coloured[:, :, 3], plain_grey[:, :, 1])


def test_one_coloured_pixel_is_seen():
    image = Image.new("RGB", (40, 30), (90, 90, 90))
    image.putpixel((39, 29), (90, 90, 91))
    assert np.asarray(plain(1).upscale(image))[29, 39].tolist() == [90, 90, 91]


def test_colours_through_a_grey_network():
    image = scene(40, 30)
    assert apart(plain(2, in_channels=1).upscale(image), image.resize((80, 60), Image.NEAREST)) == 0


@pytest.mark.parametrize("mode", ["1", "P", "PA", "RGBa", "CMYK", "YCbCr", "HSV", "I", "F"])
def test_other_modes(mode):
    image = scene(24, 20).convert("RGBA").convert(mode) if mode in ("PA", "RGBa") else scene(24, 20).convert(mode)
    out = plain(2).upscale(image)
    assert out.size == (48, 40)
    assert out.mode == {"PA": "RGBA", "RGBa": "RGBA", "I": "I;16", "F": "L"}.get(mode, out.mode)


def test_the_profile_is_kept():
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for image, kept in ((scene(24, 20), True), (scene(24, 20).convert("L"), True), (scene(24, 20).convert("CMYK"), False)):
        image.info["icc_profile"] = profile
        assert (plain(2).upscale(image).info.get("icc_profile") == profile) == kept, "that of inks is not one of lights"


def test_what_cannot_be_used_is_told():
    model, image = plain(4), scene(24, 20)
    for bad, settings, words in (
        ("a.png", {}, "not a picture but"),
        (Image.new("RGB", (0, 5)), {}, "0 x 5"),
        (Image.new("1", (MAX_NETWORK_PIXELS // 1024 + 1, 1024)), {}, "64 megapixels"),
        *((image, dict(scale=scale), "The scale") for scale in (0.5, 17, "2", True, float("nan"))),
        *((image, dict(tile=tile), "The tile") for tile in (31, 64.0)),
        (Image.new("1", (9000, 7000)), dict(scale=16), "The result would be 144000 x 112000"),
    ):
        with pytest.raises(StudioError, match=words):
            model.upscale(bad, **settings)
    with pytest.raises(StudioError, match="does not upscale pictures"):
        cyclegan().upscale(image)
    with pytest.raises(StudioError, match="does not translate pictures"):
        model.translate(image)


# -- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bits_of_a_tiff_are_read(channels, tmp_path):
    """tests/unit/imaging/test_png_stream.py has those of PNGs."""
    pixels = np.random.default_rng(0).integers(0, 65536, (9, 7, channels), dtype=np.uint16)
    with av.open(str(tmp_path / "a.tiff"), "w", format="image2") as out:
        stream = out.add_stream("tiff", rate=1)
        stream.width, stream.height, stream.pix_fmt = 7, 9, {1: "gray16le", 3: "rgb48le"}[channels]
        frame = av.VideoFrame.from_ndarray(pixels if channels == 3 else pixels[:, :, 0], format=stream.pix_fmt)
        for packet in (*stream.encode(frame), *stream.encode(None)):
            out.mux(packet)
    assert np.array_equal(Raster.from_file(tmp_path / "a.tiff").pixels, pixels)


@pytest.mark.parametrize("turn", range(1, 9))
def test_files_are_turned_upright(turn, tmp_path):
    """8 bits by Pillow, 16 by the same turns here."""
    exif = Image.Exif()
    exif[0x0112] = turn
    small = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    Image.fromarray(small).save(tmp_path / "a.png", exif=exif)
    eight = Raster.from_file(tmp_path / "a.png").pixels
    deep = encoded(small.astype(np.uint16) * 257, [])
    with_exif = (tmp_path / "a.png").read_bytes()
    at = with_exif.index(b"eXIf") - 4
    chunk = with_exif[at : at + 12 + int.from_bytes(with_exif[at : at + 4], "big")]
    (tmp_path / "deep.png").write_bytes(deep[:33] + chunk + deep[33:])
    assert np.array_equal(Raster.from_file(tmp_path / "deep.png").pixels, eight.astype(np.uint16) * 257)


def test_files_that_cannot_be_used(tmp_path):
    (tmp_path / "text.png").write_text("hello")
    deep = encoded(np.random.default_rng(0).integers(0, 65536, (90, 70, 3), dtype=np.uint16), [])
    (tmp_path / "cut.png").write_bytes(deep[:20000])
    Image.new("1", (MAX_NETWORK_PIXELS // 1024 + 1, 1024)).save(tmp_path / "huge.png")
    for name, words in (("text", "cannot be read"), ("none", "cannot be read"), ("cut", "cannot be read"), ("huge", "too large")):
        with pytest.raises(StudioError, match=words):
            Raster.from_file(tmp_path / f"{name}.png")


def test_sixteen_bits_of_colour_become_eight_for_pillow():
    values = np.array([[[0, 128, 129], [65535, 65407, 65406]]], np.uint16)
    assert np.asarray(Raster(values).to_image()).tolist() == [[[0, 0, 1], [255, 255, 254]]]


# -- bands ------------------------------------------------------------------------------------------------------------


def all_rows(bands, band: int, dtype=np.uint8) -> np.ndarray:
    out = []
    run_device_work(write_rows(bands, np.dtype(dtype), out.append, band), lambda piece: piece())
    return np.concatenate(out)


@pytest.mark.parametrize("size", [(90, 41), (33, 300), (1, 1), (64, 48)])
def test_resized_in_bands_is_resized_as_a_whole(size):
    image = scene(64, 48)
    expected = np.asarray(image.resize(size, Image.LANCZOS)).astype(int)
    for band in (1, 7, 1000):
        assert np.abs(all_rows(ResizedRows(StoredRows(np.asarray(image)), size[1], size[0]), band) - expected).max() <= 1


def test_strength_mixes_with_a_plain_enlargement():
    model, image = plain(4), scene(40, 30)
    drawn, soft = (np.asarray(x).astype(float) for x in (model.upscale(image), image.resize((160, 120), Image.LANCZOS)))
    for strength in (0.0, 0.3, 1.0):
        out = []
        job = Upscaling(model.network, Raster.from_image(image), None, strength, None, True)
        run_device_work(job.into(out.append), lambda piece: piece())
        assert np.abs(np.concatenate(out) - (drawn * strength + soft * (1 - strength))).max() <= 1.5
        assert (job.done, job.all) == ((0, 0) if strength == 0 else (1200, 1200))


def test_mixed():
    one, other = np.full((4, 5, 1), 200, np.uint8), np.full((4, 5, 1), 100, np.uint8)
    assert (all_rows(BlendedRows(StoredRows(one), StoredRows(other), 0.25), 3) == 125).all()


def test_only_a_few_rows_are_there_at_once(monkeypatch):
    """A tall picture, made twice as large twice: no stage holds more rows than a few rows of tiles."""
    job = Upscaling(plain(2).network, Raster(np.zeros((2000, 40, 3), np.uint8)), 4.0, 1.0, 32, False)
    held, got, rows = [], [], upscale_module._UpscaledRows.rows

    def watched(self, top, bottom):
        out = yield from rows(self, top, bottom)
        held.append(len(self._ready) / self.network.scale)
        return out

    monkeypatch.setattr(upscale_module._UpscaledRows, "rows", watched)
    monkeypatch.setattr(upscale_module, "_CHUNK", 160 * 3 * 64)
    run_device_work(job.into(lambda x: got.append(len(x))), lambda piece: piece())
    assert sum(got) == 8000
    assert max(got) == 64
    assert max(held) <= 3 * 32


@pytest.mark.parametrize(("scale", "strength"), [(None, 1.0), (3, 1.0), (1.5, 0.5), (2, 0.0)])
@pytest.mark.parametrize("channels", [3, 4])
def test_a_seamless_picture_stays_seamless(scale, strength, channels):
    """Moved round its borders before or after, it is the same: no border can be seen."""
    network = upscaler("srvgg", scale=2).network
    picture = np.random.default_rng(3).integers(0, 255, (24, 20, channels), np.uint8)
    picture[..., 3:] |= 1  # nothing is fully transparent

    def upscaled(pixels: np.ndarray, seamless: bool = True) -> np.ndarray:
        rows: list[np.ndarray] = []
        job = Upscaling(network, Raster(pixels), scale, strength, 32, at_once=False, seamless=seamless)
        run_device_work(job.into(rows.append), lambda piece: piece())
        return np.concatenate(rows).astype(int)

    k = scale or 2
    here, moved = upscaled(picture), upscaled(np.roll(picture, (8, 6), (0, 1)))
    assert here.shape == (24 * k, 20 * k, channels)
    assert abs(moved - np.roll(here, (int(8 * k), int(6 * k)), (0, 1))).max() <= 2
    if channels == 3 and strength:
        plain = upscaled(picture, seamless=False)
        assert abs(plain - here)[0].max() > 4, "without the switch the border is drawn as an end"
        inner = slice(int(10 * k), int(12 * k))
        assert abs(plain - here)[inner, inner].max() <= 2
