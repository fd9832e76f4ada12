"""HTML of the Upscale tab: the size in pixels and in print, and the window at 100 %."""

import html

from PIL import Image

from studio.errors import StudioError
from studio.imaging.xmp import DigitalSourceType
from studio.ui.components.compare import picture_url
from studio.ui.components.notes import note
from studio.ui.upscale.size import CM_PER_INCH, USUAL_DPI, Size

_SHARP, _FINE = 250, 140  # dots per inch


def size_html(size: Size, width: int, height: int) -> str:
    """The size that a picture of so many pixels will have, or why that is impossible."""
    try:
        scale = size.scale(width, height)
    except StudioError as e:
        return note(f"<b>{html.escape(e.message)}</b> {html.escape(e.hint)}")
    w, h = round(width * scale), round(height * scale)
    dpi = size.printed_dpi or USUAL_DPI
    how = "sharp at close range" if dpi >= _SHARP else "fine at arm's length" if dpi >= _FINE else "best seen from a distance"
    return note(
        f"{width:,} x {height:,} px become <b>{w:,} x {h:,} px</b> ({scale:.4g} times, {w * h / 1e6:.3g} megapixels). "
        f"In print: <b>{w / dpi * CM_PER_INCH:.1f} x {h / dpi * CM_PER_INCH:.1f} cm</b> at {dpi:g} dpi, {how}."
    )


def window_html(before: Image.Image, after: Image.Image) -> str:
    """Parts of both pictures at 100 %: one pixel of a picture is one pixel of the screen."""
    parts = [
        f'<figure><img alt="{words}, at 100 %" src="{picture_url(picture, source)}"><figcaption>{words}</figcaption></figure>'
        for picture, words, source in ((before, "Before: simply enlarged", None), (after, "After", DigitalSourceType.COMPOSITE))
    ]
    words = note("<b>At 100 %.</b> Point at the picture, or press it, to see another part.")
    return words + f'<div class="gs-window">{"".join(parts)}</div>'
