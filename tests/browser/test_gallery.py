"""The Gallery tab in a real browser."""

import base64
import dataclasses
import io
import os
import time
import zipfile

import numpy as np
import pytest
from PIL import Image

from studio.engine.image_recipe import ImageRecipe
from studio.engine.recipe import ClassWeight, Mix, Recipe, SeedWeight
from studio.outputs.clips import save_clip
from studio.provenance.metadata import read_recipe, save_picture
from studio.provenance.source_pictures import keep_source
from tests.browser.test_studio import changes, pixels, slide, source
from tests.browser.test_translate import download, picture, same, save_translator
from tests.conftest import save_tiny
from tests.unit.networks.test_super_resolution import make

pytestmark = pytest.mark.browser
TABS = ("explore", "translate", "upscale", "gallery")

CELLS = "#gallery-grid [data-k]"
STAGE = "#gallery-stage img"
HOSTILE = 'hill <img src=x onerror="window.hacked=1">.png'


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    from studio.models.folder import save_folder

    folder = tmp_path_factory.mktemp("home")
    save_tiny(folder / "models", "anna")
    save_tiny(folder / "models", "clara", seed=2, c_dim=3)
    save_translator(folder / "models", "ink", sides=["photo", "ink"])
    network = make("srvgg")
    save_folder(
        folder / "models" / "sharp", "srvgg", dataclasses.asdict(network.config), network.state_dict(), title="Sharp", dtype="float32"
    )
    return folder


@pytest.fixture
def outputs(home, studio):
    """Four files of a few days ago, and nothing else."""
    engine, folder, now = studio[1], home / "outputs", time.time()
    for old in [*folder.rglob("*.*"), *home.glob("gallery*")]:
        if old.is_file() and "gallery" not in old.name:
            old.unlink()
    drawn = [
        Recipe(model="clara", seeds=(SeedWeight(5),), psi=0.6, classes=(ClassWeight(2),), mixes=(Mix(9, (0, 3), 0.5),)),
        Recipe(model="anna", seeds=(SeedWeight(77),)),
    ]
    files = [save_picture(engine.render(r), engine.stamped(r), folder / "explore" / f"{r.model}-seed{r.seed}.png") for r in drawn]
    files.append(save_picture(picture(1, 300, 200), None, folder / HOSTILE))
    files.append(save_clip([np.asarray(picture(i)) for i in range(3)], folder / "classes" / "walk.mp4"))
    for i, path in enumerate(files):
        os.utime(path, (now - 86400 * (i + 1),) * 2)
    return folder


def open_gallery(page, count: int):
    page.get_by_role("tab", name="Gallery").click()
    page.wait_for_selector(f"#gallery-told:has-text('{count} file')")


def titles(page) -> list[str]:
    return [b.get_attribute("title") for b in page.locator(CELLS).all()]


def has(page, count: int):
    page.wait_for_function("([s, n]) => document.querySelectorAll(s).length === n", arg=[CELLS, count])


def stands_at(page, words: str):
    page.wait_for_selector(f"#gallery-place:has-text('{words}')")


def test_what_was_saved_is_found_and_opened_again_with_equal_pixels(page, outputs, studio):
    wanted = changes(page, lambda: slide(page, "direction-2", 1.5))
    page.click("#save")
    page.wait_for_selector("#download:visible")
    changes(page, lambda: page.click("#dice"))
    open_gallery(page, 5)
    assert titles(page)[0] == "anna, seed 0"
    assert titles(page)[1:4] == ["clara, seed 5", "anna, seed 77", HOSTILE]
    page.locator(CELLS).first.click()
    page.wait_for_selector(STAGE)
    assert page.locator("#gallery-facts dd").all_inner_texts()[:3] == ["Tiny anna (anna)", "0", "0.7"]
    page.click("#gallery-open-explore")
    page.wait_for_function(
        "(src) => { const i = document.querySelector('#explore-stage img'); return i.offsetParent && i.src === src }", arg=wanted
    )
    assert page.locator("#direction-2 input[type=number]").input_value() == "1.5"
    page.get_by_role("tab", name="Gallery").click()
    page.click("#gallery-older")
    stands_at(page, "2 of 5")
    page.click("#gallery-open-explore")
    page.wait_for_function("document.querySelector('#class input')?.value === 'kind 2'")
    page.wait_for_selector("#explore-stage img:visible")
    recipe = read_recipe(outputs / "explore" / "clara-seed5.png")
    assert np.array_equal(pixels(page), studio[1].render(recipe)), "mixes and classes come back too"


