"""The Upscale tab in a real browser."""

import dataclasses
import gc
import io
import zipfile

import av
import numpy as np
import pytest
from PIL import Image, ImageCms

import studio as studio_api
from studio.engine.image_recipe import ImageRecipe
from studio.provenance.metadata import encode, read_recipe
from studio.provenance.source_pictures import find_source
from studio.ui.upscale.state import UpscaleState
from tests.browser.conftest import visit
from tests.browser.test_studio import pixels, slide, source
from tests.browser.test_translate import download, picture, same
from tests.conftest import save_tiny
from tests.unit.networks.test_super_resolution import make
from tests.unit.outputs import test_animations as animation
from tests.unit.outputs.test_video_translation import HEIGHT, WIDTH, sound, write

pytestmark = pytest.mark.browser
TABS = ("explore", "classes", "translate", "upscale", "gallery", "train")

AFTER = "#upscale-stage .after"
START = "#upscale-start button, button#upscale-start"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    from studio.models.folder import save_folder

    folder = tmp_path_factory.mktemp("home")
    save_tiny(folder / "models", "anna", c_dim=3)
    network = make("srvgg")
    save_folder(
        folder / "models" / "sharp", "srvgg", dataclasses.asdict(network.config), network.state_dict(), title="Sharp", dtype="float32"
    )
    return folder


@pytest.fixture(scope="module")
def model(home):
    return studio_api.load(home / "models" / "sharp", device="cpu")


def open_upscale(page):
    page.get_by_role("tab", name="Upscale").click()
    page.wait_for_function("document.querySelector('#upscale-model input')?.value === 'Sharp'")


def give(page, path):
    page.set_input_files("#upscale-picture input[type=file]", str(path))
    page.wait_for_selector(AFTER)


def saved(page, tmp_path):
    page.click("#upscale-save")
    page.wait_for_selector("#upscale-download:visible")
    return download(page, "#upscale-download", tmp_path)


def test_a_picture_is_upscaled_compared_and_kept(page, model, tmp_path):
    open_upscale(page)
    mine = picture(5, 60, 40)
    mine.putalpha(Image.linear_gradient("L").resize(mine.size))
    mine.save(tmp_path / "mine.png")
    give(page, tmp_path / "mine.png")
    page.wait_for_selector("#status:has-text('sharp')")
    k = model.scale
    page.wait_for_selector(f"#upscale-told:has-text('{60 * k} x {40 * k} px')")
    wanted = model.upscale(mine)
    assert same(pixels(page, AFTER), wanted.convert("RGB"), 2)
    now = source(page, AFTER)
    slide(page, "upscale-strength", 50)
    page.wait_for_function("([s, old]) => document.querySelector(s).src !== old", arg=[AFTER, now])
    path = saved(page, tmp_path)
    with Image.open(path) as result:
        assert result.size == wanted.size
        assert result.mode == "RGBA"
        plain = np.asarray(mine.resize(wanted.size, Image.LANCZOS).getchannel("A"), float)
        half = (np.asarray(wanted.getchannel("A"), float) + plain) / 2
        assert np.abs(np.asarray(result.getchannel("A")) - half).max() <= 2
    recipe = read_recipe(path, ImageRecipe)
    assert (recipe.model, recipe.verb, recipe.strength) == ("sharp", "upscale", 0.5)
    assert find_source(recipe.source).read_bytes() == (tmp_path / "mine.png").read_bytes()


def test_the_window_at_full_size_follows_the_pointer(page, model, tmp_path):
    open_upscale(page)
    mine = picture(7, 240, 160)
    mine.save(tmp_path / "mine.png")
    give(page, tmp_path / "mine.png")
    window = "#upscale-window figure:nth-child(2) img"
    page.wait_for_selector(window)
    now, box = source(page, window), page.locator("#upscale-stage .gs-compare").bounding_box()
    page.mouse.move(box["x"] + 2, box["y"] + 2)
    page.wait_for_function("([s, old]) => document.querySelector(s).src !== old", arg=[window, now])
    seen = pixels(page, window)
    assert np.abs(seen.astype(int) - np.asarray(model.upscale(mine))[: len(seen), : seen.shape[1]]).mean() < 2, (
        "its upper left corner, as a JPEG"
    )


