"""The live channel in a real browser: the picture follows the hand, and stays right when the channel breaks."""

import numpy as np
import pytest

from studio.engine.recipe import Recipe
from studio.ui.components.picture_html import data_url
from tests.browser.test_studio import becomes, slide, source

pytestmark = pytest.mark.browser
TABS = ("explore",)


def live(page) -> None:
    page.wait_for_selector("body[data-live=live]")


def drag(page, elem_id: str, steps: int) -> None:
    """Drag the handle of a slider to and fro, and hold it."""
    box = page.locator(f"#{elem_id} input[type=range]").bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] / 2, middle)
    page.mouse.down()
    for step in range(1, steps + 1):
        page.mouse.move(box["x"] + box["width"] * (0.5 + 0.4 * np.sin(step / 3)), middle)


def exact(page, engine, recipe: Recipe) -> None:
    """Wait until the picture on the page is exactly that of a recipe."""
    said = "(src) => !document.querySelector('#explore-stage canvas') && document.querySelector('#explore-stage img').src === src"
    page.wait_for_function(said, arg=data_url(engine.render(recipe)))


def through_here(page) -> list:
    """Open the page anew, with a channel that the test can close. Returns the channels, as they are opened."""
    channels = []

    def through(channel):
        channel.connect_to_server()
        channels.append(channel)

    page.route_web_socket("**/live*", through)
    page.reload()
    page.wait_for_selector("#explore-stage img")
    live(page)
    return channels


def test_frames_are_painted_while_the_handle_moves_and_the_still_is_exact(page, studio):
    live(page)
    first = source(page)
    drag(page, "psi", 30)
    page.wait_for_function("ganStudio.frames >= 5 && ganStudio.latencyMs > 0")
    assert page.locator("#explore-stage canvas").count() == 1
    page.mouse.up()
    page.wait_for_selector("#explore-stage canvas", state="detached")
    psi = float(page.locator("#psi input[type=number]").input_value())
    exact(page, studio[1], Recipe(model="anna", psi=psi))
    assert page.locator("#explore-stage img").get_attribute("alt") == "Picture by the model Tiny anna, seed 0"
    # One step of the history, however many frames there were.
    becomes(page, lambda: page.click("#undo"), first)


def test_a_channel_that_breaks_is_opened_again_and_no_move_is_lost(page, studio):
    channels = through_here(page)
    slide(page, "psi", 0.4)
    exact(page, studio[1], Recipe(model="anna", psi=0.4))
    page.evaluate("document.querySelector('#live-channel [data-token]').remove()")  # it cannot be opened again yet
    channels[-1].close()
    page.wait_for_selector("body[data-live=events]")
    slide(page, "psi", 0.2)
    exact(page, studio[1], Recipe(model="anna", psi=0.2))


def test_it_comes_back_by_itself_with_the_same_state(page, studio):
    channels = through_here(page)
    slide(page, "direction-1", 1)
    page.wait_for_function("ganStudio.frames > 0")
    page.evaluate("document.body.dataset.live = 'not known'")
    channels[-1].close()
    live(page)
    assert len(channels) == 2
    slide(page, "psi", 0.3)
    exact(page, studio[1], Recipe(model="anna", psi=0.3, edits=page_edits(studio[1])))


def page_edits(engine):
    """The edit that the second slider at 1 stands for."""
    from studio.engine.parameters import edit_address, parameter

    name = list(engine.facts("anna").directions)[1]
    return parameter(edit_address(name)).set(Recipe(model="anna"), 1).edits