def test_search_filters_and_stars(page, outputs):
    open_gallery(page, 4)
    page.locator("#gallery-text textarea, #gallery-text input").first.fill("seed 77")
    has(page, 1)
    assert titles(page) == ["anna, seed 77"]
    page.locator(CELLS).click()
    page.wait_for_selector(STAGE)
    page.click("#gallery-star")
    page.wait_for_selector("#gallery-star:has-text('A favourite')")
    page.locator("#gallery-tags input").fill("Blau")
    page.locator("#gallery-tags input").press("Enter")
    page.wait_for_selector("#gallery-tags :text('Blau')")
    page.click("#gallery-back")
    page.wait_for_selector(f"{CELLS} i:has-text('★')")
    search = page.locator("#gallery-text textarea, #gallery-text input").first
    search.fill("no such thing")
    page.wait_for_selector("#gallery-grid :text('No picture matches')")
    search.fill("blau")
    has(page, 1)
    search.fill("")
    has(page, 4)
    page.get_by_label("★ Favourites only").check()
    has(page, 1)
    page.get_by_label("★ Favourites only").uncheck()
    has(page, 4)
    page.locator("#gallery-more button").first.click()
    page.locator("#gallery-kind input").click()
    page.get_by_role("option", name="Clips", exact=True).click()
    has(page, 1)
    assert titles(page) == ["walk.mp4"]


def test_arrows_step_and_names_are_no_html(page, outputs):
    open_gallery(page, 4)
    page.locator(CELLS).first.click()
    stands_at(page, "1 of 4")
    first = source(page, STAGE)
    page.keyboard.press("ArrowRight")
    stands_at(page, "2 of 4")
    assert source(page, STAGE) != first
    page.keyboard.press("ArrowRight")
    stands_at(page, "3 of 4")
    assert page.locator("#gallery-path textarea, #gallery-path input").first.input_value() == str(outputs / HOSTILE)
    assert "None inside" in page.locator("#gallery-facts").inner_text()
    assert page.evaluate("window.hacked") is None
    page.keyboard.press("ArrowRight")
    page.wait_for_selector("#gallery-clip video")
    page.keyboard.press("ArrowLeft")
    stands_at(page, "3 of 4")
    page.keyboard.press("Escape")
    page.wait_for_selector(CELLS)
    has(page, 4)


def test_several_become_a_zip_and_a_sheet(page, outputs, tmp_path):
    open_gallery(page, 4)
    page.click("#gallery-choose")
    page.wait_for_selector(".gs-gallery.choose")
    page.locator(CELLS).nth(0).click()
    page.locator(CELLS).nth(2).click(modifiers=["Shift"])
    page.wait_for_selector("#gallery-count:has-text('3 chosen')")
    page.locator(CELLS).nth(1).click()
    page.wait_for_selector("#gallery-count:has-text('2 chosen')")
    page.click("#gallery-zip")
    page.wait_for_selector("#gallery-ready:visible")
    with zipfile.ZipFile(download(page, "#gallery-ready", tmp_path)) as archive:
        assert sorted(archive.namelist()) == ["README.txt", "explore/clara-seed5.png", HOSTILE]
        assert archive.read("explore/clara-seed5.png") == (outputs / "explore" / "clara-seed5.png").read_bytes()
    page.locator("#gallery-sheet-box button").first.click()
    page.click("#gallery-sheet")
    page.wait_for_selector("#gallery-making:has-text('on the sheet')")
    page.wait_for_selector("#gallery-ready:visible")
    assert download(page, "#gallery-ready", tmp_path).read_bytes().startswith(b"%PDF")
    page.click("#gallery-none")
    page.wait_for_selector("#gallery-count:has-text('None chosen yet')")
    page.click("#gallery-page-all")
    page.wait_for_selector("#gallery-count:has-text('4 chosen')")
    page.get_by_label("PNG (one picture)").click()
    page.click("#gallery-sheet")
    page.wait_for_selector("#gallery-making:has-text('4 files on the sheet')")
    with Image.open(download(page, "#gallery-ready", tmp_path)) as sheet:
        assert sheet.format == "PNG"
        assert sheet.width == 4 * 320 + 3 * 10 + 2 * 14


def test_delete_and_undo(page, outputs, home):
    open_gallery(page, 4)
    page.click("#gallery-choose")
    page.wait_for_selector(".gs-gallery.choose")
    page.locator(CELLS).nth(0).click()
    page.locator(CELLS).nth(1).click()
    page.wait_for_selector("#gallery-count:has-text('2 chosen')")
    page.click("#gallery-delete-many")
    page.wait_for_selector("#gallery-undo-bar:has-text('2 files are in the trash')")
    has(page, 2)
    assert not list((outputs / "explore").glob("*.png"))
    assert len(list((home / "bin").rglob("*seed*.png"))) >= 2
    page.click("#gallery-undo")
    has(page, 4)
    assert len(list((outputs / "explore").glob("*.png"))) == 2
    page.click("#gallery-choose")
    page.wait_for_selector(".gs-gallery:not(.choose)")
    page.locator(CELLS).first.click()
    stands_at(page, "1 of 4")
    page.click("#gallery-delete")
    stands_at(page, "1 of 3")
    page.click("#gallery-undo")
    has(page, 4)


