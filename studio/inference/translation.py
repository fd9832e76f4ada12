"""One picture through a network that translates: any mode, any size, transparency put back."""

import weakref
from collections.abc import Callable, Generator

import numpy as np
import torch
from PIL import Image

from studio.common.memory import free_bytes, layer_bytes, out_of_memory, room_for_maps
from studio.common.progress import Cancel, Progress, raise_if_cancelled, report
from studio.errors import StudioError
from studio.imaging.decode import over_ground
from studio.imaging.pixels import to_uint8
from studio.imaging.raster import check_image
from studio.inference.layerwise import Pixels, can_pass, kept_bytes, largest_values, plan_passes, run_passes
from studio.inference.tiling import Box
from studio.networks.translation.resnet_unet_patchgan import Translator
from studio.settings import get_settings

MIN_TILE = 32
_LEAST = 8  # pixels a side; a ResNet mirrors borders at a quarter of the size, which needs two
_WHITE = (255, 255, 255)  # what was below transparent parts when the network learned
_TILE_CPU, _TILE = 256, 1024  # pixels a side of a piece; on CPUs what fits the caches is as quick, and the next wish waits less
_SURELY_FITS = 512 * 512  # pixels that any machine of today can hold
_SHARE = 0.6  # of the free memory

TranslationSteps = Generator[tuple[float, float], None, Image.Image]
_bytes_a_pixel: "weakref.WeakKeyDictionary[Translator, dict[str, float]]" = weakref.WeakKeyDictionary()


def translate_picture(
    network: Translator,
    image: Image.Image,
    direction: str,
    tile: int | None = None,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> Image.Image:
    """What `translation_steps` gives, when all its steps are done.

    progress: called with (done, all), in thousandths of the work.  cancel: asked before each piece; when true CancelledError is
    raised.
    """
    steps = translation_steps(network, image, direction, tile)
    while True:
        raise_if_cancelled(cancel)
        try:
            done, total = next(steps)
        except StopIteration as end:
            return end.value
        report(progress, int(1000 * done / total), 1000)


def translation_steps(
    network: Translator, image: Image.Image, direction: str, tile: int | None = None, make_room: Callable[[], None] = lambda: None
) -> TranslationSteps:
    """A picture -> RGB or, where the picture may be transparent, RGBA of the same size; in steps of one piece, after each of
    which it yields (work done, all work).

    tile: side of a piece in pixels; None = the whole picture at once if that surely fits into memory, else pieces of a usual
    size. The result is the same, but for rounding (studio/models/passes.py says why). When memory runs out, smaller ones are
    tried.  make_room: called before such a try.
    Raises StudioError for what is no picture, has no pixels or more than 64 megapixels, or cannot be decoded, for a tile below
    32 px, and when memory runs out for the smallest pieces.
    """
    if tile is not None and (type(tile) is not int or tile < MIN_TILE):
        raise StudioError(f"The tile is {tile!r:.40} pixels.", f"It must be a whole number from {MIN_TILE} on, or None.")
    picture = check_image(image)
    width, height = picture.size
    pixels = np.asarray(over_ground(picture, _WHITE))
    if network.channels(direction) == 1:
        pixels = np.asarray(Image.fromarray(pixels).convert("L"))[:, :, None]
    pixels = _padded(pixels, network.multiple)
    device = next(network.parameters()).device
    out = None
    if tile is None and (not can_pass(network.generator(direction)) or _fits(network, direction, pixels)):
        out = _whole(network, pixels, direction, device)
        if out is None:
            make_room()
    if out is None:
        out = yield from _in_pieces(network, pixels, direction, device, tile, make_room)
    else:
        yield 1, 1
    result = Image.fromarray(out[:height, :width])
    if picture.mode == "RGBA":
        result.putalpha(picture.getchannel("A"))
    return result


def default_tile_size(device: torch.device) -> int:
    """Pixels a side of a piece."""
    return _TILE_CPU if device.type == "cpu" else _TILE


def _padded(pixels: np.ndarray, multiple: int) -> np.ndarray:
    """(H, W, C) mirrored on the right and below, as often as it takes, to multiples of `multiple`."""
    missing = [max(_LEAST, -(-size // multiple) * multiple) - size for size in pixels.shape[:2]]
    return np.pad(pixels, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="reflect")


def _whole(network: Translator, pixels: np.ndarray, direction: str, device: torch.device) -> np.ndarray | None:
    """(H, W, 3) uint8, or None when memory ran out."""
    try:
        x = torch.from_numpy(pixels).to(device).permute(2, 0, 1)[None].float() / 127.5 - 1
        return to_uint8(network(x, direction))[0]
    except Exception as e:
        if not out_of_memory(e):
            raise
    return None


def _fits(network: Translator, direction: str, pixels: np.ndarray) -> bool:
    """Whether memory holds the whole picture at once, by what the network takes for a small one."""
    area = pixels.shape[0] * pixels.shape[1]
    if area <= _SURELY_FITS:
        return True
    device = next(network.parameters()).device
    measured = _bytes_a_pixel.setdefault(network, {})
    if direction not in measured:
        side = max(64, network.multiple)
        x = torch.zeros(1, network.channels(direction), side, side, device=device)
        measured[direction] = layer_bytes(network, lambda: network(x, direction)) / side**2
    return measured[direction] * area < _SHARE * free_bytes(device)


def _in_pieces(
    network: Translator, pixels: np.ndarray, direction: str, device: torch.device, tile: int | None, make_room: Callable[[], None]
) -> Generator[tuple[float, float], None, np.ndarray]:
    area = pixels.shape[0] * pixels.shape[1]
    out = np.empty((*pixels.shape[:2], 3), np.uint8)

    def take(box: Box, x: torch.Tensor) -> None:
        out[box.top : box.bottom, box.left : box.right] = to_uint8(x)[0]

    passes = plan_passes(network.generator(direction), Pixels(pixels, network.prepare, network.reach, device), device, take)
    values_a_pixel = largest_values(passes) / area
    tile = tile or default_tile_size(device)

    def smaller(e: Exception, values: int) -> int:
        if not out_of_memory(e):
            raise e
        if values // 4 < MIN_TILE**2 * values_a_pixel:
            raise StudioError("The device ran out of memory.", "Close other programs, or make the picture smaller.") from None
        make_room()
        return values // 4

    with room_for_maps(kept_bytes(passes), device, get_settings().cache) as new_map:
        yield from run_passes(passes, int(tile**2 * values_a_pixel), new_map, smaller)
    return out
