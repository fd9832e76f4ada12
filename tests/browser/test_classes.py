"""The Classes tab in a real browser."""

import json
import zipfile

import av
import numpy as np
import pytest
from PIL import Image

from studio.engine.recipe import ClassWeight, Recipe, SeedWeight
from studio.provenance.metadata import read_recipe
from tests.browser.conftest import visit
from tests.browser.test_studio import becomes, changes, pixels, slide, source, toast
from tests.conftest import save_tiny

pytestmark = pytest.mark.browser
TABS = ("explore", "mix", "classes", "upscale")

STAGE = "#classes-stage img"


def open_classes(page):
    page.get_by_role("tab", name="Classes").click()
    page.wait_for_selector("#classes-chips [data-i='2'] img")
    page.wait_for_selector(STAGE)


def recipe(*classes, seed=0, psi=0.7) -> Recipe:
    return Recipe(model="clara", seeds=(SeedWeight(seed),), psi=psi, classes=tuple(ClassWeight(k, w) for k, w in classes))


def test_the_tab_opens_with_chips_and_pictures(page, studio):
    open_classes(page)
    assert page.locator("#classes-chips [data-i]").all_inner_texts() == ["kind 0", "kind 1", "kind 2"]
    examples = {page.locator(f"#classes-chips [data-i='{i}'] img").get_attribute("src") for i in range(3)}
    assert len(examples) == 3
    assert np.array_equal(pixels(page, STAGE), studio[1].render(recipe((0, 1))))
    assert page.locator("#classes-grid [data-i] img").count() == 8
    assert "anna, has no classes" in page.locator("#classes-whose").inner_text(), "Explore shows another model"
    assert page.locator("#classes-weight-0").count() == 0 or not page.locator("#classes-weight-0").is_visible()


def test_a_blend_follows_its_weights_and_the_seed_stays(page, studio):
    open_classes(page)
    changes(page, lambda: (page.locator("#classes-seed input").fill("5"), page.locator("#classes-seed input").press("Enter")), STAGE)
    changes(page, lambda: page.click("#classes-chips [data-i='2']"), STAGE)
    page.wait_for_selector("#classes-weight-1:visible")
    assert np.array_equal(pixels(page, STAGE), studio[1].render(recipe((0, 1), (2, 1), seed=5)))
    grid = source(page, "#classes-grid [data-i='3'] img")
    changes(page, lambda: slide(page, "classes-weight-0", 0.25), STAGE)
    page.wait_for_function("(old) => document.querySelector(\"#classes-grid [data-i='3'] img\").src !== old", arg=grid)
    assert np.array_equal(pixels(page, STAGE), studio[1].render(recipe((0, 0.25), (2, 1), seed=5)))
    changes(page, lambda: page.click("#classes-chips [data-i='1']"), STAGE)
    page.wait_for_selector("#classes-weight-2:visible")
    changes(page, lambda: slide(page, "classes-weight-2", 0.5), STAGE)
    changes(page, lambda: page.click("#classes-chips [data-i='0']"), STAGE)
    assert np.array_equal(pixels(page, STAGE), studio[1].render(recipe((2, 1), (1, 0.5), seed=5))), "each class keeps its weight"
    changes(page, lambda: page.click("#classes-chips [data-i='1']"), STAGE)
    assert np.array_equal(pixels(page, STAGE), studio[1].render(recipe((2, 1), seed=5)))
    assert page.locator("#classes-seed input").input_value() == "5"


def test_the_large_picture_follows_a_handle_that_is_held(page, studio):
    open_classes(page)
    page.wait_for_selector("body[data-live=live]")
    box = page.locator("#classes-psi input[type=range]").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + box["height"] / 2)
    page.wait_for_function("ganStudio.frames > 0 && !document.querySelector('#classes-stage canvas')")
    psi = float(page.locator("#classes-psi input[type=number]").input_value())
    assert np.array_equal(pixels(page, STAGE), studio[1].render(recipe((0, 1)).replace(psi=psi)))
    page.mouse.up()


