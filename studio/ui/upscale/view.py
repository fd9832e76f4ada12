"""Parts of the Upscale page: how large a picture becomes, in pixels and in print, and the window at 100 %."""

import html
from dataclasses import dataclass

from PIL import Image

from studio.engine.image_recipe import MAX_SCALE
from studio.errors import StudioError
from studio.imaging.xmp import DigitalSourceType
from studio.ui.components.compare import picture_url
from studio.ui.components.notes import note

FACTOR, PIXELS, PRINT = "factor", "pixels", "print"
SIDES = [("Longer side", "longer"), ("Width", "width"), ("Height", "height")]
_INCH = 2.54  # cm
USUAL_DPI = 300
_SHARP, _FINE = 250, 140  # dots an inch


@dataclass(frozen=True)
class Size:
    """How large the result is wanted.  by: 'factor', 'pixels' or 'print'.  side: which one `pixels` and `cm` are meant for."""

    by: str
    factor: float | None
    side: str
    pixels: float | None
    cm: float | None
    dpi: float | None

    @property
    def printed_dpi(self) -> float:
        """Dots an inch to be written into the file; 0 = not said."""
        return float(self.dpi or 0) if self.by == PRINT else 0

    def scale(self, width: int, height: int) -> float:
        """How many times as large a picture of so many pixels becomes. Raises StudioError for a size that cannot be had."""
        if self.by == FACTOR:
            wanted = float(self.factor or 0)
        else:
            number = self.pixels if self.by == PIXELS else (self.cm or 0) / _INCH * (self.dpi or 0)
            if not number or number <= 0:
                what = "pixels are" if self.by == PIXELS else "centimetres or dpi are"
                raise StudioError(f"The {what} missing.", "Write a number above 0.")
            side = {"width": width, "height": height}.get(self.side, max(width, height))
            wanted = max(1, round(number)) / side
        if wanted < 1:
            raise StudioError(f"That is smaller than the picture, which has {width:,} x {height:,} px.", "Ask for more.")
        if wanted > MAX_SCALE:
            raise StudioError(f"That is {wanted:,.1f} times the picture.", f"Up to {MAX_SCALE} times can be made.")
        return wanted


def size_in_words(size: Size, width: int, height: int) -> str:
    """What a picture of so many pixels becomes. HTML."""
    try:
        scale = size.scale(width, height)
    except StudioError as e:
        return note(f"<b>{html.escape(e.message)}</b> {html.escape(e.hint)}")
    w, h = round(width * scale), round(height * scale)
    dpi = size.printed_dpi or USUAL_DPI
    how = "sharp from near by" if dpi >= _SHARP else "fine at arm's length" if dpi >= _FINE else "for a look from afar"
    return note(
        f"{width:,} x {height:,} px become <b>{w:,} x {h:,} px</b> ({scale:.4g} times, {w * h / 1e6:.3g} megapixels). "
        f"In print: <b>{w / dpi * _INCH:.1f} x {h / dpi * _INCH:.1f} cm</b> at {dpi:g} dpi, {how}."
    )


def window_html(before: Image.Image, after: Image.Image) -> str:
    """Both at 100 %: a pixel of theirs is one of the screen's."""
    parts = [
        f'<figure><img alt="{words}, at 100 %" src="{picture_url(picture, origin)}"><figcaption>{words}</figcaption></figure>'
        for picture, words, origin in ((before, "Before: plainly enlarged", None), (after, "After", DigitalSourceType.COMPOSITE))
    ]
    return f'<div class="gs-window">{"".join(parts)}</div>'
