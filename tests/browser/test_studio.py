"""The studio as an artist uses it, in a real browser."""

import base64
import io
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from studio.engine.recipe import Recipe, SeedWeight
from studio.networks import Task
from studio.provenance.inspect import inspect_file
from studio.provenance.metadata import read_recipe

pytestmark = pytest.mark.browser
TABS = ("explore", "mix", "upscale")


def source(page, where="#explore-stage img") -> str:
    return page.locator(where).first.get_attribute("src")


def pixels(page, where="#explore-stage img") -> np.ndarray:
    """What the browser was given to show."""
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(source(page, where).split(",", 1)[1]))).convert("RGB"))


def changes(page, act, where="#explore-stage img") -> str:
    """Do something and wait for another picture. Returns its source."""
    before = source(page, where)
    act()
    page.wait_for_function("([s, old]) => { const i = document.querySelector(s); return i && i.src !== old }", arg=[where, before])
    return source(page, where)


def becomes(page, act, wanted: str, where="#explore-stage img") -> None:
    """Do something and wait until exactly this picture is shown."""
    act()
    page.wait_for_function("([s, src]) => document.querySelector(s)?.src === src", arg=[where, wanted])


def slide(page, elem_id: str, value) -> None:
    """Set a slider by its number field, as one types."""
    field = page.locator(f"#{elem_id} input[type=number]")
    field.fill(str(value))
    field.press("Enter")
    field.blur()


def toast(page) -> str:
    page.wait_for_selector(".toast-body")
    return page.locator(".toast-body").last.inner_text()


def says(page, words: str) -> None:
    """Wait for a toast with these words."""
    page.wait_for_function("(words) => [...document.querySelectorAll('.toast-body')].some((t) => t.innerText.includes(words))", arg=words)


def test_the_first_screen_shows_a_picture_at_once_and_names_what_is_broken(page, studio):
    assert "broken" in toast(page)
    assert np.array_equal(pixels(page), studio[1].render(Recipe(model="anna", psi=0.7)))
    assert page.locator("#models [data-i]").count() == len([m for m in studio[1].library.scan()[0] if m.task is Task.GENERATE]) >= 3
    page.wait_for_function("document.querySelector('#status').innerText.includes('ms per picture')")
    assert "anna" in page.locator("#status").inner_text()
    assert "CPU" in page.locator("#status").inner_text()


def test_a_slider_changes_the_picture_and_undo_brings_it_back(page):
    first = source(page)
    moved = changes(page, lambda: slide(page, "direction-0", 2))
    bolder = changes(page, lambda: slide(page, "psi", 1.2))
    assert len({first, moved, bolder}) == 3
    becomes(page, lambda: page.click("#undo"), moved)
    becomes(page, lambda: page.keyboard.press("z"), first)
    assert page.locator("#direction-0 input[type=number]").input_value() == "0"
    becomes(page, lambda: page.keyboard.press("y"), moved)
    assert page.locator("#direction-0 input[type=number]").input_value() == "2"
    becomes(page, lambda: page.click("#reset"), first)
    changes(page, lambda: slide(page, "direction-4", 1))
    becomes(page, lambda: page.locator("#direction-4 button").first.click(), first)


def without_channel(page):
    """Open the page anew where no socket can be had."""
    page.route_web_socket("**/live*", lambda socket: socket.close())
    page.reload()
    page.wait_for_selector("#explore-stage img")
    page.wait_for_selector("body[data-live=events]")


def test_without_a_channel_the_same_moves_go_as_events_and_it_is_said(page):
    without_channel(page)
    assert page.evaluate("ganStudio.mode") == "events"
    first = source(page)
    changes(page, lambda: slide(page, "psi", 0.2))
    changes(page, lambda: slide(page, "direction-2", 1))
    said = "getComputedStyle(document.querySelector('#status .gs-note'), '::after').content"
    assert "without a live channel" in page.evaluate(said)
    becomes(page, lambda: [page.click("#undo"), page.click("#undo")], first)


def test_a_reset_while_an_earlier_release_is_under_way_is_not_lost(page):
    without_channel(page)
    first, held, let_pass = source(page), [], threading.Event()
    page.route("**/queue/join*", lambda route: route.continue_() if let_pass.is_set() else held.append(route))
    with page.expect_request("**/queue/join*"):
        slide(page, "direction-4", 1)
    for _ in range(3000):
        if len(held) >= 2:  # the new value, and that the field was left
            break
        page.wait_for_timeout(10)
    else:
        pytest.fail(f"only {len(held)} requests were sent")
    with page.expect_request("**/queue/join*"):
        page.locator("#direction-4 button").first.click()
    let_pass.set()
    changes(page, held[0].continue_)
    becomes(page, lambda: [route.continue_() for route in held[1:]], first)
    assert page.locator("#direction-4 input[type=number]").input_value() == "0"