def test_each_class_with_the_same_seed_and_a_cell_goes_to_explore(page, studio):
    open_classes(page)
    page.get_by_label("Side by side with the same seed (row)").click()
    page.wait_for_selector("#classes-grid [title='kind 2 · 1']")
    assert page.locator("#classes-grid [data-i]").count() == 6
    shown = changes(page, lambda: page.click("#classes-grid [title='kind 1 · 1']"), STAGE)
    assert np.array_equal(pixels(page, STAGE), studio[1].render(recipe((1, 1), seed=1)))
    page.click("#classes-explore")
    page.wait_for_function(
        "(src) => { const i = document.querySelector('#explore-stage img'); return i.offsetParent && i.src === src }", arg=shown
    )
    assert page.locator("#seed input").input_value() == "1"
    assert page.locator("#class input").input_value() == "kind 1"


def test_a_cell_goes_to_mix(page, studio):
    open_classes(page)
    changes(page, lambda: page.click("#classes-chips [data-i='1']"), STAGE)
    wanted = changes(page, lambda: page.click("#classes-grid [data-i='6']"), STAGE)
    page.click("#classes-mix")
    page.wait_for_function(
        "(src) => { const i = document.querySelector('#mixer-stage img'); return i?.offsetParent && i.src === src }", arg=wanted
    )
    assert page.locator("#mix-rows textarea, #mix-rows input").first.input_value() == "6, 1, 2, 3, 4"


def test_a_walk_is_played_and_kept_as_mp4_and_webp(page, home):
    open_classes(page)
    slide(page, "classes-frames", 12)
    page.click("#classes-walk")
    page.wait_for_selector("#classes-walk-view img")
    folder = home / "outputs" / "classes"
    for button, ending in (("#classes-mp4", ".mp4"), ("#classes-webp", ".webp")):
        with page.expect_download() as download:
            page.click(button)
        assert download.value.suggested_filename.endswith(ending)
    with Image.open(sorted(folder.glob("*-walk.webp"))[-1]) as clip:
        assert clip.n_frames == 12
    with av.open(str(sorted(folder.glob("*-walk.mp4"))[-1])) as container:
        assert len(list(container.decode(video=0))) == 12


def test_a_set_is_exported(page, tmp_path):
    open_classes(page)
    page.locator("#classes-each input").fill("2")
    page.locator("#classes-each input").blur()
    page.click("#classes-export")
    page.wait_for_selector("#classes-download:visible")
    with page.expect_download() as download:
        page.click("#classes-download")
    download.value.save_as(tmp_path / "set.zip")
    with zipfile.ZipFile(tmp_path / "set.zip") as archive:
        pictures = json.loads(archive.read("manifest.json"))["pictures"]
        assert [p["file"].split("/")[0] for p in pictures] == ["kind 0"] * 2 + ["kind 1"] * 2 + ["kind 2"] * 2
        assert len({p["seed"] for p in pictures}) == 6
        assert read_recipe(archive.read(pictures[3]["file"])).classes == (ClassWeight(1),)


def test_a_set_of_ones_own_is_filled_up(page, home, tmp_path):
    from studio.datasets.store import DataSetStore

    rng = np.random.default_rng(0)
    for kind, count in (("Kind 1", 4), ("kind 2", 1), ("newts", 2)):
        (tmp_path / "mine" / kind).mkdir(parents=True)
        for i in range(count):
            Image.fromarray(rng.integers(0, 255, (40, 40, 3), np.uint8)).save(tmp_path / "mine" / kind / f"{i}.png")
    store = DataSetStore(home / "datasets")
    store.add(store.ingest([tmp_path / "mine"], owned=True, title="Mine"))
    open_classes(page)
    page.get_by_label("Fill up what one of my training sets lacks").click()
    page.wait_for_selector("#classes-advice:has-text('To be made: 3 kind 2.')")
    assert "newts" in page.locator("#classes-advice").inner_text()
    page.click("#classes-export")
    page.wait_for_selector("#classes-download:visible")
    with zipfile.ZipFile(sorted((home / "outputs" / "classes").glob("*-set.zip"))[-1]) as archive:
        assert [p["class"] for p in json.loads(archive.read("manifest.json"))["pictures"]] == ["kind 2"] * 3


