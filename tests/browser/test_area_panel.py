"""Several seeds in one picture, in Explore."""

import io

import numpy as np
import pytest
from PIL import Image

from studio.engine.area import Area, pack_mask
from studio.engine.recipe import Recipe
from tests.browser.test_live import exact
from tests.browser.test_picture_panel import drag
from tests.browser.test_studio import becomes, changes, pixels, source

pytestmark = pytest.mark.browser
TABS = ("explore",)
PLAIN = Recipe(model="anna", psi=0.7)


def test_another_seed_from_the_left_to_the_right_and_in_a_circle(page, studio):
    engine, first = studio[1], source(page)
    page.click("#area-box > button")
    page.fill("#area-seed input", "7")
    added = changes(page, lambda: page.click("#area-add"))
    assert np.array_equal(pixels(page), engine.render(PLAIN.replace(areas=(Area(7),))))
    drag(page, "area.0.at", "0.2")
    exact(page, engine, PLAIN.replace(areas=(Area(7, at=0.2),)))
    becomes(page, lambda: page.click("#undo"), added)
    page.wait_for_function("document.querySelector('[data-address=\"area.0.at\"]').value === '0.5'")
    page.click("#area-shape input")
    page.get_by_role("option", name="Circle in the middle", exact=True).click()
    changes(page, lambda: page.click("#area-add"))
    assert np.array_equal(pixels(page), engine.render(PLAIN.replace(areas=(Area(7), Area(7, "circle", 0.3, 0.3)))))
    becomes(page, lambda: page.click("#areas [data-i='1'] [data-act=remove]"), added)
    becomes(page, lambda: page.click("#areas [data-act=remove]"), first)


def test_a_mask_is_taken_from_a_picture(page, studio):
    page.click("#area-box > button")
    half = np.zeros((128, 128), np.uint8)
    half[:, 64:] = 255
    file = io.BytesIO()
    Image.fromarray(half).save(file, "PNG")
    upload = {"name": "mask.png", "mimeType": "image/png", "buffer": file.getvalue()}
    changes(page, lambda: page.set_input_files("#area-box input[type=file]", upload))
    area = Area(1, "mask", mask=pack_mask(half[::2, ::2]))
    assert np.array_equal(pixels(page), studio[1].render(PLAIN.replace(areas=(area,))))
