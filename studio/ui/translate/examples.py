"""Strip of example pictures that came with a translation model, before and after."""

from typing import Any

import gradio as gr

from studio.engine.engine import Engine
from studio.engine.image_recipe import ImageRecipe
from studio.outputs.batches import open_source, reduced
from studio.ui.components.compare import pairs_html
from studio.ui.components.handlers import Outputs
from studio.ui.components.notes import note
from studio.ui.components.press_grid import press_grid
from studio.ui.translate.view import training_examples_html

_SIDE = 192  # px of an example


class ExampleStrip:
    """Examples to press, built inside the current Blocks. They are translated the first time somebody sees them."""

    def __init__(self, engine: Engine):
        self.engine = engine
        self._strips: dict[tuple[str, str], str] = {}  # (hash of the model, direction) -> HTML
        self.words = gr.HTML("", padding=False, visible=False)
        self.strip = press_grid(elem_id="translate-examples", visible=False)

    @property
    def outputs(self) -> list[Any]:
        """Components that `show` changes."""
        return [self.words, self.strip]

    def show(self, model: str | None, direction: str | None) -> Outputs:
        """The examples of a model, or, without any, those from its training."""
        if not model or not direction:
            return {}
        info = self.engine.library.get(model)
        key = (info.hash, direction)
        if key not in self._strips:
            pairs = []
            for path in info.examples(direction[0]):
                before = reduced(open_source(path).picture, _SIDE)
                pairs.append((before, self.engine.translate(ImageRecipe(model, direction=direction), before)))
            self._strips[key] = pairs_html(pairs) if pairs else ""
        strip = self._strips[key]
        text = note("<b>Before and after.</b> Press one to try it.") if strip else training_examples_html(info, direction)
        return {self.words: gr.update(value=text, visible=bool(text)), self.strip: gr.update(value=strip, visible=bool(strip))}