def test_dragging_the_handle_follows_live(page):
    handle = page.locator("#direction-1 input[type=range]")
    box = handle.bounding_box()
    middle = box["y"] + box["height"] / 2

    def drag():
        page.mouse.move(box["x"] + box["width"] / 2, middle)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] * 0.9, middle, steps=8)

    while_held = changes(page, drag)
    page.mouse.up()
    assert while_held
    page.wait_for_function("Number(document.querySelector('#direction-1 input[type=number]').value) > 1")


def test_layers_keep_their_own_slider_values(page):
    changes(page, lambda: slide(page, "direction-0", 1))
    page.get_by_label("Fine: colour, texture").first.click()
    page.wait_for_function("document.querySelector('#direction-0 input[type=number]').value === '0'")
    changes(page, lambda: slide(page, "direction-0", -2))
    page.get_by_label("Everything").first.click()
    page.wait_for_function("document.querySelector('#direction-0 input[type=number]').value === '1'")


def test_keys(page, studio):
    page.locator("#masthead b").click()
    changes(page, lambda: page.keyboard.press("ArrowRight"))
    assert np.array_equal(pixels(page), studio[1].render(Recipe(model="anna", psi=0.7, seeds=(SeedWeight(1),))))
    changes(page, lambda: page.keyboard.press("ArrowLeft"))
    changes(page, lambda: page.keyboard.press(" "))
    assert page.locator("#seed input").input_value() not in ("0", "1")


def test_a_bad_seed_is_told_and_nothing_is_lost(page):
    before = source(page)
    field = page.locator("#seed input")
    field.fill("99999999999")
    field.press("Enter")
    page.wait_for_function("[...document.querySelectorAll('.toast-body')].some(t => t.innerText.includes('4294967295'))")
    assert source(page) == before
    changes(page, lambda: (field.fill("7"), field.press("Enter")))


def test_the_pad_wanders(page):
    pad = page.locator("#pad .gs-pad")
    side = pad.bounding_box()["width"]
    middle, corner = {"x": side / 2, "y": side / 2}, {"x": side * 0.8, "y": side * 0.3}
    changes(page, lambda: pad.drag_to(pad, source_position=middle, target_position=corner))


def test_save_and_drop_back_in(page, studio, home, tmp_path):
    changes(page, lambda: slide(page, "direction-2", 1.5))
    wanted = changes(page, lambda: slide(page, "psi", 0.4))
    page.click("#save")
    page.wait_for_selector("#download:visible")
    saved = sorted((home / "outputs" / "explore").glob("*.png"))[-1]
    recipe = read_recipe(saved)
    assert np.array_equal(np.asarray(Image.open(saved)), pixels(page)), "the file holds the very pixels of the screen"
    assert recipe.psi == 0.4
    assert recipe.model_hash
    with page.expect_download() as download:
        page.click("#download")
    copy = tmp_path / "copy.png"
    download.value.save_as(copy)
    assert copy.read_bytes() == saved.read_bytes(), "a download keeps the recipe"
    changes(page, lambda: page.click("#dice"))
    becomes(page, lambda: page.locator("#drop input[type=file]").set_input_files(copy), wanted)
    assert page.locator("#psi input[type=number]").input_value() == "0.4"
    assert page.locator("#direction-2 input[type=number]").input_value() == "1.5"


def test_pictures_that_cannot_be_opened_are_told(page, tmp_path):
    before = source(page)
    Image.new("RGB", (8, 8)).save(tmp_path / "plain.png")
    page.locator("#drop input[type=file]").set_input_files(tmp_path / "plain.png")
    page.wait_for_function("[...document.querySelectorAll('.toast-body')].some(t => t.innerText.includes('no recipe inside'))")
    assert source(page) == before


def test_a_recipe_of_a_model_that_is_not_here(page, tmp_path, studio):
    from studio.provenance.metadata import save_picture

    path = save_picture(studio[1].render(Recipe(model="anna")), Recipe(model="annna"), tmp_path / "other.png")
    before = source(page)
    page.locator("#drop input[type=file]").set_input_files(path)
    page.wait_for_function(
        "[...document.querySelectorAll('.toast-body')].some(t => t.innerText.includes(\"'annna' is not in this studio\"))"
    )
    assert source(page) == before


