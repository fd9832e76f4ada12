"""What one visitor has open in the Translate tab."""

from dataclasses import dataclass, field

from PIL import Image

from studio.errors import StudioError
from studio.outputs.batches import SourcePicture, open_source
from studio.ui.components.image_state import ImageState


@dataclass
class TranslateState(ImageState):
    """The open picture and what was made of it. All but the path may be released to save memory; it is made again when needed.

    source: the picture that was given, opened.  done: its result is on the page.
    raws: number of passes -> what the network made of the picture, before strength and colour.  key: what else that depends on.
    views: source and raw result, at the size at which they are shown.  recoloured: the latter in the colours of the former.
    """

    source: SourcePicture | None = None
    done: bool = False
    raws: dict[int, Image.Image] = field(default_factory=dict)
    key: tuple = ()
    views: tuple[Image.Image, Image.Image] | None = None
    recoloured: Image.Image | None = None

    def give(self, path) -> None:
        """Begin with another picture; None = with none."""
        super().give(path)
        self.done = False

    def release(self) -> None:
        """Free what takes memory."""
        self.source, self.raws, self.key, self.views, self.recoloured = None, {}, (), None, None

    def opened(self) -> SourcePicture:
        """The picture that was given. Raises StudioError when there is none, or it cannot be used."""
        if self.path is None:
            raise StudioError("There is no picture yet.", "Upload one first.")
        if self.source is None:
            self.source = open_source(self.path)
        return self.source
