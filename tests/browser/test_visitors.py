"""Strangers in one studio at the same time, each in a real browser of their own."""

import base64
import dataclasses
import hashlib
import io
import time
import zipfile

import numpy as np
import pytest
from PIL import Image

from studio.engine.image_recipe import ImageRecipe
from studio.engine.recipe import Recipe
from studio.models.folder import save_folder
from studio.provenance.metadata import read_recipe
from studio.provenance.source_pictures import find_source
from studio.ui.access.serving import ServingPolicy
from tests.browser.test_gallery import CELLS
from tests.browser.test_studio import changes, pixels, slide, source
from tests.browser.test_translate import download, picture, save_translator
from tests.browser.test_upscale import open_upscale
from tests.conftest import save_tiny
from tests.unit.networks.test_super_resolution import make

pytestmark = pytest.mark.browser

AFTER = "#translate-stage .after"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home")
    save_tiny(folder / "models", "anna", c_dim=3)
    save_translator(folder / "models", "ink")
    network = make("srvgg")
    save_folder(
        folder / "models" / "sharp", "srvgg", dataclasses.asdict(network.config), network.state_dict(), title="Sharp", dtype="float32"
    )
    return folder


@pytest.fixture(scope="module")
def opened(home):
    """(URL, engine, app) of a studio for strangers."""
    from studio.ui.app import launch

    patch = pytest.MonkeyPatch()
    for name, value in (("STUDIO_HOME", str(home)), ("GRADIO_TEMP_DIR", "")):
        patch.setenv(name, value)
    app, url, engine, supervisor = launch(inbrowser=False, device="cpu", block=False, policy=ServingPolicy(visitors=True))
    assert supervisor is None
    yield url, engine, app
    app.close()
    engine.close()
    patch.undo()


@pytest.fixture
def two(browser, opened):
    """Two pages, each in a browser of its own, whose first picture has appeared."""
    contexts = [browser.new_context(viewport={"width": 1280, "height": 1000}, accept_downloads=True) for _ in range(2)]
    pages, errors = [c.new_page() for c in contexts], []
    for page in pages:
        page.set_default_timeout(90_000)  # of failing only; a machine may be slow
        page.on("pageerror", lambda e: errors.append(str(e)))
        page.goto(opened[0])
    for page in pages:
        page.wait_for_selector("#explore-stage img")
    yield pages
    for context in contexts:
        context.close()
    assert not errors, errors


def status(page, url: str) -> int:
    """What this browser, with its cookies, gets for an address."""
    return page.context.request.get(url).status


def translated(page, path, seed: int) -> None:
    """Hand in a picture of one's own and save what becomes of it."""
    picture(seed).save(path)
    page.get_by_role("tab", name="Translate").click()
    page.wait_for_function("document.querySelector('#translate-model input')?.value === 'Ink'")
    page.set_input_files("#translate-picture input[type=file]", str(path))
    page.wait_for_selector(AFTER)
    page.click("#translate-save")
    page.wait_for_selector("#translate-download:visible")


def of_url(src: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(src.split(",", 1)[1]))).convert("RGB"))


def until(ready) -> None:
    """Wait for what happens on the server."""
    late = time.monotonic() + 180  # of failing only
    while not ready():
        assert time.monotonic() < late
        time.sleep(0.02)


def folders(home) -> list:
    return sorted(p for p in (home / "visitors").glob("of-*/*") if p.is_dir())


