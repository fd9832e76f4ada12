"""What one visitor has open in the Upscale tab."""

from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from studio.errors import StudioError
from studio.outputs.upscaled_picture import UpscaledPicture, UpscaleSource, open_upscale_source
from studio.ui.components.image_state import ImageState

_SMALL = 256 * 256  # pixels of a picture that is upscaled as soon as it is given


@dataclass
class UpscaleState(ImageState):
    """The open picture and what was made of it.

    source: the picture that was given, opened.  result: what was made of it.  views: before and after, at the size at which they are shown.
    dpi: of its print, 0 = none is written.  at: the part seen at 100 %, x from the left and y from the top in [0, 1].
    requested: whether a run is wanted.
    """

    source: UpscaleSource | None = None
    result: UpscaledPicture | None = None
    views: tuple[Image.Image, Image.Image] | None = None
    dpi: float = 0
    at: tuple[float, float] = (0.5, 0.5)
    requested: bool = False

    def give(self, path: Path | None) -> None:
        """Begin with another picture; None = with none."""
        super().give(path)
        self.requested, self.at = False, (0.5, 0.5)

    def release(self) -> None:
        """Free what takes up memory and disk."""
        self.source, self.result, self.views = None, None, None

    def opened(self) -> UpscaleSource:
        """The picture that was given. Raises StudioError when there is none, or it cannot be used."""
        if self.path is None:
            raise StudioError("There is no picture yet.", "Upload one first.")
        if self.source is None:
            self.source = open_upscale_source(self.path)
        return self.source

    def upscaled(self) -> UpscaledPicture:
        """The result. Raises StudioError when there is none."""
        if self.result is None:
            raise StudioError("There is no result, or it was released to make room for others.", "Press 'Upscale it'.")
        return self.result

    @property
    def small(self) -> bool:
        """Whether the open picture is upscaled without being asked."""
        return self.source is not None and self.source.width * self.source.height <= _SMALL
