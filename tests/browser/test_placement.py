"""Moving and turning a picture in Explore."""

import numpy as np
import pytest

from studio.engine.recipe import Recipe, Transform
from tests.browser.test_studio import becomes, changes, pixels, slide, source
from tests.component.engine.test_placement import save_mover
from tests.conftest import save_tiny

pytestmark = pytest.mark.browser
TABS = ("explore", "mix")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home with a StyleGAN3, which is opened first, and a StyleGAN2."""
    folder = tmp_path_factory.mktemp("home")
    save_mover(folder / "models", "amber")
    save_tiny(folder / "models", "berta")
    return folder


def test_a_turn_is_seen_undone_linked_and_reset(page, studio, browser):
    page.wait_for_selector("#place-rotate:visible")
    plain, first = Recipe(model="amber", psi=0.7), source(page)
    assert np.array_equal(pixels(page), studio[1].render(plain))
    turned = changes(page, lambda: slide(page, "place-rotate", 90))
    assert np.array_equal(pixels(page), studio[1].render(plain.replace(transform=Transform(rotate=90))))
    changes(page, lambda: slide(page, "place-x", 0.2))
    assert np.array_equal(pixels(page), studio[1].render(plain.replace(transform=Transform(x=0.2, rotate=90))))
    becomes(page, lambda: page.click("#undo"), turned)
    page.wait_for_function("document.querySelector('#place-x input[type=number]').value === '0'")
    becomes(page, lambda: page.click("#undo"), first)
    page.wait_for_function("document.querySelector('#place-rotate input[type=number]').value === '0'")
    becomes(page, lambda: page.click("#redo"), turned)
    page.wait_for_function("document.querySelector('#place-rotate input[type=number]').value === '90'")
    page.click("#link")
    page.wait_for_function("document.querySelector('#link-text textarea, #link-text input')?.value.startsWith('http')")
    other = browser.new_page()
    other.goto(page.locator("#link-text textarea, #link-text input").first.input_value())
    other.wait_for_selector("#explore-stage img", timeout=60_000)
    assert source(other) == turned
    other.close()
    becomes(page, lambda: page.click("#reset"), first)


def test_models_that_cannot_be_placed_have_no_such_sliders(page):
    page.wait_for_selector("#place-rotate:visible")
    changes(page, lambda: slide(page, "place-rotate", 45))
    changes(page, lambda: page.click("#models [data-i='1']"))
    page.wait_for_selector("#place-rotate", state="hidden")
    changes(page, lambda: page.click("#models [data-i='0']"))
    page.wait_for_selector("#place-rotate:visible")
    page.wait_for_function("document.querySelector('#place-rotate input[type=number]').value === '0'")


def test_models_without_noise_have_no_controls_for_it(page):
    page.wait_for_selector("#place-rotate:visible")
    page.wait_for_selector("#noise-box", state="hidden")
    changes(page, lambda: page.click("#models [data-i='1']"))
    page.wait_for_selector("#noise-box:visible")