def test_a_link_reopens_the_state(page, browser):
    wanted = changes(page, lambda: slide(page, "direction-3", -1.5))
    page.click("#link")
    page.wait_for_function("document.querySelector('#link-text textarea, #link-text input')?.value.startsWith('http')")
    link = page.locator("#link-text textarea, #link-text input").first.input_value()
    other = browser.new_page()
    other.goto(link)
    other.wait_for_selector("#explore-stage img", timeout=60_000)
    assert source(other) == wanted
    other.close()


def test_variations(page):
    page.click("#vary")
    page.wait_for_selector("#variations [data-i='8'] img")
    middle, step = (pixels(page, f"#variations [data-i='{i}'] img") for i in (4, 0))
    assert np.abs(middle.astype(int) - pixels(page)).max() <= 1
    changes(page, lambda: page.click("#variations [data-i='0']"))
    assert np.abs(step.astype(int) - pixels(page)).max() <= 1 < np.abs(step.astype(int) - middle).max()


def test_pins_walk_and_clip(page, home):
    first = source(page)
    page.click("#pin")
    page.wait_for_selector("#filmstrip [data-i='0'] img")
    second = changes(page, lambda: page.click("#dice"))
    page.click("#pin")
    page.wait_for_selector("#filmstrip [data-i='1'] img")
    page.wait_for_selector("#walk:visible")
    half = changes(page, lambda: slide(page, "walk", 0.5))
    assert half not in (first, second)
    becomes(page, lambda: slide(page, "walk", 1), second)
    becomes(page, lambda: page.click("#filmstrip [data-i='0']"), first)
    page.click("#clip")
    page.wait_for_selector("img[alt='The walk between the pins']")
    with Image.open(sorted((home / "outputs" / "explore").glob("*-walk.webp"))[-1]) as clip:
        assert clip.n_frames > 20


def test_another_model_and_its_classes(page, studio):
    changes(page, lambda: page.click("#models [data-i='2']"))
    page.wait_for_selector("#class:visible")
    assert np.array_equal(pixels(page), studio[1].render(Recipe(model="clara", psi=0.7)))
    page.locator("#class input").click()
    changes(page, lambda: page.get_by_role("option", name="kind 2").click())


def test_the_mixing_grid_opens_a_cell_in_explore(page):
    page.get_by_role("tab", name="Mix").click()
    page.wait_for_selector("#mixer-stage img")
    page.locator("#mix-rows textarea, #mix-rows input").first.fill("1,2")
    page.locator("#mix-columns textarea, #mix-columns input").first.fill("5-7")
    page.click("#mix-make")
    page.wait_for_selector("#mix-grid [data-i] img")
    assert page.locator("#mix-grid [data-i]").count() == 6
    cell = page.locator("#mix-grid [data-i]").nth(4)
    alt = cell.locator("img").get_attribute("alt")
    assert alt == "2 with the style of 6"
    shown = pixels(page, "#mix-grid [title='2 with the style of 6'] img")
    cell.click()
    page.wait_for_selector("#explore-stage img:visible")
    page.wait_for_function("document.querySelector('#seed input').value === '2'")
    assert int(np.abs(pixels(page).astype(int) - shown).max()) <= 1


def test_the_mixer_follows_its_weights(page):
    page.get_by_role("tab", name="Mix").click()
    page.wait_for_selector("#mixer-stage img")
    one = changes(page, lambda: slide(page, "mixer-coarse-1", 1), "#mixer-stage img")
    two = changes(page, lambda: slide(page, "mixer-coarse-0", 0), "#mixer-stage img")
    assert one != two
    assert page.evaluate("ganStudio.frames") >= 2, "on the live channel"
    page.click("#mixer-open")
    page.wait_for_function(
        "(src) => { const i = document.querySelector('#explore-stage img'); return i.offsetParent && i.src === src }", arg=two
    )


def test_a_bad_list_of_seeds_in_mix(page):
    page.get_by_role("tab", name="Mix").click()
    page.locator("#mix-rows textarea, #mix-rows input").first.fill("one, two")
    page.click("#mix-make")
    page.wait_for_function("[...document.querySelectorAll('.toast-body')].some(t => t.innerText.includes('no list of seeds'))")
    page.wait_for_selector("#mix-stop", state="hidden")


def test_two_visitors_do_not_meet(page, browser, studio):
    other = browser.new_page()
    other.goto(studio[0])
    other.wait_for_selector("#explore-stage img", timeout=60_000)
    before = source(other)
    changes(page, lambda: slide(page, "psi", 1.3))
    page.click("#pin")
    page.wait_for_selector("#filmstrip [data-i='0'] img")
    assert source(other) == before
    assert other.locator("#filmstrip [data-i]").count() == 0
    other.close()


