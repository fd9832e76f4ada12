"""A picture that an artist gives a panel of Explore, for its colours or as a mask."""

import numpy as np

from studio.errors import StudioError
from studio.imaging.decode import UnusablePicture, decode, reason

_MAX_PIXELS = 64_000_000


def given_picture(file: str, what: str) -> np.ndarray:
    """The picture of an uploaded file, uint8 (H, W, 3). Raises StudioError.  what: it is taken as, 'palette' or 'mask'."""
    try:
        return decode(file, max_pixels=_MAX_PIXELS)
    except (UnusablePicture, OSError, ValueError, SyntaxError, EOFError) as e:
        raise StudioError(f"The {what} cannot be taken: {reason(e)}.", "Choose another picture.") from None
