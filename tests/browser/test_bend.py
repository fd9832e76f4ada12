"""Network bending in Explore."""

import numpy as np
import pytest

from studio.engine.bend import Bend
from studio.engine.recipe import Recipe
from studio.ui.components.picture_html import data_url
from tests.browser.test_live import exact
from tests.browser.test_studio import becomes, changes, pixels, says, source

pytestmark = pytest.mark.browser
TABS = ("explore",)
PLAIN = Recipe(model="anna", psi=0.7)


def choose(page, elem_id: str, label: str) -> None:
    """Choose an entry of a dropdown."""
    page.click(f"#{elem_id} input")
    page.get_by_role("option", name=label, exact=True).click()


def open_panel(page) -> None:
    page.click("#bend-box > button")
    page.wait_for_selector("#bend-picture img")


def looks(page, picture: np.ndarray) -> None:
    """Wait until this is the picture of the layer."""
    page.wait_for_function("(src) => document.querySelector('#bend-picture img').src === src", arg=data_url(picture))


def test_a_layer_is_looked_at_bent_played_muted_removed_and_undone(page, studio):
    engine, first = studio[1], source(page)
    open_panel(page)
    choose(page, "bend-layer", "b16.conv1 (16 px)")
    looks(page, engine.layer_picture(PLAIN, "b16.conv1"))
    choose(page, "bend-operation", "Flip left ↔ right (share)")
    flipped = changes(page, lambda: page.click("#bend-add"))
    recipe = PLAIN.replace(bends=(Bend("b16.conv1", "flip_x", 1),))
    assert np.array_equal(pixels(page), engine.render(recipe))
    looks(page, engine.layer_picture(recipe, "b16.conv1"))

    # The slider by keyboard: one step down of 0.01, on the live channel.
    page.locator("#bends input[type=range]").press("ArrowLeft")
    exact(page, engine, PLAIN.replace(bends=(Bend("b16.conv1", "flip_x", 0.99),)))
    assert page.locator("#bends output").inner_text() == "0.99"
    becomes(page, lambda: page.click("#undo"), flipped)
    page.wait_for_function("document.querySelector('#bends input').value === '1'")

    becomes(page, lambda: page.click("#bends [data-act=mute]"), first)
    assert page.locator("#bends [data-act=mute]").inner_text() == "Unmute"
    becomes(page, lambda: page.click("#bends [data-act=mute]"), flipped)
    becomes(page, lambda: page.click("#bends [data-act=remove]"), first)
    assert page.locator("#bends .row").count() == 0
    becomes(page, lambda: page.click("#undo"), flipped)
    becomes(page, lambda: page.click("#reset"), first)


def test_some_channels_and_one_channel(page, studio):
    engine = studio[1]
    open_panel(page)
    choose(page, "bend-layer", "b8.conv1 (8 px)")
    field = page.locator("#bend-channel textarea, #bend-channel input")
    field.fill("3")
    looks(page, engine.layer_picture(PLAIN, "b8.conv1", 3))
    choose(page, "bend-channels", "Cluster 1 of 8 (channels alike)")
    changes(page, lambda: page.click("#bend-add"))
    recipe = PLAIN.replace(bends=(Bend("b8.conv1", "rotate", 30, "cluster:0:8"),))
    assert np.array_equal(pixels(page), engine.render(recipe))
    typed = page.locator("#bend-channels input")
    typed.fill("0-7")
    typed.press("Enter")
    changes(page, lambda: page.click("#bend-add"))
    assert np.array_equal(pixels(page), engine.render(recipe.replace(bends=(*recipe.bends, Bend("b8.conv1", "rotate", 30, "0-7")))))
    page.click("#bend-add")
    says(page, "in the list already")
    typed.fill("most of them")
    typed.press("Enter")
    page.click("#bend-add")
    says(page, "The channels of a bend are")


def test_it_fits_on_a_phone(phone):
    open_panel(phone)
    changes(phone, lambda: phone.click("#bend-add"))
    phone.wait_for_selector("#bends .row")
    wide = phone.evaluate("document.documentElement.scrollWidth")
    assert wide <= 390
    for part in ("#bends input[type=range]", "#bends [data-act=remove]", "#bend-add"):
        box = phone.locator(part).bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 390
        assert box["height"] >= 24


def test_a_value_that_is_refused_does_not_stay_on_the_page(page):
    page.click("#canvas-box > button")
    wide, high = (page.locator(f"#canvas [data-address='canvas.{side}']") for side in ("width", "height"))

    def drag(slider, value: str) -> None:
        slider.fill(value)
        slider.dispatch_event("change")

    drag(wide, "4")
    page.wait_for_function("document.querySelector('#explore-stage img').naturalWidth === 128")
    drag(high, "4")
    page.wait_for_function("[...document.querySelectorAll('.toast-body')].some((t) => t.innerText.includes('4 by 4'))")
    page.wait_for_function("document.querySelector(\"#canvas [data-address='canvas.height']\").value === '1'")
    assert wide.input_value() == "4"