def test_nothing_sticks_out_on_a_phone(phone):
    for tab in ("Explore", "Mix"):
        phone.get_by_role("tab", name=tab).click()
        phone.wait_for_selector("#explore-stage img:visible" if tab == "Explore" else "#mixer-stage img:visible")
        assert phone.evaluate("document.documentElement.scrollWidth") <= 390


def test_the_api_renders_a_recipe(studio, tmp_path):
    from gradio_client import Client

    client = Client(studio[0], verbose=False, download_files=str(tmp_path))
    recipe = Recipe(model="berta", psi=0.5, seeds=(SeedWeight(3),))
    path = Path(client.predict(recipe.to_dict(), api_name="/render"))
    assert np.array_equal(np.asarray(Image.open(path).convert("RGB")), studio[1].render(recipe))
    assert inspect_file(path).by_ai
    assert inspect_file(path).recipe.seed == recipe.seed
    assert read_recipe(path).replace(model_hash="") == recipe
    with pytest.raises(Exception, match="not in this studio"):
        client.predict({"model": "nobody"}, api_name="/render")
    with pytest.raises(Exception, match="It must be a number"):
        client.predict({"model": "anna", "psi": "NaN"}, api_name="/render")


def test_an_empty_library_says_what_to_do(browser, tmp_path, monkeypatch):
    from studio.engine.engine import Engine
    from studio.jobs.supervisor import Supervisor
    from studio.models.library import Library
    from studio.ui.app import build

    monkeypatch.setenv("STUDIO_HOME", str(tmp_path))
    with Engine(Library([tmp_path / "models"]), device="cpu") as engine, Supervisor(tmp_path) as supervisor:
        app = build(engine, supervisor)
        _, url, _ = app.launch(prevent_thread_lock=True, quiet=True)
        page = browser.new_page()
        page.goto(url)
        page.wait_for_selector("text=No model here yet")
        assert str(tmp_path / "models") in page.locator("#explore-stage").inner_text()
        page.close()
        app.close()


def test_a_stopped_grid_and_a_stopped_clip_end(page, studio, monkeypatch):
    import threading
    from concurrent.futures import CancelledError

    at_work = threading.Event()

    def until_stopped(recipes, preview=False, progress=None, cancel=None):
        if cancel is None:
            return draw(recipes, preview)
        at_work.set()
        while not cancel():
            at_work.wait(0.02)
        raise CancelledError

    draw = studio[1].render_many
    monkeypatch.setattr(studio[1], "render_many", until_stopped)
    page.click("#pin")
    page.wait_for_selector("#filmstrip [data-i='0']")
    changes(page, lambda: page.click("#dice"))
    page.click("#pin")
    page.click("#clip")
    page.wait_for_selector("#clip-stop:visible")
    page.click("#clip-stop")
    page.wait_for_selector("text=Stopped; nothing was saved.")
    page.wait_for_selector("#clip-stop", state="hidden")
    page.get_by_role("tab", name="Mix").click()
    page.click("#mix-make")
    page.click("#mix-stop")
    page.wait_for_selector("#mix-stop", state="hidden")
    assert at_work.is_set()


def test_on_a_phone_the_picture_stays_in_sight_of_the_sliders(phone):
    phone.wait_for_selector("#direction-7:visible")
    phone.locator("#direction-7").evaluate("(e) => e.scrollIntoView({ block: 'end' })")
    box = phone.locator("#explore-stage img").bounding_box()
    assert 0 <= box["y"] < 100
    assert phone.locator("#direction-7").bounding_box()["y"] > box["y"] + box["height"]


def test_the_pad_obeys_the_arrow_keys(page, studio):
    seed = page.locator("#seed input").input_value()
    page.locator("#pad .gs-pad").focus()
    changes(page, lambda: page.keyboard.press("ArrowRight"))
    assert page.locator("#seed input").input_value() == seed
    assert page.locator("#pad .gs-pad i").evaluate("(e) => parseFloat(e.style.left)") == pytest.approx(55)


def test_dark_or_light_outlives_a_reload(page):
    dark = page.evaluate("document.body.classList.contains('dark')")
    page.get_by_role("button", name="Dark or light").click()
    page.reload()
    page.wait_for_selector("#explore-stage img")
    page.wait_for_function("(dark) => document.body.classList.contains('dark') !== dark", arg=dark)
