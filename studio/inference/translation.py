"""Translation of one picture: any mode, any size, at once or in pieces; transparency is restored."""

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
from studio.inference.feature_maps import PictureMap
from studio.inference.layerwise import buffer_bytes, largest_values, plan_layer_passes, run_layer_passes, supports_layerwise
from studio.inference.tiling import Box
from studio.networks.translation.resnet_unet_patchgan import Translator
from studio.settings import get_settings

MIN_TILE = 32
_MIN_SIDE = 8  # pixels; a ResNet mirrors borders at a quarter of the size, where it needs two
_WHITE = (255, 255, 255)  # background of transparent parts, as in training
_TILE_CPU, _TILE = 256, 1024  # side of a piece in pixels; on a CPU small pieces fit the caches and let the next request begin sooner
_SURELY_FITS = 512 * 512  # pixels; any current machine has memory for them
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
    """Run `translation_steps` to its end and return the result.

    progress: called with (done, all) in thousandths of the work.  cancel: asked before each piece; when true CancelledError is
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
    """Translate a picture piece by piece: yields (work done, all work) after each, and returns RGB of the same size, or RGBA
    where the picture may be transparent.

    tile: side of a piece in pixels, 32 or more; None = the full picture at once if it fits into memory, else pieces of a usual
    size. The result is the same up to rounding (see layerwise). A network that cannot be run in pieces takes the picture at once,
    whatever the tile. When memory runs out, smaller pieces are tried.
    make_room: called before such an attempt.
    Raises StudioError for anything that is not a picture, has no pixels or more than 64 megapixels, or cannot be decoded, for a
    smaller tile, and when memory runs out for the smallest pieces.
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
    out, whole = None, not supports_layerwise(network.generator(direction))
    if whole or (tile is None and _fits(network, direction, pixels)):
        out = _at_once(network, pixels, direction, device)
        if out is None:
            make_room()
    if out is None and whole:
        out = _at_once(network, pixels, direction, device)
        if out is None:
            raise StudioError("The device ran out of memory.", "Close other programs, or make the picture smaller.")
    if out is None:
        out = yield from _in_pieces(network, pixels, direction, device, tile, make_room)
    else:
        yield 1, 1
    result = Image.fromarray(out[:height, :width])
    if picture.mode == "RGBA":
        result.putalpha(picture.getchannel("A"))
    return result


def default_tile_size(device: torch.device) -> int:
    """Side of a piece in pixels when none is given."""
    return _TILE_CPU if device.type == "cpu" else _TILE


def _padded(pixels: np.ndarray, multiple: int) -> np.ndarray:
    """A picture (H, W, C) padded by mirroring on the right and below, to sides that are multiples of `multiple`."""
    missing = [max(_MIN_SIDE, -(-size // multiple) * multiple) - size for size in pixels.shape[:2]]
    return np.pad(pixels, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="reflect")


def _at_once(network: Translator, pixels: np.ndarray, direction: str, device: torch.device) -> np.ndarray | None:
    """The translation (H, W, 3) uint8 in one piece, or None when memory ran out."""
    try:
        x = torch.from_numpy(pixels).to(device).permute(2, 0, 1)[None].float() / 127.5 - 1
        return to_uint8(network(x, direction))[0]
    except Exception as e:
        if not out_of_memory(e):
            raise
    return None


def _fits(network: Translator, direction: str, pixels: np.ndarray) -> bool:
    """Whether the full picture fits into memory, estimated from what the network takes for a small one."""
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

    def on_piece(box: Box, x: torch.Tensor) -> None:
        out[box.top : box.bottom, box.left : box.right] = to_uint8(x)[0]

    passes = plan_layer_passes(network.generator(direction), PictureMap(pixels, network.prepare, network.reach, device), device, on_piece)
    values_a_pixel = largest_values(passes) / area
    tile = tile or default_tile_size(device)

    def smaller(e: Exception, values: int) -> int:
        if not out_of_memory(e):
            raise e
        if values // 4 < MIN_TILE**2 * values_a_pixel:
            raise StudioError("The device ran out of memory.", "Close other programs, or make the picture smaller.") from None
        make_room()
        return values // 4

    with room_for_maps(buffer_bytes(passes), device, get_settings().cache) as allocate:
        yield from run_layer_passes(passes, int(tile**2 * values_a_pixel), allocate, smaller)
    return out
