"""One picture through a network that translates: any mode, any size, transparency put back."""

import numpy as np
import torch
from PIL import Image

from studio.datasets.decode import eight_bits, over_ground, reason
from studio.errors import StudioError
from studio.models.pixels import to_uint8
from studio.networks.translators import Translator

MAX_PIXELS = 64 << 20
_LEAST = 8  # pixels a side; a ResNet mirrors borders at a quarter of the size, which needs two
_WHITE = (255, 255, 255)  # what was below transparent parts when the network learned


def translate_picture(network: Translator, image: Image.Image, direction: str) -> Image.Image:
    """A picture -> RGB or, where the picture may be transparent, RGBA of the same size.

    Raises StudioError for what is no picture, has no pixels or more than 64 megapixels, or cannot be decoded.
    """
    if not isinstance(image, Image.Image):
        raise StudioError(f"A picture is wanted, not a {type(image).__name__}.", "Open it with PIL.Image.open.")
    width, height = image.size
    if not width or not height:
        raise StudioError(f"The picture is {width} x {height} pixels.", "Give one with at least one pixel.")
    if width * height > MAX_PIXELS:
        raise StudioError(f"The picture is {width} x {height} pixels, more than 64 megapixels.", "Make it smaller.")
    try:
        picture = eight_bits(image)
    except Exception as e:  # Pillow decodes late, and its decoders raise nearly anything for a damaged file
        raise StudioError(f"The picture cannot be read: {reason(e)}.", "Open it in another program, and save it anew.") from None
    pixels = np.asarray(over_ground(picture, _WHITE))
    if network.channels(direction) == 1:
        pixels = np.asarray(Image.fromarray(pixels).convert("L"))[:, :, None]
    device = next(network.parameters()).device
    x = torch.from_numpy(_padded(pixels, network.multiple)).to(device).permute(2, 0, 1)[None].float() / 127.5 - 1
    result = Image.fromarray(to_uint8(network(x, direction)[:, :, :height, :width])[0])
    if picture.mode == "RGBA":
        result.putalpha(picture.getchannel("A"))
    return result


def _padded(pixels: np.ndarray, multiple: int) -> np.ndarray:
    """(H, W, C) mirrored on the right and below, as often as it takes, to multiples of `multiple`."""
    missing = [max(_LEAST, -(-size // multiple) * multiple) - size for size in pixels.shape[:2]]
    return np.pad(pixels, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="reflect")
