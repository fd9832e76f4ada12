"""Colour and canvas in Explore."""

import io

import numpy as np
import pytest
from PIL import Image

from studio.engine.canvas import Canvas
from studio.engine.colour_grade import ColourGrade
from studio.engine.recipe import Recipe
from tests.browser.test_live import exact
from tests.browser.test_studio import becomes, pixels, says, source

pytestmark = pytest.mark.browser
TABS = ("explore",)
PLAIN = Recipe(model="anna", psi=0.7)


def drag(page, address: str, value: str) -> None:
    """Set a native slider as a hand does, and let go of it."""
    page.locator(f"[data-address='{address}']").evaluate(
        "(i, v) => { i.value = v; for (const e of ['input', 'change']) i.dispatchEvent(new Event(e, { bubbles: true })); }", value
    )


def test_colours_follow_the_hand(page, studio):
    engine, first = studio[1], source(page)
    page.click("#colour-box > button")
    drag(page, "colour.exposure", "1")
    exact(page, engine, PLAIN.replace(colour=ColourGrade(exposure=1)))
    assert page.locator("#colour output").first.inner_text() == "1"
    page.click("#colour [aria-label='Reset: Exposure (stops)']")
    exact(page, engine, PLAIN)
    assert source(page) == first
    page.click("#undo")
    exact(page, engine, PLAIN.replace(colour=ColourGrade(exposure=1)))
    page.wait_for_function("document.querySelector('[data-address=\"colour.exposure\"]').value === '1'")


def test_a_palette_is_taken_and_removed(page, studio):
    engine, first = studio[1], source(page)
    page.click("#colour-box > button")
    colours = np.array([[[0, 0, 0], [255, 0, 0]], [[0, 0, 0], [0, 0, 255]]], np.uint8)
    file = io.BytesIO()
    Image.fromarray(colours).save(file, "PNG")
    page.set_input_files("#colour-box input[type=file]", {"name": "p.png", "mimeType": "image/png", "buffer": file.getvalue()})
    page.wait_for_selector("#colour .swatches i")
    shown = page.locator("#colour .swatches i").evaluate_all("(all) => all.map((i) => i.title)")
    assert set(shown) == {"#000000", "#ff0000", "#0000ff"}
    assert np.array_equal(pixels(page), engine.render(PLAIN.replace(colour=ColourGrade(palette=tuple(shown)))))
    becomes(page, lambda: page.click("#colour [data-act=remove]"), first)
    assert page.locator("#colour .swatches").count() == 0
    page.set_input_files("#colour-box input[type=file]", {"name": "p.png", "mimeType": "image/png", "buffer": b"not a picture"})
    says(page, "palette cannot be taken")


def test_canvas_by_keyboard_undo_and_reset(page, studio):
    engine, first = studio[1], source(page)
    page.click("#canvas-box > button")
    page.locator("[data-address='canvas.tileable']").press("Space")
    tiled = PLAIN.replace(canvas=Canvas(tileable=True))
    exact(page, engine, tiled)
    drag(page, "canvas.width", "1.5")
    exact(page, engine, PLAIN.replace(canvas=Canvas(1.5, tileable=True)))
    assert page.locator("#explore-stage img").evaluate("(i) => [i.naturalWidth, i.naturalHeight]") == [48, 32]
    page.locator("[data-address='canvas.fill']").select_option("stretch")
    exact(page, engine, PLAIN.replace(canvas=Canvas(1.5, fill="stretch", tileable=True)))
    page.click("#undo")
    page.click("#undo")
    exact(page, engine, tiled)
    page.wait_for_function("document.querySelector('[data-address=\"canvas.width\"]').value === '1'")
    assert page.locator("[data-address='canvas.tileable']").is_checked()
    page.click("#undo")
    exact(page, engine, PLAIN)
    page.wait_for_function("!document.querySelector('[data-address=\"canvas.tileable\"]').checked")
    drag(page, "canvas.kaleidoscope", "5")
    exact(page, engine, PLAIN.replace(canvas=Canvas(kaleidoscope=5)))
    becomes(page, lambda: page.click("#reset"), first)
