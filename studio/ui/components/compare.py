"""Two pictures in one frame with a line between them that is dragged, and pictures side by side with words below."""

import base64
import html
import io

import gradio as gr
from PIL import Image, PngImagePlugin

from studio.imaging.xmp import DigitalSourceType
from studio.outputs.batches import reduced
from studio.provenance.metadata import png_texts, xmp_for

VIEW = 1600  # px of the longer side; larger pictures are shown smaller
_CRISP = 128  # px; up to here pixels stay squares
_LOSSLESS = 512 * 512  # pixels; up to here a picture is sent lossless

# A real slider: arrow keys move it and screen readers announce it. Its position is kept outside the HTML that is redrawn, so that
# the line stays put when the picture changes.
_JS = """
let at = 50;
element.addEventListener('input', (e) => {
  if (!e.target.closest('.gs-compare')) return;
  at = e.target.value;
  element.style.setProperty('--at', at + '%');
});
new MutationObserver(() => {
  const slider = element.querySelector('.gs-compare input');
  if (slider) slider.value = at;
}).observe(element, { childList: true, subtree: true });
"""

# Reports the point under the pointer, or where keys have moved the line; not more often than the eye can follow.
_ZOOM_JS = """
let point_at = null, waiting = false, height = 0.5;
const report = () => { waiting = false; if (point_at) { trigger('select', point_at); point_at = null; } };
const look = (x, y) => {
  point_at = { x: Math.max(0, Math.min(1, x)), y: height = Math.max(0, Math.min(1, y)) };
  if (!waiting) { waiting = true; setTimeout(report, 120); }
};
const point = (e) => {
  const frame = e.target.closest('.gs-compare');
  if (!frame || !frame.querySelector('input')) return;
  const r = frame.getBoundingClientRect();
  look((e.clientX - r.left) / r.width, (e.clientY - r.top) / r.height);
};
element.addEventListener('pointermove', point);
element.addEventListener('pointerdown', point);
element.addEventListener('keyup', (e) => {
  if (e.target.closest('.gs-compare') && e.key.startsWith('Arrow')) look(e.target.value / 100, height);
});
"""


def compare(zoom: bool = False, **kwargs) -> gr.HTML:
    """An HTML component for `compare_html`.  zoom: `.select` gives the point that is looked at, x and y in [0, 1]."""
    return gr.HTML(js_on_load=_JS + _ZOOM_JS * zoom, padding=False, **kwargs)


def compare_html(before: Image.Image, after: Image.Image, alt: str) -> str:
    """The picture before, left of a line that can be dragged, and after, right of it."""
    width, height = after.size
    return (
        f'<div class="gs-stage"><div class="gs-compare{_classes(after)}" style="--w:{width};--h:{height}">'
        f'<img class="after" alt="{html.escape(alt, quote=True)}" src="{picture_url(after, DigitalSourceType.COMPOSITE)}">'
        f'<img class="before" alt="The picture before" src="{picture_url(before)}"><i></i><b>Before</b><b>After</b>'
        '<input type="range" min="0" max="100" step="0.5" value="50" aria-label="Compare: how much of the picture before is shown">'
        "</div></div>"
    )


def alone_html(picture: Image.Image, alt: str) -> str:
    """One picture in the frame."""
    width, height = picture.size
    return (
        f'<div class="gs-stage"><div class="gs-compare{_classes(picture)}" style="--w:{width};--h:{height}">'
        f'<img alt="{html.escape(alt, quote=True)}" src="{picture_url(picture)}"></div></div>'
    )


def figures_html(figures: list[tuple[Image.Image, str, DigitalSourceType | None]]) -> str:
    """Pictures with a line of words below each, and the AI label of each (`picture_url`)."""
    cells = [
        f'<figure><img class="{_classes(p).strip()}" alt="{html.escape(words, quote=True)}" '
        f'src="{picture_url(p, source_type)}" loading="lazy"><figcaption>{html.escape(words)}</figcaption></figure>'
        for p, words, source_type in figures
    ]
    return f'<div class="gs-figures">{"".join(cells)}</div>'


def pairs_html(pairs: list[tuple[Image.Image, Image.Image]]) -> str:
    """A strip of pictures before and after, each pair to be pressed (`press_grid`)."""
    cells = [
        f'<button type="button" data-i="{i}" title="Try this picture"><img alt="Example {i + 1} before" src="{picture_url(before)}">'
        f'<img alt="Example {i + 1} after" src="{picture_url(after, DigitalSourceType.COMPOSITE)}"></button>'
        for i, (before, after) in enumerate(pairs)
    ]
    return f'<div class="gs-grid gs-strip gs-examples">{"".join(cells)}</div>'


def picture_url(picture: Image.Image, source_type: DigitalSourceType | None = None) -> str:
    """The picture inside a URL: small ones lossless, others by the fastest codec that suits them.

    source_type: the AI label to embed, as pictures are also saved straight from the page; None for one that no network made.
    """
    buffer, label = io.BytesIO(), xmp_for(source_type)
    if picture.width * picture.height <= _LOSSLESS:
        format = "png"
        info = PngImagePlugin.PngInfo()
        for key, text in png_texts(source_type) if source_type else ():
            info.add_itxt(key, text)
        picture.save(buffer, "PNG", compress_level=3, pnginfo=info)
    elif picture.mode == "RGBA":
        format = "webp"
        picture.save(buffer, "WEBP", quality=90, method=1, xmp=label.encode())
    else:
        format = "jpeg"
        picture.save(buffer, "JPEG", quality=92, subsampling=0, xmp=label.encode() or None)
    return f"data:image/{format};base64," + base64.b64encode(buffer.getvalue()).decode()


def view(picture: Image.Image) -> Image.Image:
    """The picture at the size at which it is shown."""
    return reduced(picture, VIEW)


def _classes(picture: Image.Image) -> str:
    return (" small" if max(picture.size) <= _CRISP else "") + (" clear" if picture.mode == "RGBA" else "")