def test_a_target_in_centimetres(page, model, tmp_path):
    open_upscale(page)
    mine = picture(6, 60, 40)
    mine.save(tmp_path / "mine.png")
    give(page, tmp_path / "mine.png")
    page.get_by_label("For print (cm)").click()
    page.fill("#upscale-cm input", "2.54")
    page.fill("#upscale-dpi input", "150")
    page.wait_for_selector("#upscale-words:has-text('150 x 100 px')")
    page.click(START)
    page.wait_for_selector("#upscale-told:has-text('150 x 100 px')")
    with Image.open(saved(page, tmp_path)) as result:
        assert result.size == (150, 100)
        assert result.info["dpi"] == pytest.approx((150, 150), abs=0.1)
        assert same(result, model.upscale(mine, 2.5))


def test_sixteen_bits_and_the_colour_profile_are_kept(page, model, tmp_path):
    open_upscale(page)
    fine = (np.linspace(0, 65535, 48 * 64).reshape(48, 64)).astype(np.uint16)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(fine).save(tmp_path / "fine.png", icc_profile=profile)
    give(page, tmp_path / "fine.png")
    page.wait_for_selector("#upscale-told:has-text('16 bits are kept'):has-text('with its colour profile')")
    with Image.open(saved(page, tmp_path)) as result, Image.open(tmp_path / "fine.png") as mine:
        assert result.mode == "I;16"
        assert result.info["icc_profile"] == profile
        wanted = np.asarray(model.upscale(mine)).astype(int)
        assert np.abs(np.asarray(result).astype(int) - wanted).max() <= 2
        assert len(np.unique(wanted)) > 1000


def test_a_large_one_is_stopped_and_begun_again(page, studio, tmp_path):
    """The network waits in its first tile until Stop has reached the studio."""
    open_upscale(page)
    picture(9, 700, 600).save(tmp_path / "large.png")
    page.set_input_files("#upscale-picture input[type=file]", str(tmp_path / "large.png"))
    page.wait_for_selector("#upscale-told:has-text('700 x 600 px')")
    network = studio[1].model("sharp").network
    forward, drawn = network.forward, []

    def held(x):
        drawn.append(x.shape)
        state = next(o for o in gc.get_objects() if isinstance(o, UpscaleState) and o.path and o.path.name == "large.png")
        assert state.works["picture"].stop.wait(180)
        return forward(x)

    network.forward = held
    try:
        page.click(START)
        page.click("#upscale-stop")
        page.wait_for_selector("#upscale-told:has-text('Stopped.')")
    finally:
        network.forward = forward
    assert page.locator(AFTER).count() == 0
    assert len(drawn) == 1
    page.click(START)
    page.wait_for_selector(AFTER)


def test_without_a_model_the_tab_says_how_to_get_one(browser, tmp_path):
    save_tiny(tmp_path / "models", "anna")
    with visit(browser, tmp_path) as page:
        page.get_by_role("tab", name="Upscale").click()
        page.wait_for_selector("#upscale-nothing:has-text('No model here upscales pictures')")
        assert not page.locator("#upscale-page").is_visible()


def test_several_become_a_zip(page, model, tmp_path):
    open_upscale(page)
    page.get_by_label("Several pictures").click()
    picture(8).save(tmp_path / "hill.png")
    (tmp_path / "torn.jpg").write_bytes(b"no")
    page.set_input_files("#upscale-files input[type=file]", [str(tmp_path / n) for n in ("hill.png", "torn.jpg")])
    page.wait_for_selector("#upscale-files :text('torn')")
    page.click("#upscale-start-many")
    page.wait_for_selector("#upscale-many-view:has-text('1 of 2 pictures upscaled.')")
    with zipfile.ZipFile(download(page, "#upscale-zip", tmp_path)) as archive:
        assert sorted(archive.namelist()) == ["hill.png", "report.txt"]
        with Image.open(io.BytesIO(archive.read("hill.png"))) as result:
            assert same(result, model.upscale(picture(8)))


def test_a_video_becomes_larger_and_keeps_its_sound(page, model, tmp_path):
    open_upscale(page)
    page.get_by_label("A video").click()
    clip = write(tmp_path / "walk.mp4")
    page.set_input_files("#upscale-video input[type=file]", str(clip))
    page.wait_for_selector("#upscale-clip-stage .after")
    page.click("#upscale-start-clip")
    page.wait_for_selector("#upscale-clip-file:visible")
    path = download(page, "#upscale-clip-file", tmp_path)
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
        assert len(frames) == 16
        assert (frames[0].width, frames[0].height) == (WIDTH * model.scale, HEIGHT * model.scale)
    assert np.array_equal(sound(path)[1], sound(clip)[1])