def test_what_one_makes_no_other_sees(two, opened, home, tmp_path):
    a, b = two
    assert [a.get_by_role("tab", name=name).count() for name in ("Explore", "Upscale", "Train")] == [1, 1, 0]
    assert "deleted when you leave" in a.locator("#welcome").inner_text()
    asked: dict = {a: [], b: []}
    for page in two:
        page.on("request", lambda r, page=page: asked[page].append(r.url))
        page.on("download", lambda d, page=page: asked[page].append(d.url))
    files = []
    for i, page in enumerate(two):
        translated(page, tmp_path / f"{i}.png", 10 + i)
        files.append(download(page, "#translate-download", tmp_path))
        told = page.locator("#translate-saved").inner_text()
        assert "Ready to download" in told
        assert str(home) not in told
    recipes = [read_recipe(f, ImageRecipe) for f in files]
    assert recipes[0].source != recipes[1].source
    # Each in a place of its own, and nothing in the host's.
    mine, theirs = [next(f for f in folders(home) if find_source(r.source, f / "sources")) for r in recipes]
    assert mine != theirs
    assert mine.parent != theirs.parent
    assert not find_source(recipes[1].source, mine / "sources")
    assert not find_source(recipes[0].source, theirs / "sources")
    assert not find_source(recipes[0].source)
    assert not list((home / "outputs").rglob("*.png")), "nothing is in the host's folders"
    # The very addresses that A's page has used, its upload and its result, are closed to B and to those without a cookie.
    used = [u for u in asked[a] if "/gradio_api/file=" in u]
    results = [u for u in used if "/outputs/translate/" in u]
    assert results
    assert all(status(a, u) == 200 and status(b, u) == 403 for u in used)
    guess = f"{opened[0]}gradio_api/file="
    saved = next((mine / "outputs" / "translate").glob("*.png"))
    for path in (saved, mine / "sources" / f"{recipes[0].source}.png", f"{theirs}/../../{saved.relative_to(home / 'visitors')}"):
        assert status(a, f"{guess}{path}") == 200
        assert status(b, f"{guess}{path}") == 403
    # The other's result, handed in again, is a picture like any other: its recipe opens nothing of the other's.
    b.get_by_role("tab", name="Explore").click()
    b.set_input_files("#drop input[type=file]", str(files[0]))
    b.wait_for_function("[...document.querySelectorAll('.toast-body')].some(t => t.innerText.includes('was made from another one'))")


def test_two_explore_at_once_and_each_sees_their_own(two, opened):
    a, b = two
    first = source(a)
    assert source(b) == first
    wanted = {}
    for page, values in ((a, (0.3, 1.2, -0.5)), (b, (1.1, -0.4, 0.9))):  # all are sent before any answer is waited for
        for value in values:
            slide(page, "psi", value)
        wanted[page] = opened[1].render(Recipe(model="anna", psi=values[-1]))
    for page in two:
        shown = first
        while not np.array_equal(of_url(shown), wanted[page]):
            shown = page.wait_for_function(
                "(old) => { const i = document.querySelector('#explore-stage img'); return i.src !== old && i.src }", arg=shown
            ).json_value()
    assert source(a) != source(b)
    a.click("#pin")
    a.wait_for_selector("#filmstrip [data-i='0'] img")
    assert b.locator("#filmstrip [data-i]").count() == 0
    before = source(b)
    changes(a, lambda: a.click("#undo"))
    assert source(b) == before
    assert b.locator("#psi input[type=number]").input_value() == "0.9"


def test_saving_upscaling_and_sending_on_work_for_a_visitor(two, home, tmp_path):
    a, b = two
    a.click("#save")
    a.wait_for_selector("#download:visible")
    path = download(a, "#download", tmp_path)
    assert read_recipe(path).model == "anna"
    assert np.array_equal(np.asarray(Image.open(path)), pixels(a))
    a.click("#explore-upscale")  # goes by a file that one tab sends to another
    a.wait_for_selector("#upscale-stage .after")
    open_upscale(b)
    picture(5, 20, 12).save(tmp_path / "small.png")
    b.set_input_files("#upscale-picture input[type=file]", str(tmp_path / "small.png"))
    b.wait_for_selector("#upscale-stage .after")
    for page in two:
        page.click("#upscale-save")
        page.wait_for_selector("#upscale-download:visible")
    sizes = [Image.open(download(page, "#upscale-download", tmp_path)).size for page in two]
    assert sizes[0][0] % 32 == 0
    assert sizes[1][0] % 20 == 0
    b.get_by_role("tab", name="Classes").click()
    b.wait_for_selector("#classes-chips [data-i] img")
    assert b.locator("#classes-way").count() == 0 or not b.locator("#classes-way").is_visible(), "the host's image sets are not shown"