def test_a_translated_picture_opens_in_translate_as_it_was(page, outputs, home, studio, tmp_path):
    picture(4).save(tmp_path / "mine.png")
    recipe = ImageRecipe("ink", direction="BtoA", strength=0.57, keep_colour=True, repeat=2)
    os.environ["STUDIO_HOME"] = str(home)
    recipe = studio[1].stamped(recipe.replace(source=keep_source(tmp_path / "mine.png")))
    result = studio[1].translate(recipe, picture(4))
    save_picture(result, recipe, outputs / "translate" / "mine-ink-x.png")
    open_gallery(page, 5)
    page.locator(CELLS).first.click()
    page.wait_for_selector(STAGE)
    page.click("#gallery-open-translate")
    page.wait_for_selector("#translate-stage .after")
    assert same(pixels(page, "#translate-stage .after"), result, 2)
    assert page.locator("#translate-strength input[type=number]").input_value() == "57"
    page.click("#translate-save")
    page.wait_for_selector("#translate-download:visible")
    again = download(page, "#translate-download", tmp_path)
    assert again.name.startswith("mine-ink-")
    assert read_recipe(again) == recipe


def test_an_enlarged_picture_whose_source_is_gone(page, outputs, studio):
    recipe = studio[1].stamped(ImageRecipe("sharp", verb="upscale", scale=2.537, strength=0.4, source="ab" * 32))
    save_picture(picture(6, 60, 40), recipe, outputs / "upscale" / "mine-sharp-x.png")
    open_gallery(page, 5)
    page.locator(CELLS).first.click()
    page.wait_for_selector(STAGE)
    page.click("#gallery-open-upscale")
    page.wait_for_function("[...document.querySelectorAll('.toast-body')].some(t => t.innerText.includes('no longer kept'))")
    page.wait_for_selector(f"#upscale-told:has-text('{round(60 * 2.537)} x {round(40 * 2.537)} px')")
    assert page.locator("#upscale-strength input[type=number]").input_value() == "40"


def test_a_recipe_whose_model_is_gone_is_told(page, outputs, studio):
    save_picture(np.asarray(picture(1)), Recipe(model="nobody"), outputs / "explore" / "strange.png")
    before = source(page)
    open_gallery(page, 5)
    page.locator(CELLS).first.click()
    page.wait_for_selector("#gallery-facts:has-text('no longer here')")
    page.click("#gallery-open-explore")
    page.wait_for_function(
        "[...document.querySelectorAll('.toast-body')].some(t => t.innerText.includes(\"'nobody' is not in this studio\"))"
    )
    page.get_by_role("tab", name="Explore").click()
    assert source(page) == before


def test_one_file_is_downloaded_and_a_plain_picture_sent_on(page, outputs, tmp_path):
    open_gallery(page, 4)
    page.locator(CELLS).nth(2).click()
    stands_at(page, "3 of 4")
    assert not any(page.locator(f"#gallery-open-{tab}").is_visible() for tab in ("explore", "translate", "upscale"))
    assert download(page, "#gallery-download", tmp_path).read_bytes() == (outputs / HOSTILE).read_bytes()
    page.click("#gallery-translate")
    page.wait_for_selector("#translate-stage .after")


def test_an_empty_gallery_and_pages_on_a_phone(browser, studio, outputs):
    for path in outputs.rglob("*.*"):
        path.unlink()
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.set_default_timeout(90_000)
    page.goto(studio[0])
    page.wait_for_selector("#explore-stage img")
    page.get_by_role("tab", name="Gallery").click()
    page.wait_for_selector("#gallery-grid :text('Nothing is saved here yet')")
    for i in range(130):
        path = outputs / "explore" / f"{i:03d} with a rather long name.png"
        Image.new("RGB", (40, 30), (i, 90, 200 - i)).save(path)
        os.utime(path, (1_700_000_000 + i,) * 2)
    page.get_by_role("tab", name="Explore").click()
    open_gallery(page, 130)
    has(page, 60)
    page.wait_for_function("(s) => [...document.querySelectorAll(s)].every((b) => b.querySelector('img'))", arg=CELLS)
    shown = Image.open(io.BytesIO(base64.b64decode(source(page, f"{CELLS} img").split(",", 1)[1])))
    assert shown.size == (40, 30)
    assert titles(page)[0] == "129 with a rather long name.png"
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.click("#gallery-older-page")
    page.wait_for_selector("#gallery-where:has-text('Page 2 of 3')")
    page.click("#gallery-older-page")
    has(page, 10)
    page.click("#gallery-choose")
    page.wait_for_selector(".gs-gallery.choose")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.click("#gallery-choose")
    page.wait_for_selector(".gs-gallery:not(.choose)")
    page.locator(CELLS).last.click()
    stands_at(page, "130 of 130")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.click("#gallery-back")
    page.wait_for_selector("#gallery-where:has-text('Page 3 of 3')")
    page.close()
