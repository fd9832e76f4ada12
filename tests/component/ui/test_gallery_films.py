"""Films in the Gallery: what browsers play is played, of others the first picture is shown."""

import re
from fractions import Fraction
from pathlib import Path

import gradio as gr
import numpy as np
import pytest

from studio.gallery.gallery import Gallery
from studio.gallery.items import Query
from studio.models.library import Library
from studio.outputs.film_file import write_segment
from studio.outputs.film_format import film_format
from studio.ui.gallery.picture import PicturePanel
from studio.ui.gallery.state import GalleryState


@pytest.mark.parametrize(("name", "plays"), [("film.mp4", True), ("film.webm", True), ("FILM.MOV", False)])
def test_a_film_is_opened(studio_home, name, plays):
    path = studio_home / "outputs" / "explore" / name
    path.parent.mkdir(parents=True)
    write_segment(path, iter([np.full((64, 64, 3), 90, np.uint8)] * 3), film_format(Path(name.lower())), Fraction(10))
    gallery = Gallery.at(studio_home)
    gallery.refresh()
    [item] = gallery.page(Query())
    with gr.Blocks():
        panel = PicturePanel(gr.Column(), Library([]))
    shown = panel.show(GalleryState(gallery, item=item))
    path.rename(path.with_name("elsewhere"))
    gone = panel.show(GalleryState(gallery, item=item))
    gallery.close()
    assert "no longer here" in gone[panel.stage]["value"]
    assert (shown[panel.clip]["visible"], shown[panel.stage]["visible"]) == (plays, not plays)
    assert shown[panel.clip]["value"] == (str(path) if plays else None)
    assert not shown[panel.send]["visible"]
    if not plays:
        assert re.search(r'<img[^>]* src="data:image/png', shown[panel.stage]["value"])
        assert "Download" in shown[panel.stage]["value"]