def test_when_they_have_left_nothing_is_left(browser, opened, home, tmp_path):
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(90_000)
    page.goto(opened[0])
    page.wait_for_selector("#explore-stage img")
    before = set(folders(home))
    translated(page, tmp_path / "mine.png", 30)
    page.click("#translate-save")
    page.wait_for_selector("#translate-download:visible")
    mine = next(f for f in folders(home) if (f / "outputs" / "translate").is_dir() and keeps(f, tmp_path / "mine.png"))
    handed_in = list((home / "visitors").glob("*/mine.png"))
    assert len(handed_in) == 1
    assert mine in before
    holder = opened[2].app.state_holder
    alive = {k for k, s in holder.session_data.items() if not s.is_closed}
    context.close()
    until(lambda: any(holder.session_data[k].is_closed for k in alive))
    for key in alive:  # Gradio gives a page an hour to come back, which is over at once here
        if holder.session_data[key].is_closed:
            holder.session_data[key].STATE_TTL_WHEN_CLOSED = 0
    until(lambda: not mine.parent.exists() and not handed_in[0].parent.exists())


def keeps(folder, path) -> bool:
    return find_source(hashlib.sha256(path.read_bytes()).hexdigest(), folder / "sources") is not None


def test_a_visitor_on_a_phone_sees_the_words_and_nothing_sticks_out(browser, opened):
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.goto(opened[0])
    page.wait_for_selector("#explore-stage img", timeout=90_000)
    assert page.locator("#welcome").is_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.close()


def test_a_stranger_takes_pictures_and_a_model_along(two, home, tmp_path):
    a, b = two
    a.click("#save")
    a.wait_for_selector("#download:visible, #saved:visible")
    a.get_by_role("tab", name="Gallery").click()
    a.wait_for_selector("#gallery-told:has-text('1 file')")
    assert str(home) not in a.locator("#gallery-told").inner_text()
    a.click("#gallery-choose")
    a.wait_for_selector("#gallery-several:visible, #gallery-zip:visible")
    a.click(CELLS)
    a.wait_for_selector("#gallery-count:has-text('1 chosen')")
    a.click("#gallery-zip")
    a.wait_for_selector("#gallery-ready:visible")
    with zipfile.ZipFile(download(a, "#gallery-ready", tmp_path)) as archive:
        assert [n.split("/")[0] for n in archive.namelist()] == ["explore", "README.txt"]
    b.get_by_role("tab", name="Gallery").click()
    b.wait_for_selector("#gallery-told:has-text('0 files')")

    a.get_by_role("tab", name="Models").click()
    a.click("#models-cards [data-i='0']")
    a.click("#models-export")
    a.wait_for_selector("#models-zip:visible")
    assert str(home) not in a.locator("#models-work").inner_text()
    with zipfile.ZipFile(download(a, "#models-zip", tmp_path)) as archive:
        assert any(n.endswith("/model.safetensors") for n in archive.namelist())
    assert not [p for p in (home / "outputs").rglob("*") if p.is_file()], "nothing of a stranger's lies among the host's"


def test_a_link_with_html_in_it_shows_text(browser, opened):
    page = browser.new_page()
    asked = []
    page.on("request", lambda r: asked.append(r.url))
    page.goto(f"{opened[0]}?recipe={Recipe(model='<img src=//evil.example/p.png>').to_link()}")
    toast = page.locator("[data-testid='toast-body']")
    toast.first.wait_for(timeout=90_000)
    assert "<img src=//evil.example/p.png>" in toast.first.inner_text()
    assert toast.locator("img").count() == 0
    assert not [url for url in asked if "evil.example" in url]
    page.close()