def test_pictures_come_from_classes_and_go_on(page, model, studio, tmp_path):
    page.get_by_role("tab", name="Classes").click()
    page.wait_for_selector("#classes-stage img")
    drawn = pixels(page, "#classes-stage img")
    page.click("#classes-upscale")
    page.wait_for_selector(AFTER)
    assert same(pixels(page, AFTER), model.upscale(Image.fromarray(drawn)), 2)
    page.click("#upscale-train")
    page.wait_for_selector("#train-files :text('sharp')")


def test_two_visitors_do_not_see_each_others_pictures(page, browser, studio, tmp_path):
    open_upscale(page)
    picture(11).save(tmp_path / "secret-garden.png")
    give(page, tmp_path / "secret-garden.png")
    context = browser.new_context()
    other = context.new_page()
    other.set_default_timeout(90_000)
    other.goto(studio[0])
    other.wait_for_selector("#explore-stage img")
    open_upscale(other)
    assert other.locator(AFTER).count() == 0
    assert "secret-garden" not in other.content()
    context.close()


def test_a_picture_that_moves_stays_one(page, model, tmp_path):
    open_upscale(page)
    assert not page.locator("#upscale-moving").is_visible()
    animation.write(tmp_path / "run.gif", animation.frames("RGBA"))
    give(page, tmp_path / "run.gif")
    page.wait_for_selector("#upscale-told:has-text('It is an animation of 4 frames: only its first picture was taken.')")
    page.wait_for_selector("#upscale-moving-words:has-text('4 frames')")
    page.click("#upscale-start-moving")
    page.wait_for_selector("#upscale-moving-note:has-text('256 colours a frame')")
    path = download(page, "#upscale-moving-file", tmp_path)
    shown, times, _ = animation.read(path)
    assert times == animation.DURATIONS
    assert shown[0].shape == (24 * model.scale, 40 * model.scale, 4)
    recipe = read_recipe(path, ImageRecipe)
    assert (recipe.model, len(recipe.source)) == ("sharp", 64)
    picture(3).save(tmp_path / "still.png")
    page.set_input_files("#upscale-picture input[type=file]", str(tmp_path / "still.png"))
    page.wait_for_selector("#upscale-moving", state="hidden")


def test_a_folder_keeps_its_tree_and_results_have_a_pattern_a_type_and_a_quality(page, model, tmp_path):
    open_upscale(page)
    page.get_by_label("Several pictures").click()
    for name in ("pets/cats/{1}.png", "pets/dogs/1.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        picture(4).save(tmp_path / name)
    animation.write(tmp_path / "pets/run.webp", animation.frames())
    with page.expect_file_chooser() as chooser:
        page.click("#upscale-folder")
    chooser.value.set_files(str(tmp_path / "pets"))
    page.wait_for_selector("#upscale-files :text('dogs')")
    page.fill("#upscale-pattern textarea, #upscale-pattern input", "{number}-{name}_x{scale}")
    page.get_by_label("JPEG: small, without transparency").click()
    page.wait_for_selector("#upscale-quality:visible")
    page.click("#upscale-start-many")
    page.wait_for_selector("#upscale-many-view:has-text('3 of 3 pictures upscaled.')")
    k = f"{model.scale:g}"
    with zipfile.ZipFile(download(page, "#upscale-zip", tmp_path)) as archive:
        names = [f"0003-run_x{k}.webp", f"cats/0001-{{1}}_x{k}.jpg", f"dogs/0002-1_x{k}.jpg", "report.txt"]
        assert sorted(archive.namelist()) == names
        with Image.open(io.BytesIO(archive.read(names[1]))) as result:
            assert result.format == "JPEG"
            with Image.open(io.BytesIO(encode(model.upscale(picture(4)), None, "jpeg", 92))) as due:
                assert np.abs(np.asarray(result).astype(int) - np.asarray(due)).mean() < 0.5
            assert read_recipe(result, ImageRecipe).model == "sharp"
        with Image.open(io.BytesIO(archive.read(names[0]))) as moving:
            assert moving.n_frames == 4
    page.fill("#upscale-pattern textarea, #upscale-pattern input", "same")
    page.click("#upscale-start-many")
    page.wait_for_selector(":text('gives all results one name')")