def test_an_export_of_nothing_is_told(page):
    open_classes(page)
    page.locator("#classes-each input").fill("")
    page.locator("#classes-each input").blur()
    page.click("#classes-export")
    page.wait_for_function("[...document.querySelectorAll('.toast-body')].some(t => t.innerText.includes('per class is missing'))")
    page.wait_for_function("!document.querySelector('#classes-export-note')?.innerText.includes('Starting')")
    page.wait_for_selector("#classes-export-stop", state="hidden")


def test_stopping_an_export_keeps_nothing(page, home):
    before = set((home / "outputs").rglob("*"))
    open_classes(page)
    page.locator("#classes-each input").fill("20000")
    page.locator("#classes-each input").blur()
    page.click("#classes-export")
    page.click("#classes-export-stop")
    page.wait_for_selector("text=Stopped")
    page.wait_for_selector("#classes-export-stop", state="hidden")
    assert {p for p in (home / "outputs").rglob("*") if p.is_file()} <= before


def test_a_bad_seed_is_told(page):
    open_classes(page)
    before = source(page, STAGE)
    page.locator("#classes-seed input").fill("99999999999")
    page.locator("#classes-seed input").press("Enter")
    page.wait_for_function("[...document.querySelectorAll('.toast-body')].some(t => t.innerText.includes('4294967295'))")
    assert source(page, STAGE) == before
    assert toast(page)


def test_the_model_of_explore_is_followed(page, studio):
    changes(page, lambda: page.click("#models [data-i='2']"))
    changes(page, lambda: (page.locator("#seed input").fill("9"), page.locator("#seed input").press("Enter")))
    wanted = source(page)
    open_classes(page)
    becomes(page, lambda: None, wanted, STAGE)
    assert page.locator("#classes-seed input").input_value() == "9"


def test_nothing_sticks_out_on_a_phone(phone):
    open_classes(phone)
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
    phone.get_by_label("Side by side with the same seed (row)").click()
    phone.wait_for_selector("#classes-grid [title='kind 2 · 1']")
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_library_without_classes_says_what_to_do(browser, tmp_path, monkeypatch):
    monkeypatch.setenv("STUDIO_HOME", str(tmp_path))
    save_tiny(tmp_path / "models", "anna")
    with visit(browser, tmp_path) as page:
        page.get_by_role("tab", name="Classes").click()
        page.wait_for_selector("text=No model here has classes")
        page.wait_for_selector("#classes-walk", state="hidden")


def test_many_classes_are_searched_and_another_model_is_picked(page, studio, home):
    from tests.conftest import save_tiny

    save_tiny(home / "models", "dora", seed=4, c_dim=40)
    open_classes(page)
    page.locator("#classes-model input").click()
    changes(page, lambda: page.get_by_role("option", name="Tiny dora").click(), STAGE)
    page.wait_for_selector("#classes-chips [data-i='23'] img")
    assert page.locator("#classes-chips [data-i]").count() == 24
    page.locator("#classes-find input, #classes-find textarea").first.fill("39")
    page.wait_for_selector("#classes-chips [title='kind 39'] img")
    changes(page, lambda: page.click("#classes-chips [title='kind 39']"), STAGE)
    wanted = Recipe(model="dora", psi=0.7, classes=(ClassWeight(0), ClassWeight(39)))
    assert np.array_equal(pixels(page, STAGE), studio[1].render(wanted))
    assert page.locator("#classes-chips .on").count() == 2
    page.locator("#classes-model input").click()
    changes(page, lambda: page.get_by_role("option", name="Tiny clara").click(), STAGE)
    assert np.array_equal(pixels(page, STAGE), studio[1].render(recipe((0, 1))))
    page.wait_for_selector("#classes-chips [data-i='2'] img")
    assert page.locator("#classes-chips [data-i]").count() == 3
