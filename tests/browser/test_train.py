"""Training from one's own pictures to a model in Explore, as an artist would."""

import re

import numpy as np
import psutil
import pytest
from PIL import Image

from studio.jobs.store import JobStore
from studio.models.library import default_library
from studio.training.kinds import KINDS
from tests.browser.test_studio import slide

pytestmark = pytest.mark.browser


@pytest.fixture
def files(tmp_path):
    """Twelve pictures, one of them broken, and a text."""
    rng = np.random.default_rng(0)
    for i in range(11):
        picture = np.full((40, 60, 3), rng.integers(0, 255, 3), np.uint8)
        picture[10:30, 5 * i : 5 * i + 9] = rng.integers(0, 255, 3)
        Image.fromarray(picture).save(tmp_path / f"picture {i:02d}.png")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    (tmp_path / "notes.txt").write_text("not a picture")
    return sorted(str(p) for p in tmp_path.iterdir() if p.is_file())


def open_train(page):
    page.get_by_role("tab", name="Train").click()
    page.wait_for_selector("#train-take")


def advanced(page):
    if not page.locator("#train-kimg input").is_visible():
        page.get_by_role("button", name="Advanced").click()
        page.wait_for_selector("#train-kimg input")


def test_upload_train_pause_kill_go_on_and_open_the_result(page, studio, home, files):
    open_train(page)
    assert "No pictures yet" in page.locator("#train-sheet").inner_text()
    page.set_input_files("#train-files input[type=file]", files)
    page.wait_for_selector("#train-files tr.file >> nth=12")
    page.fill("#train-title input, #train-title textarea", "My squares")
    page.check("#train-owned input")
    page.click("#train-take")
    page.wait_for_selector("#train-sheet img")
    report = page.locator("#train-report").inner_text()
    assert "11 pictures taken in" in report and "broken.png" in report and "notes.txt: not a picture" in report

    page.wait_for_selector("text=11 pictures.")
    page.click("#train-sheet [data-i='2']")
    page.wait_for_selector("text=Leave out the 1 marked")
    page.click("#train-leave-out")
    page.wait_for_selector("text=10 pictures.")
    assert page.locator("#train-sheet img").count() == 10

    page.click("#train-next")
    page.wait_for_selector("#train-start")
    assert page.locator("#train-name input, #train-name textarea").first.input_value() == "My squares"
    assert page.locator("#train-family label").count() < len(KINDS)
    assert "Suits your pictures" in page.locator("#train-family label", has=page.locator("input:checked")).inner_text()
    advanced(page)
    page.check("#train-family input[value=stylegan2]")  # the quickest of them a picture on so small a size
    empty = ("gamma", "batch", "target", "freeze")
    assert [page.locator(f"#train-{name} input").input_value() for name in empty] == [""] * 4
    page.fill("#train-gamma input", "a lot")
    page.click("#train-start")
    page.wait_for_selector(".toast-body >> text=is no number for 'Steadiness")
    page.fill("#train-gamma input", "")
    for name, value in (("kimg", "50"), ("batch", "8")):
        page.fill(f"#train-{name} input", value)
        page.locator(f"#train-{name} input").blur()
    page.click("#train-start")
    page.wait_for_selector("#train-samples img")
    page.wait_for_selector("#train-progress >> text=thousand pictures shown")

    store = JobStore(home / "jobs.sqlite")
    job = store.list()[0]
    page.click("#train-pause")
    page.wait_for_selector("#train-progress >> text=paused: nothing is lost")
    page.click("#train-resume")
    page.wait_for_selector("#train-progress >> text=learning")
    page.wait_for_selector("#train-finish")
    page.wait_for_function("() => document.querySelector('#train-progress').innerText.includes('pictures a second')")
    psutil.Process(int(store.get(job.id).handle.partition(":")[0])).kill()
    page.wait_for_selector("#train-progress >> text=Its worker died")
    page.wait_for_selector("#train-progress >> text=learning")

    # A new page knows all of it.
    page.reload()
    page.wait_for_selector("#train-samples img")
    assert page.locator("#train-steps [aria-selected=true]").inner_text() == "3 Watch"
    page.wait_for_selector("#train-timeline:visible")
    slide(page, "train-timeline", 0)
    page.wait_for_selector("#train-samples img[alt='Samples after 0 kimg']")
    page.wait_for_function("sessionStorage.getItem('studio-at') === '0'")
    page.reload()
    page.wait_for_selector("#train-samples img[alt='Samples after 0 kimg']")
    page.wait_for_selector("#train-finish:visible")
    page.click("#train-finish")
    page.wait_for_selector("#train-progress >> text=finished")
    page.get_by_role("tab", name="4 Use it").click()
    page.wait_for_selector("#train-moments img")
    page.locator("#train-moments [data-i]").last.click()
    page.wait_for_selector("#explore-stage img[alt*='My squares']")
    kept = [m for m in default_library().scan()[0] if m.title == "My squares"]
    assert len(kept) == 1 and kept[0].path.parent == home / "models"
    assert re.search("my.squares", kept[0].id, re.IGNORECASE)
    assert store.get(job.id).restarts == 1


def test_what_is_missing_is_said_and_deleting_asks_first(page, studio, home, files):
    open_train(page)
    page.click("#train-take")
    page.wait_for_selector(".toast-body >> text=There are no pictures yet")
    page.set_input_files("#train-files input[type=file]", files[2:6])
    page.wait_for_selector("#train-files tr.file >> nth=3")
    page.fill("#train-title input, #train-title textarea", "Strangers")
    page.click("#train-take")
    page.wait_for_selector("text=4 pictures.")
    page.click("#train-next")
    page.wait_for_selector("#train-start")
    page.click("#train-start")
    page.wait_for_selector(".toast-body >> text=Nobody has said yet")
    page.get_by_role("tab", name="1 Pictures").click()
    sets = len(list((home / "datasets").glob("*/set.json")))
    page.click("#train-delete")
    page.wait_for_selector("text=Nothing depends on it.")
    assert len(list((home / "datasets").glob("*/set.json"))) == sets
    page.click("#train-delete-yes")
    page.wait_for_selector("#train-delete-yes", state="hidden")
    assert len(list((home / "datasets").glob("*/set.json"))) == sets - 1


def test_every_kind_can_be_chosen_and_the_page_fits_a_phone(browser, studio):
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.goto(studio[0])
    page.wait_for_selector("#explore-stage img", timeout=60_000)
    open_train(page)
    page.get_by_role("tab", name="2 What to make").click()
    page.click("#train-more")
    page.wait_for_function("(n) => document.querySelectorAll('#train-family input').length === n", arg=len(KINDS))
    assert page.locator("#train-family input").evaluate_all("(all) => all.map((e) => e.value)") == [k.name for k in KINDS]
    page.get_by_role("button", name="Which one should I use?").click()
    page.wait_for_selector(".gs-advice tr >> nth=1")
    assert page.locator(".gs-advice tbody tr").count() == len(KINDS)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.close()
