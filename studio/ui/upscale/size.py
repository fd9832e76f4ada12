"""How large a picture becomes: by a factor, in pixels, or in print."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from studio.engine.image_recipe import MAX_SCALE
from studio.errors import StudioError
from studio.ui.components.handlers import Outputs

FACTOR, PIXELS, PRINT = "factor", "pixels", "print"
CM_PER_INCH = 2.54
USUAL_DPI = 300
_WAYS = [("By a factor", FACTOR), ("To pixels", PIXELS), ("For print (cm)", PRINT)]
_SIDES = [("Longer side", "longer"), ("Width", "width"), ("Height", "height")]


@dataclass(frozen=True)
class Size:
    """How large the result is wanted.

    by: FACTOR, PIXELS or PRINT.  side: the one that `pixels` or `cm` is for: 'longer', 'width' or 'height'.
    """

    by: str
    factor: float | None
    side: str
    pixels: float | None
    cm: float | None
    dpi: float | None

    @property
    def printed_dpi(self) -> float:
        """Dots per inch to be written into the file; 0 = none."""
        return float(self.dpi or 0) if self.by == PRINT else 0

    @property
    def target_pixels(self) -> int:
        """Pixels of `side`; 0 = by the factor, or not stated."""
        if self.by == FACTOR:
            return 0
        return max(0, round(self.pixels or 0 if self.by == PIXELS else (self.cm or 0) / CM_PER_INCH * (self.dpi or 0)))

    def scale(self, width: int, height: int) -> float:
        """The factor for a picture of so many pixels. Raises StudioError for a size that cannot be made."""
        if self.by == FACTOR:
            wanted = float(self.factor or 0)
        else:
            number = self.target_pixels
            if number <= 0:
                what = "pixels are" if self.by == PIXELS else "centimetres or dpi are"
                raise StudioError(f"The {what} missing.", "Enter a number above 0.")
            side = {"width": width, "height": height}.get(self.side, max(width, height))
            wanted = number / side
        if wanted < 1:
            raise StudioError(f"That is smaller than the picture, which has {width:,} x {height:,} px.", "Choose a larger size.")
        if wanted > MAX_SCALE:
            raise StudioError(f"That is {wanted:,.1f} times the size of the picture.", f"Up to {MAX_SCALE} times is possible.")
        return wanted


class SizeInput:
    """Controls for a `Size`, built inside the current Blocks."""

    def __init__(self) -> None:
        self.by = gr.Radio(_WAYS, value=FACTOR, label="How large", elem_id="upscale-by")
        self.factor = gr.Slider(
            1,
            MAX_SCALE,
            4,
            step=0.1,
            label="Times as large (factor)",
            elem_id="upscale-factor",
            info="If the model has another factor, its result is resized to fit (Lanczos).",
        )
        self.side = gr.Radio(_SIDES, value="longer", label="Which side", visible=False, elem_id="upscale-side")
        self.pixels = gr.Number(2000, label="Pixels", precision=0, minimum=1, visible=False, elem_id="upscale-pixels")
        with gr.Row(visible=False) as self.print:
            self.cm = gr.Number(20, label="Centimetres", minimum=0.1, min_width=120, elem_id="upscale-cm")
            self.dpi = gr.Number(USUAL_DPI, label="Dots per inch (dpi)", minimum=1, min_width=120, elem_id="upscale-dpi")
        self.words = gr.HTML("", visible=False, padding=False, elem_id="upscale-words")

    @property
    def inputs(self) -> list[Any]:
        """Their values make a `Size`, in this order."""
        return [self.by, self.factor, self.side, self.pixels, self.cm, self.dpi]

    @property
    def outputs(self) -> list[Any]:
        """Components that `show` changes."""
        return [self.factor, self.side, self.pixels, self.print]

    def show(self, by: str) -> Outputs:
        """The controls for one way of saying the size."""
        visible = {self.factor: by == FACTOR, self.side: by != FACTOR, self.pixels: by == PIXELS, self.print: by == PRINT}
        return {part: gr.update(visible=on) for part, on in visible.items()}
