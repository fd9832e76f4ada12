"""The Translate tab in a real browser."""

import dataclasses
import io
import os
import zipfile

import av
import numpy as np
import pytest
import torch
from PIL import Image

import studio as studio_api
from studio.engine.image_recipe import ImageRecipe
from studio.imaging.blending import blend
from studio.networks.translation.cyclegan import CycleGANConfig, Generator
from studio.provenance.metadata import read_recipe
from studio.provenance.source_pictures import find_source
from tests.browser.conftest import visit
from tests.browser.test_studio import pixels, slide, source
from tests.conftest import save_tiny
from tests.unit.outputs.test_video_translation import HEIGHT, WIDTH, sound, write

pytestmark = pytest.mark.browser
TABS = ("explore", "classes", "translate", "upscale", "gallery", "train")

AFTER = "#translate-stage .after"


def picture(seed: int = 0, width: int = 72, height: int = 44) -> Image.Image:
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 255, (height // 4, width // 4, 3), np.uint8)).resize((width, height), Image.BICUBIC)


def save_translator(folder, name: str, seed: int = 0, directions: str = "both", examples=None, **extra):
    from studio.models.folder import save_folder

    config = CycleGANConfig(resolution=32, net="resnet_6blocks", ngf=4, n_layers=1, directions=directions)
    torch.manual_seed(seed)
    network = Generator(config)
    with torch.no_grad():
        for p in network.parameters():
            p.mul_(3)  # so that strength, colour and repeats are to be seen
    return save_folder(
        folder / name,
        "cyclegan",
        dataclasses.asdict(config),
        network.state_dict(),
        title=name.capitalize(),
        dtype="float32",
        examples=examples,
        extra=extra,
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    from tests.conftest import save_tiny

    folder = tmp_path_factory.mktemp("home")
    save_tiny(folder / "models", "anna")
    examples = {"A": [picture(i) for i in (1, 2)], "B": [picture(3)]}
    save_translator(folder / "models", "ink", examples=examples, sides=["photo", "ink"])
    save_translator(folder / "models", "oneway", 1, "AtoB")
    return folder


@pytest.fixture(scope="module")
def models(home):
    return {name: studio_api.load(home / "models" / name, device="cpu") for name in ("ink", "oneway")}


def open_translate(page):
    page.get_by_role("tab", name="Translate").click()
    page.wait_for_selector("#translate-examples [data-i] img")
    page.wait_for_selector(AFTER)


def give(page, path) -> str:
    """Hand in a picture and wait for another result. Returns its source."""
    before = source(page, AFTER)
    page.set_input_files("#translate-picture input[type=file]", str(path))
    return waits(page, before)


def waits(page, before: str) -> str:
    page.wait_for_function("([s, old]) => { const i = document.querySelector(s); return i && i.src !== old }", arg=[AFTER, before])
    return source(page, AFTER)


def same(one, other, most: int = 1) -> bool:
    """The same picture, but for the rounding of sums that are made in pieces."""
    one, other = np.asarray(one).astype(int), np.asarray(other).astype(int)
    return one.shape == other.shape and np.abs(one - other).max() <= most


def download(page, button: str, tmp_path):
    with page.expect_download() as download:
        page.click(button)
    path = tmp_path / download.value.suggested_filename
    download.value.save_as(path)
    return path


def test_the_first_screen_shows_an_example_translated(page, models):
    open_translate(page)
    assert page.locator("#translate-examples [data-i]").count() == 2
    assert page.locator("#translate-direction label").all_inner_texts() == ["A to B: photo to ink", "B to A: ink to photo"]
    with Image.open(models["ink"].info.examples("A")[0]) as first:
        assert same(pixels(page, AFTER), models["ink"].translate(first))
    before = source(page, AFTER)
    page.click("#translate-examples [data-i='1']")
    waits(page, before)
    with Image.open(models["ink"].info.examples("A")[1]) as second:
        assert same(pixels(page, AFTER), models["ink"].translate(second))


def test_a_picture_is_translated_compared_and_kept(page, models, tmp_path):
    open_translate(page)
    mine = picture(5, 90, 61)
    mine.putalpha(Image.linear_gradient("L").resize(mine.size))
    mine.save(tmp_path / "mine.png")
    give(page, tmp_path / "mine.png")
    page.wait_for_selector("#translate-told:has-text('90 x 61 px')")
    assert "transparency is kept" in page.locator("#translate-told").inner_text()
    box = page.locator("#translate-stage .gs-compare").bounding_box()
    assert box["width"] / box["height"] == pytest.approx(90 / 61, rel=0.02)
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.8, box["y"] + box["height"] * 0.4, steps=4)
    page.mouse.up()
    cut = page.evaluate("getComputedStyle(document.querySelector('#translate-stage .before')).clipPath")  # inset(0px 20% 0px 0px)
    assert float(cut.split()[1].rstrip("%")) == pytest.approx(20, abs=3)
    page.click("#translate-save")
    page.wait_for_selector("#translate-download:visible")
    path = download(page, "#translate-download", tmp_path)
    assert path.name.startswith("mine-ink-")
    assert path.suffix == ".png"
    with Image.open(path) as result:
        assert result.size == (90, 61)
        assert result.mode == "RGBA"
        assert np.array_equal(np.asarray(result)[..., 3], np.asarray(mine)[..., 3])
        assert same(result, models["ink"].translate(mine))
    recipe = read_recipe(path, ImageRecipe)
    assert (recipe.model, recipe.direction, recipe.model_hash) == ("ink", "AtoB", models["ink"].info.hash)
    assert find_source(recipe.source).read_bytes() == (tmp_path / "mine.png").read_bytes()


def test_strength_and_colours_are_blended_and_repeats_are_not_made_twice(page, models, studio, tmp_path):
    open_translate(page)
    mine = picture(6)
    mine.save(tmp_path / "mine.png")
    now = give(page, tmp_path / "mine.png")
    asked = []
    translate = studio[1].translate
    studio[1].translate = lambda *args: asked.append(args[0]) or translate(*args)
    try:
        slide(page, "translate-strength", 40)
        now = waits(page, now)
        once = models["ink"].translate(mine)
        assert same(pixels(page, AFTER), blend(mine, once, 0.4))
        page.get_by_label("Keep my colours (luminance only)").check()
        now = waits(page, now)
        assert same(pixels(page, AFTER), blend(mine, once, 0.4, True), 2)
        assert asked == [], "the network had nothing to do"
        slide(page, "translate-repeat", 2)
        now = waits(page, now)
        twice = models["ink"].translate(once)
        assert same(pixels(page, AFTER), blend(mine, twice, 0.4, True), 4)
        assert len(asked) == 1, "the first of the two was there already"
    finally:
        studio[1].translate = translate
    page.get_by_label("B to A: ink to photo").click()
    waits(page, now)
    assert same(pixels(page, AFTER), blend(mine, models["ink"].translate(models["ink"].translate(mine, "BtoA"), "BtoA"), 0.4, True), 4)


def test_the_way_back_tells_what_was_lost(page, models, tmp_path):
    open_translate(page)
    mine = picture(7)
    mine.save(tmp_path / "mine.png")
    give(page, tmp_path / "mine.png")
    page.click("#translate-back")
    page.wait_for_selector("#translate-back-view figure")
    back = models["ink"].translate(models["ink"].translate(mine), "BtoA")
    lost = np.abs(np.asarray(mine).astype(float) - np.asarray(back)).mean()
    told = float(page.locator("#translate-back-view").inner_text().split("difference, ")[1].split(" of 255")[0])
    assert told == pytest.approx(lost, abs=0.2)
    assert page.locator("#translate-back-view figure").count() == 4
    assert same(pixels(page, "#translate-back-view figure:nth-child(3) img"), back, 3)


def test_a_model_with_one_way_has_no_way_back(page, models, tmp_path):
    open_translate(page)
    before = source(page, AFTER)
    page.locator("#translate-model input").click()
    page.get_by_role("option", name="Oneway").click()
    waits(page, before)
    page.wait_for_selector("#translate-back", state="hidden")
    assert page.locator("#translate-direction label").all_inner_texts() == ["A to B"]
    page.wait_for_selector("#translate-examples", state="hidden")


def test_what_cannot_be_used_is_told_in_a_sentence(page, tmp_path):
    open_translate(page)
    (tmp_path / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n" + os.urandom(200))
    (tmp_path / "empty.jpg").write_bytes(b"")
    said = {"torn.png": "'torn.png' is not a picture, or a damaged one.", "empty.jpg": "'empty.jpg' is empty: the file has 0 bytes."}
    for name, words in said.items():
        page.set_input_files("#translate-picture input[type=file]", str(tmp_path / name))
        page.wait_for_selector(f'#translate-stage:has-text("{words}")')
        page.wait_for_selector("#translate-save", state="hidden")
    Image.new("CMYK", (1, 1), (0, 255, 255, 0)).save(tmp_path / "dot.jpg")
    page.set_input_files("#translate-picture input[type=file]", str(tmp_path / "dot.jpg"))
    page.wait_for_selector("#translate-told:has-text('1 x 1 px')")
    assert pixels(page, AFTER).shape == (1, 1, 3)


def test_several_become_a_zip(page, models, tmp_path):
    open_translate(page)
    page.get_by_label("Several pictures").click()
    picture(8).save(tmp_path / "hill.png")
    picture(9, 50, 70).save(tmp_path / "sea.webp", lossless=True)
    (tmp_path / "torn.jpg").write_bytes(b"no")
    page.set_input_files("#translate-files input[type=file]", [str(tmp_path / n) for n in ("hill.png", "torn.jpg", "sea.webp")])
    page.wait_for_selector("#translate-files :text('torn')")
    page.click("#translate-start-many")
    page.wait_for_selector("#translate-many-view:has-text('2 of 3 pictures translated.')")
    assert "'torn.jpg' is not a picture, or a damaged one." in page.locator("#translate-many-view").inner_text()
    assert page.locator("#translate-many-view figcaption").all_inner_texts() == ["hill.png", "sea.png"]
    page.wait_for_selector("#translate-stop-many", state="hidden")
    with zipfile.ZipFile(download(page, "#translate-zip", tmp_path)) as archive:
        assert sorted(archive.namelist()) == ["hill.png", "report.txt", "sea.png"]
        for name, seed, size in (("hill.png", 8, (72, 44)), ("sea.png", 9, (50, 70))):
            with Image.open(io.BytesIO(archive.read(name))) as result:
                assert same(result, models["ink"].translate(picture(seed, *size)))
        assert read_recipe(archive.read("sea.png"), ImageRecipe).model == "ink"


def test_a_video_shows_its_first_frame_and_keeps_its_sound(page, tmp_path):
    open_translate(page)
    page.get_by_label("A video").click()
    clip = write(tmp_path / "walk.mp4")
    page.set_input_files("#translate-video input[type=file]", str(clip))
    page.wait_for_selector("#translate-clip-stage .after")
    assert pixels(page, "#translate-clip-stage .after").shape == (HEIGHT, WIDTH, 3)
    assert "16 frames" in page.locator("#translate-clip-facts").inner_text()
    page.click("#translate-start-clip")
    page.wait_for_selector("#translate-clip-file:visible")
    page.wait_for_selector("#translate-clip-view video")
    path = download(page, "#translate-clip-file", tmp_path)
    with av.open(str(path)) as container:
        assert len(list(container.decode(video=0))) == 16
    assert np.array_equal(sound(path)[1], sound(clip)[1])


def test_a_stopped_video_leaves_nothing(page, home, tmp_path):
    folder = home / "outputs" / "translate"
    before = set(folder.glob("*")) if folder.exists() else set()
    open_translate(page)
    page.get_by_label("A video").click()
    page.set_input_files("#translate-video input[type=file]", str(write(tmp_path / "long.mp4", times=range(2000), sound=None)))
    page.wait_for_selector("#translate-clip-stage .after")
    page.click("#translate-start-clip")
    page.click("#translate-stop-clip")
    page.wait_for_selector("#translate-clip-note:has-text('Stopped; nothing was saved.')")
    page.wait_for_selector("#translate-stop-clip", state="hidden")
    assert set(folder.glob("*")) == before


def test_a_file_that_is_no_video_is_told(page, tmp_path):
    open_translate(page)
    page.get_by_label("A video").click()
    (tmp_path / "not.mp4").write_bytes(b"words")
    page.set_input_files("#translate-video input[type=file]", str(tmp_path / "not.mp4"))
    page.wait_for_selector("#translate-clip-stage:has-text('This file is not a video that the studio can read.')")


def test_a_result_is_used_for_training(page, tmp_path):
    open_translate(page)
    picture(4).save(tmp_path / "mine.png")
    give(page, tmp_path / "mine.png")
    page.wait_for_selector("#translate-told:has-text('72 x 44 px')")
    page.click("#translate-train")
    page.wait_for_selector("#train-files :text('mine-ink')")
    assert page.locator("#train-owned").is_visible()


def test_two_visitors_do_not_see_each_others_pictures(page, browser, studio, tmp_path):
    open_translate(page)
    picture(11).save(tmp_path / "secret-garden.png")
    mine = give(page, tmp_path / "secret-garden.png")
    context = browser.new_context()
    other = context.new_page()
    other.set_default_timeout(90_000)
    other.goto(studio[0])
    other.wait_for_selector("#explore-stage img")
    open_translate(other)
    assert source(other, AFTER) != mine
    assert "secret-garden" not in other.content()
    context.close()
    slide(page, "translate-strength", 0)
    waits(page, mine)
    assert same(pixels(page, AFTER), picture(11)), "and keep their own"


def test_nothing_sticks_out_on_a_phone(phone, tmp_path):
    open_translate(phone)
    picture(2, 1200, 500).save(tmp_path / "wide.png")
    give(phone, tmp_path / "wide.png")
    phone.click("#translate-back")
    phone.wait_for_selector("#translate-back-view figure")
    for label in ("Several pictures", "A video", "One picture"):
        phone.get_by_label(label, exact=True).click()
        assert phone.evaluate("document.documentElement.scrollWidth") <= 390, label


def test_a_library_without_translators_says_what_to_do(browser, tmp_path, monkeypatch):
    monkeypatch.setenv("STUDIO_HOME", str(tmp_path))
    save_tiny(tmp_path / "models", "anna")
    with visit(browser, tmp_path) as page:
        page.get_by_role("tab", name="Translate").click()
        page.wait_for_selector("text=No model here turns one sort of picture into another")
        page.wait_for_selector("#translate-what", state="hidden")
